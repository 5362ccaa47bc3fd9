"""What a model reads is a function of (seed, index) alone, follows the mixture, and repeats nothing within an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mashbill.errors import DataError
from mashbill.mixtures import MixtureLoader

CONTEXT = 4


def loader(weights: list[float], sequences: int, seed: int = 0) -> MixtureLoader:
    """Domains of different sizes whose tokens tell where they come from."""
    tokens = {f"d{i}": np.arange(10_000 * i, 10_000 * i + CONTEXT * (5 + 7 * i) + 1, dtype=np.uint32) for i in range(len(weights))}
    mixture = {f"d{i}": weight / sum(weights) for i, weight in enumerate(weights)}
    return MixtureLoader(tokens, mixture, context=CONTEXT, sequences=sequences, seed=seed)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.integers(1, 200), st.integers(0, 1000), st.randoms())
def test_any_slicing_reads_the_same_sequences(weights: list[float], sequences: int, seed: int, random: object) -> None:
    whole = loader(weights, sequences, seed).sequences_at(np.arange(sequences))
    order = np.random.default_rng(seed).permutation(sequences)
    piecewise = np.empty_like(whole)
    for chunk in np.array_split(order, 3):
        piecewise[chunk] = loader(weights, sequences, seed).sequences_at(chunk)
    assert (whole == piecewise).all()


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.integers(1, 200))
def test_every_prefix_follows_the_mixture(weights: list[float], sequences: int) -> None:
    made = loader(weights, sequences)
    shares = np.array(weights) / sum(weights)
    assert sum(made.domain_counts().values()) == sequences
    for prefix in (sequences // 2, sequences):
        counts = np.bincount(made.turn[:prefix], minlength=len(weights))
        assert np.abs(counts - shares * prefix).max() <= 2


def test_an_epoch_repeats_nothing_and_the_next_has_another_order() -> None:
    made = loader([1.0], 15)
    starts = made.sequences_at(np.arange(15))[:, 0]
    epochs = starts.reshape(3, 5)
    assert all(len(set(epoch)) == 5 for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()
    assert made.epochs() == {"d0": 3.0}


def test_a_domain_shorter_than_a_sequence_is_named() -> None:
    with pytest.raises(DataError, match="domain tiny: has fewer than 5"):
        MixtureLoader({"tiny": np.zeros(3, np.uint16)}, {"tiny": 1.0}, context=4, sequences=1, seed=0)
