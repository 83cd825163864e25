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
import type { Activity } from "./wire.ts";

const MOST_ENTRIES = 120;

const VERBS: Record<Activity["kind"], string> = { changed: "wrote", removed: "removed", renamed: "renamed to", unreadable: "cannot be read", exec: "ran", mapped: "mapped" };

export class ActivityPanel {
  readonly element = el("section", { class: "panel activity", "aria-label": "Activity" });
  private readonly list = el("ol", { class: "entries" });
  private readonly count = el("span", { class: "faint" }, "nothing yet");
  readonly pause = el("button", { class: "ghost", "aria-pressed": "false", title: "Pause (P)" }, icon("pause"));
  readonly follow = el("button", { class: "ghost", "aria-pressed": "false", title: "Follow what happens (F)" }, icon("follow"));
  private total = 0;

  constructor(private readonly go: (entry: Activity) => void) {
    const fold = el("button", { class: "ghost title-button", "aria-expanded": "true", onclick: () => this.toggle(fold) }, "Activity");
    this.element.append(el("header", {}, fold, this.count, this.follow, this.pause), this.list);
  }

  private toggle(fold: HTMLElement): void {
    this.list.hidden = !this.list.hidden;
    fold.setAttribute("aria-expanded", String(!this.list.hidden));
  }

  add(entries: Activity[], dropped: number): void {
    this.total += entries.length + dropped;
    fill(this.count, `${this.total.toLocaleString("en")}`);
    for (const entry of entries) {
      const who = entry.comm || entry.exe.split("/").pop() || "someone";
      const name = entry.path.split("/").pop() || entry.path;
      const item = el(
        "li",
        {},
        el(
          "button",
          { class: `entry ${entry.kind}`, title: visibleName(entry.path), onclick: () => this.go(entry) },
          el("time", {}, formatTime(entry.atMs)),
          el("b", {}, visibleName(who)),
          el("span", { class: "verb" }, VERBS[entry.kind]),
          el("span", { class: "name" }, visibleName(name)),
        ),
      );
      this.list.prepend(item);
    }
    while (this.list.childElementCount > MOST_ENTRIES) this.list.lastElementChild?.remove();
  }
}

export class SearchPanel {
  readonly element = el("dialog", { class: "panel search", "aria-label": "Search" });
  readonly input = el("input", { type: "search", placeholder: "path, symbol, fact, \u201ctext in bytes\u201d", autocomplete: "off", spellcheck: "false", "aria-label": "Search the map", "aria-controls": "hits" });
  private readonly list = el("ol", { class: "hits", id: "hits", role: "listbox" });
  private readonly note = el("p", { class: "faint note", role: "status" }, "sym:  path:  fact:  note:  build-id:  hash:  narrow it");
  private hits: Hit[] = [];
  private active = 0;
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
        if (hit) this.pick(hit);
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

  show(hits: Hit[], note: string): void {
    this.hits = hits;
    this.active = 0;
    fill(
      this.list,
      ...hits.slice(0, 100).map((hit, i) => {
        const name = hit.kind === "symbol" || hit.kind === "fact" || hit.kind === "note" || hit.kind === "bytes" ? hit.text : (hit.path.split("/").pop() ?? hit.path);
        return el("li", { role: "option", "aria-selected": i === 0 ? "true" : "false", title: hit.kind, onclick: () => this.pick(hit) }, icon(hit.kind), el("span", { class: "hit-name" }, visibleName(name)), el("span", { class: "hit-path" }, visibleName(hit.path)), el("span", { class: "faint" }, formatBytes(hit.end - hit.start)));
      }),
    );
    fill(this.note, note);
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

export class Minimap {
  readonly canvas = el("canvas", { class: "minimap", tabindex: 0, role: "img", "aria-label": "Overview; click to go there", width: 176, height: 176 });
  private readonly picture = document.createElement("canvas");
  private side = 1;
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
    const g = this.picture.getContext("2d");
    if (!g || cells.length === 0) return;
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
    const g = this.canvas.getContext("2d");
    if (!g) return;
    const full = 256 * 2 ** topLevel;
    // The world's used corner, as a square.
    this.side = Math.min(full, Math.max(shown, 1));
    const n = this.canvas.width;
    const part = (256 * this.side) / full;
    g.imageSmoothingEnabled = true;
    g.clearRect(0, 0, n, n);
    g.drawImage(this.picture, 0, 0, part, part, 0, 0, n, n);
    const k = n / this.side;
    const w = Math.max((view.w / camera.scale) * k, 4);
    const h = Math.max((view.h / camera.scale) * k, 4);
    g.strokeStyle = theme === "dark" ? "#ffb454" : "#c2570c";
    g.lineWidth = 1.5;
    g.strokeRect(camera.x * k - w / 2, camera.y * k - h / 2, w, h);
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
