// What tests may see: where the camera is, which tiles are here, what a pixel shows.
//
// Knows: the app. Must never know: how it works inside. Keeps: looking changes nothing.

import type { App } from "./app.ts";
import { toScreen } from "./camera.ts";
import { indexToPoint } from "./curve.ts";

declare global {
  interface Window {
    __brick?: ReturnType<typeof makeHook>;
  }
}

function makeHook(app: App) {
  return {
    camera: () => ({ ...app.camera }),
    work: () => ({ ...app.renderer.work }),
    setCamera: (x: number, y: number, scale: number) => {
      app.camera = { x, y, scale };
      // Not settled before it has been drawn from here.
      app.stats.wanted = 0;
      app.touch();
    },
    settled: () => app.drawn && app.stats.wanted > 0 && app.stats.ready === app.stats.wanted && app.tiles.pending() === 0,
    tiles: () => ({ wanted: app.stats.wanted, ready: app.stats.ready, loaded: app.tiles.loaded, unchanged: app.tiles.unchanged, latencies: [...app.tiles.latencies] }),
    frames: () => [...app.stats.frames],
    forgetFrames: () => void app.stats.frames.splice(0),
    heard: () => [...app.stats.heardAt],
    live: () => app.live.state,
    drop: () => app.live.drop(),
    byteAt: (index: number) => app.tiles.byteAt(index),
    epoch: () => app.world?.epoch,
    /** Place on the screen, in CSS pixels, of an index of the world. */
    place: (index: number) => {
      const p = indexToPoint(app.tiles.layout, index);
      const s = toScreen(app.camera, app.view, p.x + 0.5, p.y + 0.5);
      const dpr = app.renderer.app.renderer.resolution;
      return { x: s.x / dpr, y: s.y / dpr };
    },
    /** RGBA of pixels of the WebGL canvas, from its top left corner. */
    pixels: () => {
      const canvas = app.renderer.app.canvas;
      const gl = canvas.getContext("webgl2");
      if (!gl) return null;
      const out = new Uint8Array(canvas.width * canvas.height * 4);
      gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, out);
      return { width: canvas.width, height: canvas.height, data: out };
    },
    /** RGB of one device pixel, counted from the top left. */
    pixelAt: (x: number, y: number) => {
      const canvas = app.renderer.app.canvas;
      const gl = canvas.getContext("webgl2");
      const out = new Uint8Array(4);
      gl?.readPixels(Math.floor(x), canvas.height - 1 - Math.floor(y), 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, out);
      return `${out[0]},${out[1]},${out[2]}`;
    },
    glow: (on: boolean) => {
      app.renderer.glows = on;
      app.touch();
    },
    palette: (id: string) => app.setPalette(id),
    smooth: (on: boolean) => {
      app.renderer.smooth = on;
      app.touch();
    },
  };
}

export function testHook(app: App): void {
  window.__brick = makeHook(app);
}
