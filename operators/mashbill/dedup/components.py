"""Which document stands for which: the earliest of each group of duplicates, whatever the order of the work.

Two ways to the same answer. Union-find takes all links into one memory. Alternating large and small stars
(Kiveris et al. 2014, "Connected Components in MapReduce and Beyond") only ever joins links that share a
document, a bucket at a time, on any machine.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from mashbill.config import EngineConfig
from mashbill.partitions import Exchange, scattered, spread
from mashbill.storage import Storage

LINK_BYTES = 16
MIX, SHIFT = np.uint64(0xBF58476D1CE4E5B9), np.uint64(31)


def first_of_equal(keys: np.ndarray) -> np.ndarray:
    """[rows] place of the first row with the same key."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def distinct(document: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs, each once, by document and then by the other."""
    order = np.lexsort((other, document))
    document, other = document[order], other[order]
    fresh = np.ones(len(document), bool)
    fresh[1:] = (document[1:] != document[:-1]) | (other[1:] != other[:-1])
    return document[fresh], other[fresh]


def union(document: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The documents that an earlier one stands for, and that one.

    Args:
        document, earlier: [links] numbers of linked documents.
    Returns:
        [documents] in order, and [documents] the earliest of the component of each.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers, ends = np.unique(np.concatenate([document, earlier]), return_inverse=True)
    one, other = ends.reshape(2, -1)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(numbers), len(numbers)))
    _, label = connected_components(graph, directed=False)
    head = numbers[first_of_equal(label)]
    return numbers[head != numbers], head[head != numbers]


@dataclass(frozen=True)
class Stars:
    """Components by rounds of tasks, none of which sees more than a bucket of the links.

    Attributes:
        engine: where tasks run.
        shared: what all tasks reach.
        folder: key under which rounds leave their links.
    """

    engine: EngineConfig
    shared: Storage
    folder: str

    def settle(self, links: Exchange) -> Exchange:
        """Rounds until nothing changes: then every document is linked with the earliest of its component
        alone.

        Args:
            links: columns ``document`` and ``earlier``, by the document's bucket.
        Returns:
            The same kind of exchange.
        """
        seen: tuple[int, int] | None = None
        turn = 0
        while True:
            both = Exchange(self.shared, f"{self.folder}/{turn:04}-both", links.buckets)
            found = list(spread(self.engine, partial(small_star, links, both), range(links.buckets)))
            now = (sum(count for count, _ in found), sum(check for _, check in found))
            if now == seen:
                return links
            seen = now
            links = Exchange(self.shared, f"{self.folder}/{turn:04}-links", links.buckets)
            list(spread(self.engine, partial(large_star, both, links), range(links.buckets)))
            turn += 1


def small_star(links: Exchange, both: Exchange, bucket: int) -> tuple[int, int]:
    """Link a document and all earlier neighbours with the earliest of them; count and checksum of the links
    it was given."""
    given = links.arrays(bucket)
    document, earlier = distinct(given["document"], given["earlier"])
    start, group = _groups(document)
    least = earlier[start][group]
    node = np.concatenate([document[start], earlier])
    head = np.concatenate([earlier[start], least])
    node, head = distinct(node[node != head], head[node != head])
    one, other = np.concatenate([node, head]), np.concatenate([head, node])
    both.put(f"{bucket:05}", scattered(one, both.buckets), document=one, other=other)
    return len(document), int(_checks(document, earlier).sum(dtype=np.uint64))


def large_star(both: Exchange, links: Exchange, bucket: int) -> None:
    """Link all later neighbours of a document with the earliest of its neighbours and itself."""
    given = both.arrays(bucket)
    document, other = distinct(given["document"], given["other"])
    start, group = _groups(document)
    least = np.minimum(document, other[start][group])
    later = other > document
    node, head = distinct(other[later], least[later])
    links.put(f"{bucket:05}", scattered(node, links.buckets), document=node, earlier=head)


def _groups(document: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each document's sorted rows start, and [rows] which group a row is of."""
    fresh = np.ones(len(document), bool)
    fresh[1:] = document[1:] != document[:-1]
    return np.flatnonzero(fresh), np.cumsum(fresh) - 1


def _checks(document: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    mixed = (document.astype(np.uint64) * MIX) ^ earlier.astype(np.uint64)
    mixed = (mixed ^ (mixed >> SHIFT)) * MIX
    return mixed ^ (mixed >> SHIFT)
