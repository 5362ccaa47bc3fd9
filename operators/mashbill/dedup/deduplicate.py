"""The deduplicate stage: exact, then near duplicates, then repeated lines, across domains; the earliest of a
group stays.

Earliest means: sets that are held out from training, of which nothing is written here, then finished corpora
that are named, then the domain that comes first in the config, then the order of ingest. Every step works on
a partition or on a bucket of hashes, as tasks on the cores of a machine or of a cluster; no step has all
documents in memory.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import Counts, Output, Pace, StageRun
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.dedup.index import index_at, signature_files, write_settings, write_signatures
from mashbill.dedup.matches import CLUSTERS, Matching, join, match, name_heads, send_hashes
from mashbill.dedup.minhash import match_probability
from mashbill.dedup.numbers import Numbered, Numbering, numbered_partitions
from mashbill.dedup.repeated import Repeated, find_repeated, seen_before, staying, without_repeated
from mashbill.documents import (
    DUPLICATES,
    EXACT,
    NEAR,
    DocumentStore,
    Flow,
    Samples,
    Tally,
    duplicate_rows,
    repeats,
    text_bytes,
)
from mashbill.errors import DataError
from mashbill.partitions import SORTING, buckets_for, spread

LINES = "repeated_lines"
FACTS = "duplicates.json"
SHOWN = 3  # removed documents of each reason
KEY_BYTES = 16
OUTPUTS = {
    "documents/": "the documents that stay",
    "removed/": "what was removed, which document it repeats, and why",
    CLUSTERS: "groups of duplicates and their sizes",
    "index/": "signatures of what stayed, for a later corpus to be deduplicated against",
    FACTS: "how likely pairs are found, by similarity, and how large groups are",
}


@dataclass
class Gone:
    """What is told of removed documents, by reason.

    Attributes:
        count: how many.
        across: how many repeat a document of another domain.
        samples: some of them.
    """

    count: Counter[str] = field(default_factory=Counter)
    across: Counter[str] = field(default_factory=Counter)
    samples: Samples = field(default_factory=lambda: Samples(SHOWN))

    @classmethod
    def of(cls, gone: pa.Table) -> "Gone":
        """What is told of a partition's removed documents."""
        kept = gone.filter(pc.not_equal(gone["kept_domain"], ""))
        elsewhere = kept.filter(pc.not_equal(kept["domain"], kept["kept_domain"]))
        count, across = (Counter(table["reason"].to_pylist()) for table in (gone, elsewhere))
        return cls(count, across, Samples.of(gone, SHOWN))

    def add(self, other: "Gone") -> None:
        """Add what is told of another partition's."""
        self.count, self.across = self.count + other.count, self.across + other.across
        self.samples.merge(other.samples)

    def by_reason(self) -> dict[str, dict[str, object]]:
        """All of it, by reason."""
        shown = self.samples.shown()
        return {
            reason: {"count": count, "across_domains": self.across[reason], "samples": shown[reason]}
            for reason, count in sorted(self.count.items())
        }


def check_indexes(config: PipelineConfig) -> Iterator[Check]:
    """The finished corpora that are named: that they have an index, made with the same settings."""
    for given in config.deduplication.against:
        yield Check("deduplication.against", partial(_look_at_index, config, given))


def _look_at_index(config: PipelineConfig, given: str) -> str:
    files = signature_files(index_at(config, given), config.deduplication)
    return f"{given}: an index of {len(files):,} files"


def deduplicate(run: StageRun) -> Counts:
    """Remove duplicates; ``removed/`` says what was removed and which document it repeats.

    Raises:
        DataError: nothing of a domain is left.
    """
    config = run.config.deduplication
    matching = _matching(run)
    sizes = find_duplicates(run, matching)
    repeated = None
    if config.lines != "off":
        run.progress(0.7, "finding repeated lines")
        repeated = find_repeated(matching, run.inputs["filter"].manifest.counts["bytes_out"])
    tally, gone = _write(run, matching, repeated)
    counts = _counts(tally)
    write_settings(run.files, config)
    curve = [[s, match_probability(s, config)] for s in np.linspace(0, 1, 41).tolist()]
    facts = {
        "threshold_curve": curve if config.near else [],
        "cluster_sizes": sorted(sizes.items()),
        "reasons": gone.by_reason(),
    }
    (run.output / FACTS).write_text(json.dumps(facts))
    return counts


