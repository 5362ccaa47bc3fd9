"""Where a direct search looks: around what, how far, and by which seed."""

import numpy as np
import pytest

from mashbill.regression.limits import no_limits
from mashbill.regression.simplex import STRONGEST, WEAKEST, SearchSpace, candidates


def test_strengths_of_candidates_of_many_domains_are_even_in_their_logarithms() -> None:
    """Around 8 equal domains a Dirichlet of strength s a domain has variance p (1 - p) / (8 s + 1)."""
    many = candidates(np.full(8, 1 / 8), 20_000, 0)[10_000:]
    strengths = np.geomspace(WEAKEST, STRONGEST, 1_001)
    expected = 1 / 8 * 7 / 8 * (1 / (8 * strengths + 1)).mean()
    assert many.var(axis=0) == pytest.approx(np.full(8, expected), rel=0.1)


def test_the_seed_of_a_direct_search_says_where_it_looks() -> None:
    """Also from the same start: of text of one domain alone, from that domain."""

    def looked_at(seed: int) -> np.ndarray:
        seen: list[np.ndarray] = []

        def objective(rows: np.ndarray) -> np.ndarray:
            seen.append(rows)
            return 1 - rows[:, 0]

        SearchSpace(np.array([1.0, 0.0]), no_limits(2)).minimise(objective, 100, seed=seed)
        return np.concatenate(seen)

    first, again, other = looked_at(1), looked_at(1), looked_at(2)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
