// A process on the map: its pages, the same bytes in its file, and the way back.
//
// Knows: the page's elements, processes. Must never know: how memory is read.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { start } from "./daemon.mjs";
import { eventually, open, paint, settled } from "./page.mjs";

export function memoryTests(t) {
  return {
    async "a process has its place, its pages lead to the file, and the file back"() {
      const dir = realpathSync(mkdtempSync(path.join(tmpdir(), "foundry-memory-")));
      const program = path.join(dir, "tree", "sleeper");
      mkdirSync(path.dirname(program));
      copyFileSync("/bin/sleep", program);
      const [sleeper, other] = [600, 601].map((seconds) => spawn(program, [String(seconds)], { stdio: "ignore" }));
      await Promise.all([sleeper, other].map((child) => new Promise((done) => child.on("spawn", done))));
      const args = ["--watch", path.dirname(program), "--store", path.join(dir, "store"), "--listen", "127.0.0.1:0"];
      const watched = [sleeper, other].flatMap((child) => ["--watch-process", String(child.pid)]);
      let daemon = await start(t.program, [...args, ...watched], [/map: (http:\S+)/]);
      const { page, complaints } = await open(t.browser);
      const title = (text) => page.waitForFunction((name) => document.querySelector(".inspector h2")?.textContent === name, text);
      try {
        await page.goto(daemon.found[0]);
        const process = `pid:${sleeper.pid}`;
        await eventually(
          page,
          async (paths) => {
            const found = await Promise.all(paths.map(async (p) => (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json()));
            return found.every((chain) => chain.nodes?.at(-1).state === "folded");
          },
          [process, program],
        );
        await page.goto(`${new URL(daemon.found[0]).origin}/#path=${process}`);
        await page.reload();
        await title(`sleeper (${sleeper.pid})`);
        await settled(page);
        // Its states are colours: pages of a file are blue, and there are some of them.
        await paint(page, "pages");
        const blue = await page.evaluate(() => {
          const { data } = window.__brick.pixels();
          let n = 0;
          for (let i = 0; i < data.length; i += 4) if (data[i + 2] > 120 && data[i + 2] > data[i] * 1.6 && data[i + 1] > data[i]) n++;
          return n;
        });
        assert.ok(blue > 100, `${blue} pixels show pages of a file`);
        assert.match(await page.textContent(".legend"), /swapped/);
        // A page of its program, as the server knows it, by way of the file.
        const { id } = (await page.evaluate(async (p) => (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json(), program)).nodes.at(-1);
        const { mappers } = await page.evaluate(async (n) => (await fetch(`api/v1/artifacts/${n}/mapped?at=4096`)).json(), id);
        assert.deepEqual(mappers.map((m) => m.path).sort(), [process, `pid:${other.pid}`].sort());
        await page.evaluate((p) => (location.hash = `path=${encodeURIComponent(p)}`), program);
        await title("sleeper");
        await page.locator(".show-in-memory", { hasText: String(sleeper.pid) }).click();
        await title(`sleeper (${sleeper.pid})`);
        await page.waitForFunction(() => /sleeper/.test(document.querySelector(".memory dd")?.textContent ?? ""));
        await page.click(".show-in-file");
        await title("sleeper");
        await page.waitForSelector(".inspector .hex-row");
        assert.match(await page.textContent(".hex-row"), /7f454c46/i, "the first page of the program holds its first bytes");
        // When it ends, its place says so.
        const calledEnded = (p) => eventually(page, async (one) => / ended\)$/.test((await (await fetch(`api/v1/path?path=${one}`)).json()).nodes?.at(-1).label ?? ""), p);
        sleeper.kill();
        await calledEnded(process);
        // What is not there yet is asked for until it is.
        assert.deepEqual(complaints.filter((text) => !/404/.test(text)), []);
        // When it ends while nobody looks, its place says so afterwards.
        await eventually(page, async (p) => /^sleeper \(\d+\)$/.test((await (await fetch(`api/v1/path?path=${p}`)).json()).nodes?.at(-1).label ?? ""), `pid:${other.pid}`);
        await daemon.stop();
        other.kill();
        await new Promise((done) => (other.exitCode ?? other.signalCode ? done() : other.on("exit", done)));
        daemon = await start(t.program, args, [/map: (http:\S+)/]);
        await page.goto(daemon.found[0]);
        await calledEnded(`pid:${other.pid}`);
      } finally {
        sleeper.kill();
        other.kill();
        await page.close();
        await daemon.stop();
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}
