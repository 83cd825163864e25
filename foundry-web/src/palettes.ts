// Colours: what each palette shows, and the table the shader looks them up in.
//
// Knows: colours. Must never know: tiles, the GPU.
// Keeps: ramps rise in lightness from end to end, so that they read without hue; class colours come
// from a set made for colour-blind eyes.

export type Theme = "dark" | "light";

export interface Palette {
  id: string;
  name: string;
  says: string;
}

export const PALETTES: readonly Palette[] = [
  { id: "class", name: "Byte class", says: "zero, text, control, high" },
  { id: "entropy", name: "Entropy", says: "how unpredictable 64 bytes are" },
  { id: "magnitude", name: "Magnitude", says: "the value of a byte; from afar, estimated" },
  { id: "section", name: "Section", says: "code, constants, symbols, text, packed" },
  { id: "writer", name: "Last writer", says: "which program changed it last" },
  { id: "recency", name: "Recency", says: "how long ago it changed" },
  { id: "pages", name: "Page state", says: "memory of processes: resident, dirty, swapped" },
];

export const PALETTE_IDS = PALETTES.map((p) => p.id);

export type Rgb = readonly [number, number, number];

export function parseHex(hex: string): Rgb {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

/** Colours of byte classes: zero, low control, text, high, 0xff. */
export const CLASS_COLOURS: Record<Theme, readonly string[]> = {
  dark: ["#131a26", "#17a589", "#4aa8e0", "#e08a2e", "#f4e9d0"],
  light: ["#e9edf3", "#0f8f74", "#2b7fb8", "#c96f10", "#5b3a16"],
};

/** Whether cells of a class have values of their own: not what is empty, reserved, gone or unreadable. */
export function isContent(kind: number): boolean {
  return kind > 1 && !(kind >= 11 && kind <= 13);
}

/** Colours of the world's classes (sections), by position. */
export const SECTION_COLOURS: Record<Theme, readonly string[]> = {
  dark: ["#0a0d14", "#141a26", "#7f8ea3", "#e69f00", "#56b4e9", "#cc79a7", "#f0e442", "#8d7bd1", "#5f7285", "#2fbf8f", "#d55e00", "#1d1420", "#5a1f28", "#10151f", "#e8b04a", "#d98cb3", "#6fb29b", "#8fc1ee", "#9a9aa8"],
  light: ["#f4f6fa", "#e4e9f1", "#7d8897", "#c98500", "#2f8fc9", "#b2588a", "#b8a800", "#6f5cc2", "#8a99a8", "#11936a", "#bf4f00", "#efe4ea", "#e8b9bf", "#eceff5", "#b07a12", "#a8527d", "#2f7a62", "#3a78b5", "#6a6a78"],
};

/** What a page can be, by position: see pageState of raster.ts. */
export const PAGE_STATES = ["no memory", "not resident", "file", "file, dirty", "anonymous", "anonymous, dirty", "swapped", "zeros", "huge"] as const;

const PAGE_COLOURS: Record<Theme, readonly string[]> = {
  dark: ["#3a4456", "#1d2534", "#56b4e9", "#e69f00", "#2fbf8f", "#f0e442", "#cc79a7", "#8a94a6", "#d55e00"],
  light: ["#c9d0db", "#e2e7ef", "#2f8fc9", "#c98500", "#11936a", "#a89a00", "#b2588a", "#8a94a6", "#bf4f00"],
};

const RAMPS: Record<Theme, Record<"entropy" | "magnitude" | "heat", readonly string[]>> = {
  dark: {
    entropy: ["#0d1020", "#2b1e5c", "#6a2579", "#b23a6e", "#ea6a47", "#fbb24d", "#fdf3b0"],
    magnitude: ["#0c1018", "#27466b", "#4f86b4", "#9cc7e0", "#f3fbff"],
    heat: ["#121722", "#1d2740", "#3b3267", "#8c3a72", "#e0633f", "#ffb454", "#fff6d0"],
  },
  light: {
    entropy: ["#f6f4ee", "#f6d79a", "#f2a65e", "#da6a52", "#a23a68", "#5d2470", "#20144a"],
    magnitude: ["#f7fafd", "#b9d3e8", "#6ea3cb", "#2f6a9c", "#0e2c4a"],
    heat: ["#eef1f6", "#dfe2ee", "#cdbfe0", "#c784a8", "#dd6340", "#c23c12", "#6b1500"],
  },
};

function mix(a: Rgb, b: Rgb, t: number): Rgb {
  // In linear light, so that a mean of black and white looks half as bright.
  const c = (x: number, y: number): number => Math.round(Math.sqrt(x * x * (1 - t) + y * y * t));
  return [c(a[0], b[0]), c(a[1], b[1]), c(a[2], b[2])];
}

export function ramp(stops: readonly string[], t: number): Rgb {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return mix(parseHex(stops[i] as string), parseHex(stops[i + 1] as string), at - i);
}

/** Class of a byte: an index into CLASS_COLOURS. */
export function byteClass(b: number): number {
  if (b === 0) return 0;
  if (b === 255) return 4;
  if (b >= 128) return 3;
  if ((b >= 32 && b < 127) || b === 9 || b === 10 || b === 13) return 2;
  return 1;
}

/** The colour of a cell of four channels (entropy, zero, text, high) at `at`, as the shader mixes it. */
export function shareColour(cells: Uint8Array, at: number, classes: readonly Rgb[]): Rgb {
  const zero = cells[at + 1] as number;
  const text = cells[at + 2] as number;
  const high = cells[at + 3] as number;
  const shares = [zero, Math.max(0, 255 - zero - text - high), text, high];
  const top = Math.max(1, ...shares);
  const most = shares.reduce((sum, s) => sum + (s / top) ** 5, 0) || 1;
  const all = shares.reduce((sum, s) => sum + s, 0) || 1;
  const out = [0, 0, 0];
  shares.forEach((s, kind) => {
    const weight = (0.15 * s) / all + (0.85 * (s / top) ** 5) / most;
    const colour = classes[kind] as Rgb;
    for (let c = 0; c < 3; c++) out[c] = (out[c] as number) + weight * (colour[c] as number) ** 2;
  });
  return [Math.sqrt(out[0] as number), Math.sqrt(out[1] as number), Math.sqrt(out[2] as number)];
}

/** A stable colour for the n-th writer: hues a golden angle apart. */
export function writerColour(n: number, theme: Theme): Rgb {
  if (n === 0) return theme === "dark" ? [58, 68, 86] : [200, 207, 218];
  const h = (n * 137.508) % 360;
  const l = theme === "dark" ? 0.66 : 0.46;
  const s = 0.62;
  const f = (k: number): number => {
    const at = (k + h / 30) % 12;
    const v = l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(at - 3, 9 - at, 1));
    return Math.round(v * 255);
  };
  return [f(0), f(8), f(4)];
}

