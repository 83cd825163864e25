// What a person can turn and press: views, time, search, pause, follow, themes, and what is said of errors.
//
// Knows: the page's elements, window.__brick. Must never know: how the page is made.
import assert from "node:assert/strict";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { lookAt, notBlank, open, settled } from "./page.mjs";

const AT = 301;
/** Later than a page writes its address, and sooner than a test loses patience. */
const SLOW_MS = 1000;

/** So late a tile comes, and so many frames a zoom takes in which it is awaited. */
const TILE_MS = 150;
const ZOOM_STEPS = 40;

/** In the page: zooms in on three places of a file and out again, and looks in each frame whether what lies in it is drawn. */
async function zoomAbout({ start, length, steps }) {
  const brick = window.__brick;
  const home = brick.camera();
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  // Where there is nothing: beyond the world's edge.
  brick.setCamera(-1e6, -1e6, home.scale);
  for (let i = 0; i < 3; i++) await frame();
  const ground = brick.pixelAt(100, 100);
  brick.setCamera(home.x, home.y, home.scale);
  for (let i = 0; i < 3; i++) await frame();
  const inFile = Array.from({ length: 24 }, (_, i) => start + Math.floor((i * (length - 1)) / 23));
  let looked = 0;
  const blank = [];
  for (const part of [0.1, 0.5, 0.9]) {
    const at = brick.place(start + Math.floor(part * length));
    const to = { x: home.x + (at.x - window.innerWidth / 2) / home.scale, y: home.y + (at.y - window.innerHeight / 2) / home.scale };
    for (let i = 1; i <= 2 * steps; i++) {
      const share = (i <= steps ? i : 2 * steps - i) / steps;
      const scale = home.scale * (16 / home.scale) ** share;
      const near = share ** 0.3;
      brick.setCamera(home.x + (to.x - home.x) * near, home.y + (to.y - home.y) * near, scale);
      // In the first of these it is drawn; which of the two comes first is not known.
      await frame();
      await frame();
      for (const index of inFile) {
        const { x, y } = brick.place(index);
        if (x < 2 || y < 2 || window.innerWidth - 2 < x || window.innerHeight - 2 < y) continue;
        looked++;
        if (brick.pixelAt(x, y) === ground) blank.push({ step: i, scale, index: index - start });
      }
    }
  }
  return { looked, blank };
}

