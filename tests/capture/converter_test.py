"""Tests of examples/engine/convert_llama2c.py on models made up here."""

import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

CONVERTER = Path(__file__).resolve().parents[2] / "examples/engine/convert_llama2c.py"
# As in llama2.c: three marks, every byte, pieces.
TOKENS = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % i for i in range(256))]
TOKENS += [b" ", b"a", b"b", b" a", b"ab", b" ab", "é".encode()]
SCORES = [0.0] * 259 + [-9.0, -10.0, -11.0, -1.0, -3.0, -2.0, -12.0]
DIM, INNER, LAYERS, HEADS, KV_HEADS, VOCAB, LENGTH = SIZES = 16, 12, 2, 4, 2, len(TOKENS), 5
HEAD_DIM = DIM // HEADS
# In the order of llama2.c's file: (name, shape of all layers or of the model).
LLAMA2C = (
    ("embed_tokens", (1, VOCAB, DIM)),
    ("input_layernorm", (LAYERS, DIM)),
    ("self_attn.q_proj", (LAYERS, DIM, DIM)),
    ("self_attn.k_proj", (LAYERS, KV_HEADS * HEAD_DIM, DIM)),
    ("self_attn.v_proj", (LAYERS, KV_HEADS * HEAD_DIM, DIM)),
    ("self_attn.o_proj", (LAYERS, DIM, DIM)),
    ("post_attention_layernorm", (LAYERS, DIM)),
    ("mlp.gate_proj", (LAYERS, INNER, DIM)),
    ("mlp.down_proj", (LAYERS, DIM, INNER)),
    ("mlp.up_proj", (LAYERS, INNER, DIM)),
    ("norm", (1, DIM)),
    ("rotary table", (1, LENGTH, HEAD_DIM)),
    ("lm_head", (1, VOCAB, DIM)),
)


def make_model(tied):
    """The bytes of a file, and its weights by name."""
    random = np.random.default_rng(5)
    weights = {name: random.standard_normal(shape).astype("<f4") for name, shape in LLAMA2C}
    weights["norm"].view("<u4")[0, :3] = [0x3F808000, 0x3F818000, 0x3F808001]  # two ties, and just above one
    if tied:
        del weights["lm_head"]
    sizes = (*SIZES[:5], VOCAB if tied else -VOCAB, LENGTH)
    return struct.pack("<7i", *sizes) + b"".join(w.tobytes() for w in weights.values()), weights


