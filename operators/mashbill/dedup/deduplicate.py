"""The deduplicate stage: exact, then near duplicates, across domains; the earliest document of a group stays.

Earliest means: the domain that comes first in the config, then the order of ingest. Two passes over the partitions: one
for hashes, which are all that is kept in memory (8 bytes a document and band), one to write what stays.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import Counts, StageRun
from mashbill.dedup.components import first_of_component, first_of_equal
from mashbill.dedup.minhash import band_hashes, text_hashes
from mashbill.errors import DataError

EXCERPT_CHARACTERS = 300
EXACT, NEAR = "exact", "near"


@dataclass(frozen=True)
class Partition:
    """One file of documents, and where its rows stand among all."""

    domain: str
    path: Path
    start: int
    rows: int


def deduplicate(run: StageRun) -> Counts:
    """Remove duplicates; ``removed.parquet`` says what was removed and which document it repeats.

    Raises:
        DataError: nothing of a domain is left.
    """
    partitions = _partitions(run)
    total = sum(p.rows for p in partitions)
    standing, reason = _decide(run, partitions, total)
    ids = np.concatenate([pq.read_table(p.path, columns=["id"])["id"].to_numpy(zero_copy_only=False) for p in partitions])
    domains = np.repeat([p.domain for p in partitions], [p.rows for p in partitions])
    by_domain = {d: {"documents_in": 0, "documents_out": 0, "bytes_in": 0, "bytes_out": 0} for d in run.config.domain_names}
    removed: list[pa.Table] = []
    for i, partition in enumerate(partitions):
        run.progress(0.8 + 0.2 * i / len(partitions), f"writing {partition.domain}")
        table = pq.read_table(partition.path)
        here = np.arange(partition.start, partition.start + partition.rows)
        keep = standing[here] == here
        _write(run.output / "documents" / partition.domain / partition.path.name, table.filter(pa.array(keep)))
        gone = here[~keep]
        removed.append(_removed(table.filter(pa.array(~keep)), reason[gone], ids[standing[gone]], domains[standing[gone]]))
        _count(by_domain[partition.domain], table, keep)
    for domain, row in by_domain.items():
        if row["documents_out"] == 0:
            raise DataError(f"domain {domain}", "repeats other domains entirely: no document is left", "remove it or put it earlier")
    table = pa.concat_tables(removed)
    pq.write_table(table, run.output / "removed.parquet", compression="zstd")
    totals = {key: sum(row[key] for row in by_domain.values()) for key in ("documents_in", "documents_out", "bytes_in", "bytes_out")}
    kinds, counts = np.unique(table["reason"].to_numpy(zero_copy_only=False).astype(str), return_counts=True)
    return {**totals, "by_domain": by_domain, "removed": dict(zip(kinds.tolist(), counts.tolist(), strict=True))}


def _partitions(run: StageRun) -> list[Partition]:
    found: list[Partition] = []
    start = 0
    for domain in run.config.domain_names:
        for path in sorted((run.inputs["filter"].path / "documents" / domain).glob("*.parquet")):
            rows = pq.read_metadata(path).num_rows
            found.append(Partition(domain, path, start, rows))
            start += rows
    return found


def _decide(run: StageRun, partitions: list[Partition], total: int) -> tuple[np.ndarray, np.ndarray]:
    """[documents] the document that stands for each, and [documents] why it was removed, where it was."""
    config = run.config.deduplication
    hashes = np.empty(total, np.uint64)
    bands = np.zeros((total, config.bands if config.near else 0), np.uint64)
    for i, partition in enumerate(partitions):
        run.progress(0.8 * i / len(partitions), f"hashing {partition.domain}")
        texts = pq.read_table(partition.path, columns=["text"])["text"]
        here = slice(partition.start, partition.start + partition.rows)
        hashes[here] = text_hashes(texts)
        if config.near:
            bands[here] = band_hashes(texts, config)
    standing = first_of_equal(hashes) if config.exact else np.arange(total)
    unique = np.flatnonzero(standing == np.arange(total))
    reason = np.where(standing == np.arange(total), "", EXACT)
    if config.near:
        near = unique[first_of_component(bands[unique])]
        reason[unique[near != unique]] = NEAR
        final = np.arange(total)
        final[unique] = near
        standing = final[standing]
    return standing, reason


def _write(path: Path, table: pa.Table) -> None:
    if len(table):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", row_group_size=4_096)


def _removed(table: pa.Table, reason: np.ndarray, kept_id: np.ndarray, kept_domain: np.ndarray) -> pa.Table:
    import pyarrow.compute as pc

    return pa.table(
        {
            "id": table["id"],
            "domain": table["domain"],
            "reason": pa.array(reason.tolist(), pa.string()),
            "kept_id": pa.array(kept_id.tolist(), pa.string()),
            "kept_domain": pa.array(kept_domain.tolist(), pa.string()),
            "bytes": pc.binary_length(table["text"]).cast(pa.int64()),
            "excerpt": pc.utf8_slice_codeunits(table["text"], 0, EXCERPT_CHARACTERS).cast(pa.string()),
        }
    )


def _count(row: dict[str, int], table: pa.Table, keep: np.ndarray) -> None:
    import pyarrow.compute as pc

    sizes = pc.binary_length(table["text"]).to_numpy()
    row["documents_in"] += len(keep)
    row["documents_out"] += int(keep.sum())
    row["bytes_in"] += int(sizes.sum())
    row["bytes_out"] += int(sizes[keep].sum())
