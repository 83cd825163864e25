// BLAKE3, the hash of a tile: what was fetched is what the server composed, whoever kept it meanwhile.
//
// Knows: bytes. Must never know: tiles. Keeps: equal to the reference for every length.

const IV = new Uint32Array([0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]);
const BLOCK = 64;
const CHUNK = 1024;
const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;

/** Which word of the block each step of the seven rounds takes. */
const SCHEDULE = schedule();

function schedule(): Uint8Array {
  const permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
  const out = new Uint8Array(7 * 16);
  let order = Array.from({ length: 16 }, (_, i) => i);
  for (let round = 0; round < 7; round++) {
    out.set(order, round * 16);
    order = permutation.map((from) => order[from] as number);
  }
  return out;
}

function rotate(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/** Takes one block into the chaining value `cv`. The state is in variables: an array is five times slower. */
function compress(cv: Uint32Array, block: Uint32Array, counter: number, length: number, flags: number): void {
  let v0 = cv[0] as number;
  let v1 = cv[1] as number;
  let v2 = cv[2] as number;
  let v3 = cv[3] as number;
  let v4 = cv[4] as number;
  let v5 = cv[5] as number;
  let v6 = cv[6] as number;
  let v7 = cv[7] as number;
  let v8 = IV[0] as number;
  let v9 = IV[1] as number;
  let v10 = IV[2] as number;
  let v11 = IV[3] as number;
  let v12 = counter | 0;
  let v13 = Math.floor(counter / 2 ** 32) | 0;
  let v14 = length;
  let v15 = flags;
  for (let at = 0; at < 7 * 16; at += 16) {
    v0 = (v0 + v4 + (block[SCHEDULE[at + 0] as number] as number)) | 0;
    v12 = rotate(v12 ^ v0, 16);
    v8 = (v8 + v12) | 0;
    v4 = rotate(v4 ^ v8, 12);
    v0 = (v0 + v4 + (block[SCHEDULE[at + 1] as number] as number)) | 0;
    v12 = rotate(v12 ^ v0, 8);
    v8 = (v8 + v12) | 0;
    v4 = rotate(v4 ^ v8, 7);
    v1 = (v1 + v5 + (block[SCHEDULE[at + 2] as number] as number)) | 0;
    v13 = rotate(v13 ^ v1, 16);
    v9 = (v9 + v13) | 0;
    v5 = rotate(v5 ^ v9, 12);
    v1 = (v1 + v5 + (block[SCHEDULE[at + 3] as number] as number)) | 0;
    v13 = rotate(v13 ^ v1, 8);
    v9 = (v9 + v13) | 0;
    v5 = rotate(v5 ^ v9, 7);
    v2 = (v2 + v6 + (block[SCHEDULE[at + 4] as number] as number)) | 0;
    v14 = rotate(v14 ^ v2, 16);
    v10 = (v10 + v14) | 0;
    v6 = rotate(v6 ^ v10, 12);
    v2 = (v2 + v6 + (block[SCHEDULE[at + 5] as number] as number)) | 0;
    v14 = rotate(v14 ^ v2, 8);
    v10 = (v10 + v14) | 0;
    v6 = rotate(v6 ^ v10, 7);
    v3 = (v3 + v7 + (block[SCHEDULE[at + 6] as number] as number)) | 0;
    v15 = rotate(v15 ^ v3, 16);
    v11 = (v11 + v15) | 0;
    v7 = rotate(v7 ^ v11, 12);
    v3 = (v3 + v7 + (block[SCHEDULE[at + 7] as number] as number)) | 0;
    v15 = rotate(v15 ^ v3, 8);
    v11 = (v11 + v15) | 0;
    v7 = rotate(v7 ^ v11, 7);
    v0 = (v0 + v5 + (block[SCHEDULE[at + 8] as number] as number)) | 0;
    v15 = rotate(v15 ^ v0, 16);
    v10 = (v10 + v15) | 0;
    v5 = rotate(v5 ^ v10, 12);
    v0 = (v0 + v5 + (block[SCHEDULE[at + 9] as number] as number)) | 0;
    v15 = rotate(v15 ^ v0, 8);
    v10 = (v10 + v15) | 0;
    v5 = rotate(v5 ^ v10, 7);
    v1 = (v1 + v6 + (block[SCHEDULE[at + 10] as number] as number)) | 0;
    v12 = rotate(v12 ^ v1, 16);
    v11 = (v11 + v12) | 0;
    v6 = rotate(v6 ^ v11, 12);
    v1 = (v1 + v6 + (block[SCHEDULE[at + 11] as number] as number)) | 0;
    v12 = rotate(v12 ^ v1, 8);
    v11 = (v11 + v12) | 0;
    v6 = rotate(v6 ^ v11, 7);
    v2 = (v2 + v7 + (block[SCHEDULE[at + 12] as number] as number)) | 0;
    v13 = rotate(v13 ^ v2, 16);
    v8 = (v8 + v13) | 0;
    v7 = rotate(v7 ^ v8, 12);
    v2 = (v2 + v7 + (block[SCHEDULE[at + 13] as number] as number)) | 0;
    v13 = rotate(v13 ^ v2, 8);
    v8 = (v8 + v13) | 0;
    v7 = rotate(v7 ^ v8, 7);
    v3 = (v3 + v4 + (block[SCHEDULE[at + 14] as number] as number)) | 0;
    v14 = rotate(v14 ^ v3, 16);
    v9 = (v9 + v14) | 0;
    v4 = rotate(v4 ^ v9, 12);
    v3 = (v3 + v4 + (block[SCHEDULE[at + 15] as number] as number)) | 0;
    v14 = rotate(v14 ^ v3, 8);
    v9 = (v9 + v14) | 0;
    v4 = rotate(v4 ^ v9, 7);
  }
  cv[0] = v0 ^ v8;
  cv[1] = v1 ^ v9;
  cv[2] = v2 ^ v10;
  cv[3] = v3 ^ v11;
  cv[4] = v4 ^ v12;
  cv[5] = v5 ^ v13;
  cv[6] = v6 ^ v14;
  cv[7] = v7 ^ v15;
}

/** The chaining value of one chunk of at most 1024 bytes. */
function chunk(bytes: Uint8Array, counter: number, root: number): Uint32Array {
  const cv = IV.slice();
  const block = new Uint32Array(16);
  const raw = new Uint8Array(block.buffer);
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK));
  for (let i = 0; i < blocks; i++) {
    const part = bytes.subarray(i * BLOCK, (i + 1) * BLOCK);
    if (part.length < BLOCK) raw.fill(0);
    raw.set(part);
    const last = i === blocks - 1;
    compress(cv, block, counter, part.length, (i === 0 ? CHUNK_START : 0) | (last ? CHUNK_END | root : 0));
  }
  return cv;
}

