"""Training of byte-level BPE on counts of pieces: the vocabulary and the merges that Hugging
Face's trainer gives on the texts that were counted."""

from itertools import pairwise

import numpy as np

from mashbill.tokens.bpe_merges import learn_merges
from mashbill.tokens.piece_counts import PieceCounts
from mashbill.tokens.split_patterns import byte_characters


def train_bpe(pieces: PieceCounts, special: str, wanted: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and the merges of a byte-level BPE.

    Args:
        pieces: what it is trained on.
        special: the token of id 0, which bytes may be merged to as well.
        wanted: how many tokens there shall be; there are fewer where the pieces have no more.
    """
    characters = byte_characters()
    byte_of = {character: byte for byte, character in characters.items()}
    first = list(dict.fromkeys([special, *sorted(byte_of)]))
    known = [
        bytes(byte_of.get(c, 0) for c in token) if set(token) <= set(byte_of) else b"" for token in first
    ]
    ids = np.empty(256, np.int32)
    for token, content in enumerate(known):
        if len(content) == 1:
            ids[content[0]] = token
    merges, contents, bounds = learn_merges(
        ids[pieces.content],
        pieces.bounds,
        pieces.counts,
        np.frombuffer(b"".join(known), np.uint8),
        np.array([len(content) for content in known]),
        wanted,
    )
    everything = contents.tobytes().decode("latin-1").translate(characters)
    tokens = [everything[at:end] for at, end in pairwise(bounds.tolist())]
    tokens[: len(first)] = first
    pairs = [(tokens[pair >> 32], tokens[pair & 0xFFFFFFFF]) for pair in merges.tolist()]
    return {token: i for i, token in enumerate(tokens)}, pairs
