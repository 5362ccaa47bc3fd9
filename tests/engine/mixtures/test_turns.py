"""Every prefix of any run holds each domain's share to within one sequence, however far it goes, and any
window of it is computed alone."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mashbill.mixtures.turns import FRAME, Turns

FAR = 1_000_000_000 // FRAME
MIXTURES = {
    "one domain": [1.0],
    "halves": [0.5, 0.5],
    "one large, fifty small": [0.5] + [0.01] * 50,
    "two large, many small": [0.4, 0.4] + [0.2 / 48] * 48,
    "four large, many small": [1 / 6] * 4 + [1 / 144] * 48,
    "small whole numbers": [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1, 1, 3, 3],
    "fifty alike": [0.02] * 50,
    "harmonic": [1 / (k + 1) for k in range(50)],
    "powers of two": [2.0**-k for k in range(30)],
    "Fibonacci's numbers and next to nothing": [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 1e-9],
    "a domain of a millionth": [1 - 1e-6, 1e-6],
    "none of one in this phase": [0.3, 0.0, 0.7],
}


def whole_frame(made: Turns, number: int) -> tuple[np.ndarray, np.ndarray]:
    return made.frame(number, made.length(number))


def farthest(weights: list[float], first: int, frames: int) -> float:
    """How many sequences a domain is from its share, at the most, after any position of some frames."""
    made = Turns(np.array(weights))
    shares = [Fraction(weight) / sum(map(Fraction, weights)) for weight in weights]
    start = made.begins(first)
    had = made.counts(start)
    beyond = np.array([float(start * share - int(count)) for share, count in zip(shares, had, strict=True)])
    turns = np.concatenate([whole_frame(made, number)[0] for number in range(first, first + frames)])
    counts = np.cumsum(turns[:, None] == np.arange(len(weights)), axis=0)
    exact = np.arange(1, len(turns) + 1)[:, None] * np.array([float(share) for share in shares])
    return float(np.abs(exact + beyond - counts).max())


@pytest.mark.parametrize("weights", MIXTURES.values(), ids=MIXTURES)
@pytest.mark.parametrize("first", [0, 61, FAR])
def test_every_prefix_holds_each_share_to_within_one_sequence(weights: list[float], first: int) -> None:
    assert farthest(weights, first, 3) < 1 + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=60), st.integers(0, FAR))
@example([0.5, 0.25, 0.25], FAR)
def test_so_it_is_with_any_weights_at_any_place(weights: list[float], first: int) -> None:
    assert farthest(weights, first, 1) < 1 + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=12).filter(any), st.integers(0, 3 * FRAME))
def test_counts_are_those_of_the_turns_before_and_visits_count_up(parts: list[int], position: int) -> None:
    made = Turns(np.array(parts, np.float64))
    pieces = [whole_frame(made, number) for number in range(4)]
    turns, visits = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    counts = np.bincount(turns[:position], minlength=len(parts))
    assert made.counts(position).tolist() == counts.tolist()
    for domain in range(len(parts)):
        assert visits[turns == domain].tolist() == list(range(int((turns == domain).sum())))


def test_a_frame_begins_alike_however_much_of_it_is_read() -> None:
    made = Turns(np.array([0.45, 0.35, 0.2]))
    whole, visits = whole_frame(made, 5)
    for length in (0, 1, 77, len(whole) - 1):
        turns, had = made.frame(5, length)
        assert (turns == whole[:length]).all()
        assert (had == visits[:length]).all()


def test_frames_follow_one_another_and_a_position_is_in_one() -> None:
    made = Turns(np.array([0.4, 0.4, 0.11, 0.09]))
    begins = [made.begins(number) for number in range(6)]
    assert begins[0] == 0
    assert all(0 <= begin - number * FRAME < 64 for number, begin in enumerate(begins))
    positions = np.arange(begins[-1])
    expected = np.repeat(np.arange(5), np.diff(begins))
    assert (made.frames_at(positions) == expected).all()
    assert made.frames_at(positions[::-7]).tolist() == expected[::-7].tolist()


def test_a_frame_begins_where_shares_are_whole_numbers_if_they_are_nearby() -> None:
    made = Turns(np.array([0.4, 0.4, 0.2]))
    assert [made.begins(number) % 5 for number in range(1, 6)] == [0] * 5
