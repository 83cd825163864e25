import { beforeAll, expect, it, vi } from "vitest";
import { TileStore } from "../src/tiles.ts";
import type { FromWorker, ToWorker } from "../src/worker.ts";

beforeAll(() => {
  vi.stubGlobal("document", { baseURI: "http://localhost/" });
});

const VIEW = { w: 256, h: 256 };
const HERE = { x: 128, y: 128, scale: 1 };
const AWAY = { x: 1e6, y: 1e6, scale: 1 };

function store(): { tiles: TileStore; said: ToWorker[]; answer: (id: number, at?: number) => void } {
  const said: ToWorker[] = [];
  const tiles = new TileStore((m) => said.push(m));
  [tiles.end, tiles.top] = [65536 * 64, 3];
  const none = (): Uint8Array<ArrayBuffer> => new Uint8Array(0);
  const answer = (id: number, at = 0): void => tiles.receive({ kind: "loaded", id, channels: 1, summary: false, differs: false, seq: 1, etag: null, cells: none(), marks: new Uint8Array(4), changed: none(), bytes: none(), ms: 1 } satisfies FromWorker, at);
  return { tiles, said, answer };
}

const loads = (said: ToWorker[]): number[] => said.filter((m) => m.kind === "load" && m.level === 0 && m.index === 0).map((m) => (m.kind === "load" ? m.id : 0));

it("a replacement that is under way is not given up while its tile is looked at", () => {
  const { tiles, said, answer } = store();
  tiles.update(HERE, VIEW, 0);
  answer(loads(said)[0] as number);
  tiles.markStale(0, 0);
  for (let frame = 1; frame < 5; frame++) tiles.update(HERE, VIEW, frame);
  const [, second] = loads(said);
  expect(loads(said).length).toBe(2);
  expect(said.filter((m) => m.kind === "cancel" && m.id === second)).toEqual([]);
  // What changes meanwhile is asked for once more.
  tiles.markStale(0, 0);
  answer(second as number);
  tiles.update(HERE, VIEW, 9);
  expect(loads(said).length).toBe(3);
});

it("a replacement that was given up is asked for when its tile is looked at again", () => {
  const { tiles, said, answer } = store();
  tiles.update(HERE, VIEW, 0);
  answer(loads(said)[0] as number);
  tiles.markStale(0, 0);
  tiles.update(HERE, VIEW, 1);
  tiles.update(AWAY, VIEW, 2);
  expect(said.some((m) => m.kind === "cancel")).toBe(true);
  tiles.update(HERE, VIEW, 3);
  expect(loads(said).length).toBe(3);
});

it("what the page has it names, and keeps where the server says that it is the same", () => {
  const { tiles, said, answer } = store();
  tiles.update(HERE, VIEW, 0);
  answer(loads(said)[0] as number);
  const tile = tiles.tiles.get("0/0");
  if (tile?.data) tile.data.etag = 'W/"abc"';
  // As after a connection that was lost: everything may be another.
  tiles.markAllStale();
  tiles.update(HERE, VIEW, 1);
  expect(said.some((m) => m.kind === "load" && m.etag === 'W/"abc"')).toBe(true);
  const { version } = tile as { version: number };
  const asked = said.find((m) => m.kind === "load" && m.etag !== null);
  tiles.receive({ kind: "same", id: asked?.kind === "load" ? asked.id : 0, ms: 1 }, 2);
  expect([tile?.version, tile?.stale, tile?.request, tiles.unchanged]).toEqual([version, false, null, 1]);
});

it("what is only held ready is asked for again after what is looked at, and not with every change", () => {
  const { tiles, said, answer } = store();
  const tops = (): number[] => said.filter((m) => m.kind === "load" && m.level === 3).map((m) => (m.kind === "load" ? m.id : 0));
  tiles.update(HERE, VIEW, 10);
  answer(tops()[0] as number);
  // While what is looked at is awaited, later than else.
  tiles.markStale(3, 0);
  expect(tiles.update(HERE, VIEW, 20).later).toBe(4010);
  for (let round = 0; round < 5; round++) {
    for (const m of said) if (m.kind === "load") answer(m.id);
    tiles.update(HERE, VIEW, 20);
  }
  for (let at = 20; at < 60; at++) {
    tiles.markStale(3, 0);
    expect(tiles.update(HERE, VIEW, at).later).toBe(1010);
  }
  expect(tops().length).toBe(1);
  expect(tiles.update(HERE, VIEW, 1010).later).toBe(Infinity);
  expect(tops().length).toBe(2);
  // What comes again and again puts it off, but not for ever.
  answer(tops()[1] as number, 1020);
  for (let at = 1100; at < 5000; at += 100) {
    tiles.markStale(0, 0);
    tiles.markStale(3, 0);
    tiles.update(HERE, VIEW, at);
    answer(loads(said).at(-1) as number, at);
    expect(tiles.update(HERE, VIEW, at).later).toBe(Math.min(5010, at + 1000));
  }
  expect(tops().length).toBe(2);
  tiles.update(HERE, VIEW, 5010);
  expect(tops().length).toBe(3);
});

it("what nobody tells of any more is asked about when it is looked at again", () => {
  const { tiles, said, answer } = store();
  tiles.update(HERE, VIEW, 0);
  answer(loads(said)[0] as number);
  tiles.leave([{ level: 0, ranges: [[0, 1]] }]);
  tiles.update(HERE, VIEW, 1);
  expect(loads(said).length).toBe(1);
  tiles.leave([{ level: 0, ranges: [[1, 9]] }, { level: 1, ranges: [[0, 1]] }]);
  tiles.update(AWAY, VIEW, 2);
  expect(loads(said).length).toBe(1);
  tiles.update(HERE, VIEW, 3);
  expect(loads(said).length).toBe(2);
});
