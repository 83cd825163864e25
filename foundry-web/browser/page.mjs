// A page in Debian's Chromium, and what tests ask it through window.__brick.
//
// Knows: Playwright, the test hook. Must never know: what is tested.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { PATIENCE } from "./daemon.mjs";

/** Software rendering is asked for by name: without it a machine without a GPU has no WebGL at all. */
const FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-device-scale-factor=1", "--font-render-hinting=none", "--disable-lcd-text"];

export const launch = () => chromium.launch({ executablePath: process.env.FOUNDRY_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

/** A page that keeps what it complains about. */
export async function open(browser) {
  const page = await browser.newPage({ viewport: { width: 900, height: 600 }, colorScheme: "dark", reducedMotion: "reduce" });
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  return { page, complaints };
}

export const settled = (page) => page.waitForFunction(() => window.__brick?.settled(), null, { polling: 100 });

/** Waits until `what`, asked in the page, comes to true. It may be asynchronous, which to `waitForFunction` is true at once. */
export async function eventually(page, what, arg) {
  const end = Date.now() + PATIENCE;
  while (!(await page.evaluate(what, arg))) {
    assert.ok(Date.now() < end, `still not so: ${what}`);
    await page.waitForTimeout(50);
  }
}

/** Another palette, and a frame drawn with it. */
export async function paint(page, palette) {
  await page.evaluate((id) => {
    window.__brick.palette(id);
    const c = window.__brick.camera();
    window.__brick.setCamera(c.x, c.y, c.scale);
  }, palette);
  await settled(page);
}

/** Brings a byte into the middle, at `scale` pixels a byte, and waits for nothing. */
export const aimAt = (page, index, scale) =>
  page.evaluate(
    ([i, s]) => {
      const { x, y } = window.__brick.place(i);
      const c = window.__brick.camera();
      window.__brick.setCamera(c.x + (x - window.innerWidth / 2) / c.scale, c.y + (y - window.innerHeight / 2) / c.scale, s);
    },
    [index, scale],
  );

/** The same, and all of it has come. */
export async function lookAt(page, index, scale) {
  await aimAt(page, index, scale);
  await settled(page);
}

/** Fails where the canvas shows one colour. */
export async function notBlank(page) {
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
}

/** The canvas as a PNG. */
export async function picture(page) {
  const url = await page.evaluate(() => {
    const { width, height, data } = window.__brick.pixels();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const g = canvas.getContext("2d");
    const image = g.createImageData(width, height);
    // WebGL counts rows from below.
    for (let y = 0; y < height; y++) image.data.set(data.subarray((height - 1 - y) * width * 4, (height - y) * width * 4), y * width * 4);
    g.putImageData(image, 0, 0);
    return canvas.toDataURL("image/png");
  });
  return Buffer.from(url.split(",")[1], "base64");
}

/** The share of pixels of two PNGs that differ by more than `most` in any channel. */
export const difference = (page, a, b, most) =>
  page.evaluate(
    async ([first, second, limit]) => {
      const pixels = async (text) => {
        const image = new Image();
        image.src = `data:image/png;base64,${text}`;
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.width, image.height];
        const g = canvas.getContext("2d");
        g.drawImage(image, 0, 0);
        return g.getImageData(0, 0, image.width, image.height);
      };
      const [p, q] = [await pixels(first), await pixels(second)];
      if (p.width !== q.width || p.height !== q.height) return 1;
      let differ = 0;
      for (let i = 0; i < p.data.length; i += 4) {
        if ([0, 1, 2].some((c) => Math.abs(p.data[i + c] - q.data[i + c]) > limit)) differ++;
      }
      return differ / (p.data.length / 4);
    },
    [a.toString("base64"), b.toString("base64"), most],
  );

/** p50, p99 and the largest of some figures. */
export function quantiles(all) {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q) => (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN).toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (${sorted.length})`;
}