export function controlTests(t) {
  const { page, place, browser } = t;
  const file = path.join(place.tree, "pattern.bin");
  const startOf = async (name) => (await page.evaluate(async (p) => (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json(), path.join(place.tree, name))).nodes.at(-1).runs[0][0];
  const until = (what, arg) => page.waitForFunction(what, arg, { polling: 50 });
  const change = (value) => {
    const bytes = readFileSync(file);
    bytes[AT] = value;
    writeFileSync(file, bytes);
  };
  const press = async (key) => {
    await page.focus("#stage");
    await page.keyboard.press(key);
  };
  const find = async (words) => {
    await press("/");
    await page.waitForSelector("dialog.search[open]");
    await page.fill(".search input", words);
    await until(() => /^\d+ find/.test(document.querySelector(".search .note").textContent));
    const note = await page.textContent(".search .note");
    await page.keyboard.press("Escape");
    return { hits: Number(/^(\d+) find/.exec(note)?.[1] ?? 0), note };
  };

  return {
    async "a byte is the same in every view, and a link keeps the view"() {
      await press("Escape");
      const start = await startOf("pattern.bin");
      const byte = readFileSync(file)[AT];
      for (const layout of ["z-order", "scan", "hilbert"]) {
        await page.selectOption('select[aria-label="Curve"]', layout);
        await lookAt(page, start + AT, 8);
        await notBlank(page);
        await until(([i, b]) => window.__brick.byteAt(i) === b, [start + AT, byte]);
        assert.match(await page.textContent(".breadcrumb"), /pattern\.bin.*\+0x12d/);
      }
      await page.selectOption('select[aria-label="Palette"]', "entropy");
      await press("ArrowRight");
      // The address follows a little later.
      await until(() => {
        const said = new URLSearchParams(location.hash.slice(1));
        return said.get("colour") === "entropy" && Math.abs(Number(said.get("at").split(",")[0]) - window.__brick.camera().x) < 1;
      });
      const before = await page.evaluate(() => window.__brick.camera());
      await page.reload();
      await settled(page);
      const after = await page.evaluate(() => window.__brick.camera());
      assert.ok(Math.abs(after.scale / before.scale - 1) < 1e-3 && Math.abs(after.x - before.x) < 2, "the link shows the same place");
      assert.equal(await page.inputValue('select[aria-label="Palette"]'), "entropy");
      await press("1");
      assert.equal(await page.inputValue('select[aria-label="Palette"]'), "class");
    },

    async "what is under the pointer is shown and spoken, and the small map leads anywhere"() {
      const start = await startOf("pattern.bin");
      await lookAt(page, start + AT, 24);
      const at = await page.evaluate((i) => window.__brick.place(i), start + AT);
      await page.mouse.move(at.x, at.y);
      await until((b) => !document.querySelector(".tip").hidden && document.querySelector(".tip").textContent.includes(b), `byte ${readFileSync(file)[AT].toString(16).padStart(2, "0")}`);
      await until(() => /pattern\.bin/.test(document.querySelector(".sr-only[aria-live]").textContent));
      // Who wrote it last: where the pointer rests, and in the panel of what was clicked.
      change(readFileSync(file)[AT] ^ 51);
      await until(([i, b]) => window.__brick.byteAt(i) === b, [start + AT, readFileSync(file)[AT]]);
      const me = `${realpathSync(process.execPath)} (pid ${process.pid}, uid ${process.getuid()})`;
      await page.mouse.move(at.x + 1, at.y);
      await until((who) => document.querySelector(".tip").textContent.includes(`written by ${who}`), me);
      await page.mouse.click(at.x, at.y);
      await until((who) => [...document.querySelectorAll(".inspector dt")].some((dt) => dt.textContent === "last writer" && dt.nextElementSibling.textContent.startsWith(who)), me);
      await press("Escape");
      await page.mouse.move(2, 300);
      const { x } = await page.evaluate(() => window.__brick.camera());
      await page.click(".minimap", { position: { x: 20, y: 120 } });
      await until((was) => window.__brick.camera().x !== was, x);
    },

    async "dark and light, by key"() {
      const corner = () => page.evaluate(() => window.__brick.pixelAt(3, 300).split(",").map(Number));
      await press("0");
      await settled(page);
      const dark = await corner();
      await press("t");
      await until((was) => window.__brick.pixelAt(3, 300) !== was, dark.join(","));
      assert.equal(await page.getAttribute("html", "data-theme"), "light");
      assert.ok((await corner())[0] > dark[0] + 100, "the ground is light");
      await notBlank(page);
      await press("t");
      await until((was) => window.__brick.pixelAt(3, 300) === was, dark.join(","));
    },

    async "paused, the map stays as it was; after it, it is as it is"() {
      const start = await startOf("pattern.bin");
      await lookAt(page, start + AT, 8);
      const before = readFileSync(file)[AT];
      const heard = () => page.evaluate(() => window.__brick.heard().length);
      await press("p");
      await page.waitForSelector('[title^="Pause"][aria-pressed="true"]');
      const n = await heard();
      change(before ^ 255);
      // It has been told, and keeps it back.
      await until((was) => window.__brick.heard().length > was, n);
      assert.equal(await page.evaluate((i) => window.__brick.byteAt(i), start + AT), before);
      await press("p");
      await until(([i, b]) => window.__brick.byteAt(i) === b, [start + AT, before ^ 255]);
    },

    async "what changed while nobody looked is seen when somebody looks again"() {
      const start = await startOf("pattern.bin");
      await lookAt(page, start + AT, 8);
      const before = readFileSync(file)[AT];
      await until(([i, b]) => window.__brick.byteAt(i) === b, [start + AT, before]);
      await page.evaluate(() => window.__brick.setCamera(0, 0, 0.002));
      await settled(page);
      const heard = await page.evaluate(() => window.__brick.heard().length);
      change(before ^ 85);
      await until((was) => window.__brick.heard().length > was, heard);
      await lookAt(page, start + AT, 8);
      await until(([i, b]) => window.__brick.byteAt(i) === b, [start + AT, before ^ 85]);
    },

    async "following, the map goes to where something happens"() {
      await page.evaluate(() => window.__brick.setCamera(0, 0, 0.01));
      await press("f");
      await page.waitForSelector('[title^="Follow"][aria-pressed="true"]');
      change(9);
      await until(() => window.__brick.camera().scale > 0.1);
      await press("f");
      await page.waitForSelector('[title^="Follow"][aria-pressed="false"]');
    },

    async "time goes back and forth, and changes are gone through"() {
      await page.evaluate(async (p) => {
        const late = (ms) => {
          for (const end = performance.now() + ms; performance.now() < end; );
        };
        // The page is about to write its own address when somebody gives it another, and is too busy to hear of that.
        window.__brick.setCamera(0, 0, 0.01);
        late(400);
        location.hash = `path=${encodeURIComponent(p)}`;
        late(20);
      }, file);
      await page.waitForSelector(".inspector:not([hidden]) .past input");
      assert.equal(await page.textContent(".inspector h2"), "pattern.bin");
      const label = await page.textContent(".past-label");
      await page.focus(".past input");
      await page.keyboard.press("ArrowLeft");
      await until((was) => document.querySelector(".past-label").textContent.split(" ")[1] !== was.split(" ")[1], label);
      await until(() => /[#&]g=\d/.test(location.hash));
      await page.keyboard.press("ArrowRight");
      await page.click("text=What changed in it");
      await until(() => /\d+ ranges?, /.test(document.querySelector(".past .row").textContent));
      await page.click('[aria-label^="Next change"]');
      await settled(page);
      await press("Escape");
    },

    async "a search finds names, hashes, facts and what stands in a file"() {
      const about = await page.evaluate(async (p) => {
        const { nodes } = await (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json();
        return (await fetch(`api/v1/artifacts/${nodes.at(-1).id}/about`)).json();
      }, path.join(place.tree, "sub", "file-13"));
      assert.ok((await find("path:file-13")).hits >= 1);
      assert.ok((await find(`hash:${about.blake3.slice(0, 16)}`)).hits >= 1, "by the start of its hash");
      assert.ok((await find('"hostile names"')).hits >= 1, "bytes of a file");
      const [key, value] = Object.entries(about.facts).find(([, v]) => typeof v === "string" && /^\w+$/.test(v));
      assert.ok((await find(`${key}=${value}`)).hits >= 1, `${key}=${value}`);
      assert.ok((await find(`fact:${value}`)).hits >= 1, `fact:${value}`);
      assert.equal((await find("path:nothing-has-this-name")).hits, 0);
      // A search that was closed leaves its pins, and is stepped through.
      assert.ok((await find("path:file-3")).hits >= 2);
      await press("n");
      await until(() => /^file-3./.test(document.querySelector(".inspector h2")?.textContent ?? ""));
      // Whoever is faster than the answer goes to what was typed, not to what the first letters found.
      await press("/");
      await page.fill(".search input", "path:file-1");
      await page.fill(".search input", "path:file-27");
      await page.keyboard.press("Enter");
      await until(() => document.querySelector(".inspector h2")?.textContent === "file-27" && !document.querySelector("dialog.search").open);
      await press("Escape");
    },

    async "a page that is slow to open keeps no view of nowhere"() {
      const { page: other } = await open(browser);
      try {
        // The answer comes when the address would have been written long ago.
        await other.route("**/api/v1/world", async (route) => {
          await new Promise((late) => setTimeout(late, SLOW_MS));
          await route.continue();
        });
        await other.goto(t.daemon.link);
        await settled(other);
        const first = await other.evaluate(() => window.__brick.camera());
        await other.reload();
        await settled(other);
        const again = await other.evaluate(() => window.__brick.camera());
        assert.deepEqual(again, first, "the whole host, as before");
      } finally {
        await other.unrouteAll({ behavior: "ignoreErrors" });
        await other.close();
      }
    },

    async "no frame is blank, however fast somebody zooms and however late tiles come"() {
      const { page: other } = await open(browser);
      try {
        await other.goto(t.daemon.link);
        await settled(other);
        // From here on tiles come late: what is finer than the whole host is not here yet.
        await other.route("**/api/v1/tiles/**", async (route) => {
          await new Promise((late) => setTimeout(late, TILE_MS));
          await route.continue();
        });
        const start = await startOf("pattern.bin");
        const { looked, blank } = await other.evaluate(zoomAbout, { start, length: readFileSync(file).length, steps: ZOOM_STEPS });
        t.say(`${looked} pixels of a file were looked at in ${6 * ZOOM_STEPS} frames`);
        assert.ok(looked > 20 * ZOOM_STEPS, `only ${looked} pixels were looked at`);
        assert.deepEqual(blank, []);
      } finally {
        await other.unrouteAll({ behavior: "ignoreErrors" });
        await other.close();
      }
    },

    async "a tile that was changed on its way is not shown, and that is said"() {
      const { page: other } = await open(browser);
      try {
        await other.route("**/api/v1/tiles/**", async (route) => {
          const response = await route.fetch();
          const body = await response.body();
          if (body.length > 100) body[90] ^= 1;
          await route.fulfill({ response, body });
        });
        await other.goto(t.daemon.link);
        await other.waitForSelector(".message.error");
        assert.match(await other.textContent(".message.error"), /does not hash to what it says/);
        assert.equal(await other.evaluate(() => window.__brick.tiles().loaded), 0);
      } finally {
        await other.unrouteAll({ behavior: "ignoreErrors" });
        await other.close();
      }
    },
  };
}
