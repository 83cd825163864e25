// Frame times and latencies, for tests and for those who look.
//
// Knows: numbers. Must never know: what is drawn.

import type { Activity } from "./wire.ts";

const KEEP = 600;

export class Stats {
  readonly frames: number[] = [];
  wanted = 0;
  ready = 0;
  /** The newest thing heard, and when. */
  heardAt: { path: string; at: number }[] = [];

  /** The page's own time for a frame, with everything that is drawn over the tiles. */
  frame(ms: number): void {
    this.frames.push(ms);
    if (this.frames.length > KEEP) this.frames.shift();
  }

  tiles(wanted: number, ready: number): void {
    this.wanted = wanted;
    this.ready = ready;
  }

  heard(entries: Activity[]): void {
    const at = performance.now();
    for (const e of entries) this.heardAt.push({ path: e.path, at });
    if (this.heardAt.length > KEEP) this.heardAt.splice(0, this.heardAt.length - KEEP);
  }

  /** Whether the last frames took longer than a slow screen's. */
  slow(): boolean {
    if (this.frames.length < 40) return false;
    const last = this.frames.slice(-40).sort((a, b) => a - b);
    return (last[20] ?? 0) > 26;
  }
}
