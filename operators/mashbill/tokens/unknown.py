"""Text that a tokenizer does not know: how much of it there is, and what it looks like.

A tokenizer without bytes to fall back on turns what it does not know into one token, or drops it. A model
then learns nothing of that text, and bits per byte flatter it; so a share above a little is told, with
examples.
"""

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mashbill.artifacts import Counts
from mashbill.tokens.encoded import Encoded

WORTH_TELLING = 0.001
EXAMPLES, EXAMPLE_CHARACTERS = 5, 30
STRANGE = "\ue000"
"""A character for private use, which no text teaches a tokenizer."""
log = logging.getLogger(__name__)


def unknown_id(tokenizer: Any) -> int | None:
    """The id of the token that stands for what is unknown; None where there is none."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("byte_fallback") and tokenizer.token_to_id("<0x00>") is not None:
        return None
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    token = model.get("unk_token")
    found = None if token is None else tokenizer.token_to_id(token)
    return None if found is None else int(found)


def drops_unknown(tokenizer: Any) -> bool:
    """Whether characters that it does not know leave no token at all."""
    return unknown_id(tokenizer) is None and not tokenizer.encode(STRANGE, add_special_tokens=False).ids


@dataclass
class Unknown:
    """What a tokenizer did not know of a set.

    Attributes:
        token: id that stands for the unknown.
        tokens: how many of them there are.
        of: tokens there are in all.
        examples: pieces of text that became one.
    """

    token: int | None
    tokens: int = 0
    of: int = 0
    examples: list[str] = field(default_factory=list)

    def look(self, tokenizer: Any, texts: pa.Array, encoded: Encoded) -> None:
        """Count what is unknown in a batch.

        Args:
            tokenizer: which made the ids, asked again for examples.
            texts: [documents].
            encoded: their ids.
        """
        if self.token is None:
            return
        unknown = encoded.ids == self.token
        self.tokens, self.of = self.tokens + int(np.count_nonzero(unknown)), self.of + len(unknown)
        for i in np.unique(np.searchsorted(encoded.bounds, np.flatnonzero(unknown), "right") - 1):
            if len(self.examples) >= EXAMPLES:
                return
            text = texts[int(i)].as_py()
            self._remember(tokenizer.encode(text, add_special_tokens=False), text)

    def __add__(self, other: "Unknown") -> "Unknown":
        """What was not known of both, with the examples of those that come first."""
        examples = list(dict.fromkeys([*self.examples, *other.examples]))[:EXAMPLES]
        return Unknown(self.token, self.tokens + other.tokens, self.of + other.of, examples)

    @property
    def share(self) -> float:
        """Share of the tokens that stand for the unknown."""
        return self.tokens / self.of if self.of else 0.0

    def add(self, other: "Unknown", name: str) -> None:
        """Count a whole set, and warn where more than a little of it is unknown."""
        self.tokens, self.of = self.tokens + other.tokens, self.of + other.of
        warning = other.warning(name)
        if warning:
            log.warning(warning)

    def counts(self) -> Counts:
        """What the stage counts of it; nothing where no token stands for the unknown."""
        return {} if self.token is None else {"unknown_tokens": self.tokens, "unknown_share": self.share}

    def warning(self, name: str) -> str | None:
        """A line on a set of which more than a little is unknown."""
        if self.share <= WORTH_TELLING:
            return None
        shown = ", ".join(map(repr, self.examples))
        return (
            f"{name}: the tokenizer does not know {self.share:.2%} of the tokens ({self.tokens:,}), such as "
            f"{shown}; take one with bytes to fall back on, or train one (leave tokens.tokenizer empty)"
        )

    def _remember(self, encoded: Any, text: str) -> None:
        for token, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            example = text[start:end][:EXAMPLE_CHARACTERS]
            if token == self.token and example and example not in self.examples:
                self.examples.append(example)
            if len(self.examples) >= EXAMPLES:
                return
