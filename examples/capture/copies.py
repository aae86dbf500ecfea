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


def projections(model):
    """(name, module) of each matrix that copies quantise: all but the embeddings, the output matrix and
    the routers of experts."""
    output = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not output:
            if not name.endswith((".gate", ".router")):
                yield name, module
        elif any(p.dim() == 3 for p in module.parameters(recurse=False)):
            raise unsupported_model(f"{name} holds the weights of several experts in one tensor")


@torch.no_grad()
def quantise(model, copy):
    """Makes `model` its quantised copy (one of COPIES). Weights with the suffix _exactkv stay as they are
    in the projections of K and V."""
    kind = copy.removesuffix(EXACT_KV)
    found = list(projections(model))
    if not found:
        raise unsupported_model("no linear layers to quantise")
    exact = ("k_proj", "v_proj") if copy.endswith(EXACT_KV) else ()
    for ending in exact:
        if not any(name.endswith(ending) for name, _ in found):
            raise unsupported_model(f"{EXACT_KV} wants projections named k_proj and v_proj")
    for name, module in found:
        if exact and name.endswith(exact):
            continue
        weight = module.weight
        if isinstance(module, Conv1D):  # GPT-2 keeps its matrices transposed
            weight.copy_(quantised(weight.T, kind).T)
        else:
            weight.copy_(quantised(weight, kind))
