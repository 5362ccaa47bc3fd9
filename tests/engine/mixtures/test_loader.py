"""What a model reads is a function of (seed, index) alone, follows the mixture, and repeats nothing within an
epoch."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.checkout import ROOT, TESTS
from mashbill.errors import DataError
from mashbill.mixtures import MixtureLoader, Schedule

CONTEXT = 4


def turns_of(made: MixtureLoader) -> np.ndarray:
    """[sequences] which domain has its turn at each position of the run."""
    return made.places_at(np.arange(made.sequences))[0]


def loader(weights: list[float], sequences: int, seed: int = 0) -> MixtureLoader:
    """Domains of different sizes whose tokens tell where they come from."""
    tokens = {
        f"d{i}": np.arange(10_000 * i, 10_000 * i + CONTEXT * (5 + 7 * i) + 1, dtype=np.uint32)
        for i in range(len(weights))
    }
    mixture = {f"d{i}": weight / sum(weights) for i, weight in enumerate(weights)}
    return MixtureLoader(tokens, mixture, context=CONTEXT, sequences=sequences, seed=seed)


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
    st.integers(1, 200),
    st.integers(0, 1000),
    st.randoms(),
)
def test_any_slicing_reads_the_same_sequences(
    weights: list[float], sequences: int, seed: int, random: object
) -> None:
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
        counts = np.bincount(turns_of(made)[:prefix], minlength=len(weights))
        assert np.abs(counts - shares * prefix).max() < 1 + 1e-9


def one_domain(tokens: int, sequences: int, seed: int = 0) -> MixtureLoader:
    """A loader of one domain whose tokens are their own places."""
    return MixtureLoader(
        {"d": np.arange(tokens, dtype=np.uint32)}, {"d": 1.0}, context=CONTEXT, sequences=sequences, seed=seed
    )


@pytest.mark.parametrize("tokens, windows", [(21, 5), (23, 5), (24, 5), (25, 6), (5, 1)])
def test_an_epoch_trains_on_every_target_once_and_a_sequence_is_as_it_stands_in_the_text(
    tokens: int, windows: int
) -> None:
    made = one_domain(tokens, 3 * windows)
    assert made.epochs() == {"d": 3.0}
    for epoch in made.sequences_at(np.arange(3 * windows)).reshape(3, windows, CONTEXT + 1):
        assert (np.diff(epoch) == 1).all()
        targets = epoch[:, 1:].ravel().tolist()
        assert sorted(targets) == list(range(1, windows * CONTEXT + 1))  # all but a rest too short to fill


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def starts(sequences: int, seed: int) -> list[int]:
        return one_domain(401, sequences, seed).sequences_at(np.arange(sequences))[:, 0].tolist()

    first, second = starts(200, 0)[:100], starts(200, 0)[100:]
    assert sorted(first) == sorted(second) == list(range(0, 400, CONTEXT))
    orders = {tuple(order) for order in (first, second, starts(100, 1), sorted(first))}
    assert len(orders) == 4
    assert starts(100, 0) == first


def test_a_short_run_reads_from_all_of_a_large_domain() -> None:
    read = one_domain(400_001, 400).sequences_at(np.arange(400))[:, 0]
    quarters = np.bincount(read // 100_000, minlength=4)
    assert quarters.tolist() == pytest.approx([100] * 4, abs=35)  # four standard deviations
    assert (np.diff(read) > 0).mean() == pytest.approx(0.5, abs=0.1)  # in no order


def test_turns_are_spread_and_no_domain_is_a_sequence_from_its_share() -> None:
    assert turns_of(loader([0.5, 0.25, 0.25], 8)).tolist() == [0, 1, 0, 2, 0, 1, 0, 2]
    assert turns_of(loader([0.75, 0.25], 4)).tolist() == [0, 0, 0, 1]
    assert loader([1, 1, 1, 1], 8).domain_counts() == {f"d{i}": 2 for i in range(4)}


def test_what_is_read_at_a_position_is_the_same_in_a_longer_run() -> None:
    weights = [0.5, 0.3, 0.15, 0.05]
    short, long = (loader(weights, sequences).sequences_at(np.arange(5_000)) for sequences in (5_000, 90_000))
    assert (short == long).all()


def test_positions_that_are_not_of_the_run_are_refused() -> None:
    made = loader([1.0], 10)
    for wrong in ([10], [-1], [3, 11]):
        with pytest.raises(IndexError, match="of 10 sequences"):
            made.sequences_at(np.array(wrong))
    assert made.sequences_at(np.arange(0)).shape == (0, CONTEXT + 1)


def test_domains_of_equal_size_are_read_in_orders_of_their_own() -> None:
    tokens = {name: np.arange(401, dtype=np.uint32) + 1_000 * i for i, name in enumerate("ab")}
    made = MixtureLoader(tokens, {"a": 0.5, "b": 0.5}, context=4, sequences=200, seed=3)
    starts = made.sequences_at(np.arange(200))[:, 0]
    assert (starts[turns_of(made) == 0] != starts[turns_of(made) == 1] - 1_000).any()


@pytest.mark.parametrize(
    "tokens, mixture, told",
    [
        ({"tiny": 3}, {"tiny": 1.0}, "domain tiny: has fewer than 5 training tokens; add text"),
        ({"a": 99, "tiny": 4}, {"a": 0.9, "tiny": 0.1}, "domain tiny: has fewer than 5 training tokens; "),
        ({"a": 99, "none": 0}, {"a": 0.9, "none": 0.1}, "domain none: has weight and no training tokens; "),
        ({"a": 99}, {"a": 0.5, "b": 0.3, "c": 0.2}, "mixture: gives weight to b, c, and the shards have a; "),
        ({}, {"a": 1.0}, "mixture: gives weight to a, and the shards have none; "),
        ({"a": 99}, {"a": float("nan")}, "mixture, domain a: has the weight nan; "),
        ({"a": 99, "b": 99}, {"a": 1.5, "b": -0.5}, "mixture, domain b: has the weight -0.5; "),
        ({"a": 99, "b": 99}, {"a": 0.0, "b": 0.0}, "mixture, phase 1: gives weight to no domain; "),
        ({"a": 99}, {}, "mixture, phase 1: gives weight to no domain; "),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line_with_its_mend(
    tokens: dict[str, int], mixture: dict[str, float], told: str
) -> None:
    there = {name: np.zeros(count, np.uint16) for name, count in tokens.items()}
    with pytest.raises(DataError) as refused:
        MixtureLoader(there, mixture, context=4, sequences=1, seed=0)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


def test_a_schedule_whose_later_phase_names_what_there_is_not_is_refused_before_it_is_read() -> None:
    schedule = Schedule(("a", "b"), np.array([0.9, 0.1]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    with pytest.raises(DataError, match="mixture: gives weight to b"):
        MixtureLoader({"a": np.zeros(99, np.uint16)}, schedule, context=4, sequences=10, seed=0)


def phased(weights: list[list[float]], shares: list[float], sequences: int) -> tuple[MixtureLoader, Schedule]:
    """A loader that follows a schedule of the same domains."""
    names = tuple(f"d{i}" for i in range(len(weights[0])))
    rows = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    schedule = Schedule(names, np.array(shares) / sum(shares), rows)
    tokens = {
        name: np.arange(10_000 * i, 10_000 * i + CONTEXT * (5 + 7 * i) + 1, dtype=np.uint32)
        for i, name in enumerate(names)
    }
    return MixtureLoader(tokens, schedule, context=CONTEXT, sequences=sequences, seed=3), schedule


def phases_of(domains: int) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(st.floats(0.01, 1), min_size=domains, max_size=domains), min_size=3, max_size=3)


SHARES = st.lists(st.floats(0.05, 1), min_size=3, max_size=3)


@given(phases_of(4), SHARES, st.integers(1, 300))
def test_every_phase_follows_its_mixture(
    weights: list[list[float]], shares: list[float], sequences: int
) -> None:
    made, schedule = phased(weights, shares, sequences)
    starts = [0, *schedule.ends(sequences)]
    assert starts[-1] == sequences
    for row, start, end in zip(schedule.weights, starts[:-1], starts[1:], strict=True):
        for prefix in ((end - start) // 2, end - start):
            counts = np.bincount(turns_of(made)[start : start + prefix], minlength=4)
            assert np.abs(counts - row * prefix).max() < 1 + 1e-9


@given(phases_of(3), SHARES, st.integers(1, 300))
def test_a_domain_repeats_nothing_within_an_epoch_across_phases(
    weights: list[list[float]], shares: list[float], sequences: int
) -> None:
    made, _ = phased(weights, shares, sequences)
    read = made.sequences_at(np.arange(sequences))
    for domain, windows in enumerate((5, 12, 19)):  # as ``phased`` makes them
        of_domain = read[read[:, 0] // 10_000 == domain]
        for first in range(0, len(of_domain), windows):
            targets = of_domain[first : first + windows, 1:].ravel().tolist()
            assert len(set(targets)) == len(targets)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.integers(1, 200), st.integers(0, 100))
def test_one_phase_reads_what_its_mixture_reads(weights: list[float], sequences: int, seed: int) -> None:
    plain = loader(weights, sequences, seed)
    mixture = {f"d{i}": weight / sum(weights) for i, weight in enumerate(weights)}
    made = MixtureLoader(
        dict(zip(plain.domains, plain.tokens, strict=True)),
        Schedule.constant(mixture),
        context=CONTEXT,
        sequences=sequences,
        seed=seed,
    )
    everything = np.arange(sequences)
    assert (made.sequences_at(everything) == plain.sequences_at(everything)).all()


def test_a_phase_ends_at_the_whole_sequence_nearest_to_its_share() -> None:
    thirds = Schedule(("a",), np.array([1 / 3, 1 / 3, 1 / 3]), np.ones((3, 1)))
    assert [thirds.ends(length) for length in (3, 10, 64)] == [[1, 2, 3], [3, 7, 10], [21, 43, 64]]
    tenths = Schedule(("a",), np.full(10, 0.1), np.ones((10, 1)))
    assert tenths.ends(1_000) == list(range(100, 1_001, 100))


def test_a_domain_of_one_phase_only_is_read_there_only() -> None:
    made, _ = phased([[1, 0], [0, 1]], [1, 1], 20)
    assert turns_of(made).tolist() == [0] * 10 + [1] * 10
    assert made.domain_counts() == {"d0": 10, "d1": 10}


def test_a_domain_is_read_in_its_own_order_whatever_else_is_read() -> None:
    tokens = {name: np.arange(401, dtype=np.uint32) + 1_000 * i for i, name in enumerate("abc")}
    alone = MixtureLoader(tokens, {"b": 1.0}, context=4, sequences=60, seed=3).sequences_at(np.arange(60))
    mixed = MixtureLoader(
        tokens, {"a": 0.5, "b": 0.25, "c": 0.25}, context=4, sequences=240, seed=3
    ).sequences_at(np.arange(240))
    of_b = mixed[(mixed[:, 0] >= 1_000) & (mixed[:, 0] < 2_000)]
    assert (of_b == alone).all()


def test_a_loader_of_a_trillion_tokens_takes_less_than_fifty_megabytes() -> None:
    """Of 244 million sequences of 50 domains, as a process of its own reads them at its beginning, middle and
    end: batches of 64 of them, 2 MB, among it."""
    command = [sys.executable, "-m", "builders.loading_far"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "operators", TESTS)))}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 1_000_000 < int(told.stdout) < 50_000_000
