// Lines and words over the tiles: outlines, labels, bytes as text, pulses, pins, rulers.
//
// Knows: a 2-D canvas, shapes, the camera. Must never know: the network, the GPU.
// Keeps: positions are differences to the camera in doubles; names that do not fit are not drawn.

import { type Camera, type View, toScreen } from "./camera.ts";
import { type Layout, indexToPoint, pointToIndex } from "./curve.ts";
import { formatBytes, nameOf, sizeOf, visibleName } from "./format.ts";
import type { Node, NodeStore, RegionNode, Shape } from "./nodes.ts";
import { isSoftware } from "./renderer.ts";
import type { Theme } from "./palettes.ts";
import { type Run, squares } from "./shapes.ts";

export interface Pulse {
  run: Run;
  at: number;
  colour: string;
}

export interface Pin {
  index: number;
  label: string;
  active: boolean;
}

const INK: Record<Theme, { halo: string; plate: string; solid: string; name: string; faint: string; directory: string; file: string; region: string; grid: string; accent: string; selected: string; diff: string }> = {
  dark: { halo: "rgba(6,8,13,.92)", plate: "rgba(8,11,18,.82)", solid: "rgba(8,11,18,.97)", name: "#eef3fb", faint: "#93a1b8", directory: "214,226,245", file: "150,168,196", region: "255,255,255", grid: "rgba(160,180,215,", accent: "#ffb454", selected: "#6fe3ff", diff: "#ff5fa2" },
  light: { halo: "rgba(255,255,255,.92)", plate: "rgba(255,255,255,.88)", solid: "rgba(255,255,255,.98)", name: "#152033", faint: "#5c6a80", directory: "30,44,70", file: "86,102,130", region: "10,16,30", grid: "rgba(40,60,100,", accent: "#c2570c", selected: "#0077b6", diff: "#c2185b" },
};

const SANS = 'Inter, system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
const MONO = 'ui-monospace, "JetBrains Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace';
export const PULSE_MS = 2200;
/** Scale, in CSS pixels a byte, from which bytes are written into their cells. */
const BYTES_FROM = 20;
/** Extent of a file, in CSS pixels, from which its sections are drawn. */
const SECTIONS_FROM = 260;
/** Of a name that is cut, at least so many letters are shown. */
const LEAST_LETTERS = 7;
/** How strong and how wide the outline of a directory is, by its depth: what is outer is what one steers by. */
const DEPTHS: readonly (readonly [number, number])[] = [[0.95, 2.6], [0.95, 2.6], [0.74, 1.9], [0.5, 1.3], [0.36, 1.1], [0.28, 1], [0.22, 1]];

export interface Scene {
  camera: Camera;
  view: View;
  layout: Layout;
  now: number;
  selected: Node | null;
  offset: number | null;
  hovered: Node | null;
  pulses: Pulse[];
  pins: Pin[];
  diffs: Run[];
  byteAt: (index: number) => number | null;
  dpr: number;
  reducedMotion: boolean;
  end: number;
  /** What panels cover, the bar at the top first and the small map last: nothing is written under them. */
  covers: Box[];
}

/** Regions that hold others: sections of a file, mappings of a process. */
const isOuter = (kind: string): boolean => kind !== "function" && kind !== "object" && kind !== "symbol";

export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

export class Overlay {
  readonly canvas = document.createElement("canvas");
  private readonly g: CanvasRenderingContext2D;
  theme: Theme = "dark";
  labels = true;
  /** Boxes that already hold words in this frame. */
  private taken: Box[] = [];

  constructor(private readonly nodes: NodeStore) {
    // Without a GPU what draws lines and words stands in the way of what draws tiles: then it is done in memory.
    const g = this.canvas.getContext("2d", { willReadFrequently: isSoftware() });
    if (!g) throw new Error("this browser has no 2-D canvas");
    this.g = g;
    this.canvas.className = "overlay";
    this.canvas.setAttribute("aria-hidden", "true");
  }

  resize(view: View): void {
    if (this.canvas.width === view.w && this.canvas.height === view.h) return;
    this.canvas.width = view.w;
    this.canvas.height = view.h;
  }

