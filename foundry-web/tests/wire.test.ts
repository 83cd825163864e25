import { describe, expect, it } from "vitest";
import { blake3 } from "../src/blake3.ts";
import { decodeMessage, decodeTile, encodeResume, encodeSubscribe, WireError } from "../src/wire.ts";
import { ageToHeat, leafEntropy, rasterize } from "../src/raster.ts";
import { tileTable } from "../src/curve.ts";

function tile(channels: number, spans: [number, number][], fill: (i: number) => number, flags = 0): ArrayBuffer {
  const n = 65536;
  const buffer = new ArrayBuffer(32 + n * channels + spans.length * 12);
  const view = new DataView(buffer);
  view.setUint32(0, 0x4654494c, false);
  view.setUint8(4, 1);
  view.setUint8(5, 3);
  view.setUint8(6, channels);
  view.setUint8(7, flags);
  view.setBigUint64(8, 5n, true);
  view.setBigUint64(16, 99n, true);
  view.setUint32(24, spans.length, true);
  view.setUint32(28, n, true);
  const cells = new Uint8Array(buffer, 32, n * channels);
  for (let i = 0; i < cells.length; i++) cells[i] = fill(i);
  spans.forEach(([end, kind], i) => {
    view.setUint32(32 + n * channels + i * 12, end, true);
    view.setUint8(32 + n * channels + i * 12 + 4, kind);
  });
  return buffer;
}

describe("tiles", () => {
  it("are read as written", () => {
    const t = decodeTile(tile(1, [[100, 3], [65536, 1]], (i) => i & 255));
    expect(t).toMatchObject({ level: 3, index: 5, seq: 99, channels: 1, empty: false });
    expect(t.cells[300]).toBe(44);
    expect(t.spans.map((s) => s.end)).toEqual([100, 65536]);
  });

  it("cut or changed anywhere are refused or read, never worse", () => {
    const good = new Uint8Array(tile(1, [[100, 3], [65536, 1]], () => 0));
    for (const n of [0, 3, 31, 32, 33, good.length - 1, good.length + 1]) {
      const cut = new Uint8Array(n);
      cut.set(good.subarray(0, n));
      expect(() => decodeTile(cut.buffer)).toThrow(WireError);
    }
    for (let at = 0; at < 32; at++) {
      const bad = good.slice();
      bad[at] = 255;
      try {
        decodeTile(bad.buffer);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }
  });

  it("that hash to something else are refused", () => {
    const plain = new Uint8Array(tile(1, [[65536, 2]], (i) => i & 255, 8));
    const whole = new Uint8Array(plain.length + 32);
    whole.set(plain);
    whole.set(blake3(plain), plain.length);
    expect(decodeTile(whole.buffer).cells[300]).toBe(44);
    for (const at of [33, 60000, plain.length - 1, whole.length - 1]) {
      const bad = whole.slice();
      bad[at] = (bad[at] as number) ^ 1;
      expect(() => decodeTile(bad.buffer)).toThrow(/hash/);
    }
  });

  it("unfold to the place of each cell, with its span", () => {
    const t = decodeTile(tile(4, [[4096, 3], [65536, 2]], (i) => (i >> 2) & 255));
    const table = tileTable("hilbert", t.level, t.index);
    const r = rasterize(t, table, 0, null);
    for (const i of [0, 1, 4095, 4096, 65535]) {
      const p = table[i] as number;
      expect(r.cells[p * 4]).toBe(i & 255);
      expect(r.marks[p * 4]).toBe(i < 4096 ? 3 : 2);
    }
    expect(r.changed.length).toBe(0);
  });

  it("mark exactly the cells that changed", () => {
    const before = decodeTile(tile(1, [[65536, 2]], () => 7));
    const after = decodeTile(tile(1, [[65536, 2]], (i) => (i === 1234 ? 8 : 7)));
    const table = tileTable("hilbert", 3, 5);
    const r = rasterize(after, table, 0, before.cells);
    expect(r.changed.reduce((n, v) => n + (v ? 1 : 0), 0)).toBe(1);
    expect(r.changed[table[1234] as number]).toBe(255);
    expect(r.marks.length).toBe(4);
  });
});

it("entropy of a leaf runs from 0 to 255", () => {
  const counts = new Uint8Array(256);
  expect(leafEntropy(new Uint8Array(64), 0, counts)).toBe(0);
  expect(leafEntropy(Uint8Array.from({ length: 64 }, (_, i) => i), 0, counts)).toBe(255);
  expect(leafEntropy(Uint8Array.from({ length: 64 }, (_, i) => i & 1), 0, counts)).toBe(43);
});

it("heat falls with age", () => {
  const ages = [0, 10, 3600, 86400, 1e9];
  const heats = ages.map(ageToHeat);
  expect(heats).toEqual([...heats].sort((a, b) => b - a));
  expect(heats[0]).toBe(255);
  expect(heats[4]).toBe(0);
});

describe("live messages", () => {
  it("tiles and nodes", () => {
    const b = new ArrayBuffer(13 + 9);
    const v = new DataView(b);
    v.setUint8(0, 2);
    v.setBigUint64(1, 41n, true);
    v.setUint32(9, 1, true);
    v.setUint8(13, 8);
    v.setBigUint64(14, 77n, true);
    expect(decodeMessage(b)).toEqual({ type: "tiles", seq: 41, tiles: [{ level: 8, index: 77 }] });
  });

  it("a count beyond the message allocates nothing", () => {
    const b = new ArrayBuffer(13);
    const v = new DataView(b);
    v.setUint8(0, 2);
    v.setUint32(9, 0xffffffff, true);
    expect(() => decodeMessage(b)).toThrow(WireError);
    expect(() => decodeMessage(new ArrayBuffer(0))).toThrow(WireError);
    expect(() => decodeMessage(Uint8Array.of(200).buffer)).toThrow(WireError);
  });

  it("subscriptions and resumes have the bytes of API.md", () => {
    const s = new Uint8Array(encodeSubscribe([{ level: 3, ranges: [[1, 4], [9, 10]] }]));
    expect(s.length).toBe(3 + 2 * 17);
    expect([s[0], s[1], s[3], s[4], s[12]]).toEqual([1, 2, 3, 1, 4]);
    const r = new DataView(encodeResume("18446744073709551615", 258));
    expect(r.getBigUint64(1, true)).toBe(2n ** 64n - 1n);
    expect(r.getBigUint64(9, true)).toBe(258n);
  });
});
