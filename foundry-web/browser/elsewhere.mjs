// The same artifacts elsewhere: as plain files from a server without ranges, and on Geometry OS's map.
//
// Knows: `publish`, python's http.server, what that map does with its manifest. Must never know: the live map.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { pattern, start } from "./daemon.mjs";
import { lookAt, notBlank, open, settled } from "./page.mjs";

const PIXI = path.join(import.meta.dirname, "../node_modules/pixi.js/dist/pixi.min.mjs");

export function elsewhereTests(t) {
  const { browser, place, program } = t;
  return {
    async "published files show the map on a server that has no ranges"() {
      const content = readFileSync(path.join(place.tree, "pattern.bin"));
      const site = path.join(place.dir, "site");
      execFileSync(program, ["publish", "--store", place.store, "--out", site], { stdio: "pipe" });
      const server = await start("python3", ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", site], [/port (\d+)/]);
      const { page, complaints } = await open(browser);
      try {
        await page.goto(`http://127.0.0.1:${server.found[0]}/#path=${encodeURIComponent(path.join(place.tree, "pattern.bin"))}`);
        await settled(page);
        await notBlank(page);
        await page.waitForFunction(() => document.querySelector(".inspector h2")?.textContent === "pattern.bin");
        await page.waitForSelector(".hex-row");
        assert.match(await page.textContent(".hex-row"), new RegExp(`^0+${content.subarray(0, 16).toString("hex")}`.replaceAll(" ", "")));
        const first = await page.evaluate(async (name) => {
          const find = async (id) => {
            const { children } = await (await fetch(`api/v1/nodes/${id}`)).json();
            for (const child of children) {
              if (child.name === name) return child;
              const below = child.kind === "directory" ? await find(child.id) : null;
              if (below) return below;
            }
            return null;
          };
          return (await find(0)).runs[0][0];
        }, "pattern.bin");
        await page.keyboard.press("Escape");
        await lookAt(page, first + 128, 8);
        assert.equal(await page.evaluate((i) => window.__brick.byteAt(i), first + 200), content[200]);
        await page.focus("#stage");
        await page.keyboard.press("/");
        await page.keyboard.type("file-13");
        await page.waitForSelector(".hits li");
        await page.keyboard.press("Enter");
        await page.waitForFunction(() => document.querySelector(".inspector h2")?.textContent === "file-13");
        // Facts, and the stretches that a file is made of, are there without a server, too.
        await page.waitForFunction(() => /entropy/.test(document.querySelector(".facts")?.textContent ?? ""));
        const hash = await page.evaluate(() => document.querySelector(".inspector code").title);
        assert.match(hash, /^[0-9a-f]{64}$/);
        await page.keyboard.press("Escape");
        const finds = async (words) => {
          await page.focus("#stage");
          await page.keyboard.press("/");
          await page.fill(".search input", words);
          await page.waitForFunction((w) => document.querySelector(".search input").value === w && /^\d+ finds?/.test(document.querySelector(".search .note").textContent), words);
          const note = await page.textContent(".search .note");
          await page.keyboard.press("Escape");
          return note;
        };
        assert.equal(await finds(`hash:${hash.slice(0, 20)}`), "1 find");
        assert.match(await finds("fact:entropy"), /^0 finds; there may be more/, "it says what it does not look into");
        // A tile that is all void has no file.
        assert.deepEqual(complaints.filter((text) => !/404/.test(text)), []);
      } finally {
        await page.close();
        await server.stop();
      }
    },

    async "Geometry OS's map finds every tile, and hears of changes"() {
      const page_ = `<!doctype html><script type="module">
        import * as PIXI from "/pixi.mjs";
        const app = new PIXI.Application();
        await app.init({ width: 600, height: 400, preference: "webgl", preserveDrawingBuffer: true });
        document.body.append(app.canvas);
        const tiles = (window.tiles = new Map());
        window.load = async (x, y, { brick, timestamp }) => {
          const texture = await PIXI.Assets.load("/builder/queue/" + brick + "?t=" + timestamp);
          const sprite = new PIXI.Sprite(texture);
          sprite.position.set(x * 100, y * 100);
          sprite.setSize(100, 100);
          app.stage.addChild(sprite);
          tiles.set(x + "," + y, { brick, timestamp, side: texture.width });
        };
        const manifest = await (await fetch("/builder/map/manifest.json?t=" + Date.now())).json();
        await Promise.all(Object.entries(manifest).map(([key, entry]) => window.load(...key.split(",").map(Number), entry)));
        app.render();
        const gl = app.canvas.getContext("webgl2");
        const data = new Uint8Array(600 * 400 * 4);
        gl.readPixels(0, 0, 600, 400, gl.RGBA, gl.UNSIGNED_BYTE, data);
        window.colours = new Set(new Uint32Array(data.buffer)).size;
        const socket = new WebSocket(${JSON.stringify(t.daemon.news)});
        socket.onmessage = (event) => {
          const said = JSON.parse(event.data);
          if (said.type === "tile_update") void window.load(said.x, said.y, said);
        };
        socket.onopen = () => (window.ready = true);
      </script>`;
      const server = http.createServer((request, response) => {
        const { pathname } = new URL(request.url, "http://localhost");
        const file = pathname === "/pixi.mjs" ? PIXI : path.join(place.dir, pathname);
        if (pathname === "/") return response.setHeader("Content-Type", "text/html").end(page_);
        if (!existsSync(file)) return response.writeHead(404).end();
        response.setHeader("Content-Type", file.endsWith(".mjs") ? "text/javascript" : file.endsWith(".png") ? "image/png" : "application/json");
        createReadStream(file).pipe(response);
      });
      await new Promise((done) => server.listen(0, "127.0.0.1", done));
      const { page, complaints } = await open(browser);
      try {
        const manifest = JSON.parse(readFileSync(path.join(place.builder, "map/manifest.json"), "utf8"));
        await page.goto(`http://127.0.0.1:${server.address().port}/`);
        await page.waitForFunction(() => window.ready);
        const tiles = await page.evaluate(() => Object.fromEntries(window.tiles));
        assert.deepEqual(Object.keys(tiles).sort(), Object.keys(manifest).sort());
        // Four bytes a pixel: the pattern's 65 536 bytes take a square of 128.
        const [key] = Object.entries(tiles).find(([, tile]) => /pattern_bin/.test(tile.brick));
        assert.equal(tiles[key].side, 128);
        assert.ok((await page.evaluate(() => window.colours)) > 20, "the map shows something");
        writeFileSync(path.join(place.tree, "pattern.bin"), pattern(300));
        await page.waitForFunction(([k, was]) => window.tiles.get(k).timestamp > was && window.tiles.get(k).side === 16, [key, tiles[key].timestamp], { polling: 100 });
        assert.deepEqual(complaints.filter((text) => !/favicon|404/.test(text)), []);
      } finally {
        await page.close();
        server.close();
      }
    },
  };
}
