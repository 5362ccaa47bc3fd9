"""The ingest stage: sources to partitioned documents, each record either kept or set aside with a reason."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PipelineConfig, Source
from mashbill.corpus.domain_writer import DomainWriter
from mashbill.corpus.listing import told
from mashbill.corpus.readers import Batch, read_source_file
from mashbill.corpus.side_by_side import side_by_side
from mashbill.corpus.sources import SourceFile, all_sources, source_files
from mashbill.documents import (
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    EVALUATIONS,
    REFERENCES,
    REJECTED,
    DocumentStore,
    Kind,
    Tally,
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
        passed: Counter[str] = Counter()
        for i, (_, domain, source, where) in enumerate(sources):
            found = source_files(run.config, source, where)
            if found.passed:
                log.warning("%s.path: passes over %s; %s", where, *told(found.passed))
            passed.update({reason: len(names) for reason, names in found.passed.items()})
            read = partial(_read, source)
            for j, (file, batches) in enumerate(side_by_side(found.files, read, os.cpu_count() or 1)):
                run.progress((i + j / len(found.files)) / len(sources), f"reading {domain.name}: {file.name}")
                writers[domain.name].take(file, source, where, batches=batches)
        for writer in writers.values():
            writer.finish()
    _check(run, list(writers.values()))
    return _counts(writers.values()) | {"passed_over": dict(passed)}


def _read(source: Source, file: SourceFile) -> Iterator[Batch]:
    """What a file of a source holds."""
    with file.opened() as path:
        yield from read_source_file(path, source)


def _check(run: StageRun, writers: Sequence[DomainWriter]) -> None:
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


def _sets(config: PipelineConfig) -> Iterator[tuple[Kind, str]]:
    yield from ((DOCUMENTS, d) for d in config.domain_names)
    yield from ((REFERENCES, r) for r in config.reference_names)
    yield from ((EVALUATIONS, e.name) for e in config.corpus.evaluations)


def _counts(writers: Collection[DomainWriter]) -> Counts:
    tally = Tally({w.name: w.flow for w in writers if w.kind == DOCUMENTS})
    lost = {w.name: w.losses.summary() for w in writers if w.losses.refused}
    other = sum((w.passed for w in writers), Counter[str]())
    references = (w for w in writers if w.kind == REFERENCES)
    return {
        **tally.counts(),
        "rejected": dict(tally.whole.rejected),
        **({"lost": lost} if lost else {}),
        **({"no_pages": dict(other.most_common())} if other else {}),
        "references": {w.name: {"documents": w.documents, "bytes": w.bytes} for w in references},
    }
