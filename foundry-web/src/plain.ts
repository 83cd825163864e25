// A folder of plain files, asked as a server would be: what has parameters is worked out here.
//
// Knows: the files that API.md names. Must never know: what is shown.
// Keeps: every file is asked for once; what is not in the folder is said to be missing, not invented.

import type { Bytes, Chain, Hit, Listing, NodeInfo } from "./api.ts";
import { TILE_CELLS } from "./curve.ts";
import { decodeTile } from "./wire.ts";

export interface Files {
  json: <T>(path: string) => Promise<T>;
  raw: (path: string) => Promise<ArrayBuffer>;
}

const MOST_HITS = 200;
/** What is no name, and found only where it is asked for. */
const isSaid = (hit: Hit): boolean => hit.kind === "hash" || hit.kind === "fact" || hit.kind === "note";
const KINDS: Record<string, (hit: Hit) => boolean> = {
  sym: (hit) => hit.kind === "symbol",
  path: (hit) => hit.kind !== "symbol" && !isSaid(hit),
  hash: (hit) => hit.kind === "hash",
  "build-id": (hit) => hit.kind === "fact",
  note: (hit) => hit.kind === "note",
};

export class Plain {
  private readonly listings = new Map<number, Promise<Listing>>();
  private readonly nodes = new Map<number, NodeInfo>();
  private hits: Promise<{ hits: Hit[] }> | null = null;

  constructor(private readonly files: Files) {}

  list(id: number): Promise<Listing> {
    let listing = this.listings.get(id);
    if (!listing) {
      listing = this.files.json<Listing>(`api/v1/nodes/${id}`).then((found) => {
        for (const node of [found.node, ...found.children]) this.nodes.set(node.id, node);
        return found;
      });
      this.listings.set(id, listing);
      listing.catch(() => this.listings.delete(id));
    }
    return listing;
  }

  /** Goes down from the root, each time to the child that `choose` gives. */
  private async descend(choose: (children: NodeInfo[], depth: number) => NodeInfo | undefined): Promise<NodeInfo[]> {
    const first = await this.list(0);
    const chain = [first.node];
    let { children } = first;
    for (let depth = 0; ; depth++) {
      const next = choose(children, depth);
      if (!next) return chain;
      chain.push(next);
      if (next.kind !== "directory") return chain;
      ({ children } = await this.list(next.id));
    }
  }

  private chain(nodes: NodeInfo[], index: number, offset: number | null): Chain {
    return { index, nodes, path: `/${nodes.slice(1).map((n) => n.name).join("/")}`, offset, region: null };
  }

  async at(index: number): Promise<Chain> {
    const nodes = await this.descend((children) => children.find((n) => n.runs.some(([a, b]) => a <= index && index < b)));
    const start = nodes[nodes.length - 1]?.runs[0]?.[0] ?? 0;
    return this.chain(nodes, index, index - start);
  }

  async path(path: string): Promise<Chain> {
    const names = path.split("/").filter((name) => name !== "");
    const nodes = await this.descend((children, depth) => children.find((n) => n.name === names[depth]));
    if (nodes.length !== names.length + 1) throw new Error("nothing of that path is on the map");
    return this.chain(nodes, nodes[nodes.length - 1]?.runs[0]?.[0] ?? 0, null);
  }

  async search(query: string): Promise<{ hits: Hit[]; complete: boolean }> {
    this.hits ??= this.files.json<{ hits: Hit[] }>("api/v1/index");
    const { hits } = await this.hits;
    const found = /^\s*([\w-]+):\s*(.*)$/.exec(query);
    const kind = found && KINDS[found[1] ?? ""];
    const word = (kind ? (found[2] ?? "") : query).trim().toLowerCase();
    if (word === "") return { hits: [], complete: true };
    const name = (hit: Hit): string => (word.includes("/") || hit.kind === "symbol" || isSaid(hit) ? hit.text : (hit.text.split("/").pop() ?? ""));
    const all = hits.filter((hit) => (kind ? kind(hit) : !isSaid(hit)) && name(hit).toLowerCase().includes(word));
    // Bytes and the other facts are in the bricks, which nobody opens here.
    return { hits: all.slice(0, MOST_HITS), complete: all.length <= MOST_HITS && !/"|=|^\s*fact:/.test(query) };
  }

  /** Bytes of a file, from the tiles of level 0 that they lie in. */
  async bytes(id: number, at: number, len: number): Promise<Bytes> {
    const node = this.nodes.get(id);
    const start = node?.runs[0]?.[0];
    if (!node || start === undefined) throw new Error("there is no such file");
    const end = Math.min(at + len, node.size);
    const bytes = new Uint8Array(Math.max(0, end - at));
    let differs = false;
    for (let from = at; from < end; ) {
      const index = Math.floor((start + from) / TILE_CELLS);
      const to = Math.min(end, (index + 1) * TILE_CELLS - start);
      const tile = decodeTile(await this.files.raw(`api/v1/tiles/0/${index}`));
      if (tile.channels !== 1) throw new Error("the bytes could not be had when this was published");
      differs ||= tile.differs;
      const first = start + from - index * TILE_CELLS;
      bytes.set(tile.cells.subarray(first, first + to - from), from - at);
      from = to;
    }
    return { bytes, source: "published files", differs };
  }
}
