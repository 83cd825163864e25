// The order in which finds are shown.
//
// Knows: text. Must never know: where finds come from.

import type { Hit } from "./api.ts";
import { visibleName } from "./format.ts";

const KIND: Record<string, number> = { directory: 6, file: 6, process: 6, symbol: 4, fact: 2, note: 3, bytes: 1 };

/** What a find is called: what was found in it, or its own name. */
export function labelOf(hit: Hit): string {
  const inside = hit.kind === "symbol" || hit.kind === "fact" || hit.kind === "note" || hit.kind === "bytes";
  return visibleName(inside ? hit.text : (hit.path.split("/").pop() ?? hit.path));
}

/** Larger is better: names that are, begin with, or hold the word; short ones first. */
export function score(hit: Hit, query: string): number {
  const word = query.replace(/^[a-z-]+:\s*/i, "").replace(/^"|"$/g, "").toLowerCase();
  const name = word.includes("/") ? hit.path : hit.path.split("/").pop();
  const text = (hit.kind === "symbol" ? hit.text : (name ?? "")).toLowerCase();
  const fits = text === word ? 100 : text.startsWith(word) ? 60 : text.split(/[^a-z0-9]+/).some((part) => part === word) ? 45 : text.includes(word) ? 30 : 0;
  return fits + (KIND[hit.kind] ?? 0) - Math.min(text.length, 80) / 8 - hit.path.split("/").length / 4;
}

export function rank(hits: readonly Hit[], query: string): Hit[] {
  return hits
    .map((hit, i) => ({ hit, i, s: score(hit, query) }))
    .sort((a, b) => b.s - a.s || a.i - b.i)
    .map((e) => e.hit);
}
