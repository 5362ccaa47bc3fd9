"""Models whose losses are known without running them, and a tokenizer that is known by heart.

With attention and feed-forward layers that add nothing, a transformer is a table: its logits after a token
are that token's row. Rows of logarithms of probabilities make it a bigram model, whose bits can be added up
by hand.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mashbill.config import ModelShape
from mashbill.models.huggingface import save_model
from mashbill.models.transformer import Transformer

WORDS = {"<|endoftext|>": 0, "a": 1, "b": 2, "c": 3, "é": 4, "ab": 5, "☕": 6, "d": 7}
"""A vocabulary with tokens of one, two and three bytes, and one of two characters."""


def bigram_table(seed: int, vocabulary: int = len(WORDS)) -> np.ndarray:
    """[vocabulary, vocabulary] probabilities of the next token, far from even."""
    drawn = np.random.default_rng(seed).dirichlet(np.full(vocabulary, 0.5), vocabulary) + 1e-3
    return drawn / drawn.sum(axis=1, keepdims=True)


def bigram_model(probabilities: np.ndarray, context: int, *, layers: int = 1) -> Transformer:
    """A transformer that predicts by the last token alone, with given probabilities."""
    vocabulary = len(probabilities)
    width = max(8, vocabulary + vocabulary % 2)
    shape = ModelShape(
        layers=layers, width=width, heads=1, kv_heads=1, feed_forward=8, context=context, tied=False
    )
    model = Transformer(shape, vocabulary)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        one_hot = torch.eye(vocabulary, width) * math.sqrt(width)  # of mean square 1: the norm leaves it
        weights["model.embed_tokens.weight"].copy_(one_hot)
        rows = torch.from_numpy(np.log(probabilities)).float() / math.sqrt(width)
        weights["lm_head.weight"].zero_()
        weights["lm_head.weight"][:, :vocabulary] = rows.T
    return model.eval()


def bigram_bits(probabilities: np.ndarray, tokens: Sequence[int] | np.ndarray) -> float:
    """Bits of every token of a stream but the first."""
    return float(-np.log2(probabilities[np.asarray(tokens[:-1]), np.asarray(tokens[1:])]).sum())


def words_tokenizer(folder: Path) -> Path:
    """``tokenizer.json`` of the vocabulary above: characters are tokens, and so is ``ab``."""
    tokenizer = Tokenizer(models.BPE(WORDS, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def save_bigram_model(folder: Path, probabilities: np.ndarray, context: int, tokenizer: Path) -> Path:
    """A bigram model as a Hugging Face folder."""
    save_model(bigram_model(probabilities, context), folder, tokenizer)
    return folder
