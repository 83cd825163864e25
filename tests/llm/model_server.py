"""A real model server with a model that knows nothing: for `cargo xtask llm-test`.

Writes a tiny GGUF model and serves it with llama.cpp's own HTTP server (the package `xllamacpp`,
which brings llama.cpp as a wheel). Prints the server's address, then runs until its input ends.

The model is a llama of one layer whose tokens are the 256 bytes. Its attention and feed-forward
weights are random and small; its embedding is one direction for each token, and its output says
which byte is likely after which: after a quote an `o`, after that a `k`, after that a quote.
Free text is therefore "ok", and everything else is what the grammar made of the schema leaves:
a server that does not enforce schemas never gives a valid answer.

usage: model_server.py MODEL.gguf PORT
"""

import random
import struct
import sys

UNKNOWN, BEGIN, END, FIRST_BYTE = 0, 1, 2, 3
TOKENS = 3 + 256
# Rounded up so that heads divide it.
WIDTH = 264
HEADS = 3
HIDDEN = 32
CONTEXT = 16384

# Types of values, tokens and tensors in a GGUF file (version 3).
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL_UNKNOWN, CONTROL, BYTE = 2, 3, 6
ALIGNMENT = 32


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, value):
    pack = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
    return text(value) if kind == STRING else struct.pack(pack[kind], value)


def entry(name, kind, content):
    return text(name) + struct.pack("<I", kind) + value(kind, content)


def array(name, kind, contents):
    head = text(name) + struct.pack("<IIQ", ARRAY, kind, len(contents))
    return head + b"".join(value(kind, content) for content in contents)


def metadata():
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [NORMAL_UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, "foundry-test"),
        entry("llama.context_length", U32, CONTEXT),
        entry("llama.embedding_length", U32, WIDTH),
        entry("llama.block_count", U32, 1),
        entry("llama.feed_forward_length", U32, HIDDEN),
        entry("llama.attention.head_count", U32, HEADS),
        entry("llama.attention.head_count_kv", U32, HEADS),
        entry("llama.rope.dimension_count", U32, WIDTH // HEADS),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.vocab_size", U32, TOKENS),
        entry("tokenizer.ggml.model", STRING, "llama"),
        array("tokenizer.ggml.tokens", STRING, tokens),
        array("tokenizer.ggml.scores", F32, [0.0] * TOKENS),
        array("tokenizer.ggml.token_type", I32, kinds),
        # The server takes its own prompt through the grammar: it must be made of these very bytes.
        entry("tokenizer.ggml.add_space_prefix", BOOL, False),
        entry("tokenizer.ggml.bos_token_id", U32, BEGIN),
        entry("tokenizer.ggml.eos_token_id", U32, END),
        entry("tokenizer.ggml.unknown_token_id", U32, UNKNOWN),
    ]


def likely():
    """Rows of the output: how likely each token is after each."""
    rows = [[0.0] * WIDTH for _ in range(TOKENS)]

    def after(first, then, how_much):
        rows[FIRST_BYTE + ord(then)][FIRST_BYTE + ord(first)] = how_much

    for first in map(chr, range(32, 127)):
        # What ends things is likelier than what goes on, wherever the grammar allows it.
        for rank, then in enumerate('"}],:0'):
            after(first, then, 8.0 - rank)
    after('"', "o", 9.0)
    after("o", "k", 9.0)
    after("[", "]", 9.0)
    return rows


def tensors():
    random.seed(1)

    def noise(rows, columns):
        return [[random.gauss(0, 0.002) for _ in range(columns)] for _ in range(rows)]

    one_each = [[float(row == column) for column in range(WIDTH)] for row in range(TOKENS)]
    ones = [[1.0] * WIDTH]
    return [
        ("token_embd.weight", one_each),
        ("output_norm.weight", ones),
        ("output.weight", likely()),
        ("blk.0.attn_norm.weight", ones),
        ("blk.0.attn_q.weight", noise(WIDTH, WIDTH)),
        ("blk.0.attn_k.weight", noise(WIDTH, WIDTH)),
        ("blk.0.attn_v.weight", noise(WIDTH, WIDTH)),
        ("blk.0.attn_output.weight", noise(WIDTH, WIDTH)),
        ("blk.0.ffn_norm.weight", ones),
        ("blk.0.ffn_gate.weight", noise(HIDDEN, WIDTH)),
        ("blk.0.ffn_up.weight", noise(HIDDEN, WIDTH)),
        ("blk.0.ffn_down.weight", noise(WIDTH, HIDDEN)),
    ]


def write_model(path):
    about, weights, place = metadata(), tensors(), 0
    index, data = b"", b""
    for name, rows in weights:
        # One row is a vector; its columns come first.
        sides = [len(rows[0])] if len(rows) == 1 else [len(rows[0]), len(rows)]
        index += text(name) + struct.pack("<I", len(sides))
        index += b"".join(struct.pack("<Q", side) for side in sides)
        index += struct.pack("<IQ", 0, len(data))
        for row in rows:
            data += struct.pack(f"<{len(row)}f", *row)
        data += bytes(-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(about)) + b"".join(about) + index
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + data)


def serve(path, port):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"foundry-test"}
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = port
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    write_model(sys.argv[1])
    serve(sys.argv[1], int(sys.argv[2]))
