"""Batches come from the background as they would be read at once: the same for any number of ranks, across
an epoch's end and after a restart; what goes wrong there is raised where they are asked for."""

import itertools
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing

import numpy as np
import pytest

from mashbill.errors import RunError
from mashbill.mixtures import Batches, MixtureLoader, Schedule
from mashbill.mixtures.batches import READY

CONTEXT, BATCH, STEPS = 8, 24, 40
SIZES = {"a": 300, "b": 2_000, "c": 9_000}
PHASES = Schedule(tuple(SIZES), np.array([0.6, 0.4]), np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
TOKENS = {name: 10_000 * d + np.arange(size) for d, (name, size) in enumerate(SIZES.items())}


class Watched:
    """Tokens that tell when they are read, wait for a gate, and fail from some reading on."""

    def __init__(self, fails_at: int = 10**9) -> None:
        self.fails_at, self.read = fails_at, 0
        self.gate, self.changed = threading.Event(), threading.Condition()
        self.gate.set()

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, part: slice) -> np.ndarray:
        assert self.gate.wait(60)
        with self.changed:
            self.read += 1
            self.changed.notify_all()
            if self.read > self.fails_at:
                raise RunError("s3://lake/shard", "does not answer", "rerun")
        return np.arange(part.start, part.stop)

    def wait_until_read(self, times: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.read >= times, 60)


def mixed(shuffle_tokens: int | None = None) -> MixtureLoader:
    return MixtureLoader(
        TOKENS, PHASES, context=CONTEXT, sequences=STEPS * BATCH, seed=5, shuffle_tokens=shuffle_tokens
    )


def watched(tokens: Watched, steps: int = STEPS) -> MixtureLoader:
    return MixtureLoader({"d": tokens}, {"d": 1.0}, context=CONTEXT, sequences=steps * BATCH, seed=5)


def batches_of(world: int, first: int = 0) -> Generator[np.ndarray, None, None]:
    """The whole batches, put together from what all ranks read."""
    with ExitStack() as open_ranks:
        ranks = [
            open_ranks.enter_context(
                Batches(mixed(), batch_sequences=BATCH, first=first, rank=rank, world=world)
            )
            for rank in range(world)
        ]
        for parts in zip(*ranks, strict=True):
            yield np.concatenate(parts)


@pytest.mark.parametrize("world", [1, 2, 3, 5, 24, 30])
def test_a_batch_is_the_same_for_any_number_of_ranks_over_ends_of_epochs_and_phases(world: int) -> None:
    loader = mixed()
    assert loader.epochs()["a"] > 5
    everything = loader.sequences_at(np.arange(STEPS * BATCH)).reshape(STEPS, BATCH, CONTEXT + 1)
    found = list(batches_of(world))
    assert len(found) == STEPS
    assert all((one == other).all() for one, other in zip(found, everything, strict=True))


@pytest.mark.parametrize("step, before, after", [(0, 2, 4), (3, 4, 2), (23, 2, 3), (24, 1, 8), (39, 8, 1)])
def test_a_run_goes_on_at_any_step_with_other_ranks_as_if_it_had_not_stopped(
    step: int, before: int, after: int
) -> None:
    whole = list(batches_of(1))
    with closing(batches_of(before)) as begun:
        resumed = [*itertools.islice(begun, step), *batches_of(after, first=step)]
    assert len(resumed) == len(whole)
    assert all((one == other).all() for one, other in zip(resumed, whole, strict=True))


