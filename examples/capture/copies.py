"""Quantised copies of a model: weights rounded to fp8, int8 or int4, and multiplied out again."""

from typing import Callable, NamedTuple, Optional

import torch
import torch.nn.functional as F
from transformers.pytorch_utils import Conv1D

E4M3_MAX = 448.0


def to_e4m3(x):
    """Rounds to nearest even, saturating at 448."""
    return x.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)


class grid(NamedTuple):
    """One scale for each block of rows (output channels) x columns (None: all of them)."""

    rows: int
    columns: Optional[int]
    largest: float
    rounded: Callable


GRIDS = {
    "fp8": grid(128, 128, E4M3_MAX, lambda x: to_e4m3(x).float()),  # as the Qwen3-FP8 releases
    "int8": grid(1, None, 127, torch.round),
    "int4": grid(1, 32, 7, torch.round),
}
EXACT_KV = "_exactkv"
COPIES = [kind + suffix for kind in GRIDS for suffix in ("", EXACT_KV)]


class unsupported_model(Exception):
    pass


def quantised(weight, kind):
    """`weight` ([outputs, inputs]) with every number on the grid of its block, in the weight's type."""
    rows, columns, largest, rounded = GRIDS[kind]
    outputs, inputs = weight.shape
    columns = columns or inputs
    padded = F.pad(weight.float(), (0, -inputs % columns, 0, -outputs % rows))
    blocks = padded.view(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    scales = blocks.abs().amax((1, 3), keepdim=True) / largest
    scales[scales == 0] = 1  # a block of zeros
    result = rounded(blocks / scales) * scales
    return result.view(padded.shape)[:outputs, :inputs].to(weight.dtype)


def matrices(model):
    """(name, weight) of each matrix that copies quantise, as a view of [outputs, inputs]: all but the
    embeddings, the output matrix, and what routes tokens to experts."""
    output = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            if module is not output and not name.endswith(("gate", "router")):
                yield name, module.weight
        elif isinstance(module, Conv1D):  # GPT-2
            yield name, module.weight.T
        elif hasattr(module, "is_transposed"):  # transformers' word for experts in one tensor
            for part, weights in module.named_parameters(recurse=False):
                for expert in weights if weights.dim() == 3 else ():
                    yield f"{name}.{part}", expert.T if module.is_transposed else expert
        elif any(weights.dim() > 2 for weights in module.parameters(recurse=False)):
            raise unsupported_model(f"no copies of this model: {name} is a {type(module).__name__}")


def chosen(model, copy):
    """The matrices that a copy (one of COPIES) quantises: with the suffix _exactkv not those of K and V."""
    found = list(matrices(model))
    if not found:
        raise unsupported_model("no copies of this model: no linear layers")
    if not copy.endswith(EXACT_KV):
        return found
    kept = ("k_proj", "v_proj")
    for projection in kept:
        if not any(name.endswith(projection) for name, _ in found):
            raise unsupported_model(f"no copy {copy} of this model: it has no {projection}")
    return [(name, weight) for name, weight in found if not name.endswith(kept)]


@torch.no_grad()
def quantise(model, copy):
    for _, weight in chosen(model, copy):
        weight.copy_(quantised(weight, copy.removesuffix(EXACT_KV)))
