// Where one looks: a centre in cells and pixels a cell; and which tiles that takes.
//
// Knows: the plane, the viewport in device pixels. Must never know: tiles' content, the network.
// Keeps: all arithmetic is in doubles; the renderer gets only differences to the camera.

import { type Layout, TILE, pointToTile } from "./curve.ts";

export interface Camera {
  /** Centre of the viewport, in cells of level 0. */
  x: number;
  y: number;
  /** Device pixels a cell. */
  scale: number;
}

export interface View {
  w: number;
  h: number;
}

export const MAX_SCALE = 96;
export const MIN_SCALE = 2 ** -26;

export function clampScale(scale: number): number {
  return Math.min(MAX_SCALE, Math.max(MIN_SCALE, scale));
}

/** Zooms by `factor`, leaving the cell under the screen point where it is. */
export function zoomAt(camera: Camera, view: View, sx: number, sy: number, factor: number): Camera {
  const scale = clampScale(camera.scale * factor);
  const dx = sx - view.w / 2;
  const dy = sy - view.h / 2;
  return {
    x: camera.x + dx / camera.scale - dx / scale,
    y: camera.y + dy / camera.scale - dy / scale,
    scale,
  };
}

export function toWorld(camera: Camera, view: View, sx: number, sy: number): { x: number; y: number } {
  return {
    x: camera.x + (sx - view.w / 2) / camera.scale,
    y: camera.y + (sy - view.h / 2) / camera.scale,
  };
}

export function toScreen(camera: Camera, view: View, x: number, y: number): { x: number; y: number } {
  return {
    x: (x - camera.x) * camera.scale + view.w / 2,
    y: (y - camera.y) * camera.scale + view.h / 2,
  };
}

/** The camera that shows a rectangle with a margin on each side, as a share of the viewport. */
export function fit(rect: { x: number; y: number; w: number; h: number }, view: View, margin = 0.08): Camera {
  const room = 1 - 2 * margin;
  const scale = Math.min((view.w * room) / Math.max(rect.w, 1), (view.h * room) / Math.max(rect.h, 1));
  return { x: rect.x + rect.w / 2, y: rect.y + rect.h / 2, scale: clampScale(scale) };
}

/** The level whose cells are at least one device pixel and less than two. */
export function levelFor(scale: number, top: number): number {
  const level = Math.ceil(-Math.log2(scale) - 1e-9);
  return Math.min(Math.max(level, 0), Math.max(top, 0));
}

export interface TileKey {
  level: number;
  index: number;
  /** Place in tiles of its level. */
  tx: number;
  ty: number;
}

/**
 * The tiles of `level` that meet the viewport (with a margin in tiles), nearest to the centre first.
 * `end` is the first index of the world that holds nothing.
 */
export function visibleTiles(layout: Layout, camera: Camera, view: View, level: number, end: number, margin = 0): TileKey[] {
  const side = TILE * 2 ** level;
  const x0 = Math.floor((camera.x - view.w / 2 / camera.scale) / side) - margin;
  const x1 = Math.floor((camera.x + view.w / 2 / camera.scale) / side) + margin;
  const y0 = Math.floor((camera.y - view.h / 2 / camera.scale) / side) - margin;
  const y1 = Math.floor((camera.y + view.h / 2 / camera.scale) / side) + margin;
  const most = 2 ** 26 / side - 1;
  const last = Math.ceil(end / (side * side));
  const found: TileKey[] = [];
  for (let ty = Math.max(y0, 0); ty <= Math.min(y1, most); ty++) {
    for (let tx = Math.max(x0, 0); tx <= Math.min(x1, most); tx++) {
      const index = pointToTile(layout, level, tx, ty);
      if (index < last) found.push({ level, index, tx, ty });
    }
  }
  const cx = camera.x / side - 0.5;
  const cy = camera.y / side - 0.5;
  const far = (t: TileKey): number => (t.tx - cx) ** 2 + (t.ty - cy) ** 2;
  return found.sort((a, b) => far(a) - far(b));
}

/** Tile indices as few ranges: what is subscribed to. */
export function toRanges(indices: number[]): [number, number][] {
  const sorted = [...indices].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const i of sorted) {
    const last = ranges[ranges.length - 1];
    if (last && i <= last[1]) last[1] = Math.max(last[1], i + 1);
    else ranges.push([i, i + 1]);
  }
  return ranges;
}

/** A camera on the way from one to another: zooms out, over, and in again. `t` from 0 to 1. */
export function fly(a: Camera, b: Camera, view: View, t: number): Camera {
  if (t <= 0) return a;
  if (t >= 1) return b;
  const ease = t < 0.5 ? 4 * t ** 3 : 1 - (-2 * t + 2) ** 3 / 2;
  const distance = Math.hypot(b.x - a.x, b.y - a.y);
  const across = Math.min(view.w, view.h);
  // High enough that the way is at most about a screen and a half.
  const high = distance > 0 ? Math.min(a.scale, b.scale, (1.5 * across) / distance) : Math.min(a.scale, b.scale);
  const low = Math.log(a.scale) * (1 - ease) + Math.log(b.scale) * ease;
  const dip = Math.min(0, Math.log(high) - Math.min(Math.log(a.scale), Math.log(b.scale)));
  const scale = clampScale(Math.exp(low + dip * Math.sin(Math.PI * ease)));
  // The centre moves in step with how much of the way is seen.
  const w = a.scale === b.scale || distance === 0 ? ease : (1 / scale - 1 / a.scale) / (1 / b.scale - 1 / a.scale);
  const share = dip < 0 || !Number.isFinite(w) ? ease : Math.min(1, Math.max(0, w));
  return { x: a.x + (b.x - a.x) * share, y: a.y + (b.y - a.y) * share, scale };
}
