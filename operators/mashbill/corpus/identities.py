"""The ids of a domain's documents: those that sources give, those that are made, and what is told of ids that
come twice."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import Source
from mashbill.corpus.names import FileNames
from mashbill.corpus.records import Rejected
from mashbill.corpus.sources import SourceFile

SAMPLED_IDS, SAMPLED_IDS_A_FILE = 100_000, 1_000
"""Ids whose texts are remembered, to tell documents that come twice from ids that begin again."""
PREFIX = "set prefix_ids = true where ids begin again in each file, or leave id_field out"
EXAMPLES = 3


@dataclass
class SourceIds:
    """What is seen of the ids of a source.

    Attributes:
        prefixed: whether the file's name goes before them; given: whether there was one to put it before.
        refused: records whose id another file has; files: names of those that hold them.
        alike, unlike: of those that were compared, how many texts are the other's, and how many are not.
    """

    prefixed: bool = False
    given: bool = False
    refused: int = 0
    files: set[str] = field(default_factory=set)
    alike: int = 0
    unlike: int = 0

    @property
    def begin_again(self) -> bool:
        """Whether other documents came with ids that were taken."""
        return self.unlike > self.alike

    def warnings(self, where: str) -> Iterator[str]:
        """What to say of them.

        Args:
            where: the source's place in the config.
        """
        if self.prefixed and not self.given:
            yield f"{where}.prefix_ids: has no effect, as no record has an id of its own; give id_field"
        if not self.refused:
            return
        some = sorted(self.files)[:EXAMPLES]
        names = ", ".join(some) + ", ..." * (len(self.files) > len(some))
        refused = f"{where}: {self.refused:,} records are refused (duplicate_id) in {names}"
        if self.begin_again:
            yield f"{refused}, as another file has their ids, with other texts; {PREFIX}"
        else:
            yield f"{refused}, as another file has them; name each file once, and leave copies out"


class Identities:
    """Gives the documents of one domain their ids, file after file.

    Attributes:
        sources: what is seen of each source's ids, by its place in the config.
    """

    def __init__(self, domain: str) -> None:
        self.domain, self.names = domain, FileNames()
        self.sources: dict[str, SourceIds] = defaultdict(SourceIds)
        self._seen: dict[str, int] = {}  # number of the file, by id
        self._texts: dict[str, int] = {}  # hash of the text, by id, of some
        self._number = self._sampled = 0
        self._file, self._of_source = "", SourceIds()

    def begin(self, file: SourceFile, source: Source, where: str) -> None:
        """Go on to a file.

        Args:
            file: the file.
            source: whose it is.
            where: the source's place in the config.
        """
        self._file, self._of_source = self.names.name(file, source), self.sources[where]
        self._of_source.prefixed = source.prefix_ids
        self._number, self._sampled = self._number + 1, 0

    def give(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Rejected]]:
        """Fill in ids that are missing, and set records aside whose id is taken.

        Args:
            batch: [documents] of the file that was begun; ids may be null.
        """
        ids = batch["id"]
        self._of_source.given |= ids.null_count < len(ids)
        if self._of_source.prefixed:
            ids = pc.binary_join_element_wise(self._file, ids, "#")
        rows = batch["row"].cast(pa.string())
        ids = pc.coalesce(ids, pc.binary_join_element_wise(f"{self.domain}/{self._file}", rows, "#"))
        names, rejected = ids.to_pylist(), []
        if len(set(names)) == len(names) and self._seen.keys().isdisjoint(names):
            self._seen |= dict.fromkeys(names, self._number)
            self._remember(names, batch["text"])
        else:
            fresh = [self._is_fresh(name, batch["text"][i]) for i, name in enumerate(names)]
            refused = [i for i, is_fresh in enumerate(fresh) if not is_fresh]
            rejected = [Rejected(batch["row"][i].as_py(), "duplicate_id", names[i]) for i in refused]
            batch, ids = batch.filter(pa.array(fresh)), ids.filter(pa.array(fresh))
        columns = [batch["row"], ids, batch["text"], batch["metadata"]]
        return pa.record_batch(columns, schema=batch.schema), rejected

    @property
    def begin_again(self) -> bool:
        """Whether ids of a source begin again in each file."""
        return any(source.begin_again for source in self.sources.values())

    def warnings(self) -> Iterator[str]:
        """What to say of the ids of each source."""
        for where, source in self.sources.items():
            yield from source.warnings(where)

    def _is_fresh(self, name: str, text: Any) -> bool:
        """Whether an id is not taken; where another file has it, the texts are compared."""
        owner = self._seen.get(name)
        if owner is None:
            self._seen[name] = self._number
            self._remember([name], [text])
        elif owner != self._number:
            self._of_source.refused += 1
            self._of_source.files.add(self._file)
            if name in self._texts:
                same = self._texts[name] == hash(text.as_py())
                self._of_source.alike += same
                self._of_source.unlike += not same
        return owner is None

    def _remember(self, names: list[str], texts: Sequence[Any]) -> None:
        """Keep hashes of the first texts of a file."""
        room = min(SAMPLED_IDS_A_FILE - self._sampled, SAMPLED_IDS - len(self._texts))
        chosen = names[: max(0, room)]
        self._texts |= {name: hash(text.as_py()) for name, text in zip(chosen, texts, strict=False)}
        self._sampled += len(chosen)
