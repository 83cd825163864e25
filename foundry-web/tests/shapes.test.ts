import { expect, it } from "vitest";
import { indexToPoint, type Layout } from "../src/curve.ts";
import { bounds, grain, joined, largestSquare, outline, squares, type Run } from "../src/shapes.ts";

const RUNS: Run[] = [[0, 1], [0, 4096], [5, 23], [64, 65536], [1000, 70001], [4 ** 20, 4 ** 20 + 3 * 4 ** 6]];

it("squares cover a run exactly", () => {
  for (const layout of ["hilbert", "z-order"] as Layout[]) {
    for (const run of RUNS) {
      const found = squares(layout, run);
      expect(found.reduce((n, s) => n + s.side ** 2, 0)).toBe(run[1] - run[0]);
      for (const d of [run[0], run[1] - 1, Math.floor((run[0] + run[1]) / 2)]) {
        const p = indexToPoint(layout, d);
        expect(found.filter((s) => p.x >= s.x && p.x < s.x + s.side && p.y >= s.y && p.y < s.y + s.side)).toHaveLength(1);
      }
    }
  }
});

it("an outline encloses as much as the run, at its grain", () => {
  for (const run of RUNS) {
    const k = grain(run, 96);
    const want = (Math.ceil(run[1] / 4 ** k) - Math.floor(run[0] / 4 ** k)) * 4 ** k;
    let area = 0;
    for (const polygon of outline("hilbert", run)) {
      polygon.forEach((p, i) => {
        const q = polygon[(i + 1) % polygon.length] ?? p;
        area += (p.x * q.y - q.x * p.y) / 2;
      });
    }
    expect(area).toBe(want);
  }
});

it("an outline has corners only", () => {
  expect(outline("hilbert", [0, 4096])).toEqual([[{ x: 0, y: 0 }, { x: 64, y: 0 }, { x: 64, y: 64 }, { x: 0, y: 64 }]]);
});

it("bounds and the place of the name lie in the run", () => {
  expect(bounds("hilbert", [0, 2 * 4096])).toEqual({ x: 0, y: 0, w: 128, h: 64 });
  expect(largestSquare("hilbert", [4095, 3 * 4096]).side).toBe(64);
});

it("what grew run by run is one piece where it touches", () => {
  const grown: Run[] = [[4096, 8192], [0, 4096], [16384, 20480], [8192, 12288]];
  expect(joined(grown)).toEqual([[0, 12288], [16384, 20480]]);
  expect(grown[0]).toEqual([4096, 8192]);
});
