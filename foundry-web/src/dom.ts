// Small ways to make elements. Text is always text: a name can never become markup.
//
// Knows: the document. Must never know: what is shown.

type Child = Node | string | null | false;
type Props = Record<string, string | number | boolean | ((event: never) => void) | null | undefined>;

export function el<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") e.addEventListener(name.replace(/^on/, ""), value as (event: Event) => void);
    else if (value === true) e.setAttribute(name, "");
    else e.setAttribute(name, String(value));
  }
  add(e, children);
  return e;
}

function add(e: Element, children: Child[]): void {
  for (const child of children) if (child !== null && child !== false) e.append(child);
}

/** Replaces what is inside. */
export function fill(e: Element, ...children: Child[]): void {
  e.replaceChildren();
  add(e, children);
}

const ICONS: Record<string, string> = {
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Zm5 11.5L20 20",
  help: "M9 9a3 3 0 1 1 4.2 2.7c-.9.5-1.2 1-1.2 2.3m0 3v.01",
  pause: "M9 6v12M15 6v12",
  play: "M8 5.5v13l11-6.5-11-6.5Z",
  follow: "M12 3v3m0 12v3M3 12h3m12 0h3M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8Z",
  theme: "M12 4a8 8 0 1 0 0 16V4Z",
  close: "M6 6l12 12M18 6L6 18",
  home: "M4 11l8-7 8 7v9h-5v-6H9v6H4v-9Z",
  next: "M9 5l7 7-7 7",
  prev: "M15 5l-7 7 7 7",
  file: "M7 3h7l4 4v14H7V3Zm7 0v4h4",
  directory: "M3 6h6l2 2h10v11H3V6Z",
  process: "M7 7h10v10H7V7Zm3-4v4m4-4v4m-4 10v4m4-4v4M3 10h4m-4 4h4m10-4h4m-4 4h4",
  symbol: "M8 5c-3 2-3 12 0 14M16 5c3 2 3 12 0 14M9.5 9l5 6m0-6l-5 6",
  fact: "M5 5h14v14H5V5Zm3 5h8m-8 4h5",
  note: "M4 5h16v11H9l-5 4V5Z",
  bytes: "M6 6h4v5H6V6Zm8 0v5m-4 2v5m4-5h4v5h-4v-5Z",
  layers: "M12 4l9 5-9 5-9-5 9-5Zm-9 9l9 5 9-5",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
};

export function icon(name: string): SVGSVGElement {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS["file"] ?? "");
  svg.append(path);
  return svg;
}
