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
    their lots: the same rows in whatever order the config has the domains.

    Tasks draw them; what comes here is the least lots of each partition, no more than are asked for, and the
    documents that are drawn.
    """
    partitions, seed = deduplicated_partitions(run, domains), run.config.seed
    last, least = np.empty(0, np.uint64), []
    for lots in spread(run.config.engine, partial(least_lots, seed, count), partitions):
        last = np.sort(np.concatenate([last, lots]))[:count]
        least.append(lots[:1])
    holding = [part for part, lots in zip(partitions, least, strict=True) if (lots <= last[-1]).any()]
    drawn = partial(drawn_documents, seed, last[-1])
    sample = pa.concat_tables(spread(run.config.engine, drawn, holding))
    order = np.argsort(draw_lots(sample["domain"], sample["id"], seed=seed, tag=SAMPLE_TAG))
    return sample.take(pa.array(order[:count]))


def least_lots(seed: int, count: int, partition: Partition) -> np.ndarray:
    """[at most count] lots of a partition's documents, the least first."""
    lots = draw_lots(partition.domain, partition.read(["id"])["id"], seed=seed, tag=SAMPLE_TAG)
    return np.sort(lots)[:count]


def drawn_documents(seed: int, last: np.uint64, partition: Partition) -> pa.Table:
    """The documents of a partition whose lots are not above the last that is drawn."""
    drawn = partial(_drawn, partition.domain, seed=seed, last=last)
    return pa.concat_tables(partition.chosen(drawn, COLUMNS))


def _drawn(domain: str, ids: pa.ChunkedArray, *, seed: int, last: np.uint64) -> np.ndarray:
    drawn: np.ndarray = draw_lots(domain, ids, seed=seed, tag=SAMPLE_TAG) <= last
    return drawn


def reference_texts(run: StageRun, names: Sequence[str], count: int = REFERENCE_DOCUMENTS) -> list[str]:
    """The first texts of each reference set, no more than so many, the sets in alphabetical order.

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
    firsts = [store.partitions(name, kind=REFERENCES)[0] for name in sorted(names)]
    found = spread(run.config.engine, partial(first_texts, count), firsts)
    return [text for texts in found for text in texts]


def first_texts(count: int, partition: Partition) -> list[str]:
    """The first texts of a partition, of which the rest is not read."""
    texts: list[str] = []
    for batch in partition.batches(["text"], count):
        texts += batch.column(0).slice(0, count - len(texts)).to_pylist()
        if len(texts) == count:
            break
    return texts
