"""A smaller vocabulary: the most frequent tokens are kept, and what others stood for is spelt with those.

Of a byte-pair tokenizer every token but the first ones is a merge of two others, and where it falls back on
bytes a letter is spelt by those. So text loses nothing: a dropped token is spelt by the tokens it is made of,
down to tokens that are kept, and a token is kept only together with all those that merges make it of: so text
whose tokens are all kept is encoded as it was. Bytes, special tokens and, without bytes to fall back on,
letters always stay.

Source: Rethinking Optimization and Architecture for Tiny Language Models (arXiv 2402.02791), section 3.1,
which keeps the tokens that cover almost all of the text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.errors import DataError

NONE = -1
BYTES = 256
BYTE = "<0x{:02X}>"
Ways = Mapping[int, list[tuple[int, ...]]]
"""Of tokens that others can stand for: those, in order, by each way there is; the first merge's first."""


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

    def recounted(self, counts: np.ndarray) -> np.ndarray:
        """[new ids] how often each new id is there, given [old ids] counts of the old."""
        found = np.asarray(counts, np.int64)[self.kept]
        for old, spelt in self.spelling.items():
            for new in spelt:
                found[new] += int(counts[old])
        return found

    @property
    def dropped(self) -> int:
        """Tokens that a vocabulary has fewer: rows of a model's embeddings."""
        return len(self.new_ids) - len(self.kept)


def compact(counts: np.ndarray, share: float, tokenizer_path: Path, *, multiple: int = 1) -> Compaction:
    """Keep the most frequent tokens that cover a share of the text, and those they are made of.

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
    covered = np.cumsum(np.sort(counts)[::-1])
    wanted = int(np.searchsorted(covered, share * covered[-1])) + 1
    return _most_frequent(counts, wanted, tokenizer_path, multiple=multiple)


def compact_to_used(counts: np.ndarray, least: int, tokenizer_path: Path) -> Compaction:
    """Keep the tokens that text uses so many times, and those they are made of; arguments as of ``compact``.

    Raises:
        DataError: as ``compact`` does.
    """
    return _most_frequent(counts, int(np.count_nonzero(counts >= least)), tokenizer_path)


def _most_frequent(counts: np.ndarray, wanted: int, tokenizer_path: Path, *, multiple: int = 1) -> Compaction:
    """Keep so many of the most frequent tokens, and those they are made of."""
    if not counts.sum():
        raise DataError("counts", "are all 0", "count the tokens of shards that hold some")
    described = _described(tokenizer_path)
    ways, size = _ways_to(described), len(counts)
    highest = max((*described["model"]["vocab"].values(), *_special_ids(described)))
    if highest >= size:
        what = f"has id {highest:,}, and {size:,} were counted"
        raise DataError(str(tokenizer_path), what, "count with the same tokenizer")
    keep = np.ones(size, bool)
    keep[list(ways)] = False
    for place, token in enumerate(np.argsort(-counts, kind="stable")):
        if place >= wanted and (keep.sum() % multiple == 0 or not counts[token]):
            break
        _keep_with_parts(int(token), keep, ways)
    kept = np.flatnonzero(keep)
    new_ids = np.full(size, NONE)
    new_ids[kept] = np.arange(len(kept))
    spelling = {old: tuple(_spelt(old, new_ids, ways)) for old in np.flatnonzero(~keep).tolist()}
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
    _renumber(described.get("post_processor") or {}, new_ids)
    path.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")


def refuse_not_compactable(path: Path) -> None:
    """Refuse a tokenizer that cannot be made smaller.

    Raises:
        DataError: its tokens are no merges, or are spelt by others in a way that is not known.
    """
    _described(path)


def _renumber(processor: dict[str, Any], new_ids: np.ndarray) -> None:
    """Give what is put around texts its new ids, in whatever processor names it."""
    for special in processor.get("special_tokens", {}).values():
        special["ids"] = [int(new_ids[old]) for old in special["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            token, old = processor[name]
            processor[name] = [token, int(new_ids[old])]
    for inner in processor.get("processors", ()):
        _renumber(inner, new_ids)


def _described(path: Path) -> dict[str, Any]:
    """A byte-pair tokenizer.json.

    Raises:
        DataError: it is of another kind.
    """
    described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    model: dict[str, Any] = described.get("model") or {}
    if model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        kind = model.get("type", "of no named kind")
        raise DataError(str(path), f"is {kind}, whose tokens are no merges", "give a byte-pair tokenizer")
    prefix = model.get("continuing_subword_prefix")
    if prefix:
        what = f"marks what goes on in a word ({prefix!r}), which merges leave out"
        raise DataError(str(path), what, "give a byte-pair tokenizer without that")
    return described


def _special_ids(described: Mapping[str, Any]) -> list[int]:
    return [token["id"] for token in described["added_tokens"]] or [0]


def _ways_to(described: Mapping[str, Any]) -> Ways:
    """The two tokens that each merged one is made of, by each of its merges, and the bytes of a letter where
    the tokenizer falls back on them; special tokens have none."""
    model = described["model"]
    vocab: Mapping[str, int] = model["vocab"]
    ways: dict[int, list[tuple[int, ...]]] = {}
    special = set(_special_ids(described)) | {vocab.get(model.get("unk_token") or "", NONE)}
    for pair in model["merges"]:
        left, right = _pair(pair)
        token = vocab.get(_made(pair))
        if token is not None and token not in special and left in vocab and right in vocab:
            ways.setdefault(token, []).append((vocab[left], vocab[right]))
    if model.get("byte_fallback") and all(BYTE.format(byte) in vocab for byte in range(BYTES)):
        for letter, token in vocab.items():
            if len(letter) == 1 and token not in special and token not in ways:
                ways[token] = [tuple(vocab[BYTE.format(byte)] for byte in letter.encode())]
    return ways


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _made(merge: str | list[str]) -> str:
    return "".join(_pair(merge))


def _keep_with_parts(token: int, keep: np.ndarray, ways: Ways) -> None:
    pending = [token]
    while pending:
        one = pending.pop()
        if not keep[one]:
            keep[one] = True
            pending += (part for way in ways[one] for part in way)


def _spelt(token: int, new_ids: np.ndarray, ways: Ways) -> list[int]:
    """New ids of what a token is made of, in order."""
    pending, spelt = [token], []
    while pending:
        one = pending.pop()
        if new_ids[one] != NONE:
            spelt.append(int(new_ids[one]))
        else:
            pending += reversed(ways[one][0])
    return spelt
