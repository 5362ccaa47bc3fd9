"""Texts to learn from: an even sample of the corpus or of some domains, and texts of reference sets."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.documents import REFERENCES, DocumentStore, Partition
from mashbill.errors import ConfigError

SAMPLE_TAG = 402
REFERENCE_DOCUMENTS = 400


def deduplicated_partitions(run: StageRun, domains: Sequence[str] | None = None) -> list[Partition]:
    """Partitions of deduplicated documents, in the config's order."""
    store = DocumentStore.of(run.inputs["deduplicate"])
    return store.partitions(*(domains or run.config.domain_names))


def sample_documents(run: StageRun, count: int, domains: Sequence[str] | None = None) -> pa.Table:
    """(id, domain, text) of documents drawn evenly over the corpus, or over some domains, in its order."""
    partitions = deduplicated_partitions(run, domains)
    rows = [partition.count() for partition in partitions]
    total = sum(rows)
    chosen = np.sort(
        np.random.default_rng([run.config.seed, SAMPLE_TAG]).choice(total, min(total, count), replace=False)
    )
    starts = np.concatenate([[0], np.cumsum(rows)])
    tables = []
    for partition, start, stop in zip(partitions, starts[:-1], starts[1:], strict=True):
        here = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(here):
            tables.append(partition.read(["id", "domain", "text"]).take(pa.array(here)))
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
    store = DocumentStore.of(run.inputs["ingest"])
    texts: list[str] = []
    for name in names:
        first = store.partitions(name, kind=REFERENCES)[0]
        texts += first.read(["text"])["text"].slice(0, count).to_pylist()
    return texts
