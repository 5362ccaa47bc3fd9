"""Token stores of streams that are known, written without the stages before them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from builders.known_models import WORDS, words_tokenizer
from mashbill.tokens import TokenStore
from mashbill.tokens.encoded import Encoded
from mashbill.tokens.shards import ShardWriter, write_index

BYTES_A_TOKEN = 3
VOCABULARY = len(WORDS)


def markov_stream(table: np.ndarray, length: int, seed: int) -> np.ndarray:
    """[length] tokens, each drawn from the row of the one before."""
    random, sums, tokens = np.random.default_rng(seed), table.cumsum(axis=1), [0]
    for drawn in random.random(length - 1):
        tokens.append(min(int(np.searchsorted(sums[tokens[-1]], drawn)), len(table) - 1))
    return np.array(tokens)


def write_store(
    folder: Path,
    domains: Mapping[str, tuple[np.ndarray, np.ndarray]],
    references: Mapping[str, np.ndarray] | None = None,
) -> TokenStore:
    """A store with training and validation tokens of each domain, and validation tokens of references; a
    token stands for three bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    words_tokenizer(folder)
    dtype, sets = np.dtype(np.uint16), {}

    def written(name: str, split: str, tokens: np.ndarray) -> dict[str, int]:
        writer = ShardWriter(folder, name, split, number=0, dtype=dtype, end_of_text=0)
        writer.write(Encoded.of([tokens[:-1].tolist()]), BYTES_A_TOKEN * len(tokens))
        return writer.close()

    def shards(counts: Mapping[str, dict[str, int]]) -> dict[str, list[tuple[int, int]]]:
        return {s: [(0, count["tokens"])] if count["documents"] else [] for s, count in counts.items()}

    for name, (train, validation) in domains.items():
        splits = {"train": train, "validation": validation}
        counts = {s: written(name, s, tokens) for s, tokens in splits.items()}
        sets[name] = {"kind": "domain", **counts, "shards": shards(counts)}
    for name, tokens in (references or {}).items():
        none = {"documents": 0, "tokens": 0, "bytes": 0}
        counts = {"train": none, "validation": written(name, "validation", tokens)}
        sets[name] = {"kind": "reference", **counts, "shards": shards(counts)}
    write_index(folder, VOCABULARY, dtype, end_of_text=0, sets=sets)
    return TokenStore(folder)
