// The other panels: activity, search, help, legend, minimap, breadcrumb, messages.
//
// Knows: elements and texts. Must never know: the network, the GPU.
// Keeps: what comes from outside is text; lists are bounded.

import type { Hit } from "./api.ts";
import { type Camera, type View } from "./camera.ts";
import { el, fill, icon } from "./dom.ts";
import { formatBytes, formatTime, nameOf, visibleName } from "./format.ts";
import type { Node, RegionNode } from "./nodes.ts";
import { CLASS_COLOURS, type Rgb, type Theme, byteClass, isContent, legend, parseHex, shareColour } from "./palettes.ts";
import { labelOf } from "./rank.ts";
import type { Activity } from "./wire.ts";

const MOST_ENTRIES = 120;

const VERBS: Record<Activity["kind"], string> = { changed: "wrote", removed: "removed", renamed: "renamed to", unreadable: "cannot be read", exec: "ran", mapped: "mapped" };

/** One line of the activity: who did what to which file, how often, and when last. */
interface Row {
  entry: Activity;
  times: number;
  readonly item: HTMLElement;
  readonly time: HTMLElement;
  readonly count: HTMLElement;
}

export class ActivityPanel {
  readonly element = el("section", { class: "panel activity", "aria-label": "Activity" });
  private readonly list = el("ol", { class: "entries" });
  private readonly count = el("span", { class: "faint" }, "nothing yet");
  readonly pause = el("button", { class: "ghost", "aria-pressed": "false", title: "Pause (P)" }, icon("pause"));
  readonly follow = el("button", { class: "ghost", "aria-pressed": "false", title: "Follow what happens (F)" }, icon("follow"));
  /** Lines by who, what and which file; the newest last. */
  private readonly rows = new Map<string, Row>();
  private total = 0;

  constructor(private readonly go: (entry: Activity) => void) {
    const fold = el("button", { class: "ghost title-button", "aria-expanded": "true", onclick: () => this.toggle(fold) }, "Activity");
    this.element.append(el("header", {}, fold, this.count, this.follow, this.pause), this.list);
  }

  private toggle(fold: HTMLElement): void {
    this.list.hidden = !this.list.hidden;
    fold.setAttribute("aria-expanded", String(!this.list.hidden));
  }

  /** What is done again and again is one line, with its number, at the top again. */
  add(entries: Activity[], dropped: number): void {
    this.total += entries.length + dropped;
    fill(this.count, `${this.total.toLocaleString("en")}`);
    for (const entry of entries) {
      const who = entry.comm || entry.exe.split("/").pop() || "someone";
      const key = `${entry.kind} ${who} ${entry.path}`;
      const row = this.rows.get(key) ?? this.newRow(entry, who);
      row.entry = entry;
      row.times++;
      fill(row.time, formatTime(entry.atMs));
      fill(row.count, row.times > 1 ? `\u00d7${row.times.toLocaleString("en")}` : "");
      this.rows.delete(key);
      this.rows.set(key, row);
      // Whoever has it under the keyboard keeps it.
      if (!row.item.contains(document.activeElement)) this.list.prepend(row.item);
    }
    for (const [key, row] of this.rows) {
      if (this.rows.size <= MOST_ENTRIES) break;
      row.item.remove();
      this.rows.delete(key);
    }
  }

  private newRow(entry: Activity, who: string): Row {
    const row: Row = { entry, times: 0, item: el("li", {}), time: el("time", {}), count: el("span", { class: "times" }) };
    const name = entry.path.split("/").pop() || entry.path;
    row.item.append(
      el(
        "button",
        { class: `entry ${entry.kind}`, title: visibleName(entry.path), onclick: () => this.go(row.entry) },
        row.time,
        el("b", {}, visibleName(who)),
        el("span", { class: "verb" }, VERBS[entry.kind]),
        el("span", { class: "name" }, visibleName(name)),
        row.count,
      ),
    );
    return row;
  }
}

export class SearchPanel {
  readonly element = el("dialog", { class: "panel search", "aria-label": "Search" });
  readonly input = el("input", { type: "search", placeholder: "path, symbol, fact, \u201ctext in bytes\u201d", autocomplete: "off", spellcheck: "false", "aria-label": "Search the map", "aria-controls": "hits" });
  private readonly list = el("ol", { class: "hits", id: "hits", role: "listbox" });
  private readonly note = el("p", { class: "faint note", role: "status" }, "sym:  path:  fact:  note:  build-id:  hash:  narrow it");
  private hits: Hit[] = [];
  private active = 0;
  /** Whether an answer is awaited, and whether its first find is gone to when it comes. */
  private isWaiting = false;
  private picksFirst = false;
  onQuery: (q: string) => void = () => {};
  onPick: (hit: Hit) => void = () => {};
  onActive: (at: number) => void = () => {};