function parent(left: Uint32Array, right: Uint32Array, root: number): Uint32Array {
  const block = new Uint32Array(16);
  block.set(left);
  block.set(right, 8);
  const cv = IV.slice();
  compress(cv, block, 0, BLOCK, PARENT | root);
  return cv;
}

/** The 32 bytes of the hash. Words are little-endian, as every machine that runs a browser has them. */
export function blake3(bytes: Uint8Array): Uint8Array {
  const chunks = Math.max(1, Math.ceil(bytes.length / CHUNK));
  if (chunks === 1) return new Uint8Array(chunk(bytes, 0, ROOT).buffer);
  // Subtrees that are whole wait here, the largest first: one for each bit of the number of chunks.
  const waiting: Uint32Array[] = [];
  for (let i = 0; i < chunks - 1; i++) {
    let cv = chunk(bytes.subarray(i * CHUNK, (i + 1) * CHUNK), i, 0);
    for (let n = i + 1; n % 2 === 0; n /= 2) cv = parent(waiting.pop() as Uint32Array, cv, 0);
    waiting.push(cv);
  }
  let cv = chunk(bytes.subarray((chunks - 1) * CHUNK), chunks - 1, 0);
  while (waiting.length > 0) {
    const left = waiting.pop() as Uint32Array;
    cv = parent(left, cv, waiting.length === 0 ? ROOT : 0);
  }
  return new Uint8Array(cv.buffer);
}
