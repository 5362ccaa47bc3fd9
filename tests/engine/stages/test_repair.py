"""A result whose file was damaged or lost is named, and made again where that is asked for."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from builders.corpus import corpus_config, write_jsonl
from builders.shell import mashbill
from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.errors import DamagedError
from mashbill.stages import StageJob, stages_up_to
from mashbill.stages.repair import run_in_order
from mashbill.stages.stage import Stage


@pytest.fixture(params=["disk", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> PipelineConfig:
    """A corpus whose artifacts are on a disk or in a bucket."""
    for name in "ab":
        texts = [f"document {name} {i} with some words in it" for i in range(40)]
        write_jsonl(tmp_path / f"{name}.jsonl", texts)
    given = corpus_config(tmp_path, {name: f'{name}.jsonl, id_field = "id"' for name in "ab"})
    where = request.getfixturevalue("root") if request.param == "s3" else str(tmp_path / "artifacts")
    return given.model_copy(update={"artifacts": where, "scratch": str(tmp_path / "scratch")})


def run(config: PipelineConfig, *, repair: bool = False) -> dict[str, Artifact]:
    """Curation up to the documents without duplicates."""

    def begin(job: StageJob, _: dict[str, Artifact]) -> Artifact:
        return job.run()

    return run_in_order(config, stages_up_to("deduplicate"), begin, repair=repair)


def place(made: Artifact, name: str) -> str:
    """Path or address of a file of a result."""
    within = [made.address, made.manifest.attempt if name != "manifest.json" else "", name]
    return "/".join(filter(None, within))


def overwritten(address: str) -> None:
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"other")
    else:
        Path(address).write_bytes(b"other")


def changed(address: str) -> None:
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        content = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content[:-1] + b"?")
    else:
        Path(address).write_bytes(Path(address).read_bytes()[:-1] + b"?")


def removed(address: str) -> None:
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    else:
        Path(address).unlink()


def discard(config: PipelineConfig, done: dict[str, Artifact], stage: str) -> None:
    """Forget a result, so that its stage runs again."""
    inputs = {name: made for name, made in done.items() if name != stage}
    StageJob(next(s for s in stages_up_to(stage) if s.name == stage), config, inputs).discard()


@pytest.mark.parametrize("damage", [overwritten, changed, removed])
@pytest.mark.parametrize("stage", ["filter", "ingest"])
def test_a_damaged_input_is_named_and_made_again_where_that_is_asked_for(
    stage: str,
    damage: Callable[[str], None],
    config: PipelineConfig,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    done = run(config)
    for later in ("filter", "deduplicate")[stage == "filter" :]:
        discard(config, done, later)
    away = config.model_copy(update={"scratch": str(tmp_path / "elsewhere")})  # where no good copy is
    address = place(done[stage], next(n for n in done[stage].names("documents") if n.endswith(".parquet")))
    damage(address)
    with pytest.raises(DamagedError, match="as mashbill run --repair does") as caught:
        run(away)
    assert caught.value.where == address
    with caplog.at_level(logging.WARNING):
        again = run(away, repair=True)
    assert f"{stage} is made again" in caplog.text
    assert "came out otherwise" not in caplog.text
    for name, made in done.items():
        assert again[name].manifest.files == made.manifest.files
        assert all(again[name].sealed(file).opened() for file in made.names())


@pytest.mark.parametrize("damage", [overwritten, removed])
def test_a_damaged_manifest_is_a_damaged_result(
    damage: Callable[[str], None], config: PipelineConfig
) -> None:
    done = run(config)
    damage(place(done["filter"], "manifest.json"))
    if damage is overwritten:
        with pytest.raises(DamagedError, match="is not a manifest"):
            run(config)
    again = run(config, repair=damage is overwritten)
    assert again["filter"].manifest.files == done["filter"].manifest.files


def test_what_is_damaged_again_at_once_is_not_made_without_end(
    config: PipelineConfig, tmp_path: Path
) -> None:
    made: list[str] = []

    def begin(job: StageJob, done: dict[str, Artifact]) -> Artifact:
        if job.stage.name == "filter":
            made.append("ingest")
            raise DamagedError(f"{done['ingest'].address}/x", "is gone", "mend it")
        return job.run()

    with pytest.raises(DamagedError, match="is gone"):
        run_in_order(config, stages_up_to("filter"), begin, repair=True)
    assert len(made) == 2


def test_a_result_of_another_root_is_left_alone(config: PipelineConfig, tmp_path: Path) -> None:
    def begin(job: StageJob, _: dict[str, Artifact]) -> Artifact:
        if job.stage.name == "filter":
            raise DamagedError(str(tmp_path / "other" / "ingest" / "x"), "is gone", "mend it")
        return job.run()

    with pytest.raises(DamagedError, match="is gone"):
        run_in_order(config, stages_up_to("filter"), begin, repair=True)


OUTPUTS = {"drawn.txt": "bytes that no other run draws"}


def draws(run: StageRun) -> Counts:
    """A body, of a whole and of its parts, whose files come out otherwise each time."""
    for part in run.parts.values():
        part.file("drawn.txt")
    (run.output / "drawn.txt").write_text(os.urandom(8).hex())
    return {}


def reads(run: StageRun) -> Counts:
    """A body that reads it."""
    run.inputs["drawn"].file("drawn.txt")
    return {}


def two_parts(_: PipelineConfig, __: Mapping[str, Artifact]) -> list[str]:
    """Names of its parts."""
    return ["one", "two"]


DRAWN = Stage("drawn", "Drawn.", ("engine",), (), run=f"{__name__}:draws")
READ = Stage("read", "Read.", ("engine",), ("drawn",), run=f"{__name__}:reads")
IN_PARTS = replace(DRAWN, parts=f"{__name__}:two_parts", run_part=f"{__name__}:draws")


def test_files_that_come_out_otherwise_are_told(
    config: PipelineConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = StageJob(DRAWN, config, {}).run()
    changed(place(made, "drawn.txt"))
    away = config.model_copy(update={"scratch": str(tmp_path / "elsewhere")})
    run_in_order(away, [DRAWN, READ], lambda job, _: job.run(), repair=True)
    words = "1 files came out otherwise than before (drawn.txt); make again what was made from it (--force)"
    assert f"{made.address}: {words}" in caplog.text


def test_a_damaged_part_is_made_again_with_its_result(config: PipelineConfig, tmp_path: Path) -> None:
    job = StageJob(IN_PARTS, config, {})
    before = [job.run_part(name).manifest.files for name in ("one", "two")]
    part = job.find_part("two")
    assert part is not None
    changed(place(part, "drawn.txt"))
    away = config.model_copy(update={"scratch": str(tmp_path / "elsewhere")})
    with pytest.raises(DamagedError, match="has SHA-256"):
        run_in_order(away, [IN_PARTS], lambda job, _: job.run())
    done = run_in_order(away, [IN_PARTS], lambda job, _: job.run(), repair=True)
    assert done["drawn"].sealed("drawn.txt").opened()
    after = [found.manifest.files for name in ("one", "two") if (found := job.find_part(name)) is not None]
    assert len(after) == 2
    assert not set(before) & set(after)


@pytest.mark.slow
def test_the_shell_names_a_damaged_file_and_repairs_it(tmp_path: Path) -> None:
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", [f"document {name} {i} with words" for i in range(9)])
    config = corpus_config(tmp_path, {name: f"{name}.jsonl" for name in "ab"})
    done = run(config)
    discard(config, done, "deduplicate")
    file = place(done["filter"], next(iter(done["filter"].names("documents"))))
    changed(file)
    command = ("run", "deduplicate", "--config", str(tmp_path / "config.toml"))
    stopped = mashbill(*command)
    assert stopped.returncode == 2
    assert f"{file}: " in stopped.stderr.strip().splitlines()[-1]
    assert mashbill(*command, "--repair").returncode == 0
