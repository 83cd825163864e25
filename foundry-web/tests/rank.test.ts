import { expect, it } from "vitest";
import type { Hit } from "../src/api.ts";
import { labelOf, rank } from "../src/rank.ts";

const hit = (path: string, kind = "file", text = path): Hit => ({ node: 1, path, kind, text, start: 0, end: 1, index: 0 });

it("what is named so comes before what only contains it", () => {
  const hits = [hit("/opt/share/gitignore.txt"), hit("/opt/bin/digit"), hit("/opt/bin/git"), hit("/opt/bin/git-shell")];
  expect(rank(hits, "git").map((h) => h.path)).toEqual(["/opt/bin/git", "/opt/bin/git-shell", "/opt/share/gitignore.txt", "/opt/bin/digit"]);
});

it("a symbol is ranked by its own name, and equals keep their order", () => {
  const hits = [hit("/a", "symbol", "domain"), hit("/a", "symbol", "main"), hit("/b", "symbol", "main")];
  expect(rank(hits, "sym: main").map((h) => h.path + h.text)).toEqual(["/amain", "/bmain", "/adomain"]);
});

it("a path is compared with paths", () => {
  const hits = [hit("/usr/lib/bin/git"), hit("/opt/usr/bin/git-shell"), hit("/usr/bin/git")];
  expect(rank(hits, "/usr/bin/git")[0]?.path).toBe("/usr/bin/git");
  expect(labelOf(hits[0]!)).toBe("git");
  expect(labelOf(hit("/a", "symbol", "ma\u202ein"))).toBe("ma\u27e8202e\u27e9in");
});
