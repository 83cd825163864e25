// The map in a real browser against a real daemon. `node browser/run.mjs PROGRAM [SCREENSHOT]`
//
// Knows: what a person does. Must never know: how the page is made; it looks through window.__brick.
// Keeps: nothing here is timed but what is printed; a test that finds a blank canvas fails.
import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { HOSTILE, PATIENCE, pattern, startDaemon } from "./daemon.mjs";

const [program, screenshot] = process.argv.slice(2);
assert.ok(program, "give the path of foundry-user");
const chrome = process.env.FOUNDRY_CHROMIUM ?? "/usr/bin/chromium";

const daemon = await startDaemon(program);
const browser = await chromium.launch({
  executablePath: chrome,
  args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-device-scale-factor=1"],
});
const page = await browser.newPage({ viewport: { width: 900, height: 600 }, colorScheme: "dark", reducedMotion: "reduce" });
page.setDefaultTimeout(PATIENCE);
const complaints = [];
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => {
  if (message.type() === "error") complaints.push(message.text());
});

const settled = () => page.waitForFunction(() => window.__brick?.settled(), null, { polling: 100 });
const json = (what) => page.evaluate(async (p) => (await fetch(p)).json(), what);

/** The run of a file on the curve. */
async function startOf(name) {
  const chain = await json(`api/v1/path?path=${encodeURIComponent(path.join(daemon.tree, name))}`);
  return chain.nodes.at(-1).runs[0][0];
}

/** Puts a byte into the middle at 8 pixels a byte. */
async function lookAt(index) {
  await page.evaluate((i) => {
    const { x, y } = window.__brick.place(i);
    const c = window.__brick.camera();
    const dx = (x - window.innerWidth / 2) / c.scale;
    const dy = (y - window.innerHeight / 2) / c.scale;
    window.__brick.setCamera(c.x + dx, c.y + dy, 8);
  }, index);
  await settled();
}

