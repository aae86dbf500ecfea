#!/usr/bin/env python3
"""Compares the engine's forward pass with PyTorch: the KV cache, and the tokens it generates.

    check.py MODEL --engine build/release/examples/engine/skv_engine --tokens a.safetensors b.safetensors

MODEL is a Hugging Face folder. The token files are such as `skv_engine --tokens` reads: caches, of which
`tokens` is taken, or numbers. PyTorch rounds to bf16 where the engine does (after each norm, projection,
rotary embedding, softmax, attention, gate and residual sum); with --module-rounding the modules of
transformers run, with eager attention, and the engine is told to round as they do.

Sums in another order round to another number now and then, and the layers above carry that on. How far is
measured: PyTorch runs a second time with other sums (in fp64; with --module-rounding, without oneDNN). The
engine's cache may differ from PyTorch's by 1.5 times what these two do, or by bf16's unit roundoff, 2^-9:
RMS of the difference over RMS of the cache. Every token that it generates must be PyTorch's most likely one,
or nearer to that than the logits of these two runs are to each other.

Ends with 1 if anything differs by more. Needs torch and safetensors; --module-rounding also transformers.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
except ImportError as error:
    sys.exit(f"check: {error}: pip install torch safetensors transformers")


class refused(Exception):
    pass


class rounded_once:
    """A Llama or Qwen whose every step is rounded to bf16 once, in sums of type `sums`."""

    def __init__(self, folder, sums):
        self.sums = sums
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {}
        for path in sorted(folder.glob("*.safetensors")):
            self.weights.update({name: self.rounded(w.to(sums)) for name, w in load_file(path).items()})
        scaling = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        if scaling.get("rope_type", scaling.get("type", "default")) != "default":
            raise refused("rotary scaling: compare with --module-rounding")
        self.theta = scaling.get("rope_theta", self.config.get("rope_theta", 10000.0))
        hidden, heads = self.config["hidden_size"], self.config["num_attention_heads"]
        self.head_dim = self.config.get("head_dim") or hidden // heads

    @staticmethod
    def rounded(x):
        return x.bfloat16().to(x.dtype)

    def norm(self, x, name):
        eps = self.config.get("rms_norm_eps", 1e-6)
        return self.rounded(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * self.weights[f"{name}.weight"])

    def project(self, x, name):
        y = x @ self.weights[f"{name}.weight"].T
        return self.rounded(y + self.weights.get(f"{name}.bias", 0))

    def turn(self, x):
        """The rotary embedding; x is [tokens, heads, head_dim]."""
        half = self.head_dim // 2
        # Frequencies and angles in fp32, as everywhere; of the angles the exact sine.
        frequencies = 1 / self.theta ** (torch.arange(half, dtype=torch.float32) * 2 / self.head_dim)
        angles = torch.outer(torch.arange(len(x), dtype=torch.float32), frequencies)[:, None].double()
        cos, sin = angles.cos().float().to(self.sums), angles.sin().float().to(self.sums)
        interleaved = self.config.get("rope_interleaved", False)
        a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
        turned = a * cos - b * sin, b * cos + a * sin
        return self.rounded(torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1))

    def attend(self, q, k, v):
        group = q.shape[1] // k.shape[1]
        q, k, v = (x.transpose(0, 1) for x in (q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)))
        scores = q @ k.transpose(1, 2) / math.sqrt(self.head_dim)
        scores += torch.full(scores.shape[1:], -torch.inf, dtype=self.sums).triu(1)
        mixed = self.rounded(self.rounded(torch.softmax(scores, -1)) @ v)
        return mixed.transpose(0, 1).flatten(1)

    def run(self, tokens):
        """The cache as bf16 tensors by name, and the logits."""
        x, cache = self.weights["model.embed_tokens.weight"][tokens], {}
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            y = self.norm(x, prefix + "input_layernorm")
            q, k, v = (
                self.project(y, f"{prefix}self_attn.{name}_proj").unflatten(-1, (-1, self.head_dim)) for name in "qkv"
            )
            if f"{prefix}self_attn.q_norm.weight" in self.weights:
                q, k = self.norm(q, prefix + "self_attn.q_norm"), self.norm(k, prefix + "self_attn.k_norm")
            q, k = self.turn(q), self.turn(k)
            cache[f"layers.{layer}.k"], cache[f"layers.{layer}.v"] = k.bfloat16(), v.bfloat16()
            x = self.rounded(x + self.project(self.attend(q, k, v), prefix + "self_attn.o_proj"))

            y = self.norm(x, prefix + "post_attention_layernorm")
            gate, up = self.project(y, prefix + "mlp.gate_proj"), self.project(y, prefix + "mlp.up_proj")
            x = self.rounded(x + self.project(self.rounded(F.silu(gate) * up), prefix + "mlp.down_proj"))
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        return cache, self.norm(x, "model.norm") @ head.T


class modules:
    """transformers' own."""

    def __init__(self, folder):
        import transformers

        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="eager"
        ).eval()
        if getattr(self.model.config, "rope_interleaved", False):
            raise refused("transformers does not know interleaved rotary pairs")

    def run(self, tokens):
        output = self.model(tokens[None], use_cache=True)
        cache = {}
        for layer, kept in enumerate(output.past_key_values.layers):
            cache[f"layers.{layer}.k"] = kept.keys[0].transpose(0, 1)
            cache[f"layers.{layer}.v"] = kept.values[0].transpose(0, 1)
        return cache, output.logits[0]


