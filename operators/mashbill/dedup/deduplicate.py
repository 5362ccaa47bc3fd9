"""The deduplicate stage: exact, then near duplicates, then repeated lines, across domains; the earliest of a
group stays.

Earliest means: finished corpora that are named, then the domain that comes first in the config, then the
order of ingest. Every step works on a partition or on a bucket of hashes, as tasks on the cores of a machine
or of a cluster; no step has all documents in memory.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.dedup.index import identity_of, write_settings, write_signatures
from mashbill.dedup.matches import Matching, join, match, name_heads, send_hashes
from mashbill.dedup.minhash import match_probability
from mashbill.dedup.numbers import Numbering, Partition, partitions_of
from mashbill.dedup.repeated import Repeated, find_repeated, seen_before, staying, without_repeated
from mashbill.errors import ConfigError, DataError
from mashbill.partitions import SORTING, buckets_for, spread

EXCERPT_CHARACTERS = 300
EXACT, NEAR, LINES = "exact", "near", "repeated_lines"
REMOVED, CLUSTERS = "removed.parquet", "clusters.parquet"
KEYS = ("documents_in", "documents_out", "bytes_in", "bytes_out")
KEY_BYTES = 16


@dataclass(frozen=True)
class Written:
    """What became of one partition: counts, documents removed by reason, bytes of repeated lines."""

    domain: str
    counts: dict[str, int]
    reasons: Counter[str]
    trimmed: int


def index_identity(config: PipelineConfig) -> Any:
    """Changes when the index of a finished corpus that is named changes."""
    folders = [Path(config.resolve(path)) for path in config.deduplication.against]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise ConfigError(
            "deduplication.against",
            f"{missing[0]} does not exist",
            "give the folder of a deduplicate artifact",
        )
    return [identity_of(folder) for folder in folders]


def deduplicate(run: StageRun) -> Counts:
    """Remove duplicates; ``removed.parquet`` says what was removed and which document it repeats.

    Raises:
        DataError: nothing of a domain is left.
    """
    config = run.config.deduplication
    for name in (REMOVED, CLUSTERS):
        (run.output / name).mkdir()
    matching = _matching(run)
    sizes = find_duplicates(run, matching)
    repeated = None
    if config.lines != "off":
        run.progress(0.7, "finding repeated lines")
        repeated = find_repeated(matching, run.inputs["filter"].manifest.counts["bytes_out"])
    counts = _add_up(run, _write(run, matching, repeated))
    write_settings(run.output, config)
    curve = [[s, match_probability(s, config)] for s in np.linspace(0, 1, 41).tolist()]
    facts = {"threshold_curve": curve if config.near else [], "cluster_sizes": sorted(sizes.items())}
    (run.output / "duplicates.json").write_text(json.dumps(facts))
    return counts


def find_duplicates(run: StageRun, matching: Matching) -> Counter[int]:
    """Hash, match and join all partitions; how many groups there are of each size."""
    engine, numbering = matching.engine, matching.numbering
    for done, _ in enumerate(spread(engine, partial(send_hashes, matching), numbering.partitions)):
        run.progress(0.5 * done / len(numbering.partitions), "hashing")
    links = 0
    for done, found in enumerate(spread(engine, partial(match, matching), range(matching.buckets))):
        run.progress(0.5 + 0.1 * done / matching.buckets, "matching")
        links += found
    run.progress(0.6, f"joining {links:,} links")
    join(matching, links)
    output = run.output / CLUSTERS
    sizes = sum(
        spread(engine, partial(name_heads, matching, output), range(numbering.ranges)), Counter[int]()
    )
    sizes[1] += numbering.documents - sum(size * count for size, count in sizes.items())
    return Counter({size: count for size, count in sizes.items() if count})


def _matching(run: StageRun) -> Matching:
    """What will be done, in how many buckets, from an estimate of the hashes."""
    config = run.config.deduplication
    partitions = partitions_of(run)
    documents = partitions[-1].end
    size = documents * (1 + (config.bands if config.near else 0)) * KEY_BYTES
    buckets = buckets_for(size, config.max_memory_bytes)
    run.progress(
        0.0,
        f"hashes of {documents:,} documents take {size / 1e9:.2f} GB on disk, {size * SORTING / 1e9:.2f} "
        "GB to sort",
    )
    numbering = Numbering(partitions, min(buckets, len(partitions)))
    return Matching(config, run.config.engine, numbering, run.scratch, buckets)


def _write(run: StageRun, matching: Matching, repeated: Repeated | None) -> list[Written]:
    corpus = matching.numbering.corpus
    written = []
    for result in spread(matching.engine, partial(write_partition, matching, repeated, run.output), corpus):
        written.append(result)
        run.progress(0.8 + 0.2 * len(written) / len(corpus), f"writing {result.domain}")
    return written


def write_partition(
    matching: Matching, repeated: Repeated | None, output: Path, partition: Partition
) -> Written:
    """Write what stays of a partition, what goes, and its part of the index."""
    table = pq.read_table(partition.path)
    keep = staying(matching, partition)
    duplicates = _duplicates(matching, partition, table.filter(pa.array(~keep)))
    kept, removed, trimmed = table.filter(pa.array(keep)).combine_chunks(), [duplicates], 0
    if repeated is not None and len(kept):
        before = _bytes(kept)
        kept, empty = without_repeated(kept, matching.config, seen_before(repeated, partition))
        blank = pa.array([""] * len(empty), pa.string())
        removed.append(_removed(empty, np.full(len(empty), LINES), blank, blank))
        trimmed = before - _bytes(kept) - _bytes(empty)
    if len(kept):
        path = output / "documents" / partition.domain / partition.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(kept, path, compression="zstd", row_group_size=4_096)
    gone = pa.concat_tables(removed)
    pq.write_table(gone, output / REMOVED / f"{partition.name}.parquet", compression="zstd")
    write_signatures(output, partition.name, np.load(matching.signatures(partition), mmap_mode="r")[keep])
    counts = dict(zip(KEYS, (len(table), len(kept), _bytes(table), _bytes(kept)), strict=True))
    return Written(partition.domain, counts, Counter(gone["reason"].to_pylist()), trimmed)


def _duplicates(matching: Matching, partition: Partition, going: pa.Table) -> pa.Table:
    """The rows about the documents of a partition that go."""
    range_ = matching.numbering.range_of_partition(partition)
    rows = matching.gone.take(range_)
    number = rows["document"].to_numpy()
    here = np.flatnonzero((number >= partition.start) & (number < partition.end))
    here = here[np.argsort(number[here])]
    gone, rows = number[here], rows.take(pa.array(here))
    reason = np.where(np.isin(gone, matching.exact.arrays(range_)["document"]), EXACT, NEAR)
    return _removed(going, reason, rows["kept_id"], rows["kept_domain"])


def _add_up(run: StageRun, written: Sequence[Written]) -> Counts:
    by_domain = {d: dict.fromkeys(KEYS, 0) for d in run.config.domain_names}
    reasons: Counter[str] = Counter()
    for result in written:
        reasons += result.reasons
        for key in KEYS:
            by_domain[result.domain][key] += result.counts[key]
    for domain, row in by_domain.items():
        if row["documents_out"] == 0:
            raise DataError(
                f"domain {domain}",
                "repeats other text entirely: no document is left",
                "remove it or put it earlier",
            )
    totals = {key: sum(row[key] for row in by_domain.values()) for key in KEYS}
    return {
        **totals,
        "by_domain": by_domain,
        "removed": dict(sorted(reasons.items())),
        "bytes_trimmed": sum(w.trimmed for w in written),
    }


def _bytes(table: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)


def _removed(table: pa.Table, reason: np.ndarray, kept_id: pa.Array, kept_domain: pa.Array) -> pa.Table:
    return pa.table(
        {
            "id": table["id"],
            "domain": table["domain"],
            "reason": pa.array(reason.tolist(), pa.string()),
            "kept_id": kept_id,
            "kept_domain": kept_domain,
            "bytes": pc.binary_length(table["text"]).cast(pa.int64()),
            "excerpt": pc.utf8_slice_codeunits(table["text"], 0, EXCERPT_CHARACTERS).cast(pa.string()),
        }
    )
