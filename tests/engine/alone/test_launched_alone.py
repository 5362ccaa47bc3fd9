"""Operators alone whose work is done elsewhere: what will not do is told in the arguments' words, before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.alone import Lake, lines_of, run_alone, texts
from mashbill.alone import AloneWork
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, RunError
from mashbill.stages.given_run import given_run, keep_run


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
    (line,) = [line for line in str(told.value).splitlines() if line.startswith("Task one: output: ")]
    assert "which the pods of ingest do not see; give an s3:// address" in line


def test_a_backend_is_asked_before_work_is_sent_and_not_when_its_result_is_fetched(tmp_path: Path) -> None:
    away = {"backend": "ssh", "ssh": {"hosts": ["me@127.0.0.1:1"]}}
    with pytest.raises(RunError, match="does not answer"):
        _ = work(tmp_path, **away).job
    assert work(tmp_path, asks=False, **away).job.config.launch.keys() == {"ingest"}


ODD = ("Pile (CC)", "arXiv/2", "code")
"""Names that a table may have in its head, and a config may not."""


@pytest.mark.parametrize("stage", ["sweep", "train", "fit"])
def test_where_it_is_sent_a_stage_is_what_it_was_made_of_shards_or_tables(stage: str, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    shares = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0], 20)
    given: dict[str, Any] = {"output": f"{lake.root}/out", "scratch": str(tmp_path / "scratch")}
    if stage == "fit":
        runs = {str(run): row for run, row in enumerate(shares.tolist())}
        given["mixtures"] = {run: dict(zip(ODD, row, strict=True)) for run, row in runs.items()}
        given |= {"losses": {run: {"code": 3 - row[0]} for run, row in runs.items()}, "target": {"code": 1.0}}
    else:
        files = {name: lake.put(f"{name}.jsonl", lines_of({"text": texts(30)})) for name in ("web", "papers")}
        shards = {"documents": files, "vocabulary": 300, "validation_share": 0.1}
        run_alone("tokenize", **shards, output=f"{lake.root}/shards", scratch=given["scratch"])
        given["tokens"] = f"{lake.root}/shards"
        one = {"web": 0.5, "papers": 0.5}
        given |= {"mixtures": [one, {"web": 1.0}]} if stage == "sweep" else {"mixture": one}
    sent = LaunchConfig.model_validate({"backend": "local"})
    job = AloneWork(stage, given, "Task one", launch=sent).job
    there = given_run(keep_run(job), stage)
    assert there.fingerprint == job.fingerprint
    assert there.config.domain_names == (ODD if stage == "fit" else ("web", "papers"))
