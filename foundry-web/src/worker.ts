// Fetches tiles, decodes and unfolds them, away from the thread that draws.
//
// Knows: addresses of tiles. Must never know: the camera, the GPU.
// Keeps: a cancelled request answers nothing; what was fetched is compared with what it replaces.

import { type Layout, tileTable } from "./curve.ts";
import { rasterize } from "./raster.ts";
import { WireError, decodeTile } from "./wire.ts";

export type ToWorker =
  | { kind: "load"; id: number; url: string; level: number; index: number; layout: Layout; compare: boolean; etag: string | null; fresh: boolean }
  | { kind: "cancel"; id: number }
  | { kind: "forget" };

export type FromWorker =
  | {
      kind: "loaded";
      id: number;
      channels: 0 | 1 | 4;
      summary: boolean;
      differs: boolean;
      seq: number;
      etag: string | null;
      cells: Uint8Array<ArrayBuffer>;
      marks: Uint8Array<ArrayBuffer>;
      changed: Uint8Array<ArrayBuffer>;
      bytes: Uint8Array<ArrayBuffer>;
      ms: number;
    }
  | { kind: "same"; id: number; ms: number }
  | { kind: "failed"; id: number; why: string; final: boolean };

/** Cells of tiles that may be replaced, newest last; bounded. */
const known = new Map<string, Uint8Array<ArrayBuffer>>();
const MOST_KNOWN = 160;
const running = new Map<number, AbortController>();

const scope = self as unknown as { postMessage(m: FromWorker, t: Transferable[]): void; onmessage: ((e: MessageEvent<ToWorker>) => void) | null };

scope.onmessage = (event): void => {
  const message = event.data;
  if (message.kind === "cancel") running.get(message.id)?.abort();
  else if (message.kind === "forget") known.clear();
  else void load(message);
};

async function load(m: Extract<ToWorker, { kind: "load" }>): Promise<void> {
  const abort = new AbortController();
  running.set(m.id, abort);
  const begun = performance.now();
  try {
    const key = `${m.level}/${m.index}`;
    // What the page has, the server sends only where it is another by now.
    const headers: Record<string, string> = m.etag ? { "If-None-Match": m.etag } : {};
    const response = await fetch(m.url, { signal: abort.signal, cache: m.fresh ? "no-cache" : "default", credentials: "same-origin", headers });
    if (response.status === 304) return scope.postMessage({ kind: "same", id: m.id, ms: performance.now() - begun }, []);
    if (response.status === 404) return answerNothing(m, begun);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const tile = decodeTile(await response.arrayBuffer());
    if (tile.level !== m.level || tile.index !== m.index) throw new WireError("another tile came than was asked for");
    const raster = rasterize(tile, tileTable(m.layout, m.level, m.index), Date.now() / 1000, m.compare ? (known.get(key) ?? null) : null);
    known.delete(key);
    // At level 0 the page shows bytes as text: it gets them in curve order.
    const cells = tile.cells.slice();
    known.set(key, cells);
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value as string);
    const bytes = m.level === 0 && tile.channels === 1 ? tile.cells.slice() : new Uint8Array(0);
    scope.postMessage(
      {
        kind: "loaded",
        id: m.id,
        channels: tile.empty ? 0 : tile.channels,
        summary: tile.summary,
        differs: tile.differs,
        seq: tile.seq,
        etag: response.headers.get("ETag"),
        ...raster,
        bytes,
        ms: performance.now() - begun,
      },
      [raster.cells.buffer, raster.marks.buffer, raster.changed.buffer, bytes.buffer].filter((b) => b.byteLength > 0),
    );
  } catch (error) {
    if (abort.signal.aborted) return;
    const why = error instanceof Error ? error.message : String(error);
    scope.postMessage({ kind: "failed", id: m.id, why, final: error instanceof WireError }, []);
  } finally {
    running.delete(m.id);
  }
}

/** A folder of plain files has no file for a tile that is void. */
function answerNothing(m: Extract<ToWorker, { kind: "load" }>, begun: number): void {
  const none = (): Uint8Array<ArrayBuffer> => new Uint8Array(0);
  scope.postMessage(
    { kind: "loaded", id: m.id, channels: 0, summary: false, differs: false, seq: 0, etag: null, cells: none(), marks: new Uint8Array(4), changed: none(), bytes: none(), ms: performance.now() - begun },
    [],
  );
}