class without_onednn:
    """A model whose sums run in another order."""

    def __init__(self, model):
        self.model = model

    def run(self, tokens):
        torch.backends.mkldnn.enabled = False
        try:
            return self.model.run(tokens)
        finally:
            torch.backends.mkldnn.enabled = True


class engine:
    def __init__(self, arguments):
        self.program, self.options = arguments.engine, ["--model", arguments.model]
        if arguments.module_rounding:
            self.options.append("--module-rounding")

    def call(self, command, tokens, *options):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(" ".join(map(str, tokens.tolist())))
            file.flush()
            line = [self.program, command, *self.options, "--tokens", file.name, *options]
            done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode != 0:
            raise refused(done.stderr.strip() or f"{self.program} ended with {done.returncode}")
        return done.stdout

    def cache(self, tokens):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "cache.safetensors")
            self.call("prefill", tokens, "-o", path)
            cache = load_file(path)
        del cache["tokens"]
        return cache

    def continuation(self, tokens, count):
        ids = self.call("generate", tokens, "--max-new", str(count), "--show-tokens").split()
        return torch.tensor([int(i) for i in ids])


def distance(a, b):
    """RMS of the difference of two caches over that of the second, all tensors together."""
    difference = sum((a[name].double() - b[name].double()).pow(2).sum() for name in b)
    return (difference / sum(values.double().pow(2).sum() for values in b.values())).sqrt().item()


def steps(a, b):
    """Differences in steps of bf16: those at the larger number, or at the tensor's RMS where both are
    smaller, since a number near zero is the difference of larger ones."""
    a, b = a.double(), b.double()
    size = torch.maximum(torch.maximum(a.abs(), b.abs()), b.pow(2).mean().sqrt())
    return (a - b).abs() / torch.exp2(torch.floor(torch.log2(size)) - 7)


def same_cache(found, expected, other):
    """Prints how `found` differs from `expected`, and whether that is no more than `other` may."""
    if found.keys() != expected.keys() or any(found[n].shape != expected[n].shape for n in found):
        raise refused("the engine's cache has other tensors than PyTorch's")
    for layer in range(len(found) // 2):
        line = f"  layer {layer:2}:"
        for kind in "kv":
            name = f"layers.{layer}.{kind}"
            equal = (found[name] == expected[name]).double().mean().item()
            line += f"  {kind} {equal:.4f} identical, largest {steps(found[name], expected[name]).max():.2f} steps"
        print(line)
    far, limit = distance(found, expected), max(1.5 * distance(other, expected), 2**-9)
    equal = sum((found[n] == expected[n]).sum().item() for n in found) / sum(v.numel() for v in found.values())
    print(f"  all: {equal:.4f} identical, RMS {far:.6f} (allowed: {limit:.6f})")
    return far <= limit


def same_tokens(program, reference, other, tokens, count):
    """Whether each token that the engine appends to `tokens` is the reference's most likely one, or as good
    as that: the other run's logits are off by more than lies between the two."""
    made = program.continuation(tokens, count)
    whole, begin = torch.cat([tokens, made[:-1]]), len(tokens) - 1
    logits = reference.run(whole)[1][begin:].float()
    best = logits.argmax(-1)
    if torch.equal(best, made):
        return True
    off = (other.run(whole)[1][begin:] - logits).abs().amax(-1)
    gaps = (logits.gather(-1, best[:, None]) - logits.gather(-1, made[:, None]))[:, 0]
    for i in (best != made).nonzero().flatten().tolist():
        print(
            f"  prompt of {len(tokens)}: token {i} is {made[i]}, PyTorch's is {best[i]} by {gaps[i]:.4f} nats;"
            f" its two runs are {off[i]:.4f} apart"
        )
    return bool((gaps <= off).all())


def read_tokens(path):
    if path.suffix == ".safetensors":
        return load_file(path)["tokens"].long()
    return torch.tensor([int(word) for word in path.read_text().split()])


def check(arguments):
    program = engine(arguments)
    if arguments.module_rounding:
        reference = modules(arguments.model)
        other = without_onednn(reference)
    else:
        reference = rounded_once(arguments.model, torch.float32)
        other = rounded_once(arguments.model, torch.float64)
    passed = True
    for path in arguments.tokens:
        tokens = read_tokens(path)
        print(f"{path}: {len(tokens)} tokens")
        expected, _ = reference.run(tokens)
        passed &= same_cache(program.cache(tokens), expected, other.run(tokens)[0])
        # Prompts of many lengths, the whole among them.
        lengths = [len(tokens) * (i + 1) // arguments.prompts for i in range(arguments.prompts)]
        equal = [same_tokens(program, reference, other, tokens[:length], arguments.new) for length in lengths]
        print(f"  {sum(equal)} of {len(equal)} continuations of up to {arguments.new} tokens the same")
        passed &= all(equal)
    return passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", type=Path, required=True, help="the program skv_engine")
    parser.add_argument("--tokens", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--prompts", type=int, default=4, help="beginnings of each file to continue (default: 4)")
    parser.add_argument("--new", type=int, default=32, help="tokens to generate for each (default: 32)")
    parser.add_argument("--module-rounding", action="store_true", help="compare with transformers' modules")
    arguments = parser.parse_args()
    with torch.inference_mode():
        passed = check(arguments)
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (refused, OSError) as error:
        sys.exit(f"check: {error}")
