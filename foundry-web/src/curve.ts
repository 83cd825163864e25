// The one curve: index to place and back, and the tables that unfold a tile.
//
// Knows: integers below 2^52 as JavaScript numbers. Must never know: pixels, what lies on the curve.
// Keeps: the world's plane has an even order, so the place of an index never depends on the world's size.

/** Order of the world's plane in cells of level 0. */
export const ORDER = 26;
/** Side of a tile in cells, its binary logarithm, and its number of cells. */
export const TILE = 256;
export const TILE_ORDER = 8;
export const TILE_CELLS = 65536;

/** How cells are laid out: the curve itself, Z-order, or rows inside each tile on the curve. */
export type Layout = "hilbert" | "z-order" | "scan";
export const LAYOUTS: readonly Layout[] = ["hilbert", "z-order", "scan"];

export interface Point {
  x: number;
  y: number;
}

/** Place of index `d` on a plane of 2^order cells a side (start (0,0), end (n-1,0), y downward). */
export function d2xy(order: number, d: number): Point {
  let x = 0;
  let y = 0;
  let rest = d;
  let side = 1;
  for (let level = 0; level < order; level++) {
    const quad = rest % 4;
    rest = (rest - quad) / 4;
    const rx = quad >> 1;
    const ry = (quad ^ rx) & 1;
    if (ry === 0) {
      if (rx === 1) {
        x = side - 1 - x;
        y = side - 1 - y;
      }
      const t = x;
      x = y;
      y = t;
    }
    x += side * rx;
    y += side * ry;
    side *= 2;
  }
  return { x, y };
}

/** Index of a place on a plane of 2^order cells a side. */
export function xy2d(order: number, px: number, py: number): number {
  let x = px;
  let y = py;
  let d = 0;
  let side = 2 ** (order - 1);
  for (let level = order - 1; level >= 0; level--) {
    const rx = x >= side ? 1 : 0;
    const ry = y >= side ? 1 : 0;
    d = d * 4 + ((3 * rx) ^ ry);
    x -= rx * side;
    y -= ry * side;
    if (ry === 0) {
      if (rx === 1) {
        x = side - 1 - x;
        y = side - 1 - y;
      }
      const t = x;
      x = y;
      y = t;
    }
    side /= 2;
  }
  return d;
}

/** Place of index `d` in Z-order: even bits are x, odd bits are y. */
export function z2xy(d: number): Point {
  let x = 0;
  let y = 0;
  let rest = d;
  for (let side = 1; rest > 0; side *= 2) {
    const quad = rest % 4;
    rest = (rest - quad) / 4;
    x += (quad & 1) * side;
    y += (quad >> 1) * side;
  }
  return { x, y };
}

/** Index of a place in Z-order. */
export function xy2z(px: number, py: number): number {
  let d = 0;
  let weight = 1;
  let x = px;
  let y = py;
  while (x > 0 || y > 0) {
    d += ((x % 2) + 2 * (y % 2)) * weight;
    x = Math.floor(x / 2);
    y = Math.floor(y / 2);
    weight *= 4;
  }
  return d;
}

/** Place of cell `index` of `level` on that level's plane. */
export function cellToPoint(layout: Layout, level: number, index: number): Point {
  return layout === "z-order" ? z2xy(index) : d2xy(ORDER - level, index);
}

/** Index of the cell of `level` at a place on that level's plane. */
export function pointToCell(layout: Layout, level: number, x: number, y: number): number {
  return layout === "z-order" ? xy2z(x, y) : xy2d(ORDER - level, x, y);
}

/** Place of tile `index` of `level`, in tiles. */
export function tileToPoint(layout: Layout, level: number, index: number): Point {
  return cellToPoint(layout, level + TILE_ORDER, index);
}

/** The tile of `level` at a place, in tiles. */
export function pointToTile(layout: Layout, level: number, x: number, y: number): number {
  return pointToCell(layout, level + TILE_ORDER, x, y);
}

/** Index of the world's cell under a place in cells of level 0. */
export function pointToIndex(layout: Layout, x: number, y: number): number {
  if (layout !== "scan") return pointToCell(layout, 0, x, y);
  const tile = pointToTile(layout, 0, Math.floor(x / TILE), Math.floor(y / TILE));
  return tile * TILE_CELLS + (y % TILE) * TILE + (x % TILE);
}

/** Place of an index of the world, in cells of level 0. */
export function indexToPoint(layout: Layout, index: number): Point {
  if (layout !== "scan") return cellToPoint(layout, 0, index);
  const at = tileToPoint(layout, 0, Math.floor(index / TILE_CELLS));
  const rest = index % TILE_CELLS;
  return { x: at.x * TILE + (rest % TILE), y: at.y * TILE + Math.floor(rest / TILE) };
}

// An aligned run of 4^8 cells is a square in one of four orientations.
const hilbertTables: Uint16Array[] = makeTables();
const zTable: Uint16Array = Uint16Array.from({ length: TILE_CELLS }, (_, i) => {
  const p = z2xy(i);
  return p.y * TILE + p.x;
});
const scanTable: Uint16Array = Uint16Array.from({ length: TILE_CELLS }, (_, i) => i);

function makeTables(): Uint16Array[] {
  const tables = [0, 1, 2, 3].map(() => new Uint16Array(TILE_CELLS));
  for (let i = 0; i < TILE_CELLS; i++) {
    const { x, y } = d2xy(TILE_ORDER, i);
    const fx = TILE - 1 - x;
    const fy = TILE - 1 - y;
    const places = [y * TILE + x, x * TILE + y, fy * TILE + fx, fx * TILE + fy];
    places.forEach((place, k) => {
      (tables[k] as Uint16Array)[i] = place;
    });
  }
  return tables;
}

/** Which of the four orientations tile `index` of `level` has on the curve. */
export function orientation(level: number, index: number): number {
  const order = ORDER - level;
  const first = d2xy(order, index * TILE_CELLS);
  const last = d2xy(order, index * TILE_CELLS + TILE_CELLS - 1);
  const low = first.x % TILE === 0 && first.y % TILE === 0;
  const along = first.y === last.y;
  if (low) return along ? 0 : 1;
  return along ? 2 : 3;
}

/** Where cell i of a tile goes in its raster: `table[i] = y * 256 + x`. */
export function tileTable(layout: Layout, level: number, index: number): Uint16Array {
  if (layout === "z-order") return zTable;
  if (layout === "scan") return scanTable;
  return hilbertTables[orientation(level, index)] as Uint16Array;
}
