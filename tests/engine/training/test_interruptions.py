"""What a final training survives, and how it ends where it does not: damaged checkpoints, saves that fail, a
signal to end, text that throws it off."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from builders.final_training import checkpoints_in
from builders.known_models import bigram_table
from builders.one_worker import BATCH, CONTEXT, STEPS, Trained, ended, events, started, train, two_laws
from builders.token_stores import VOCABULARY, markov_stream, write_store
from mashbill.config.final_run import CheckpointsConfig, GuardConfig
from mashbill.mixtures import Schedule
from mashbill.tokens import TokenStore

pytestmark = pytest.mark.slow

KEPT = CheckpointsConfig(keep=2, retries=0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training of 64 steps that ended by itself, with its checkpoints of steps 32 and 48."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trained = train(folder, write_store(folder / "store", two_laws()), checkpoints=KEPT)
    assert checkpoints_in(folder / "scratch").steps() == [48, 32]
    return trained


def left_by(trained: Trained, folder: Path) -> Path:
    """A folder with what a training left, without its end."""
    shutil.copytree(trained.folder / "scratch", folder / "scratch")
    return folder


def same(one: Trained, other: Trained) -> bool:
    return all(np.array_equal(weight, other.weights[name]) for name, weight in one.weights.items())


def flip_a_byte(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def cut(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])


def lose(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.unlink()


def cut_the_record(folder: Path) -> None:
    record = folder / "checkpoint.json"
    record.write_text(record.read_text()[:-20])


@pytest.mark.parametrize("damage", [flip_a_byte, cut, lose, cut_the_record])
def test_a_damaged_checkpoint_is_never_loaded_and_the_one_before_is(
    damage: object, undisturbed: Trained, tmp_path: Path
) -> None:
    left = left_by(undisturbed, tmp_path / "left")
    assert callable(damage)
    damage(left / "scratch" / "checkpoints" / "step0000000048")
    again = train(left, undisturbed.store, checkpoints=KEPT)
    (told,) = [event for event in events(left) if event["kind"] == "checkpoint damaged"]
    assert told["step"] == 48
    assert [row["step"] for row in again.table("curve")] == list(range(1, STEPS + 1))
    assert same(again, undisturbed)


def test_a_damaged_checkpoint_takes_no_good_ones_place_among_those_kept(
    undisturbed: Trained, tmp_path: Path
) -> None:
    left = left_by(undisturbed, tmp_path / "left")
    flip_a_byte(left / "scratch" / "checkpoints" / "step0000000048")
    train(left, undisturbed.store, checkpoint_steps=44, checkpoints=CheckpointsConfig(keep=1))
    assert checkpoints_in(left / "scratch").steps() == [44]


def test_a_checkpoint_without_its_record_is_none(undisturbed: Trained, tmp_path: Path) -> None:
    left = left_by(undisturbed, tmp_path / "left")
    (left / "scratch" / "checkpoints" / "step0000000048" / "checkpoint.json").unlink()
    assert checkpoints_in(left / "scratch").last() == 32
    assert same(train(left, undisturbed.store, checkpoints=KEPT), undisturbed)


@pytest.mark.parametrize(
    "changed, text, words",
    [
        ({"shapes": {"other.weight": [3]}}, "", "is of another architecture"),
        ({}, "other", "was trained with another text"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_in_a_line(
    changed: dict[str, object], text: str, words: str, undisturbed: Trained, tmp_path: Path
) -> None:
    left = left_by(undisturbed, tmp_path / "left")
    record = left / "scratch" / "checkpoints" / "step0000000048" / "checkpoint.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changed))
    code, said = ended(started(left, undisturbed.store, text=text, checkpoints=KEPT))
    assert code == 2
    assert f"DataError: {tmp_path}/left/scratch/checkpoints/step0000000048: {words}" in said


def test_milestones_are_kept_beside_the_last(undisturbed: Trained, tmp_path: Path) -> None:
    kept = CheckpointsConfig(keep=1, milestone_steps=16)
    train(tmp_path, undisturbed.store, checkpoint_steps=8, checkpoints=kept)
    assert checkpoints_in(tmp_path / "scratch").steps() == [56, 48, 32, 16]


def test_saves_that_fail_with_a_good_one_between_are_told_and_training_goes_on(
    undisturbed: Trained, tmp_path: Path
) -> None:
    (tmp_path / "scratch" / "checkpoints").mkdir(parents=True)
    for step in (16, 48):
        (tmp_path / "scratch" / "checkpoints" / f"step{step:010}").touch()  # where a folder is to be
    again = train(tmp_path, undisturbed.store, checkpoints=KEPT.model_copy(update={"failures": 2}))
    told = [(event["kind"], event["step"]) for event in events(tmp_path)]
    assert told == [("checkpoint failed", 16), ("checkpoint failed", 48)]
    assert checkpoints_in(tmp_path / "scratch").steps() == [32]
    assert same(again, undisturbed)


def test_saves_that_fail_one_after_the_other_end_it_with_words(undisturbed: Trained, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "checkpoints").touch()
    failing = CheckpointsConfig(retries=0, failures=2)
    code, said = ended(started(tmp_path, undisturbed.store, checkpoints=failing))
    assert code == 1
    assert "checkpoint: failed 2 times one after the other" in said
    assert "there is no good one" in said


def test_a_training_asked_to_end_saves_and_goes_on_later_as_if_nothing_had_been(
    undisturbed: Trained, tmp_path: Path
) -> None:
    steps = 500
    settings = {"checkpoint_steps": 10_000, "tokens": steps * BATCH * CONTEXT}
    process = started(tmp_path / "asked", undisturbed.store, **settings)
    wait_for_step(process, tmp_path / "asked", 10)
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 0, said[-2_000:]
    scratch = tmp_path / "asked" / "scratch"
    step = int((scratch / "paused").read_text())
    assert 10 <= step < steps
    assert checkpoints_in(scratch).steps() == [step]
    assert not (tmp_path / "asked" / "output" / "model").exists()
    again = train(tmp_path / "asked", undisturbed.store, **settings)
    assert same(again, train(tmp_path / "whole", undisturbed.store, **settings))


def wait_for_step(process: "subprocess.Popen[str]", folder: Path, step: int) -> None:
    """Wait until a training has taken so many steps."""
    curve, until = folder / "scratch" / "curve.csv", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if curve.exists() and len(curve.read_text().splitlines()) > step:
            return
        time.sleep(0.01)
    raise AssertionError(f"no step {step}: {process.communicate()[0][-2_000:]}")


def steady_and_noise(folder: Path) -> TokenStore:
    """A domain of one word again and again, and one of words drawn at random."""
    noise = np.random.default_rng(5).integers(1, VOCABULARY, 4_000)
    steady = np.tile([1, 2], 8_000)
    return write_store(folder, {"a": (steady, steady[:70]), "b": (noise, noise[:70])})


GUARD = GuardConfig(window=16, deviations=8.0, rollback_after=3, rollbacks=2)
THROWN = [32, 3, 21, 3, 2, 1, 2]
"""Batches of steady text and of noise by turns: 32 to 34, 56 to 58 and 61 are noise."""


@pytest.fixture(scope="module")
def thrown_off(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training that noise threw off twice, and a third time for a step, and that ended by itself."""
    folder = tmp_path_factory.mktemp("thrown_off")
    code, said = ended(thrown(folder, steady_and_noise(folder / "store"), GUARD))
    assert code == 0, said[-4_000:]
    return Trained(TokenStore(folder / "store"), folder)


