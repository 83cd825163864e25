// The panel about one thing: what it is, who wrote it, its bytes, its past.
//
// Knows: the API's answers. Must never know: the canvas, the camera.
// Keeps: names and facts are text; an answer to an older question is dropped; errors are shown.

import { type About, ApiError, type Generation, type Mapper, type Page, type WriterRange, api, isAbout } from "./api.ts";
import { readOpinion } from "./annotation.ts";
import { el, fill, icon } from "./dom.ts";
import { PAGE_CELLS, formatAge, formatBytes, formatHex, formatMode, hexRows, nameOf, sizeOf, visibleName, writerLine } from "./format.ts";
import type { Node, NodeStore } from "./nodes.ts";

const WINDOW = 256;
const PAGE_BYTES = 4096;
/** Width in CSS pixels from which sixteen bytes fit a row. */
const WIDE = 420;
/** Letters of a fact that are shown at once. */
const SHORT = 160;

/** What the name of a fact begins with: `hardening` of `hardening.relro`. */
const groupOf = (key: string): string => (key.includes(".") ? (key.split(".")[0] ?? "") : "");

/** The value of a fact; the rest of a long one on demand. */
function factValue(value: unknown): HTMLElement[] {
  const text = visibleName(Array.isArray(value) ? value.join(", ") : typeof value === "number" && value > 0xffff ? `${value} (${formatHex(value)})` : String(value));
  if (text.length <= SHORT) return [el("span", {}, text)];
  return [el("details", {}, el("summary", {}, `${text.slice(0, SHORT - 40)}\u2026`), text)];
}

export interface InspectorActions {
  flyTo: (node: Node, offset: number | null, length?: number) => void;
  showGeneration: (node: Node, generation: number | null) => void;
  showDiff: (node: Node, ranges: [number, number][]) => void;
  openPath: (path: string, offset: number, length: number) => void;
}

export class Inspector {
  readonly element = el("aside", { class: "panel inspector", "aria-label": "Details", hidden: true });
  private node: Node | null = null;
  private offset = 0;
  private abort = new AbortController();
  private about: About | null = null;
  private writers: WriterRange[] = [];
  private diff: [number, number][] = [];
  private diffAt = -1;
  /** The earlier generation that is on the map, where one is. */
  generation: number | null = null;
  private readonly head = el("header", { class: "inspector-head" });
  private readonly facts = el("div", { class: "facts" });
  private readonly hex = el("div", { class: "hex", tabindex: 0, role: "textbox", "aria-readonly": "true", "aria-multiline": "true", "aria-label": "Bytes" });
  private readonly hexTitle = el("div", { class: "section-title" });
  private readonly memory = el("div", { class: "memory" });
  private readonly past = el("div", { class: "past" });
  /** What the last comparison found: it stays while the same thing is shown, however often that changes. */
  private readonly compared = el("span", { class: "faint" });

