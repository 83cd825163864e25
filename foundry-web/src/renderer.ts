// Tiles on the GPU: a picture of each, coloured once, and a mesh that shows it.
//
// Knows: PixiJS, rasters. Must never know: the network, panels.
// Keeps: positions are differences to the camera, computed in doubles; a texture is uploaded, and a
// picture painted, only when its tile, the palette or the theme is another; a frame that would look
// like the last is not drawn; what belongs to tiles that are gone is destroyed, few a frame.

import "pixi.js/unsafe-eval";
import { Application, BufferImageSource, Container, Geometry, GlProgram, Mesh, RenderTexture, Shader, TextureSource, UniformGroup } from "pixi.js";
import type { Camera, View } from "./camera.ts";
import { TILE } from "./curve.ts";
import { LUT_ROWS, LUT_WIDTH, type Theme, buildLut } from "./palettes.ts";
import { COLOUR, SHOW, VERTEX } from "./shader.ts";
import { FADE_IN_MS, type Tile } from "./tiles.ts";

const GLOW_MS = 1600;
/** Pictures that wait for a tile. */
const MOST_SPARE = 32;

let software: boolean | undefined;

/** Whether this machine's processor does a GPU's work. */
export function isSoftware(): boolean {
  return (software ??= asksProcessor());
}

function asksProcessor(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return true;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software/i.test(name);
}

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
  /** As it was painted last; none while it is not on the screen. */
  picture: RenderTexture | null;
  painted: string;
}

