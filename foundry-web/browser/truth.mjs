// What the map says of a file beyond its name: its symbols, its build, an opinion of it, what changed in it,
// and that it is stale or cannot be read. The daemon is nobody's, so that there are files it may not read
// and stores through mappings that it does not hear of.
//
// Knows: the page's elements, files. Must never know: how a daemon finds out.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync, writeSync, closeSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { pattern, start } from "./daemon.mjs";
import { eventually, lookAt, open, settled } from "./page.mjs";

const NOBODY = 65_534;
const LOADER = "/lib64/ld-linux-x86-64.so.2";
const TILE = 65_536;
/** A word that stands in no fact: only an opinion holds it. */
const WORD = "peregrination";

/** A model server that answers every question alike. */
async function model() {
  const answer = { summary: `It is for ${WORD}.`, purpose: "To be a test.", category: "library", capabilities: [], risk: "none", risk_reasons: [], confidence: 0.5 };
  const server = http.createServer((request, response) => {
    let body = "";
    request.on("data", (some) => (body += some));
    request.on("end", () => {
      const content = JSON.stringify(body.includes("colour") ? { colour: "green" } : answer);
      const chat = { model: "test-model", choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }], usage: { total_tokens: 100 } };
      const known = { "/v1/models": { data: [{ id: "test-model" }] }, "/v1/chat/completions": chat }[request.url];
      response.writeHead(known ? 200 : 404, { "Content-Type": "application/json" }).end(JSON.stringify(known ?? {}));
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

/** The tree, and who the daemon is. */
function makePlace(program) {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), "foundry-truth-")));
  const at = (name) => path.join(dir, name);
  mkdirSync(at("tree"));
  mkdirSync(at("store"), { mode: 0o700 });
  copyFileSync(LOADER, at("tree/loader"));
  copyFileSync(program, at("foundry-user"));
  writeFileSync(at("tree/many"), pattern(5 * TILE));
  writeFileSync(at("tree/mapped"), pattern(TILE));
  writeFileSync(at("tree/secret"), "not for everybody\n".repeat(400), { mode: 0 });
  chmodSync(dir, 0o755);
  chmodSync(at("foundry-user"), 0o755);
  const who = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (who.uid) chownSync(at("store"), who.uid, who.gid);
  return { dir, at, who };
}

