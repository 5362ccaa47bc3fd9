"""Operators alone whose work is done elsewhere: what will not do is told in the arguments' words, before."""

from pathlib import Path
from typing import Any

import pytest

from builders.alone import Lake, lines_of
from mashbill.alone import AloneWork
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError


def work(folder: Path, *, asks: bool = True, **takes: Any) -> AloneWork:
    lake = Lake(str(folder / "lake"))
    given = {
        "documents": lake.put("raw/web.jsonl", lines_of({"text": ["One text.", "Another."]})),
        "output": f"{lake.root}/out",
        "scratch": str(folder / "scratch"),
    }
    return AloneWork("ingest", given, "Task one", launch=LaunchConfig.model_validate(takes), asks=asks)


def test_an_output_that_pods_do_not_see_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        _ = work(tmp_path, backend="job", image="i").job
    assert str(told.value).startswith("Task one: output: ")
    assert "which the pods of ingest do not see; give an s3:// address" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_backend_is_asked_before_work_is_sent_and_not_when_its_result_is_fetched(tmp_path: Path) -> None:
    away = {"backend": "ssh", "ssh": {"hosts": ["me@127.0.0.1:1"]}}
    with pytest.raises(ConfigError, match="does not answer"):
        _ = work(tmp_path, **away).job
    assert work(tmp_path, asks=False, **away).job.config.launch.keys() == {"ingest"}
