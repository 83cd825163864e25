import { expect, it } from "vitest";
import { formatAge, formatBytes, formatMode, hexRows, visibleName } from "../src/format.ts";
import { DEFAULT_STATE, formatState, parseState } from "../src/url.ts";

it("a view goes into the address and back", () => {
  const state = {
    camera: { x: 123456.25, y: 7.5, scale: 0.125 },
    palette: "entropy",
    layout: "z-order" as const,
    path: "/opt/a b&c=<x>",
    generation: 12,
    theme: "light" as const,
  };
  const again = parseState(`#${formatState(state)}`, ["class", "entropy"]);
  expect(again).toEqual({ ...state, camera: { x: expect.closeTo(123456.25, 0), y: expect.closeTo(7.5, 0), scale: 0.125 } });
});

it("any address gives a state", () => {
  for (const text of ["", "#", "#at=1,2", "#at=a,b,c", "#at=1,2,-3", "#colour=none&curve=peano&g=x&theme=pink", "#at=1e999,0,1"]) {
    expect(parseState(text, ["class"])).toEqual(DEFAULT_STATE);
  }
});

it("bytes in rows, at their offsets", () => {
  const rows = hexRows(Uint8Array.from({ length: 20 }, (_, i) => 0x41 + i), 10);
  expect(rows.map((r) => r.offset)).toEqual([0, 16]);
  expect(rows[0]!.hex.slice(0, 11)).toEqual([...Array<string>(10).fill("  "), "41"]);
  expect(rows[1]!.text).toBe("GHIJKLMNOPQRST");
  expect(hexRows(new Uint8Array(20), 10, 8).map((r) => [r.offset, r.hex.length])).toEqual([[8, 8], [16, 8], [24, 6]]);
});

it("numbers read well", () => {
  expect(["0 B", "1023 B", "1.00 KiB", "10.0 GiB"]).toEqual([0, 1023, 1024, 10 * 2 ** 30].map(formatBytes));
  expect(formatAge(0.2)).toBe("now");
  expect(formatAge(7200)).toBe("2 h ago");
  expect(formatMode(0o754)).toBe("rwxr-xr--");
});

it("names cannot hide what they are", () => {
  expect(visibleName("a\u202eb\n")).toBe("a\u27e8202e\u27e9b\u27e8a\u27e9");
  expect(visibleName("<img onerror=x>")).toBe("<img onerror=x>");
});
