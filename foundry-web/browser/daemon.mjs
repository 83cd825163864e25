// A real daemon on a tree of its own, for the browser tests.
//
// Knows: processes and files. Must never know: the page.
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

/** Longer than anything here takes, on a busy machine, too. */
export const PATIENCE = 60_000;

export const HOSTILE = '<img src=x onerror="window.pwned=1">.txt';

/** Every byte value, in an order in which no two neighbours are alike. */
export function pattern(size) {
  return Buffer.from(Array.from({ length: size }, (_, i) => (i * 167 + (i >> 8) * 13) & 255));
}

/** How many files the tree has. */
export const FILES = 42;

export function makeTree() {
  const dir = mkdtempSync(path.join(tmpdir(), "foundry-map-"));
  const tree = path.join(dir, "tree");
  mkdirSync(path.join(tree, "sub"), { recursive: true });
  // It is there before the daemon is, as that project's is: the sandbox lets in what exists.
  mkdirSync(path.join(dir, "builder"));
  writeFileSync(path.join(tree, "pattern.bin"), pattern(65_536));
  writeFileSync(path.join(tree, "sub", HOSTILE), "hostile names are only names\n".repeat(300));
  for (let i = 0; i < FILES - 2; i++) writeFileSync(path.join(tree, "sub", `file-${i}`), `${i} `.repeat(200 * i + 1));
  return { dir, tree, store: path.join(dir, "store"), builder: path.join(dir, "builder"), remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** Starts a program, as `who`, and waits for lines that it prints; the first group of each pattern is given. */
export async function start(program, args, patterns, who = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...who });
  const said = [];
  const found = patterns.map(() => null);
  await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${program} ${why}:\n${said.join("\n")}`));
    const timer = setTimeout(() => fail("said nothing of what was expected"), PATIENCE);
    child.on("error", reject);
    child.on("exit", (code) => fail(`ended with ${code}`));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        said.push(line);
        patterns.forEach((one, i) => (found[i] ??= one.exec(line)?.[1] ?? null));
        if (found.includes(null)) return;
        clearTimeout(timer);
        resolve();
      });
    }
  });
  const stop = () =>
    new Promise((done) => {
      child.removeAllListeners("exit");
      if (child.exitCode !== null || child.signalCode !== null) return done();
      child.on("exit", done);
      child.kill("SIGINT");
    });
  return { found, said, stop };
}

/** The daemon on a tree, at a port of its own or at the one it had before. */
export async function startDaemon(program, place, port = 0) {
  const args = ["--watch", place.tree, "--store", place.store, "--listen", `127.0.0.1:${port}`, "--geometry-os", place.builder, "--geometry-os-listen", "127.0.0.1:0"];
  const { found, said, stop } = await start(program, args, [/map: (http:\S+)/, /(ws:\/\/\S+)/]);
  return { link: found[0], news: found[1], port: new URL(found[0]).port, key: new URL(found[0]).searchParams.get("key"), said, stop };
}
