"""The select stage: keep the best-scored share of the text, of each domain or overall.

Two passes: thresholds from margins and sizes alone, then the documents, a partition at a time.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import Counts, StageRun
from mashbill.config import SelectionConfig

BINS = 40
SAMPLE_CHARACTERS = 500


def select(run: StageRun) -> Counts:
    """Keep documents by margin; report what the kept and the dropped look like."""
    domains = run.config.domain_names
    scores = {d: _scores(run.inputs["score"].path / "scores" / d) for d in domains}
    kept = choose(scores, run.config.selection)
    samples: dict[str, Any] = {}
    quality: dict[str, Any] = {}
    by_domain: dict[str, dict[str, int]] = {}
    for i, domain in enumerate(domains):
        run.progress(i / len(domains), f"selecting {domain}")
        margin, size = scores[domain]["margin"], scores[domain]["bytes"]
        keep = kept[domain]
        wanted = _sample_rows(margin, keep, run.config.selection.samples)
        samples[domain] = _write_domain(run, domain, keep, margin, wanted)
        quality[domain] = _distribution(margin, keep)
        by_domain[domain] = {
            "documents_in": len(keep),
            "documents_out": int(keep.sum()),
            "bytes_in": int(size.sum()),
            "bytes_out": int(size[keep].sum()),
        }
    (run.output / "samples.json").write_text(json.dumps(samples, ensure_ascii=False, indent=1))
    (run.output / "quality.json").write_text(json.dumps({"domains": quality}, indent=1))
    totals = {key: sum(row[key] for row in by_domain.values()) for key in ("documents_in", "documents_out", "bytes_in", "bytes_out")}
    return {**totals, "by_domain": by_domain, "removed": {"quality": totals["documents_in"] - totals["documents_out"]}}


def choose(scores: dict[str, dict[str, np.ndarray]], config: SelectionConfig) -> dict[str, np.ndarray]:
    """Which documents are kept.

    Args:
        scores: by domain: margin [documents] float64, bytes [documents] int64, id [documents] str.
        config: share, scope and the least number of documents.
    Returns:
        [documents] bool by domain.
    """
    if config.scope == "domain":
        kept = {domain: _best_share(s["margin"], s["bytes"], s["id"], config.keep_share) for domain, s in scores.items()}
    else:
        whole = {key: np.concatenate([s[key] for s in scores.values()]) for key in ("margin", "bytes", "id")}
        mask = _best_share(whole["margin"], whole["bytes"], whole["id"], config.keep_share)
        ends = np.cumsum([len(s["margin"]) for s in scores.values()])
        kept = dict(zip(scores, np.split(mask, ends[:-1]), strict=True))
    for domain, mask in kept.items():
        if mask.sum() < config.min_documents:
            order = np.lexsort((scores[domain]["id"], -scores[domain]["margin"]))
            mask[order[: config.min_documents]] = True
    return kept


def _best_share(margin: np.ndarray, size: np.ndarray, ids: np.ndarray, share: float) -> np.ndarray:
    """The best documents until the share of the bytes is reached; ties go by id."""
    order = np.lexsort((ids, -margin))
    before = np.concatenate([[0], np.cumsum(size[order])[:-1]])
    mask = np.zeros(len(margin), bool)
    mask[order[before < share * size.sum()]] = True
    return mask


def _scores(folder: Path) -> dict[str, np.ndarray]:
    tables = [pq.read_table(path, columns=["id", "margin", "bytes"]) for path in sorted(folder.glob("*.parquet"))]
    table = pa.concat_tables(tables)
    return {
        "margin": table["margin"].to_numpy(),
        "bytes": table["bytes"].to_numpy(),
        "id": table["id"].to_numpy(zero_copy_only=False).astype(str),
    }


def _sample_rows(margin: np.ndarray, keep: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Rows to show: spread evenly over the margins of each side, best first."""
    rows = {}
    for side, mask in (("kept", keep), ("dropped", ~keep)):
        order = np.flatnonzero(mask)
        order = order[np.argsort(-margin[order], kind="stable")]
        places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
        rows[side] = order[places]
    return rows


def _write_domain(run: StageRun, domain: str, keep: np.ndarray, margin: np.ndarray, wanted: dict[str, np.ndarray]) -> dict[str, Any]:
    shown: dict[str, list[dict[str, Any]]] = {side: [] for side in wanted}
    start = 0
    for path in sorted((run.inputs["deduplicate"].path / "documents" / domain).glob("*.parquet")):
        table = pq.read_table(path)
        here = slice(start, start + len(table))
        for side, rows in wanted.items():
            for row in rows[(rows >= here.start) & (rows < here.stop)]:
                record = table.slice(row - start, 1).to_pylist()[0]
                shown[side].append({"id": record["id"], "margin": float(margin[row]), "text": record["text"][:SAMPLE_CHARACTERS]})
        selected = table.filter(pa.array(keep[here]))
        start = here.stop
        if len(selected):
            out = run.output / "documents" / domain / path.name
            out.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(selected, out, compression="zstd", row_group_size=4_096)
    return {side: sorted(rows, key=lambda r: -r["margin"]) for side, rows in shown.items()}


def _distribution(margin: np.ndarray, keep: np.ndarray) -> dict[str, Any]:
    finite = np.isfinite(margin)
    low, high = np.quantile(margin[finite], [0.001, 0.999])
    edges = np.linspace(low, high if high > low else low + 1e-6, BINS + 1)
    clipped = np.clip(margin, edges[0], edges[-1])
    return {
        "edges": edges.tolist(),
        "kept": np.histogram(clipped[keep & finite], edges)[0].tolist(),
        "dropped": np.histogram(clipped[~keep & finite], edges)[0].tolist(),
        "threshold": float(margin[keep].min()),
    }
