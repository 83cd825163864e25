// The live map against a real daemon: what a person does, and what must then be seen.
//
// Knows: the page's elements, window.__brick. Must never know: how the page is made.
// Keeps: nothing here is timed but what is printed; a test that finds a blank canvas fails.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { FILES, HOSTILE, pattern, startDaemon } from "./daemon.mjs";
import { difference, eventually, lookAt, notBlank, paint, picture, quantiles, settled } from "./page.mjs";

/** Pixels that may differ from a golden picture, and by how much a channel may before it counts. */
const SHARE = 0.005;
const CHANNEL = 12;
/** Writes that are measured, and how long that may take. */
const WRITES = 200;
const MEASURE_MS = 12_000;
/** What half of the writes are seen after at the latest, on a busy machine without a GPU, too. */
const LATEST_MS = 3000;
/** The byte that is written: an odd one, because what is not folded yet is striped at even places. */
const AT = 301;

export function mapTests(t) {
  const { page, place, program } = t;
  const file = path.join(place.tree, "pattern.bin");
  const json = (what) => page.evaluate(async (p) => (await fetch(p)).json(), what);
  const startOf = async (name) => {
    const chain = await json(`api/v1/path?path=${encodeURIComponent(path.join(place.tree, name))}`);
    return chain.nodes.at(-1).runs[0][0];
  };
  const write = (at, value) => {
    const fd = openSync(file, "r+");
    writeSync(fd, Buffer.from([value]), 0, 1, at);
    closeSync(fd);
  };
  const shows = (index, byte) => page.waitForFunction(([i, b]) => window.__brick.live() === "live" && window.__brick.byteAt(i) === b, [index, byte], { polling: 50 });

  return {
    async "the link opens the map, and nothing else does"() {
      assert.equal((await fetch(`${new URL(t.daemon.link).origin}/`)).status, 401);
      await page.goto(t.daemon.link);
      assert.equal(new URL(page.url()).search, "", "the key does not stay in the address");
      await page.waitForFunction(
        async (files) => {
          const world = await (await fetch("api/v1/world")).json();
          return world.artifacts === files && world.folded === files;
        },
        FILES,
        { polling: 300 },
      );
      // From here on nothing changes but what a test changes.
      await page.reload();
      await settled(page);
    },

    async "the canvas is not blank"() {
      await notBlank(page);
    },

    async "the map looks as it did"() {
      await page.evaluate(() => window.__brick.smooth(false));
      // What lies under a name of this run has its place all the same.
      await lookAt(page, await startOf("pattern.bin"), 0.5);
      for (const palette of ["class", "entropy", "section"]) {
        await paint(page, palette);
        const golden = path.join(import.meta.dirname, "golden", `${palette}.png`);
        const now = await picture(page);
        if (process.env.FOUNDRY_GOLDEN === "write") {
          mkdirSync(path.dirname(golden), { recursive: true });
          writeFileSync(golden, now);
        }
        assert.ok(existsSync(golden), `${golden}: run with FOUNDRY_GOLDEN=write, look at it, commit it`);
        const share = await difference(page, readFileSync(golden), now, CHANNEL);
        t.say(`${palette}: ${(share * 100).toFixed(3)} % of the pixels differ from the golden picture`);
        if (share > SHARE) writeFileSync(path.join(place.dir, `${palette}.png`), now);
        assert.ok(share <= SHARE, `${palette}: ${(share * 100).toFixed(2)} % of the pixels differ by more than ${CHANNEL}`);
      }
      await paint(page, "class");
    },

    async "the picture is the one that Rust unfolds"() {
      const brick = path.join(place.dir, "pattern.v2br");
      execFileSync(program, ["export", file, "--store", place.store, "--format", "v2br", "-o", brick], { stdio: "pipe" });
      const texture = readFileSync(brick);
      assert.deepEqual([texture.readUInt32LE(8), texture.readUInt32LE(16)], [256, 8]);
      const rust = Array.from({ length: 65_536 }, (_, p) => texture[132 + 4 * p]);
      await paint(page, "magnitude");
      const start = await startOf("pattern.bin");
      assert.equal(start % 65_536, 0, "the file is one square");
      await lookAt(page, start, 2);
      const found = await page.evaluate((first) => {
        const corners = Array.from({ length: 65_536 }, (_, i) => window.__brick.place(first + i));
        const [x0, y0] = [Math.min(...corners.map((p) => p.x)), Math.min(...corners.map((p) => p.y))];
        const c = window.__brick.camera();
        window.__brick.setCamera(c.x + (x0 + 256 - window.innerWidth / 2) / 2, c.y + (y0 + 256 - window.innerHeight / 2) / 2, 2);
        return null;
      }, start);
      assert.equal(found, null);
      await settled(page);
      const canvas = await page.evaluate((first) => {
        const corners = Array.from({ length: 65_536 }, (_, i) => window.__brick.place(first + i));
        const [x0, y0] = [Math.min(...corners.map((p) => p.x)), Math.min(...corners.map((p) => p.y))];
        const { width, height, data } = window.__brick.pixels();
        return Array.from({ length: 65_536 }, (_, p) => {
          const at = ((height - 1 - Math.floor(y0 + 2 * (p >> 8))) * width + Math.floor(x0 + 2 * (p & 255))) * 4;
          return (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
        });
      }, start);
      // On the world's curve a square has one of four orientations; in each, a byte has one colour.
      const turned = [(x, y) => [x, y], (x, y) => [y, x], (x, y) => [255 - y, 255 - x], (x, y) => [255 - x, 255 - y]];
      const fits = turned.filter((turn) => {
        const colours = new Map();
        return canvas.every((colour, p) => {
          const [x, y] = turn(p & 255, p >> 8);
          const byte = rust[y * 256 + x];
          if (!colours.has(byte)) colours.set(byte, colour);
          return colours.get(byte) === colour;
        });
      });
      assert.equal(fits.length, 1, "one orientation fits every pixel");
      assert.ok(new Set(canvas).size > 150, `${new Set(canvas).size} colours`);
      await paint(page, "class");
    },

    async "a write reaches the pixel"() {
      const start = await startOf("pattern.bin");
      await lookAt(page, start + AT, 8);
      // The glow of a change changes colours by itself.
      await page.evaluate(() => window.__brick.glow(false));
      await paint(page, "magnitude");
      const work = () => page.evaluate(() => window.__brick.work());
      const before = await work();
      const took = [];
      const until = Date.now() + MEASURE_MS;
      for (let i = 0; i < WRITES && (Date.now() < until || took.length < 3); i++) {
        const shown = page.evaluate(
          ([index]) =>
            new Promise((done) => {
              const { x, y } = window.__brick.place(index);
              const before = window.__brick.pixelAt(x, y);
              // Reading a pixel waits for all that the GPU has to do: only where the map was drawn since.
              let drawn = window.__brick.work().frames;
              const look = () => {
                const was = drawn;
                drawn = window.__brick.work().frames;
                if (drawn !== was && window.__brick.pixelAt(x, y) !== before) done(Date.now());
                else requestAnimationFrame(look);
              };
              look();
            }),
          [start + AT],
        );
        // The page has taken its first look before anything is written.
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const begun = Date.now();
        write(AT, i % 2 === 0 ? 250 : 5);
        took.push((await shown) - begun);
        await shows(start + AT, i % 2 === 0 ? 250 : 5);
      }
      const after = await work();
      await page.evaluate(() => window.__brick.glow(true));
      await paint(page, "class");
      t.say(`write(2) to pixel: ${quantiles(took)}`);
      // One tile changed, so one picture is painted; how long that takes is the machine's.
      const pictures = after.pictures - before.pictures;
      assert.ok(pictures <= 2 * took.length, `${pictures} pictures of tiles were painted for ${took.length} writes`);
      const middle = took.sort((a, b) => a - b)[Math.floor(took.length / 2)];
      assert.ok(middle < LATEST_MS, `half of the writes took ${middle} ms and more to their pixel`);
    },

    async "a client that does not listen holds nobody up"() {
      const start = await startOf("pattern.bin");
      const deaf = net.connect(Number(t.daemon.port), "127.0.0.1");
      deaf.write(`GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1:${t.daemon.port}\r\nAuthorization: Bearer ${t.daemon.key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`);
      await new Promise((done) => deaf.once("data", done));
      const subscribe = Buffer.alloc(20);
      subscribe.set([1, 1, 0, 0]);
      subscribe.writeBigUInt64LE(1024n, 12);
      deaf.write(Buffer.concat([Buffer.from([0x82, 0x80 | subscribe.length, 0, 0, 0, 0]), subscribe]));
      deaf.pause();
      await eventually(page, async () => (await (await fetch("api/v1/status")).json()).clients === 2);
      for (let i = 0; i < 200; i++) write(AT, i);
      write(AT, 77);
      await shows(start + AT, 77);
      deaf.destroy();
    },

    async "the activity says who it was, and flies there"() {
      await page.waitForSelector(".entry.changed");
      assert.match(await page.textContent(".entry.changed"), /pattern\.bin/);
      // Hundreds of writes are one line; another may be nobody's.
      const lines = await page.evaluate(() => [...document.querySelectorAll('.entry.changed[title$="pattern.bin"]')].map((line) => line.querySelector(".times").textContent));
      assert.ok(lines.length <= 2 && lines.some((times) => /^\u00d7\d+/.test(times)), `lines: ${lines}`);
      await page.evaluate(() => window.__brick.setCamera(0, 0, 0.01));
      await page.click(".entry.changed");
      await page.waitForFunction(() => window.__brick.camera().scale > 0.1, null, { polling: 50 });
    },

    async "a hostile name is only a name"() {
      const where = encodeURIComponent(path.join(place.tree, "sub", HOSTILE));
      await page.evaluate((p) => (location.hash = `path=${p}`), where);
      await page.waitForFunction((name) => document.querySelector(".inspector h2")?.textContent === name, HOSTILE);
      await page.waitForSelector(".inspector .hex-row");
      assert.equal(await page.evaluate(() => window.pwned), undefined);
      assert.equal(await page.evaluate(() => document.querySelectorAll("img").length), 0);
    },

    async "a lost connection is found again, and nothing is missed"() {
      const start = await startOf("pattern.bin");
      await page.keyboard.press("Escape");
      await lookAt(page, start + AT, 8);
      await page.evaluate(() => window.__brick.drop());
      await page.waitForFunction(() => window.__brick.live() !== "live", null, { polling: 10 });
      write(AT, 111);
      await shows(start + AT, 111);
    },

    async "a daemon that went away and came back is found, too"() {
      const start = await startOf("pattern.bin");
      const other = await startOf("sub/file-39");
      await lookAt(page, other, 8);
      const before = await page.evaluate(() => window.__brick.tiles());
      await t.daemon.stop();
      await page.waitForSelector(".live-state.lost");
      // Nothing goes from the screen because somebody else went.
      await notBlank(page);
      write(AT, 123);
      t.daemon = await startDaemon(program, place, t.daemon.port);
      await page.waitForSelector(".live-state.live");
      // It says what it has, and is sent what changed: that file's tile is the same.
      await page.waitForFunction((n) => window.__brick.tiles().unchanged > n, before.unchanged, { polling: 100 });
      await lookAt(page, start + AT, 8);
      await shows(start + AT, 123);
    },

    async "everything goes by keyboard"() {
      await page.focus("#stage");
      const before = await page.evaluate(() => window.__brick.camera());
      await page.keyboard.press("+");
      await page.waitForFunction((s) => window.__brick.camera().scale > s * 1.9, before.scale, { polling: 50 });
      const x = await page.evaluate(() => window.__brick.camera().x);
      await page.keyboard.press("ArrowRight");
      await page.waitForFunction((was) => window.__brick.camera().x > was, x, { polling: 50 });
      await page.keyboard.press("/");
      await page.waitForSelector("dialog.search[open]");
      await page.keyboard.type("file-7");
      await page.waitForSelector(".hits li");
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => document.querySelector(".inspector h2")?.textContent === "file-7");
      await page.keyboard.press("Escape");
      await page.keyboard.press("?");
      await page.waitForSelector("dialog.help[open]");
      await page.keyboard.press("Escape");
      await page.waitForSelector("dialog.help:not([open])", { state: "attached" });
    },

    async "the page works at the width of a phone"() {
      await page.setViewportSize({ width: 390, height: 780 });
      await page.keyboard.press("0");
      await settled(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 390, `the page is ${wide} wide`);
      const high = await page.evaluate(() => document.querySelector(".bar").offsetHeight);
      assert.ok(high < 70, `the bar takes ${high} of the height: its buttons and the path, a row each`);
      await notBlank(page);
      await page.setViewportSize({ width: 900, height: 600 });
      // Whoever looks at a place next must not do so from the middle of the small screen.
      await page.waitForFunction(() => window.__brick.pixels().width === 900, null, { polling: 50 });
      await settled(page);
    },

    async "nothing was refused and nothing broke"() {
      // The connection was cut on purpose; a browser says so.
      const ours = t.complaints.filter((text) => !/WebSocket|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET/.test(text));
      assert.deepEqual(ours, []);
      const { latencies } = await page.evaluate(() => window.__brick.tiles());
      t.say(`tiles, asked to drawn: ${quantiles(latencies)}`);
      t.say(`frames: ${quantiles(await page.evaluate(() => window.__brick.frames()))} (software rendering)`);
    },
  };
}