const tests = {
  async "the link opens the map, and nothing else does"() {
    const base = new URL(daemon.link).origin;
    const refused = await fetch(`${base}/`);
    assert.equal(refused.status, 401);
    await page.goto(daemon.link);
    assert.equal(new URL(page.url()).search, "", "the key does not stay in the address");
    // Every file of the tree has been folded when the page says so.
    await page.waitForFunction(async () => {
      const world = await (await fetch("api/v1/world")).json();
      return world.artifacts === 42 && world.folded === 42;
    }, null, { polling: 300 });
    await settled();
  },

  async "the canvas is not blank"() {
    const variance = await page.evaluate(() => {
      const { data } = window.__brick.pixels();
      let [n, sum, squares] = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4 * 7) {
        const l = 0.2126 * data[i] + 0.7152 * data[i + 1] + 0.0722 * data[i + 2];
        [n, sum, squares] = [n + 1, sum + l, squares + l * l];
      }
      return squares / n - (sum / n) ** 2;
    });
    assert.ok(variance > 20, `luminance varies by ${variance}`);
  },

  async "every pixel shows the byte that lies there"() {
    const start = await startOf("pattern.bin");
    await page.evaluate(() => window.__brick.smooth(false));
    const bytes = pattern(65_536);
    const colours = new Map();
    for (const middle of [128, 20_000, 40_000, 65_400]) {
      await lookAt(start + middle);
      const offsets = Array.from({ length: 250 }, (_, i) => middle - 125 + i).filter((o) => o >= 0 && o < 65_536);
      const found = await page.evaluate(
        ([first, list]) => {
          const { width, height, data } = window.__brick.pixels();
          return list.map((o) => {
            const p = window.__brick.place(first + o);
            const at = ((height - 1 - Math.floor(p.y)) * width + Math.floor(p.x)) * 4;
            const inside = p.x >= 0 && p.y >= 0 && p.x < width && p.y < height;
            return { byte: window.__brick.byteAt(first + o), rgb: inside ? [data[at], data[at + 1], data[at + 2]].join() : null };
          });
        },
        [start, offsets],
      );
      offsets.forEach((o, i) => {
        assert.equal(found[i].byte, bytes[o], `byte ${o}`);
        if (found[i].rgb === null) return;
        const before = colours.get(bytes[o]);
        if (before === undefined) colours.set(bytes[o], found[i].rgb);
        else assert.equal(found[i].rgb, before, `colour of byte ${o} (${bytes[o]})`);
      });
    }
    assert.ok(colours.size > 6, `${colours.size} byte values were on the screen`);
    assert.equal(new Set([colours.get(0), colours.get(78), colours.get(255)]).size, 3, "zero, text and ff look different");
  },

  async "a write reaches the pixel"() {
    const start = await startOf("pattern.bin");
    await lookAt(start + 300);
    const file = openSync(path.join(daemon.tree, "pattern.bin"), "r+");
    const took = [];
    for (let i = 0; i < 20; i++) {
      const value = 200 + (i % 40);
      const shown = page.evaluate(
        ([index, byte]) =>
          new Promise((done) => {
            const look = () => (window.__brick.byteAt(index) === byte ? done(Date.now()) : requestAnimationFrame(look));
            look();
          }),
        [start + 300, value],
      );
      const begun = Date.now();
      writeSync(file, Buffer.from([value]), 0, 1, 300);
      took.push((await shown) - begun);
    }
    closeSync(file);
    took.sort((a, b) => a - b);
    console.log(`   write to pixel: p50 ${took[10]} ms, max ${took[19]} ms`);
  },

  async "the activity says who it was"() {
    await page.waitForSelector(".entry.changed");
    const text = await page.textContent(".entry.changed");
    assert.match(text, /pattern\.bin/);
  },

  async "a hostile name is only a name"() {
    const where = encodeURIComponent(path.join(daemon.tree, "sub", HOSTILE));
    await page.evaluate((p) => (location.hash = `path=${p}`), where);
    await page.waitForSelector(".inspector h2");
    await page.waitForFunction((name) => document.querySelector(".inspector h2")?.textContent === name, HOSTILE);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.equal(await page.evaluate(() => document.querySelectorAll("img").length), 0);
  },

  async "a lost connection is found again, and nothing is missed"() {
    const start = await startOf("pattern.bin");
    await page.keyboard.press("Escape");
    await lookAt(start + 300);
    await page.evaluate(() => window.__brick.drop());
    await page.waitForFunction(() => window.__brick.live() !== "live", null, { polling: 10 });
    const file = openSync(path.join(daemon.tree, "pattern.bin"), "r+");
    writeSync(file, Buffer.from([111]), 0, 1, 300);
    closeSync(file);
    await page.waitForFunction((i) => window.__brick.live() === "live" && window.__brick.byteAt(i) === 111, start + 300, { polling: 50 });
  },

  async "everything goes by keyboard"() {
    await page.focus("#stage");
    const scale = () => page.evaluate(() => window.__brick.camera().scale);
    const before = await scale();
    await page.keyboard.press("+");
    await page.waitForFunction((s) => window.__brick.camera().scale > s * 1.9, before, { polling: 50 });
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
  },

  async "the page works at the width of a phone"() {
    await page.setViewportSize({ width: 390, height: 780 });
    await page.keyboard.press("0");
    await settled();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the page is ${wide} wide`);
    await page.setViewportSize({ width: 900, height: 600 });
  },

  async "nothing was refused and nothing broke"() {
    // The connection was cut on purpose; a browser may say so.
    assert.deepEqual(complaints.filter((text) => !/WebSocket/.test(text)), []);
  },
};

let [passed, failed] = [0, 0];
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    passed++;
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}\n${error.stack}`);
    await page.screenshot({ path: path.join(process.env.TMPDIR ?? "/tmp", "foundry-map-failed.png") }).catch(() => {});
    if (name.startsWith("the link")) break;
  }
}
const frames = await page.evaluate(() => window.__brick?.frames() ?? []).catch(() => []);
frames.sort((a, b) => a - b);
console.log(`   frames drawn: ${frames.length}, p50 ${frames[frames.length >> 1]?.toFixed(1)} ms (software rendering)`);
if (screenshot) await page.screenshot({ path: screenshot });
await browser.close();
await daemon.stop();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
