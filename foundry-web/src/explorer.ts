// Looking around: what is under the pointer, what is chosen, what is searched for, how it is coloured.
//
// Knows: the scene. Must never know: the live connection, keys.
// Keeps: what fails is said.

import { type Hit, api } from "./api.ts";
import { toWorld } from "./camera.ts";
import { LAYOUTS, indexToPoint, pointToIndex } from "./curve.ts";
import { el } from "./dom.ts";
import { addressOf, formatBytes, formatHex, nameOf, sizeOf, visibleName, writerLine } from "./format.ts";
import { type Node } from "./nodes.ts";
import { PALETTE_IDS, type Theme } from "./palettes.ts";
import { labelOf, rank } from "./rank.ts";
import { formatState, parseState } from "./url.ts";

import { Scene } from "./scene.ts";

/** How long the pointer rests before more is asked about what is under it. */
const REST_MS = 200;

export abstract class Explorer extends Scene {
  private writerTimer = 0;

  protected hover(sx: number, sy: number): void {
    this.pointer = { x: sx, y: sy };
    const at = toWorld(this.camera, this.view, sx, sy);
    const inWorld = at.x >= 0 && at.y >= 0;
    const index = inWorld ? pointToIndex(this.tiles.layout, Math.floor(at.x), Math.floor(at.y)) : -1;
    const chain = inWorld ? this.nodes.chainAt(index) : [];
    const node = chain[chain.length - 1] ?? null;
    this.hovered = node;
    this.touch();
    if (!node) {
      this.tip.hidden = true;
      return;
    }
    this.showTip(this.describe(node, index), sx, sy);
    window.clearTimeout(this.writerTimer);
    this.writerTimer = window.setTimeout(() => void this.tellWriter(node, index, sx, sy), REST_MS);
  }

  /** Who wrote what the pointer rests on: not asked at every step of it. */
  private async tellWriter(node: Node, index: number, sx: number, sy: number): Promise<void> {
    const offset = index - (node.runs[0]?.[0] ?? 0);
    if (node.kind !== "file" || node.state !== "folded" || offset >= node.size) return;
    try {
      const { writers } = await api.writers(node.id);
      const writer = writers.find((w) => w.start <= offset && offset < w.end);
      const rests = this.pointer?.x === sx && this.pointer.y === sy && this.hovered === node;
      if (writer && rests) this.showTip([...this.describe(node, index), `written by ${writerLine(writer)}`], sx, sy);
    } catch {
      // The panel says why there is no answer; the tip has what the map knows.
    }
  }

  private showTip(lines: string[], sx: number, sy: number): void {
    this.tip.hidden = false;
    this.tip.replaceChildren(...lines.map((text, i) => el(i === 0 ? "b" : "span", {}, text)));
    const x = sx / this.dpr;
    const y = sy / this.dpr;
    const r = this.tip.getBoundingClientRect();
    const w = this.view.w / this.dpr;
    const h = this.view.h / this.dpr;
    this.tip.style.left = `${x + 18 + r.width > w ? x - r.width - 14 : x + 18}px`;
    this.tip.style.top = `${y + 18 + r.height > h ? y - r.height - 14 : y + 18}px`;
    this.say(lines.join(", "));
  }

  protected describe(node: Node, index: number): string[] {
    const lines = [nameOf(node) + (node.kind === "directory" ? "/" : "")];
    if (node.kind === "directory") return [...lines, `${node.children} entries`];
    const offset = index - (node.runs[0]?.[0] ?? 0);
    if (offset >= node.size) return [...lines, `${sizeOf(node)}, room to grow`];
    const regions = this.nodes.regionsAt(node, offset).filter((r) => r.kind !== "segment");
    if (node.kind === "process") lines.push(regions.length > 0 ? addressOf(regions, offset) : "nothing is mapped here");
    else lines.push(`${formatHex(offset)} of ${formatBytes(node.size)}`);
    if (regions.length > 0) lines.push(regions.map((r) => visibleName(r.name)).join(" \u203a "));
    const byte = this.camera.scale >= 1 ? this.tiles.byteAt(index) : null;
    if (byte !== null && node.kind === "file") lines.push(`byte ${byte.toString(16).padStart(2, "0")}${byte > 32 && byte < 127 ? ` \u201c${String.fromCharCode(byte)}\u201d` : ""}`);
    if (node.state !== "folded") lines.push(node.state === "waiting" ? "not on the map yet" : node.problem ? `${node.state}: ${node.problem}` : node.state);
    return lines;
  }

