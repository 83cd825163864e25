import { expect, it } from "vitest";
import { PAGE_STATES } from "../src/palettes.ts";
import { pageState } from "../src/raster.ts";

it("every state of a page is one that the palette names, and what is no page is none", () => {
  const named = (bits: number): string => PAGE_STATES[pageState(bits)] as string;
  expect(named(0)).toBe("no memory");
  expect(named(1)).toBe("no memory");
  expect(named(128)).toBe("not resident");
  expect(named(128 + 1 + 4)).toBe("file");
  expect(named(128 + 1 + 4 + 8)).toBe("file, dirty");
  expect(named(128 + 1)).toBe("anonymous");
  expect(named(128 + 1 + 8)).toBe("anonymous, dirty");
  expect(named(128 + 2)).toBe("swapped");
  expect(named(128 + 1 + 64)).toBe("zeros");
  expect(named(128 + 1 + 32)).toBe("huge");
  for (let bits = 0; bits < 256; bits++) expect(PAGE_STATES[pageState(bits)]).toBeDefined();
});
