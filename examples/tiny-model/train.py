#!/usr/bin/env python3
"""Trains the tiny Llama on the Python standard library and writes it as a Hugging Face folder."""

import argparse
import io
import json
import math
import platform
import time
from pathlib import Path

import sentencepiece
import torch
import torch.nn.functional as F

import corpus
import llama

HERE = Path(__file__).resolve().parent
SEED = 20240229
EVALUATION_LENGTH = 512


def train_tokenizer(texts, path):
    """A BPE tokenizer in Llama's manner: byte fallback, split digits, runs of spaces kept."""
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[::4]),
        model_writer=model,
        model_type="bpe",
        vocab_size=llama.CONFIG["vocab_size"],
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        character_coverage=0.9995,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def encode(tokenizer, files):
    """Token ids of each file. The tokenizer must give every file back exactly."""
    result = {}
    for name, text in files.items():
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text, name
        result[name] = torch.tensor(ids)
    return result


def muon_direction(update):
    """The nearest semi-orthogonal matrix, by five Newton-Schulz steps (Muon, Jordan et al. 2024)."""
    x = update.T if update.shape[0] > update.shape[1] else update
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.T if update.shape[0] > update.shape[1] else x
    return x * math.sqrt(max(1.0, update.shape[0] / update.shape[1]))


class Optimizer:
    """Muon for the projections, AdamW for the embedding and the norms."""

    def __init__(self, weights):
        self.matrices = [w for name, w in weights.items() if "_proj" in name]
        self.momenta = [torch.zeros_like(w) for w in self.matrices]
        others = [w for name, w in weights.items() if "_proj" not in name]
        self.adam = torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.95), weight_decay=0.0)

    @torch.no_grad()
    def step(self, scale):
        for w, momentum in zip(self.matrices, self.momenta):
            momentum.mul_(0.95).add_(w.grad)
            w.mul_(1 - 0.02 * 0.1 * scale)
            w.add_(muon_direction(w.grad + 0.95 * momentum), alpha=-0.02 * scale)
            w.grad = None
        for group in self.adam.param_groups:
            group["lr"] = 0.004 * scale
        self.adam.step()
        self.adam.zero_grad()


def samples(stream, count, length, generator):
    """Random windows of the training text, each led by the start token."""
    starts = torch.randint(len(stream) - length, (count,), generator=generator)
    rows = torch.stack([stream[start : start + length] for start in starts.tolist()])
    return torch.cat([torch.full((count, 1), llama.CONFIG["bos_token_id"]), rows], dim=1)


def train(stream, steps, generator):
    weights = llama.initial_weights(llama.CONFIG, generator)
    for w in weights.values():
        w.requires_grad_(True)
    optimizer = Optimizer(weights)
    started, running = time.monotonic(), 0.0
    for step in range(steps):
        # Short windows first, which are cheaper, then windows of the full length.
        length, count = (128, 16) if step < steps // 2 else (EVALUATION_LENGTH, 4)
        window = samples(stream, count, length, generator)
        logits, _ = llama.forward(weights, llama.CONFIG, window[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        loss.backward()
        optimizer.step(min(1.0, (step + 1) / 40, (steps - step) / (0.6 * steps)))
        running += loss.item()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: loss {running / 50:.4f}, {time.monotonic() - started:.0f} s", flush=True)
            running = 0.0
    return {name: w.detach() for name, w in weights.items()}


@torch.no_grad()
def evaluate(weights, config, encoded, texts):
    """Loss over whole files, each cut into windows that start from an empty cache."""
    nats, count = 0.0, 0
    for ids in encoded.values():
        for start in range(0, len(ids), EVALUATION_LENGTH):
            targets = ids[start : start + EVALUATION_LENGTH]
            inputs = torch.cat([torch.tensor([config["bos_token_id"]]), targets[:-1]])
            logits, _ = llama.forward(weights, config, inputs[None], llama.to_bf16)
            nats += F.cross_entropy(logits[0], targets, reduction="sum").item()
            count += len(targets)
    size = sum(len(text.encode()) for text in texts.values())
    return {
        "tokens": count,
        "bytes": size,
        "nats_per_token": round(nats / count, 4),
        "bits_per_byte": round(nats / math.log(2) / size, 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=1700)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    started = time.monotonic()
    training, held_out = corpus.load()
    tokenizer = train_tokenizer(training.values(), options.out / "tokenizer.model")
    encoded = encode(tokenizer, training)
    stream = torch.cat(list(encoded.values()))
    print(f"{len(training)} files, {len(stream)} training tokens, {time.monotonic() - started:.0f} s", flush=True)

    weights = train(stream, options.steps, torch.Generator().manual_seed(SEED))
    llama.save_model(options.out, weights, llama.CONFIG)

    # Both losses are those of the saved model, run in bf16.
    weights, config = llama.load_model(options.out)
    sample = {name: text for name, text in training.items() if corpus.name_hash(name) % 16 == 1}
    report = {
        "steps": options.steps,
        "training_files": len(training),
        "held_out_files": len(held_out),
        "training_tokens": len(stream),
        "parameters": sum(w.numel() for w in weights.values()),
        "train_sample": evaluate(weights, config, {name: encoded[name] for name in sample}, sample),
        "held_out": evaluate(weights, config, encode(tokenizer, held_out), held_out),
        "corpus_sha256": corpus.digest(training, held_out),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sentencepiece": sentencepiece.__version__,
        "seconds": round(time.monotonic() - started),
    }
    (options.out.parent / "training.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
