"""Token shards: flat memory-mapped files of a set and split, one for each partition that the tokens come of,
with the offsets of its documents.

A document's tokens are followed by the end-of-text token, so that readers may run over the boundaries.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from mashbill.artifacts import Artifact, Place, file_in, has_file, place_at
from mashbill.errors import DataError, one_line
from mashbill.tokens.encoded import Encoded
from mashbill.tokens.open_shards import OpenShards
from mashbill.tokens.token_run import TokenRun
from mashbill.tokens.vocabulary import vocabulary_size

END_OF_TEXT = "<|endoftext|>"
INDEX = "tokens.json"
TOKENIZER = "tokenizer.json"
MEND = "rerun tokenize"
NO_TOKENS = {"documents": 0, "tokens": 0, "bytes": 0}


@dataclass(frozen=True)
class ValidationSet:
    """Held-out tokens of a domain or reference set.

    Attributes:
        name: name of the set.
        tokens: [tokens] ids, end-of-text after each document.
        bytes: UTF-8 bytes of the text the tokens stand for.
        documents: documents in it.
    """

    name: str
    tokens: np.ndarray
    bytes: int
    documents: int


class TokenStore:
    """The shards of an artifact, or in a folder, that ``write_token_store`` wrote.

    Args:
        place: an artifact of shards; or a folder, which may be one's.
    """

    def __init__(self, place: Place) -> None:
        self.place = place_at(place)
        path = file_in(self.place, INDEX)
        try:
            index = json.loads(path.read_text())
            self.vocabulary: int = index["vocabulary"]
            self.end_of_text: int = index["end_of_text"]
            self.dtype = np.dtype(index["dtype"])
            self.sets: dict[str, dict[str, Any]] = index["sets"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(str(path), f"is no index of shards ({one_line(error)})", MEND) from error
        self._check_dtype(path)
        self._check_tokenizer()

    def _check_dtype(self, path: Path) -> None:
        """Tokens that their type has no room for would have been cut off, each another token.

        Raises:
            DataError: the type has no room for the vocabulary, or is none of a token.
        """
        if self.dtype.kind != "u":
            raise DataError(f"{path}: dtype", f"is {self.dtype}, which is no type of token ids", MEND)
        if self.vocabulary > np.iinfo(self.dtype).max + 1:
            what = f"is {self.dtype}, which has no room for a vocabulary of {self.vocabulary:,}"
            raise DataError(f"{path}: dtype", what, MEND)

    def _check_tokenizer(self) -> None:
        """A tokenizer that was put beside other shards would turn every token into another.

        Raises:
            DataError: the tokenizer has another number of tokens than the shards were made with.
        """
        from tokenizers import Tokenizer

        if has_file(self.place, TOKENIZER):
            try:
                size = vocabulary_size(Tokenizer.from_file(str(self.tokenizer_path)))
            except Exception as error:  # the library raises Exception itself
                what = f"is not a tokenizer.json ({one_line(error)})"
                raise DataError(str(self.tokenizer_path), what, MEND) from error
            if size != self.vocabulary:
                raise DataError(
                    str(self.tokenizer_path),
                    f"has {size} tokens, the shards were made with {self.vocabulary}",
                    MEND,
                )

    @property
    def folder(self) -> Path:
        """A local folder of the shards, for another process to open."""
        return self.place.here() if isinstance(self.place, Artifact) else self.place

    @property
    def index_path(self) -> Path:
        """The index of the shards."""
        return file_in(self.place, INDEX)

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer that made the tokens."""
        return file_in(self.place, TOKENIZER)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the config's order."""
        return tuple(name for name, entry in self.sets.items() if entry["kind"] == "domain")

    @property
    def references(self) -> tuple[str, ...]:
        """Names of the reference sets, in the config's order."""
        return tuple(name for name, entry in self.sets.items() if entry["kind"] == "reference")

    @property
    def set_names(self) -> tuple[str, ...]:
        """Every validation set: domains, then references."""
        return (*self.domains, *self.references)

    def _shards(self, name: str, split: str) -> list[tuple[str, int]]:
        """Files of a set's split and how many tokens each has, in order."""
        return [(shard_name(name, split, n), tokens) for n, tokens in self.sets[name]["shards"][split]]

    def train_tokens(self, domain: str) -> TokenRun:
        """[tokens] training tokens of a domain; a shard is mapped when something of it is asked for."""
        return TokenRun(self.place, self.dtype, self._shards(domain, "train"))

    def validation(self, name: str) -> ValidationSet:
        """The held-out tokens of a domain or reference set."""
        counts = self.counts(name, "validation")
        tokens = TokenRun(self.place, self.dtype, self._shards(name, "validation"))[:]
        return ValidationSet(name, tokens, counts["bytes"], counts["documents"])

    def check(self) -> None:
        """Look at every shard, so that one that is damaged is told before processes are started on them; what
        lies in an object store is not fetched for that.

        Raises:
            DataError: a shard is gone, or another than was committed.
        """
        shards = [(name, "train") for name in self.domains]
        for name, split in [*shards, *((name, "validation") for name in self.set_names)]:
            OpenShards(self.place, self.dtype, self._shards(name, split)).check()

    def counts(self, name: str, split: str) -> dict[str, int]:
        """Documents, tokens and bytes of a split of a set."""
        return cast("dict[str, int]", self.sets[name][split])

    def train_amounts(self, domains: Sequence[str] | None = None) -> np.ndarray:
        """[domains] training tokens that there are; of all domains, or of some in the order given."""
        return np.array([self.counts(d, "train")["tokens"] for d in domains or self.domains], np.float64)

    def natural(self) -> dict[str, float]:
        """Each domain's share of the training tokens; the shares sum to 1."""
        tokens = {name: self.counts(name, "train")["tokens"] for name in self.domains}
        return {name: count / sum(tokens.values()) for name, count in tokens.items()}


