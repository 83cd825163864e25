// The scene: where one looks, what is drawn for it, and how one gets from place to place.
//
// Knows: the camera, the stores, the renderers. Must never know: keys, messages of the server.
// Keeps: a frame is drawn only when something changed; tiles that come or grow old are looked after
// without drawing what did not change.

import { type Activity } from "./wire.ts";
import { type Chain, type Hit, type WorldInfo, api } from "./api.ts";
import { type Camera, type View, fit, fly, toScreen, toWorld, toRanges, visibleTiles, zoomAt } from "./camera.ts";
import { LAYOUTS, indexToPoint, pointToIndex } from "./curve.ts";
import { el } from "./dom.ts";
import { addressOf, formatHex } from "./format.ts";
import { Inspector } from "./inspector.ts";
import { Live } from "./live.ts";
import { type Node, NodeStore } from "./nodes.ts";
import { type Box, Overlay, PULSE_MS, type Pin, type Pulse } from "./overlay.ts";
import { ActivityPanel, Breadcrumb, Legend, Messages, Minimap, SearchPanel, helpDialog } from "./panels.ts";
import { PALETTES, PALETTE_IDS, type Theme } from "./palettes.ts";
import { Renderer, isSoftware } from "./renderer.ts";
import { type Run, bounds } from "./shapes.ts";
import { TileStore } from "./tiles.ts";
import { type ViewState, formatState, parseState } from "./url.ts";
import { Stats } from "./stats.ts";

/** How long what stands over the tiles waits for one. */
const SOON_MS = 100;
/** Between two frames in which what stands over the tiles is another: where there is a GPU, and where not. */
const HEARD_MS = [100, 500] as const;

/** As long as panels are taken to be where they were. */
const COVERS_MS = 100;

interface Flight {
  from: Camera;
  to: Camera;
  begun: number;
  ms: number;
}

export abstract class Scene {
  protected abstract goToActivity(entry: Activity): void;
  protected abstract select(node: Node | null, offset: number | null, open?: boolean): void;
  protected abstract showGeneration(node: Node | null, generation: number | null): void;

  readonly nodes = new NodeStore();
  readonly renderer = new Renderer();
  readonly overlay = new Overlay(this.nodes);
  readonly live = new Live();
  readonly stats = new Stats();
  protected readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  readonly tiles = new TileStore((m) => this.worker.postMessage(m));
  readonly messages = new Messages();
  protected readonly activity = new ActivityPanel((entry) => this.goToActivity(entry));
  protected readonly search = new SearchPanel();
  protected readonly legend = new Legend();
  protected readonly minimap = new Minimap();
  /** Version of the tile that the minimap shows. */
  protected mapped = 0;
  protected readonly breadcrumb = new Breadcrumb();
  protected readonly help = helpDialog();
  protected readonly tip = el("div", { class: "tip", hidden: true });
  protected readonly spoken = el("div", { class: "sr-only", "aria-live": "polite", role: "status" });
  protected readonly status = el("span", { class: "live-state off", role: "status" }, "");
  protected readonly folding = el("span", { class: "folding faint" });
  protected readonly paletteSelect = el("select", { "aria-label": "Palette" }, ...PALETTES.map((p, i) => el("option", { value: p.id, title: p.says }, `${i + 1}  ${p.name}`)));
  protected readonly layoutSelect = el("select", { "aria-label": "Curve" }, ...LAYOUTS.map((l) => el("option", { value: l }, l === "hilbert" ? "Hilbert curve" : l === "z-order" ? "Z-order" : "Rows in tiles")));
  private covered: Box[] = [];
  protected coveredAt = -Infinity;
  protected readonly bar = el("header", { class: "bar" });
  protected readonly inspector: Inspector;
  world: WorldInfo | null = null;
  camera: Camera = { x: 0, y: 0, scale: 1 };
  view: View = { w: 1, h: 1 };
  protected dpr = 1;
  protected theme: Theme = "dark";
  protected state: ViewState;
  protected flight: Flight | null = null;
  protected dirty = true;
  /** Tiles are not what they were; whether that shows is found out by looking. */
  protected untended = false;
  /** When what stands over the tiles is drawn at the latest. */
  private dueAt = Infinity;
  private heardAt = -Infinity;
  private readonly heardMs = HEARD_MS[isSoftware() ? 1 : 0];
  protected tendTimer = 0;
  protected pulseTimer = 0;
  protected frame = 0;
  protected selected: Node | null = null;
  protected offset: number | null = null;
  protected hovered: Node | null = null;
  protected pulses: Pulse[] = [];
  protected pins: Pin[] = [];
  protected hits: Hit[] = [];
  protected hitAt = -1;
  protected diffs: Run[] = [];
  protected paused = false;
  protected following = false;
  protected followedAt = 0;
  protected heldNodes = new Set<number>();
  protected pointer: { x: number; y: number } | null = null;
  protected spokenTimer = 0;
  protected urlTimer = 0;
  /** The address as it was last read or written here. */
  protected known = window.location.hash;
  protected home: Camera | null = null;
  protected searchAbort = new AbortController();
  protected worldTimer = 0;

