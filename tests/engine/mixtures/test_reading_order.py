"""Windows of a domain are read once an epoch, out of a buffer of a few shards at a time, in an order without
a pattern."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mashbill.errors import ConfigError
from mashbill.mixtures import MixtureLoader
from mashbill.mixtures.reading_order import ReadingOrder

UNLIKELY = 1e-5


def order_of(sizes: list[int], buffer: int, seed: int = 0) -> ReadingOrder:
    return ReadingOrder("d", np.concatenate([[0], np.cumsum(sizes)]), buffer, seed=seed)


def epochs_of(order: ReadingOrder, epochs: int) -> np.ndarray:
    """[epochs, windows] in the order that they are read."""
    return order.windows_at(np.arange(epochs * order.windows)).reshape(epochs, order.windows)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any), st.integers(1, 600), st.integers(0, 99)
)
def test_every_window_is_read_once_an_epoch_whatever_shards_and_buffer(
    sizes: list[int], buffer: int, seed: int
) -> None:
    order = order_of(sizes, buffer, seed)
    everything = epochs_of(order, 3)
    for epoch in everything:
        assert sorted(epoch.tolist()) == list(range(sum(sizes)))
    some = np.random.default_rng(seed).permutation(everything.size)[:50]
    assert order.windows_at(some).tolist() == everything.ravel()[some].tolist()


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=30), st.integers(1, 200), st.integers(0, 99))
def test_what_is_read_next_comes_from_no_more_shards_than_fill_the_buffer(
    sizes: list[int], buffer: int, seed: int
) -> None:
    order, shard_of = order_of(sizes, buffer, seed), np.repeat(np.arange(len(sizes)), sizes)
    for epoch in epochs_of(order, 2):
        shards = shard_of[epoch]
        since, until = ([list(way).index(s) for s in range(len(sizes))] for way in (shards, shards[::-1]))
        for place in range(0, len(epoch), 7):
            begun = [s for s in range(len(sizes)) if since[s] <= place < len(epoch) - until[s]]
            assert sum(sizes[s] for s in begun) < buffer + max(sizes)


def test_a_buffer_that_has_room_for_all_shuffles_as_if_there_were_no_shards() -> None:
    sharded, whole = order_of([30, 500, 7, 463], 1_000, seed=4), order_of([1_000], 1_000, seed=4)
    assert (epochs_of(sharded, 2) == epochs_of(whole, 2)).all()
    assert (epochs_of(order_of([30, 500, 7, 463], 999, seed=4), 2) != epochs_of(whole, 2)).any()


@pytest.mark.parametrize("buffer", [2_000, 20_000, 10**9])
def test_an_epoch_says_nothing_of_the_next_and_a_window_nothing_of_its_neighbour(buffer: int) -> None:
    order = order_of([500] * 200, buffer, seed=9)
    epochs = epochs_of(order, 3)
    bound = 4.5 / np.sqrt(
        order.windows / min(500, order.windows / len(order.sizes))
    )  # shards are drawn whole
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert abs(np.corrcoef(epochs[one], epochs[other])[0, 1]) < bound
        assert (epochs[one] == epochs[other]).sum() < 15  # chance has one
    assert (np.diff(epochs[0]) == 1).sum() < 1.5 * order.windows / min(buffer, order.windows) + 60


def test_shards_come_in_an_order_of_their_own_and_the_first_are_drawn_from_all() -> None:
    first = np.array([order_of([10] * 64, 20, seed).windows_at(np.arange(20)) // 10 for seed in range(600)])
    counts = np.bincount(first.ravel(), minlength=64)
    assert stats.chisquare(counts / 10).pvalue > UNLIKELY  # ten windows of a shard come together
    assert len(np.unique(first, axis=0)) > 500


def test_no_buffer_of_any_epoch_is_in_another_ones_order() -> None:
    within = epochs_of(order_of([30] * 20, 30), 3).reshape(60, 30) % 30
    assert len(np.unique(within, axis=0)) == 60


class Numbered:
    """Tokens that are their own places, in shards of given sizes."""

    def __init__(self, sizes: list[int]) -> None:
        self.ends = np.cumsum(sizes)

    room = None

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, part: slice) -> np.ndarray:
        return np.arange(*part.indices(len(self)))

    def hold(self, shard: int) -> None:
        """Nothing to fetch."""

    def let_go(self, shard: int) -> None:
        """Nothing was fetched."""


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=20).filter(lambda sizes: sum(sizes) > 5),
    st.integers(1, 300),
)
def test_a_domain_in_shards_is_trained_on_every_target_once_an_epoch_across_their_ends(
    sizes: list[int], shuffle_tokens: int
) -> None:
    tokens, context = Numbered(sizes), 4
    windows = (len(tokens) - 1) // context
    made = MixtureLoader(
        {"d": tokens},
        {"d": 1.0},
        context=context,
        sequences=2 * windows,
        seed=1,
        shuffle_tokens=shuffle_tokens,
    )
    for epoch in made.sequences_at(np.arange(2 * windows)).reshape(2, windows, context + 1):
        assert (np.diff(epoch) == 1).all()
        assert sorted(epoch[:, 1:].ravel().tolist()) == list(range(1, windows * context + 1))


@pytest.mark.parametrize("wrong", [0, -5])
def test_a_buffer_of_no_tokens_is_refused(wrong: int) -> None:
    with pytest.raises(ConfigError, match=f"shuffle_tokens: is {wrong}; give"):
        MixtureLoader({"d": np.arange(99)}, {"d": 1.0}, context=4, sequences=1, seed=0, shuffle_tokens=wrong)
