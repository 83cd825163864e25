// Numbers and bytes as people read them.
//
// Knows: plain values. Must never know: the page.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function formatBytes(n: number): string {
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function formatHex(n: number): string {
  return `0x${n.toString(16)}`;
}

export function formatAge(seconds: number): string {
  if (seconds < 1) return "now";
  const steps: [number, string][] = [
    [60, "s"],
    [60, "min"],
    [24, "h"],
    [365, "d"],
  ];
  let value = seconds;
  for (const [size, unit] of steps) {
    if (value < size) return `${Math.floor(value)} ${unit} ago`;
    value /= size;
  }
  return `${Math.floor(value)} y ago`;
}

/** Who wrote something, and when. */
export function writerLine(w: { exe: string; comm: string; pid: number; uid: number; at_ns: string }): string {
  return `${visibleName(w.exe || w.comm || "unknown")} (pid ${w.pid}, uid ${w.uid}), ${formatAge(Date.now() / 1000 - Number(w.at_ns) / 1e9)}`;
}

export function formatTime(ms: number): string {
  const d = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** Permission bits as `ls` writes them. */
export function formatMode(mode: number): string {
  const letters = "rwxrwxrwx";
  return [...letters].map((c, i) => (mode & (1 << (8 - i)) ? c : "-")).join("");
}

export interface HexRow {
  offset: number;
  hex: string[];
  text: string;
}

/** Bytes in rows; rows begin at multiples of their width. */
export function hexRows(bytes: Uint8Array, at: number, width = 16): HexRow[] {
  const rows: HexRow[] = [];
  let i = 0;
  while (i < bytes.length) {
    const offset = at + i;
    const lead = offset % width;
    const n = Math.min(width - lead, bytes.length - i);
    const hex = Array<string>(lead).fill("  ");
    let text = " ".repeat(lead);
    for (let k = i; k < i + n; k++) {
      const b = bytes[k] as number;
      hex.push(b.toString(16).padStart(2, "0"));
      text += b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "\u00b7";
    }
    rows.push({ offset: offset - lead, hex, text });
    i += n;
  }
  return rows;
}

/** Control characters and such made visible, so that a name cannot hide what it is. */
export function visibleName(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => `\u27e8${(c.codePointAt(0) ?? 0).toString(16)}\u27e9`);
}

/** Cells of a page, the unit of a process's place on the map, and bytes of memory that a cell stands for. */
export const PAGE_CELLS = 64;
export const CELL_BYTES = 4096 / PAGE_CELLS;

/** How large something is: a process in pages of its plane. */
export function sizeOf(node: { kind: string; size: number }): string {
  return node.kind === "process" ? `${Math.ceil(node.size / PAGE_CELLS).toLocaleString("en")} pages` : formatBytes(node.size);
}

/** A mapping by what is mapped: `r-xp /usr/lib/libc.so.6` is `libc.so.6 r-xp`. */
export function mappingName(name: string): string {
  const [, permissions, what] = /^([-r][-w][-x][-sp])(?: (.*))?$/s.exec(name) ?? [];
  if (permissions === undefined) return name;
  return `${what?.split("/").pop() || "anonymous"} ${permissions}`;
}

/** The address in the process of a place in it, by the innermost region there that has one. */
export function addressOf(regions: readonly { start: number; address: number | null }[], at: number): string {
  const known = regions.filter((r) => r.address !== null).pop();
  return known ? `at ${formatHex((known.address ?? 0) + (at - known.start) * CELL_BYTES)}` : "";
}

/** What a node is called: a process is a program with a number, everything else has its name. */
export function nameOf(node: { name: string; label?: string }): string {
  return visibleName(node.label ?? node.name);
}
