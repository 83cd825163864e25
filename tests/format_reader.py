#!/usr/bin/env python3
"""A second reader of .brick files, written from FORMAT.md alone.

Usage: format_reader.py BRICK

Opens the brick's newest generation, checks every checksum on the way, and prints what it holds:
one fact per line, cells as digests. Exit code 1 where anything is not what FORMAT.md says.
Only the standard library is used; BLAKE3 is here in sixty lines.
"""

import struct
import sys

# ---------------------------------------------------------------- BLAKE3

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF
QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def compress(cv, block, counter, length, flags):
    """The first eight words of the compression function's output."""
    v = list(cv) + list(IV[:4]) + [counter & MASK, counter >> 32, length, flags]
    m = struct.unpack("<16I", block.ljust(64, b"\0"))
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(QUARTERS):
            va = (v[a] + v[b] + m[2 * i]) & MASK
            vd = v[d] ^ va
            vd = (vd >> 16 | vd << 16) & MASK
            vc = (v[c] + vd) & MASK
            vb = v[b] ^ vc
            vb = (vb >> 12 | vb << 20) & MASK
            va = (va + vb + m[2 * i + 1]) & MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb >> 7 | vb << 25) & MASK, vc, vd
        m = [m[i] for i in PERMUTATION]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def chunk(data, number, root):
    cv, blocks = IV, max(1, -(-len(data) // 64))
    for i in range(blocks):
        block = data[64 * i:64 * i + 64]
        flags = (CHUNK_START if i == 0 else 0) | ((CHUNK_END | root) if i == blocks - 1 else 0)
        cv = compress(cv, block, number, len(block), flags)
    return cv


def left_len(n):
    """The greatest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def parent(left, right, root):
    return compress(IV, struct.pack("<16I", *left, *right), 0, 64, PARENT | root)


def subtree(data, first_chunk, root=0):
    """Chaining value of `data`, which begins at chunk number `first_chunk`; its hash where root."""
    chunks = max(1, -(-len(data) // 1024))
    if chunks == 1:
        return chunk(data, first_chunk, root)
    left = left_len(chunks)
    return parent(subtree(data[:1024 * left], first_chunk),
                  subtree(data[1024 * left:], first_chunk + left), root)


def merge(cvs, root=0):
    if len(cvs) == 1:
        return cvs[0]
    left = left_len(len(cvs))
    return parent(merge(cvs[:left]), merge(cvs[left:]), root)


def words(raw):
    return struct.unpack("<8I", raw)


def raw(cv):
    return struct.pack("<8I", *cv)


def blake3(data):
    return raw(subtree(data, 0, ROOT))


def checksum(data):
    return blake3(data)[:16]


# ---------------------------------------------------------------- the container

TILE, FANOUT = 65536, 64
ZERO, HASHED = 1, 2
ZERO_CELL = bytes((0, 255, 0, 0))


class Wrong(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Wrong(what)


def up(n, d):
    return -(-n // d)


class Entry:
    def __init__(self, data):
        (self.offset, self.length, self.flags, self.checksum, self.cv, self.generation,
         self.writer) = struct.unpack("<QII16s32sQQ", data)


class Record:
    def __init__(self, data, brick):
        need(data[:8] == b"V2BRROOT" and checksum(data[:496]) == data[496:512], "record checksum")
        (self.generation, self.at_ns, epoch, self.size, self.segment_start, self.record_offset,
         self.durable_len, self.live_len, self.blake3, self.flags, self.height
         ) = struct.unpack_from("<Qq16sQQQQQ32sII", data, 8)
        need(epoch == brick.epoch, "epoch")
        self.root = Entry(data[120:200])
        self.pointers = {}
        for i, name in enumerate(("meta", "regions", "facts", "annotation", "parts")):
            self.pointers[name] = struct.unpack_from("<QQ16s", data, 200 + 32 * i)
        (self.previous_offset, self.previous_generation, self.segment_checksum, self.head_len,
         self.head_checksum) = struct.unpack_from("<QQ16sQ16s", data, 360)
        self.changed_tiles = struct.unpack_from("<20I", data, 416)


class Brick:
    def __init__(self, data):
        self.data = data
        need(data[:4] == b"V2BR", "magic")
        (version, _compat, _ro_compat, incompat, self.epoch, slot_len, data_start, curve, tile_shift,
         leaf_level, fanout_shift, self.payload) = struct.unpack_from("<IQQQ16sIIBBBBI", data, 4)
        need(version == 2 and incompat == 0, "version or features")
        need(checksum(data[:496]) == data[496:512], "superblock checksum")
        need((curve, tile_shift, leaf_level, fanout_shift) == (1, 16, 3, 6), "shape")
        need(data_start == 512 + 2 * slot_len, "data_start")
        slots = []
        for slot in range(2):
            try:
                slots.append(self.slot(512 + slot * slot_len))
            except (Wrong, struct.error) as why:
                print(f"slot {slot}: {why}", file=sys.stderr)
        need(slots, "no slot counts")
        self.record = max(slots, key=lambda record: record.generation)

    def bytes(self, offset, length):
        need(offset + length <= len(self.data), "beyond the end")
        return self.data[offset:offset + length]

    def slot(self, at):
        data = self.bytes(at, 512)
        record = Record(data, self)
        head = self.bytes(at + 512, record.head_len)
        need(not head or checksum(head) == record.head_checksum, "head checksum")
        need(self.bytes(record.record_offset, 512) == data, "record and slot differ")
        older = record
        while older.record_offset > record.durable_len:
            self.segment(older)
            if older.previous_offset == 0 or older.segment_start <= record.durable_len:
                break
            older = Record(self.bytes(older.previous_offset, 512), self)
        return record

    def segment(self, record):
        data = self.bytes(record.segment_start, record.record_offset - record.segment_start)
        need(checksum(data) == record.segment_checksum, "segment checksum")

    def generations(self):
        record = self.record
        while True:
            self.segment(record)
            yield record
            if record.previous_offset == 0:
                return
            need(record.previous_offset == record.segment_start - 512, "previous_offset")
            number = record.previous_generation
            record = Record(self.bytes(record.previous_offset, 512), self)
            need(record.generation == number, "previous_generation")

    def blob(self, name):
        offset, length, wanted = self.record.pointers[name]
        if offset == 0:
            return None
        data = self.bytes(offset, length)
        need(checksum(data) == wanted, name + " checksum")
        return data

    def node(self, entry, height, number, visit):
        """Checks a subtree; returns the cells of its three levels, or None where it is all zero."""
        size, span = self.record.size, TILE << 6 * height
        below = min(size - number * span, span)
        if entry.flags & ZERO:
            visit("zero", number, below, entry, height)
            return None
        data = self.bytes(entry.offset, entry.length)
        need(checksum(data) == entry.checksum, "node checksum")
        magic, own_height, own_number, n_entries, n_cells, payload = struct.unpack_from("<4sIQIIQ", data)
        need((magic, own_height, own_number) == (b"NODE", height, number), "node is another")
        need(n_entries == (up(below, span // FANOUT) if height else 0), "n_entries")
        counts = [up(below, 4 ** (3 * height + level)) for level in (5, 4, 3)]
        need(n_cells == counts[2], "n_cells")
        at, entries, levels = 32, [], []
        for _ in range(n_entries):
            entries.append(Entry(data[at:at + 80]))
            at += 80
        for count in counts:
            levels.append(data[at:at + 4 * count])
            at += 4 * count
        high, middle, low = levels
        need(above(low) == middle and above(middle) == high, "cells are not means")
        if height == 0:
            alone = data[at:]
            need(len(alone) == (32 if number == 0 and entry.flags & HASHED else 0), "node length")
            visit("tile", number, below, entry, payload, alone, low)
            return levels
        need(at == len(data), "node length")
        for i, child in enumerate(entries):
            inside = self.node(child, height - 1, FANOUT * number + i, visit)
            part = low[64 * i:64 * i + 64]
            need(part == (above(inside[0]) if inside else ZERO_CELL * (len(part) // 4)), "child's cells")
        if entry.flags & HASHED:
            cvs = [words(child.cv) for child in entries]
            need(raw(merge(cvs)) == entry.cv, "chaining values do not merge")
            if number == 0 and height == self.record.height:
                need(raw(merge(cvs, ROOT)) == self.record.blake3, "blake3")
        visit("node", number, below, entry, height, levels)
        return levels


def above(cells):
    out = bytearray()
    for i in range(0, len(cells), 16):
        children = cells[i:i + 16]
        n = len(children) // 4
        for channel in range(4):
            quotient, rest = divmod(sum(children[channel::4]), n)
            out.append(quotient + (2 * rest > n or 2 * rest == n and quotient % 2))
    return bytes(out)


def leaves(data):
    import math
    log = [0] + [math.floor(2720 * math.log2(c) + 0.5) for c in range(1, 65)]
    out = bytearray()
    for i in range(0, len(data), 64):
        leaf = data[i:i + 64]
        n = len(leaf)
        total = sum(c * log[c] for c in (leaf.count(value) for value in set(leaf)))
        out.append((n * log[n] - total + 32 * n) // (64 * n))
        for is_one in (lambda b: b == 0, lambda b: 0x20 <= b <= 0x7E or b in b"\t\n\r", lambda b: b > 0x7F):
            out.append((255 * sum(map(is_one, leaf)) + n // 2) // n)
    return bytes(out)


# ---------------------------------------------------------------- blobs

class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def string(self):
        length = self.take("I")
        need(self.at + length <= len(self.data), "blob is cut")
        self.at += length
        return self.data[self.at - length:self.at]

    def text(self):
        return self.string().decode("utf-8")


def show_meta(data):
    fields = Fields(data)
    kind, payload, has_pid, _zero, pid, dev, ino, _btime, size = fields.take("BBBBIQQqQ")
    mode, uid, gid, nlink, mtime, ctime, blocks = fields.take("IIIIqqQ")
    path = fields.string()
    print("meta", ("file", "directory", "process")[kind], ("reference", "embedded")[payload],
          pid if has_pid else "-", dev, ino, size, oct(mode), uid, gid, nlink, mtime, ctime, blocks,
          path.hex())
    return size


def show_regions(data):
    fields = Fields(data)
    for _ in range(fields.take("I")):
        start, end, has_address, address = fields.take("QQBQ")
        kind, name = fields.text(), fields.text()
        print("region", start, end, address if has_address else "-", kind, name)


def show_facts(data):
    fields = Fields(data)
    for _ in range(fields.take("I")):
        name, form = fields.text(), fields.take("B")
        value = {0: fields.text, 1: lambda: fields.take("Q"), 2: lambda: bool(fields.take("B")),
                 3: lambda: [fields.text() for _ in range(fields.take("I"))]}[form]()
        print("fact", name, ",".join(value) if isinstance(value, list) else value)


def show_writer(brick, at, tile):
    magic, length, wanted = struct.unpack("<4sI16s", brick.bytes(at, 24))
    data = brick.bytes(at + 24, length)
    need(magic == b"WRIT" and checksum(data) == wanted, "writer checksum")
    fields = Fields(data)
    at_ns, pid, uid = fields.take("qII")
    comm, exe = fields.string(), fields.string()
    print("writer", tile, at_ns, pid, uid, comm.hex(), exe.hex())


def show_content(brick):
    record, levels, payload = brick.record, {}, bytearray()

    def keep(level, height, number, cells):
        first = number * (TILE << 6 * height) // 4 ** level
        levels.setdefault(level, {})[first] = cells

    def visit(what, number, length, entry, *more):
        if what == "zero":
            height = more[0]
            payload.extend(bytes(length) if brick.payload == 1 else b"")
            for level in range(3, 3 * height + 6):
                keep(level, height, number, ZERO_CELL * up(length, 4 ** level))
            return
        if what == "node":
            height, cells = more
            for level, part in zip((5, 4, 3), cells):
                keep(3 * height + level, height, number, part)
            return
        at, alone, low = more
        for level, part in zip((5, 4, 3), (above(above(low)), above(low), low)):
            keep(level, 0, number, part)
        if entry.writer:
            show_writer(brick, entry.writer, number)
        print("tile", number, entry.generation, entry.cv.hex())
        if record.height == 0:
            need(alone == record.blake3, "blake3")
        if brick.payload == 1:
            data = brick.bytes(at, length)
            need(raw(subtree(data, 64 * number)) == entry.cv, "payload")
            need(not alone or alone == blake3(data), "alone")
            need(leaves(data) == low, "cells of the payload")
            payload.extend(data)

    brick.node(record.root, record.height, 0, visit)
    for level in sorted(levels):
        cells = b"".join(levels[level][first] for first in sorted(levels[level]))
        print("level", level, len(cells) // 4, checksum(cells).hex())
    if brick.payload == 1:
        print("payload", len(payload), checksum(bytes(payload)).hex())


def main(path):
    with open(path, "rb") as file:
        brick = Brick(file.read())
    record = brick.record
    print("generation", record.generation, "epoch", brick.epoch.hex())
    for older in brick.generations():
        print("history", older.generation, older.at_ns, older.size, *older.changed_tiles[:2])
    need(show_meta(brick.blob("meta")) == record.size, "size of meta and record differ")
    print("blake3", record.blake3.hex() if record.flags & 1 else "pending")
    for name, show in (("regions", show_regions), ("facts", show_facts)):
        data = brick.blob(name)
        if data is not None:
            show(data)
    annotation = brick.blob("annotation")
    if annotation is not None:
        print("annotation", annotation.hex())
    brick.blob("parts")
    if record.size:
        show_content(brick)
    else:
        need(record.blake3 == blake3(b""), "blake3 of nothing")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (Wrong, struct.error, UnicodeDecodeError, KeyError, RecursionError) as why:
        sys.exit(f"{sys.argv[1]}: {why}")
