// What a link to a view says: the part of the address after `#`.
//
// Knows: plain values. Must never know: the window.
// Keeps: any text gives a state; what is not understood is left at its default.

import { type Camera, clampScale } from "./camera.ts";
import { LAYOUTS, type Layout } from "./curve.ts";

export interface ViewState {
  camera: Camera | null;
  palette: string;
  layout: Layout;
  /** Path of what is selected. */
  path: string | null;
  /** Generation shown, and the one compared with. */
  generation: number | null;
  theme: "dark" | "light" | null;
}

export const DEFAULT_STATE: ViewState = {
  camera: null,
  palette: "class",
  layout: "hilbert",
  path: null,
  generation: null,
  theme: null,
};

export function formatState(state: ViewState): string {
  const p = new URLSearchParams();
  if (state.camera) {
    const digits = Math.max(0, Math.ceil(Math.log10(state.camera.scale)) + 2);
    p.set("at", `${state.camera.x.toFixed(digits)},${state.camera.y.toFixed(digits)},${state.camera.scale.toPrecision(5)}`);
  }
  if (state.palette !== DEFAULT_STATE.palette) p.set("colour", state.palette);
  if (state.layout !== DEFAULT_STATE.layout) p.set("curve", state.layout);
  if (state.path) p.set("path", state.path);
  if (state.generation !== null) p.set("g", String(state.generation));
  if (state.theme) p.set("theme", state.theme);
  return p.toString();
}

export function parseState(hash: string, palettes: readonly string[]): ViewState {
  const p = new URLSearchParams(hash.replace(/^#/, ""));
  const state: ViewState = { ...DEFAULT_STATE };
  const at = (p.get("at") ?? "").split(",").map(Number);
  const [x, y, scale] = at;
  if (at.length === 3 && at.every(Number.isFinite) && x !== undefined && y !== undefined && scale && scale > 0) {
    state.camera = { x, y, scale: clampScale(scale) };
  }
  const palette = p.get("colour");
  if (palette && palettes.includes(palette)) state.palette = palette;
  const layout = LAYOUTS.find((l) => l === p.get("curve"));
  if (layout) state.layout = layout;
  state.path = p.get("path") || null;
  const g = p.get("g");
  if (g && /^\d{1,15}$/.test(g)) state.generation = Number(g);
  const theme = p.get("theme");
  if (theme === "dark" || theme === "light") state.theme = theme;
  return state;
}
