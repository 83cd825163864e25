import { expect, it } from "vitest";
import { fit, fly, levelFor, toRanges, toScreen, toWorld, visibleTiles, zoomAt } from "../src/camera.ts";
import { TILE, tileToPoint } from "../src/curve.ts";

const VIEW = { w: 1200, h: 800 };

it("zooming leaves the cell under the pointer where it is", () => {
  let camera = { x: 1e7 + 0.5, y: 3e6, scale: 0.01 };
  const before = toWorld(camera, VIEW, 313, 77);
  for (let i = 0; i < 60; i++) camera = zoomAt(camera, VIEW, 313, 77, 1.17);
  const after = toWorld(camera, VIEW, 313, 77);
  expect(after.x).toBeCloseTo(before.x, 4);
  expect(after.y).toBeCloseTo(before.y, 4);
  const back = toScreen(camera, VIEW, after.x, after.y);
  expect(back.x).toBeCloseTo(313, 6);
});

it("a level's cells are one to two pixels", () => {
  for (const scale of [1, 0.9, 0.5, 0.26, 0.25, 0.1, 1e-3]) {
    const px = scale * 2 ** levelFor(scale, 30);
    expect(px).toBeGreaterThanOrEqual(1);
    expect(px).toBeLessThan(2 + 1e-9);
  }
  expect(levelFor(40, 30)).toBe(0);
  expect(levelFor(1e-9, 7)).toBe(7);
});

it("visible tiles cover the viewport, centre first, and stop at the world's end", () => {
  const camera = { x: 1500, y: 900, scale: 1 };
  const tiles = visibleTiles("hilbert", camera, VIEW, 0, 2 ** 40);
  for (const [sx, sy] of [[0, 0], [1199, 0], [0, 799], [1199, 799], [600, 400]] as const) {
    const p = toWorld(camera, VIEW, sx, sy);
    const hit = tiles.filter((t) => Math.floor(p.x / TILE) === t.tx && Math.floor(p.y / TILE) === t.ty);
    expect(hit).toHaveLength(1);
    expect(tileToPoint("hilbert", 0, hit[0]!.index)).toEqual({ x: hit[0]!.tx, y: hit[0]!.ty });
  }
  const first = tiles[0]!;
  expect(Math.abs(first.tx - 5)).toBeLessThanOrEqual(1);
  expect(visibleTiles("hilbert", camera, VIEW, 0, 65536 * 3).every((t) => t.index < 3)).toBe(true);
});

it("fitting shows the whole rectangle", () => {
  const rect = { x: 100, y: 200, w: 5000, h: 300 };
  const camera = fit(rect, VIEW);
  for (const [x, y] of [[100, 200], [5100, 500]] as const) {
    const s = toScreen(camera, VIEW, x, y);
    expect(s.x).toBeGreaterThanOrEqual(0);
    expect(s.x).toBeLessThanOrEqual(VIEW.w);
    expect(s.y).toBeGreaterThanOrEqual(0);
  }
});

it("a flight begins and ends where it should, and is never lost on the way", () => {
  const a = { x: 10, y: 10, scale: 8 };
  const b = { x: 90000, y: 5000, scale: 16 };
  expect(fly(a, b, VIEW, 0)).toEqual(a);
  const end = fly(a, b, VIEW, 1);
  expect(end.x).toBeCloseTo(b.x, 6);
  expect(end.scale).toBeCloseTo(b.scale, 6);
  const middle = fly(a, b, VIEW, 0.5);
  expect(middle.scale).toBeLessThan(a.scale / 100);
});

it("ranges are few", () => {
  expect(toRanges([5, 3, 4, 9, 9])).toEqual([[3, 6], [9, 10]]);
  expect(toRanges([])).toEqual([]);
});
