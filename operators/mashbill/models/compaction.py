"""A smaller vocabulary: the most frequent tokens are kept, and what others stood for is spelt with those.

Of a byte-pair tokenizer every token but the first ones is a merge of two others. So text loses nothing: a
dropped token is spelt by the two it was merged from, down to tokens that are kept, and a token is kept only
together with those it is merged from. Tokens that no merge makes (bytes, letters, special ones) always stay.

Source: Rethinking Optimization and Architecture for Tiny Language Models (arXiv 2402.02791), section 3.1,
which keeps the tokens that cover almost all of the text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.sizes import parameter_count

NONE = -1


@dataclass(frozen=True)
class Compaction:
    """Which tokens stay.

    Attributes:
        kept: [new ids] old ids, ascending.
        new_ids: [old ids] new ids, -1 where a token is dropped.
        spelling: of dropped tokens, the new ids that stand for each.
        coverage: share of the counted tokens that stay as they are.
    """

    kept: np.ndarray
    new_ids: np.ndarray
    spelling: Mapping[int, tuple[int, ...]]
    coverage: float

    def recode(self, tokens: np.ndarray) -> np.ndarray:
        """[tokens] old ids as new ones, dropped tokens spelt; it may be longer.

        Raises:
            DataError: an id is none of the vocabulary.
        """
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(self.new_ids):
            what = f"has id {int(tokens.max()):,} of a vocabulary of {len(self.new_ids):,}"
            raise DataError("token shards", what, "compact with counts of the same tokenizer")
        spelt = [self.spelling.get(old, (int(new),)) for old, new in enumerate(self.new_ids)]
        lengths = np.array([len(ids) for ids in spelt])
        firsts, flat = np.cumsum(lengths) - lengths, np.array([i for ids in spelt for i in ids], np.int64)
        counts = lengths[tokens]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        recoded: np.ndarray = flat[np.repeat(firsts[tokens], counts) + within]
        return recoded

    def parameters_saved(self, shape: ModelShape) -> int:
        """Parameters that a model has fewer."""
        before, after = (parameter_count(shape, len(ids)) for ids in (self.new_ids, self.kept))
        return before - after


def compact(counts: np.ndarray, share: float, tokenizer_path: Path, *, multiple: int = 1) -> Compaction:
    """Keep the most frequent tokens that cover a share of the text, and those they are merged from.

    Args:
        counts: [vocabulary] how often each id is in the shards.
        share: of all tokens to be covered, in (0, 1].
        tokenizer_path: tokenizer.json of the shards; a byte-pair one.
        multiple: the vocabulary is filled to a multiple of it with the next frequent tokens.
    Raises:
        DataError: the tokenizer is of another kind, or has other ids than were counted.
    """
    if not 0 < share <= 1:
        raise DataError("share", f"is {share}", "give one above 0, and at most 1")
    if not counts.sum():
        raise DataError("counts", "are all 0", "count the tokens of shards that hold some")
    model = _model(tokenizer_path)
    made, size = _made_from(model, tokenizer_path), len(counts)
    highest = max((*model["vocab"].values(), *_special_ids(tokenizer_path)))
    if highest >= size:
        what = f"has id {highest:,}, and {size:,} were counted"
        raise DataError(str(tokenizer_path), what, "count with the same tokenizer")
    keep = np.ones(size, bool)
    keep[list(made)] = False
    order = np.argsort(-counts, kind="stable")
    covered = np.cumsum(counts[order])
    wanted = int(np.searchsorted(covered, share * covered[-1])) + 1
    for place, token in enumerate(order):
        if place >= wanted and (keep.sum() % multiple == 0 or not counts[token]):
            break
        _keep_with_parts(int(token), keep, made)
    kept = np.flatnonzero(keep)
    new_ids = np.full(size, NONE)
    new_ids[kept] = np.arange(len(kept))
    spelling = {old: tuple(_spelt(old, new_ids, made)) for old in np.flatnonzero(~keep).tolist()}
    return Compaction(kept, new_ids, spelling, float(counts[kept].sum() / counts.sum()))


def compact_tokenizer(compaction: Compaction, tokenizer_path: Path, path: Path) -> None:
    """Write a tokenizer.json of the kept tokens, under their new ids, without the merges of others."""
    described = json.loads(tokenizer_path.read_text(encoding="utf-8"))
    model, new_ids = described["model"], compaction.new_ids
    model["vocab"] = {
        token: int(new_ids[old]) for token, old in model["vocab"].items() if new_ids[old] != NONE
    }
    model["merges"] = [
        pair
        for pair in model["merges"]
        if all(token in model["vocab"] for token in (*_pair(pair), _made(pair)))
    ]
    for token in described["added_tokens"]:
        token["id"] = int(new_ids[token["id"]])
    for special in (described.get("post_processor") or {}).get("special_tokens", {}).values():
        special["ids"] = [int(new_ids[old]) for old in special["ids"]]
    path.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")


def _model(path: Path) -> Mapping[str, Any]:
    described = json.loads(path.read_text(encoding="utf-8"))
    model: dict[str, Any] = described.get("model") or {}
    if model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        kind = model.get("type", "of no named kind")
        raise DataError(str(path), f"is {kind}, whose tokens are no merges", "give a byte-pair tokenizer")
    return model


def _special_ids(path: Path) -> list[int]:
    return [token["id"] for token in json.loads(path.read_text(encoding="utf-8"))["added_tokens"]] or [0]


def _made_from(model: Mapping[str, Any], path: Path) -> dict[int, tuple[int, int]]:
    """The two tokens that each merged one is made from, by its first merge; special tokens are none."""
    vocab: Mapping[str, int] = model["vocab"]
    made: dict[int, tuple[int, int]] = {}
    special = set(_special_ids(path))
    for pair in model["merges"]:
        left, right = _pair(pair)
        token = vocab.get(_made(pair))
        if token is not None and token not in special and left in vocab and right in vocab:
            made.setdefault(token, (vocab[left], vocab[right]))
    return made


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _made(merge: str | list[str]) -> str:
    return "".join(_pair(merge))


def _keep_with_parts(token: int, keep: np.ndarray, made: Mapping[int, tuple[int, int]]) -> None:
    pending = [token]
    while pending:
        one = pending.pop()
        if not keep[one]:
            keep[one] = True
            pending += made[one]


def _spelt(token: int, new_ids: np.ndarray, made: Mapping[int, tuple[int, int]]) -> list[int]:
    """New ids of what a token is merged from, in order."""
    pending, spelt = [token], []
    while pending:
        one = pending.pop()
        if new_ids[one] != NONE:
            spelt.append(int(new_ids[one]))
        else:
            pending += reversed(made[one])
    return spelt
