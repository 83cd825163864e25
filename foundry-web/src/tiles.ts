// Which tiles are here, asked for, or to be shown.
//
// Knows: levels, indices, the worker. Must never know: colours, panels.
// Keeps: something is always shown where something was: a tile until its replacement is here, an
// ancestor until its children are; what left the screen is cancelled; a failed tile is tried again.

import { type Camera, type TileKey, type View, levelFor, visibleTiles } from "./camera.ts";
import { type Layout, tileToPoint } from "./curve.ts";
import type { FromWorker, ToWorker } from "./worker.ts";

export interface Tile extends TileKey {
  key: string;
  /** Undefined until it is here. */
  data?: Extract<FromWorker, { kind: "loaded" }>;
  /** Grows with every replacement: the renderer uploads when it differs. */
  version: number;
  arrivedAt: number;
  changedAt: number;
  request: number | null;
  /** What is here is not the newest. */
  stale: boolean;
  failures: number;
  retryAt: number;
  problem: string | null;
  usedAt: number;
  askedAt: number;
}

const MOST_TILES = 320;
const MOST_REQUESTS = 12;
/** How long a tile takes to come into sight; what is behind it is shown until then. */
export const FADE_IN_MS = 180;
/** Between two looks at what is only held ready, and after anything else came. */
const LAZY_MS = 1000;
/** As long as something that is looked at is awaited, or comes again and again. */
const BUSY_LAZY_MS = 4000;

/** Whether the newest is not here; what is under way is not here yet. */
function lacks(tile: Tile): boolean {
  return !tile.data || tile.stale || tile.request !== null;
}

export class TileStore {
  readonly tiles = new Map<string, Tile>();
  private readonly byRequest = new Map<number, Tile>();
  private nextRequest = 1;
  epoch = "0";
  seq = 0;
  end = 0;
  top = 0;
  layout: Layout = "hilbert";
  live = true;
  fadeMs = FADE_IN_MS;
  /** `node:generation` of the artifact that is shown as it was. */
  back: string | null = null;
  loaded = 0;
  /** Answers that said that a tile is what it was. */
  unchanged = 0;
  latencies: number[] = [];
  /** When a tile came that was missing or another, except the one that is only held ready. */
  private broughtAt = -Infinity;
  /** Bytes came that may stand written on the map; whoever writes them there clears it. */
  bytesCame = false;
  /** Something else than before is to be shown; whoever shows it clears it. */
  came = false;
  onChange: () => void = () => {};
  onProblem: (why: string, final: boolean) => void = () => {};

  constructor(private readonly post: (m: ToWorker) => void) {}

  private url(tile: TileKey): string {
    // The worker's own address is another folder's.
    const path = new URL(`api/v1/tiles/${tile.level}/${tile.index}`, document.baseURI).href;
    if (!this.live) return path;
    const at = this.back ? `&at=${this.back}` : "";
    return `${path}?epoch=${this.epoch}&seq=${this.seq}${at}`;
  }