export class Renderer {
  readonly app = new Application();
  private readonly layer = new Container();
  private readonly drawn = new Map<string, Drawn>();
  private readonly spare: RenderTexture[] = [];
  private readonly blankCells = source(new Uint8Array(4), 1, 1, "rgba8unorm");
  private readonly blankChanged = source(new Uint8Array([0, 0, 0, 0]), 1, 1, "r8unorm");
  /** Marks that are one value all over are shared. */
  private readonly flatMarks = new Map<number, TextureSource>();
  private lut = source(buildLut("dark"), LUT_WIDTH, LUT_ROWS, "rgba8unorm");
  private readonly easel = new Container();
  private readonly model = new UniformGroup({ uTile: { value: new Float32Array(2), type: "vec2<f32>" } });
  private readonly paint = new UniformGroup({ uPaint: { value: new Float32Array(2), type: "vec2<f32>" } });
  private readonly look = new UniformGroup({ uView: { value: new Float32Array([1, 1, 0]), type: "vec3<f32>" } });
  private brush!: Shader;
  private program!: GlProgram;
  private geometry!: Geometry;
  /** What the last frame showed, in words. */
  private last = "";
  smooth = true;
  /** Whether what changed glows for a moment. */
  glows = true;
  reducedMotion = false;
  /** What was done so far: textures uploaded, pictures painted, frames drawn. */
  readonly work = { uploads: 0, pictures: 0, frames: 0 };

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
    // What a GPU forgot is painted again.
    this.app.canvas.addEventListener("webglcontextrestored", () => {
      this.last = "";
      for (const d of this.drawn.values()) d.painted = "";
    });
    this.app.stage.addChild(this.layer);
    this.app.stage.eventMode = "none";
    this.layer.sortableChildren = true;
    this.program = GlProgram.from({ vertex: VERTEX, fragment: SHOW, name: "show" });
    const n = TILE;
    this.geometry = new Geometry({
      attributes: { aPosition: { buffer: new Float32Array([0, 0, n, 0, n, n, 0, n]), format: "float32x2" } },
      indexBuffer: new Uint32Array([0, 1, 2, 0, 2, 3]),
    });
    this.brush = new Shader({
      glProgram: GlProgram.from({ vertex: VERTEX, fragment: COLOUR, name: "colour" }),
      resources: { uCells: this.blankCells, uMarks: this.blankCells, uLut: this.lut, tile: this.model, paint: this.paint },
    });
    this.easel.addChild(new Mesh({ geometry: this.geometry, shader: this.brush }));
  }

  setTheme(theme: Theme): void {
    const old = this.lut;
    this.lut = source(buildLut(theme), LUT_WIDTH, LUT_ROWS, "rgba8unorm");
    this.brush.resources["uLut"] = this.lut;
    old.destroy();
    this.app.renderer.background.color = theme === "dark" ? 0x0a0d14 : 0xf4f6fa;
    (this.paint.uniforms.uPaint as Float32Array)[1] = theme === "light" ? 1 : 0;
    (this.look.uniforms.uView as Float32Array)[2] = theme === "light" ? 1 : 0;
    this.paint.update();
  }

  setPalette(position: number): void {
    (this.paint.uniforms.uPaint as Float32Array)[0] = position;
    this.paint.update();
  }

  resize(): void {
    this.app.resize();
    this.last = "";
  }

  /** Draws tiles, coarse ones first. True while something still moves. */
  draw(show: Tile[], camera: Camera, view: View, now: number): boolean {
    let moving = false;
    const dpr = this.app.renderer.resolution;
    const paint = (this.paint.uniforms.uPaint as Float32Array).join();
    const finest = show[show.length - 1];
    const look = this.look.uniforms.uView as Float32Array;
    look[0] = finest ? camera.scale * 2 ** finest.level : 1;
    look[1] = this.smooth ? 1 : 0;
    const frame = [`${paint} ${look.join()} ${view.w} ${view.h}`];
    const shown = new Set<string>();
    show.forEach((tile, order) => {
      const d = this.drawnFor(tile, paint);
      shown.add(tile.key);
      const side = TILE * 2 ** tile.level * camera.scale;
      const x = (tile.tx * TILE * 2 ** tile.level - camera.x) * camera.scale + view.w / 2;
      const y = (tile.ty * TILE * 2 ** tile.level - camera.y) * camera.scale + view.h / 2;
      // Device pixels to the renderer's units; edges on whole pixels so that no seam shows.
      const x0 = Math.round(x);
      const y0 = Math.round(y);
      const [w, h] = [Math.round(x + side) - x0, Math.round(y + side) - y0];
      d.mesh.position.set(x0 / dpr, y0 / dpr);
      d.mesh.scale.set(w / TILE / dpr, h / TILE / dpr);
      d.mesh.zIndex = order;
      d.mesh.visible = true;
      const fade = this.reducedMotion ? 1 : Math.min(1, (now - tile.arrivedAt) / FADE_IN_MS);
      const glow = tile.changedAt === 0 || !this.glows ? 0 : Math.max(0, 1 - (now - tile.changedAt) / GLOW_MS);
      const steady = this.reducedMotion ? (glow > 0 ? 0.7 : 0) : glow ** 1.5;
      const u = d.uniforms.uniforms.uTile as Float32Array;
      u[0] = steady;
      u[1] = fade;
      u[2] = d.changed === this.blankChanged ? 1 : 0;
      d.uniforms.update();
      frame.push(`${tile.key} ${tile.version} ${x0} ${y0} ${w} ${h} ${steady} ${fade}`);
      moving ||= fade < 1 || glow > 0;
    });
    for (const [key, d] of this.drawn) if (!shown.has(key)) this.putAway(d);
    const text = frame.join("\n");
    if (text !== this.last) {
      this.last = text;
      this.look.update();
      this.work.frames++;
      this.app.renderer.render(this.app.stage);
    }
    return moving;
  }

  private drawnFor(tile: Tile, paint: string): Drawn {
    let d = this.drawn.get(tile.key);
    if (!d) {
      const uniforms = new UniformGroup({ uTile: { value: new Float32Array([0, 1, 1]), type: "vec3<f32>" } });
      const shader = new Shader({ glProgram: this.program, resources: { uPicture: this.blankCells, uChanged: this.blankChanged, tile: uniforms, look: this.look } });
      const mesh = new Mesh({ geometry: this.geometry, shader });
      this.layer.addChild(mesh);
      d = { mesh, uniforms, version: 0, cells: this.blankCells, marks: this.blankCells, changed: this.blankChanged, picture: null, painted: "" };
      this.drawn.set(tile.key, d);
    }
    if (d.version !== tile.version && tile.data) this.upload(d, tile);
    const wanted = `${d.version} ${paint}`;
    if (!d.picture || d.painted !== wanted) this.paintTile(d, tile, wanted);
    return d;
  }

  private upload(d: Drawn, tile: Tile): void {
    const data = tile.data;
    if (!data) return;
    d.version = tile.version;
    const old = [d.cells, d.changed, d.marks];
    d.cells = this.put(d.cells, data.cells, "rgba8unorm") ?? this.blankCells;
    d.changed = this.put(d.changed, data.changed, "r8unorm") ?? this.blankChanged;
    d.marks = data.marks.length === 4 ? this.flat(data.marks) : (this.put(d.marks, data.marks, "rgba8unorm") ?? this.blankCells);
    if ((d.mesh.shader as Shader).resources["uChanged"] !== d.changed) (d.mesh.shader as Shader).resources["uChanged"] = d.changed;
    this.work.uploads++;
    // The brush must not hold what is destroyed.
    this.brush.resources["uCells"] = d.cells;
    this.brush.resources["uMarks"] = d.marks;
    for (const s of old) if (!this.isShared(s) && s !== d.cells && s !== d.changed && s !== d.marks) s.destroy();
  }

  /** A texture that holds `data`: the one that is there, where it is this tile's own. None of no data. */
  private put(there: TextureSource, data: Uint8Array<ArrayBuffer>, format: "rgba8unorm" | "r8unorm"): TextureSource | null {
    if (data.length === 0) return null;
    if (this.isShared(there)) return source(data, TILE, TILE, format);
    there.resource = data;
    there.update();
    return there;
  }

  /** Colours each cell of a tile once. */
  private paintTile(d: Drawn, tile: Tile, as: string): void {
    d.picture ??= this.spare.pop() ?? RenderTexture.create({ width: TILE, height: TILE, resolution: 1, scaleMode: "linear", antialias: false });
    d.painted = as;
    this.brush.resources["uCells"] = d.cells;
    this.brush.resources["uMarks"] = d.marks;
    const u = this.model.uniforms.uTile as Float32Array;
    u[0] = tile.data?.channels ?? 0;
    u[1] = (tile.data?.marks.length ?? 0) === 4 ? 1 : 0;
    this.model.update();
    this.app.renderer.render({ container: this.easel, target: d.picture, clear: true });
    (d.mesh.shader as Shader).resources["uPicture"] = d.picture.source;
    this.work.pictures++;
  }

  /** What left the screen gives its picture back; its cells stay. */
  private putAway(d: Drawn): void {
    d.mesh.visible = false;
    if (!d.picture) return;
    (d.mesh.shader as Shader).resources["uPicture"] = this.blankCells;
    if (this.spare.length < MOST_SPARE) this.spare.push(d.picture);
    else d.picture.destroy(true);
    d.picture = null;
  }

  private isShared(s: TextureSource): boolean {
    return s === this.blankCells || s === this.blankChanged || [...this.flatMarks.values()].includes(s);
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
      this.putAway(d);
      this.layer.removeChild(d.mesh);
      d.mesh.destroy();
      this.brush.resources["uCells"] = this.brush.resources["uMarks"] = this.blankCells;
      for (const s of [d.cells, d.changed, d.marks]) if (!this.isShared(s)) s.destroy();
      this.drawn.delete(key);
    }
  }
}