  constructor(protected readonly stage: HTMLElement) {
    this.state = parseState(window.location.hash, PALETTE_IDS);
    this.inspector = new Inspector(
      this.nodes,
      {
        flyTo: (node, offset, length) => this.flyToNode(node, offset, length),
        showGeneration: (node, generation) => this.showGeneration(node, generation),
        showDiff: (node, ranges) => {
          const start = node.runs[0]?.[0] ?? 0;
          this.diffs = ranges.map(([a, b]) => [start + a, start + b] as Run);
          this.touch();
        },
        openPath: (path, offset, length) => void this.openAt(path, offset, length),
      },
      () => this.select(null, null),
    );
  }

  protected homeCamera(): Camera {
    const runs: Run[] = (this.nodes.root?.children_ ?? []).flatMap((n) => n.runs);
    const boxes = runs.map((r) => bounds(this.tiles.layout === "scan" ? "hilbert" : this.tiles.layout, r));
    if (boxes.length === 0) return { x: 128, y: 128, scale: 2 };
    const x0 = Math.min(...boxes.map((b) => b.x));
    const y0 = Math.min(...boxes.map((b) => b.y));
    const x1 = Math.max(...boxes.map((b) => b.x + b.w));
    const y1 = Math.max(...boxes.map((b) => b.y + b.h));
    return fit({ x: x0, y: y0, w: x1 - x0, h: y1 - y0 }, this.view, 0.09);
  }

  touch(): void {
    this.dirty = true;
  }

  /**
   * What stands over the tiles is another. It is drawn a few times a second, and after the tiles that came: it
   * costs many times what they do, and nobody reads faster.
   */
  soon(): void {
    this.dueAt = Math.min(this.dueAt, Math.max(performance.now() + SOON_MS, this.heardAt + this.heardMs));
  }

  /** Takes in what was told since the last time. */
  protected heard(): void {}

  /** Whether all that was asked for has been drawn. */
  get drawn(): boolean {
    return !this.dirty && !this.untended && this.dueAt === Infinity && this.flight === null;
  }

  tend(): void {
    this.untended = true;
  }

  protected resize(): void {
    this.dpr = this.renderer.app.renderer.resolution;
    const r = this.stage.getBoundingClientRect();
    this.renderer.resize();
    this.view = { w: Math.max(1, Math.round(r.width * this.dpr)), h: Math.max(1, Math.round(r.height * this.dpr)) };
    this.overlay.resize(this.view);
    this.coveredAt = -Infinity;
    this.touch();
  }

  protected loop(): void {
    const step = (now: number): void => {
      this.frame = requestAnimationFrame(step);
      const begun = performance.now();
      this.advance(now);
      if (this.dueAt + (this.tiles.came ? this.heardMs : 0) <= begun) {
        this.dueAt = Infinity;
        this.heardAt = begun;
        this.heard();
        this.touch();
      }
      this.tiles.came = false;
      if (!this.dirty && !this.untended) return;
      // A flight, a fading pulse or a tile that waits for its turn asks for the next frame itself.
      if (this.dirty) this.draw(now);
      else this.drawTiles(now);
      this.stats.frame(performance.now() - begun);
    };
    this.frame = requestAnimationFrame(step);
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
  }

  protected advance(now: number): void {
    if (!this.flight) return;
    const t = this.flight.ms === 0 ? 1 : Math.min(1, (now - this.flight.begun) / this.flight.ms);
    this.camera = fly(this.flight.from, this.flight.to, this.view, t);
    if (t >= 1) {
      this.flight = null;
      this.noteUrl();
    }
    this.touch();
  }

  /** Asks for tiles that are missing, and shows those that are here. */
  protected drawTiles(now: number): void {
    this.untended = false;
    const { show, wanted, level, later } = this.tiles.update(this.camera, this.view, now);
    const moving = this.renderer.draw(show, this.camera, this.view, now);
    this.renderer.sweep((key) => this.tiles.tiles.has(key));
    this.subscribe(wanted, level);
    this.stats.tiles(wanted.length, wanted.filter((t) => t.data && !t.stale).length);
    // Drawing twice as fine where the machine is slow is no use to anyone.
    if (this.stats.slow()) this.renderer.smooth = false;
    if (moving || wanted.some((t) => t.retryAt > now)) this.tend();
    // Bytes are written over their cells.
    if (this.tiles.bytesCame && this.camera.scale >= 20 * this.dpr) this.touch();
    this.tiles.bytesCame = false;
    if (later === Infinity) return;
    window.clearTimeout(this.tendTimer);
    this.tendTimer = window.setTimeout(() => this.tend(), Math.max(0, later - now));
  }

