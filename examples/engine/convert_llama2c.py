#!/usr/bin/env python3
"""Makes a Hugging Face folder of a model in llama2.c's first format (and of its tokenizer).

    convert_llama2c.py stories260K.bin --tokenizer tok512.bin -o stories260K

Writes config.json, model.safetensors (weights rounded to bf16) and, with --tokenizer, tokenizer.model
(SentencePiece). llama2.c (A. Karpathy, run.c and export.py) rotates neighbouring channels of Q and K,
where Hugging Face rotates a channel of the first half with one of the second: config.json says so with
`"rope_interleaved": true`, which the engine here honours. transformers does not know that key; for it
--rotate-half reorders the rows of the Q and K projections instead, and with them the channels of K in
the cache. Needs numpy.
"""

import argparse
import json
import os
import struct
import sys
from pathlib import Path

import numpy as np

HEADER = struct.Struct("<7i")
# Fixed in run.c; the file does not hold them.
RMS_NORM_EPS = 1e-5
ROPE_THETA = 10000.0
BOS, EOS = 1, 2


class invalid_input(Exception):
    pass


def read_model(path):
    """Returns (config, weights): float32 arrays under Hugging Face's names."""
    raw = path.read_bytes()
    if len(raw) < HEADER.size:
        raise invalid_input(f"{path}: no llama2.c model: shorter than its header")
    dim, inner, layers, heads, kv_heads, vocab, length = HEADER.unpack_from(raw)
    tied, vocab = vocab > 0, abs(vocab)  # a negative size says that the output matrix follows
    if min(dim, inner, layers, heads, kv_heads, vocab, length) < 1 or dim % heads or heads % kv_heads:
        raise invalid_input(f"{path}: no llama2.c model of the first format: its sizes make no sense")
    head_dim = dim // heads
    if head_dim % 2:
        raise invalid_input(f"{path}: heads of {head_dim} channels cannot be rotated in pairs")
    kv = kv_heads * head_dim

    per_layer = "model.layers.{}."
    order = [
        ("model.embed_tokens.weight", None, (vocab, dim)),
        (per_layer + "input_layernorm.weight", layers, (dim,)),
        (per_layer + "self_attn.q_proj.weight", layers, (dim, dim)),
        (per_layer + "self_attn.k_proj.weight", layers, (kv, dim)),
        (per_layer + "self_attn.v_proj.weight", layers, (kv, dim)),
        (per_layer + "self_attn.o_proj.weight", layers, (dim, dim)),
        (per_layer + "post_attention_layernorm.weight", layers, (dim,)),
        (per_layer + "mlp.gate_proj.weight", layers, (inner, dim)),
        (per_layer + "mlp.down_proj.weight", layers, (dim, inner)),
        (per_layer + "mlp.up_proj.weight", layers, (inner, dim)),
        ("model.norm.weight", None, (dim,)),
        (None, None, (length, head_dim)),  # cosines and sines, which follow from theta
    ]
    if not tied:
        order.append(("lm_head.weight", None, (vocab, dim)))
    wanted = HEADER.size + 4 * sum(int(np.prod(shape)) * (count or 1) for _, count, shape in order)
    if len(raw) != wanted:
        raise invalid_input(f"{path}: {len(raw)} bytes, but a llama2.c model of its sizes has {wanted}")

    weights, offset = {}, HEADER.size
    for name, count, shape in order:
        for layer in range(count or 1):
            size = int(np.prod(shape))
            values = np.frombuffer(raw, "<f4", size, offset).reshape(shape)
            offset += 4 * size
            if name is None:
                continue
            name_here = name.format(layer)
            if not np.isfinite(values).all():
                raise invalid_input(f"{path}: {name_here} holds numbers that are not finite")
            weights[name_here] = values

    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": dim,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab,
        "rms_norm_eps": RMS_NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_interleaved": True,
        "max_position_embeddings": length,
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    return config, weights


def rotate_half(config, weights):
    """Moves channel 2i of each head of Q and K to i, and 2i + 1 to i + head_dim / 2."""
    del config["rope_interleaved"]
    for name, values in weights.items():
        if "q_proj" in name or "k_proj" in name:
            pairs = values.reshape(-1, config["head_dim"] // 2, 2, config["hidden_size"])
            weights[name] = pairs.swapaxes(1, 2).reshape(values.shape)


def to_bf16(values):
    """The bits of finite float32 numbers rounded to bf16, to nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")


def safetensors_bytes(weights):
    header, data, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in sorted(weights.items()):
        data.append(to_bf16(values).tobytes())
        end = offset + len(data[-1])
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *data])


def read_tokens(path, vocab):
    """The (score, bytes) of each token of llama2.c's tokenizer file."""
    raw, offset, tokens = path.read_bytes(), 4, []
    while offset < len(raw):
        if offset + 8 > len(raw):
            raise invalid_input(f"{path}: no llama2.c tokenizer: it ends within a token")
        score, size = struct.unpack_from("<fi", raw, offset)
        offset += 8
        if not 0 <= size <= len(raw) - offset:
            raise invalid_input(f"{path}: no llama2.c tokenizer: token {len(tokens)} has {size} bytes")
        tokens.append((score, raw[offset : offset + size]))
        offset += size
    if len(tokens) != vocab:
        raise invalid_input(f"{path}: {len(tokens)} tokens, but the model has {vocab}")
    return tokens


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """A field of a protocol buffer: an int as varint, a float as 32 bits, bytes with their length."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def sentencepiece_bytes(tokens):
    """A SentencePiece model (sentencepiece_model.proto) of BPE; bytes are what text falls back to."""
    normal, unknown, control, byte = 1, 2, 3, 6
    falls_back = False
    out = b""
    for index, (score, text) in enumerate(tokens):
        kind = normal
        if index < 3:
            # llama2.c puts line ends around <s> and </s>
            kind, text = (unknown if index == 0 else control), text.strip()
        elif len(text) == 6 and text.startswith(b"<0x") and text.endswith(b">"):
            kind, falls_back = byte, True
        piece = text.replace(b" ", "\u2581".encode())
        out += field(1, field(1, piece) + field(2, score) + field(3, kind))
    bpe = 2
    # model_type, vocab_size, byte_fallback
    trainer = field(3, bpe) + field(4, len(tokens)) + field(35, int(falls_back))
    # name, add_dummy_prefix, remove_extra_whitespaces
    normaliser = field(1, b"identity") + field(3, 1) + field(4, 0)
    return out + field(2, trainer) + field(3, normaliser)


def write_whole(path, content):
    """Writes a file so that it is there whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the model, a .bin file")
    parser.add_argument("--tokenizer", type=Path, help="its tokenizer, a .bin file")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--rotate-half", action="store_true", help="reorder Q and K for transformers")
    arguments = parser.parse_args()

    config, weights = read_model(arguments.model)
    if arguments.rotate_half:
        rotate_half(config, weights)
    files = {
        "config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "model.safetensors": safetensors_bytes(weights),
    }
    if arguments.tokenizer:
        files["tokenizer.model"] = sentencepiece_bytes(read_tokens(arguments.tokenizer, config["vocab_size"]))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(arguments.out / name, content)


if __name__ == "__main__":
    try:
        main()
    except (invalid_input, OSError) as error:
        sys.exit(f"convert_llama2c: {error}")
