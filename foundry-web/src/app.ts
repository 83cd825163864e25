// The map: wires what is known, what is shown and what is done.
//
// Knows: everybody here. Must never know: byte layouts, how a pixel is coloured.
// Keeps: a frame is drawn only when something changed; what fails is said.

import { type Activity } from "./wire.ts";
import { ApiError, type WorldInfo, api } from "./api.ts";
import { LAYOUTS } from "./curve.ts";
import { el, icon } from "./dom.ts";
import { Input } from "./input.ts";
import { Live } from "./live.ts";
import { PALETTES } from "./palettes.ts";
import { bounds } from "./shapes.ts";
import { FADE_IN_MS } from "./tiles.ts";
import type { FromWorker } from "./worker.ts";

import { Explorer } from "./explorer.ts";

/** Activity that is kept for the next frame: much more than comes between two. */
const MOST_TOLD = 2000;

export class App extends Explorer {
  /** Activity that is not shown yet, and how much more of it there was. */
  private readonly told: Activity[] = [];
  private untold = 0;

  async start(): Promise<void> {
    this.layoutPage();
    await this.renderer.start(this.stage);
    this.stage.append(this.overlay.canvas);
    this.wire();
    this.setTheme(this.state.theme ?? (window.matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"), false);
    this.setPalette(this.state.palette);
    this.layoutSelect.value = this.state.layout;
    this.tiles.layout = this.state.layout;
    this.nodes.layout = this.state.layout;
    this.resize();
    await this.open();
    this.loop();
  }

  protected layoutPage(): void {
    const button = (name: string, label: string, act: () => void): HTMLElement => el("button", { class: "ghost", title: label, "aria-label": label, onclick: act }, icon(name));
    this.bar.append(
      el("a", { class: "brand", href: "#", onclick: ((e: Event) => { e.preventDefault(); this.goHome(); }) as never }, el("span", { class: "mark", "aria-hidden": "true" }), "Foundry"),
      this.breadcrumb.element,
      el("span", { class: "grow" }),
      this.folding,
      this.status,
      button("search", "Search (/)", () => this.search.open()),
      this.paletteSelect,
      this.layoutSelect,
      button("theme", "Dark and light (T)", () => this.setTheme(this.theme === "dark" ? "light" : "dark", true)),
      button("home", "The whole host (0)", () => this.goHome()),
      button("help", "Keys (?)", () => this.help.showModal()),
    );
    const corner = el("div", { class: "corner" }, this.minimap.canvas);
    const app = this.stage.parentElement as HTMLElement;
    app.append(this.bar, this.activity.element, this.inspector.element, corner, this.legend.element, this.tip, this.messages.element, this.spoken, this.search.element, this.help);
  }

  protected wire(): void {
    this.worker.onmessage = (e: MessageEvent<FromWorker>): void => {
      this.tiles.receive(e.data, performance.now());
      const top = this.tiles.topTile();
      if (top && top.version !== this.mapped) this.paintMinimap();
    };
    this.worker.onerror = (): void => this.messages.say("the part that fetches tiles failed; reload the page", "error", 0);
    this.tiles.onChange = (): void => this.tend();
    this.nodes.onChange = (): void => this.soon();
    this.tiles.onProblem = (why, final): void => this.messages.say(final ? `a tile is not shown: ${why}` : `a tile could not be had: ${why}; trying again`, final ? "error" : "warn");
    this.nodes.onProblem = (why): void => this.messages.say(`a directory could not be had: ${why}`, "warn");
    new Input(this.stage, { pan: (dx, dy) => this.pan(dx, dy), zoom: (x, y, f, s) => this.zoom(x, y, f, s), fitRect: (a, b, c, d) => this.fitScreen(a, b, c, d), hover: (x, y) => this.hover(x, y), leave: () => this.leave(), pick: (x, y) => void this.pick(x, y), key: (k, s) => this.key(k, s) }, () => this.dpr);
    new ResizeObserver(() => this.resize()).observe(this.stage);
    window.addEventListener("hashchange", () => this.readUrl());
    this.paletteSelect.addEventListener("change", () => this.setPalette(this.paletteSelect.value));
    this.layoutSelect.addEventListener("change", () => this.setLayout(this.layoutSelect.value as (typeof LAYOUTS)[number]));
    this.activity.pause.addEventListener("click", () => this.setPaused(!this.paused));
    this.activity.follow.addEventListener("click", () => this.setFollowing(!this.following));
    this.minimap.onGo = (x, y): void => this.move({ ...this.camera, x, y });
    this.search.onQuery = (q): void => void this.find(q);
    this.search.onPick = (hit): void => void this.goToHit(hit);
    this.search.onActive = (at): void => {
      this.hitAt = at;
      this.pinHits();
    };
    this.live.onMessage = (m): void => this.hear(m);
    this.live.onState = (s): void => {
      this.status.className = `live-state ${s}`;
      if (s === "lost") void this.whyLost();
      this.status.textContent = s === "live" ? "live" : s === "lost" ? "connection lost, trying again" : s === "connecting" ? "connecting" : "";
    };
    const motion = window.matchMedia("(prefers-reduced-motion: reduce)");
    const calm = (): void => {
      this.renderer.reducedMotion = motion.matches;
      this.tiles.fadeMs = motion.matches ? 0 : FADE_IN_MS;
      this.touch();
    };
    motion.addEventListener("change", calm);
    calm();
  }

  /** A daemon that went away comes back; one that has another key does not. */
  protected async whyLost(): Promise<void> {
    try {
      await api.world();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.messages.say(error.message, "error", 0);
    }
  }

  /** Asks what there is, and shows it. Tried again until it is there. */
  protected async open(): Promise<void> {
    for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
      try {
        const world = await api.world();
        this.take(world);
        break;
      } catch (error) {
        this.messages.say(`no map: ${error instanceof Error ? error.message : String(error)}`, "error", wait);
        await new Promise((done) => window.setTimeout(done, wait));
      }
    }
    await this.nodes.load(0);
    const chain = this.nodes.root?.children_ ?? [];
    for (const child of chain) if (child.kind === "directory") await this.nodes.load(child.id);
    this.home = this.homeCamera();
    const { generation } = this.state;
    if (this.state.path) await this.openPath(this.state.path, this.state.camera !== null);
    if (generation !== null && this.selected) this.showGeneration(this.selected, generation);
    if (this.state.camera) this.camera = this.state.camera;
    else if (!this.state.path) this.camera = this.home;
    if (this.world?.live) this.live.start(this.world.epoch, this.world.seq);
    this.touch();
  }

  protected take(world: WorldInfo): void {
    this.world = world;
    this.tiles.epoch = world.epoch;
    this.tiles.seq = Math.max(this.tiles.seq, world.seq);
    this.tiles.end = world.end;
    this.tiles.top = world.top_level;
    this.tiles.live = world.live;
    document.title = `${world.host || "host"} \u2014 Foundry`;
    const left = world.artifacts - world.folded;
    // After a restart the bricks are there, and are read one by one.
    const done = world.scanning ? "read" : "folded";
    this.folding.textContent = left > 0 ? `${world.folded.toLocaleString("en")} of ${world.artifacts.toLocaleString("en")} ${done}` : `${world.artifacts.toLocaleString("en")} artifacts`;
    this.showLegend();
    this.soon();
  }

  protected hear(m: Parameters<Live["onMessage"]>[0]): void {
    switch (m.type) {
      case "hello":
        if (this.world && m.epoch !== this.world.epoch) void this.reload();
        break;
      case "reset":
        void this.reload();
        break;
      case "tiles":
        this.tiles.seq = Math.max(this.tiles.seq, m.seq);
        // Paused, it is asked for afterwards, with everything else.
        if (this.paused) break;
        for (const t of m.tiles) this.tiles.markStale(t.level, t.index);
        // Asked for at once: a frame may be a while in coming.
        this.tiles.update(this.camera, this.view, performance.now());
        break;
      case "nodes":
        for (const id of m.nodes) {
          if (this.paused) this.heldNodes.add(id);
          else this.nodes.refresh(id);
        }
        window.clearTimeout(this.worldTimer);
        this.worldTimer = window.setTimeout(() => void this.refreshWorld(), 400);
        break;
      case "activity":
        this.stats.heard(m.entries);
        this.told.push(...m.entries);
        // A page in the background draws no frame, perhaps for days.
        this.untold += m.dropped + this.told.splice(0, Math.max(0, this.told.length - MOST_TOLD)).length;
        this.soon();
        break;
      case "notice":
        this.messages.say(m.text, m.severity === 2 ? "error" : m.severity === 1 ? "warn" : "info", 8000);
        break;
    }
  }

  protected async refreshWorld(): Promise<void> {
    try {
      const world = await api.world();
      const grown = world.top_level !== this.tiles.top;
      this.take(world);
      if (grown) this.touch();
    } catch {
      // The connection says that it is lost; the next message asks again.
    }
  }

  /** Everything may be different: an epoch has begun. */
  protected async reload(): Promise<void> {
    try {
      const path = this.state.path;
      const world = await api.world();
      this.tiles.seq = 0;
      this.live.epoch = world.epoch;
      this.take(world);
      // What is on the screen stays until the server says that it is another: most of it is not.
      this.tiles.markAllStale();
      this.nodes.clear();
      this.selected = this.hovered = null;
      await this.nodes.load(0);
      for (const child of this.nodes.root?.children_ ?? []) if (child.kind === "directory") await this.nodes.load(child.id);
      const first = this.home === null || this.home.scale === 2;
      this.home = this.homeCamera();
      if (first && !this.state.camera) this.camera = this.home;
      if (path) await this.openPath(path, true);
      this.touch();
    } catch (error) {
      this.messages.say(`the map could not be had again: ${error instanceof Error ? error.message : String(error)}`, "error");
    }
  }

  protected override heard(): void {
    if (this.told.length === 0 && this.untold === 0) return;
    const now = performance.now();
    const [entries, dropped] = [this.told.splice(0), this.untold];
    this.untold = 0;
    if (this.paused) return;
    this.activity.add(entries, dropped);
    for (const e of entries) {
      if (e.length === 0) continue;
      const colour = e.kind === "exec" ? "#6fe3ff" : e.kind === "mapped" ? "#b79bff" : e.kind === "removed" ? "#ff6b6b" : "#ffb454";
      this.pulses.push({ run: [e.index, e.index + e.length], at: now, colour });
    }
    if (this.pulses.length > 300) this.pulses.splice(0, this.pulses.length - 300);
    const shown = this.inspector.shown;
    if (shown && entries.some((e) => e.node === shown.id && e.kind === "changed")) this.inspector.refresh();
    const last = entries.filter((e) => e.length > 0 && e.kind === "changed").pop();
    if (this.following && last && now - this.followedAt > 2600) {
      this.followedAt = now;
      this.goToActivity(last);
    }
  }

  protected goToActivity(entry: Activity): void {
    if (entry.length === 0) return;
    const layout = this.tiles.layout === "scan" ? "hilbert" : this.tiles.layout;
    const box = bounds(layout, [entry.index, entry.index + entry.length]);
    this.flyTo(this.frameOf(box, 0.3, 3 * this.dpr));
    this.pulses.push({ run: [entry.index, entry.index + entry.length], at: performance.now() + 700, colour: "#ffb454" });
    if (entry.path) void this.revealQuietly(entry.path);
  }

  protected async revealQuietly(path: string): Promise<void> {
    try {
      const chain = await api.path(path);
      await this.nodes.reveal(chain.nodes);
      this.touch();
    } catch {
      // It is gone again: the place is shown all the same.
    }
  }

  protected setPaused(paused: boolean): void {
    this.paused = paused;
    this.activity.pause.setAttribute("aria-pressed", String(paused));
    this.activity.pause.replaceChildren(icon(paused ? "play" : "pause"));
    if (paused) return;
    this.tiles.markAllStale();
    for (const id of this.heldNodes) this.nodes.refresh(id);
    this.heldNodes.clear();
  }

  protected setFollowing(following: boolean): void {
    this.following = following;
    this.activity.follow.setAttribute("aria-pressed", String(following));
  }

  protected key(key: string, shift: boolean): boolean {
    const middle = this.pointer ?? { x: this.view.w / 2, y: this.view.h / 2 };
    const step = 100 * this.dpr * (shift ? 4 : 1);
    const moves: Record<string, [number, number]> = { ArrowLeft: [step, 0], a: [step, 0], ArrowRight: [-step, 0], d: [-step, 0], ArrowUp: [0, step], w: [0, step], ArrowDown: [0, -step], s: [0, -step] };
    const move = moves[key];
    if (move) {
      const base = this.flight ? this.flight.to : this.camera;
      this.flyTo({ ...base, x: base.x - move[0] / base.scale, y: base.y - move[1] / base.scale }, 130);
      this.say(this.centreText());
      return true;
    }
    const palette = PALETTES[Number(key) - 1];
    if (palette && /^[1-9]$/.test(key)) {
      this.setPalette(palette.id);
      this.say(palette.name);
      return true;
    }
    switch (key) {
      case "+":
      case "=":
        this.zoom(middle.x, middle.y, 2, true);
        return true;
      case "-":
      case "_":
        this.zoom(middle.x, middle.y, shift ? 0.25 : 0.5, true);
        return true;
      case "0":
      case "Home":
        this.goHome();
        return true;
      case "/":
        this.search.open();
        return true;
      case "g":
        this.search.input.value = "path: /";
        this.search.open();
        this.search.input.setSelectionRange(7, 7);
        return true;
      case "?":
        this.help.showModal();
        return true;
      case "n":
      case "N":
        this.stepFinds(shift ? -1 : 1);
        return true;
      case "c":
        this.setLayout(LAYOUTS[(LAYOUTS.indexOf(this.tiles.layout) + 1) % LAYOUTS.length] ?? "hilbert");
        return true;
      case "f":
        this.setFollowing(!this.following);
        return true;
      case "p":
        this.setPaused(!this.paused);
        return true;
      case "l":
        this.overlay.labels = !this.overlay.labels;
        this.touch();
        return true;
      case "t":
        this.setTheme(this.theme === "dark" ? "light" : "dark", true);
        return true;
      case "y":
        void this.copyLink();
        return true;
      case "Enter":
        void this.pick(this.view.w / 2, this.view.h / 2);
        return true;
      case "Escape":
        this.pins = [];
        this.select(null, null);
        return true;
      default:
        return false;
    }
  }
}
