"""What a node leaves in the record of its job: all that it said at its end, and nothing of others."""

import json
import logging
from pathlib import Path

import pytest

from builders.memory_cluster import SteppedStorage
from mashbill.errors import DataError
from mashbill.launch import telling
from mashbill.launch.records import Attempt
from mashbill.launch.telling import Telling
from mashbill.launch.told import error_of, log_of, progress_of


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(SteppedStorage(tmp_path / "store"), "jobs/train/0/whole/1")


def said(attempt: Attempt, node: int = 0) -> list[str]:
    return (log_of(attempt, node) or "").splitlines()


def test_the_last_words_of_processes_are_kept_and_those_of_others_are_not(
    attempt: Attempt, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    for name in ("try", "node-1", "later"):
        (folder / name).mkdir(parents=True)
    (folder / "try" / "torchrun.log").write_text("of an earlier try\n")
    (folder / "try" / "table.json").write_text("no log\n")
    with Telling(attempt, 0, "train") as one:
        one.gather_from(folder)
        with (folder / "try" / "torchrun.log").open("a") as file:
            file.write("step 1\n")
        (folder / "node-1" / "torchrun.log").write_text("another node's\n")
        (folder / "later" / "worker.log").write_text("the last words\n")
    assert sorted(said(attempt)) == ["step 1", "the last words"]


def test_lines_of_several_processes_are_whole_also_the_last_ones(attempt: Attempt, tmp_path: Path) -> None:
    with Telling(attempt, 0, "train") as one:
        one.gather_from(tmp_path / "work")
        (tmp_path / "work").mkdir()
        for words in ("step ", "1, loss 3\nkil", "led"):
            for rank in range(2):
                with (tmp_path / "work" / f"{rank}.log").open("a") as log:
                    log.write(f"{rank}: {words}" if words == "step " else words)
            one._gather()
        assert one.said.end()() == b"0: step 1, loss 3\n1: step 1, loss 3\n"
    assert said(attempt) == ["0: step 1, loss 3", "1: step 1, loss 3", "killed", "killed"]


def test_of_a_long_log_the_end_is_kept(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "KEPT_BYTES", 100)
    with Telling(attempt, 0, "train") as one:
        for number in range(50):
            one.said.say(f"line {number}\n".encode())
    assert said(attempt)[-1] == "line 49"
    assert len(log_of(attempt, 0) or "") == 100


def test_how_far_a_job_is_says_its_first_node(attempt: Attempt) -> None:
    for node, done in ((0, 0.4), (1, 0.9)):
        with Telling(attempt, node, "train") as one:
            one.progress(done, f"step of node {node}")
    told = progress_of(attempt)
    assert told is not None
    assert (told.done, told.message) == (0.4, "step of node 0")
    assert "step of node 1" in said(attempt, 1)[-1]


def test_an_error_is_told_as_that_of_its_node_and_a_fault_with_its_trace(attempt: Attempt) -> None:
    for node, error in enumerate((DataError("a.jsonl", "is bad", "mend it"), ZeroDivisionError("no"))):
        with pytest.raises(type(error)), Telling(attempt, node, "train"):
            raise error
    assert str(error_of(attempt, 0)) == "a.jsonl: is bad; mend it"
    assert str(error_of(attempt, 1)) == "stage train: failed on node 1 (ZeroDivisionError: no); see its log"
    assert "Traceback (most recent call last):" in said(attempt, 1)
    assert "Traceback (most recent call last):" not in said(attempt, 0)
    assert isinstance(error_of(attempt), DataError)  # the first that was told


def test_a_record_that_cannot_be_written_is_said_once_and_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "jobs").write_text("a file where a folder should be")
    with Telling(Attempt(SteppedStorage(tmp_path / "store"), "jobs/1"), 0, "train") as one:
        one.progress(0.5, "half")
    told = [record.message for record in caplog.records if "cannot be written" in record.message]
    assert len(told) == 1
    assert "work goes on" in told[0]


def test_what_others_say_is_as_loud_afterwards_as_before(
    attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    """Logging belongs to the process, and a stage may be one of many things that it does."""
    caplog.set_level(logging.ERROR)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with Telling(attempt, 0, "train"):
        logging.getLogger("mashbill.some").info("step 1")
    assert (root.level, list(root.handlers)) == before
    (line,) = said(attempt)
    assert line.endswith(" step 1")


def test_of_libraries_of_stores_warnings_alone_are_said(attempt: Attempt) -> None:
    with Telling(attempt, 0, "train"):
        for level in (logging.INFO, logging.WARNING):
            logging.getLogger("botocore.credentials").log(level, "found credentials (%d)", level)
        logging.getLogger("anyone").info("of theirs")
    assert [line.split(" ", 2)[2] for line in said(attempt)] == ["found credentials (30)", "of theirs"]


def test_what_is_kept_is_plain_json(attempt: Attempt) -> None:
    with Telling(attempt, 0, "train") as one:
        one.progress(1.7, "past the end")
    assert json.loads(attempt.read("progress.json") or "")["done"] == 1.0