  private get(level: number, index: number): Tile {
    const key = `${level}/${index}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      const at = tileToPoint(this.layout, level, index);
      tile = { key, level, index, tx: at.x, ty: at.y, version: 0, arrivedAt: 0, changedAt: 0, request: null, stale: false, failures: 0, retryAt: 0, problem: null, usedAt: 0, askedAt: 0 };
      this.tiles.set(key, tile);
    }
    return tile;
  }

  /** The tile that shows everything, where it is known. */
  topTile(): Tile | undefined {
    return this.tiles.get(`${this.top}/0`);
  }

  /**
   * Chooses what is shown and asks for what is missing. Returns coarse tiles first, and when it is to be
   * called again though nothing changed.
   */
  update(camera: Camera, view: View, now: number): { show: Tile[]; wanted: Tile[]; level: number; later: number } {
    if (this.end === 0) return { show: [], wanted: [], level: 0, later: Infinity };
    const level = levelFor(camera.scale, this.top);
    const wanted = visibleTiles(this.layout, camera, view, level, this.end).map((k) => this.get(k.level, k.index));
    // The top is always kept: it is the last resort of every place.
    const topTile = this.get(this.top, 0);
    const show = new Map<string, Tile>();
    const asked: Tile[] = [];
    for (const tile of wanted) {
      tile.usedAt = now;
      if (lacks(tile)) asked.push(tile);
      if (tile.data) show.set(tile.key, tile);
      // While it fades in, or where it is missing, what is behind it is shown.
      if (!tile.data || now - tile.arrivedAt < this.fadeMs) this.standIns(tile, show, now);
    }
    topTile.usedAt = now;
    let later = Infinity;
    if (lacks(topTile) && !wanted.includes(topTile)) {
      // What is looked at goes first: nobody waits for the newest of what is only held ready.
      const held = topTile.data !== undefined && topTile.request === null;
      const calm = asked.length > 0 ? Infinity : Math.max(topTile.askedAt, this.broughtAt) + LAZY_MS;
      const due = held ? Math.min(topTile.askedAt + BUSY_LAZY_MS, calm) : 0;
      if (due <= now) asked.push(topTile);
      else later = due;
    }
    const near = visibleTiles(this.layout, camera, view, Math.min(level + 2, this.top), this.end).map((k) => this.get(k.level, k.index));
    for (const tile of near) {
      tile.usedAt = now;
      if (!tile.data) asked.push(tile);
    }
    this.request(asked, now);
    this.forgetOld();
    const list = [...show.values()].sort((a, b) => b.level - a.level);
    return { show: list, wanted, level, later };
  }

  private standIns(tile: Tile, show: Map<string, Tile>, now: number): void {
    let covered = 0;
    if (tile.level > 0) {
      for (let quarter = 0; quarter < 4; quarter++) {
        const child = this.tiles.get(`${tile.level - 1}/${tile.index * 4 + quarter}`);
        if (child?.data) {
          child.usedAt = now;
          show.set(child.key, child);
          covered++;
        }
      }
    }
    if (covered === 4) return;
    let index = tile.index;
    for (let level = tile.level + 1; level <= this.top; level++) {
      index = Math.floor(index / 4);
      const ancestor = this.tiles.get(`${level}/${index}`);
      if (ancestor?.data) {
        ancestor.usedAt = now;
        show.set(ancestor.key, ancestor);
        return;
      }
    }
  }

  private request(asked: Tile[], now: number): void {
    const wanted = new Set(asked);
    for (const [id, tile] of this.byRequest) {
      if (!wanted.has(tile)) {
        this.post({ kind: "cancel", id });
        this.byRequest.delete(id);
        tile.request = null;
        // It was asked for because it is not the newest: that stays so.
        tile.stale = tile.data !== undefined;
      }
    }
    for (const tile of asked) {
      if (this.byRequest.size >= MOST_REQUESTS) break;
      if (tile.request !== null || now < tile.retryAt) continue;
      tile.request = this.nextRequest++;
      this.byRequest.set(tile.request, tile);
      tile.askedAt = now;
      // What changes while this is under way makes it stale again.
      tile.stale = false;
      this.post({ kind: "load", id: tile.request, url: this.url(tile), level: tile.level, index: tile.index, layout: this.layout, compare: tile.data !== undefined, etag: tile.data?.etag ?? null, fresh: tile.failures > 0 });
    }
  }

  receive(m: FromWorker, now: number): void {
    const tile = this.byRequest.get(m.id);
    if (!tile) return;
    this.byRequest.delete(m.id);
    tile.request = null;
    if (m.kind === "failed") {
      tile.failures++;
      tile.problem = m.why;
      // What is not a tile will not become one soon; what did not come may come in a moment.
      tile.retryAt = now + Math.min(m.final ? 30000 : 8000, 250 * 2 ** tile.failures);
      if (tile.data) tile.stale = true;
      this.onProblem(m.why, m.final);
    } else if (m.kind === "same") {
      tile.failures = 0;
      tile.problem = null;
      this.unchanged++;
    } else {
      if (!tile.data) tile.arrivedAt = now;
      if (m.changed.length > 0) tile.changedAt = now;
      tile.data = m;
      tile.version++;
      this.bytesCame ||= m.bytes.length > 0;
      this.came = true;
      if (tile !== this.topTile()) this.broughtAt = now;
      tile.failures = 0;
      tile.problem = null;
      this.loaded++;
      this.latencies.push(m.ms);
      if (this.latencies.length > 500) this.latencies.shift();
    }
    this.onChange();
  }

  /** A tile is not what it was; it is asked for again when it is looked at. */
  markStale(level: number, index: number): void {
    const tile = this.tiles.get(`${level}/${index}`);
    if (tile) tile.stale = true;
    this.onChange();
  }

  /**
   * Nobody tells any more of changes in tiles beyond these: what is kept of them is asked about when it
   * is looked at again, which costs little where it is the same.
   */
  leave(watched: { level: number; ranges: [number, number][] }[]): void {
    const isWatched = (tile: Tile): boolean => watched.some((w) => w.level === tile.level && w.ranges.some(([from, to]) => from <= tile.index && tile.index < to));
    for (const tile of this.tiles.values()) if (!isWatched(tile)) tile.stale = tile.data !== undefined;
  }

  markAllStale(): void {
    for (const tile of this.tiles.values()) tile.stale = true;
    this.onChange();
  }

  /** Everything is different: another curve, another epoch. */
  clear(): void {
    for (const id of this.byRequest.keys()) this.post({ kind: "cancel", id });
    this.byRequest.clear();
    this.tiles.clear();
    this.post({ kind: "forget" });
    this.onChange();
  }

  pending(): number {
    return this.byRequest.size;
  }

  private forgetOld(): void {
    if (this.tiles.size <= MOST_TILES) return;
    const old = [...this.tiles.values()].filter((t) => t.request === null).sort((a, b) => a.usedAt - b.usedAt);
    for (const tile of old.slice(0, this.tiles.size - MOST_TILES)) this.tiles.delete(tile.key);
  }

  /** The byte at an index of the world, where its tile is here. */
  byteAt(index: number): number | null {
    const tile = this.tiles.get(`0/${Math.floor(index / 65536)}`);
    return tile?.data?.bytes[index % 65536] ?? null;
  }
}
