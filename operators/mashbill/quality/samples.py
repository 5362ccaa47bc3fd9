"""Texts to learn from: an even sample of the corpus or of some domains, and texts of reference sets."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.documents import REFERENCES, DocumentStore, Partition
from mashbill.errors import ConfigError
from mashbill.partitions import spread
from mashbill.quality.lots import draw_lots

SAMPLE_TAG = 402
REFERENCE_DOCUMENTS = 400
COLUMNS = ("id", "domain", "text")


def deduplicated_partitions(run: StageRun, domains: Sequence[str] | None = None) -> list[Partition]:
    """Partitions of deduplicated documents, in the config's order."""
    store = DocumentStore.of(run.inputs["deduplicate"])
    return store.partitions(*(domains or run.config.domain_names))


def sample_documents(run: StageRun, count: int, domains: Sequence[str] | None = None) -> pa.Table:
    """(id, domain, text) of documents drawn evenly over the corpus, or over some domains, in the order of
    their lots: the same rows in whatever order the config has the domains."""
    partitions = deduplicated_partitions(run, domains)
    lots = partial(_lots, run.config.seed)
    last = np.empty(0, np.uint64)
    for drawn in spread(run.config.engine, lots, partitions):
        last = np.sort(np.concatenate([last, drawn]))[:count]
    tables = [
        table
        for partition in partitions
        for table in partition.chosen(
            partial(_drawn, partition.domain, seed=run.config.seed, last=last[-1]), COLUMNS
        )
    ]
    sample = pa.concat_tables(tables)
    order = np.argsort(draw_lots(sample["domain"], sample["id"], seed=run.config.seed, tag=SAMPLE_TAG))
    return sample.take(pa.array(order[:count]))


def _lots(seed: int, partition: Partition) -> np.ndarray:
    return draw_lots(partition.domain, partition.read(["id"])["id"], seed=seed, tag=SAMPLE_TAG)


def _drawn(domain: str, ids: pa.ChunkedArray, *, seed: int, last: np.uint64) -> np.ndarray:
    drawn: np.ndarray = draw_lots(domain, ids, seed=seed, tag=SAMPLE_TAG) <= last
    return drawn


def reference_texts(run: StageRun, names: Sequence[str], count: int = REFERENCE_DOCUMENTS) -> list[str]:
    """The first texts of each reference set, the sets in alphabetical order.

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
    for name in sorted(names):
        first = store.partitions(name, kind=REFERENCES)[0]
        texts += first.read(["text"])["text"].slice(0, count).to_pylist()
    return texts
