"""Ranks of documents under several classifiers, over a corpus whose margins are nowhere all at once.

Margins are kept, partition by partition, where all tasks meet. Sketches of them, which count exactly at the
edges of their buckets, say where ranges of about equal weight end. Each margin that differs goes, with its
count, to the task of its range, which puts them in order and sends their ranks back. So ranks are those of
all margins sorted together, equal ones at the mean of their places: a sketch decides who ranks a margin, and
nothing of the result.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.config import EngineConfig
from mashbill.partitions import Exchange, buckets_for, spread
from mashbill.quality.sketch import QuantileSketch, buckets
from mashbill.storage import Storage

MEMORY_BYTES = 500_000_000  # for margins that are sorted at a time
ROW_BYTES = 24  # of a margin, its count and its partition
MOST_PLACES = 4_096  # that ranks are sent back to


@dataclass(frozen=True)
class KeptMargins:
    """Margins of each partition, where all tasks reach them, with what becomes the partition's scores.

    Attributes:
        shared: where they are.
        scorers: how many classifiers there are; the margins of each have a column.
    """

    shared: Storage
    scorers: int

    def has(self, place: int) -> bool:
        """Whether those of a partition are there."""
        return self.shared.exists(_key(place))

    def put(self, place: int, table: pa.Table) -> None:
        """Keep those of a partition.

        Args:
            place: of the partition, among all.
            table: [documents] with ``margin_0``, ``margin_1`` and so on, minus infinity where there is none.
        """
        with tempfile.NamedTemporaryFile(dir=self.shared.passing(), delete=False) as file:
            pq.write_table(table, file, compression="zstd")
        self.shared.put(Path(file.name), _key(place))

    def read(self, place: int) -> pa.Table:
        """Those of a partition, and all that was kept with them."""
        return pq.read_table(pa.BufferReader(self.shared.read(_key(place))))

    def of(self, table: pa.Table) -> Iterator[np.ndarray]:
        """[documents] of each classifier."""
        return (table[f"margin_{i}"].to_numpy() for i in range(self.scorers))

    def sketches(self, table: pa.Table) -> list[QuantileSketch]:
        """Documents by margin, of each classifier: as many numbers as buckets differ, however many there
        are."""
        return [QuantileSketch().add(margins, np.ones(len(margins))) for margins in self.of(table)]


@dataclass(frozen=True)
class Range:
    """Neighbouring margins of a classifier.

    Attributes:
        scorer: number of the classifier; number: of the range.
        before: documents with lower margins.
    """

    scorer: int
    number: int
    before: int


@dataclass(frozen=True)
class Ranking:
    """How the margins of a corpus are ranked. It is a small value that tasks are sent.

    Attributes:
        kept: the margins.
        partitions: how many there are; documents: in all of them.
        lowest: of each classifier, [ranges] the lowest bucket of each range.
    """

    kept: KeptMargins
    partitions: int
    documents: int
    lowest: tuple[np.ndarray, ...]

    def send(self, place: int) -> None:
        """Send the margins of a partition that differ, with their counts, to their ranges."""
        table = self.kept.read(place)
        for scorer, margins in enumerate(self.kept.of(table)):
            values, counts = np.unique(margins, return_counts=True)
            range_ = np.searchsorted(self.lowest[scorer], buckets(values), side="right") - 1
            partition = np.full(len(values), place)
            exchange = self._margins(scorer)
            exchange.put(f"{place:06}", range_, margin=values, count=counts, partition=partition)

    def rank(self, given: Range) -> None:
        """Rank the margins of a range, and send the ranks back."""
        rows = self._margins(given.scorer).arrays(given.number)
        values, which = np.unique(rows["margin"], return_inverse=True)
        counts = np.bincount(which, rows["count"], len(values))
        after = given.before + np.cumsum(counts)
        ranks = after - (counts - 1) / 2
        where = self._place(rows["partition"])
        self._ranks(given.scorer).put(f"{given.number:05}", where, margin=rows["margin"], rank=ranks[which])

    def ranked(self, place: int) -> pa.Table:
        """What was kept of a partition, with the logit of the mean rank as ``margin``."""
        table = self.kept.read(place)
        ranks = np.zeros(len(table))
        for scorer, margins in enumerate(self.kept.of(table)):
            rows = self._ranks(scorer).arrays(int(self._place(np.array(place))))
            order = np.argsort(rows["margin"])
            which = np.searchsorted(rows["margin"][order], margins)
            ranks += rows["rank"][order][which] / self.kept.scorers
        share = (ranks - 0.5) / self.documents
        return table.append_column("margin", pa.array(np.log(share) - np.log1p(-share)))

    def ranges(self, sketches: Sequence[QuantileSketch]) -> list[Range]:
        """The ranges of all classifiers.

        Args:
            sketches: documents by margin, of each classifier.
        """
        found = []
        for scorer, sketch in enumerate(sketches):
            numbers, starts = _starts(sketch)
            before = starts[np.searchsorted(numbers, self.lowest[scorer])]
            found += [Range(scorer, number, int(below)) for number, below in enumerate(before)]
        return found

    def _place(self, partition: np.ndarray) -> np.ndarray:
        """[partitions] which bucket each one's ranks are sent back to."""
        return partition * min(MOST_PLACES, self.partitions) // self.partitions

    def _margins(self, scorer: int) -> Exchange:
        ranges = len(self.lowest[scorer])
        return Exchange(self.kept.shared, f"margins-{scorer}-{ranges}", ranges)

    def _ranks(self, scorer: int) -> Exchange:
        places, ranges = min(MOST_PLACES, self.partitions), len(self.lowest[scorer])
        return Exchange(self.kept.shared, f"ranks-{scorer}-{ranges}", places)


def rank_margins(
    kept: KeptMargins,
    sketches: Sequence[QuantileSketch],
    partitions: int,
    *,
    engine: EngineConfig,
    ranges: int | None = None,
    done: Callable[[float], None] = lambda share: None,
) -> Ranking:
    """Rank what is kept of all partitions; each one's ranks can be read from then on.

    Args:
        kept: the margins.
        sketches: documents by margin, of each classifier.
        partitions: how many there are.
        engine: where tasks run.
        ranges: that are ranked by one task each; None means as many as keep memory within a limit.
        done: called with the share of the work that is done.
    """
    documents = round(sketches[0].total)
    many = buckets_for(documents * ROW_BYTES, MEMORY_BYTES) if ranges is None else ranges
    ranking = Ranking(kept, partitions, documents, tuple(_lowest(sketch, many) for sketch in sketches))
    for sent, _ in enumerate(spread(engine, ranking.send, range(partitions)), 1):
        done(0.5 * sent / partitions)
    places = ranking.ranges(sketches)
    for ranked, _ in enumerate(spread(engine, ranking.rank, places), 1):
        done(0.5 + 0.5 * ranked / len(places))
    return ranking


def _lowest(sketch: QuantileSketch, ranges: int) -> np.ndarray:
    """[ranges] the lowest bucket of each range of about as many documents; there are fewer ranges where
    buckets hold more."""
    numbers, starts = _starts(sketch)
    _, first = np.unique(starts * ranges // round(sketch.total), return_index=True)
    return numbers[first]


def _starts(sketch: QuantileSketch) -> tuple[np.ndarray, np.ndarray]:
    """[buckets] numbers in order, and how many documents are in those before each."""
    numbers = np.array(sorted(sketch.weights), np.int64)
    weights = np.array([round(sketch.weights[number]) for number in numbers.tolist()], np.int64)
    return numbers, np.cumsum(weights) - weights


def _key(place: int) -> str:
    return f"margins/{place:06}.parquet"