def nearest_bf16(x):
    """The bf16 number next to x, of two equally near ones the even one; x is one float."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    values = [struct.unpack("<f", struct.pack("<I", high << 16))[0] for high in (bits >> 16, (bits >> 16) + 1)]
    below, above = (abs(float(x) - value) for value in values)
    odd = (bits >> 16) & 1
    return values[1] if above < below or (above == below and odd) else values[0]


def read_safetensors(path):
    """Every tensor, as float32; all are BF16."""
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    tensors, covered = {}, 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "BF16", name
        begin, end = entry["data_offsets"]
        bits = np.frombuffer(raw[8 + size + begin : 8 + size + end], "<u2").astype(np.uint32) << 16
        tensors[name] = bits.view(np.float32).reshape(entry["shape"])
        covered += end - begin
    assert 8 + size + covered == len(raw)
    return tensors


def rotated(x, position, halves):
    """The rotary embedding of one head, with pairs (i, i + n/2) or (2i, 2i + 1)."""
    half = len(x) // 2
    first, second = (slice(0, half), slice(half, None)) if halves else (slice(0, None, 2), slice(1, None, 2))
    angles = position * 10000.0 ** (-np.arange(half) / half)
    result = np.empty(len(x))
    result[first] = x[first] * np.cos(angles) - x[second] * np.sin(angles)
    result[second] = x[first] * np.sin(angles) + x[second] * np.cos(angles)
    return result


class converter(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "out"

    def convert(self, content, *options):
        model = self.folder / "model.bin"
        model.write_bytes(content)
        command = [sys.executable, CONVERTER, model, "-o", self.out, *options]
        return subprocess.run(command, capture_output=True, text=True)

    def converted(self, content, *options):
        run = self.convert(content, *options)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return json.loads((self.out / "config.json").read_text()), read_safetensors(self.out / "model.safetensors")

    def refused(self, message, content, *options):
        run = self.convert(content, *options)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertIn(message, run.stderr)
        self.assertFalse(self.out.exists())

    def test_every_weight_is_there_rounded_to_bf16(self):
        for tied in (True, False):
            content, weights = make_model(tied)
            config, tensors = self.converted(content)
            self.assertEqual(config["tie_word_embeddings"], tied)
            self.assertTrue(config["rope_interleaved"])
            self.assertEqual(config["num_key_value_heads"], KV_HEADS)
            del weights["rotary table"]
            expected = {}
            for name, values in weights.items():
                for layer, part in enumerate(values):
                    full = f"model.layers.{layer}.{name}.weight" if len(values) == LAYERS else f"model.{name}.weight"
                    expected[full.replace("model.lm_head", "lm_head")] = part
            self.assertEqual(expected.keys(), tensors.keys())
            for name, values in expected.items():
                nearest = np.vectorize(nearest_bf16, otypes=[np.float32])(values)
                np.testing.assert_array_equal(tensors[name], nearest, name)

    def test_rotate_half_moves_channels_and_changes_nothing_else(self):
        content, _ = make_model(True)
        _, pairs = self.converted(content)
        config, halves = self.converted(content, "--rotate-half")
        self.assertNotIn("rope_interleaved", config)
        x = np.random.default_rng(6).standard_normal(DIM)
        for name, weight in pairs.items():
            if not name.endswith(("q_proj.weight", "k_proj.weight")):
                np.testing.assert_array_equal(weight, halves[name], name)
                continue
            for head in range(len(weight) // HEAD_DIM):
                rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
                a = rotated(weight[rows] @ x, 3, halves=False)
                b = rotated(halves[name][rows] @ x, 3, halves=True)
                np.testing.assert_allclose(np.concatenate([a[0::2], a[1::2]]), b, rtol=1e-12)

    def test_the_tokenizer_keeps_pieces_scores_and_kinds(self):
        try:
            import sentencepiece
        except ImportError as error:
            self.skipTest(str(error))
        tokenizer = self.folder / "tokenizer.bin"
        content = b"".join(struct.pack("<fi", score, len(text)) + text for score, text in zip(SCORES, TOKENS))
        tokenizer.write_bytes(struct.pack("<i", 7) + content)
        model, _ = make_model(True)
        self.converted(model, "--tokenizer", tokenizer)
        found = sentencepiece.SentencePieceProcessor(model_file=str(self.out / "tokenizer.model"))
        ids = range(VOCAB)
        self.assertEqual(found.vocab_size(), VOCAB)
        self.assertEqual([found.get_score(i) for i in ids], SCORES)
        self.assertEqual([i for i in ids if found.is_control(i)], [1, 2])
        self.assertEqual([i for i in ids if found.is_byte(i)], list(range(3, 259)))
        # A space is put in front, and a character without a token becomes bytes.
        for text, pieces in (("ab a\né", [b" ab", b" a", b"<0x0A>", "é".encode()]), ("bab", [b" ", b"b", b"ab"])):
            self.assertEqual(found.encode(text), [TOKENS.index(piece) for piece in pieces])
            self.assertEqual(found.decode(found.encode(text)), text)

        self.out = self.folder / "other"
        tokenizer.write_bytes(tokenizer.read_bytes()[:-1])
        self.refused(f"token {VOCAB - 1} has 2 bytes", model, "--tokenizer", tokenizer)
        tokenizer.write_bytes(tokenizer.read_bytes()[:-9])
        self.refused(f"{VOCAB - 1} tokens, but the model has {VOCAB}", model, "--tokenizer", tokenizer)

    def test_what_is_no_model_is_refused(self):
        content, _ = make_model(True)
        self.refused("shorter than its header", content[:27])
        self.refused(f"{len(content) - 1} bytes, but", content[:-1])
        self.refused(f"{len(content) + 4} bytes, but", content + b"\0\0\0\0")
        self.refused("make no sense", struct.pack("<7i", 16, 12, 2, 3, 2, VOCAB, 5) + content[28:])
        self.refused("make no sense", struct.pack("<7i", 16, 12, -2, 4, 2, VOCAB, 5) + content[28:])
        self.refused("not finite", content[:28] + struct.pack("<I", 0x7FC00000) + content[32:])
        self.refused("No such file", content, "--tokenizer", self.folder / "missing.bin")


if __name__ == "__main__":
    unittest.main()
