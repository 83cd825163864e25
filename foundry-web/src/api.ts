// Requests for JSON and bytes, as API.md has them.
//
// Knows: addresses and fields. Must never know: what is shown.
// Keeps: every failure becomes an ApiError with words for a person.

import { Plain } from "./plain.ts";

export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface WorldInfo {
  epoch: string;
  seq: number;
  host: string;
  live: boolean;
  root: number;
  end: number;
  top_level: number;
  roots: string[];
  artifacts: number;
  folded: number;
  scanning: boolean;
  classes: string[];
  writers: string[];
}

export type NodeKind = "directory" | "file" | "process" | "symlink" | "other";

export interface NodeInfo {
  id: number;
  parent: number;
  name: string;
  /** What it is called, where that is not its name. */
  label?: string;
  kind: NodeKind;
  runs: [number, number][];
  size: number;
  children: number;
  state: "folded" | "waiting" | "unreadable" | "gone";
  /** Why it is unreadable. */
  problem?: string;
  generation: number;
  changed_at: number;
}

export interface Listing {
  node: NodeInfo;
  children: NodeInfo[];
  more: boolean;
}

export interface Region {
  name: string;
  kind: string;
  start: number;
  end: number;
  address: number | null;
}

export interface Chain {
  index: number;
  nodes: NodeInfo[];
  path: string;
  offset: number | null;
  region: Region | null;
}

export type Fact = string | number | boolean | string[];

export interface Generation {
  number: number;
  at_ns: number;
  size: number;
  changed_tiles: number;
}

export interface About {
  path: string;
  size: number;
  blake3: string | null;
  generation: number;
  mode: number;
  uid: number;
  gid: number;
  mtime_ns: string;
  payload: string;
  facts: Record<string, Fact>;
  annotation: string | null;
  generations: Generation[];
  problem?: string;
}

export interface WriterRange {
  start: number;
  end: number;
  exe: string;
  comm: string;
  pid: number;
  uid: number;
  at_ns: string;
}

export interface Hit {
  node: number;
  path: string;
  kind: string;
  text: string;
  start: number;
  end: number;
  index: number;
}

export interface Bytes {
  bytes: Uint8Array;
  source: string;
  differs: boolean;
}

/** One page of a process. */
export interface Page {
  mapping: string;
  kind: string;
  permissions: string;
  address: number | null;
  state: string[];
  file: { path: string; offset: number } | null;
}

/** A process that maps a byte of a file. */
export interface Mapper {
  path: string;
  label: string;
  at: number;
  address: number | null;
  permissions: string[];
  state: string[];
}

async function get(path: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...(signal ? { signal } : {}) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "the server does not answer");
  }
  if (response.ok) return response;
  let why = `the server answered ${response.status}`;
  try {
    const body: unknown = await response.json();
    if (body && typeof body === "object" && "error" in body && typeof body.error === "string") why = body.error;
  } catch {
    if (response.status === 401) why = "the key is missing: open the link the daemon printed";
  }
  throw new ApiError(response.status, why);
}

async function json<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await get(path, signal)).json()) as T;
}

/** Where the page was opened from a folder of plain files. */
let plain: Plain | null = null;

async function world(): Promise<WorldInfo> {
  const found = await json<WorldInfo>("api/v1/world");
  if (found.live) plain = null;
  else plain ??= new Plain({ json, raw: async (path) => (await get(path)).arrayBuffer() });
  return found;
}

/** A file that a folder does not have says nothing; a server's 404 says why. */
async function orNothing<T>(nothing: T, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (plain && error instanceof ApiError && error.status === 404) return nothing;
    throw error;
  }
}

async function bytes(id: number, at: number, len: number, signal?: AbortSignal): Promise<Bytes> {
  if (plain) return plain.bytes(id, at, len);
  const response = await get(`api/v1/artifacts/${id}/bytes?at=${at}&len=${len}`, signal);
  return {
    bytes: new Uint8Array(await response.arrayBuffer()),
    source: response.headers.get("Foundry-Source") ?? "artifact",
    differs: response.headers.get("Foundry-Differs") === "true",
  };
}

const NOWHERE: Chain = { index: 0, nodes: [], path: "", offset: null, region: null };
/** Addresses in a folder have no parameters. */
const asked = (path: string, parameters: string): string => (plain ? path : path + parameters);

export const api = {
  /** Whether there is a server that answers, or only files. */
  isPlain: (): boolean => plain !== null,
  world,
  nodes: (id: number, after?: number): Promise<Listing> => (plain ? plain.list(id) : json(`api/v1/nodes/${id}${after === undefined ? "" : `?after=${after}`}`)),
  at: (index: number, signal?: AbortSignal): Promise<Chain> => (plain ? plain.at(index) : json(`api/v1/at/${index}`, signal)),
  path: (path: string): Promise<Chain> => (plain ? plain.path(path) : json(`api/v1/path?path=${encodeURIComponent(path)}`)),
  about: (id: number, signal?: AbortSignal): Promise<About | Chain> => orNothing<About | Chain>(NOWHERE, json(`api/v1/artifacts/${id}/about`, signal)),
  regions: (id: number, limit = 2000): Promise<{ regions: Region[]; total: number }> => orNothing({ regions: [], total: 0 }, json(asked(`api/v1/artifacts/${id}/regions`, `?limit=${limit}`))),
  writers: (id: number, signal?: AbortSignal): Promise<{ writers: WriterRange[] }> => orNothing({ writers: [] }, json(`api/v1/artifacts/${id}/writers`, signal)),
  page: (id: number, at: number, signal?: AbortSignal): Promise<Page> => json(`api/v1/artifacts/${id}/page?at=${at}`, signal),
  mapped: (id: number, at: number, signal?: AbortSignal): Promise<{ mappers: Mapper[] }> => (plain ? Promise.resolve({ mappers: [] }) : json(`api/v1/artifacts/${id}/mapped?at=${at}`, signal)),
  diff: (id: number, from: number, to: number): Promise<{ ranges: [number, number][]; bytes: number }> => json(`api/v1/artifacts/${id}/diff?from=${from}&to=${to}`),
  search: (q: string, signal?: AbortSignal): Promise<{ hits: Hit[]; complete: boolean }> => (plain ? plain.search(q) : json(`api/v1/search?q=${encodeURIComponent(q)}`, signal)),
  bytes,
};

export function isAbout(value: About | Chain): value is About {
  return "generations" in value;
}
