"""The ingest stage: sources to partitioned documents, each record either kept or set aside with a reason."""

import json
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PipelineConfig, Source
from mashbill.corpus.losses import WORST, FileAccount, Losses
from mashbill.corpus.readers import read_source_file
from mashbill.corpus.records import Rejected
from mashbill.corpus.sources import all_sources, file_format, source_files
from mashbill.documents import (
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    EVALUATIONS,
    REFERENCES,
    REJECTED,
    DocumentStore,
    Flow,
    Kind,
    Tally,
    text_bytes,
)
from mashbill.errors import DataError

log = logging.getLogger(__name__)
OUTPUTS = {
    f"{DOCUMENTS.name}/": f"parquet of ({', '.join(DOCUMENT_SCHEMA.names)}), partitioned by domain",
    f"{REFERENCES.name}/": "the same for reference sets",
    f"{REJECTED.name}/": "what was refused, and why",
}


def ingest(run: StageRun) -> Counts:
    """Read every source; the stage table says what is written.

    Raises:
        DataError: a domain has no document, or too many of its records were rejected.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # partitions are written while the next are read
        writers = {name: DomainWriter(run, kind, name, pool=pool) for kind, name in _sets(run.config)}
        sources = list(all_sources(run.config))
        for i, (_, domain, source, where) in enumerate(sources):
            files = source_files(run.config, source, where)
            for j, path in enumerate(files):
                run.progress((i + j / len(files)) / len(sources), f"reading {domain.name}: {path.name}")
                writers[domain.name].read(path, source, where)
        for writer in writers.values():
            writer.finish()
    _check(run, list(writers.values()))
    return _counts(writers.values())


def _check(run: StageRun, writers: Sequence["DomainWriter"]) -> None:
    """Say what was lost, and fail where that is too much; what was rejected is kept for who looks into it."""
    for writer in writers:
        writer.warn()
    problems = [problem for writer in writers for problem in writer.problems()]
    if not problems:
        return
    kept = DocumentStore.into(run.scratch)
    for writer in writers:
        kept.write(writer.rejected_rows(), writer.name, 0, kind=REJECTED)
    where, what, mend = problems[0]
    others = "".join(f"; {other}: {words}" for other, words, _ in problems[1:])
    raise DataError(where, what + others, f"{mend} (all that is rejected: {run.scratch / REJECTED.name})")


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
        self.store = DocumentStore.into(run.output)
        self.corpus = run.config.corpus
        self.waiting: list[pa.RecordBatch] = []
        self.waiting_bytes = self.partitions = 0
        self.documents = self.bytes = 0
        self.seen: set[str] = set()
        self.files: dict[str, tuple[Path, str, str]] = {}
        self.rejected: list[tuple[str, Rejected]] = []
        self.losses = Losses()
        self.uses: dict[str, SourceUse] = {}
        self.passed: Counter[str] = Counter()

    def read(self, path: Path, source: Source, where: str) -> None:
        """Take in a file of a source, whose place in the config is given."""
        license_pair = json.dumps({"license": source.license})[1:-1]
        file = self._file_name(path, source)
        use = self.uses.setdefault(where, SourceUse(source, where))
        size = path.stat().st_size if path.exists() else 0  # a hub id has none
        one_record = file_format(path, source) == "txt"
        account = self.losses.begin(str(path), size, one_record=one_record)
        use.files.append(account)
        for batch in read_source_file(path, source):
            use.found |= batch.found
            self.passed.update(batch.passed)
            kept, twice = self._with_ids(batch.documents, file)
            rejected = [*batch.rejected, *twice]
            account.reject(rejected)
            self.rejected += [(str(path), one) for one in rejected]
            account.documents += len(kept)
            account.text_bytes += text_bytes(kept)
            if len(kept):
                self._take(kept, str(path), license_pair)

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
        for use in self.uses.values():
            for name in use.without_effect():
                log.warning("%s: no record of domain %s has a field %r", use.where, self.name, name)

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Where, what and mend of what the stage must fail for."""
        where, words = f"domain {self.name}", self.losses.words()
        for use in self.uses.values():
            if use.documents and use.lacks_ids():
                what = f"no record of domain {self.name} has a field {use.source.id_field!r}"
                yield f"{use.where}.id_field", what, "correct it, or leave it out"
        if self.documents == 0:
            what = f"has no document: {words}" if words else "has no document"
            yield where, what, "add text to its sources or remove the domain"
            return
        empty = [file for use in self.uses.values() for file in use.gave_nothing()]
        if empty and "max_rejected_share" not in self.corpus.model_fields_set:
            first = ", ".join(f"{file.name} ({file.problem})" for file in empty[:WORST])
            what = f"{len(empty):,} of its files gave no document: {first}"
            yield where, what, "mend them, or name them in their source's may_give_nothing"
        text, records = self.losses.shares()
        if max(text, records) > self.corpus.max_rejected_share:
            mend = "mend the files or raise corpus.max_rejected_share"
            if records >= text:
                what = f"{records:.1%} of its records are rejected ({self.losses.reasons()}), worst in "
                yield where, what + self.losses.worst(), mend
            else:
                yield where, words, mend

    @property
    def flow(self) -> Flow:
        """What became of its records."""
        rejected = Flow(documents_in=len(self.rejected), rejected=Counter(r.reason for _, r in self.rejected))
        return Flow.through(self.documents, self.bytes) + rejected

    def rejected_rows(self) -> pa.Table:
        """What was rejected, as it is kept."""
        rows = [{"domain": self.name, "source": path, **asdict(one)} for path, one in self.rejected]
        names = REJECTED.schema.names
        return pa.Table.from_pylist([{n: row[n] for n in names} for row in rows], REJECTED.schema)

    def _file_name(self, path: Path, source: Source) -> str:
        """What made ids call a file: its name, with as many folders as tell it from those read before; the
        same again where the same text is read again."""
        text = (path, source.text_field, source.split)
        ends = ["/".join(path.parts[-n:]) for n in range(1, len(path.parts) + 1)]
        ends += [f"{path.name}:{source.text_field}", f"{path.name}:{source.split}:{source.text_field}"]
        return next((name for name in ends if self.files.setdefault(name, text) == text), path.name)

    def _with_ids(self, batch: pa.RecordBatch, file: str) -> tuple[pa.RecordBatch, list[Rejected]]:
        """Fill in ids that are missing, and set records aside whose id is taken."""
        made = pc.binary_join_element_wise(f"{self.name}/{file}", batch["row"].cast(pa.string()), "#")
        ids = pc.coalesce(batch["id"], made)
        names = ids.to_pylist()
        rejected: list[Rejected] = []
        if len(set(names)) == len(names) and self.seen.isdisjoint(names):
            self.seen.update(names)
        else:
            fresh = [not (name in self.seen or self.seen.add(name)) for name in names]  # type: ignore[func-returns-value]
            rows = batch["row"].to_pylist()
            sizes = pc.binary_length(batch["text"]).to_pylist()
            rejected = [
                Rejected(rows[i], "duplicate_id", names[i], sizes[i])
                for i, is_fresh in enumerate(fresh)
                if not is_fresh
            ]
            mask = pa.array(fresh, pa.bool_())
            batch, ids = batch.filter(mask), ids.filter(mask)
        columns = [batch["row"], ids, batch["text"], batch["metadata"]]
        return pa.record_batch(columns, schema=batch.schema), rejected

    def _take(self, batch: pa.RecordBatch, source: str, license_pair: str) -> None:
        count = len(batch)
        extra = pc.coalesce(pc.binary_join_element_wise(", ", batch["metadata"], ""), "")
        metadata = pc.binary_join_element_wise("{" + license_pair, extra, "}", "")
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


def _sets(config: PipelineConfig) -> Iterator[tuple[Kind, str]]:
    yield from ((DOCUMENTS, d) for d in config.domain_names)
    yield from ((REFERENCES, r) for r in config.reference_names)
    yield from ((EVALUATIONS, e.name) for e in config.corpus.evaluations)


def _counts(writers: Collection[DomainWriter]) -> Counts:
    tally = Tally({w.name: w.flow for w in writers if w.kind == DOCUMENTS})
    lost = {w.name: w.losses.summary() for w in writers if w.losses.refused}
    passed = sum((w.passed for w in writers), Counter[str]())
    references = (w for w in writers if w.kind == REFERENCES)
    return {
        **tally.counts(),
        "rejected": dict(tally.whole.rejected),
        **({"lost": lost} if lost else {}),
        **({"passed_over": dict(passed.most_common())} if passed else {}),
        "references": {w.name: {"documents": w.documents, "bytes": w.bytes} for w in references},
    }
