"""What may be done in the buckets of artifacts and of sources is found before any stage runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from builders.corpus import corpus_config, write_jsonl
from builders.proxy import Faults, Held, Refused, denied
from mashbill.config import PipelineConfig
from mashbill.errors import RunError
from mashbill.stages import STAGES
from mashbill.stages.check import check_config
from mashbill.storage import retries

RIGHTS = {"list": "s3:ListBucket", "put": "s3:PutObject", "get": "s3:GetObject", "delete": "s3:DeleteObject"}


@pytest.fixture
def config(root: str, tmp_path: Path) -> PipelineConfig:
    """A config whose artifacts and a source of two files are in a bucket."""
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", [f"a text of {name}"])
    bucket = root.removeprefix("s3://").partition("/")[0]
    for name in ("empty", "first", "last"):
        body = b"" if name == "empty" else b'{"text": "here"}'
        boto3.client("s3").put_object(Bucket=bucket, Key=f"raw/{name}.jsonl", Body=body)
    given = corpus_config(tmp_path, {"a": "a.jsonl", "b": f"s3://{bucket}/raw/*.jsonl"})
    return given.model_copy(update={"artifacts": root, "scratch": str(tmp_path / "scratch")})


def problems(config: PipelineConfig) -> list[str]:
    """What will not do."""
    found = check_config(config, [STAGES["ingest"]])
    return [str(finding.problem) for finding in found if finding.problem is not None]


def keys(root: str) -> list[str]:
    """Keys under a root."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", ())]


def test_a_root_that_may_be_used_is_left_as_it_was(config: PipelineConfig) -> None:
    assert not problems(config)
    assert not keys(config.artifacts)


@pytest.mark.parametrize("kind", RIGHTS)
def test_a_right_that_is_missing_is_named_in_one_line(
    kind: str, config: PipelineConfig, behind: Callable[[Faults], Any], endpoint: str, monkeypatch: Any
) -> None:
    behind(denied(kind, under="mashbill-probe"))
    (problem,) = problems(config)
    assert problem.startswith(
        f"artifacts: {config.artifacts} cannot be used: the right {RIGHTS[kind]} is missing"
    )
    assert "; grant what is missing" in problem
    assert "\n" not in problem
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    left = keys(config.artifacts)
    assert [key in problem for key in left] == [True] * (kind == "delete")


def test_all_rights_that_are_missing_are_one_line(
    config: PipelineConfig, behind: Callable[[Faults], Any]
) -> None:
    behind(denied("put", "delete", under="mashbill-probe"))
    (problem,) = problems(config)
    assert "the rights s3:PutObject and s3:DeleteObject are missing" in problem
    behind(denied(*RIGHTS, under="mashbill-probe"))
    (problem,) = problems(config)
    assert "the rights s3:ListBucket and s3:PutObject and s3:DeleteObject are missing" in problem


def test_a_removal_that_is_denied_within_a_good_answer_is_named(
    config: PipelineConfig, behind: Callable[[Faults], Any]
) -> None:
    behind(lambda kind, path: Held("AccessDenied") if kind == "delete" else None)
    (problem,) = problems(config)
    assert "the right s3:DeleteObject is missing (the probe artifacts/mashbill-probe-" in problem


def test_a_bucket_that_is_not_there_is_named(config: PipelineConfig) -> None:
    (problem,) = problems(config.model_copy(update={"artifacts": "s3://no-such-lake/artifacts"}))
    assert problem.startswith("artifacts: s3://no-such-lake/")
    assert "there is no bucket no-such-lake; correct its name or AWS_ENDPOINT_URL, or make it" in problem


def test_a_store_that_does_not_answer_is_no_missing_right(
    config: PipelineConfig, behind: Callable[[Faults], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.001)
    behind(lambda kind, path: Refused() if "mashbill-probe" in path else None)
    (found,) = [f for f in check_config(config, []) if f.problem is not None]
    assert isinstance(found.problem, RunError), "which may pass by itself"
    assert "the store refused 8 times (SlowDown)" in str(found.problem)


@pytest.mark.parametrize("name", ["first", "last"])
def test_sources_that_may_be_listed_and_not_read_are_named(
    name: str, config: PipelineConfig, behind: Callable[[Faults], Any]
) -> None:
    behind(denied("get", under=f"raw/{name}.jsonl"))
    (problem,) = problems(config)
    assert problem.startswith("corpus.domains[1].sources[0].path: s3://")
    assert f"raw/{name}.jsonl: may not be read: the right s3:GetObject is missing" in problem
    assert "\n" not in problem


def test_sources_that_may_not_be_listed_are_named(
    config: PipelineConfig, behind: Callable[[Faults], Any]
) -> None:
    behind(denied("list", under="raw"))
    (problem,) = problems(config)
    assert problem.startswith("corpus.domains[1].sources[0].path: s3://")
    assert "the right s3:ListBucket is missing" in problem
