"""Texts to learn from: an even sample of the corpus or of some domains, and texts of reference sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import StageRun
from mashbill.errors import ConfigError

SAMPLE_TAG = 402
REFERENCE_DOCUMENTS = 400


def document_files(run: StageRun, domains: Sequence[str] | None = None) -> list[Path]:
    """Partitions of deduplicated documents, in the config's order."""
    folder = run.inputs["deduplicate"].path / "documents"
    return [
        path
        for domain in domains or run.config.domain_names
        for path in sorted((folder / domain).glob("*.parquet"))
    ]


def sample_documents(run: StageRun, count: int, domains: Sequence[str] | None = None) -> pa.Table:
    """(id, domain, text) of documents drawn evenly over the corpus, or over some domains, in its order."""
    files = document_files(run, domains)
    rows = [pq.read_metadata(path).num_rows for path in files]
    total = sum(rows)
    chosen = np.sort(
        np.random.default_rng([run.config.seed, SAMPLE_TAG]).choice(total, min(total, count), replace=False)
    )
    starts = np.concatenate([[0], np.cumsum(rows)])
    tables = []
    for path, start, stop in zip(files, starts[:-1], starts[1:], strict=True):
        here = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(here):
            tables.append(pq.read_table(path, columns=["id", "domain", "text"]).take(pa.array(here)))
    return pa.concat_tables(tables)


def reference_texts(run: StageRun, names: Sequence[str], count: int = REFERENCE_DOCUMENTS) -> list[str]:
    """The first texts of each reference set.

    Raises:
        ConfigError: no set is named.
    """
    if not names:
        raise ConfigError(
            "corpus.references",
            "is empty, and abilities are measured on references",
            "add one, or give quality.classifier",
        )
    texts: list[str] = []
    for name in names:
        files = sorted((run.inputs["ingest"].path / "references" / name).glob("*.parquet"))
        texts += pq.read_table(files[0], columns=["text"])["text"].slice(0, count).to_pylist()
    return texts
