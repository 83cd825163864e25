// The bytes of API.md: tiles and live messages, decoded and never trusted.
//
// Knows: byte layouts. Must never know: the network, what is done with a message.
// Keeps: any bytes give a value or a WireError; nothing is allocated beyond the input.

import { blake3 } from "./blake3.ts";
import { TILE_CELLS } from "./curve.ts";

export class WireError extends Error {
  override name = "WireError";
}

export interface Span {
  end: number;
  kind: number;
  writer: number;
  flags: number;
  /** State of a process's pages; 0 for what is no page. */
  pages: number;
  changedAt: number;
}

export interface TileData {
  level: number;
  index: number;
  seq: number;
  channels: 1 | 4;
  empty: boolean;
  summary: boolean;
  differs: boolean;
  /** Curve order; no cells where all is void. */
  cells: Uint8Array;
  spans: Span[];
}

const HEADER = 32;
const SPAN = 12;
const HASH = 32;

function u64(view: DataView, at: number): number {
  const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  if (!Number.isSafeInteger(value)) throw new WireError("a number beyond 2^53");
  return value;
}

/** Whether the 32 bytes at `end` are the hash of all before. */
function isHash(buffer: ArrayBuffer, end: number): boolean {
  const found = blake3(new Uint8Array(buffer, 0, end));
  const given = new Uint8Array(buffer, end, HASH);
  return found.every((byte, i) => byte === given[i]);
}

export function decodeTile(buffer: ArrayBuffer): TileData {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER || view.getUint32(0, false) !== 0x4654494c) throw new WireError("not a tile");
  if (view.getUint8(4) !== 1) throw new WireError(`tile version ${view.getUint8(4)} is not known`);
  const channels = view.getUint8(6);
  if (channels !== 1 && channels !== 4) throw new WireError(`a tile with ${channels} channels`);
  const flags = view.getUint8(7);
  const count = view.getUint32(24, true);
  const n = view.getUint32(28, true);
  if (n !== 0 && n !== TILE_CELLS) throw new WireError(`a tile with ${n} cells`);
  const end = HEADER + n * channels + count * SPAN;
  const hashed = (flags & 8) !== 0;
  if (buffer.byteLength !== end + (hashed ? HASH : 0)) throw new WireError("a tile of the wrong length");
  if (hashed && !isHash(buffer, end)) throw new WireError("a tile that does not hash to what it says: something on the way changed it");
  const spans: Span[] = [];
  let before = 0;
  for (let i = 0; i < count; i++) {
    const at = HEADER + n * channels + i * SPAN;
    const end = view.getUint32(at, true);
    if (end <= before || end > TILE_CELLS) throw new WireError("spans out of order");
    before = end;
    spans.push({
      end,
      kind: view.getUint8(at + 4),
      writer: view.getUint8(at + 5),
      flags: view.getUint8(at + 6),
      pages: view.getUint8(at + 7),
      changedAt: view.getUint32(at + 8, true),
    });
  }
  return {
    level: view.getUint8(5),
    index: u64(view, 8),
    seq: u64(view, 16),
    channels,
    empty: (flags & 1) !== 0 || n === 0,
    summary: (flags & 2) !== 0,
    differs: (flags & 4) !== 0,
    cells: new Uint8Array(buffer, HEADER, n * channels),
    spans,
  };
}

export interface Activity {
  kind: "changed" | "removed" | "renamed" | "unreadable" | "exec" | "mapped";
  node: number | null;
  index: number;
  length: number;
  pid: number;
  uid: number;
  atMs: number;
  comm: string;
  exe: string;
  path: string;
}

export type Message =
  | { type: "hello"; epoch: string; seq: number; version: number }
  | { type: "tiles"; seq: number; tiles: { level: number; index: number }[] }
  | { type: "nodes"; seq: number; nodes: number[] }
  | { type: "activity"; dropped: number; entries: Activity[] }
  | { type: "notice"; severity: number; text: string }
  | { type: "reset"; epoch: string; seq: number };