export const LUT_WIDTH = 256;
export const LUT_ROWS = 8;

/**
 * The table of the shader: row 0 by byte, 1 entropy, 2 magnitude, 3 sections, 4 writers, 5 recency,
 * 6 class colours themselves (zero, low, text, high), 7 states of pages.
 */
export function buildLut(theme: Theme): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(LUT_WIDTH * LUT_ROWS * 4);
  const set = (row: number, i: number, [r, g, b]: Rgb): void => {
    out.set([r, g, b, 255], (row * LUT_WIDTH + i) * 4);
  };
  const classes = CLASS_COLOURS[theme].map(parseHex);
  const sections = SECTION_COLOURS[theme].map(parseHex);
  const pages = PAGE_COLOURS[theme].map(parseHex);
  const ramps = RAMPS[theme];
  const ground: Rgb = theme === "dark" ? [10, 14, 22] : [255, 255, 255];
  for (let i = 0; i < 256; i++) {
    const kind = byteClass(i);
    const own = classes[kind] as Rgb;
    // Within a class, the value shades the colour a little: text has texture.
    const depth = kind === 2 ? 0.32 * (1 - (i - 32) / 95) : kind === 3 ? 0.38 * (1 - (i - 128) / 127) : kind === 1 ? 0.25 * (1 - i / 32) : 0;
    set(0, i, mix(own, ground, Math.max(0, Math.min(0.6, depth))));
    set(1, i, ramp(ramps.entropy, i / 255));
    set(2, i, ramp(ramps.magnitude, i / 255));
    set(3, i, sections[i] ?? (sections[2] as Rgb));
    set(4, i, writerColour(i, theme));
    set(5, i, ramp(ramps.heat, i / 255));
    set(6, i, classes[Math.min(i, 4)] as Rgb);
    set(7, i, pages[Math.min(i, pages.length - 1)] as Rgb);
  }
  return out;
}

export interface LegendEntry {
  colour: string;
  name: string;
}

const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;

/** What the legend shows for a palette: named colours, or a ramp with its ends. */
export function legend(palette: string, theme: Theme, classes: readonly string[], writers: readonly string[]): { entries: LegendEntry[]; ramp: { stops: string[]; from: string; to: string } | null } {
  const named = (colours: readonly Rgb[], names: readonly string[]): LegendEntry[] =>
    names.map((name, i) => ({ name, colour: css(colours[i] ?? [128, 128, 128]) })).filter((e) => e.name !== "");
  const scale = (stops: readonly string[], from: string, to: string): { stops: string[]; from: string; to: string } => ({ stops: [...stops], from, to });
  switch (palette) {
    case "entropy":
      return { entries: [], ramp: scale(RAMPS[theme].entropy, "constant", "random") };
    case "magnitude":
      return { entries: [], ramp: scale(RAMPS[theme].magnitude, "00", "ff") };
    case "recency":
      return { entries: [], ramp: scale(RAMPS[theme].heat, "10 years", "now") };
    case "section":
      return { entries: named(SECTION_COLOURS[theme].map(parseHex), classes.map((c, i) => (isContent(i) ? c : ""))), ramp: null };
    case "pages":
      return { entries: named(PAGE_COLOURS[theme].map(parseHex), PAGE_STATES), ramp: null };
    case "writer": {
      const names = writers.slice(0, 12).map((w, i) => (i === 0 ? "unknown" : (w.split("/").pop() ?? w)));
      return { entries: named(names.map((_, i) => writerColour(i, theme)), names), ramp: null };
    }
    default:
      return { entries: named(CLASS_COLOURS[theme].map(parseHex), ["zero", "control", "text", "high", "ff"]), ramp: null };
  }
}
