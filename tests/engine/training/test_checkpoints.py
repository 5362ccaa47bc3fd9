"""Checkpoints as they lie on a disk: any elements come back from whatever files hold them, and what is
damaged, unfinished or of no use any more counts for nothing."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.final_training import checkpoints_in
from builders.one_worker import SEED, SHAPE, TRAINING, two_laws
from builders.plain_adamw import arrays_of
from builders.token_stores import VOCABULARY, write_store
from mashbill.config.final_run import CheckpointsConfig
from mashbill.errors import DamagedError
from mashbill.models.huggingface import load_model
from mashbill.models.transformer import Transformer
from mashbill.training.checkpoint import CheckpointRecord, file_name, write_fragments
from mashbill.training.export import export_checkpoint, export_milestones
from mashbill.training.fragments import KINDS, Fragment
from mashbill.training.guard import GuardState
from mashbill.training.job import Job

WORLD = 3
EMBEDDING = "model.embed_tokens.weight"


def weights_at(step: int) -> dict[str, np.ndarray]:
    """The weights of a model that is another at each step."""
    return arrays_of(Transformer(SHAPE, VOCABULARY, SEED + step))


def save(folder: Path, step: int) -> Path:
    """A checkpoint of three processes, each of which holds a third of every parameter; the moments are the
    weights and one or two more. Its folder."""
    place = folder / "checkpoints" / f"step{step:010}"
    place.mkdir(parents=True)
    weights, files = {n: torch.from_numpy(w).flatten() for n, w in weights_at(step).items()}, []
    for rank in range(WORLD):
        cuts = {n: slice(len(w) * rank // WORLD, len(w) * (rank + 1) // WORLD) for n, w in weights.items()}
        held = [
            Fragment(n, cut.start, {kind: weights[n][cut] + i for i, kind in enumerate(KINDS)})
            for n, cut in cuts.items()
        ]
        files.append(write_fragments(held, place / file_name(rank, WORLD)))
    CheckpointRecord(
        step=step,
        batches=step,
        world_size=WORLD,
        zero_stage=1,
        shapes={n: list(w.shape) for n, w in weights_at(step).items()},
        identity={},
        guard=GuardState(losses=(), norms=()),
        files=files,
    ).write(place)
    return place


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def lose(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "start, end, ranks",
    [
        (0, 1.0, [0, 1, 2]),
        (0, 1 / 3, [0]),
        (1, 1 / 3, [0]),
        (0.5, 0.6, [1]),
        (0.3, 0.4, [0, 1]),
        (0.9, 1, [2]),
    ],
)
def test_any_elements_come_back_from_the_files_that_hold_them(
    start: float, end: float, ranks: list[int], tmp_path: Path
) -> None:
    save(tmp_path, 8)
    checkpoint, weight = checkpoints_in(tmp_path).at(8), weights_at(8)[EMBEDDING].ravel()
    first = start if isinstance(start, int) else round(start * len(weight))
    size = math.floor(end * len(weight)) - first
    found = checkpoint.values(EMBEDDING, first, size)
    for i, kind in enumerate(KINDS):
        assert (found[kind].numpy() == weight[first : first + size] + i).all()
    needed = checkpoint.files_of([(EMBEDDING, first, size)])
    assert [file.name for file in needed] == [file_name(rank, WORLD) for rank in ranks]


@pytest.mark.parametrize("damage", [flip, cut, lose])
def test_a_damaged_file_is_found_by_who_needs_it_and_named(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    place = save(tmp_path, 8)
    damage(place / file_name(1, WORLD))
    checkpoint = checkpoints_in(tmp_path).at(8)
    with pytest.raises(DamagedError, match=file_name(1, WORLD)):
        checkpoint.check(checkpoint.record.files)
    size = weights_at(8)[EMBEDDING].size
    checkpoint.check(checkpoint.files_of([(EMBEDDING, 0, size // 4), (EMBEDDING, size - 9, 9)]))


def test_elements_that_no_file_holds_are_told(tmp_path: Path) -> None:
    save(tmp_path, 8)
    checkpoint = checkpoints_in(tmp_path).at(8)
    size = weights_at(8)[EMBEDDING].size
    with pytest.raises(DamagedError, match=f"lacks elements of {EMBEDDING}"):
        checkpoint.values(EMBEDDING, size - 9, 10)


def test_those_that_are_kept_stay_with_what_is_being_saved_and_nothing_else_does(tmp_path: Path) -> None:
    for step in (8, 16, 24, 32):
        save(tmp_path, step)
    for step in (20, 40):  # one that was never finished, and one on its way
        (save(tmp_path, step) / CheckpointRecord.FILE).unlink()
    saved = checkpoints_in(tmp_path)
    assert saved.steps() == [32, 24, 16, 8]
    saved.forget([32, 16])
    left = sorted(int(path.name[len("step") :]) for path in (tmp_path / "checkpoints").iterdir())
    assert left == [16, 32, 40]
    saved.forget_after(16)
    assert saved.steps() == [16]


def test_whole_milestones_become_models_and_a_damaged_one_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = write_store(tmp_path / "store", two_laws())
    kept = TRAINING.model_copy(update={"checkpoints": CheckpointsConfig(milestone_steps=16)})
    Job(
        training=kept,
        seed=SEED,
        phases=[],
        tokens=str(store.folder),
        scratch=str(tmp_path),
        output=str(tmp_path / "output"),
        checkpoints=str(tmp_path),
        copies=str(tmp_path / "copies"),
        accelerator="cpu",
    ).write(tmp_path)
    places = [save(tmp_path, step) for step in (16, 32, 40)]
    flip(places[0] / file_name(2, WORLD))
    assert export_milestones(tmp_path, tmp_path / "milestones") == [32]
    assert [path.name for path in (tmp_path / "milestones").iterdir()] == ["step0000000032"]
    assert "the milestone of step 16 is left out" in caplog.text
    assert export_checkpoint(tmp_path, tmp_path / "last") == 40
    for folder, step in ((tmp_path / "milestones" / "step0000000032", 32), (tmp_path / "last", 40)):
        for name, weight in arrays_of(load_model(folder)).items():
            assert (weight == weights_at(step)[name]).all()
