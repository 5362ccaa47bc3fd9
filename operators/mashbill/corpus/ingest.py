"""The ingest stage: sources to partitioned documents, each record either kept or set aside with a reason."""

import json
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PipelineConfig, Source
from mashbill.corpus.identities import PREFIX, Identities
from mashbill.corpus.listing import told
from mashbill.corpus.readers import read_source_file
from mashbill.corpus.records import Rejected
from mashbill.corpus.sources import SourceFile, all_sources, source_files
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
)
from mashbill.errors import DataError

log = logging.getLogger(__name__)
MEND = "mend the files or raise corpus.max_rejected_share"
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
        passed: Counter[str] = Counter()
        for i, (_, domain, source, where) in enumerate(sources):
            found = source_files(run.config, source, where)
            if found.passed:
                log.warning("%s.path: passes over %s; %s", where, *told(found.passed))
            passed.update({reason: len(names) for reason, names in found.passed.items()})
            for j, file in enumerate(found.files):
                run.progress((i + j / len(found.files)) / len(sources), f"reading {domain.name}: {file.name}")
                writers[domain.name].read(file, source, where)
        for writer in writers.values():
            writer.finish(run.config.corpus.max_rejected_share)
    return _counts(writers.values()) | {"passed_over": dict(passed)}


class DomainWriter:
    """Gathers one domain's documents into partitions, and what it rejects."""

    def __init__(self, run: StageRun, kind: Kind, name: str, *, pool: ThreadPoolExecutor) -> None:
        self.kind, self.name, self.pool = kind, name, pool
        self.writing: list[Future[None]] = []
        self.store = DocumentStore.into(run.output)
        self.partition_bytes = run.config.corpus.partition_bytes
        self.waiting: list[pa.RecordBatch] = []
        self.waiting_bytes = self.partitions = 0
        self.documents = self.bytes = 0
        self.identities = Identities(name)
        self.rejected: list[tuple[str, Rejected]] = []

    def read(self, file: SourceFile, source: Source, where: str) -> None:
        """Take in a file of a source, which has its place in the config."""
        license_pair = json.dumps({"license": source.license})[1:-1]
        self.identities.begin(file, source, where)
        for read, rejected in read_source_file(file.path, source):
            batch, taken = self.identities.give(read)
            self.rejected += [(file.address, r) for r in (*rejected, *taken)]
            if len(batch):
                self._take(batch, file.address, license_pair)

    def finish(self, max_rejected_share: float) -> None:
        """Write what waits, and fail where the domain came to nothing or lost too much."""
        self._flush()
        for written in self.writing:
            written.result()
        self._write_rejected()
        for warning in self.identities.warnings():
            log.warning(warning)
        if self.documents == 0:
            raise DataError(
                f"domain {self.name}", "has no document", "add text to its sources or remove the domain"
            )
        share = len(self.rejected) / (self.documents + len(self.rejected))
        if share > max_rejected_share:
            worst = ", ".join(
                f"{path} ({count})"
                for path, count in Counter(path for path, _ in self.rejected).most_common(3)
            )
            raise DataError(
                f"domain {self.name}",
                f"{share:.1%} of its records are rejected ({self._reasons()}), worst in {worst}",
                PREFIX
                if self.identities.begin_again
                else "mend the files or raise corpus.max_rejected_share",
            )

    @property
    def flow(self) -> Flow:
        """What became of its records."""
        rejected = Flow(documents_in=len(self.rejected), rejected=Counter(r.reason for _, r in self.rejected))
        return Flow.through(self.documents, self.bytes) + rejected

    def _reasons(self) -> str:
        return ", ".join(f"{reason} {count}" for reason, count in self.flow.rejected.most_common())

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
        if self.waiting_bytes >= self.partition_bytes:
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

    def _write_rejected(self) -> None:
        rows = [
            {"domain": self.name, "source": path, "row": r.row, "reason": r.reason, "excerpt": r.excerpt}
            for path, r in self.rejected
        ]
        self.store.write(pa.Table.from_pylist(rows, REJECTED.schema), self.name, 0, kind=REJECTED)


def _sets(config: PipelineConfig) -> Iterator[tuple[Kind, str]]:
    yield from ((DOCUMENTS, d) for d in config.domain_names)
    yield from ((REFERENCES, r) for r in config.reference_names)
    yield from ((EVALUATIONS, e.name) for e in config.corpus.evaluations)


def _counts(writers: Collection[DomainWriter]) -> Counts:
    tally = Tally({w.name: w.flow for w in writers if w.kind == DOCUMENTS})
    references = (w for w in writers if w.kind == REFERENCES)
    return {
        **tally.counts(),
        "rejected": dict(tally.whole.rejected),
        "references": {w.name: {"documents": w.documents, "bytes": w.bytes} for w in references},
    }