def find_duplicates(run: StageRun, matching: Matching) -> Counter[int]:
    """Hash, match and join all partitions; how many groups there are of each size."""
    engine, numbering = matching.engine, matching.numbering
    matching.send_indexes()
    pace = Pace(len(numbering.partitions))
    for done, size in enumerate(spread(engine, partial(send_hashes, matching), numbering.partitions)):
        run.progress(0.5 * (done + 1) / pace.partitions, f"hashing: {pace.after(size)}")
    links = 0
    for done, found in enumerate(spread(engine, partial(match, matching), range(matching.buckets))):
        run.progress(0.5 + 0.1 * done / matching.buckets, "matching")
        links += found
    run.progress(0.6, f"joining {links:,} links")
    join(matching, links)
    name = partial(name_heads, matching, run.files)
    sizes = sum(spread(engine, name, range(numbering.ranges), output=run.files), Counter[int]())
    sizes[1] += numbering.documents - sum(size * count for size, count in sizes.items())
    return Counter({size: count for size, count in sizes.items() if count})


def _matching(run: StageRun) -> Matching:
    """What will be done, in how many buckets, from an estimate of the hashes."""
    config = run.config.deduplication
    partitions = numbered_partitions(run)
    documents = partitions[-1].end
    size = documents * (1 + (config.bands if config.near else 0)) * KEY_BYTES
    buckets = buckets_for(size, config.max_memory_bytes)
    run.progress(
        0.0,
        f"hashes of {documents:,} documents take {size / 1e9:.2f} GB on disk, {size * SORTING / 1e9:.2f} "
        "GB to sort",
    )
    numbering = Numbering(partitions, min(buckets, len(partitions)))
    return Matching(config, run.config.engine, numbering, run.shared, buckets)


def _write(run: StageRun, matching: Matching, repeated: Repeated | None) -> tuple[Tally, Gone]:
    corpus, tally = matching.numbering.corpus, Tally.over(run.config.domain_names)
    pace, gone = Pace(len(corpus)), Gone()
    work = partial(write_partition, matching, repeated, run.files)
    written = spread(matching.engine, work, corpus, output=run.files)
    for done, (partition, (flow, more)) in enumerate(zip(corpus, written, strict=True)):
        tally.add(partition.domain, flow)
        gone.add(more)
        told = pace.after(flow.bytes_in)
        run.progress(0.8 + 0.2 * (done + 1) / len(corpus), f"writing {partition.domain}: {told}")
    return tally, gone


def write_partition(
    matching: Matching, repeated: Repeated | None, output: Output, partition: Numbered
) -> tuple[Flow, Gone]:
    """Write what stays of a partition, what goes, and its part of the index."""
    documents, store = partition.documents, DocumentStore.into(output)
    table = documents.read()
    keep = staying(matching, partition)
    duplicates = _duplicates(matching, partition, table.filter(pa.array(~keep)))
    kept, removed, trimmed = table.filter(pa.array(keep)).combine_chunks(), [duplicates], 0
    if repeated is not None and len(kept):
        before = text_bytes(kept)
        kept, empty = without_repeated(kept, matching.config, seen_before(repeated, partition))
        blank = pa.array([""] * len(empty), pa.string())
        reasons = np.full(len(empty), LINES)
        removed.append(duplicate_rows(empty, reasons, kept_id=blank, kept_domain=blank))
        trimmed = before - text_bytes(kept) - text_bytes(empty)
    if len(kept):
        store.write(kept, documents.domain, documents.number)
    gone = pa.concat_tables(removed)
    store.write(gone, documents.domain, documents.number, kind=DUPLICATES)
    write_signatures(output, partition.name, matching.signatures(partition)[keep])
    return Flow.between(table, kept, gone, bytes_trimmed=trimmed), Gone.of(gone)


def _duplicates(matching: Matching, partition: Numbered, going: pa.Table) -> pa.Table:
    """The rows about the documents of a partition that go."""
    range_ = matching.numbering.range_of_partition(partition)
    rows = matching.gone.take(range_)
    number = rows["document"].to_numpy()
    here = np.flatnonzero((number >= partition.start) & (number < partition.end))
    here = here[np.argsort(number[here])]
    gone, rows = number[here], rows.take(pa.array(here))
    reason = np.where(np.isin(gone, matching.exact.arrays(range_)["document"]), EXACT, NEAR).astype(object)
    for i, domain in enumerate(rows["kept_domain"].to_pylist()):
        if domain in matching.numbering.held_out_sets:
            reason[i] = repeats(reason[i], domain)
    return duplicate_rows(going, reason, kept_id=rows["kept_id"], kept_domain=rows["kept_domain"])


def _counts(tally: Tally) -> Counts:
    for domain in tally.emptied:
        raise DataError(
            f"domain {domain}",
            f"repeats other text entirely: no document is left ({_worst(tally.flows[domain])})",
            "remove it, put it earlier, or name a set that it may repeat in corpus.may_repeat",
        )
    whole = tally.whole
    removed = dict(sorted(whole.removed.items()))
    return {**tally.counts(), "removed": removed, "bytes_trimmed": whole.bytes_trimmed}


def _worst(flow: Flow) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in flow.removed.most_common(3))
