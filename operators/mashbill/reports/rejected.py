"""Records that ingest rejected: how many for each reason, as its manifest counts them, and the first of each,
which tasks read."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.documents import REJECTED, DocumentStore, Partition
from mashbill.partitions import growing_lots, spread

REASON_SAMPLES = 3
NAMED_FOLDERS = 3  # of a file that is shown, itself among them
ROWS = 4_096  # read at once


@dataclass
class Refused:
    """What was rejected for one reason.

    Attributes:
        count: how many records.
        samples: the first of them.
    """

    count: int
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def lacks_samples(self) -> bool:
        """Whether another one would be shown."""
        return len(self.samples) < REASON_SAMPLES


def rejected_records(config: PipelineConfig, ingest: Artifact) -> dict[str, Refused]:
    """Rejected records by reason, in the order in which reasons came first; of a set's partitions none is
    read once what is shown has been found, or all that its count tells of."""
    counts: Mapping[str, Mapping[str, int]] = ingest.manifest.counts["rejected_by_set"]
    evaluations = (e.name for e in config.corpus.evaluations)
    sets = [n for n in (*config.domain_names, *config.reference_names, *evaluations) if n in counts]
    whole = sum((Counter(counts[name]) for name in sets), Counter[str]())
    store, found = DocumentStore.of(ingest), dict[str, Refused]()
    for name in sets:
        left = Counter(counts[name])
        for lot in growing_lots(store.partitions(name, kind=REJECTED)):
            wanted = {r for r in left if left[r] > 0 and (r not in found or found[r].lacks_samples)}
            if not wanted:
                break
            for rows in spread(config.engine, partial(first_of_each, frozenset(wanted)), lot):
                for row in rows:
                    refused = found.setdefault(row["reason"], Refused(whole[row["reason"]]))
                    left[row["reason"]] -= 1
                    if refused.lacks_samples:
                        refused.samples.append(row)
    return found | {reason: Refused(count) for reason, count in whole.items() if reason not in found}


def first_of_each(reasons: Collection[str], partition: Partition) -> list[dict[str, Any]]:
    """The first records of a partition for each of some reasons, as many as are shown, in order; of the
    others no more than the reason is read, and nothing past the last."""
    given = partition.read(["reason"])["reason"].to_numpy()
    places = [np.flatnonzero(given == reason)[:REASON_SAMPLES] for reason in sorted(reasons)]
    rows = np.sort(np.concatenate(places))
    found: list[dict[str, Any]] = []
    start = 0
    for batch in partition.batches(REJECTED.schema.names, ROWS):
        if len(found) == len(rows):
            break
        here = rows[(rows >= start) & (rows < start + len(batch))] - start
        found += batch.take(pa.array(here)).to_pylist()
        start += len(batch)
    return [{**row, "source": "/".join(Path(row["source"]).parts[-NAMED_FOLDERS:])} for row in found]