def thrown(folder: Path, store: TokenStore, guard: GuardConfig) -> "subprocess.Popen[str]":
    turns = np.array([[1.0, 0.0], [0.0, 1.0]])[np.arange(len(THROWN)) % 2]
    there = Schedule(("a", "b"), np.array(THROWN) / sum(THROWN), turns)
    return started(folder, store, there, guard=guard, checkpoint_steps=8)


def test_text_that_throws_it_off_is_skipped_and_after_several_steps_left_out(thrown_off: Trained) -> None:
    """Steps 33 to 35 read batches 32 to 34; those from 33 on then read 35 on, 54 to 56 thus 56 to 58; those
    from 49 on then read 59 on, and 51 thus 61."""
    told = [(event["kind"], event["step"]) for event in events(thrown_off.folder)]
    skipped, back = "skipped", "went back"
    assert told == [
        *[(skipped, 33), (skipped, 34), (skipped, 35), (back, 32)],
        *[(skipped, 54), (skipped, 55), (skipped, 56), (back, 48)],
        (skipped, 51),
    ]
    assert "its loss of" in events(thrown_off.folder)[0]["words"]
    assert "back to step 32, and 3 batches of text are left out" in events(thrown_off.folder)[3]["words"]
    assert "back to step 48, and 8 batches of text are left out" in events(thrown_off.folder)[7]["words"]
    assert [row["step"] for row in thrown_off.table("curve")] == list(range(1, STEPS + 1))


