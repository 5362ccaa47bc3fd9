"""How a text is put before a classifier sees it: one rule, stored beside the model, used in training and in
scoring alike.

fastText reads a line a document, so newlines become spaces. It takes a word that begins with ``__label__``
for a label, in training as one more label of the model, in scoring as nothing; so such words are left out of
training, and then both see the same. A mismatch between training and scoring changes what is selected.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.errors import ConfigError

_BLANK = r" \t\n\v\f\r\0"  # what ends a word for fastText
LABEL_LIKE = re.compile(f"(?<![^{_BLANK}])__label__[^{_BLANK}]*")


@dataclass(frozen=True)
class Normalisation:
    """The rule.

    Attributes:
        lowercase: letters without case.
    """

    lowercase: bool = False

    def line(self, text: str) -> str:
        """A text as a line of fastText's training file, without words that it would take for labels."""
        as_scored = self.column(pa.array([text], pa.large_string()))[0].as_py()
        return LABEL_LIKE.sub("", as_scored).replace("\n", " ").replace("\r", " ")

    def column(self, texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Texts as the scorer takes them, which reads a newline as a space."""
        return pc.utf8_lower(texts) if self.lowercase else texts

    def write(self, classifier: Path) -> None:
        """Store the rule beside a model."""
        sidecar(classifier).write_text(json.dumps({**asdict(self), "newlines": "space"}))

    @classmethod
    def read(cls, classifier: Path) -> Self:
        """The rule stored beside a model; the plain one where nothing is stored.

        Raises:
            ConfigError: what is stored is not a rule that is known here.
        """
        path = sidecar(classifier)
        if not path.exists():
            return cls()
        try:
            stored = json.loads(path.read_text())
            if stored.pop("newlines", "space") != "space":
                raise ValueError("newlines must be 'space'")
            return cls(**stored)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                str(path), f"is no normalisation ({error})", "delete it or train the classifier again"
            ) from error


def sidecar(classifier: Path) -> Path:
    """Where the rule of a model is stored."""
    return classifier.with_name(classifier.name + ".json")
