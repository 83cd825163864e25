// What lies where: directories are asked for as they come into view.
//
// Knows: nodes, runs, the plane. Must never know: colours, panels.
// Keeps: a directory is asked for once until it changes; shapes are computed once a layout.

import { type NodeInfo, type Region, api } from "./api.ts";
import type { Camera, View } from "./camera.ts";
import { mappingName, nameOf, visibleName } from "./format.ts";
import type { Layout, Point } from "./curve.ts";
import { type Run, type Square, bounds, joined, largestSquare, outline } from "./shapes.ts";

export interface Shape {
  polygons: Point[][];
  box: { x: number; y: number; w: number; h: number };
  square: Square;
}

export interface Node extends NodeInfo {
  depth: number;
  children_: Node[] | null;
  more: boolean;
  asked: boolean;
  shape: Shape | null;
  regions: RegionNode[] | null;
  regionsAsked: boolean;
  /** Runs of children along the curve, for finding what is at an index. */
  order: { start: number; end: number; node: Node }[] | null;
}

export interface RegionNode extends Region {
  run: Run;
  shape: Shape | null;
}

const MOST_ASKED = 6;

export class NodeStore {
  readonly byId = new Map<number, Node>();
  root: Node | null = null;
  layout: Layout = "hilbert";
  private asking = 0;
  onChange: () => void = () => {};
  onProblem: (why: string) => void = () => {};

  private adopt(info: NodeInfo, depth: number): Node {
    const known = this.byId.get(info.id);
    if (known) {
      const moved = JSON.stringify(known.runs) !== JSON.stringify(info.runs);
      const other = known.generation !== info.generation;
      Object.assign(known, info, { depth });
      if (moved) known.shape = null;
      if (moved || other) {
        known.regions = null;
        known.regionsAsked = false;
      }
      return known;
    }
    const node: Node = { ...info, depth, children_: null, more: false, asked: false, shape: null, regions: null, regionsAsked: false, order: null };
    this.byId.set(info.id, node);
    return node;
  }

  async load(id: number): Promise<Node | null> {
    const known = this.byId.get(id);
    if (known?.asked) return known;
    if (known) known.asked = true;
    this.asking++;
    try {
      const listing = await api.nodes(id);
      const node = this.adopt(listing.node, known?.depth ?? 0);
      node.asked = true;
      node.more = listing.more;
      const children = listing.children;
      let more = listing.more;
      // Very full directories come in pages; what is beyond a few of them is on the map without a name.
      while (more && children.length < 20000) {
        const last = children[children.length - 1];
        if (!last) break;
        const next = await api.nodes(id, last.id);
        children.push(...next.children);
        more = next.more;
      }
      node.children_ = children.map((c) => this.adopt(c, node.depth + 1));
      node.order = node.children_
        .flatMap((c) => c.runs.map(([start, end]) => ({ start, end, node: c })))
        .sort((a, b) => a.start - b.start);
      if (id === 0) this.root = node;
      this.onChange();
      return node;
    } catch (error) {
      if (known) window.setTimeout(() => (known.asked = false), 3000);
      this.onProblem(error instanceof Error ? error.message : String(error));
      return null;
    } finally {
      this.asking--;
    }
  }

  /** A directory's list is not what it was. */
  refresh(id: number): void {
    const node = this.byId.get(id);
    if (!node?.children_) return;
    node.asked = false;
    void this.load(id);
  }

  clear(): void {
    this.byId.clear();
    this.root = null;
  }

  setLayout(layout: Layout): void {
    this.layout = layout;
    for (const node of this.byId.values()) {
      node.shape = null;
      for (const r of node.regions ?? []) r.shape = null;
    }
  }