  /** Draws everything. Says whether pulses are fading, or wait for their end, or are none. */
  draw(s: Scene): "on" | "still" | "no" {
    const g = this.g;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, s.view.w, s.view.h);
    this.taken = [...s.covers];
    this.grid(s);
    const seen = this.nodes.visible(s.camera, s.view, 14 * s.dpr);
    this.outlines(s, seen);
    if (s.camera.scale >= BYTES_FROM * s.dpr) this.bytes(s);
    const moving = this.pulses(s);
    this.marks(s);
    this.pins(s);
    if (this.labels) this.names(s, seen);
    this.rulers(s);
    // Without motion a pulse looks the same until it ends.
    return !moving ? "no" : s.reducedMotion && s.pulses.every((p) => p.at <= s.now) ? "still" : "on";
  }

  private path(s: Scene, shape: Shape, inset: number): Path2D {
    const path = new Path2D();
    for (const polygon of shape.polygons) {
      const points = polygon.map((p) => toScreen(s.camera, s.view, p.x, p.y));
      const n = points.length;
      const r = Math.min(5 * s.dpr, (shape.square.side * s.camera.scale) / 5);
      points.forEach((p, i) => {
        // Corners are cut round; the line keeps inside its parcel.
        const a = points[(i + n - 1) % n] ?? p;
        const b = points[(i + 1) % n] ?? p;
        const la = Math.hypot(a.x - p.x, a.y - p.y) || 1;
        const lb = Math.hypot(b.x - p.x, b.y - p.y) || 1;
        const ux = (a.x - p.x) / la;
        const uy = (a.y - p.y) / la;
        const vx = (b.x - p.x) / lb;
        const vy = (b.y - p.y) / lb;
        const convex = ux * vy - uy * vx < 0 ? 1 : -1;
        const q = { x: p.x + (ux + vx) * inset * convex, y: p.y + (uy + vy) * inset * convex };
        const ra = Math.min(r, la / 2);
        const rb = Math.min(r, lb / 2);
        if (i === 0) path.moveTo(q.x + ux * ra, q.y + uy * ra);
        else path.lineTo(q.x + ux * ra, q.y + uy * ra);
        path.quadraticCurveTo(q.x, q.y, q.x + vx * rb, q.y + vy * rb);
      });
      path.closePath();
    }
    return path;
  }

  private extent(s: Scene, shape: Shape): number {
    return Math.max(shape.box.w, shape.box.h) * s.camera.scale;
  }

  private outlines(s: Scene, seen: Node[]): void {
    const g = this.g;
    const ink = INK[this.theme];
    const screen = Math.max(s.view.w, s.view.h);
    g.lineJoin = "round";
    for (const node of seen) {
      const shape = this.nodes.shapeOf(node);
      const extent = this.extent(s, shape);
      const near = Math.min(1, (extent / s.dpr - 14) / 60);
      // What is larger than the screen is where we are, not what we look at.
      const far = extent > screen * 2.5 ? Math.max(0.12, (screen * 2.5) / extent) : 1;
      if (node.kind === "directory") {
        const [strength, width] = DEPTHS[Math.min(node.depth, DEPTHS.length - 1)] ?? [0.2, 1];
        g.strokeStyle = `rgba(${ink.directory},${strength * near * far})`;
        g.lineWidth = width * s.dpr;
        g.stroke(this.path(s, shape, Math.max(1, width / 2) * s.dpr));
      } else if (extent > 26 * s.dpr) {
        // Where its sections are drawn, a file stands out from them.
        const whole = extent > SECTIONS_FROM * s.dpr;
        g.strokeStyle = node.state === "unreadable" ? "rgba(255,90,90,.8)" : `rgba(${whole ? ink.directory : ink.file},${(whole ? 0.8 : 0.4) * near * far})`;
        g.lineWidth = (whole ? 1.6 : 1) * s.dpr;
        g.stroke(this.path(s, shape, 0.8 * s.dpr));
      }
      if (node === s.hovered && node !== s.selected && extent < screen * 2) {
        g.strokeStyle = ink.name;
        g.lineWidth = 1.6 * s.dpr;
        g.stroke(this.path(s, shape, s.dpr));
      }
      if (node.regions && extent > SECTIONS_FROM * s.dpr) this.regionLines(s, node);
    }
    if (s.selected && s.selected.runs.length > 0) {
      g.strokeStyle = ink.selected;
      g.lineWidth = 2.4 * s.dpr;
      g.stroke(this.path(s, this.nodes.shapeOf(s.selected), 0));
    }
  }

  private visibleRegions(s: Scene, node: Node, least: number): RegionNode[] {
    const half = { x: s.view.w / 2 / s.camera.scale, y: s.view.h / 2 / s.camera.scale };
    return (node.regions ?? []).filter((r) => {
      if (r.kind === "segment" || (r.end - r.start) * s.camera.scale ** 2 < least) return false;
      const { box } = this.nodes.shapeOf(r);
      return box.x < s.camera.x + half.x && box.x + box.w > s.camera.x - half.x && box.y < s.camera.y + half.y && box.y + box.h > s.camera.y - half.y;
    });
  }

  private regionLines(s: Scene, node: Node): void {
    const g = this.g;
    const ink = INK[this.theme];
    for (const r of this.visibleRegions(s, node, 500 * s.dpr * s.dpr)) {
      const section = isOuter(r.kind);
      g.strokeStyle = `rgba(${ink.region},${section ? 0.42 : 0.2})`;
      g.lineWidth = (section ? 1.2 : 1) * s.dpr;
      g.setLineDash(section ? [] : [3 * s.dpr, 3 * s.dpr]);
      g.stroke(this.path(s, this.nodes.shapeOf(r), 0.5 * s.dpr));
    }
    g.setLineDash([]);
  }

  /** Writes a name on a plate, unless something is written there. */
  private plate(s: Scene, x: number, y: number, text: string, small: string | null, size: number, most: number, bold: boolean): boolean {
    const g = this.g;
    const ink = INK[this.theme];
    const px = size * s.dpr;
    g.font = `${bold ? 650 : 500} ${px}px ${SANS}`;
    let shown = text;
    let w = g.measureText(shown).width;
    const pad = 5 * s.dpr;
    if (w + 2 * pad > most) {
      const keep = Math.floor((shown.length * (most - 2 * pad)) / w) - 1;
      if (keep < LEAST_LETTERS) return false;
      shown = `${shown.slice(0, keep)}\u2026`;
      w = g.measureText(shown).width;
    }
    let extra = 0;
    if (small) {
      g.font = `500 ${px * 0.82}px ${SANS}`;
      extra = g.measureText(small).width + 6 * s.dpr;
      if (w + extra + 2 * pad > most) {
        small = null;
        extra = 0;
      }
    }
    const h = px * 1.5;
    const box = { x, y, w: w + extra + 2 * pad, h };
    if (this.isTaken(box)) return false;
    this.taken.push(box);
    // Between bytes that are written out, a name needs a ground of its own.
    g.fillStyle = s.camera.scale >= BYTES_FROM * s.dpr ? ink.solid : ink.plate;
    g.beginPath();
    g.roundRect(box.x, box.y, box.w, box.h, 4 * s.dpr);
    g.fill();
    g.textBaseline = "middle";
    g.textAlign = "left";
    g.font = `${bold ? 650 : 500} ${px}px ${SANS}`;
    g.fillStyle = ink.name;
    g.fillText(shown, x + pad, y + h / 2 + 0.5 * s.dpr);
    if (small) {
      g.font = `500 ${px * 0.82}px ${SANS}`;
      g.fillStyle = ink.faint;
      g.fillText(small, x + pad + w + 6 * s.dpr, y + h / 2 + 0.5 * s.dpr);
    }
    return true;
  }

  private isTaken(box: Box): boolean {
    return this.taken.some((t) => t.x < box.x + box.w && box.x < t.x + t.w && t.y < box.y + box.h && box.y < t.y + t.h);
  }

  private names(s: Scene, seen: Node[]): void {
    const top = s.covers[0]?.h ?? 0;
    // Outer names first, larger first: they are what one steers by.
    const order = [...seen].sort((a, b) => this.extent(s, this.nodes.shapeOf(b)) - this.extent(s, this.nodes.shapeOf(a)));
    let written = 0;
    for (const node of order) {
      if (written > 220) break;
      const { square } = this.nodes.shapeOf(node);
      const side = square.side * s.camera.scale;
      const directory = node.kind === "directory";
      if (side < (directory ? 58 : 66) * s.dpr) continue;
      const at = toScreen(s.camera, s.view, square.x, square.y);
      const right = Math.min(at.x + side, s.view.w);
      const bottom = Math.min(at.y + side, s.view.h);
      // The name stays in sight while any of its square is.
      const x = Math.max(at.x, 0) + 7 * s.dpr;
      let y = Math.max(at.y, top) + 7 * s.dpr;
      const most = right - x - 7 * s.dpr;
      if (most < 34 * s.dpr || y + 16 * s.dpr > bottom || at.x > s.view.w || right < 0) continue;
      const size = directory ? Math.max(11, Math.min(19 - node.depth * 1.6, 9 + side / s.dpr / 60)) : Math.max(10.5, Math.min(13, 8 + side / s.dpr / 80));
      // A directory that holds one directory says so in one name.
      if (directory && node.children_?.length === 1 && node.children_[0]?.kind === "directory") continue;
      const name = directory ? `${this.nodes.chainName(node)}/` : nameOf(node);
      const small = directory ? null : sizeOf(node);
      // What begins at the same corner as what holds it says so below it.
      for (let line = 0; line < 4 && y + 16 * s.dpr <= bottom; line++, y += 25 * s.dpr) {
        if (!this.plate(s, x, y, name, small, size, most, directory && node.depth <= 2)) continue;
        written++;
        break;
      }
      if (node.regions && this.extent(s, this.nodes.shapeOf(node)) > 420 * s.dpr) written += this.regionNames(s, node);
    }
  }

  private regionNames(s: Scene, node: Node): number {
    let written = 0;
    const regions = this.visibleRegions(s, node, 3000 * s.dpr * s.dpr).sort((a, b) => b.end - b.start - (a.end - a.start));
    for (const r of regions.slice(0, 160)) {
      const { square } = this.nodes.shapeOf(r);
      const side = square.side * s.camera.scale;
      if (side < 52 * s.dpr) continue;
      const at = toScreen(s.camera, s.view, square.x, square.y);
      const right = Math.min(at.x + side, s.view.w);
      const x = Math.max(at.x, 0) + 6 * s.dpr;
      const y = Math.max(at.y, s.covers[0]?.h ?? 0) + 6 * s.dpr;
      if (y + 14 * s.dpr > at.y + side || right < 0 || at.x > s.view.w || y > s.view.h) continue;
      // Beside the name of what holds it, one line lower.
      for (const line of [0, 1, 2, 3]) {
        const yy = y + line * 21 * s.dpr;
        if (yy + 14 * s.dpr > at.y + side) break;
        if (this.plate(s, x, yy, visibleName(r.name), isOuter(r.kind) ? sizeOf({ kind: node.kind, size: r.end - r.start }) : null, 10.5, right - x - 6 * s.dpr, false)) {
          written++;
          break;
        }
      }
    }
    return written;
  }

  /** Single bytes, written into their cells. */
  private bytes(s: Scene): void {
    const g = this.g;
    const size = s.camera.scale;
    const x0 = Math.max(0, Math.floor(s.camera.x - s.view.w / 2 / size));
    const y0 = Math.max(0, Math.floor(s.camera.y - s.view.h / 2 / size));
    const x1 = Math.ceil(s.camera.x + s.view.w / 2 / size);
    const y1 = Math.ceil(s.camera.y + s.view.h / 2 / size);
    if ((x1 - x0) * (y1 - y0) > 12000) return;
    const fade = Math.min(1, (size / s.dpr - 20) / 8);
    g.textAlign = "center";
    g.textBaseline = "middle";
    const both = size > 34 * s.dpr;
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        const byte = s.byteAt(pointToIndex(s.layout, x, y));
        if (byte === null) continue;
        const p = toScreen(s.camera, s.view, x + 0.5, y + 0.5);
        const printable = byte > 32 && byte < 127;
        g.fillStyle = byte === 0 ? `rgba(140,155,180,${0.5 * fade})` : `rgba(4,7,12,${0.9 * fade})`;
        g.font = `600 ${size * (both ? 0.3 : 0.42)}px ${MONO}`;
        g.fillText(byte.toString(16).padStart(2, "0"), p.x, p.y + (both && printable ? size * 0.22 : 0));
        if (both && printable) {
          g.font = `700 ${size * 0.42}px ${MONO}`;
          g.fillText(String.fromCharCode(byte), p.x, p.y - size * 0.16);
        }
      }
    }
  }

  private pulses(s: Scene): boolean {
    const g = this.g;
    const ink = INK[this.theme];
    let moving = false;
    for (const pulse of s.pulses) {
      const age = (s.now - pulse.at) / PULSE_MS;
      if (age >= 1 || age < 0) continue;
      moving = true;
      const strength = s.reducedMotion ? 0.8 : (1 - age) ** 2;
      const found = squares(s.layout === "scan" ? "hilbert" : s.layout, pulse.run, 24);
      let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
      g.fillStyle = pulse.colour || ink.accent;
      for (const q of found) {
        const p = toScreen(s.camera, s.view, q.x, q.y);
        const side = q.side * s.camera.scale;
        [x0, y0, x1, y1] = [Math.min(x0, p.x), Math.min(y0, p.y), Math.max(x1, p.x + side), Math.max(y1, p.y + side)];
        g.globalAlpha = 0.34 * strength;
        if (side > 1.5) g.fillRect(p.x, p.y, side, side);
      }
      // However small it is from here, it is seen: a ring that spreads and fades.
      const small = Math.max(x1 - x0, y1 - y0) < 90 * s.dpr;
      if (small && x1 > 0 && x0 < s.view.w) {
        const r = ((x1 - x0) / 2 + 5 * s.dpr) * (s.reducedMotion ? 1 : 1 + age * 1.4) + 3 * s.dpr;
        g.globalAlpha = 0.95 * strength;
        g.strokeStyle = pulse.colour || ink.accent;
        g.lineWidth = 2 * s.dpr;
        g.beginPath();
        g.arc((x0 + x1) / 2, (y0 + y1) / 2, r, 0, 2 * Math.PI);
        g.stroke();
      }
    }
    g.globalAlpha = 1;
    return moving;
  }

  /** The chosen byte, and what a comparison found. */
  private marks(s: Scene): void {
    const g = this.g;
    const ink = INK[this.theme];
    g.strokeStyle = ink.diff;
    g.lineWidth = 2 * s.dpr;
    for (const run of s.diffs.slice(0, 400)) {
      for (const q of squares(s.layout === "scan" ? "hilbert" : s.layout, run, 12)) {
        const p = toScreen(s.camera, s.view, q.x, q.y);
        const side = Math.max(q.side * s.camera.scale, 3);
        g.strokeRect(p.x, p.y, side, side);
      }
    }
    const start = s.selected?.runs[0]?.[0];
    if (s.offset === null || start === undefined || s.selected?.kind === "directory") return;
    const at = indexToPoint(s.layout, start + s.offset);
    const p = toScreen(s.camera, s.view, at.x, at.y);
    const side = Math.max(s.camera.scale, 1);
    g.strokeStyle = ink.selected;
    if (side > 6) g.strokeRect(p.x - 1, p.y - 1, side + 2, side + 2);
    const arm = 12 * s.dpr;
    g.beginPath();
    for (const [dx, dy] of [[-1, 0], [1, 0], [0, -1], [0, 1]] as const) {
      const gap = side / 2 + 4 * s.dpr;
      g.moveTo(p.x + side / 2 + dx * gap, p.y + side / 2 + dy * gap);
      g.lineTo(p.x + side / 2 + dx * (gap + arm), p.y + side / 2 + dy * (gap + arm));
    }
    g.stroke();
  }

  private pins(s: Scene): void {
    const g = this.g;
    const ink = INK[this.theme];
    for (const pin of s.pins) {
      const at = indexToPoint(s.layout, pin.index);
      const p = toScreen(s.camera, s.view, at.x, at.y);
      if (p.x < -20 || p.y < -20 || p.x > s.view.w + 20 || p.y > s.view.h + 20) continue;
      const r = (pin.active ? 8 : 5.5) * s.dpr;
      g.beginPath();
      g.arc(p.x, p.y - r * 1.9, r, Math.PI * 0.85, Math.PI * 0.15);
      g.lineTo(p.x, p.y);
      g.closePath();
      g.fillStyle = pin.active ? ink.accent : ink.selected;
      g.strokeStyle = ink.halo;
      g.lineWidth = 1.5 * s.dpr;
      g.fill();
      g.stroke();
      this.taken.push({ x: p.x - r, y: p.y - r * 3, w: 2 * r, h: r * 3 });
    }
    const active = s.pins.find((pin) => pin.active);
    if (!active) return;
    const at = indexToPoint(s.layout, active.index);
    const p = toScreen(s.camera, s.view, at.x, at.y);
    // What it is called stands beside it, over other pins.
    const others = this.taken;
    this.taken = [...s.covers];
    this.plate(s, p.x + 11 * s.dpr, p.y - 25 * s.dpr, active.label, null, 11.5, 320 * s.dpr, true);
    this.taken = [...others, ...this.taken.slice(s.covers.length)];
  }

  /** Faint lines at powers of two that are neither too near nor too far. */
  private grid(s: Scene): void {
    const g = this.g;
    const ink = INK[this.theme];
    const want = Math.log2((220 * s.dpr) / s.camera.scale);
    const low = Math.max(0, Math.floor(want));
    for (const k of [low, low + 1]) {
      const side = 2 ** k;
      const strength = (1 - Math.abs(k - want)) * 0.1;
      if (strength <= 0) continue;
      g.strokeStyle = `${ink.grid}${strength})`;
      g.lineWidth = 1;
      const limit = Math.sqrt(s.end) * 4 + side;
      g.beginPath();
      for (let x = Math.max(0, Math.ceil((s.camera.x - s.view.w / 2 / s.camera.scale) / side)) * side; x < Math.min(limit, s.camera.x + s.view.w / 2 / s.camera.scale); x += side) {
        const p = Math.round(toScreen(s.camera, s.view, x, 0).x) + 0.5;
        g.moveTo(p, 0);
        g.lineTo(p, s.view.h);
      }
      for (let y = Math.max(0, Math.ceil((s.camera.y - s.view.h / 2 / s.camera.scale) / side)) * side; y < Math.min(limit, s.camera.y + s.view.h / 2 / s.camera.scale); y += side) {
        const p = Math.round(toScreen(s.camera, s.view, 0, y).y) + 0.5;
        g.moveTo(0, p);
        g.lineTo(s.view.w, p);
      }
      g.stroke();
    }
  }

  /** A square of a round number of bytes, to scale. */
  private rulers(s: Scene): void {
    const g = this.g;
    const ink = INK[this.theme];
    // Below the small map, as wide as it at most.
    const map = s.covers[s.covers.length - 1];
    if (!map || s.view.w < 700 * s.dpr) return;
    const k = Math.round(Math.log2((46 * s.dpr) / s.camera.scale));
    const side = 2 ** k * s.camera.scale;
    const x = map.x + map.w - side;
    const y = s.view.h - side - 14 * s.dpr;
    // A power of four is a whole number of its unit.
    const text = k >= 0 ? formatBytes(4 ** k).replace(/\.0+ /, " ") : "< 1 B";
    g.font = `600 ${11 * s.dpr}px ${SANS}`;
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const [width, colour] of [[4, ink.halo], [1.4, ink.name]] as const) {
      g.lineWidth = width * s.dpr;
      g.strokeStyle = colour;
      g.strokeRect(x, y, side, side);
      if (colour === ink.halo) g.strokeText(text, x - 7 * s.dpr, y + side / 2);
    }
    g.fillStyle = ink.name;
    g.fillText(text, x - 7 * s.dpr, y + side / 2);
  }
}