def test_who_goes_on_later_leaves_out_what_was_left_out_and_trains_the_same_model(
    thrown_off: Trained, tmp_path: Path
) -> None:
    left = left_by(thrown_off, tmp_path / "left")
    code, said = ended(thrown(left, thrown_off.store, GUARD))
    assert code == 0, said[-4_000:]
    again = Trained(thrown_off.store, left)
    assert events(left) == events(thrown_off.folder)
    losses = ([row["loss"] for row in each.table("curve")] for each in (thrown_off, again))
    assert next(losses) == next(losses)
    assert same(again, thrown_off)


def test_text_that_goes_on_throwing_it_off_ends_it_with_words_though_it_was_begun_anew_between(
    thrown_off: Trained, tmp_path: Path
) -> None:
    left = left_by(thrown_off, tmp_path / "left")
    shutil.rmtree(left / "scratch" / "checkpoints" / "step0000000056")
    code, said = ended(thrown(left, thrown_off.store, GUARD.model_copy(update={"rollbacks": 1})))
    assert code == 1
    assert "3 steps one after the other were no good at step 56" in said
    assert "it went back 1 times before" in said
    told = events(left)[len(events(thrown_off.folder)) :]
    assert [(event["kind"], event["step"]) for event in told] == [("skipped", step) for step in (54, 55, 56)]


def test_text_that_throws_it_off_before_there_is_a_checkpoint_ends_it_with_words(
    thrown_off: Trained, tmp_path: Path
) -> None:
    halves = Schedule(("a", "b"), np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    code, said = ended(started(tmp_path, thrown_off.store, halves, guard=GUARD, checkpoint_steps=40))
    assert code == 1
    assert "no good at step 35, and there is no good checkpoint to go back to; lower" in said
    assert [row["step"] for row in Trained(thrown_off.store, tmp_path).table("curve")] == list(range(1, 36))


def test_a_skipped_step_changes_no_weight(tmp_path: Path) -> None:
    store = steady_and_noise(tmp_path / "store")
    halves = Schedule(("a", "b"), np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    patient = GUARD.model_copy(update={"rollback_after": 1_000})
    code, said = ended(started(tmp_path, store, halves, guard=patient, checkpoint_steps=STEPS // 2))
    assert code == 0, said[-2_000:]
    assert [event["step"] for event in events(tmp_path)] == list(range(STEPS // 2 + 1, STEPS + 1))
    before = checkpoints_in(tmp_path / "scratch").at(STEPS // 2)
    for name, weight in Trained(store, tmp_path).weights.items():
        held = before.values(name, 0, weight.size)["weight"].numpy()
        assert np.array_equal(held, weight.ravel()), name


def test_words_of_a_law_do_not_trip_the_guard(tmp_path: Path) -> None:
    table = bigram_table(31)
    streams = markov_stream(table, 9_000, 1), markov_stream(table, 70, 2)
    store = write_store(tmp_path / "store", {"a": streams})
    only = Schedule(("a",), np.array([1.0]), np.array([[1.0]]))
    code, said = ended(started(tmp_path, store, only, guard=GuardConfig(window=64)))
    assert code == 0, said[-2_000:]
    assert events(tmp_path) == []