  shapeOf(thing: { runs?: [number, number][]; run?: Run; shape: Shape | null }): Shape {
    if (thing.shape) return thing.shape;
    const runs: Run[] = thing.run ? [thing.run] : joined(thing.runs ?? []);
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    let square: Square = { x: 0, y: 0, side: 0 };
    const polygons: Point[][] = [];
    // Outlines follow the curve; rows inside a tile have none of their own.
    const layout = this.layout === "scan" ? "hilbert" : this.layout;
    for (const run of runs) {
      const b = bounds(layout, run);
      [x0, y0, x1, y1] = [Math.min(x0, b.x), Math.min(y0, b.y), Math.max(x1, b.x + b.w), Math.max(y1, b.y + b.h)];
      const s = largestSquare(layout, run);
      if (s.side > square.side) square = s;
      polygons.push(...outline(layout, run, 96));
    }
    thing.shape = { polygons, box: { x: x0, y: y0, w: x1 - x0, h: y1 - y0 }, square };
    return thing.shape;
  }

  /** Nodes on the screen that are large enough to see, outermost first; asks for what is missing. */
  visible(camera: Camera, view: View, least: number): Node[] {
    const found: Node[] = [];
    if (!this.root) return found;
    const half = { x: view.w / 2 / camera.scale, y: view.h / 2 / camera.scale };
    const [x0, x1, y0, y1] = [camera.x - half.x, camera.x + half.x, camera.y - half.y, camera.y + half.y];
    const visit = (node: Node): void => {
      if (node.runs.length === 0 || found.length > 4000) return;
      const { box } = this.shapeOf(node);
      if (box.x > x1 || box.x + box.w < x0 || box.y > y1 || box.y + box.h < y0) return;
      const extent = Math.max(box.w, box.h) * camera.scale;
      if (extent < least) return;
      found.push(node);
      if (node.kind === "directory") {
        if (node.children_) for (const child of node.children_) visit(child);
        else if (!node.asked && extent > least * 3 && this.asking < MOST_ASKED) void this.load(node.id);
      } else if ((node.kind === "file" || node.kind === "process") && !node.regionsAsked && node.state === "folded" && extent > 260 && this.asking < MOST_ASKED) {
        void this.loadRegions(node);
      }
    };
    for (const child of this.root.children_ ?? []) visit(child);
    return found;
  }

  async loadRegions(node: Node): Promise<void> {
    if (node.regionsAsked) return;
    node.regionsAsked = true;
    this.asking++;
    try {
      const { regions } = await api.regions(node.id, 6000);
      const start = node.runs[0]?.[0] ?? 0;
      node.regions = regions.filter((r) => r.end > r.start).map((r) => ({ ...r, name: node.kind === "process" ? mappingName(r.name) : r.name, run: [start + r.start, start + r.end] as Run, shape: null }));
      this.onChange();
    } catch {
      // An artifact without a brick has no regions; the panel says why when it is opened.
      node.regions = [];
    } finally {
      this.asking--;
    }
  }

  /** The known chain of nodes at an index, outermost first, without the root. */
  chainAt(index: number): Node[] {
    const chain: Node[] = [];
    let node = this.root;
    while (node?.order) {
      const order: { start: number; end: number; node: Node }[] = node.order;
      let low = 0;
      let high = order.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((order[middle] as { start: number }).start <= index) low = middle + 1;
        else high = middle;
      }
      const hit = order[low - 1];
      if (!hit || index >= hit.end) break;
      chain.push(hit.node);
      node = hit.node;
    }
    return chain;
  }

  /** The name of a directory, with those of the directories that hold it alone. */
  chainName(node: Node): string {
    const names = [nameOf(node)];
    let at = this.byId.get(node.parent);
    while (at && at.id !== 0 && at.children_?.length === 1) {
      names.unshift(visibleName(at.name));
      at = this.byId.get(at.parent);
    }
    return names.join("/");
  }

  /** Regions at an offset of a file, outermost first. */
  regionsAt(node: Node, offset: number): RegionNode[] {
    return (node.regions ?? []).filter((r) => r.start <= offset && offset < r.end).sort((a, b) => b.end - b.start - (a.end - a.start));
  }

  /** Makes sure that everything on the way to a node is known. */
  async reveal(chain: NodeInfo[]): Promise<Node | null> {
    for (const [i, info] of chain.entries()) {
      this.adopt(info, i);
      if (info.kind === "directory") await this.load(info.id);
    }
    const last = chain[chain.length - 1];
    return last ? (this.byId.get(last.id) ?? null) : null;
  }
}
