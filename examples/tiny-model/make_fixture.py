#!/usr/bin/env python3
"""Writes KV caches of the tiny model and of its quantised copies, on text it was not trained on.

    OUT/{calibration,evaluation}/{variant}/NNN.safetensors

Each file holds `layers.{l}.k` and `layers.{l}.v` ([tokens, kv_heads, head_dim], k after the rotary
embedding) and `tokens`. File NNN has the same tokens in every variant.
"""

import argparse
import platform
from pathlib import Path

import sentencepiece
import torch
import torch.nn.functional as F

import corpus
import llama
import tensors

HERE = Path(__file__).resolve().parent
BLOCK = 128
E4M3_MAX = 448.0
# Long enough for 512 tokens from their middle, and without a near-copy in the training text
# (ntpath.py has one in posixpath.py, for example).
CALIBRATION_FILES = (
    "random.py", "logging/handlers.py", "distutils/core.py", "http/cookies.py",
    "multiprocessing/spawn.py", "json/__init__.py", "pipes.py", "distutils/filelist.py",
)  # fmt: skip
EVALUATION_FILES = ("traceback.py", "base64.py", "zoneinfo/_tzpath.py", "ast.py")


def to_e4m3(x):
    """Round to nearest even, saturating at 448."""
    return x.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)


def quantise_block_fp8(weight):
    """Rounds a matrix to e4m3 with one fp32 scale for each block of 128x128; returns it in fp32."""
    result = torch.empty_like(weight)
    for row in range(0, weight.shape[0], BLOCK):
        for column in range(0, weight.shape[1], BLOCK):
            part = (slice(row, row + BLOCK), slice(column, column + BLOCK))
            scale = weight[part].abs().max() / E4M3_MAX
            result[part] = to_e4m3(weight[part] / scale).float() * scale
    return result


def quantise_model(weights, kept=()):
    projections = [name for name in llama.PROJECTIONS if name not in kept]
    return {
        name: quantise_block_fp8(weight) if any(p in name for p in projections) else weight
        for name, weight in weights.items()
    }


def read_sequences(tokenizer, config, files, names, length):
    """Tokens of each file, from the first line that starts in its second half."""
    result = []
    for name in names:
        text = files[name]
        start = text.index("\n", len(text) // 2) + 1
        ids = [config["bos_token_id"], *tokenizer.encode(text[start:])][:length]
        assert len(ids) == length, name
        result.append((name, torch.tensor(ids, dtype=torch.int32)))
    return result


@torch.no_grad()
def run(weights, config, tokens):
    """The cache as named bf16 tensors, and the mean loss over the tokens."""
    logits, caches = llama.forward(weights, config, tokens.long()[None], llama.to_bf16)
    cache = {}
    for layer, (k, v) in enumerate(caches):
        cache[f"layers.{layer}.k"] = k[0].transpose(0, 1).contiguous().bfloat16()
        cache[f"layers.{layer}.v"] = v[0].transpose(0, 1).contiguous().bfloat16()
    return cache, F.cross_entropy(logits[0, :-1], tokens[1:].long()).item()


def with_scales(cache, scales, convert, keep_scales):
    result = {name: convert(values.float() / scales[name]) for name, values in cache.items()}
    if keep_scales:
        result.update({f"{name}.scale": scale for name, scale in scales.items()})
    return result


def relative_error(target, reference, kind):
    """RMS of reference - target over RMS of target, over all tensors whose name ends in `kind`."""
    names = [name for name in target if name.endswith(kind)]
    error = sum((reference[n].double() - target[n].double()).pow(2).sum() for n in names)
    return (error / sum(target[n].double().pow(2).sum() for n in names)).sqrt().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--calibration", type=int, nargs=2, default=(2, 88), metavar=("SEQUENCES", "TOKENS"))
    parser.add_argument("--evaluation", type=int, nargs=2, default=(1, 96), metavar=("SEQUENCES", "TOKENS"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    weights, config = llama.load_model(options.model)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(options.model / "tokenizer.model"))
    models = {
        "target": weights,
        "reference_fp8": quantise_model(weights),
        "reference_fp8_exactkv": quantise_model(weights, kept=("self_attn.k_proj", "self_attn.v_proj")),
    }
    _, held_out = corpus.load()
    plans = {
        "calibration": (CALIBRATION_FILES, *options.calibration),
        "evaluation": (EVALUATION_FILES, *options.evaluation),
    }
    splits = {}
    for split, (names, count, length) in plans.items():
        assert count <= len(names) and length <= config["max_position_embeddings"]
        splits[split] = read_sequences(tokenizer, config, held_out, names[:count], length)
    caches = {
        split: [{variant: run(w, config, tokens) for variant, w in models.items()} for _, tokens in sequences]
        for split, sequences in splits.items()
    }

    scales = {
        name: torch.stack([cache["target"][0][name].float().abs().max() for cache in caches["calibration"]])
        .max()
        .div(E4M3_MAX)
        .reshape(1)
        for name in caches["calibration"][0]["target"][0]
    }

    total = 0
    for split, sequences in splits.items():
        for index, (source, tokens) in enumerate(sequences):
            results = caches[split][index]
            variants = {variant: cache for variant, (cache, _) in results.items()}
            variants["target_e4m3"] = with_scales(variants["target"], scales, to_e4m3, True)
            variants["reference_fp8_for_e4m3"] = with_scales(
                variants["reference_fp8"], scales, torch.Tensor.bfloat16, False
            )
            for variant, cache in variants.items():
                metadata = {
                    "model": "tiny",
                    "variant": variant,
                    "split": split,
                    "source": f"Python {platform.python_version()} standard library, {source}",
                    "license": "PSF-2.0",
                }
                path = options.out / split / variant / f"{index:03}.safetensors"
                tensors.save(path, {**cache, "tokens": tokens}, metadata)
                total += path.stat().st_size
            print(f"{split}/{index:03}: {source}, {len(tokens)} tokens")
            for variant, (cache, loss) in results.items():
                errors = [relative_error(variants["target"], cache, kind) for kind in (".k", ".v")]
                print(f"  {variant}: {loss:.4f} nats/token, error k {errors[0]:.4f} v {errors[1]:.4f}")
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
