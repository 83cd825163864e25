// Curve order to pixels: what the worker does with a tile.
//
// Knows: a decoded tile, the unfold tables. Must never know: the GPU, the network.
// Keeps: what a pixel shows is a function of its cell and its span alone.

import { TILE_CELLS } from "./curve.ts";
import type { TileData } from "./wire.ts";

/** Bytes whose entropy one leaf gives. */
const LEAF = 64;

/** c times 2720 log2(c), rounded: the integers of FORMAT.md, so that both sides agree to the bit. */
const NLOG = Int32Array.from({ length: LEAF + 1 }, (_, c) => (c > 1 ? c * Math.round(2720 * Math.log2(c)) : 0));

/** Entropy of a leaf of 64 bytes, 0 to 255 for 0 to 6 bits a byte. */
export function leafEntropy(bytes: Uint8Array, at: number, counts: Uint8Array): number {
  counts.fill(0);
  for (let i = at; i < at + LEAF; i++) {
    const b = bytes[i] as number;
    counts[b] = (counts[b] as number) + 1;
  }
  let sum = 0;
  for (let i = at; i < at + LEAF; i++) {
    const c = counts[bytes[i] as number] as number;
    if (c > 0) {
      sum += NLOG[c] as number;
      counts[bytes[i] as number] = 0;
    }
  }
  return Math.floor(((NLOG[LEAF] as number) - sum + 32 * LEAF) / (64 * LEAF));
}

/** How a second in the past is shown: 255 now, 0 years ago, even steps on a log scale. */
export function ageToHeat(ageSeconds: number): number {
  if (ageSeconds <= 1) return 255;
  const steps = Math.log2(ageSeconds) / Math.log2(10 * 365 * 86400);
  return Math.round(255 * Math.max(0, 1 - steps));
}

export interface Raster {
  /** RGBA: byte, leaf entropy, 0, changed (one channel) or entropy, zero, printable, high (four). */
  cells: Uint8Array<ArrayBuffer>;
  /** RGBA a cell or, where all cells agree, one pixel: class, writer, heat, flags (bit 0) and page state. */
  marks: Uint8Array<ArrayBuffer>;
  /** R8: 255 where the cell differs from the tile it replaces; empty where none does. */
  changed: Uint8Array<ArrayBuffer>;
}

const EMPTY = new Uint8Array(0);

export function rasterize(tile: TileData, table: Uint16Array, nowSeconds: number, before: Uint8Array | null): Raster {
  return {
    cells: rasterCells(tile, table),
    marks: rasterMarks(tile, table, nowSeconds),
    changed: rasterChanges(tile, table, before),
  };
}

function rasterCells(tile: TileData, table: Uint16Array): Uint8Array<ArrayBuffer> {
  if (tile.empty) return EMPTY;
  const out = new Uint32Array(TILE_CELLS);
  if (tile.channels === 4) {
    const aligned = tile.cells.byteOffset % 4 === 0 ? tile.cells : tile.cells.slice();
    const words = new Uint32Array(aligned.buffer, aligned.byteOffset, TILE_CELLS);
    for (let i = 0; i < TILE_CELLS; i++) out[table[i] as number] = words[i] as number;
    return new Uint8Array(out.buffer);
  }
  const counts = new Uint8Array(256);
  const bytes = tile.cells;
  for (let leaf = 0; leaf < TILE_CELLS; leaf += LEAF) {
    const entropy = leafEntropy(bytes, leaf, counts) << 8;
    for (let i = leaf; i < leaf + LEAF; i++) out[table[i] as number] = (bytes[i] as number) | entropy | 0xff000000;
  }
  return new Uint8Array(out.buffer);
}

/** Bits of a page's state, as API.md has them. */
const PAGE = { resident: 1, swapped: 2, file: 4, dirty: 8, huge: 32, zero: 64, is: 128 };

/** What the palette of page states shows of a page: a position in PAGE_STATES. */
export function pageState(bits: number): number {
  if (!(bits & PAGE.is)) return 0;
  if (bits & PAGE.zero) return 7;
  if (bits & PAGE.swapped) return 6;
  if (!(bits & PAGE.resident)) return 1;
  if (bits & PAGE.file) return bits & PAGE.dirty ? 3 : 2;
  return bits & PAGE.huge ? 8 : bits & PAGE.dirty ? 5 : 4;
}

function mark(span: { kind: number; writer: number; flags: number; pages: number; changedAt: number }, now: number): number {
  const heat = span.changedAt === 0 ? 0 : ageToHeat(now - span.changedAt);
  return (span.kind | (span.writer << 8) | (heat << 16) | (((span.flags & 1) | (pageState(span.pages) << 1)) << 24)) >>> 0;
}

function rasterMarks(tile: TileData, table: Uint16Array, now: number): Uint8Array<ArrayBuffer> {
  const only = tile.spans[0];
  if (tile.spans.length <= 1 && (!only || only.end === TILE_CELLS)) {
    return new Uint8Array(Uint32Array.of(only ? mark(only, now) : 0).buffer);
  }
  const out = new Uint32Array(TILE_CELLS);
  let at = 0;
  for (const span of tile.spans) {
    const value = mark(span, now);
    for (; at < span.end; at++) out[table[at] as number] = value;
  }
  return new Uint8Array(out.buffer);
}

function rasterChanges(tile: TileData, table: Uint16Array, before: Uint8Array | null): Uint8Array<ArrayBuffer> {
  if (!before || before.length !== tile.cells.length || tile.empty) return EMPTY;
  const out = new Uint8Array(TILE_CELLS);
  let any = false;
  const n = tile.channels;
  const now = tile.cells;
  for (let i = 0; i < TILE_CELLS; i++) {
    for (let c = i * n; c < i * n + n; c++) {
      if (now[c] !== before[c]) {
        out[table[i] as number] = 255;
        any = true;
        break;
      }
    }
  }
  return any ? out : EMPTY;
}
