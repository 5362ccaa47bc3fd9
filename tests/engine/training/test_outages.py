"""What a final training does when the world fails under it: disks that are full, and a store that is away."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.corpus import run_stage, stage_job
from builders.disks import PAGE, small_disk
from builders.final_training import checkpoints_in, losses, prepare, with_training
from builders.one_worker import STEPS, Trained, ended, events, started, train, two_laws
from builders.proxy import Fault, Gone, Refused
from builders.token_stores import write_store
from mashbill.config.final_run import CheckpointsConfig
from mashbill.errors import RunError
from mashbill.storage import open_storage
from mashbill.training.checkpoint import Checkpoints

pytestmark = pytest.mark.slow

EVERY = 8
ROOMY = 64_000_000


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training of 64 steps that ended by itself, with its checkpoints of steps 48 and 56."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(folder, write_store(folder / "store", two_laws()), checkpoint_steps=EVERY)


def same(one: Trained, other: Trained) -> bool:
    losses = ([(row["step"], row["loss"]) for row in each.table("curve")] for each in (one, other))
    return next(losses) == next(losses) and all((one.weights[n] == w).all() for n, w in other.weights.items())


def kinds(folder: Path) -> list[tuple[str, int]]:
    return [(event["kind"], event["step"]) for event in events(folder)]


def bytes_on_disk(folder: Path) -> int:
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_of_checkpoints_ends_it_with_a_good_one_that_it_goes_on_from(
    undisturbed: Trained, tmp_path: Path
) -> None:
    one = bytes_on_disk(undisturbed.folder / "scratch" / "checkpoints" / "step0000000056")
    settings = {"checkpoint_steps": EVERY, "checkpoints": CheckpointsConfig(retries=1, failures=2)}
    with small_disk(tmp_path / "scratch" / "checkpoints", one + one // 2) as disk:
        code, said = ended(started(tmp_path, undisturbed.store, **settings))
        assert code == 1
        assert "checkpoint: failed 2 times one after the other" in said
        assert "No space left on device" in said
        assert "the last good one is of step 8; mend the storage" in said
        retried, failed = "checkpoint retried", "checkpoint failed"
        assert kinds(tmp_path) == [(retried, 16), (failed, 16), (retried, 24), (failed, 24)]
        assert [path.name for path in disk.folder.iterdir()] == ["step0000000008"], "a rest takes room"
        disk.grow(ROOMY)
        again = train(tmp_path, undisturbed.store, **settings)
    assert same(again, undisturbed)


def test_a_full_scratch_disk_stops_no_step_until_checkpoints_fail(
    undisturbed: Trained, tmp_path: Path
) -> None:
    settings = {"checkpoint_steps": EVERY, "checkpoints": CheckpointsConfig(retries=0, failures=1)}
    elsewhere = tmp_path / "elsewhere"
    with small_disk(tmp_path / "scratch", ROOMY) as disk:
        left = undisturbed.folder / "scratch"
        for name in ("curve.csv", "evaluations.csv", "saves.csv", "metrics.jsonl"):
            shutil.copy(left / name, disk.folder)
        shutil.copytree(left / "checkpoints" / "step0000000048", elsewhere / "checkpoints" / "step0000000048")
        disk.fill()
        code, said = ended(started(tmp_path, undisturbed.store, saved_at=str(elsewhere), **settings))
        assert code == 1
        assert "checkpoint: failed 1 times one after the other" in said
        assert "the last good one is of step 48" in said
        assert "its lines wait, and training goes on" in said
        disk.free()
        again = train(tmp_path, undisturbed.store, saved_at=str(elsewhere), **settings)
        assert same(again, undisturbed)
        assert [row["step"] for row in again.table("evaluations")] == [STEPS // 2, STEPS]


def test_a_disk_that_fills_up_under_two_processes_ends_the_stage_in_a_line_and_costs_no_step(
    tmp_path: Path,
) -> None:
    steps = 240
    settings = {
        "tokens": steps * 8 * 32,
        "checkpoint_steps": 20,
        "max_epochs": 1_000,
        "checkpoints": CheckpointsConfig(retries=0, failures=2),
    }
    inputs = prepare(tmp_path)
    whole = losses(run_stage(with_training(tmp_path, tmp_path / "whole", **settings), "train", inputs))
    with small_disk(tmp_path / "small", ROOMY) as disk:
        job = stage_job(with_training(tmp_path, disk.folder, **settings), "train", inputs)
        saved = checkpoints_in(job.store.scratch_folder("train", job.fingerprint, "chosen"))

        def fill(share: float, words: str) -> None:
            if (saved.last() or 0) >= 20 and not (disk.folder / "filler").exists():
                disk.fill()

        job.progress = fill
        with pytest.raises(
            RunError, match=r"^(torchrun: .*checkpoint: failed 2 times|.*lies on a disk that is full)"
        ):
            job.run()
        assert (saved.last() or steps) < steps
        disk.free()
        job.progress = None
        assert losses(job.run()) == whole


def away_from(step: int, fault: Fault, requests: int | None = None) -> Callable[[str, str], Fault | None]:
    """A store that is away once the checkpoint of a step is put, for so many requests, or for good."""
    count = [-1]

    def faults(kind: str, path: str) -> Fault | None:
        if count[0] < 0 and kind == "put" and f"step{step:010}" in path:
            count[0] = 0
        if count[0] < 0 or (requests is not None and count[0] >= requests):
            return None
        count[0] += 1
        return fault

    return faults


@pytest.mark.parametrize(
    "fault", [Refused(503, "ServiceUnavailable"), Gone()], ids=lambda fault: type(fault).__name__
)
def test_a_store_that_comes_back_costs_nothing_and_is_told(
    fault: Fault, undisturbed: Trained, root: str, behind: Callable[..., Any], tmp_path: Path
) -> None:
    behind(away_from(16, fault, requests=9))  # one more than a request is tried
    settings = {"checkpoint_steps": EVERY, "checkpoints": CheckpointsConfig(retries=1, failures=1)}
    process = started(tmp_path, undisturbed.store, saved_at=root, **settings)
    code, said = ended(process)
    assert code == 0, said[-4_000:]
    assert "trying again in" in said
    assert kinds(tmp_path) == [("checkpoint retried", 16)]
    assert "the checkpoint of step 16 was tried again 1 times: s3://" in events(tmp_path)[0]["words"]
    assert Checkpoints(open_storage(root, tmp_path / "look")).steps() == [56, 48]
    assert same(Trained(undisturbed.store, tmp_path), undisturbed)


def test_a_store_that_stays_away_ends_it_with_a_good_checkpoint_that_it_goes_on_from(
    undisturbed: Trained,
    root: str,
    endpoint: str,
    behind: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    behind(away_from(16, Gone()))
    settings = {"checkpoint_steps": EVERY, "checkpoints": CheckpointsConfig(retries=0, failures=1)}
    code, said = ended(started(tmp_path, undisturbed.store, saved_at=root, **settings))
    assert code == 1
    assert "checkpoint: failed 1 times one after the other (s3://" in said
    assert "the last good one is of step 8; mend the storage" in said
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    again = train(tmp_path, undisturbed.store, saved_at=root, **settings)
    assert kinds(tmp_path) == [("checkpoint failed", 16)]
    assert same(again, undisturbed)
