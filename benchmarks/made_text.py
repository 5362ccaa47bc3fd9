"""Text of any size, made of given sentences by a seed, with copies of known kinds among it."""

import re
from collections.abc import Iterator

import numpy as np

FILE_BYTES = 100_000_000
SENTENCES = (8, 40)
EXACT, NEAR = 0.1, 0.1  # of the second domain's documents
NGRAM = 5
LOOKED_AT = 2_000  # near copies whose similarity is worked out


class Text:
    """Documents made of sentences, with copies among them.

    Args:
        sentences: to draw from.
        seed: of everything.
    """

    def __init__(self, sentences: list[str], seed: int = 0) -> None:
        self.sentences, self.random = sentences, np.random.default_rng(seed)
        self.similar: list[float] = []
        self.number = 0

    def files(self, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """Ids and texts of one file after another, up to so many bytes in all."""
        before: list[str] = []
        of_each = min(FILE_BYTES, -(-size // 4))  # both domains have some
        while size > 0:
            texts: list[str] = []
            ids: list[str] = []
            room = min(of_each, size)
            while room > 0:
                kind, text = self._next(before)
                ids.append(f"{kind}{self.number}")
                texts.append(text)
                self.number, room = self.number + 1, room - len(text)
            size -= of_each
            before = [] if before else texts  # files of the first domain and of the second take turns
            yield ids, texts

    def _next(self, before: list[str]) -> tuple[str, str]:
        """One more document, and what it is: g is new, e an exact copy, n a near one of what the file before
        has."""
        drawn = self.random.random() if before else 1.0
        if drawn < EXACT + NEAR:
            original = before[int(self.random.integers(len(before)))]
            return ("e", original) if drawn < EXACT else ("n", self._near(original))
        chosen = self.random.integers(len(self.sentences), size=int(self.random.integers(*SENTENCES)))
        return "g", " ".join(self.sentences[i] for i in chosen)

    def _near(self, original: str) -> str:
        words = original.split(" ")
        count = max(1, round(len(words) * self.random.uniform(0.0, 0.06)))
        for place in self.random.integers(len(words), size=count):
            words[place] = "exchanged"
        text = " ".join(words)
        if len(self.similar) < LOOKED_AT:
            self.similar.append(jaccard(original, text))
        return text


def jaccard(one: str, other: str) -> float:
    """Similarity of two texts' sets of runs of words, which are what stands between blanks, without
    punctuation."""
    first, second = (_runs(_words(text)) for text in (one, other))
    return len(first & second) / max(1, len(first | second))


def _words(text: str) -> list[str]:
    bare = (re.sub(r"[\W_]", "", word.lower()) for word in text.split())
    return [word for word in bare if word]


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}