  constructor() {
    this.element.append(el("div", { class: "search-box" }, icon("search"), this.input), this.list, this.note);
    this.input.addEventListener("input", () => this.onQuery(this.input.value));
    this.input.addEventListener("keydown", (e) => {
      if (e.key === "ArrowDown" || e.key === "ArrowUp") {
        e.preventDefault();
        this.activate(this.active + (e.key === "ArrowDown" ? 1 : -1));
      } else if (e.key === "Enter") {
        const hit = this.hits[this.active];
        // What is listed may still be what an earlier word found.
        if (this.isWaiting) this.picksFirst = true;
        else if (hit) this.pick(hit);
      } else if (e.key === "Escape") {
        // A browser would empty the field first, and take the pins away.
        e.preventDefault();
        this.picksFirst = false;
        this.element.close();
      }
    });
  }

  open(): void {
    if (!this.element.open) this.element.showModal();
    this.input.select();
  }

  private pick(hit: Hit): void {
    this.element.close();
    this.onPick(hit);
  }

  private activate(at: number): void {
    if (this.hits.length === 0) return;
    this.active = (at + this.hits.length) % this.hits.length;
    [...this.list.children].forEach((item, i) => {
      item.setAttribute("aria-selected", String(i === this.active));
      if (i === this.active) item.scrollIntoView({ block: "nearest" });
    });
    this.onActive(this.active);
  }

  /** What was found stands for what was asked before, until there is an answer. */
  wait(): void {
    this.isWaiting = true;
    this.picksFirst = false;
    fill(this.note, "searching\u2026");
  }

  show(hits: Hit[], note: string): void {
    const picks = this.isWaiting && this.picksFirst;
    this.isWaiting = this.picksFirst = false;
    this.hits = hits;
    this.active = 0;
    fill(
      this.list,
      ...hits.slice(0, 100).map((hit, i) => {
        return el("li", { role: "option", "aria-selected": i === 0 ? "true" : "false", title: hit.kind, onclick: () => this.pick(hit) }, icon(hit.kind), el("span", { class: "hit-name" }, labelOf(hit)), el("span", { class: "hit-path" }, visibleName(hit.path)), el("span", { class: "faint" }, hit.kind === "directory" ? "" : formatBytes(hit.end - hit.start)));
      }),
    );
    fill(this.note, note);
    const first = hits[0];
    if (picks && first) this.pick(first);
  }
}

const KEYS: [string, string][] = [
  ["drag, arrows, W A S D", "move"],
  ["wheel, pinch, + and \u2212", "zoom at the pointer"],
  ["double-click", "zoom in, with Shift out"],
  ["Shift and drag", "zoom to a rectangle"],
  ["0", "the whole host"],
  ["click, Enter", "details of what is there"],
  ["/", "search"],
  ["N, Shift+N", "next and previous change or find"],
  ["G", "go to a path"],
  ["1 to 7", "palette"],
  ["C", "curve, Z-order, rows"],
  ["F", "follow what happens"],
  ["P", "pause"],
  ["L", "names on and off"],
  ["T", "dark and light"],
  ["Y", "copy a link to this view"],
  ["Esc", "close, let go"],
];

export function helpDialog(): HTMLDialogElement {
  const close = el("button", { class: "ghost close", "aria-label": "Close help" }, icon("close"));
  const dialog = el("dialog", { class: "panel help", "aria-label": "Keys" }, close, el("h2", {}, "How to get around"));
  dialog.append(
    el("dl", { class: "keys" }, ...KEYS.flatMap(([k, v]) => [el("dt", {}, ...k.split(", ").map((one) => el("kbd", {}, one))), el("dd", {}, v)])),
    el("p", { class: "faint" }, "One cell is one byte. Everything lies on one Hilbert curve and never moves: files in the parcels of their directories, bytes in the order of the file."),
  );
  close.addEventListener("click", () => dialog.close());
  return dialog;
}

export class Legend {
  readonly element = el("div", { class: "legend" });

  show(palette: string, theme: Theme, classes: readonly string[], writers: readonly string[]): void {
    const { entries, ramp } = legend(palette, theme, classes, writers);
    fill(
      this.element,
      ...entries.map((e) => {
        const swatch = el("i", { class: "swatch" });
        swatch.style.background = e.colour;
        return el("span", { class: "legend-entry" }, swatch, visibleName(e.name));
      }),
    );
    if (ramp) {
      const bar = el("i", { class: "ramp" });
      bar.style.background = `linear-gradient(90deg, ${ramp.stops.join(",")})`;
      this.element.append(el("span", { class: "faint" }, ramp.from), bar, el("span", { class: "faint" }, ramp.to));
    }
  }
}

/** Small pictures that are seldom another: they need no GPU, which has enough to do. */
const IN_MEMORY: CanvasRenderingContext2DSettings = { willReadFrequently: true };