  protected draw(now: number): void {
    this.dirty = false;
    this.drawTiles(now);
    this.pulses = this.pulses.filter((p) => now - p.at < 2400);
    const moving = this.overlay.draw({
      camera: this.camera,
      view: this.view,
      layout: this.tiles.layout,
      now,
      selected: this.selected,
      offset: this.offset,
      hovered: this.hovered,
      pulses: this.pulses,
      pins: this.pins,
      diffs: this.diffs,
      byteAt: (i) => this.tiles.byteAt(i),
      dpr: this.dpr,
      reducedMotion: this.renderer.reducedMotion,
      end: this.tiles.end,
      covers: this.covers(now),
    });
    this.drawMinimap();
    this.whereAmI();
    if (moving === "on") this.touch();
    else if (moving === "still") {
      window.clearTimeout(this.pulseTimer);
      this.pulseTimer = window.setTimeout(() => this.touch(), PULSE_MS);
    }
  }

  protected drawMinimap(): void {
    const used = this.home ? Math.max(this.home.x, this.home.y) * 2 : 256;
    this.minimap.draw(this.camera, this.view, this.tiles.top, used, this.theme);
  }

  protected subscribe(wanted: { level: number; index: number }[], level: number): void {
    if (!this.world?.live) return;
    const near = Math.min(level + 2, this.tiles.top);
    const around = visibleTiles(this.tiles.layout, this.camera, this.view, near, this.tiles.end);
    const entries = [{ level, ranges: toRanges(wanted.map((t) => t.index)) }];
    if (near !== level) entries.push({ level: near, ranges: toRanges(around.map((t) => t.index)) });
    if (this.tiles.top !== near) entries.push({ level: this.tiles.top, ranges: [[0, 1]] });
    // Paused, the page shows what it has, and asks about all of it afterwards.
    if (this.live.subscribe(entries) && !this.paused) this.tiles.leave(entries);
  }

  protected whereAmI(): void {
    const at = this.pointer ? toWorld(this.camera, this.view, this.pointer.x, this.pointer.y) : { x: this.camera.x, y: this.camera.y };
    if (at.x < 0 || at.y < 0) return this.breadcrumb.show(this.world?.host ?? "", [], [], null, () => this.goHome());
    const index = pointToIndex(this.tiles.layout, Math.floor(at.x), Math.floor(at.y));
    const chain = this.nodes.chainAt(index);
    const last = chain[chain.length - 1];
    const leaf = last && last.kind !== "directory" ? last : null;
    const offset = leaf ? index - (leaf.runs[0]?.[0] ?? 0) : null;
    const inside = leaf && offset !== null && offset < leaf.size;
    const regions = inside ? this.nodes.regionsAt(leaf, offset).filter((r) => r.kind !== "segment") : [];
    const place = !inside ? null : leaf.kind === "process" ? addressOf(regions, offset) || null : `+${formatHex(offset)}`;
    this.breadcrumb.show(this.world?.host ?? "", chain, regions, place, (node) => (node ? this.flyToNode(node, null) : this.goHome()));
  }

  protected pan(dx: number, dy: number): void {
    this.flight = null;
    this.move({ ...this.camera, x: this.camera.x - dx / this.camera.scale, y: this.camera.y - dy / this.camera.scale });
  }

  protected move(camera: Camera): void {
    this.camera = camera;
    this.noteUrl();
    this.touch();
  }

  protected zoom(sx: number, sy: number, factor: number, smooth: boolean): void {
    const base = this.flight && smooth ? this.flight.to : this.camera;
    const to = zoomAt(base, this.view, sx, sy, factor);
    if (smooth) this.flyTo(to, 220);
    else {
      this.flight = null;
      this.move(to);
    }
  }

  protected fitScreen(x0: number, y0: number, x1: number, y1: number): void {
    const a = toWorld(this.camera, this.view, Math.min(x0, x1), Math.min(y0, y1));
    const b = toWorld(this.camera, this.view, Math.max(x0, x1), Math.max(y0, y1));
    this.flyTo(fit({ x: a.x, y: a.y, w: b.x - a.x, h: b.y - a.y }, this.view, 0), 350);
  }

  flyTo(to: Camera, ms = 900): void {
    this.flight = { from: this.camera, to, begun: performance.now(), ms: this.renderer.reducedMotion ? 0 : ms };
    this.touch();
  }

  goHome(): void {
    this.home = this.homeCamera();
    this.flyTo(this.home);
  }

