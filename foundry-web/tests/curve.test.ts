import { describe, expect, it } from "vitest";
import { LAYOUTS, ORDER, TILE, TILE_CELLS, cellToPoint, d2xy, indexToPoint, pointToIndex, tileTable, tileToPoint, xy2d, xy2z, z2xy } from "../src/curve.ts";

// A generator with a printed seed: a failure can be repeated.
function random(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}

describe("the curve", () => {
  it("has the places Geometry OS and Wikipedia give", () => {
    const at = (n: number, ds: number[]): number[][] => ds.map((d) => Object.values(d2xy(n, d)));
    expect(at(1, [0, 1, 2, 3])).toEqual([[0, 0], [0, 1], [1, 1], [1, 0]]);
    expect(at(2, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([[0, 0], [1, 0], [1, 1], [0, 1], [0, 2], [0, 3], [1, 3], [1, 2]]);
    expect(at(3, [3, 7, 15, 63])).toEqual([[1, 0], [2, 1], [0, 3], [7, 0]]);
    expect(at(8, [65535])).toEqual([[255, 0]]);
  });

  it("goes there and back over the whole world", () => {
    const next = random(7);
    for (let i = 0; i < 2000; i++) {
      const d = Math.floor(next() * 2 ** (2 * ORDER));
      const p = d2xy(ORDER, d);
      expect(xy2d(ORDER, p.x, p.y)).toBe(d);
      const z = z2xy(d);
      expect(xy2z(z.x, z.y)).toBe(d);
    }
  });

  it("does not move when the plane grows by two orders", () => {
    for (let d = 0; d < 5000; d += 7) expect(d2xy(14, d)).toEqual(d2xy(16, d));
  });

  it("lays level k over the squares of level 0", () => {
    for (const level of [1, 2, 3, 5, 8]) {
      for (const cell of [0, 1, 2, 3, 17, 1000, 123456]) {
        const inside = d2xy(ORDER, cell * 4 ** level);
        expect(cellToPoint("hilbert", level, cell)).toEqual({
          x: Math.floor(inside.x / 2 ** level),
          y: Math.floor(inside.y / 2 ** level),
        });
      }
    }
  });
});

describe("unfold tables", () => {
  it("put every cell of a tile where the curve has it, in every orientation and level", () => {
    const seen = new Set<Uint16Array>();
    for (const level of [0, 1, 2, 5]) {
      for (const index of [0, 1, 2, 3, 5, 9, 14, 200, 4099]) {
        const table = tileTable("hilbert", level, index);
        seen.add(table);
        const at = tileToPoint("hilbert", level, index);
        for (const i of [0, 1, 2, 3, 77, 4096, 30000, TILE_CELLS - 1]) {
          const p = cellToPoint("hilbert", level, index * TILE_CELLS + i);
          expect(table[i]).toBe((p.y - at.y * TILE) * TILE + (p.x - at.x * TILE));
        }
      }
    }
    expect(seen.size).toBe(4);
  });

  it("are permutations", () => {
    for (const layout of LAYOUTS) {
      for (const index of [0, 1, 2, 3]) {
        expect(new Set(tileTable(layout, 0, index)).size).toBe(TILE_CELLS);
      }
    }
  });

  it("agree with where an index of the world is, in every layout", () => {
    for (const layout of LAYOUTS) {
      for (const d of [0, 1, 65535, 65536, 1_000_003, 2 ** 40 + 12345]) {
        const p = indexToPoint(layout, d);
        expect(pointToIndex(layout, p.x, p.y)).toBe(d);
        const tile = Math.floor(d / TILE_CELLS);
        const at = tileToPoint(layout, 0, tile);
        expect(tileTable(layout, 0, tile)[d % TILE_CELLS]).toBe((p.y - at.y * TILE) * TILE + (p.x - at.x * TILE));
      }
    }
  });
});
