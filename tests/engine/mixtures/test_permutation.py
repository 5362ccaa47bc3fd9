"""A keyed permutation leaves nothing out and nothing twice, and no pattern: neighbours, other keys and the
first part of it are as chance would have them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mashbill.mixtures.permutation import DRAWN_WHOLE, Permutation

SIZES = [DRAWN_WHOLE - 1, DRAWN_WHOLE + 1, 10_000, 2**15, 2**15 + 1, 100_003]
UNLIKELY = 1e-5


def whole(size: int, *key: str | int) -> np.ndarray:
    return Permutation(size, *key).at(np.arange(size))


@settings(deadline=None)
@given(st.one_of(st.integers(1, 40), st.integers(DRAWN_WHOLE - 2, 20_000)), st.integers(0, 1 << 40))
def test_every_thing_stands_at_one_place(size: int, seed: int) -> None:
    assert np.bincount(whole(size, "t", seed), minlength=size).tolist() == [1] * size


@pytest.mark.parametrize("size", [3, DRAWN_WHOLE + 7, 50_021])
def test_a_place_says_the_same_alone_and_among_others(size: int) -> None:
    made, places = Permutation(size, "t", 1), np.array([size - 1, 0, size // 2, 0])
    assert made.at(places).tolist() == whole(size, "t", 1)[places].tolist()
    assert [int(made.at(np.array([place]))[0]) for place in places] == made.at(places).tolist()
    assert made.at(np.arange(0)).tolist() == []


def test_of_the_largest_sizes_places_are_computed_in_the_range() -> None:
    size = 3_000_000_000_000
    found = Permutation(size, "t", 1).at(np.arange(100_000) + size // 2)
    assert len(set(found.tolist())) == 100_000
    assert 0 <= found.min() <= found.max() < size
    assert stats.kstest(found / size, "uniform").pvalue > UNLIKELY


@pytest.mark.parametrize("size", SIZES)
def test_neighbours_say_nothing_of_one_another(size: int) -> None:
    order = whole(size, "t", 7)
    for gap in (1, 2, 3, 16, 64, 1_024):
        assert abs(np.corrcoef(order[:-gap], order[gap:])[0, 1]) < 4.5 / np.sqrt(size - gap)
    steps = np.diff(order) % size
    assert stats.kstest(steps / size, "uniform").pvalue > UNLIKELY
    assert (np.diff(order) == 1).sum() < 12  # chance has one


@pytest.mark.parametrize("size", SIZES)
def test_other_keys_are_other_orders(size: int) -> None:
    orders = [whole(size, "t", seed, name) for seed in (0, 1) for name in ("a", "b")]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / np.sqrt(size)
            assert (one == other).sum() < 12  # chance has one


@pytest.mark.parametrize("size", SIZES)
def test_the_first_part_is_drawn_from_all(size: int) -> None:
    order = whole(size, "t", 3)
    for part in (size // 50, size // 10, size // 2):
        counts = np.histogram(order[:part], bins=16, range=(0, size))[0]
        assert stats.chisquare(counts).pvalue > UNLIKELY
        odd = int((order[:part] % 2).sum())
        assert stats.binomtest(odd, part).pvalue > UNLIKELY


def test_every_order_of_a_few_things_is_as_likely_as_every_other() -> None:
    orders = [tuple(whole(4, "t", seed).tolist()) for seed in range(4_800)]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > UNLIKELY


def test_in_orders_drawn_by_key_a_thing_stands_anywhere() -> None:
    size = DRAWN_WHOLE + 904
    places = np.array([int(Permutation(size, "t", seed).at(np.array([11]))[0]) for seed in range(2_000)])
    assert stats.kstest(places / size, "uniform").pvalue > UNLIKELY


def test_keys_of_other_words_are_other_keys_where_their_letters_are_the_same() -> None:
    assert whole(100, "ab", "c").tolist() != whole(100, "a", "bc").tolist()
    assert whole(100, "a", 1, 2).tolist() != whole(100, "a", 12).tolist()