const KINDS = ["changed", "removed", "renamed", "unreadable", "exec", "mapped"] as const;

/** Reads fields one after another; running out of bytes is a WireError. */
class Reader {
  private at = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder("utf-8", { fatal: false });

  constructor(private readonly buffer: ArrayBuffer) {
    this.view = new DataView(buffer);
  }

  private take(n: number): number {
    const at = this.at;
    if (at + n > this.buffer.byteLength) throw new WireError("a message ends early");
    this.at += n;
    return at;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }
  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }
  u64(): number {
    return u64(this.view, this.take(8));
  }
  big(): string {
    return this.view.getBigUint64(this.take(8), true).toString();
  }
  string(n: number): string {
    const at = this.take(n);
    return this.text.decode(new Uint8Array(this.buffer, at, n));
  }
  /** A count of entries of at least `size` bytes each: never more than the rest can hold. */
  count(n: number, size: number): number {
    if (n * size > this.buffer.byteLength - this.at) throw new WireError("a count beyond the message");
    return n;
  }
}

export function decodeMessage(buffer: ArrayBuffer): Message {
  const r = new Reader(buffer);
  const type = r.u8();
  switch (type) {
    case 1:
      return { type: "hello", epoch: r.big(), seq: r.u64(), version: r.u16() };
    case 2: {
      const seq = r.u64();
      const n = r.count(r.u32(), 9);
      const tiles = Array.from({ length: n }, () => ({ level: r.u8(), index: r.u64() }));
      return { type: "tiles", seq, tiles };
    }
    case 3: {
      const seq = r.u64();
      const n = r.count(r.u32(), 4);
      return { type: "nodes", seq, nodes: Array.from({ length: n }, () => r.u32()) };
    }
    case 4: {
      const dropped = r.u32();
      const n = r.count(r.u16(), 42);
      return { type: "activity", dropped, entries: Array.from({ length: n }, () => activity(r)) };
    }
    case 5: {
      const severity = r.u8();
      return { type: "notice", severity, text: r.string(r.u16()) };
    }
    case 6:
      return { type: "reset", epoch: r.big(), seq: r.u64() };
    default:
      throw new WireError(`a message of type ${type}`);
  }
}

function activity(r: Reader): Activity {
  const kind = KINDS[r.u8() - 1];
  if (!kind) throw new WireError("an unknown kind of activity");
  const node = r.u32();
  return {
    kind,
    node: node === 0xffffffff ? null : node,
    index: r.u64(),
    length: r.u64(),
    pid: r.u32(),
    uid: r.u32(),
    atMs: r.u64(),
    comm: r.string(r.u8()),
    exe: r.string(r.u16()),
    path: r.string(r.u16()),
  };
}

export interface Subscription {
  level: number;
  ranges: [number, number][];
}

export function encodeSubscribe(entries: Subscription[]): ArrayBuffer {
  const flat = entries.flatMap((e) => e.ranges.map(([a, b]) => ({ level: e.level, a, b })));
  const buffer = new ArrayBuffer(3 + flat.length * 17);
  const view = new DataView(buffer);
  view.setUint8(0, 1);
  view.setUint16(1, flat.length, true);
  flat.forEach(({ level, a, b }, i) => {
    const at = 3 + i * 17;
    view.setUint8(at, level);
    view.setBigUint64(at + 1, BigInt(a), true);
    view.setBigUint64(at + 9, BigInt(b), true);
  });
  return buffer;
}

export function encodeResume(epoch: string, seq: number): ArrayBuffer {
  const buffer = new ArrayBuffer(17);
  const view = new DataView(buffer);
  view.setUint8(0, 2);
  view.setBigUint64(1, BigInt(epoch), true);
  view.setBigUint64(9, BigInt(seq), true);
  return buffer;
}
