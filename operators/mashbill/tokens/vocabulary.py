"""The ids of a tokenizer, and how many rows a model needs for them: the largest id and one, wherever it is
computed.

A ``tokenizer.json`` may leave ids out: in its model's vocabulary, or before an added token. The library then
counts tokens, not ids, and gives an added token the next free id in place of its own. So ids that are left
out are given to tokens that no text has, and every token keeps the id that the file gives it.
"""

from collections.abc import Mapping
from typing import Any

from mashbill.errors import ConfigError

MOST_TOKENS = 1_000_000
UNUSED = "<unused-{}>"
MEND = "give a tokenizer.json whose tokens have ids of their own, from 0 on"


def vocabulary_size(tokenizer: Any) -> int:
    """The largest id and one: rows of a model's embeddings."""
    return 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


def fill_holes(described: dict[str, Any], where: str) -> int:
    """Give ids that a described tokenizer leaves out to tokens that no text has.

    Args:
        described: content of a tokenizer.json; changed where ids are left out.
        where: the file, for errors.
    Returns:
        How many ids were left out of its model's vocabulary.
    Raises:
        ConfigError: two tokens have one id, a token has two, or an id is too large.
        ValueError: it describes no tokenizer.
    """
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise ValueError("it describes no model")
    known, added = _model_ids(described), _added_ids(described)
    taken: dict[int, str] = {}
    for token, number in [*known.items(), *((t, n) for t, n in added.items() if t not in known)]:
        other = taken.setdefault(number, token)
        if other != token and token in added:
            raise ConfigError(where, f"gives the id {number} to both {other!r} and {token!r}", MEND)
    moved = {t: (n, known[t]) for t, n in added.items() if t in known and known[t] != n}
    for token, (said, found) in moved.items():
        raise ConfigError(where, f"gives {token!r} the id {said} and the id {found}", MEND)
    largest = max(taken, default=-1)
    if largest >= MOST_TOKENS:
        what = f"gives {taken[largest]!r} the id {largest:,}, and a model would have as many embeddings"
        raise ConfigError(where, what, MEND)
    left_out = sorted(set(range(largest + 1)) - taken.keys())
    end_of_model = 1 + max(known.values(), default=-1)
    inside = {token: n for token, n in added.items() if token not in known and n < end_of_model}
    if left_out or inside:
        _fill(described, left_out, inside=inside, end_of_model=end_of_model)
    return len(left_out) + len(inside)


def _fill(
    described: dict[str, Any], left_out: list[int], *, inside: Mapping[str, int], end_of_model: int
) -> None:
    """Tokens for ids among the model's go into its vocabulary, for those after them among added tokens."""
    vocabulary = described["model"].get("vocab")
    if isinstance(vocabulary, dict):
        vocabulary |= {UNUSED.format(n): n for n in left_out if n < end_of_model} | dict(inside)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokens = described.setdefault("added_tokens", [])
    tokens += [{"id": n, "content": UNUSED.format(n), **plain} for n in left_out if n >= end_of_model]
    tokens.sort(key=lambda token: token["id"])


def _model_ids(described: Mapping[str, Any]) -> dict[str, int]:
    """Ids by token; a model that lists its tokens numbers them by their places."""
    vocabulary = described["model"].get("vocab", {})
    if isinstance(vocabulary, list):
        return {entry[0]: number for number, entry in enumerate(vocabulary)}
    return dict(vocabulary)


def _added_ids(described: Mapping[str, Any]) -> dict[str, int]:
    return {token["content"]: token["id"] for token in described.get("added_tokens") or []}
