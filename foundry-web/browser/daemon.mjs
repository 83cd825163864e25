// A real daemon on a tree of its own, for the browser tests.
//
// Knows: processes and files. Must never know: the page.
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

/** Longer than anything here takes, on a busy machine, too. */
export const PATIENCE = 120_000;

export const HOSTILE = '<img src=x onerror="window.pwned=1">.txt';

/** Every byte value in runs, so that each class of bytes has its squares. */
export function pattern(size) {
  return Buffer.from(Array.from({ length: size }, (_, i) => (i >> 8) & 255));
}

export async function startDaemon(program) {
  const dir = mkdtempSync(path.join(tmpdir(), "foundry-map-"));
  const tree = path.join(dir, "tree");
  mkdirSync(path.join(tree, "sub"), { recursive: true });
  writeFileSync(path.join(tree, "pattern.bin"), pattern(65_536));
  writeFileSync(path.join(tree, "sub", HOSTILE), "hostile names are only names\n".repeat(300));
  for (let i = 0; i < 40; i++) writeFileSync(path.join(tree, "sub", `file-${i}`), `${i} `.repeat(200 * i + 1));
  const child = spawn(program, ["--watch", tree, "--store", path.join(dir, "store"), "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  const said = [];
  const link = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the daemon printed no link:\n${said.join("\n")}`)), PATIENCE);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        said.push(line);
        const found = /map: (http:\S+)/.exec(line);
        if (found) {
          clearTimeout(timer);
          resolve(found[1]);
        }
      });
    }
    child.on("exit", (code) => reject(new Error(`the daemon ended with ${code}:\n${said.join("\n")}`)));
  });
  const stop = () =>
    new Promise((done) => {
      child.removeAllListeners("exit");
      child.on("exit", () => {
        rmSync(dir, { recursive: true, force: true });
        done();
      });
      child.kill("SIGINT");
    });
  return { link, tree, said, stop };
}