  /**
   * What stands over the map, in device pixels; the bar first, the small map last. Asking for it lays the page out,
   * so it is not asked for at each frame of a movement.
   */
  private covers(now: number): Box[] {
    if (now - this.coveredAt > COVERS_MS) {
      this.coveredAt = now;
      this.covered = this.measureCovers();
    }
    return this.covered;
  }

  private measureCovers(): Box[] {
    const stage = this.stage.getBoundingClientRect();
    const shown = [this.bar, this.activity.element, this.inspector.element, this.legend.element, this.minimap.canvas];
    return shown.map((element) => {
      const r = element.getBoundingClientRect();
      return { x: (r.left - stage.left) * this.dpr, y: (r.top - stage.top) * this.dpr, w: r.width * this.dpr, h: r.height * this.dpr };
    });
  }

  /** The part of the screen that no panel covers, in device pixels. */
  protected clear(): { x: number; y: number; w: number; h: number } {
    const all = { x: 0, y: 0, w: this.view.w, h: this.view.h };
    if (this.inspector.element.hidden) return all;
    const stage = this.stage.getBoundingClientRect();
    const panel = this.inspector.element.getBoundingClientRect();
    // On a narrow screen it lies at the bottom, else at the right.
    if (panel.width > 0.8 * stage.width) return { ...all, h: Math.max(1, (panel.top - stage.top) * this.dpr) };
    return { ...all, w: Math.max(1, (panel.left - stage.left) * this.dpr) };
  }

  /** The camera that shows a rectangle in what no panel covers. */
  protected frameOf(rect: { x: number; y: number; w: number; h: number }, margin: number, mostScale = Infinity): Camera {
    const clear = this.clear();
    const to = fit(rect, clear, margin);
    const scale = Math.min(to.scale, mostScale);
    const aside = (from: number, size: number, whole: number): number => (whole / 2 - from - size / 2) / scale;
    return { x: to.x + aside(clear.x, clear.w, this.view.w), y: to.y + aside(clear.y, clear.h, this.view.h), scale };
  }

  /** A length of -1 keeps the zoom and only brings the byte into view. */
  protected flyToNode(node: Node, offset: number | null, length?: number): void {
    this.select(node, offset, false);
    const run = node.runs[0];
    if (!run) return;
    const layout = this.tiles.layout === "scan" ? "hilbert" : this.tiles.layout;
    if (offset === null) {
      const { box } = this.nodes.shapeOf(node);
      return this.flyTo(this.frameOf(box, 0.12));
    }
    if (length === -1) {
      const p = indexToPoint(this.tiles.layout, run[0] + offset);
      const clear = this.clear();
      const at = toScreen(this.camera, this.view, p.x, p.y);
      const seen = at.x > 0.1 * clear.w && at.x < 0.9 * clear.w && at.y > 0.1 * clear.h && at.y < 0.9 * clear.h;
      if (!seen) this.flyTo(this.frameOf({ x: p.x, y: p.y, w: 1, h: 1 }, 0, this.camera.scale), 250);
      return;
    }
    const span: Run = [run[0] + offset, run[0] + offset + Math.max(length ?? 1, 1)];
    this.flyTo(this.frameOf(bounds(layout, span), length ? 0.2 : 0.47, 40 * this.dpr));
  }

  protected async openPath(path: string, stay = false): Promise<void> {
    try {
      const chain: Chain = await api.path(path);
      const node = await this.nodes.reveal(chain.nodes);
      if (!node) return;
      this.select(node, null);
      if (!stay) this.flyToNode(node, null);
    } catch (error) {
      this.messages.say(`${path}: ${error instanceof Error ? error.message : String(error)}`, "warn");
    }
  }

  /** To a byte of a file, or a page of a process. */
  protected async openAt(path: string, offset: number, length: number): Promise<void> {
    try {
      const chain = await api.path(path);
      const node = await this.nodes.reveal(chain.nodes);
      if (!node) return;
      await this.nodes.loadRegions(node);
      this.flyToNode(node, offset, length);
    } catch (error) {
      this.messages.say(`${path}: ${error instanceof Error ? error.message : String(error)}`, "warn");
    }
  }

  protected noteUrl(): void {
    window.clearTimeout(this.urlTimer);
    this.urlTimer = window.setTimeout(() => {
      // Before there is a map there is no view of it: a link to nowhere would be kept by a reload.
      if (!this.home) return;
      // Somebody has just typed another: it is on its way to being read, and must not be written over.
      if (window.location.hash !== this.known) return;
      const text = formatState({ ...this.state, camera: this.camera });
      window.history.replaceState(null, "", `#${text}`);
      this.known = window.location.hash;
    }, 250);
  }

  protected showLegend(): void {
    this.legend.show(this.state.palette, this.theme, this.world?.classes ?? [], this.world?.writers ?? []);
  }
}
