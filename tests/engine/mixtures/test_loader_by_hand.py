"""What the loader reads, against an order of turns worked out by hand and windows counted one by one."""

from collections import Counter

import numpy as np
import pytest

from mashbill.errors import DataError
from mashbill.mixtures import MixtureLoader, Schedule

CONTEXT = 3


def numbered(windows: int, first: int) -> np.ndarray:
    """Tokens of which window w begins at first + CONTEXT * w."""
    return np.arange(first, first + CONTEXT * windows + 1)


TOKENS = {"a": numbered(4, 0), "b": numbered(6, 100), "c": numbered(5, 200)}


def turns(mixture: dict[str, float], sequences: int) -> str:
    made = MixtureLoader(TOKENS, mixture, context=CONTEXT, sequences=sequences, seed=0)
    return "".join(made.domains[turn] for turn in made.places_at(np.arange(sequences))[0])


def test_whoever_must_come_soonest_has_the_turn() -> None:
    """Of six, b must come by 1, 2, 4 and 5, a by 2 and 5; b's turns may come from 0, 1, 3 and 4, a's from 0
    and 3; a tie is a's."""
    assert turns({"a": 1 / 3, "b": 2 / 3}, 6) == "babbab"


def test_a_domain_waits_until_its_share_has_passed_what_it_has_had() -> None:
    """a must come by 1, 3, 5, 7 and may from 0, 2, 4, 6; b by 3 and 7, from 0 and 3; c by 4, from 0."""
    mixture = {"a": 0.5, "b": 0.26, "c": 0.24}
    assert turns(mixture, 7) == "abacaba"
    made = MixtureLoader(TOKENS, mixture, context=CONTEXT, sequences=7, seed=0)
    assert made.domain_counts() == {"a": 4, "b": 2, "c": 1}


def test_a_sequence_is_a_window_and_the_token_after_it_and_windows_share_that_token_alone() -> None:
    made = MixtureLoader(TOKENS, {"b": 1.0}, context=CONTEXT, sequences=6, seed=1)
    rows = made.sequences_at(np.arange(6))
    assert sorted(rows[:, 0].tolist()) == [100 + CONTEXT * i for i in range(6)]
    assert (np.diff(rows, axis=1) == 1).all()
    assert rows.shape == (6, CONTEXT + 1)
    read = Counter(rows[:, :-1].ravel().tolist())
    assert read == Counter(range(100, 100 + CONTEXT * 6))


def test_every_window_of_every_epoch_is_read_as_often_as_every_other() -> None:
    made = MixtureLoader(TOKENS, {"c": 1.0}, context=CONTEXT, sequences=20, seed=5)
    starts = made.sequences_at(np.arange(20))[:, 0]
    assert Counter(starts.tolist()) == Counter({200 + CONTEXT * i: 4 for i in range(5)})
    epochs = starts.reshape(4, 5)
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1
    assert made.epochs() == {"c": 4.0}


def test_a_seed_is_another_order_and_the_same_text() -> None:
    def starts(seed: int) -> list[int]:
        made = MixtureLoader({"d": numbered(50, 0)}, {"d": 1.0}, context=CONTEXT, sequences=50, seed=seed)
        return made.sequences_at(np.arange(50))[:, 0].tolist()

    assert starts(1) != starts(2)
    assert sorted(starts(1)) == sorted(starts(2))
    assert starts(1) != sorted(starts(1))


def test_an_epoch_goes_on_in_the_next_phase_where_it_stopped() -> None:
    """Three of four windows of a in the first phase: the second begins with the fourth."""
    schedule = Schedule(("a", "b"), np.array([0.5, 0.5]), np.array([[0.75, 0.25], [1.0, 0.0]]))
    made = MixtureLoader(TOKENS, schedule, context=CONTEXT, sequences=8, seed=2)
    of_a = made.sequences_at(np.arange(8))[made.places_at(np.arange(8))[0] == made.domains.index("a")][:, 0]
    assert len(of_a) == 7
    assert sorted(of_a[:4].tolist()) == [0, 3, 6, 9]
    assert len(set(of_a[4:].tolist())) == 3


def test_domains_named_in_another_order_are_read_at_the_same_places() -> None:
    mixture = {"a": 0.2, "b": 0.5, "c": 0.3}
    one = MixtureLoader(TOKENS, mixture, context=CONTEXT, sequences=10, seed=3)
    other = MixtureLoader(TOKENS, dict(reversed(mixture.items())), context=CONTEXT, sequences=10, seed=3)
    rows = [sorted(made.sequences_at(np.arange(10)).tolist()) for made in (one, other)]
    assert rows[0] == rows[1]


def test_a_domain_of_exactly_one_sequence_is_enough_and_one_token_less_is_not() -> None:
    enough = MixtureLoader({"d": np.arange(4)}, {"d": 1.0}, context=3, sequences=2, seed=0)
    assert enough.sequences_at(np.arange(2)).tolist() == [[0, 1, 2, 3]] * 2
    with pytest.raises(DataError, match="fewer than 4 training tokens"):
        MixtureLoader({"d": np.arange(3)}, {"d": 1.0}, context=3, sequences=2, seed=0)


def test_a_domain_without_weight_needs_no_text() -> None:
    made = MixtureLoader(
        {"a": TOKENS["a"], "empty": np.arange(0)},
        {"a": 1.0, "empty": 0.0},
        context=CONTEXT,
        sequences=3,
        seed=0,
    )
    assert made.domain_counts() == {"a": 3}
