"""Sequences of token ids out of text files, token files and caches."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open


class bad_source(Exception):
    pass


class sequence(NamedTuple):
    source: str  # the file's name, and the sequence's place in it
    tokens: torch.Tensor  # int32


class sentencepiece_tokenizer:
    """A tokenizer.model alone, without transformers' account of it: what follows `bos` is the text."""

    def __init__(self, path, bos):
        import sentencepiece

        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.prefix = [] if bos is None else [bos]

    def encode(self, text):
        return self.processor.encode(text)


class pretrained_tokenizer:
    def __init__(self, model):
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError):
            raise bad_source(f"{model}: no tokenizer: give token files in place of text") from None
        # What the tokenizer puts before every text, for example <s>.
        start = self.tokenizer("").input_ids[:1]
        self.prefix = start if start == [self.tokenizer.bos_token_id] else []

    def encode(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids


def open_tokenizer(model, bos):
    folder = Path(model)
    if (folder / "tokenizer.model").is_file() and not (folder / "tokenizer_config.json").is_file():
        return sentencepiece_tokenizer(folder / "tokenizer.model", bos)
    return pretrained_tokenizer(model)


def read_ids(path, vocabulary):
    """The lists of ids in a token file: JSON, or `tokens` of a cache. None for a text file."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                lists = [file.get_tensor("tokens").tolist()]
        elif path.suffix == ".json":
            lists = json.loads(path.read_bytes())
        else:
            return None
    except (SafetensorError, ValueError) as error:
        raise bad_source(f"{path}: no token file: {error}") from None
    if isinstance(lists, list) and not any(isinstance(ids, list) for ids in lists):
        lists = [lists]
    if not isinstance(lists, list) or not all(isinstance(ids, list) for ids in lists):
        raise bad_source(f"{path}: no token file: a list of ids, or a list of such lists, is wanted")
    if not all(type(i) is int and 0 <= i < vocabulary for ids in lists for i in ids):
        raise bad_source(f"{path}: the model's tokens are numbers from 0 to {vocabulary - 1}")
    return lists


def pieces(ids, prefix, length):
    """Cuts ids into whole sequences of `length`, each behind the prefix."""
    step = length - len(prefix)
    return [prefix + ids[at : at + step] for at in range(0, len(ids) - step + 1, step)]


def read(paths, tokenizer, vocabulary, length, most):
    """At most `most` (None: all) sequences of `length` tokens of each file. `tokenizer` is called when the
    first text file comes."""
    result = []
    for path in paths:
        lists, prefix = read_ids(path, vocabulary), []
        if lists is None:
            try:
                text = path.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                raise bad_source(f"{path}: neither UTF-8 text nor .json nor .safetensors") from None
            lists, prefix = [tokenizer().encode(text)], tokenizer().prefix
        found = [piece for ids in lists for piece in pieces(ids, prefix, length)][:most]
        if not found:
            longest = len(prefix) + max((len(ids) for ids in lists), default=0)
            raise bad_source(f"{path}: too short: {longest} tokens, and a sequence has {length}")
        for index, tokens in enumerate(found):
            result.append(sequence(f"{path.name}, sequence {index}", torch.tensor(tokens, dtype=torch.int32)))
    return result
