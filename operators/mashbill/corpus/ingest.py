"""The ingest stage: sources to partitioned documents, each record either kept or set aside with a reason.

The sources are listed and cut into pieces; each piece is read by a task, wherever that runs, which writes its
documents where the tasks meet. Ids that come twice are found by their keys, and what is left becomes the
artifact. Which files there are depends on the listing and the settings alone.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from mashbill.artifacts import Counts, Output, StageRun
from mashbill.corpus.listing import told
from mashbill.corpus.pieces import DocumentSet, Piece, SetFiles, in_rows, pieces_of, sets_of, warn_of_heavy
from mashbill.corpus.repeated_ids import Left, losing_pieces, without_repeated
from mashbill.corpus.set_account import SetAccount
from mashbill.corpus.sources import all_sources, source_files
from mashbill.corpus.spans import records_in
from mashbill.corpus.taking import IngestJob, Taken, take_piece
from mashbill.documents import (
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    REFERENCES,
    REJECTED,
    DocumentStore,
    Kind,
    Partition,
    Tally,
)
from mashbill.errors import DataError
from mashbill.partitions import buckets_for, on_threads, spread

log = logging.getLogger(__name__)
MEMORY_BYTES = 500_000_000  # for keys of ids that are sorted at a time
KEY_BYTES = 56  # of a record's key and what goes with it
LEAST_RECORD_BYTES = 500  # of a file, by which the number of keys is estimated
OUTPUTS = {
    f"{DOCUMENTS.name}/": f"parquet of ({', '.join(DOCUMENT_SCHEMA.names)}), partitioned by domain",
    f"{REFERENCES.name}/": "the same for reference sets",
    f"{REJECTED.name}/": "what was refused, and why",
}
Result = TypeVar("Result")


class Reached(Protocol):
    """What a machine may reach, or not."""

    @property
    def reached(self) -> bool:
        """Whether this one does."""


Work = TypeVar("Work", bound=Reached)


def ingest(run: StageRun) -> Counts:
    """Read every source; the stage table says what is written.

    Raises:
        DataError: a domain has no document, or too many of its records were rejected.
    """
    passed, pieces = planned(run)
    job = job_for(run, pieces)
    taken, accounts = taken_of(run, job, pieces)
    left: dict[int, Left] = {}
    if any(piece.compared for piece in pieces):
        run.progress(0.8, "comparing ids")
        numbers = losing_pieces(job, run.config.engine)
        losing = [(pieces[number], taken[number]) for number in numbers]
        found_left = spread(run.config.engine, partial(without_repeated, job), losing)
        left = dict(zip(numbers, found_left, strict=True))
        for number, what in left.items():
            accounts[pieces[number].of].lose(what.losses)
    written = list(_numbered(job, pieces, [left.get(i, found) for i, found in enumerate(taken)]))
    check(run, list(accounts.values()), [part for kind, part in written if kind == REJECTED])
    run.progress(0.9, "putting the partitions into their places")
    for _ in spread(run.config.engine, partial(_adopt, run.files), written, output=run.files):
        pass
    return counts_of(accounts.values()) | {"passed_over": dict(passed)}


def job_for(run: StageRun, pieces: Sequence[Piece], *, keeps: bool = True) -> IngestJob:
    """What the tasks have in common, with as many buckets as the ids may take."""
    size = sum(piece.bytes for piece in pieces) // LEAST_RECORD_BYTES * KEY_BYTES
    buckets = buckets_for(size, MEMORY_BYTES)
    return IngestJob(run.shared, run.config.corpus.partition_bytes, len(pieces), buckets, keeps)


def taken_of(
    run: StageRun, job: IngestJob, pieces: Sequence[Piece]
) -> tuple[list[Taken], dict[DocumentSet, SetAccount]]:
    """What came of each piece, read by tasks, and the account of each set."""
    accounts = {of: SetAccount(of, run.config.corpus) for of in sets_of(run.config)}
    run.progress(0.0, f"reading {len(pieces):,} pieces")
    taken = _everywhere(run, partial(take_piece, job), pieces, upto=0.8)
    for piece, found in zip(pieces, taken, strict=True):
        accounts[piece.of].take(piece, found.model_copy(deep=True))  # it adds up in what it takes
    return taken, accounts


def planned(run: StageRun) -> tuple[Counter[str], list[Piece]]:
    """How many files are passed over, by the reason, and the pieces of all that are read."""
    sets = {of: SetFiles() for of in sets_of(run.config)}
    by_name = {of.name: files for of, files in sets.items()}
    passed: Counter[str] = Counter()
    for _, domain, source, where in all_sources(run.config):
        found = source_files(run.config, source, where)
        if found.passed:
            log.warning("%s.path: passes over %s; %s", where, *told(found.passed))
        passed.update({reason: len(names) for reason, names in found.passed.items()})
        for file in found.files:
            by_name[domain.name].add(file, source, where)
    most = run.config.corpus.partition_bytes
    parts = {of: files.split(most) for of, files in sets.items()}
    counted = [part for some in parts.values() for part in some if part.counted]
    counts = iter(_everywhere(run, records_in, counted, upto=0.0))
    pieces: list[Piece] = []
    for of, files in sets.items():
        whole = list(in_rows(parts[of], counts))
        pieces += pieces_of(of, whole, most, compared=files.may_repeat_ids, first=len(pieces))
    warn_of_heavy(pieces)
    return passed, pieces


def _everywhere(
    run: StageRun, work: Callable[[Work], Result], items: Sequence[Work], *, upto: float
) -> list[Result]:
    """Results of the work on each item, in order: of tasks, or of this machine where the one that a task ran
    on did not reach the files.

    Args:
        run: the stage.
        work: the function; items: what it is called with.
        upto: the progress at the end.
    """
    found: list[tuple[Result, ...]] = []
    for result in spread(run.config.engine, partial(_reaching, work), items):
        found.append(result)
        run.progress(upto * len(found) / len(items), f"read {len(found):,} of {len(items):,} pieces")
    missing = [item for item, result in zip(items, found, strict=True) if not result]
    here = on_threads(work, missing)
    return [result[0] if result else next(here) for result in found]


def _reaching(work: Callable[[Work], Result], item: Work) -> tuple[Result, ...]:
    """The result of the work, or nothing where this machine does not reach what it needs."""
    return (work(item),) if item.reached else ()


def _numbered(
    job: IngestJob, pieces: Sequence[Piece], found: Sequence[Taken | Left]
) -> Iterator[tuple[Kind, Partition]]:
    """The partitions of all pieces, by kind, numbered within their sets."""
    counts: Counter[tuple[Kind, str]] = Counter()
    for piece, what in zip(pieces, found, strict=True):
        for kind, entries in ((piece.of.kind, what.documents), (REJECTED, what.rejected)):
            for entry in entries:
                yield kind, job.partition(entry, piece.of, counts[kind, piece.of.name])
                counts[kind, piece.of.name] += 1


def _adopt(output: Output, given: tuple[Kind, Partition]) -> None:
    """Take a partition that a task wrote into the artifact."""
    kind, partition = given
    DocumentStore.into(output).adopt_partition(partition, kind)


def check(run: StageRun, accounts: Sequence[SetAccount], rejected: Iterable[Partition]) -> None:
    """Say what was lost, and fail where that is too much; what was rejected is kept for who looks into it."""
    for account in accounts:
        account.warn()
    problems = [problem for account in accounts for problem in account.problems()]
    if not problems:
        return
    kept = DocumentStore.into(run.scratch)
    for partition in rejected:
        kept.adopt_partition(partition, REJECTED)
    where, what, mend = problems[0]
    others = "".join(f"; {other}: {words}" for other, words, _ in problems[1:])
    raise DataError(where, what + others, f"{mend} (all that is rejected: {run.scratch / REJECTED.name})")


def counts_of(accounts: Collection[SetAccount]) -> Counts:
    """What came, by set."""
    tally = Tally({a.name: a.flow for a in accounts if a.kind == DOCUMENTS})
    lost = {a.name: a.losses.summary() for a in accounts if a.losses.refused}
    other = sum((a.passed for a in accounts), Counter[str]())
    references = (a for a in accounts if a.kind == REFERENCES)
    return {
        **tally.counts(),
        "rejected": dict(tally.whole.rejected),
        "rejected_by_set": {a.name: dict(a.losses.refused) for a in accounts if a.losses.refused},
        **({"lost": lost} if lost else {}),
        **({"no_pages": dict(other.most_common())} if other else {}),
        "references": {a.name: {"documents": a.documents, "bytes": a.bytes} for a in references},
    }
