"""What came of the files of a domain, a reference or an evaluation set: accounts of its pieces put together,
what is said of them, and what ingest fails for."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mashbill.config import CorpusConfig, Source
from mashbill.corpus.identities import PREFIX, SourceIds
from mashbill.corpus.losses import WORST, FileAccount, Losses
from mashbill.corpus.pieces import DocumentSet, FilePart, Piece
from mashbill.corpus.records import Rejected
from mashbill.corpus.repeated_ids import REASON, Loss
from mashbill.corpus.taking import Taken, TakenPart
from mashbill.documents import Flow

log = logging.getLogger(__name__)
MEND = "mend the files or raise corpus.max_rejected_share"


@dataclass
class SourceUse:
    """What was found of a source.

    Attributes:
        source: the source.
        where: its place in the config.
        files: what came of each.
        found: of the fields that it names, those that some record had.
        ids: what is seen of its ids.
    """

    source: Source
    where: str
    files: list[FileAccount] = field(default_factory=list)
    found: set[str] = field(default_factory=set)
    ids: SourceIds = field(default_factory=SourceIds)

    @property
    def documents(self) -> int:
        """How many it gave."""
        return sum(file.documents for file in self.files)

    def lacks_ids(self) -> bool:
        """Whether it names a field of ids that no record has."""
        return self.source.id_field is not None and self.source.id_field not in self.found

    def without_effect(self) -> list[str]:
        """Fields of the metadata that no record has."""
        return [name for name in self.source.metadata_fields if self.documents and name not in self.found]

    def gave_nothing(self) -> list[FileAccount]:
        """Files of which no document came, but for those that it allows to."""
        may = self.source.may_give_nothing
        return [
            file
            for file in self.files
            if file.gave_nothing and not any(fnmatchcase(file.name, pattern) for pattern in may)
        ]


class SetAccount:
    """What came of the files of one set.

    Args:
        of: the set.
        corpus: how much it may lose.
    """

    def __init__(self, of: DocumentSet, corpus: CorpusConfig) -> None:
        self.kind, self.name, self.corpus = of.kind, of.name, corpus
        self.losses = Losses()
        self.uses: dict[str, SourceUse] = {}
        self.passed: Counter[str] = Counter()
        self._parts: dict[int, FilePart] = {}  # the first of each file

    def take(self, piece: Piece, taken: Taken) -> None:
        """Take in what came of a piece; pieces come in their order."""
        for part, found in zip(piece.parts, taken.parts, strict=True):
            self._take(part, found)

    def _take(self, part: FilePart, found: TakenPart) -> None:
        use = self.uses.setdefault(part.where, SourceUse(part.source, part.where))
        if part.number < len(self.losses.files):
            self.losses.files[part.number].add(found.account)
        else:
            self._parts[part.number] = part
            self.losses.files.append(found.account)
            use.files.append(found.account)
        use.found.update(found.found)
        use.ids.prefixed = part.source.prefix_ids
        use.ids.given |= found.given
        self.passed.update(found.passed)

    def lose(self, losses: Sequence[Loss]) -> None:
        """Take out what files lose, as its ids are taken."""
        for loss in losses:
            part, account = self._parts[loss.file], self.losses.files[loss.file]
            account.documents -= loss.documents
            account.text_bytes -= loss.text_bytes
            account.reject([Rejected(0, REASON, loss.first)])
            account.refused[REASON] += loss.documents - 1
            ids = self.uses[part.where].ids
            ids.refused += loss.refused
            ids.alike += loss.alike
            ids.unlike += loss.unlike
            if loss.refused:
                ids.files.add(part.name)

    def warn(self) -> None:
        """Say what was lost, and which settings had no effect."""
        words = self.losses.words()
        if words:
            log.warning("domain %s: %s", self.name, words)
        empty = self._without_records()
        if empty and self.documents:
            log.warning("domain %s: %s", self.name, empty)
        for use in self.uses.values():
            for name in use.without_effect():
                log.warning("%s: no record of domain %s has a field %r", use.where, self.name, name)
            for warning in use.ids.warnings(use.where):
                log.warning(warning)

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Where, what and mend of what the stage must fail for."""
        where, words = f"domain {self.name}", self.losses.words()
        for use in self.uses.values():
            if use.documents and use.lacks_ids():
                what = f"no record of domain {self.name} has a field {use.source.id_field!r}"
                yield f"{use.where}.id_field", what, "correct it, or leave it out"
        if self.documents == 0:
            found = ", ".join(part for part in (words, self._without_records(), self._no_pages()) if part)
            what = f"has no document: {found}" if found else "has no document"
            yield where, what, "add text to its sources or remove the domain"
            return
        empty = [file for use in self.uses.values() for file in use.gave_nothing()]
        if empty and "max_rejected_share" not in self.corpus.model_fields_set:
            first = ", ".join(f"{file.name} ({file.problem})" for file in empty[:WORST])
            what = f"{len(empty):,} of its files gave no document: {first}"
            yield where, what, "mend them, or name them in their source's may_give_nothing"
        unknown = self.losses.cannot_tell()
        if unknown and "max_rejected_share" not in self.corpus.model_fields_set:
            first = ", ".join(f"{file.name} ({file.problem})" for file in unknown[:WORST])
            what = f"{len(unknown):,} of its files end too early, and no whole one tells what is missing"
            yield (
                where,
                f"{what}: {first}",
                "fetch them anew, or set corpus.max_rejected_share to take what is there",
            )
        text, records = self.losses.shares()
        if max(text, records) > self.corpus.max_rejected_share:
            mend = PREFIX if self.begin_again else MEND
            if records >= text and "unreadable" not in self.losses.refused:
                what = f"{records:.1%} of its records are rejected ({self.losses.reasons()}), worst in "
                yield where, what + self.losses.worst(), mend
            else:
                yield where, words, mend

    def _without_records(self) -> str:
        """Which files hold no record at all; empty where each holds one."""
        files = self.losses.without_records()
        some = ", ".join(file.name for file in files[:WORST]) + ", ..." * (len(files) > WORST)
        return f"{len(files):,} of {len(self.losses.files):,} files hold no record ({some})" if files else ""

    def _no_pages(self) -> str:
        """What records of web archives are that are no pages."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.passed.most_common(WORST))
        return f"{self.passed.total():,} records are no pages ({kinds})" if kinds else ""

    @property
    def documents(self) -> int:
        """How many it has."""
        return sum(file.documents for file in self.losses.files)

    @property
    def bytes(self) -> int:
        """Of their text."""
        return sum(file.text_bytes for file in self.losses.files)

    @property
    def begin_again(self) -> bool:
        """Whether ids of a source begin again in each file."""
        return any(use.ids.begin_again for use in self.uses.values())

    @property
    def flow(self) -> Flow:
        """What became of its records."""
        refused = self.losses.refused
        rejected = Flow(documents_in=refused.total(), rejected=refused)
        return Flow.through(self.documents, self.bytes) + rejected
