"""Which document stands for which: the earliest of each group of duplicates, whatever the order of the work."""

import numpy as np


def first_of_equal(hashes: np.ndarray) -> np.ndarray:
    """[documents] index of the first document with the same hash."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return first[inverse]


def first_of_component(bands: np.ndarray) -> np.ndarray:
    """The earliest document of each connected component, where documents that share a band are connected.

    Args:
        bands: [documents, bands] uint64; 0 matches nothing.
    Returns:
        [documents] index of the earliest document of the component.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(bands)
    ends = []
    for band in bands.T:
        present = np.flatnonzero(band)
        first = present[first_of_equal(band[present])]
        linked = first != present
        ends.append(np.stack([present[linked], first[linked]]))
    edges = np.concatenate(ends, axis=1) if ends else np.empty((2, 0), np.int64)
    graph = coo_array((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    return first_of_equal(label)