def shard_name(name: str, split: str, number: int) -> str:
    """Where the tokens of a set's split live that come of one partition, in their store."""
    return f"shards/{name}/{split}-{number:05}.bin"


class ShardWriter:
    """Appends documents to one shard, and writes its index at the end."""

    def __init__(
        self, folder: Path, name: str, split: str, *, number: int, dtype: np.dtype[Any], end_of_text: int
    ) -> None:
        self.path = folder / shard_name(name, split, number)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("wb")
        self.dtype, self.end_of_text = dtype, end_of_text
        self.offsets = [0]
        self.bytes = 0

    def write(self, documents: Encoded, text_bytes: int, chosen: np.ndarray | None = None) -> None:
        """Append documents given as token ids.

        Args:
            documents: some documents.
            text_bytes: UTF-8 bytes of those that are written.
            chosen: [chosen] which of them; None means all.
        """
        places = np.arange(len(documents.lengths)) if chosen is None else chosen
        documents.taken(places, self.end_of_text).astype(self.dtype).tofile(self.file)
        self.offsets += (self.offsets[-1] + np.cumsum(documents.lengths[places] + 1)).tolist()
        self.bytes += text_bytes

    def close(self) -> dict[str, int]:
        """Write the index; returns documents, tokens and bytes. Without a document there is no shard."""
        self.file.close()
        if len(self.offsets) == 1:
            self.path.unlink()
            return dict(NO_TOKENS)
        np.save(self.path.with_suffix(".index.npy"), np.asarray(self.offsets, dtype=np.int64))
        return {"documents": len(self.offsets) - 1, "tokens": self.offsets[-1], "bytes": self.bytes}


def write_index(
    folder: Path, vocabulary: int, dtype: np.dtype[Any], *, end_of_text: int, sets: Mapping[str, Any]
) -> None:
    """Write what a TokenStore reads first."""
    index = {"vocabulary": vocabulary, "dtype": dtype.name, "end_of_text": end_of_text, "sets": dict(sets)}
    (folder / INDEX).write_text(json.dumps(index, indent=1))
