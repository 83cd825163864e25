// A thousand tiles a second change, and the map stays smooth.
//
// Knows: the page's figures, files. Must never know: how tiles are made.
// Keeps: what is asserted is the page's own time for a frame; how fast a machine without a GPU rasters,
// and how busy it is, is printed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, realpathSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pattern, start } from "./daemon.mjs";
import { aimAt, eventually, lookAt, open, quantiles, settled } from "./page.mjs";

const TILE = 65_536;
const TILES = 1024;
/** Changed tiles in a second. */
const RATE = 1000;
const MEASURE_MS = 4000;
/** What a frame of 60 in a second may take of the page's own time. */
const FRAME_MS = 1000 / 60;

/** Changes one byte in each of `RATE` tiles a second, chosen at random, until it is told to stop. */
function flood(file, seed) {
  const fd = openSync(file, "r+");
  let state = seed;
  let [changed, over] = [0, false];
  const begun = Date.now();
  const done = (async () => {
    while (!over) {
      const due = ((Date.now() - begun) * RATE) / 1000;
      for (; changed < due; changed++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        writeSync(fd, Buffer.from([state & 255]), 0, 1, (state >>> 8) % (TILES * TILE));
      }
      await new Promise((next) => setTimeout(next, 5));
    }
    closeSync(fd);
  })();
  return async () => {
    over = true;
    await done;
    return (changed * 1000) / (Date.now() - begun);
  };
}

/** What the page did while `what` went on: its own time for each frame, and how far apart they came. */
async function measured(page, what) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  /** What the page's thread has used of a processor, which is not what it waited for one. */
  const cpu = async () => (await cdp.send("Performance.getMetrics")).metrics.find((m) => m.name === "ThreadTime").value * 1000;
  const before = await page.evaluate(() => {
    window.gaps = [];
    let last = performance.now();
    const tick = (now) => {
      window.gaps?.push(now - last);
      last = now;
      if (window.gaps) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    window.__brick.forgetFrames();
    return window.__brick.tiles().loaded;
  });
  const [from, at] = [await cpu(), Date.now()];
  await what();
  const [spent, took] = [(await cpu()) - from, Date.now() - at];
  const seen = await page.evaluate(() => {
    const gaps = window.gaps;
    window.gaps = null;
    return { gaps, frames: window.__brick.frames(), loaded: window.__brick.tiles().loaded };
  });
  await cdp.detach();
  return { ...seen, loaded: ((seen.loaded - before) * 1000) / took, cpu: spent / seen.frames.length };
}

export function floodTests(t) {
  return {
    async "a thousand tiles a second change, and frames stay short"() {
      const dir = realpathSync(mkdtempSync(path.join(tmpdir(), "foundry-flood-")));
      const file = path.join(dir, "tree", "flooded");
      mkdirSync(path.dirname(file));
      writeFileSync(file, Buffer.concat(Array(64).fill(pattern(16 * TILE))));
      const store = path.join(dir, "store");
      const daemon = await start(t.program, ["--watch", path.dirname(file), "--store", store, "--listen", "127.0.0.1:0"], [/map: (http:\S+)/]);
      const { page, complaints } = await open(t.browser);
      let stop = async () => 0;
      try {
        await page.goto(daemon.found[0]);
        await eventually(page, async () => (await (await fetch("api/v1/world")).json()).folded === 1);
        await page.reload();
        await settled(page);
        const first = await page.evaluate(async (p) => (await (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json()).nodes.at(-1).runs[0][0], file);
        stop = flood(file, 1);
        for (const [name, scale] of [["all of the file", 0.07], ["its bytes", 1]]) {
          await lookAtSoon(page, first + (TILES / 2) * TILE, scale);
          const seen = await measured(page, () =>
            page.evaluate(
              (ms) =>
                new Promise((done) => {
                  const begun = performance.now();
                  const { x, y, scale } = window.__brick.camera();
                  // The map moves all the time: each frame is another.
                  const step = (now) => {
                    const turn = ((now - begun) / ms) * 2 * Math.PI;
                    window.__brick.setCamera(x + (40 * Math.sin(turn)) / scale, y + (40 * Math.cos(turn)) / scale, scale);
                    if (now - begun < ms) requestAnimationFrame(step);
                    else done();
                  };
                  requestAnimationFrame(step);
                }),
              MEASURE_MS,
            ),
          );
          t.say(`${name}: the page's own time for a frame ${quantiles(seen.frames)}; ${seen.loaded.toFixed(0)} tiles a second came; its thread used ${seen.cpu.toFixed(1)} ms of a processor for each, tiles included; frames came ${quantiles(seen.gaps)} apart (software rendering)`);
          const middle = seen.frames.sort((a, b) => a - b)[Math.floor(seen.frames.length / 2)];
          assert.ok(middle < FRAME_MS, `half of the frames took ${middle} ms and more of the page's own time`);
        }
        const rate = await stop();
        stop = async () => 0;
        t.say(`${rate.toFixed(0)} tiles a second were changed`);
        assert.ok(rate > RATE / 2, `only ${rate} tiles a second were changed`);
        // Whatever was left out on the way, the last state is what is shown.
        const fd = openSync(file, "r+");
        writeSync(fd, Buffer.from([0xa5]), 0, 1, (TILES / 2) * TILE + 300);
        closeSync(fd);
        execFileSync(t.program, ["sync", "--store", store], { stdio: "pipe" });
        await lookAt(page, first + (TILES / 2) * TILE + 300, 8);
        await page.waitForFunction((i) => window.__brick.byteAt(i) === 0xa5, first + (TILES / 2) * TILE + 300);
        assert.deepEqual(complaints, []);
      } finally {
        await stop();
        await page.close();
        await daemon.stop();
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}

/** Looks there without waiting for what changes all the time to be at rest. */
async function lookAtSoon(page, index, scale) {
  await aimAt(page, index, scale);
  await page.waitForFunction(() => window.__brick.tiles().ready > 0);
}
