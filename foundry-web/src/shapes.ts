// What a run of the curve looks like on the plane: its squares, its outline, where its name fits.
//
// Knows: runs and places. Must never know: nodes, colours, the camera.
// Keeps: coordinates are cells of level 0; shapes are exact at the granularity they are cut to.

import { type Layout, ORDER, type Point, cellToPoint, pointToCell } from "./curve.ts";

export interface Square {
  x: number;
  y: number;
  side: number;
}

export type Run = readonly [start: number, end: number];

/** The fewest aligned squares that make up a run. */
export function squares(layout: Layout, [start, end]: Run, most = 256): Square[] {
  const found: Square[] = [];
  let at = start;
  while (at < end && found.length < most) {
    let k = 0;
    let n = 1;
    while (k < ORDER && at % (n * 4) === 0 && at + n * 4 <= end) {
      k++;
      n *= 4;
    }
    const p = cellToPoint(layout, k, at / n);
    found.push({ x: p.x * 2 ** k, y: p.y * 2 ** k, side: 2 ** k });
    at += n;
  }
  return found;
}

/** The same cells in the fewest runs: what grew run by run is one piece where they touch. */
export function joined(runs: readonly Run[]): Run[] {
  const found: [number, number][] = [];
  for (const [start, end] of [...runs].sort((a, b) => a[0] - b[0])) {
    const last = found[found.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else found.push([start, end]);
  }
  return found;
}

/** The largest aligned square inside a run: where its name is written. */
export function largestSquare(layout: Layout, run: Run): Square {
  return squares(layout, run).reduce((best, s) => (s.side > best.side ? s : best), {
    x: 0,
    y: 0,
    side: 0,
  });
}

/** The binary logarithm of the side to which a run's outline is cut, for at most `most` cells. */
export function grain([start, end]: Run, most: number): number {
  let k = 0;
  while (k < ORDER && (end - start) / 4 ** k > most) k++;
  // A coarser grain that is still exact draws the same with fewer cells.
  while (k < ORDER && start % 4 ** (k + 1) === 0 && end % 4 ** (k + 1) === 0) k++;
  return k;
}

/** The outline of a run as closed polygons, clockwise, corners only. */
export function outline(layout: Layout, run: Run, most = 96): Point[][] {
  const k = grain(run, most);
  const side = 2 ** k;
  const first = Math.floor(run[0] / 4 ** k);
  const last = Math.ceil(run[1] / 4 ** k);
  const inside = (x: number, y: number): boolean => {
    if (x < 0 || y < 0) return false;
    const d = pointToCell(layout, k, x, y);
    return d >= first && d < last;
  };
  // Directed edges with the inside on their right, by the corner they start at.
  const from = new Map<string, Point[]>();
  const add = (x0: number, y0: number, x1: number, y1: number): void => {
    const key = `${x0},${y0}`;
    const list = from.get(key);
    if (list) list.push({ x: x1, y: y1 });
    else from.set(key, [{ x: x1, y: y1 }]);
  };
  for (let d = first; d < last; d++) {
    const { x, y } = cellToPoint(layout, k, d);
    if (!inside(x, y - 1)) add(x, y, x + 1, y);
    if (!inside(x + 1, y)) add(x + 1, y, x + 1, y + 1);
    if (!inside(x, y + 1)) add(x + 1, y + 1, x, y + 1);
    if (!inside(x - 1, y)) add(x, y + 1, x, y);
  }
  return chain(from).map((polygon) => polygon.map((p) => ({ x: p.x * side, y: p.y * side })));
}

function chain(from: Map<string, Point[]>): Point[][] {
  const polygons: Point[][] = [];
  for (const [key, ends] of from) {
    while (ends.length > 0) {
      const [x, y] = key.split(",").map(Number) as [number, number];
      const polygon: Point[] = [{ x, y }];
      let here: Point = { x, y };
      for (;;) {
        const next = from.get(`${here.x},${here.y}`)?.pop();
        if (!next) break;
        const before = polygon[polygon.length - 2];
        const straight = before && ((before.x === here.x && here.x === next.x) || (before.y === here.y && here.y === next.y));
        if (straight) polygon[polygon.length - 1] = next;
        else polygon.push(next);
        here = next;
        if (here.x === x && here.y === y) break;
      }
      polygon.pop();
      polygons.push(polygon);
    }
  }
  return polygons;
}

/** The smallest rectangle around a run. */
export function bounds(layout: Layout, run: Run): { x: number; y: number; w: number; h: number } {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const s of squares(layout, run)) {
    x0 = Math.min(x0, s.x);
    y0 = Math.min(y0, s.y);
    x1 = Math.max(x1, s.x + s.side);
    y1 = Math.max(y1, s.y + s.side);
  }
  return { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
}
