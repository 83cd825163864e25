// Tiles on the GPU: one mesh a tile, coloured by the shader.
//
// Knows: PixiJS, rasters. Must never know: the network, panels.
// Keeps: positions are differences to the camera, computed in doubles; a texture is uploaded only
// when its tile is another version; textures of tiles that are gone are destroyed, few a frame.

import "pixi.js/unsafe-eval";
import { Application, BufferImageSource, Container, Geometry, GlProgram, Mesh, Shader, TextureSource, UniformGroup } from "pixi.js";
import type { Camera, View } from "./camera.ts";
import { TILE } from "./curve.ts";
import { LUT_ROWS, LUT_WIDTH, type Theme, buildLut } from "./palettes.ts";
import { FRAGMENT, VERTEX } from "./shader.ts";
import type { Tile } from "./tiles.ts";

const FADE_IN_MS = 180;
const GLOW_MS = 1600;

function source(data: Uint8Array<ArrayBuffer>, width: number, height: number, format: "rgba8unorm" | "r8unorm"): BufferImageSource {
  return new BufferImageSource({ resource: data, width, height, format, scaleMode: "nearest", alphaMode: "no-premultiply-alpha", autoGarbageCollect: false });
}

interface Drawn {
  mesh: Mesh<Geometry, Shader>;
  uniforms: UniformGroup;
  version: number;
  cells: TextureSource;
  marks: TextureSource;
  changed: TextureSource;
  seenAt: number;
}

export class Renderer {
  readonly app = new Application();
  private readonly layer = new Container();
  private readonly drawn = new Map<string, Drawn>();
  private readonly blankCells = source(new Uint8Array(4), 1, 1, "rgba8unorm");
  private readonly blankChanged = source(new Uint8Array([0, 0, 0, 0]), 1, 1, "r8unorm");
  /** Marks that are one value all over are shared. */
  private readonly flatMarks = new Map<number, TextureSource>();
  private lut = source(buildLut("dark"), LUT_WIDTH, LUT_ROWS, "rgba8unorm");
  private readonly paint = new UniformGroup({ uPaint: { value: new Float32Array([0, 1, 1, 0]), type: "vec4<f32>" } });
  private program!: GlProgram;
  private geometry!: Geometry;
  smooth = true;
  /** Whether what changed glows for a moment. */
  glows = true;
  reducedMotion = false;
  uploads = 0;

  async start(host: HTMLElement): Promise<void> {
    await this.app.init({
      preference: "webgl",
      resizeTo: host,
      autoDensity: true,
      resolution: window.devicePixelRatio || 1,
      antialias: false,
      backgroundAlpha: 1,
      background: 0x0a0d14,
      autoStart: false,
      sharedTicker: false,
      preserveDrawingBuffer: true,
    });
    this.app.canvas.setAttribute("aria-hidden", "true");
    host.appendChild(this.app.canvas);
    this.app.stage.addChild(this.layer);
    this.app.stage.eventMode = "none";
    this.program = GlProgram.from({ vertex: VERTEX, fragment: FRAGMENT, name: "cells" });
    const n = TILE;
    this.geometry = new Geometry({
      attributes: { aPosition: { buffer: new Float32Array([0, 0, n, 0, n, n, 0, n]), format: "float32x2" } },
      indexBuffer: new Uint32Array([0, 1, 2, 0, 2, 3]),
    });
  }

  setTheme(theme: Theme): void {
    const old = this.lut;
    this.lut = source(buildLut(theme), LUT_WIDTH, LUT_ROWS, "rgba8unorm");
    for (const d of this.drawn.values()) (d.mesh.shader as Shader).resources["uLut"] = this.lut;
    old.destroy();
    this.app.renderer.background.color = theme === "dark" ? 0x0a0d14 : 0xf4f6fa;
    (this.paint.uniforms.uPaint as Float32Array)[3] = theme === "light" ? 1 : 0;
  }

  setPalette(position: number): void {
    (this.paint.uniforms.uPaint as Float32Array)[0] = position;
  }