export function truthTests(t) {
  return {
    async "searches, opinions, changes and failures are shown as they are"() {
      const { dir, at, who } = makePlace(t.program);
      const server = await model();
      writeFileSync(at("foundry.toml"), `[annotate]\nurl = "http://127.0.0.1:${server.address().port}"\npause-cpu = 0\npause-memory = 0\n`);
      const args = ["--watch", at("tree"), "--store", at("store"), "--listen", "127.0.0.1:0", "--sweep", "86400", "--config", at("foundry.toml")];
      const daemon = await start(at("foundry-user"), args, [/map: (http:\S+)/], who);
      const { page } = await open(t.browser);
      try {
        await page.goto(daemon.found[0]);
        await eventually(page, async () => (await (await fetch("api/v1/world")).json()).folded === 3);
        await page.reload();
        await settled(page);
        const sync = () => execFileSync(at("foundry-user"), ["sync", "--store", at("store")], { stdio: "pipe", ...who });
        const parts = { page, at, sync, node: (name) => page.evaluate(async (p) => (await (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json()).nodes.at(-1), at(`tree/${name}`)) };
        await searches(parts);
        // An opinion is a generation of its own: from here on there are none.
        for (const name of ["many", "mapped"]) {
          const { id } = await parts.node(name);
          await eventually(page, async (n) => (await (await fetch(`api/v1/artifacts/${n}/about`)).json()).annotation !== null, id);
        }
        server.close();
        server.closeAllConnections();
        await unreadable(parts);
        await changes(parts);
        await stale(parts);
      } catch (error) {
        throw new Error(`${error.stack}\nthe daemon said:\n${daemon.said.slice(-20).join("\n")}`);
      } finally {
        await page.close();
        await daemon.stop();
        server.close();
        server.closeAllConnections();
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}

const title = (page, text) => page.waitForFunction((name) => document.querySelector(".inspector h2")?.textContent === name, text);

/** Looks for words; goes to what is found in the loader. */
async function find(page, words, kind) {
  await page.focus("#stage");
  await page.keyboard.press("/");
  await page.waitForSelector("dialog.search[open]");
  await page.fill(".search input", words);
  const hit = page.locator(`.hits li[title="${kind}"]`, { hasText: "/loader" }).first();
  const said = await hit.textContent();
  await hit.click();
  await title(page, "loader");
  return said;
}

async function searches({ page, node }) {
  const { id, runs } = await node("loader");
  const regions = (await page.evaluate(async (n) => (await fetch(`api/v1/artifacts/${n}/regions?limit=20000`)).json(), id)).regions;
  const symbol = regions.find((region) => region.name === "__tls_get_addr");
  assert.ok(symbol, "the loader has that function");
  assert.match(await find(page, "sym:__tls_get_addr", "symbol"), /__tls_get_addr/);
  // It leads to the very bytes.
  await settled(page);
  const first = await page.evaluate((i) => ({ ...window.__brick.place(i), free: document.querySelector(".inspector").getBoundingClientRect().left }), runs[0][0] + symbol.start);
  assert.ok(first.x > 0 && first.x < first.free && first.y > 0 && first.y < 600, `the function is at ${first.x}, ${first.y} of the screen`);
  const about = () => page.evaluate(async (n) => (await fetch(`api/v1/artifacts/${n}/about`)).json(), id);
  const build = (await about()).facts["identity.build_id"];
  assert.match(build, /^[0-9a-f]{40}$/);
  await page.keyboard.press("Escape");
  assert.match(await find(page, `build-id:${build.slice(0, 12)}`, "fact"), new RegExp(build));
  await eventually(page, async (n) => (await (await fetch(`api/v1/artifacts/${n}/about`)).json()).annotation !== null, id);
  await page.keyboard.press("Escape");
  assert.match(await find(page, `note:${WORD}`, "note"), new RegExp(WORD));
  await page.waitForSelector(".opinion");
  assert.match(await page.textContent(".opinion"), new RegExp(`opinion, not a fact.*${WORD}`));
  await page.keyboard.press("Escape");
}

/** What may not be read is red on the map, and its panel says so. */
async function unreadable({ page, at, node }) {
  if (process.getuid() === 0) await eventually(page, async (p) => (await (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json()).nodes.at(-1).state === "unreadable", at("tree/secret"));
  const { runs } = await node("secret");
  await page.evaluate((p) => (location.hash = `path=${encodeURIComponent(p)}`), at("tree/secret"));
  await title(page, "secret");
  await page.waitForSelector(".inspector .state.unreadable");
  await page.waitForSelector(".inspector .problem");
  assert.match(await page.textContent(".inspector .problem"), /cannot be read: the daemon may not read it/);
  await page.keyboard.press("Escape");
  await lookAt(page, runs[0][0] + 100, 8);
  const at_ = await page.evaluate((i) => window.__brick.place(i), runs[0][0] + 100);
  await page.mouse.move(at_.x, at_.y);
  await page.waitForFunction(() => /unreadable/.test(document.querySelector(".tip")?.textContent ?? ""));
  const colours = await page.evaluate((i) => Array.from({ length: 64 }, (_, k) => window.__brick.place(i + k)).map(({ x, y }) => window.__brick.pixelAt(x, y).split(",").map(Number)), runs[0][0]);
  assert.ok(colours.every(([r, g, b]) => r > 1.4 * g && r > 1.4 * b), `it is red: ${JSON.stringify(colours.slice(0, 8))}`);
}

/** Two changes in one generation are gone through, there and back. */
async function changes({ page, at, sync, node }) {
  const file = at("tree/many");
  const { runs, generation } = await node("many");
  const bytes = readFileSync(file);
  bytes.write("first change", TILE + 10);
  bytes.write("second change", 4 * TILE + 99);
  // In one call: nobody can see the one change without the other.
  const fd = openSync(file, "r+");
  writeSync(fd, bytes, TILE, 4 * TILE, TILE);
  closeSync(fd);
  sync();
  await eventually(page, async ([p, was]) => (await (await fetch(`api/v1/path?path=${encodeURIComponent(p)}`)).json()).nodes.at(-1).generation > was, [file, generation]);
  await page.evaluate((p) => (location.hash = `path=${encodeURIComponent(p)}`), file);
  await title(page, "many");
  await page.click("text=What changed in it");
  await page.waitForFunction(() => /^2 ranges, /.test(document.querySelector(".past .row span:last-child")?.textContent ?? ""));
  /** Whether a tile of the file is in the middle of what the panel leaves free. */
  const inTheMiddle = (tile) =>
    eventually(
      page,
      ([start, n]) => {
        const corners = [0, 16_384, 32_768, 49_152].map((i) => window.__brick.place(start + n * 65_536 + i + 8_192));
        const [x, y] = [0, 1].map((c) => corners.reduce((sum, p) => sum + (c === 0 ? p.x : p.y), 0) / 4);
        return window.__brick.settled() && Math.abs(x - document.querySelector(".inspector").getBoundingClientRect().left / 2) < 60 && Math.abs(y - window.innerHeight / 2) < 60;
      },
      [runs[0][0], tile],
    );
  await inTheMiddle(1);
  await page.click('[aria-label^="Next change"]');
  await inTheMiddle(4);
  await page.click('[aria-label^="Next change"]');
  await inTheMiddle(1);
  await page.click('[aria-label^="Previous change"]');
  await inTheMiddle(4);
  await page.focus("#stage");
  await page.keyboard.press("Shift+N");
  await inTheMiddle(1);
  await page.keyboard.press("Escape");
}

/** A store through a mapping is heard of by nobody here: the bytes are the new ones, and striped. */
async function stale({ page, at, node }) {
  const { runs } = await node("mapped");
  const stripes = () =>
    page.evaluate((first) => {
      let n = 0;
      for (let i = 0; i < 4096; i++) {
        const { x, y } = window.__brick.place(first + i);
        const [r, g, b] = window.__brick.pixelAt(x, y).split(",").map(Number);
        if (r > 150 && g < 110 && b > 60 && b < 200) n++;
      }
      return n;
    }, runs[0][0]);
  // Nobody may see what it maps, and closing the file would tell.
  const python = "import ctypes,mmap,sys\nctypes.CDLL(None).prctl(4,0,0,0,0)\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\nm[5]=m[5]^255\nm.flush()\nprint('stored',flush=True)\nsys.stdin.read()\n";
  const before = readFileSync(at("tree/mapped"))[5];
  const writer = spawn("python3", ["-c", python, at("tree/mapped")], { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise((done, fail) => writer.on("exit", fail).stdout.once("data", done));
  assert.equal(readFileSync(at("tree/mapped"))[5], before ^ 255);
  await page.evaluate(() => window.__brick.palette("entropy"));
  await lookAt(page, runs[0][0] + 2048, 4);
  assert.equal(await page.evaluate((i) => window.__brick.byteAt(i), runs[0][0] + 5), before ^ 255, "what is shown is what is there");
  assert.ok((await stripes()) > 500, `${await stripes()} of 4096 bytes are striped`);
  await page.evaluate((p) => (location.hash = `path=${encodeURIComponent(p)}`), at("tree/mapped"));
  await title(page, "mapped");
  await page.waitForFunction(() => /changed since it was folded/.test(document.querySelector(".inspector .badge.warn")?.textContent ?? ""));
  writer.removeAllListeners("exit");
  writer.stdin.end();
}
