"""The Llama forward pass, for training in fp32 and for running with values rounded to bf16."""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

import tensors

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 384,
    "max_position_embeddings": 512,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 6,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 1024,
}

PROJECTIONS = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip


def exact(x):
    return x


def to_bf16(x):
    """Rounds to the nearest bf16 value and stays in fp32."""
    return x.bfloat16().float()


def shapes(config):
    """The weight names of Hugging Face's Llama, each with its shape."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    sizes = [(queries, hidden), (keys, hidden), (keys, hidden), (hidden, queries)]
    sizes += [(inner, hidden), (inner, hidden), (hidden, inner)]
    result = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, size in zip(PROJECTIONS, sizes):
            result[f"{prefix}{name}.weight"] = size
        result[f"{prefix}input_layernorm.weight"] = (hidden,)
        result[f"{prefix}post_attention_layernorm.weight"] = (hidden,)
    result["model.norm.weight"] = (hidden,)
    return result


def initial_weights(config, generator):
    weights = {}
    for name, shape in shapes(config).items():
        if len(shape) == 1:
            weights[name] = torch.ones(shape)
            continue
        std = config["initializer_range"] if "embed" in name else 0.6 / math.sqrt(shape[1])
        if "o_proj" in name or "down_proj" in name:
            std /= math.sqrt(2 * config["num_hidden_layers"])
        weights[name] = torch.randn(shape, generator=generator) * std
    return weights


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotary_tables(config, length):
    half = config["head_dim"] // 2
    frequencies = config["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """Rotary embedding in the rotate-half layout; x is [batch, heads, tokens, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def forward(weights, config, tokens, rounded=exact):
    """Runs `tokens` ([batch, length]) from an empty cache.

    Returns the logits and, for each layer, (k, v) as [batch, kv_heads, length, head_dim], k after
    the rotary embedding. `rounded` is applied to the result of each step: norm, projection, rotary
    embedding, attention, gate, and residual sum. Within a step everything is fp32.
    """
    batch, length = tokens.shape
    head_dim, eps = config["head_dim"], config["rms_norm_eps"]
    cos, sin = (rounded(table) for table in rotary_tables(config, length))
    embedding = weights["model.embed_tokens.weight"]
    x, caches = F.embedding(tokens, embedding), []
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."

        def project(name, y):
            return rounded(y @ weights[f"{prefix}{name}.weight"].T)

        def heads(y):
            return y.view(batch, length, -1, head_dim).transpose(1, 2)

        y = rounded(rms_norm(x, weights[prefix + "input_layernorm.weight"], eps))
        q = rounded(rotate(heads(project("self_attn.q_proj", y)), cos, sin))
        k = rounded(rotate(heads(project("self_attn.k_proj", y)), cos, sin))
        v = heads(project("self_attn.v_proj", y))
        caches.append((k, v))
        y = rounded(F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))
        x = rounded(x + project("self_attn.o_proj", y.transpose(1, 2).reshape(batch, length, -1)))

        y = rounded(rms_norm(x, weights[prefix + "post_attention_layernorm.weight"], eps))
        y = rounded(rounded(F.silu(project("mlp.gate_proj", y))) * project("mlp.up_proj", y))
        x = rounded(x + project("mlp.down_proj", y))
    x = rounded(rms_norm(x, weights["model.norm.weight"], eps))
    return x @ embedding.T, caches


def save_model(folder, weights, config):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    as_bf16 = {name: weight.detach().bfloat16() for name, weight in weights.items()}
    tensors.save(folder / "model.safetensors", as_bf16, {"format": "pt"})


def load_model(folder):
    """Returns (weights in fp32 with bf16 values, config)."""
    config = json.loads((Path(folder) / "config.json").read_text())
    stored, _ = tensors.load(Path(folder) / "model.safetensors")
    return {name: weight.float() for name, weight in stored.items()}, config