  /** For those who listen instead of looking; not at every step of the pointer. */
  protected say(text: string): void {
    window.clearTimeout(this.spokenTimer);
    this.spokenTimer = window.setTimeout(() => (this.spoken.textContent = text), 350);
  }

  protected leave(): void {
    this.pointer = null;
    this.hovered = null;
    this.tip.hidden = true;
    this.touch();
  }

  protected async pick(sx: number, sy: number): Promise<void> {
    const at = toWorld(this.camera, this.view, sx, sy);
    if (at.x < 0 || at.y < 0) return this.select(null, null);
    const index = pointToIndex(this.tiles.layout, Math.floor(at.x), Math.floor(at.y));
    let chain = this.nodes.chainAt(index);
    let node = chain[chain.length - 1];
    if (node?.kind === "directory") {
      // What is too small to have been asked for by itself.
      try {
        const found = await api.at(index);
        await this.nodes.reveal(found.nodes);
        chain = this.nodes.chainAt(index);
        node = chain[chain.length - 1] ?? node;
      } catch {
        // A folder of plain files does not answer this; the directory is what there is to show.
      }
    }
    if (!node) return this.select(null, null);
    this.select(node, node.kind === "directory" ? null : index - (node.runs[0]?.[0] ?? 0));
  }

  protected select(node: Node | null, offset: number | null, open = true): void {
    // What is shown as it was is what is chosen; anything else is shown as it is.
    if (node !== this.selected) this.showGeneration(null, null);
    this.selected = node;
    this.offset = offset;
    this.state.path = node ? this.pathOf(node) : null;
    if (!node) {
      this.diffs = [];
      this.inspector.hide();
    } else if (open || this.inspector.shown !== node) void this.inspector.show(node, offset);
    if (node && !node.regionsAsked && node.kind !== "directory") void this.nodes.loadRegions(node);
    this.coveredAt = -Infinity;
    this.noteUrl();
    this.touch();
  }

  protected pathOf(node: Node): string {
    const names: string[] = [];
    let at: Node | undefined = node;
    while (at && at.id !== 0) {
      names.unshift(at.name);
      at = this.nodes.byId.get(at.parent);
    }
    return node.kind === "process" ? node.name : `/${names.join("/")}`;
  }

  protected showGeneration(node: Node | null, generation: number | null): void {
    const back = node && generation !== null ? `${node.id}:${generation}` : null;
    if (back === this.tiles.back) return;
    this.tiles.back = back;
    this.inspector.generation = back === null ? null : generation;
    this.state.generation = generation;
    this.tiles.markAllStale();
    this.noteUrl();
  }

  protected async find(query: string): Promise<void> {
    this.searchAbort.abort();
    this.searchAbort = new AbortController();
    const { signal } = this.searchAbort;
    if (query.trim().length < 2) {
      this.pins = [];
      this.hits = [];
      return this.search.show([], "sym:  path:  fact:  note:  build-id:  hash:  narrow it");
    }
    this.search.wait();
    await new Promise((done) => window.setTimeout(done, 140));
    if (signal.aborted) return;
    try {
      const { hits, complete } = await api.search(query, signal);
      if (signal.aborted) return;
      this.hits = rank(hits, query);
      this.hitAt = 0;
      const count = `${hits.length} ${hits.length === 1 ? "find" : "finds"}`;
      this.search.show(this.hits, complete ? count : `${count}; there may be more, narrow it`);
      this.pinHits();
    } catch (error) {
      if (!signal.aborted) this.search.show([], error instanceof Error ? error.message : String(error));
    }
  }

