"""Tests of examples/capture on small models with random weights, made here, and on the tiny model.

capture_test.py SKV     SKV: the program
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[2]
CAPTURE = ROOT / "examples/capture"
sys.path.insert(0, str(CAPTURE))

try:
    import sentencepiece
    import tokenizers
    import torch
    import transformers
    from safetensors import safe_open
    from safetensors.torch import load_file

    import copies
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOKENS, SEQUENCES = 48, {"calibration": 3, "evaluation": 2}
SIZES = {
    "vocab_size": 300,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
CONFIGS = {
    "llama": transformers.LlamaConfig(**SIZES),
    "qwen3": transformers.Qwen3Config(**SIZES),
    "sliding": transformers.MistralConfig(**SIZES, sliding_window=16),
}
SKV = None  # the program, set below
# Made once: a folder with a model of each kind and token files, and captures of two of the models.
SCRATCH = tempfile.TemporaryDirectory()


def scratch(*parts):
    return Path(SCRATCH.name, *parts)


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def capture(model, out, *options):
    return run(sys.executable, CAPTURE / "capture.py", model, "-o", out, *options)


def files():
    return [option for split in SEQUENCES for option in (f"--{split}", scratch(f"{split}.json"))]


def setUpModule():
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(11)
    for name, config in CONFIGS.items():
        model = transformers.AutoModelForCausalLM.from_config(config)
        # Norms that do something: the initial ones are all ones.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
        model.bfloat16().save_pretrained(scratch(name))
    for split, count in SEQUENCES.items():
        ids = torch.randint(SIZES["vocab_size"], (count, TOKENS)).tolist()
        scratch(f"{split}.json").write_text(json.dumps(ids))
    for name in ("llama", "qwen3"):
        done = capture(scratch(name), scratch(f"{name}_caches"), *files(), "--tokens", TOKENS, "--e4m3",
                       "--device", "cpu", "--copies", *copies.COPIES)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def cache(model, split, variant, index=0):
    return load_file(scratch(f"{model}_caches", split, variant, f"{index:03}.safetensors"))


def numbers(tensors):
    return {name: values for name, values in tensors.items() if name.endswith((".k", ".v"))}


def error_of(reference, target):
    """RMS of the difference over RMS of the target, all tensors together."""
    difference = sum((reference[n].double() - target[n].double()).pow(2).sum() for n in numbers(target))
    return (difference / sum(v.double().pow(2).sum() for v in numbers(target).values())).sqrt().item()


class caches(unittest.TestCase):
    def test_every_variant_of_every_sequence_is_there_and_nothing_else(self):
        copied = [f"reference_{copy}" for copy in copies.COPIES]
        variants = ["target", *copied, "target_e4m3", *(f"{name}_for_e4m3" for name in copied)]
        for model in ("llama", "qwen3"):
            found = {
                p.relative_to(scratch(f"{model}_caches")).as_posix() for p in scratch(f"{model}_caches").rglob("*.*")
            }
            self.assertEqual(
                found,
                {
                    f"{s}/{v}/{i:03}.safetensors"
                    for s, count in SEQUENCES.items()
                    for v in variants
                    for i in range(count)
                },
            )
            for split in SEQUENCES:
                tokens = json.loads(scratch(f"{split}.json").read_text())
                for variant in variants:
                    tensors = cache(model, split, variant, 1)
                    self.assertEqual(tensors["tokens"].tolist(), tokens[1])
                    self.assertEqual(tensors["tokens"].dtype, torch.int32)
                    dtype = torch.float8_e4m3fn if variant == "target_e4m3" else torch.bfloat16
                    for layer in range(SIZES["num_hidden_layers"]):
                        for kind in "kv":
                            values = tensors[f"layers.{layer}.{kind}"]
                            self.assertEqual((values.dtype, tuple(values.shape)), (dtype, (TOKENS, 2, 32)))

    def test_the_first_layer_is_what_its_weights_say(self):
        """Norm, projections, norm of the heads and rotary embedding, in fp64."""
        for model in ("llama", "qwen3"):
            weights = {n: w.double() for n, w in load_file(scratch(model, "model.safetensors")).items()}
            prefix, eps = "model.layers.0.", CONFIGS[model].rms_norm_eps

            def normed(x, weight):
                return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weights[prefix + weight + ".weight"]

            tensors = cache(model, "evaluation", "target", 1)
            x = normed(weights["model.embed_tokens.weight"][tensors["tokens"].long()], "input_layernorm")
            k, v = (
                (x @ weights[f"{prefix}self_attn.{name}.weight"].T).view(TOKENS, 2, 32) for name in ("k_proj", "v_proj")
            )
            if model == "qwen3":
                k = normed(k, "self_attn.k_norm")
            angles = torch.outer(torch.arange(TOKENS), 10000.0 ** (-torch.arange(16, dtype=torch.float64) / 16))
            cos, sin = angles.cos()[:, None], angles.sin()[:, None]
            first, second = k.chunk(2, -1)
            k = torch.cat([first * cos - second * sin, first * sin + second * cos], -1)
            for kind, expected in (("k", k), ("v", v)):
                error = (tensors[f"layers.0.{kind}"].double() - expected).abs().max() / expected.pow(2).mean().sqrt()
                self.assertLess(error.item(), 0.05, f"{model} {kind}")  # bf16 steps of the largest: 2^-7 of 3 sigma

    def test_copies_differ_as_their_weights_do(self):
        for model in ("llama", "qwen3"):
            target = cache(model, "evaluation", "target")
            errors = {copy: error_of(cache(model, "evaluation", f"reference_{copy}"), target) for copy in copies.COPIES}
            self.assertGreater(errors["int8"], 0.003)
            self.assertLess(errors["int8"], errors["fp8"])
            self.assertLess(errors["fp8"], errors["int4"])
            for kind in copies.GRIDS:
                exact = cache(model, "evaluation", f"reference_{kind}_exactkv")
                whole = cache(model, "evaluation", f"reference_{kind}")
                self.assertLess(errors[f"{kind}_exactkv"], errors[kind])
                for name in ("layers.0.k", "layers.0.v"):
                    self.assertTrue(torch.equal(exact[name], target[name]))
                    self.assertFalse(torch.equal(whole[name], target[name]))
                self.assertFalse(torch.equal(exact["layers.1.v"], target["layers.1.v"]))

    def test_e4m3_caches_have_the_calibration_s_scales(self):
        for split in SEQUENCES:
            target, scaled = cache("qwen3", split, "target"), cache("qwen3", split, "target_e4m3")
            reference = cache("qwen3", split, "reference_int8")
            finer = cache("qwen3", split, "reference_int8_for_e4m3")
            for name, values in numbers(target).items():
                calibration = [
                    cache("qwen3", "calibration", "target", i)[name] for i in range(SEQUENCES["calibration"])
                ]
                scale = scaled[f"{name}.scale"]
                self.assertEqual(scale, torch.stack(calibration).float().abs().max() / 448)
                expected = (values.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
                self.assertTrue(torch.equal(scaled[name].view(torch.uint8), expected.view(torch.uint8)))
                self.assertTrue(torch.equal(finer[name], (reference[name].float() / scale).bfloat16()))

    def test_skv_restores_them_bit_for_bit(self):
        cases = (("target", "reference_fp8"), ("target", "reference_int4_exactkv"), ("target", None),
                 ("target_e4m3", "reference_fp8_for_e4m3"))  # fmt: skip
        for model in ("llama", "qwen3"):
            for target, reference in cases:
                folder = scratch(f"{model}_caches")
                source = folder / "evaluation" / target / "001.safetensors"
                fit, using = ["--predictor", "previous_token"], []
                if reference:
                    fit = ["--reference", folder / "calibration" / reference]
                    using = ["--reference", folder / "evaluation" / reference / "001.safetensors"]
                profile, packed, restored = scratch("p.skvp"), scratch("x.skv"), scratch("y.safetensors")
                for command in (
                    ("calibrate", "--target", folder / "calibration" / target, *fit, "-o", profile),
                    ("compress", source, *using, "--profile", profile, "-o", packed),
                    ("decompress", packed, *using, "--profile", profile, "-o", restored),
                ):
                    done = run(SKV, *command)
                    self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(restored.read_bytes(), source.read_bytes())
                if reference:
                    self.assertLess(packed.stat().st_size, 0.8 * source.stat().st_size)
                for path in (packed, profile, restored):
                    path.unlink()

    def test_the_tiny_model_gives_the_caches_of_the_test_data(self):
        """They were made with other code, which rounds less often than transformers does."""
        data = ROOT / "tests/data/tiny"
        tokens = data / "evaluation/target/000.safetensors"
        out = scratch("tiny_caches")
        done = capture(ROOT / "examples/tiny-model/model", out, "--tokens", 96, "--copies", "fp8", "--device", "cpu",
                       "--calibration", ROOT / "README.md", "--sequences", 1, "--evaluation", tokens)  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        stored = {
            variant: load_file(data / f"evaluation/{variant}/000.safetensors")
            for variant in ("target", "reference_fp8")
        }
        between = error_of(stored["reference_fp8"], stored["target"])
        for variant, expected in stored.items():
            error = error_of(load_file(out / f"evaluation/{variant}/000.safetensors"), expected)
            self.assertLess(error, 0.01)
            self.assertLess(error, between / 2)
        with safe_open(out / "calibration/target/000.safetensors", "pt") as file:
            ids, metadata = file.get_tensor("tokens").tolist(), file.metadata()
        tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(ROOT / "examples/tiny-model/model/tokenizer.model")
        )
        self.assertEqual(ids[0], 1)  # <s>
        self.assertEqual(tokenizer.decode(ids[1:]), (ROOT / "README.md").read_text()[: len(tokenizer.decode(ids[1:]))])
        self.assertEqual(metadata["source"], "README.md, sequence 0")


class texts(unittest.TestCase):
    def test_sequences_begin_as_the_tokenizer_begins_a_text(self):
        words = [f"w{i}" for i in range(200)]
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(["<s>", *words])}))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing("<s> $A", None, [("<s>", 0)])
        folder = scratch("speaking")
        shutil.copytree(scratch("llama"), folder)
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
        text = scratch("words.txt")
        text.write_text(" ".join(words[:50]))
        out = scratch("speaking_caches")
        done = capture(folder, out, "--calibration", text, "--evaluation", text, "--tokens", 21, "--copies")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = [load_file(path)["tokens"].tolist() for path in sorted(out.glob("calibration/target/*"))]
        # 50 words: two sequences of 20 behind <s>, and ten that are left over.
        self.assertEqual(found, [[0, *range(1, 21)], [0, *range(21, 41)]])
        self.assertEqual([path.name for path in sorted(out.glob("*/*"))], ["target", "target"])


class refusals(unittest.TestCase):
    def refused(self, message, model, *options):
        out = scratch("refused")
        done = capture(model, out, *options)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertFalse(out.exists())

    def test_bad_input_is_named_and_leaves_nothing(self):
        llama, few = scratch("llama"), ("--tokens", TOKENS)
        self.refused("no such folder", scratch("missing"), *files(), *few)
        self.refused("no model that transformers knows", scratch(), *files(), *few)
        self.refused("too short: 48 tokens, and a sequence has 49", llama, *files(), "--tokens", 49)
        self.refused("reads at most 64", llama, *files(), "--tokens", 65)
        self.refused("(a sliding window)", scratch("sliding"), *files(), *few)
        self.refused(
            "no tokenizer", llama, "--calibration", ROOT / "README.md", "--evaluation", ROOT / "README.md", *few
        )
        scratch("beyond.json").write_text("[[1, 2, 300]]")
        self.refused(
            "from 0 to 299", llama, "--calibration", scratch("beyond.json"), "--evaluation", "none", "--tokens", 3
        )
        interleaved = scratch("interleaved")
        interleaved.mkdir()
        config = json.loads((llama / "config.json").read_text())
        (interleaved / "config.json").write_text(json.dumps({**config, "rope_interleaved": True}))
        self.refused("convert the model with --rotate-half", interleaved, *files(), *few)

    def test_captures_are_not_mixed(self):
        done = capture(scratch("llama"), scratch("llama_caches"), *files(), "--tokens", TOKENS)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not empty", done.stderr)


if __name__ == "__main__":
    SKV = sys.argv.pop(1)
    try:
        unittest.main()
    finally:
        SCRATCH.cleanup()
