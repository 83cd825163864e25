import { expect, it } from "vitest";
import type { NodeInfo } from "../src/api.ts";
import { Plain } from "../src/plain.ts";

const node = (id: number, parent: number, name: string, kind: "directory" | "file", run: [number, number], size = 0): NodeInfo => ({ id, parent, name, kind, runs: [run], size, children: 0, state: "folded", generation: 1, changed_at: 0 });

const root = node(0, 0, "", "directory", [0, 200000]);
const opt = node(1, 0, "opt", "directory", [0, 200000]);
const tool = node(2, 1, "tool", "file", [65000, 131072], 70000);

function tile(index: number, fill: number): ArrayBuffer {
  const buffer = new ArrayBuffer(32 + 65536);
  const view = new DataView(buffer);
  view.setUint32(0, 0x4654494c, false);
  view.setUint8(4, 1);
  view.setUint8(6, 1);
  view.setBigUint64(8, BigInt(index), true);
  view.setUint32(28, 65536, true);
  new Uint8Array(buffer, 32).fill(fill);
  return buffer;
}

function folder(): { plain: Plain; asked: string[] } {
  const asked: string[] = [];
  const hits = [
    { node: 2, path: "/opt/tool", kind: "file", text: "/opt/tool", start: 0, end: 70000, index: 65000 },
    { node: 2, path: "/opt/tool", kind: "symbol", text: "tool_main", start: 10, end: 20, index: 65010 },
  ];
  const files: Record<string, unknown> = {
    "api/v1/nodes/0": { node: root, children: [opt], more: false },
    "api/v1/nodes/1": { node: opt, children: [tool], more: false },
    "api/v1/index": { hits },
  };
  const plain = new Plain({
    json: async <T>(path: string): Promise<T> => {
      asked.push(path);
      if (!(path in files)) throw new Error(`no ${path}`);
      return files[path] as T;
    },
    raw: async (path) => tile(Number(path.split("/").pop()), path.endsWith("/0") ? 7 : 9),
  });
  return { plain, asked };
}

it("finds what lies at a place and at a path, asking for each list once", async () => {
  const { plain, asked } = folder();
  expect((await plain.at(65100)).nodes.map((n) => n.name)).toEqual(["", "opt", "tool"]);
  expect(await plain.at(65100)).toMatchObject({ offset: 100, path: "/opt/tool" });
  expect((await plain.path("/opt/tool")).nodes.at(-1)?.id).toBe(2);
  await expect(plain.path("/opt/tool/more")).rejects.toThrow(/nothing/);
  await expect(plain.path("/opt/gone")).rejects.toThrow(/nothing/);
  expect(asked).toEqual(["api/v1/nodes/0", "api/v1/nodes/1"]);
});

it("takes bytes from the tiles that they lie in", async () => {
  const { plain } = folder();
  await plain.at(65100);
  const got = await plain.bytes(2, 530, 12);
  expect([...got.bytes]).toEqual([7, 7, 7, 7, 7, 7, 9, 9, 9, 9, 9, 9]);
  expect((await plain.bytes(2, 69990, 256)).bytes.length).toBe(10);
});

it("searches names, and says where it cannot look", async () => {
  const { plain } = folder();
  expect((await plain.search("TOOL")).hits.length).toBe(2);
  expect((await plain.search("sym: main")).hits.map((h) => h.text)).toEqual(["tool_main"]);
  expect((await plain.search("path: tool")).hits.map((h) => h.kind)).toEqual(["file"]);
  expect((await plain.search('"bytes"')).complete).toBe(false);
});