  protected pinHits(): void {
    this.pins = this.hits.slice(0, 100).map((h, i) => ({ index: h.index, label: labelOf(h), active: i === this.hitAt }));
    this.touch();
  }

  protected async goToHit(hit: Hit): Promise<void> {
    this.hitAt = Math.max(0, this.hits.indexOf(hit));
    this.pinHits();
    const chain = await api.path(hit.path);
    const node = await this.nodes.reveal(chain.nodes);
    if (!node) return;
    if (hit.kind === "symbol" || hit.kind === "bytes") {
      await this.nodes.loadRegions(node);
      this.flyToNode(node, hit.start, hit.end - hit.start);
    } else this.flyToNode(node, null);
  }

  protected setTheme(theme: Theme, remember: boolean): void {
    this.theme = theme;
    document.documentElement.dataset["theme"] = theme;
    this.renderer.setTheme(theme);
    this.overlay.theme = theme;
    if (remember) this.state.theme = theme;
    this.paintMinimap();
    this.showLegend();
    this.noteUrl();
    this.touch();
  }

  /** The whole world, small. */
  protected paintMinimap(): void {
    const top = this.tiles.topTile();
    if (!top?.data) return;
    this.mapped = top.version;
    this.minimap.paint(top.data, this.theme);
    // Alone: the labels over the tiles are what a frame costs most, and they stay as they are.
    this.drawMinimap();
  }

  setPalette(id: string): void {
    this.state.palette = id;
    this.paletteSelect.value = id;
    this.renderer.setPalette(PALETTE_IDS.indexOf(id));
    this.showLegend();
    this.noteUrl();
    this.touch();
  }

  protected setLayout(layout: (typeof LAYOUTS)[number]): void {
    // The same byte stays in the middle.
    const index = this.camera.x >= 0 && this.camera.y >= 0 ? pointToIndex(this.tiles.layout, Math.floor(this.camera.x), Math.floor(this.camera.y)) : 0;
    this.state.layout = layout;
    this.layoutSelect.value = layout;
    this.tiles.layout = layout;
    this.nodes.setLayout(layout);
    this.tiles.clear();
    const p = indexToPoint(layout, Math.min(index, Math.max(0, this.tiles.end - 1)));
    this.home = this.homeCamera();
    this.move(this.camera.scale < this.home.scale * 1.5 ? this.home : { ...this.camera, x: p.x, y: p.y });
  }

  protected readUrl(): void {
    this.known = window.location.hash;
    const state = parseState(window.location.hash, PALETTE_IDS);
    if (state.camera) this.flyTo(state.camera, 500);
    if (state.palette !== this.state.palette) this.setPalette(state.palette);
    if (state.path && state.path !== this.state.path) void this.openPath(state.path, state.camera !== null);
    if (state.layout !== this.state.layout) this.setLayout(state.layout);
    if (state.theme && state.theme !== this.theme) this.setTheme(state.theme, true);
  }

  protected async copyLink(): Promise<void> {
    const url = `${window.location.href.split("#")[0]}#${formatState({ ...this.state, camera: this.camera })}`;
    try {
      await navigator.clipboard.writeText(url);
      this.messages.say("the link is on the clipboard; whoever opens it needs the key, too");
    } catch {
      this.messages.say(url, "info", 20000);
    }
  }

  protected centreText(): string {
    const to = this.flight?.to ?? this.camera;
    if (to.x < 0 || to.y < 0) return "beyond the map";
    const index = pointToIndex(this.tiles.layout, Math.floor(to.x), Math.floor(to.y));
    const chain = this.nodes.chainAt(index);
    const node = chain[chain.length - 1];
    return node ? this.describe(node, index).join(", ") : "nothing here";
  }

  protected stepFinds(by: number): void {
    if (this.diffs.length > 0) return this.inspector.step(by);
    if (this.hits.length === 0) return;
    this.hitAt = (this.hitAt + by + this.hits.length) % this.hits.length;
    const hit = this.hits[this.hitAt];
    if (hit) void this.goToHit(hit);
  }
}