  constructor(
    private readonly nodes: NodeStore,
    private readonly act: InspectorActions,
    onClose: () => void,
  ) {
    const close = el("button", { class: "ghost close", "aria-label": "Close details", onclick: onClose }, icon("close"));
    this.element.append(close, this.head, this.hexTitle, this.hex, this.memory, this.past, this.facts);
    this.hex.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.scroll(Math.sign(e.deltaY) * 64);
    });
    this.hex.addEventListener("keydown", (e) => {
      const step: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -16, ArrowDown: 16, PageUp: -WINDOW, PageDown: WINDOW };
      const by = step[e.key];
      if (by === undefined) return;
      e.preventDefault();
      e.stopPropagation();
      this.scroll(by);
    });
  }

  get shown(): Node | null {
    return this.node;
  }

  hide(): void {
    this.abort.abort();
    this.node = null;
    this.element.hidden = true;
  }

  async show(node: Node, offset: number | null): Promise<void> {
    const other = this.node !== node;
    this.node = node;
    this.offset = Math.max(0, Math.min(offset ?? 0, Math.max(0, node.size - 1)));
    this.element.hidden = false;
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    if (other) {
      this.about = null;
      this.writers = [];
      this.diff = [];
      fill(this.facts);
      fill(this.past);
      fill(this.compared);
      fill(this.memory);
    }
    this.title();
    const legible = node.kind === "file" && node.state !== "unreadable";
    this.hex.hidden = this.hexTitle.hidden = !legible;
    if (node.state === "unreadable") return fill(this.facts, el("p", { class: "problem", role: "alert" }, `it cannot be read: ${node.problem ?? "nobody says why"}`));
    if (legible) void this.loadBytes(signal);
    void this.loadMemory(signal);
    try {
      const about = await api.about(node.id, signal);
      if (signal.aborted) return;
      this.about = isAbout(about) ? about : null;
      this.title();
      this.showFacts();
      this.showPast();
      if (this.about) {
        this.writers = (await api.writers(node.id, signal)).writers;
        if (!signal.aborted) this.title();
      }
    } catch (error) {
      if (signal.aborted) return;
      fill(this.facts, el("p", { class: "problem", role: "alert" }, error instanceof Error ? error.message : String(error)));
    }
  }

  /** The artifact changed: what is shown is asked for again. */
  refresh(): void {
    if (this.node) void this.show(this.node, this.offset);
  }

  private title(): void {
    const node = this.node;
    if (!node) return;
    const writer = this.writers.find((w) => w.start <= this.offset && this.offset < w.end);
    const region = this.nodes.regionsAt(node, this.offset);
    const rows: [string, HTMLElement | string][] = [];
    if (node.kind === "directory") rows.push(["holds", `${node.children} entries`]);
    else if (node.kind === "process") rows.push(["size", sizeOf(node)]);
    else rows.push(["size", `${formatBytes(node.size)} (${node.size.toLocaleString("en")} bytes)`]);
    if (region.length > 0) rows.push(["at", region.map((r) => visibleName(r.name)).join(" \u203a ")]);
    if (writer) rows.push(["last writer", writerLine(writer)]);
    if (this.about) {
      const a = this.about;
      rows.push(["generation", `${a.generation}, ${a.payload}`]);
      rows.push(["mode", `${formatMode(a.mode)}  ${a.uid}:${a.gid}`]);
      rows.push(["modified", formatAge(Date.now() / 1000 - Number(a.mtime_ns) / 1e9)]);
      rows.push(["blake3", a.blake3 ? el("code", { title: a.blake3 }, `${a.blake3.slice(0, 24)}\u2026`) : "pending"]);
    }
    const state = node.state === "folded" ? null : el("span", { class: `state ${node.state}` }, node.state === "waiting" ? "not on the map yet" : node.state);
    const fly = el("button", { class: "ghost", title: "Fly there (Enter)", "aria-label": "Fly there", onclick: () => this.act.flyTo(node, null) }, icon("follow"));
    fill(
      this.head,
      el("div", { class: "inspector-name" }, icon(node.kind), el("h2", {}, nameOf(node) || "host"), state, fly),
      el("p", { class: "path" }, visibleName(this.about?.path ?? "")),
      el("dl", {}, ...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])),
    );
  }

  private showFacts(): void {
    const about = this.about;
    if (!about) return fill(this.facts);
    const entries = Object.entries(about.facts).sort(([a], [b]) => a.localeCompare(b));
    const groups = [...new Set(entries.map(([k]) => groupOf(k)))];
    fill(
      this.facts,
      about.annotation !== null && this.opinion(about.annotation, about.blake3),
      about.problem !== undefined && el("p", { class: "problem", role: "alert" }, about.problem),
      entries.length > 0 && el("div", { class: "section-title" }, "Facts"),
      ...groups.flatMap((group) => [
        group !== "" && el("h3", { class: "fact-group" }, group),
        // The whole name is what a search takes.
        el("dl", {}, ...entries.filter(([k]) => groupOf(k) === group).flatMap(([k, v]) => [el("dt", { title: k }, k.slice(group === "" ? 0 : group.length + 1)), el("dd", {}, ...factValue(v))])),
      ]),
    );
  }

  private opinion(note: string, blake3: string | null): HTMLElement {
    const { summary, lines, stale } = readOpinion(note, blake3);
    return el(
      "div",
      { class: "opinion" },
      el("div", { class: "section-title" }, "A model's opinion, not a fact", stale && el("span", { class: "badge warn" }, "of an earlier content")),
      el("p", {}, visibleName(summary)),
      el("dl", {}, ...lines.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, visibleName(value))])),
    );
  }

  private async loadBytes(signal: AbortSignal): Promise<void> {
    const node = this.node;
    if (!node) return;
    const from = Math.max(0, Math.floor(this.offset / 16) * 16 - WINDOW / 2);
    try {
      const got = await api.bytes(node.id, from, WINDOW, signal);
      if (signal.aborted) return;
      this.showHex(got.bytes, from, got.source, got.differs);
    } catch (error) {
      if (signal.aborted) return;
      fill(this.hexTitle, "Bytes");
      const why = error instanceof ApiError ? error.message : String(error);
      fill(this.hex, el("p", { class: "problem" }, `no bytes to show: ${why}`));
    }
  }

  /** Of a page: what it is, and the same bytes in their file. Of a byte of a file: who maps it. */
  private async loadMemory(signal: AbortSignal): Promise<void> {
    const node = this.node;
    if (!node || node.kind === "directory") return fill(this.memory);
    try {
      if (node.kind === "process") {
        const page = await api.page(node.id, this.offset, signal);
        if (!signal.aborted) this.showPage(page);
      } else {
        const { mappers } = await api.mapped(node.id, this.offset, signal);
        if (!signal.aborted) this.showMappers(mappers);
      }
    } catch (error) {
      if (signal.aborted) return;
      fill(this.memory, el("p", { class: "problem" }, error instanceof ApiError ? error.message : String(error)));
    }
  }

  private showPage(page: Page): void {
    const rows: [string, string][] = [
      ["mapping", `${page.permissions} ${page.mapping || page.kind}`],
      ["address", page.address === null ? "none" : formatHex(page.address)],
      ["state", page.state.filter((s) => s !== "sampled").join(", ") || "not resident"],
    ];
    const { file } = page;
    fill(
      this.memory,
      el("div", { class: "section-title" }, "Page"),
      el("dl", {}, ...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, visibleName(v))])),
      file && el("button", { class: "show-in-file", onclick: () => this.act.openPath(file.path, file.offset, PAGE_BYTES) }, `Show in the file, at ${formatHex(file.offset)}`),
      el("p", { class: "faint" }, "Memory is private: what is in the page is not kept."),
    );
  }

  private showMappers(mappers: Mapper[]): void {
    if (mappers.length === 0) return fill(this.memory);
    const row = (m: Mapper): HTMLElement =>
      el(
        "li",
        {},
        el("button", { class: "show-in-memory", onclick: () => this.act.openPath(m.path, m.at, PAGE_CELLS) }, visibleName(m.label)),
        el("span", { class: "faint" }, ` ${m.address === null ? "" : formatHex(m.address)} ${m.permissions.join(", ")}; ${m.state.includes("resident") ? "resident" : "not resident"}`),
      );
    fill(this.memory, el("div", { class: "section-title" }, "In the memory of"), el("ol", { class: "mappers" }, ...mappers.slice(0, 20).map(row)));
  }

  private showHex(bytes: Uint8Array, from: number, source: string, differs: boolean): void {
    const node = this.node;
    if (!node) return;
    fill(this.hexTitle, el("span", {}, `Bytes at ${formatHex(this.offset)} (${this.offset.toLocaleString("en")})`), el("span", { class: differs ? "badge warn" : "badge" }, differs ? "changed since it was folded" : `from the ${source}`));
    const rows = hexRows(bytes, from, this.hex.clientWidth < WIDE ? 8 : 16).map((row) => {
      const cells = row.hex.map((h, i) => {
        const at = row.offset + i;
        return el("span", { class: at === this.offset ? "at" : h === "00" ? "zero" : "", "data-at": at }, h);
      });
      const text = [...row.text].map((c, i) => el("span", { class: row.offset + i === this.offset ? "at" : "" }, c));
      return el("div", { class: "hex-row" }, el("span", { class: "hex-offset" }, row.offset.toString(16).padStart(8, "0")), el("span", { class: "hex-bytes" }, ...cells), el("span", { class: "hex-text" }, ...text));
    });
    fill(this.hex, ...rows);
    this.hex.onclick = (e): void => {
      const at = (e.target as HTMLElement).dataset["at"];
      if (at !== undefined) this.act.flyTo(node, Number(at));
    };
  }

  private scroll(by: number): void {
    const node = this.node;
    if (!node) return;
    this.offset = Math.max(0, Math.min(node.size - 1, this.offset + by));
    this.act.flyTo(node, this.offset, -1);
    this.abort.abort();
    this.abort = new AbortController();
    this.title();
    void this.loadBytes(this.abort.signal);
    void this.loadMemory(this.abort.signal);
  }

  private showPast(): void {
    const about = this.about;
    const node = this.node;
    // A folder of plain files has the last generation alone.
    if (!about || !node || api.isPlain() || about.generations.length < 2) return fill(this.past);
    const all = [...about.generations].sort((a, b) => a.number - b.number);
    const label = el("output", { class: "past-label" });
    const back = all.findIndex((g) => g.number === this.generation);
    const first = back < 0 ? all.length - 1 : back;
    const slider = el("input", { type: "range", min: 0, max: all.length - 1, value: first, "aria-label": "Generation shown" });
    const say = (g: Generation): void => fill(label, `generation ${g.number}`, el("span", { class: "faint" }, ` ${formatAge(Date.now() / 1000 - g.at_ns / 1e9)}, ${formatBytes(g.size)}`));
    say(all[first] as Generation);
    slider.addEventListener("input", () => {
      const i = Number(slider.value);
      const g = all[i] as Generation;
      say(g);
      this.act.showGeneration(node, i === all.length - 1 ? null : g.number);
    });
    const compare = el("button", {
      onclick: () => {
        // An opinion, or another time of change, is a generation in which no byte is another.
        const shown = Number(slider.value);
        const last = all.findLastIndex((g, i) => i <= shown && g.changed_tiles > 0);
        const to = all[last < 0 ? shown : last] as Generation;
        const from = all[Math.max(0, (last < 0 ? shown : last) - 1)] as Generation;
        void this.compare(node, from.number, to.number);
      },
    }, "What changed in it");
    const prev = el("button", { class: "ghost", "aria-label": "Previous change (Shift+N)", onclick: () => this.step(-1) }, icon("prev"));
    const next = el("button", { class: "ghost", "aria-label": "Next change (N)", onclick: () => this.step(1) }, icon("next"));
    fill(this.past, el("div", { class: "section-title" }, "Time", label), slider, el("div", { class: "row" }, compare, prev, next, this.compared));
  }

  private async compare(node: Node, from: number, to: number): Promise<void> {
    try {
      const diff = await api.diff(node.id, from, to);
      this.diff = diff.ranges;
      this.diffAt = -1;
      fill(this.compared, `${diff.ranges.length} ranges, ${formatBytes(diff.bytes)}`);
      this.act.showDiff(node, diff.ranges);
      this.step(1);
    } catch (error) {
      fill(this.compared, error instanceof Error ? error.message : String(error));
    }
  }

  /** To the next range of the comparison, or the one before. */
  step(by: number): void {
    const node = this.node;
    if (!node || this.diff.length === 0) return;
    this.diffAt = (this.diffAt + by + this.diff.length) % this.diff.length;
    const range = this.diff[this.diffAt];
    if (range) this.act.flyTo(node, range[0], range[1] - range[0]);
  }
}