export class Minimap {
  readonly canvas = el("canvas", { class: "minimap", tabindex: 0, role: "img", "aria-label": "Overview; click to go there", width: 176, height: 176 });
  private readonly picture = document.createElement("canvas");
  private side = 1;
  /** What it shows, in words. */
  private last = "";
  private painted = 0;
  onGo: (x: number, y: number) => void = () => {};

  constructor() {
    this.picture.width = this.picture.height = 256;
    const go = (e: PointerEvent): void => {
      if (e.buttons !== 1) return;
      const r = this.canvas.getBoundingClientRect();
      this.onGo(((e.clientX - r.left) / r.width) * this.side, ((e.clientY - r.top) / r.height) * this.side);
    };
    this.canvas.addEventListener("pointerdown", (e) => {
      this.canvas.setPointerCapture(e.pointerId);
      go(e);
    });
    this.canvas.addEventListener("pointermove", go);
  }

  /** Takes the top tile as the picture. */
  paint({ channels, cells, marks }: { channels: 0 | 1 | 4; cells: Uint8Array; marks: Uint8Array }, theme: Theme): void {
    const g = this.picture.getContext("2d", IN_MEMORY);
    if (!g || cells.length === 0) return;
    this.painted++;
    const image = g.createImageData(256, 256);
    const ground: Rgb = theme === "dark" ? [13, 17, 26] : [232, 236, 243];
    const colours = CLASS_COLOURS[theme].map(parseHex);
    for (let i = 0; i < 65536; i++) {
      const kind = marks.length === 4 ? (marks[0] as number) : (marks[i * 4] as number);
      const own = channels === 1 ? (colours[byteClass(cells[i * 4] as number)] as Rgb) : shareColour(cells, i * 4, colours);
      const rgb = isContent(kind) ? own : ground;
      for (let c = 0; c < 3; c++) image.data[i * 4 + c] = rgb[c] as number;
      image.data[i * 4 + 3] = 255;
    }
    g.putImageData(image, 0, 0);
  }

  draw(camera: Camera, view: View, topLevel: number, shown: number, theme: Theme): void {
    const g = this.canvas.getContext("2d", IN_MEMORY);
    if (!g) return;
    const full = 256 * 2 ** topLevel;
    // The world's used corner, as a square.
    this.side = Math.min(full, Math.max(shown, 1));
    const now = [camera.x, camera.y, camera.scale, view.w, view.h, full, this.side, theme, this.painted].join();
    if (now === this.last) return;
    this.last = now;
    const n = this.canvas.width;
    const part = (256 * this.side) / full;
    g.imageSmoothingEnabled = true;
    g.clearRect(0, 0, n, n);
    g.drawImage(this.picture, 0, 0, part, part, 0, 0, n, n);
    const k = n / this.side;
    const w = Math.max((view.w / camera.scale) * k, 4);
    const h = Math.max((view.h / camera.scale) * k, 4);
    // What reaches beyond the world is framed at its edge, not cut off there.
    const inside = (v: number): number => Math.min(Math.max(v, 1), n - 1);
    const [x0, y0] = [inside(camera.x * k - w / 2), inside(camera.y * k - h / 2)];
    const [x1, y1] = [inside(camera.x * k + w / 2), inside(camera.y * k + h / 2)];
    g.strokeStyle = theme === "dark" ? "#ffb454" : "#c2570c";
    g.lineWidth = 1.5;
    g.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}

export class Breadcrumb {
  readonly element = el("nav", { class: "breadcrumb", "aria-label": "Where this is" });
  private last = "";

  show(host: string, chain: Node[], regions: RegionNode[], place: string | null, go: (node: Node | null) => void): void {
    const key = `${chain.map((n) => n.id).join("/")}|${regions.map((r) => r.name).join("|")}|${place ?? ""}`;
    if (key === this.last) return;
    this.last = key;
    const crumb = (text: string, node: Node | null): HTMLElement => el("button", { class: "crumb", onclick: () => go(node) }, text);
    fill(this.element, crumb(host || "host", null), ...chain.map((n) => crumb(nameOf(n), n)), ...regions.map((r) => el("span", { class: "crumb region" }, visibleName(r.name))), place !== null && el("span", { class: "crumb offset" }, place));
    this.element.scrollLeft = this.element.scrollWidth;
  }
}

export class Messages {
  readonly element = el("div", { class: "messages", role: "status", "aria-live": "polite" });
  private readonly shown = new Map<string, HTMLElement>();

  say(text: string, kind: "info" | "warn" | "error" = "info", ms = 6000): void {
    const known = this.shown.get(text);
    if (known) return;
    const message = el("div", { class: `message ${kind}`, role: kind === "error" ? "alert" : "status" }, text);
    this.shown.set(text, message);
    this.element.append(message);
    while (this.shown.size > 4) this.drop(this.shown.keys().next().value as string);
    if (ms > 0) window.setTimeout(() => this.drop(text), ms);
  }

  drop(text: string): void {
    this.shown.get(text)?.remove();
    this.shown.delete(text);
  }
}
