// Pointers and keys, as maps and viewers have them.
//
// Knows: events. Must never know: what is on the map.
// Keeps: everything a pointer can do, a key can do; a key typed into a field is the field's.

export interface InputActions {
  pan: (dx: number, dy: number) => void;
  zoom: (sx: number, sy: number, factor: number, smooth: boolean) => void;
  fitRect: (x0: number, y0: number, x1: number, y1: number) => void;
  hover: (sx: number, sy: number) => void;
  leave: () => void;
  pick: (sx: number, sy: number) => void;
  key: (key: string, shift: boolean) => boolean;
}

interface Pointer {
  x: number;
  y: number;
}

export class Input {
  private readonly pointers = new Map<number, Pointer>();
  private moved = 0;
  private pinch = 0;
  private boxFrom: Pointer | null = null;
  private velocity = { x: 0, y: 0, at: 0 };
  readonly box = document.createElement("div");

  constructor(
    private readonly stage: HTMLElement,
    private readonly act: InputActions,
    private readonly dpr: () => number,
  ) {
    this.box.className = "zoom-box";
    this.box.hidden = true;
    stage.append(this.box);
    stage.addEventListener("pointerdown", (e) => this.down(e));
    stage.addEventListener("pointermove", (e) => this.move(e));
    stage.addEventListener("pointerup", (e) => this.up(e));
    stage.addEventListener("pointercancel", (e) => this.up(e));
    stage.addEventListener("pointerleave", () => this.act.leave());
    stage.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    stage.addEventListener("dblclick", (e) => {
      const p = this.at(e);
      this.act.zoom(p.x, p.y, e.shiftKey ? 0.25 : 4, true);
    });
    window.addEventListener("keydown", (e) => this.keydown(e));
  }

  private at(e: MouseEvent): Pointer {
    const r = this.stage.getBoundingClientRect();
    return { x: (e.clientX - r.left) * this.dpr(), y: (e.clientY - r.top) * this.dpr() };
  }

  private down(e: PointerEvent): void {
    if (e.button !== 0 && e.pointerType === "mouse") return;
    this.stage.setPointerCapture(e.pointerId);
    this.stage.focus({ preventScroll: true });
    const p = this.at(e);
    this.pointers.set(e.pointerId, p);
    if (this.pointers.size === 1) {
      this.moved = 0;
      this.velocity = { x: 0, y: 0, at: 0 };
      if (e.shiftKey) this.boxFrom = p;
    } else {
      this.moved = 1e9;
      this.pinch = this.spread();
    }
  }

  private spread(): number {
    const [a, b] = [...this.pointers.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  }

  private move(e: PointerEvent): void {
    const p = this.at(e);
    const before = this.pointers.get(e.pointerId);
    if (!before) {
      this.act.hover(p.x, p.y);
      return;
    }
    this.pointers.set(e.pointerId, p);
    const dx = p.x - before.x;
    const dy = p.y - before.y;
    this.moved += Math.abs(dx) + Math.abs(dy);
    if (this.pointers.size === 2) {
      const spread = this.spread();
      const [a, b] = [...this.pointers.values()];
      if (a && b && this.pinch > 0 && spread > 0) this.act.zoom((a.x + b.x) / 2, (a.y + b.y) / 2, spread / this.pinch, false);
      this.pinch = spread;
      this.act.pan(dx / 2, dy / 2);
    } else if (this.boxFrom) {
      this.showBox(this.boxFrom, p);
    } else {
      const now = performance.now();
      const dt = Math.max(1, now - this.velocity.at);
      this.velocity = { x: (0.6 * dx) / dt + 0.4 * this.velocity.x, y: (0.6 * dy) / dt + 0.4 * this.velocity.y, at: now };
      this.act.pan(dx, dy);
    }
  }

  private up(e: PointerEvent): void {
    const p = this.pointers.get(e.pointerId);
    this.pointers.delete(e.pointerId);
    if (!p) return;
    if (this.boxFrom) {
      const from = this.boxFrom;
      this.boxFrom = null;
      this.box.hidden = true;
      if (Math.abs(p.x - from.x) > 8 && Math.abs(p.y - from.y) > 8) this.act.fitRect(from.x, from.y, p.x, p.y);
      return;
    }
    if (e.type === "pointerup" && this.moved < 6 * this.dpr()) this.act.pick(p.x, p.y);
    else if (this.pointers.size === 0 && performance.now() - this.velocity.at < 60) this.glide();
  }

  /** A map that was pushed goes on for a moment. */
  private glide(): void {
    if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    let { x, y } = this.velocity;
    let last = performance.now();
    const step = (now: number): void => {
      const dt = now - last;
      last = now;
      if (this.pointers.size > 0 || Math.hypot(x, y) < 0.02) return;
      this.act.pan(x * dt, y * dt);
      const brake = Math.exp(-dt / 140);
      x *= brake;
      y *= brake;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  private showBox(a: Pointer, b: Pointer): void {
    const d = this.dpr();
    this.box.hidden = false;
    this.box.style.left = `${Math.min(a.x, b.x) / d}px`;
    this.box.style.top = `${Math.min(a.y, b.y) / d}px`;
    this.box.style.width = `${Math.abs(a.x - b.x) / d}px`;
    this.box.style.height = `${Math.abs(a.y - b.y) / d}px`;
  }

  private wheel(e: WheelEvent): void {
    e.preventDefault();
    const p = this.at(e);
    const lines = e.deltaMode === 1 ? 16 : e.deltaMode === 2 ? 400 : 1;
    const delta = Math.max(-240, Math.min(240, e.deltaY * lines));
    this.act.zoom(p.x, p.y, 2 ** (-delta / (e.ctrlKey ? 60 : 220)), false);
  }

  private keydown(e: KeyboardEvent): void {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const target = e.target as HTMLElement;
    if (target.closest("input, textarea, select, dialog")) return;
    if ((e.key === "Enter" || e.key === " ") && target.closest("button, a")) return;
    if (this.act.key(e.key, e.shiftKey)) e.preventDefault();
  }
}
