"""The deduplicate stage: exact, then near duplicates, then repeated lines, across domains; the earliest of a group stays.

Earliest means: finished corpora that are named, then the domain that comes first in the config, then the order of ingest. Two
passes over the partitions: one for hashes and bands (8 bytes a document and band, on disk where memory is short), one to write.
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
from mashbill.config import DeduplicationConfig, PipelineConfig
from mashbill.dedup.components import first_of_component, first_of_equal
from mashbill.dedup.index import CorpusIndex, read_index, write_index
from mashbill.dedup.lines import Pieces
from mashbill.dedup.minhash import band_hashes, match_probability, text_hashes
from mashbill.errors import ConfigError, DataError
from mashbill.partitions import spread

EXCERPT_CHARACTERS = 300
EXACT, NEAR, LINES = "exact", "near", "repeated_lines"
KEYS = ("documents_in", "documents_out", "bytes_in", "bytes_out")


@dataclass(frozen=True)
class Partition:
    """One file of documents, and where its rows stand among all."""

    domain: str
    path: Path
    start: int
    rows: int


@dataclass(frozen=True)
class Groups:
    """Who stands for whom, over the documents of the indexes and then of the corpus.

    Attributes:
        standing: [documents] the document that stands for each.
        reason: [documents] why it goes, "" where it stays.
        indexed: how many of them are of indexes.
        hashes, bands: of the corpus.
    """

    standing: np.ndarray
    reason: np.ndarray
    indexed: int
    hashes: np.ndarray
    bands: np.ndarray


def index_identity(config: PipelineConfig) -> Any:
    """Changes when a finished corpus that is named changes."""
    folders = [Path(config.resolve(path)) for path in config.deduplication.against]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise ConfigError("deduplication.against", f"{missing[0]} does not exist", "give the folder of a deduplicate artifact")
    return [str(folder) for folder in folders]


def deduplicate(run: StageRun) -> Counts:
    """Remove duplicates; ``removed.parquet`` says what was removed and which document it repeats.

    Raises:
        DataError: nothing of a domain is left.
    """
    config = run.config.deduplication
    partitions = _partitions(run)
    indexes = [read_index(Path(run.config.resolve(path)), config) for path in config.against]
    groups = _group(run, partitions, indexes)
    names = np.concatenate([pq.read_table(p.path, columns=["id"])["id"].to_numpy(zero_copy_only=False) for p in partitions])
    domains = np.repeat([p.domain for p in partitions], [p.rows for p in partitions])
    names = np.concatenate([*(np.full(len(i.hashes), "", object) for i in indexes), names])
    domains = np.concatenate([*(np.full(len(i.hashes), f"index:{i.name}") for i in indexes), domains])
    removed, by_domain, trimmed = _write_documents(run, partitions, groups, names, domains)
    for domain, row in by_domain.items():
        if row["documents_out"] == 0:
            raise DataError(f"domain {domain}", "repeats other text entirely: no document is left", "remove it or put it earlier")
    pq.write_table(removed, run.output / "removed.parquet", compression="zstd")
    _write_clusters(run.output, groups, names, domains)
    stays = groups.standing[groups.indexed :] == np.arange(groups.indexed, len(groups.standing))
    write_index(run.output, groups.hashes[stays], groups.bands[stays], config)
    curve = [[s, match_probability(s, config)] for s in np.linspace(0, 1, 41).tolist()]
    sizes = Counter(np.bincount(groups.standing)[np.unique(groups.standing)].tolist())
    facts = {"threshold_curve": curve if config.near else [], "cluster_sizes": sorted(sizes.items())}
    (run.output / "duplicates.json").write_text(json.dumps(facts))
    totals = {key: sum(row[key] for row in by_domain.values()) for key in KEYS}
    reasons = Counter(removed["reason"].to_pylist())
    return {**totals, "by_domain": by_domain, "removed": dict(sorted(reasons.items())), "bytes_trimmed": trimmed}


def _partitions(run: StageRun) -> list[Partition]:
    found: list[Partition] = []
    start = 0
    for domain in run.config.domain_names:
        for path in sorted((run.inputs["filter"].path / "documents" / domain).glob("*.parquet")):
            rows = pq.read_metadata(path).num_rows
            found.append(Partition(domain, path, start, rows))
            start += rows
    return found


def _group(run: StageRun, partitions: Sequence[Partition], indexes: Sequence[CorpusIndex]) -> Groups:
    config = run.config.deduplication
    hashes, bands = _hash_all(run, partitions)
    all_hashes = np.concatenate([*(i.hashes for i in indexes), hashes])
    all_bands = np.concatenate([*(i.bands for i in indexes), bands]) if indexes else bands
    order = np.arange(len(all_hashes))
    standing = first_of_equal(all_hashes) if config.exact else order
    reason = np.where(standing == order, "", EXACT)
    if config.near:
        unique = np.flatnonzero(standing == order)
        near = unique[first_of_component(all_bands[unique] if len(unique) < len(order) else all_bands)]
        reason[unique[near != unique]] = NEAR
        final = order.copy()
        final[unique] = near
        standing = final[standing]
    return Groups(standing, reason, len(all_hashes) - len(hashes), hashes, bands)


def _hash_all(run: StageRun, partitions: Sequence[Partition]) -> tuple[np.ndarray, np.ndarray]:
    """[documents] hashes and [documents, bands] of the corpus, partitions side by side."""
    config, total = run.config.deduplication, sum(p.rows for p in partitions)
    hashes = np.empty(total, np.uint64)
    bands = _room(run, total, config)

    results = spread(run.config.engine, partial(_hash_one, config), partitions)
    for done, (partition, (one, banded)) in enumerate(zip(partitions, results, strict=True)):
        run.progress(0.7 * done / len(partitions), f"hashing {partition.domain}")
        here = slice(partition.start, partition.start + partition.rows)
        hashes[here], bands[here] = one, banded
    return hashes, bands


def _hash_one(config: DeduplicationConfig, partition: Partition) -> tuple[np.ndarray, np.ndarray]:
    texts = pq.read_table(partition.path, columns=["text"])["text"]
    return text_hashes(texts), band_hashes(texts, config) if config.near else np.zeros((partition.rows, 0), np.uint64)


def _room(run: StageRun, total: int, config: DeduplicationConfig) -> np.ndarray:
    """[documents, bands] zeros, in memory or, past the limit, in a file of the scratch folder."""
    width = config.bands if config.near else 0
    size = 8 * total * width
    if size <= config.max_memory_bytes:
        return np.zeros((total, width), np.uint64)
    run.progress(0.0, f"bands take {size / 1e9:.1f} GB: kept on disk")
    return np.lib.format.open_memmap(run.scratch / "bands.npy", mode="w+", dtype=np.uint64, shape=(total, width))


def _write_documents(
    run: StageRun, partitions: Sequence[Partition], groups: Groups, names: np.ndarray, domains: np.ndarray
) -> tuple[pa.Table, dict[str, dict[str, int]], int]:
    """Write what stays; what goes, counts by domain, and the bytes of repeated lines."""
    config = run.config.deduplication
    by_domain = {d: dict.fromkeys(KEYS, 0) for d in run.config.domain_names}
    removed: list[pa.Table] = []
    seen = np.empty(0, np.uint64)
    trimmed = 0
    for i, partition in enumerate(partitions):
        run.progress(0.8 + 0.2 * i / len(partitions), f"writing {partition.domain}")
        table = pq.read_table(partition.path)
        here = groups.indexed + np.arange(partition.start, partition.start + partition.rows)
        keep = groups.standing[here] == here
        gone = here[~keep]
        stands = groups.standing[gone]
        removed.append(_removed(table.filter(pa.array(~keep)), groups.reason[gone], names[stands], domains[stands]))
        kept = table.filter(pa.array(keep)).combine_chunks()
        if config.lines != "off" and len(kept):
            before = _bytes(kept)
            kept, empty, seen = _without_repeated(kept, config, seen)
            removed.append(_removed(empty, np.full(len(empty), LINES), np.full(len(empty), ""), np.full(len(empty), "")))
            trimmed += before - _bytes(kept) - _bytes(empty)
        _write(run.output / "documents" / partition.domain / partition.path.name, kept)
        for key, value in zip(KEYS, (len(table), len(kept), _bytes(table), _bytes(kept)), strict=True):
            by_domain[partition.domain][key] += value
    return pa.concat_tables(removed), by_domain, trimmed


def _without_repeated(table: pa.Table, config: DeduplicationConfig, seen: np.ndarray) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Documents without the pieces that occurred before, those of which nothing is left, as they were, and all pieces seen by now."""
    column = table["text"].combine_chunks()
    texts = (column.chunk(0) if isinstance(column, pa.ChunkedArray) else column).cast(pa.large_string())
    pieces = Pieces(texts, 1 if config.lines == "line" else 2, config.min_line_bytes)
    counted = np.flatnonzero(pieces.hashes)
    values, first = np.unique(pieces.hashes[counted], return_index=True)
    fresh = ~np.isin(values, seen)
    gone = pieces.hashes != 0
    gone[counted[first[fresh]]] = False
    trimmed = pieces.without(gone)
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(trimmed)), 0)
    place = table.schema.get_field_index("text")
    kept = table.set_column(place, "text", trimmed).filter(pc.invert(empty))
    return kept, table.filter(empty), np.union1d(seen, values[fresh])


def _write_clusters(folder: Path, groups: Groups, names: np.ndarray, domains: np.ndarray) -> None:
    """Every group of more than one: the document that stands for it, and how many it is."""
    heads, sizes = np.unique(groups.standing, return_counts=True)
    many = heads[sizes > 1]
    columns = {"id": names[many].tolist(), "domain": domains[many].tolist(), "documents": sizes[sizes > 1].tolist()}
    schema = pa.schema([("id", pa.string()), ("domain", pa.string()), ("documents", pa.int64())])
    pq.write_table(pa.table(columns, schema=schema), folder / "clusters.parquet", compression="zstd")


def _write(path: Path, table: pa.Table) -> None:
    if len(table):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", row_group_size=4_096)


def _bytes(table: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)


def _removed(table: pa.Table, reason: np.ndarray, kept_id: np.ndarray, kept_domain: np.ndarray) -> pa.Table:
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