  /** Draws tiles, coarse ones first. True while something still moves. */
  draw(show: Tile[], camera: Camera, view: View, now: number): boolean {
    let moving = false;
    const dpr = this.app.renderer.resolution;
    const shown = new Set<string>();
    show.forEach((tile, order) => {
      const d = this.drawnFor(tile);
      shown.add(tile.key);
      const side = TILE * 2 ** tile.level * camera.scale;
      const x = (tile.tx * TILE * 2 ** tile.level - camera.x) * camera.scale + view.w / 2;
      const y = (tile.ty * TILE * 2 ** tile.level - camera.y) * camera.scale + view.h / 2;
      // Device pixels to the renderer's units; edges on whole pixels so that no seam shows.
      const x0 = Math.round(x);
      const y0 = Math.round(y);
      d.mesh.position.set(x0 / dpr, y0 / dpr);
      d.mesh.scale.set((Math.round(x + side) - x0) / TILE / dpr, (Math.round(y + side) - y0) / TILE / dpr);
      d.mesh.zIndex = order;
      d.mesh.visible = true;
      d.seenAt = now;
      const fade = this.reducedMotion ? 1 : Math.min(1, (now - tile.arrivedAt) / FADE_IN_MS);
      const glow = tile.changedAt === 0 || !this.glows ? 0 : Math.max(0, 1 - (now - tile.changedAt) / GLOW_MS);
      const steady = this.reducedMotion ? (glow > 0 ? 0.7 : 0) : glow ** 1.5;
      const u = d.uniforms.uniforms.uTile as Float32Array;
      u[0] = tile.data?.channels ?? 0;
      u[1] = (tile.data?.marks.length ?? 0) === 4 ? 1 : 0;
      u[2] = steady;
      u[3] = fade;
      d.uniforms.uniforms.uFlatChanged = d.changed === this.blankChanged ? 1 : 0;
      d.uniforms.update();
      moving ||= fade < 1 || glow > 0;
    });
    for (const [key, d] of this.drawn) if (!shown.has(key)) d.mesh.visible = false;
    const p = this.paint.uniforms.uPaint as Float32Array;
    const first = show[show.length - 1];
    p[1] = first ? camera.scale * 2 ** first.level : 1;
    p[2] = this.smooth ? 1 : 0;
    this.paint.update();
    this.layer.sortableChildren = true;
    this.app.renderer.render(this.app.stage);
    return moving;
  }

  private drawnFor(tile: Tile): Drawn {
    let d = this.drawn.get(tile.key);
    if (!d) {
      const uniforms = new UniformGroup({
        uTile: { value: new Float32Array(4), type: "vec4<f32>" },
        uFlatChanged: { value: 1, type: "f32" },
      });
      const shader = new Shader({
        glProgram: this.program,
        resources: { uCells: this.blankCells, uMarks: this.blankCells, uChanged: this.blankChanged, uLut: this.lut, tile: uniforms, paint: this.paint },
      });
      const mesh = new Mesh({ geometry: this.geometry, shader });
      this.layer.addChild(mesh);
      d = { mesh, uniforms, version: 0, cells: this.blankCells, marks: this.blankCells, changed: this.blankChanged, seenAt: 0 };
      this.drawn.set(tile.key, d);
    }
    if (d.version !== tile.version && tile.data) this.upload(d, tile);
    return d;
  }

  private upload(d: Drawn, tile: Tile): void {
    const data = tile.data;
    if (!data) return;
    d.version = tile.version;
    const old = [d.cells, d.changed, ...(this.isShared(d.marks) ? [] : [d.marks])];
    d.cells = data.cells.length > 0 ? source(data.cells, TILE, TILE, "rgba8unorm") : this.blankCells;
    d.changed = data.changed.length > 0 ? source(data.changed, TILE, TILE, "r8unorm") : this.blankChanged;
    d.marks = data.marks.length === 4 ? this.flat(data.marks) : source(data.marks, TILE, TILE, "rgba8unorm");
    const r = (d.mesh.shader as Shader).resources as Record<string, unknown>;
    r["uCells"] = d.cells;
    r["uMarks"] = d.marks;
    r["uChanged"] = d.changed;
    this.uploads++;
    for (const s of old) if (s !== this.blankCells && s !== this.blankChanged) s.destroy();
  }

  private isShared(s: TextureSource): boolean {
    return s === this.blankCells || [...this.flatMarks.values()].includes(s);
  }

  private flat(marks: Uint8Array<ArrayBuffer>): TextureSource {
    const value = new DataView(marks.buffer, marks.byteOffset).getUint32(0, true);
    let s = this.flatMarks.get(value);
    if (!s) {
      s = source(marks.slice(), 1, 1, "rgba8unorm");
      this.flatMarks.set(value, s);
    }
    return s;
  }

  /** Frees what belongs to tiles that are gone, a few at a time. */
  sweep(alive: (key: string) => boolean): void {
    let budget = 4;
    for (const [key, d] of this.drawn) {
      if (alive(key) || budget === 0) continue;
      budget--;
      this.layer.removeChild(d.mesh);
      d.mesh.destroy();
      for (const s of [d.cells, d.changed, ...(this.isShared(d.marks) ? [] : [d.marks])]) {
        if (s !== this.blankCells && s !== this.blankChanged) s.destroy();
      }
      this.drawn.delete(key);
    }
  }
}
