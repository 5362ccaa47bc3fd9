"""What comes of the files of one domain: documents in partitions, what is rejected, and what was lost."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import StageRun
from mashbill.config import Source
from mashbill.corpus.identities import PREFIX, Identities
from mashbill.corpus.losses import WORST, FileAccount, Losses
from mashbill.corpus.readers import Batch
from mashbill.corpus.records import Rejected
from mashbill.corpus.sources import SourceFile, file_format
from mashbill.documents import DOCUMENT_SCHEMA, REJECTED, DocumentStore, Flow, Kind, text_bytes

log = logging.getLogger(__name__)
LICENSE = '"license": "'
MEND = "mend the files or raise corpus.max_rejected_share"


@dataclass
class SourceUse:
    """What was found of a source.

    Attributes:
        source: the source.
        where: its place in the config.
        files: what came of each.
        found: of the fields that it names, those that some record had.
    """

    source: Source
    where: str
    files: list[FileAccount] = field(default_factory=list)
    found: frozenset[str] = frozenset()

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


class DomainWriter:
    """Gathers one domain's documents into partitions, and what it rejects."""

    def __init__(self, run: StageRun, kind: Kind, name: str, *, pool: ThreadPoolExecutor) -> None:
        self.kind, self.name, self.pool = kind, name, pool
        self.writing: list[Future[None]] = []
        self.store = DocumentStore.into(run.files)
        self.corpus = run.config.corpus
        self.waiting: list[pa.RecordBatch] = []
        self.waiting_bytes = self.partitions = 0
        self.documents = self.bytes = 0
        self.identities = Identities(name)
        self.rejected: list[tuple[str, Rejected]] = []
        self.losses = Losses()
        self.uses: dict[str, SourceUse] = {}
        self.passed: Counter[str] = Counter()

    def take(self, file: SourceFile, source: Source, where: str, *, batches: Iterable[Batch]) -> None:
        """Take in what was read of a file of a source, whose place in the config is given."""
        license_pair = json.dumps({"license": source.license})[1:-1]
        use = self.uses.setdefault(where, SourceUse(source, where))
        one_record = not file.folder and file_format(file.path, source) == "txt"
        account = self.losses.begin(file.address, file.bytes, one_record=one_record)
        use.files.append(account)
        self.identities.begin(file, source, where)
        for read in batches:
            use.found |= read.found
            self.passed.update(read.passed)
            account.passed += len(read.passed)
            kept, taken = self.identities.give(read.documents)
            rejected = [*read.rejected, *taken]
            account.reject(rejected)
            self.rejected += [(file.address, one) for one in rejected]
            account.documents += len(kept)
            account.text_bytes += text_bytes(kept)
            if len(kept):
                self._take(kept, file.address, license_pair)

    def finish(self) -> None:
        """Write what waits."""
        self._flush()
        for written in self.writing:
            written.result()
        self.store.write(self.rejected_rows(), self.name, 0, kind=REJECTED)

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
        for warning in self.identities.warnings():
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
            mend = PREFIX if self.identities.begin_again else MEND
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
    def flow(self) -> Flow:
        """What became of its records."""
        rejected = Flow(documents_in=len(self.rejected), rejected=Counter(r.reason for _, r in self.rejected))
        return Flow.through(self.documents, self.bytes) + rejected

    def rejected_rows(self) -> pa.Table:
        """What was rejected, as it is kept."""
        names = [field.name for field in fields(Rejected) if field.name in REJECTED.schema.names]
        columns: dict[str, list[Any]] = {
            "domain": [self.name] * len(self.rejected),
            "source": [path for path, _ in self.rejected],
            **{name: [getattr(one, name) for _, one in self.rejected] for name in names},
        }
        return pa.table(columns, REJECTED.schema)

    def _take(self, batch: pa.RecordBatch, source: str, license_pair: str) -> None:
        count = len(batch)
        extra = pc.coalesce(pc.binary_join_element_wise(", ", batch["metadata"], ""), "")
        metadata = pc.binary_join_element_wise("{" + license_pair, extra, "}", "")
        of_its_own = pc.match_substring(extra, LICENSE)  # no value has it: quotes in values are escaped
        bare = pc.binary_join_element_wise("{", pc.coalesce(batch["metadata"], ""), "}", "")
        metadata = pc.if_else(of_its_own, bare, metadata)
        columns = [batch["id"], *(pa.repeat(pa.scalar(v, pa.string()), count) for v in (self.name, source))]
        full = pa.record_batch([*columns, batch["text"], metadata], schema=DOCUMENT_SCHEMA)
        size = pc.sum(pc.binary_length(batch["text"])).as_py() or 0
        self.documents, self.bytes = self.documents + count, self.bytes + size
        self.waiting.append(full)
        self.waiting_bytes += size
        if self.waiting_bytes >= self.corpus.partition_bytes:
            self._flush()

    def _flush(self) -> None:
        if self.waiting:
            table = pa.Table.from_batches(self.waiting, DOCUMENT_SCHEMA)
            self.writing.append(
                self.pool.submit(self.store.write, table, self.name, self.partitions, kind=self.kind)
            )
            if len(self.writing) > 2:
                self.writing.pop(0).result()
            self.partitions += 1
        self.waiting, self.waiting_bytes = [], 0