@pytest.mark.parametrize(
    "asked", [[0, 1, 2, 0, 1], [5, 3, 4, 5, 30, 31], [38, 39, 40, 41, 0], [80, 81, 2], [7, 7, 7]]
)
def test_any_batch_may_be_asked_for_and_after_the_last_comes_the_first(asked: list[int]) -> None:
    everything = mixed().sequences_at(np.arange(STEPS * BATCH)).reshape(STEPS, BATCH, CONTEXT + 1)
    with Batches(mixed(), batch_sequences=BATCH, rank=1, world=2) as batches:
        for number in asked:
            assert (batches.at(number) == everything[number % STEPS, BATCH // 2 :]).all()
    assert not threads()


def test_a_run_that_was_read_to_its_end_has_no_more_batches() -> None:
    batches = Batches(mixed(), batch_sequences=BATCH, first=STEPS)
    assert list(batches) == []
    assert next(batches, None) is None


def test_batches_are_read_before_they_are_asked_for_and_no_more_than_have_room() -> None:
    tokens = Watched()
    with Batches(watched(tokens), batch_sequences=BATCH) as batches:
        assert tokens.wait_until_read((READY + 1) * BATCH)
        next(batches)
        assert tokens.wait_until_read((READY + 2) * BATCH)
        assert tokens.read == (READY + 2) * BATCH


class Shards(Watched):
    """Tokens in shards of which each holds a batch, and which tell when they are fetched and let go."""

    room = None
    ends = np.arange(1, STEPS + 1) * BATCH * CONTEXT

    def __init__(self) -> None:
        super().__init__()
        self.held: list[int] = []

    def __len__(self) -> int:
        return int(self.ends[-1]) + 1

    def hold(self, shard: int) -> None:
        with self.changed:
            self.held.append(shard)
            self.changed.notify_all()

    def let_go(self, shard: int) -> None:
        with self.changed:
            self.held.remove(shard)
            self.changed.notify_all()


def test_shards_are_fetched_for_so_many_batches_ahead_and_go_with_the_last_of_them() -> None:
    shards, ahead = Shards(), 5
    made = MixtureLoader(
        {"d": shards},
        {"d": 1.0},
        context=CONTEXT,
        sequences=STEPS * BATCH,
        seed=5,
        shuffle_tokens=BATCH * CONTEXT,  # a buffer is a shard
    )
    windows = made.places_at(np.arange(STEPS * BATCH))[1].reshape(STEPS, BATCH)
    order = (windows[:, 0] // BATCH).tolist()
    assert (windows // BATCH == np.array(order)[:, None]).all()
    shards.gate.clear()
    with Batches(made, batch_sequences=BATCH, ahead=ahead), shards.changed:
        assert shards.changed.wait_for(lambda: sorted(shards.held) == sorted(order[:ahead]), 60)
        shards.gate.set()
        read = READY + 1  # of which the last waits for room
        wanted = sorted(order[read : READY + ahead])
        assert shards.changed.wait_for(lambda: sorted(shards.held) == wanted, 60)
    assert shards.held == []


def test_what_is_left_after_the_last_whole_batch_is_not_read() -> None:
    made = MixtureLoader(TOKENS, PHASES, context=CONTEXT, sequences=3 * BATCH + 5, seed=5)
    with Batches(made, batch_sequences=BATCH) as batches:
        assert len(list(batches)) == 3


def test_waiting_for_a_batch_is_told_and_reading_one_that_is_there_is_not() -> None:
    tokens = Watched()
    tokens.gate.clear()
    with Batches(watched(tokens, steps=READY), batch_sequences=BATCH) as batches:
        opened = threading.Timer(0.05, tokens.gate.set)
        opened.start()
        next(batches)
        waited = batches.wait_seconds
        assert waited > 0.01
        assert tokens.wait_until_read(READY * BATCH)
        assert ended()
        next(batches)
        assert batches.wait_seconds - waited < waited


def test_what_fails_in_the_background_is_raised_after_the_batches_before_it() -> None:
    batches = Batches(watched(Watched(fails_at=3 * BATCH)), batch_sequences=BATCH)
    expected = watched(Watched()).sequences_at(np.arange(3 * BATCH)).reshape(3, BATCH, CONTEXT + 1)
    for batch in expected:
        assert (next(batches) == batch).all()
    with pytest.raises(RunError, match="s3://lake/shard: does not answer; rerun"):
        next(batches)
    assert list(batches) == []
    assert not threads()


@pytest.mark.parametrize("read", [0, 1, 7])
def test_whoever_stops_early_leaves_no_thread(read: int) -> None:
    with Batches(mixed(), batch_sequences=BATCH) as batches:
        for _ in range(read):
            next(batches)
    assert not threads()
    assert next(batches, None) is None


def threads() -> list[str]:
    """Names of threads that read."""
    return [t.name for t in threading.enumerate() if t.name.startswith(("batches", "shards"))]


def ended() -> bool:
    """Waits until nothing reads any more."""
    for thread in threading.enumerate():
        if thread.name.startswith(("batches", "shards")):
            thread.join(60)
    return not threads()
