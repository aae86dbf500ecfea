"""Tests of the engine by examples/engine/check.py, and of that script by an engine that rounds elsewhere.

check_test.py SKV_ENGINE     SKV_ENGINE: the program
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
SIZES = {
    "vocab_size": 300,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
TOKENS = 100


def scaled(kind, **parameters):
    rope = {"rope_type": kind, "rope_theta": 5000.0, "factor": 4.0, **parameters}
    return transformers.LlamaConfig(**SIZES, rope_parameters=rope)


CONFIGS = {
    "llama": transformers.LlamaConfig(**SIZES, tie_word_embeddings=True),
    "linear": scaled("linear"),
    "yarn": scaled("yarn", original_max_position_embeddings=64),
    "llama3": scaled("llama3", original_max_position_embeddings=64, low_freq_factor=1.0, high_freq_factor=4.0),
    "qwen2": transformers.Qwen2Config(**{name: size for name, size in SIZES.items() if name != "head_dim"}),
    "qwen3": transformers.Qwen3Config(**SIZES),
}
ENGINE = None  # the program, set below


def check(model, tokens, *options, engine=None):
    command = [sys.executable, ROOT / "examples/engine/check.py", model, "--engine", engine or ENGINE]
    command += ["--tokens", tokens, "--prompts", "2", "--new", "8", *options]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


class engine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        torch.manual_seed(21)
        self.tokens = self.folder / "tokens.txt"
        self.tokens.write_text(" ".join(map(str, torch.randint(SIZES["vocab_size"], (TOKENS,)).tolist())))

    def random_model(self, name):
        model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name])
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, which are ones and zeros at first
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
        model.bfloat16().save_pretrained(self.folder / name, max_shard_size="200KB")
        return self.folder / name

    def passes(self, *arguments):
        done = check(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.endswith("passed\n"))

    def test_random_models_run_as_in_transformers(self):
        for name in CONFIGS:
            with self.subTest(name):
                self.passes(self.random_model(name), self.tokens, "--module-rounding")

    def test_steps_are_rounded_once(self):
        for name in ("llama", "qwen3"):
            with self.subTest(name):
                self.passes(self.random_model(name), self.tokens)

    def test_the_tiny_model_agrees_on_its_text(self):
        tokens = ROOT / "tests/data/tiny/evaluation/target/000.safetensors"
        self.passes(ROOT / "examples/tiny-model/model", tokens)

    def test_an_engine_that_rounds_elsewhere_is_found_out(self):
        other = self.folder / "other_engine"
        other.write_text(f'#!/bin/sh\nexec "{os.path.abspath(ENGINE)}" "$@" --module-rounding\n')
        other.chmod(0o755)
        done = check(self.random_model("llama"), self.tokens, engine=other)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.endswith("FAILED\n"), done.stdout + done.stderr)


if __name__ == "__main__":
    transformers.utils.logging.disable_progress_bar()
    ENGINE = sys.argv.pop(1)
    unittest.main()
