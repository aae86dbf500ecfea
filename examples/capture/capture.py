#!/usr/bin/env python3
"""Writes KV caches of a Hugging Face causal language model and of its quantised copies, for skv.

    capture.py MODEL --calibration a.txt b.txt --evaluation c.txt --tokens 1024 -o OUT

MODEL is a folder or a name on the Hub. The files are UTF-8 text, JSON lists of token ids, or caches
(.safetensors with `tokens`). For each sequence OUT gets

    OUT/{calibration,evaluation}/{target,reference_COPY,...}/NNN.safetensors

with `layers.{l}.k` and `layers.{l}.v` [tokens, kv_heads, head_dim], K after the rotary embedding, and
`tokens`. A file is there whole or not at all. README.md beside this script says what a copy is.
"""

import argparse
import functools
import os
import sys
from pathlib import Path

try:
    import torch
    import transformers
    from safetensors import safe_open
    from safetensors.torch import save_file
except ImportError as error:
    sys.exit(f"capture: {error}: pip install -r {Path(__file__).with_name('requirements.txt')}")

import copies
import sequences

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class refused(Exception):
    pass


def first_line(error):
    return str(error).strip().split("\n")[0]


def write_cache(path, tensors, metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        save_file(tensors, unfinished, metadata)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{path}: {len(tensors['tokens'])} tokens, {path.stat().st_size} bytes", flush=True)


def read_cache(path):
    """The tensors of K and V, the tokens, the metadata."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        tokens = tensors.pop("tokens")
        return tensors, tokens, file.metadata()


def read_config(model):
    if not Path(model).is_dir() and (model.startswith((".", "/")) or model.count("/") > 1):
        raise refused(f"{model}: no such folder")
    try:
        config = transformers.AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise refused(f"{model}: no model that transformers knows: {first_line(error)}") from None
    if getattr(config, "rope_interleaved", False):
        raise refused(
            f"{model}: interleaved rotary pairs, which transformers does not know: convert the model with --rotate-half"
        )
    return config


def load_model(name, dtype, device):
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=TYPES[dtype])
    except (OSError, ValueError) as error:
        raise refused(f"{name}: {first_line(error)}") from None
    return model.eval().to(device)


@torch.inference_mode()
def run(model, tokens):
    """The cache of the model on `tokens` ([length]), as named tensors in the host's memory."""
    # The model without its output matrix: nobody asks for logits.
    output = model.base_model(tokens.long()[None].to(model.device), use_cache=True)
    cache = getattr(output, "past_key_values", None)
    layers = getattr(cache, "layers", None)
    if not layers:
        raise refused(f"no KV cache of separate layers, but {type(cache).__name__}")
    result = {}
    for index, layer in enumerate(layers):
        for kind, values in (("k", getattr(layer, "keys", None)), ("v", getattr(layer, "values", None))):
            if values is None or values.dim() != 4:
                raise refused(f"layer {index} has no K and V ({type(layer).__name__}): not supported")
            if values.shape[2] != len(tokens):
                raise refused(
                    f"layer {index} keeps {values.shape[2]} of {len(tokens)} tokens (a sliding window):"
                    f" no more than {values.shape[2]} --tokens can be captured"
                )
            result[f"layers.{index}.{kind}"] = values[0].transpose(0, 1).contiguous().cpu()
    return result


def capture(variant, splits, arguments, device):
    """Runs the model, or the copy of it that `variant` names, over all sequences."""
    model = load_model(arguments.model, arguments.dtype, device)
    if variant == "target":
        for copy in arguments.copies:
            copies.chosen(model, copy)  # refuses before time is spent
    else:
        copies.quantise(model, variant.removeprefix("reference_"))
    for split, found in splits.items():
        for index, (source, tokens) in enumerate(found):
            metadata = {
                "model": arguments.model,
                "variant": variant,
                "split": split,
                "source": source,
                "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, {device}",
            }
            path = arguments.out / split / variant / f"{index:03}.safetensors"
            write_cache(path, {**run(model, tokens), "tokens": tokens}, metadata)


def write_e4m3(variants, out):
    """The caches again, divided by a scale for each K and V of a layer: its largest magnitude in the
    calibration sequences over 448. The target becomes fp8, its references stay finer."""
    scales = {}
    for path in sorted(out.glob("calibration/target/*.safetensors")):
        for name, values in read_cache(path)[0].items():
            scale = values.float().abs().max().div(copies.E4M3_MAX).reshape(1)
            scales[name] = torch.maximum(scale, scales.get(name, scale))
    for scale in scales.values():
        scale[scale == 0] = 1  # a tensor of zeros
    for variant in variants:
        for path in sorted(out.glob(f"*/{variant}/*.safetensors")):
            cache, tokens, metadata = read_cache(path)
            scaled = {name: values.float() / scales[name] for name, values in cache.items()}
            if variant == "target":
                metadata["variant"] = "target_e4m3"
                tensors = {name: copies.to_e4m3(values) for name, values in scaled.items()}
                tensors.update({f"{name}.scale": scale for name, scale in scales.items()})
            else:
                metadata["variant"] = f"{variant}_for_e4m3"
                tensors = {name: values.bfloat16() for name, values in scaled.items()}
            tensors["tokens"] = tokens
            write_cache(path.parents[1] / metadata["variant"] / path.name, tensors, metadata)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, or a name on the Hub")
    parser.add_argument("--calibration", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in a sequence (default: 1024)")
    parser.add_argument("--sequences", type=int, metavar="N", help="at most N sequences of a file")
    parser.add_argument(
        "--copies", nargs="*", default=["fp8", "fp8_exactkv"], choices=copies.COPIES, metavar="COPY",
        help=f"quantised copies, of {', '.join(copies.COPIES)} (default: fp8 fp8_exactkv)",
    )  # fmt: skip
    parser.add_argument("--e4m3", action="store_true", help="also the caches as fp8, with references for them")
    parser.add_argument("--dtype", choices=TYPES, default="bf16", help="of weights, activations and cache")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write, empty or not there")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.tokens < 2:
        raise refused("--tokens: a sequence has at least 2 tokens")
    if arguments.sequences is not None and arguments.sequences < 1:
        raise refused("--sequences: at least 1")
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise refused(f"{arguments.out}: not empty; captures of several runs are not mixed")
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"

    config = read_config(arguments.model).get_text_config()
    longest = getattr(config, "max_position_embeddings", None)
    if longest and arguments.tokens > longest:
        raise refused(f"--tokens {arguments.tokens}: the model reads at most {longest}")
    tokenizer = functools.cache(lambda: sequences.open_tokenizer(arguments.model, config.bos_token_id))
    splits = {
        split: sequences.read(paths, tokenizer, config.vocab_size, arguments.tokens, arguments.sequences)
        for split, paths in (("calibration", arguments.calibration), ("evaluation", arguments.evaluation))
    }
    variants = ["target", *(f"reference_{copy}" for copy in dict.fromkeys(arguments.copies))]
    for variant in variants:
        capture(variant, splits, arguments, device)
    if arguments.e4m3:
        write_e4m3(variants, arguments.out)


if __name__ == "__main__":
    try:
        main()
    except (refused, sequences.bad_source, copies.unsupported_model) as error:
        sys.exit(f"capture: {error}")
    except OSError as error:
        sys.exit(f"capture: {error.filename}: {error.strerror}" if error.filename else f"capture: {error}")
    except (MemoryError, RuntimeError) as error:
        # torch has a type of its own for a full GPU, but none for a full host
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error):
            sys.exit("capture: out of memory: try fewer --tokens, or --device cpu")
        sys.exit(f"capture: {first_line(error)}")
