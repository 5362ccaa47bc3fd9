"""What a job elsewhere makes is what this process makes, and so are its errors; nodes train together."""

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.corpus import SMALL_SWEEP, corpus_config, easy_and_hard, write_jsonl
from builders.final_training import in_one_store, losses, prepare, with_training
from builders.memory_cluster import Cluster, ClusterBackend, SteppedStorage
from builders.processes import processes_about
from mashbill.artifacts import Artifact
from mashbill.config import LaunchConfig, PipelineConfig
from mashbill.errors import ConfigError, DataError, MashbillError, Problems, RunError
from mashbill.launch.backend import Failure, Handle, JobState
from mashbill.launch.node import Node
from mashbill.launch.records import Attempt
from mashbill.launch.submission import Submitted
from mashbill.launch.told import ERROR, log_of, name_of, progress_of, text_of
from mashbill.launch.torchrun import PausedError
from mashbill.stages import STAGES, StageJob, job_of
from mashbill.stages.elsewhere import Elsewhere, parts_of
from mashbill.stages.following import Seen, failure_of, run_elsewhere
from mashbill.stages.given_run import given_run, keep_run
from mashbill.stages.part import run_given


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of whoever submits."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def launched(config: PipelineConfig, stage: str, **takes: Any) -> PipelineConfig:
    """The config, with a stage sent elsewhere."""
    values = config.model_dump(mode="json") | {
        "launch": {stage: LaunchConfig(**takes).model_dump(mode="json")}
    }
    return PipelineConfig.model_validate(values)


def small(folder: Path, *, text: str = "The number {i} comes before {j}.") -> PipelineConfig:
    """A corpus of two domains."""
    for name in "ab":
        write_jsonl(folder / f"{name}.jsonl", [text.format(i=i, j=i + 1) + name for i in range(200)])
    return corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"})


def elsewhere(job: StageJob) -> Elsewhere:
    found = Elsewhere.of(job)
    assert found is not None
    return found


def sums(artifact: Artifact) -> Mapping[str, str]:
    return {file.path: file.sha256 for file in artifact.manifest.files}


def nobody(seen: Seen) -> None:
    """Looks at no job."""


def jobs_in(home: Path) -> list[str]:
    """Jobs that ever ran on this machine."""
    return sorted(folder.name for folder in (home / ".mashbill-jobs").glob("[!.]*"))


def test_a_stage_run_elsewhere_gives_what_it_gives_here(tmp_path: Path, home: Path) -> None:
    config = small(tmp_path)
    here = job_of(STAGES["ingest"], config.model_copy(update={"artifacts": "here"}), {}).run()
    there = run_elsewhere(elsewhere(job_of(STAGES["ingest"], launched(config, "ingest"), {})), nobody)
    assert (there.fingerprint, sums(there)) == (here.fingerprint, sums(here))
    (name,) = jobs_in(home)
    assert re.fullmatch(r"ingest-whole-[0-9a-f]{8}-1", name)
    again = run_elsewhere(elsewhere(job_of(STAGES["ingest"], launched(config, "ingest"), {})), nobody)
    assert (again.address, jobs_in(home)) == (there.address, [name])


@pytest.mark.slow
def test_parts_run_in_one_job_on_one_machine_and_are_collected_here(tmp_path: Path, home: Path) -> None:
    extra = "[sweep]\ntokens = 2_000\nevaluations = 1\ngroup_size = 2\n[mix]\ntarget = { easy = 1.0 }\n"
    config, done = easy_and_hard(tmp_path, SMALL_SWEEP + extra, then=("plan",))
    here = job_of(STAGES["sweep"], config, done)
    job = job_of(STAGES["sweep"], launched(config, "sweep", processes=2), done)
    assert (job.fingerprint, len(job.part_names())) == (here.fingerprint, 3)
    found: list[Seen] = []
    made = run_elsewhere(elsewhere(job), found.append)
    assert len(jobs_in(home)) == 1
    told = progress_of(found[-1].submitted.attempt)
    assert told is not None
    assert (told.done, told.message) == (1.0, "3 of 3 parts")
    here.discard()
    (table,) = (name for name in made.names() if name.startswith("losses"))
    assert here.run().file(table).read_text() == made.file(table).read_text()


def test_an_error_elsewhere_is_the_error_here_and_a_rerun_is_another_attempt(
    tmp_path: Path, home: Path
) -> None:
    config = small(tmp_path)
    (tmp_path / "b.jsonl").write_text("no JSON\n" * 50)
    job = job_of(STAGES["ingest"], launched(config, "ingest"), {})
    with pytest.raises(DataError) as there:
        run_elsewhere(elsewhere(job), nobody)
    with pytest.raises(DataError) as here:
        job.run()
    assert (str(there.value), type(there.value)) == (str(here.value), type(here.value))
    for number in (1, 2):
        assert [name.rpartition("-")[2] for name in jobs_in(home)] == [str(i + 1) for i in range(number)]
        with pytest.raises(DataError):
            run_elsewhere(elsewhere(job), nobody)


@pytest.mark.parametrize(
    "state, told, line",
    [
        (
            JobState("failed", failure=Failure("pod-x1", "gpu-7", 1, "OOMKilled", 137, "words")),
            {0: RunError("torchrun", "exited with 1: lost its peer", "see the log")},
            "job ingest-1: failed (pod-x1 on gpu-7, node 1: OOMKilled)",
        ),
        (
            JobState("failed", failure=Failure("node 1", "gpu-7", 1, "exit code 2", 2)),
            {0: RunError("torchrun", "lost its peer", "wait"), 1: DataError("a.jsonl", "is bad", "mend it")},
            "a.jsonl: is bad; mend it",
        ),
        (
            JobState("failed", failure=Failure("pod", "gpu-7", None, "exit code 1", 1)),
            {1: RunError("disk", "is full", "free it"), 0: RunError("torchrun", "lost its peer", "wait")},
            "disk: is full; free it",
        ),
        (
            JobState("failed", failure=Failure("pod", "gpu-7", 0, "exit code 75", 75)),
            {0: PausedError("training", "was asked to end and saved at step 7", "run again to go on")},
            "training: was asked to end and saved at step 7; run again to go on",
        ),
        (
            JobState("failed", failure=Failure("pod", "gpu-7", 0, "exit code 2", 2)),
            {0: Problems([ConfigError("a", "is one", "mend it"), ConfigError("b", "is two", "mend it")])},
            "a: is one; mend it\nb: is two; mend it",
        ),
        (JobState("failed", "exceeded its deadline"), {}, "job ingest-1: exceeded its deadline"),
        (JobState("gone", "was deleted by someone else"), {}, "job ingest-1: was deleted by someone else"),
    ],
)
def test_of_several_reasons_the_one_that_began_it_is_told(
    state: JobState, told: Mapping[int, MashbillError], line: str, tmp_path: Path
) -> None:
    attempt = Attempt(SteppedStorage(tmp_path), "jobs/ingest/0/whole/1")
    for node, error in told.items():
        attempt.write(name_of(node, ERROR), text_of(error))
    error = failure_of(Submitted(attempt, Handle("job", "ingest-1", "", "", {})), state)
    assert str(error).startswith(line)
    assert str(error).count("\n") == line.count("\n")
    assert error is not None
    assert error.exit_code == (75 if "step 7" in line else error.exit_code)


def test_where_results_are_objects_of_a_bucket_the_bucket_is_all_that_is_shared(
    tmp_path: Path, home: Path, root: str
) -> None:
    config = small(tmp_path).model_copy(update={"artifacts": root})
    found: list[Seen] = []
    job = job_of(STAGES["ingest"], launched(config, "ingest"), {})
    made = run_elsewhere(elsewhere(job), found.append)
    assert made.address.startswith(f"{root}/ingest/")
    attempt = found[-1].submitted.attempt
    assert attempt.order.command[4].startswith(f"{root}/runs/")
    end, told = attempt.end, progress_of(attempt)
    assert end == JobState("succeeded")
    assert told is not None
    assert "starting" in (log_of(attempt, 0) or "")
    again = Submitted.of(found[-1].submitted.as_json(), tmp_path / "other")
    assert again.attempt.end == end
    job.discard()
    assert run_elsewhere(elsewhere(job), nobody).fingerprint == made.fingerprint
    assert len(jobs_in(home)) == 2


def test_a_machine_that_would_make_another_result_refuses(tmp_path: Path) -> None:
    config = small(tmp_path)
    address = keep_run(job_of(STAGES["ingest"], config, {}))
    assert given_run(address, "ingest").fingerprint == job_of(STAGES["ingest"], config, {}).fingerprint
    write_jsonl(tmp_path / "a.jsonl", ["Another text."])
    with pytest.raises(ConfigError, match="would make another result here"):
        given_run(address, "ingest")
    with pytest.raises(ConfigError, match="is a run of ingest, not of filter"):
        given_run(address, "filter")
    with pytest.raises(ConfigError, match="is not there"):
        given_run(address.replace(".json", "0.json"), "ingest")
    with pytest.raises(ConfigError, match="is no address of a run"):
        given_run(str(tmp_path / "config.toml"), "ingest")
    Path(address).write_text(Path(address).read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataError, match="was changed since it was written"):
        given_run(address, "ingest")


def test_a_run_is_kept_once_and_finds_its_root_wherever_that_is(tmp_path: Path) -> None:
    config = small(tmp_path)
    job = job_of(STAGES["ingest"], config, {})
    assert keep_run(job) == keep_run(job_of(STAGES["ingest"], config, {}))
    moved = tmp_path / "mounted"
    Path(config.resolve(config.artifacts)).rename(moved)
    assert given_run(f"{moved}/runs/{Path(keep_run(job)).name}", "ingest").store.storage.root == str(moved)


def sweep_of_six(folder: Path, cluster: Cluster, **takes: Any) -> Elsewhere:
    """A sweep of six parts on a cluster."""
    extra = "[sweep]\ntokens = 2_000\ngroup_size = 1\n[mix]\ntarget = { easy = 1.0 }\n"
    config, done = easy_and_hard(folder, SMALL_SWEEP + extra, then=("plan",))
    takes = {"backend": "job", "image": "i", **takes}
    backend = ClusterBackend(cluster)
    job = job_of(STAGES["sweep"], launched(config, "sweep", **takes), done)
    return Elsewhere(job, job.config.launch["sweep"], lambda order: backend)


def test_jobs_of_two_stores_have_two_names_and_all_have_their_variables(tmp_path: Path) -> None:
    cluster, variables, given = Cluster(), {"NCCL_DEBUG": "INFO"}, small(tmp_path)
    for root in ("one", "two", "one"):
        config = given.model_copy(update={"artifacts": root})
        job = job_of(STAGES["ingest"], launched(config, "ingest", environment=variables), {})
        backend = ClusterBackend(cluster)
        assert Elsewhere(job, job.config.launch["ingest"], lambda order, to=backend: to).submit([])
    assert len(cluster.made) == 2
    assert all(order.environment == variables for order in cluster.orders.values())


def test_neighbouring_parts_share_as_many_jobs_as_may_be(tmp_path: Path) -> None:
    cluster = Cluster()
    sweep = sweep_of_six(tmp_path, cluster, max_jobs=4)
    submitted = sweep.submit_all()
    shared = [parts_of(one.attempt.order) for one in submitted]
    assert [part for parts in shared for part in parts] == sweep.job.part_names()
    assert [len(parts) for parts in shared] == [1, 2, 1, 2]
    assert all(re.fullmatch(r"[a-z]([a-z0-9-]{0,46}[a-z0-9])?", name) for name in cluster.made)
    assert [one.handle for one in sweep.submit_all()] == [one.handle for one in submitted]
    assert len(cluster.made) == 4


def test_parts_that_a_job_makes_are_given_to_no_other_however_they_are_cut(tmp_path: Path) -> None:
    cluster = Cluster()
    sweep = sweep_of_six(tmp_path, cluster, max_jobs=2)
    sweep.submit_all()
    cluster.states[cluster.made[0]] = JobState("failed")
    again = replace(sweep, takes=sweep.takes.model_copy(update={"max_jobs": 6}))
    again.submit_all()
    running = [parts_of(cluster.orders[name]) for name in cluster.alive]
    assert sorted(part for parts in running for part in parts) == sorted(again.job.part_names())
    assert len(cluster.made) == 5


def test_some_parts_are_those_of_jobs_under_way_that_were_cut_otherwise(tmp_path: Path) -> None:
    cluster = Cluster()
    sweep = sweep_of_six(tmp_path, cluster)
    names = sweep.job.part_names()
    first, second = (sweep.submit(names[start : start + 2]) for start in (0, 2))
    jobs = sweep.submit_some(names[1:3])
    assert jobs == [first, second]
    jobs = sweep.submit_some(names[3:])
    assert jobs[0] == second
    assert [parts_of(one.attempt.order) for one in jobs[1:]] == [tuple(names[4:])]
    assert len(cluster.made) == 3
    with pytest.raises(RunError, match=f"its part {names[1]} is not in .*its job should have put it"):
        sweep.collect_some(names[1:3])


def test_a_node_refuses_what_is_none_of_its_stage(tmp_path: Path) -> None:
    job = job_of(STAGES["ingest"], small(tmp_path), {})
    address = keep_run(job)
    with pytest.raises(ConfigError, match=r"stage ingest: has no parts; leave the parts out"):
        run_given(address, "ingest", ["whole"], node=Node())
    with pytest.raises(ConfigError, match=r"stage ingest: is run on 2 nodes, and knows one; leave nodes out"):
        run_given(address, "ingest", [], node=Node(0, 2))
    assert job.find() is None


@pytest.mark.parametrize("backend", ["ray", "rayjob"])
def test_a_driver_on_a_ray_cluster_spreads_its_stage_over_that(backend: str, tmp_path: Path) -> None:
    takes = {"backend": backend, "image": "i", "ray": {"address": "http://head:8265"}}
    config = launched(small(tmp_path), "ingest", **takes)
    engine = given_run(keep_run(job_of(STAGES["ingest"], config, {})), "ingest").config.engine
    assert (engine.runner, engine.ray_address) == ("ray", "auto")


@pytest.mark.slow
def test_two_nodes_on_one_machine_train_what_two_processes_train(tmp_path: Path, home: Path) -> None:
    inputs = prepare(tmp_path)
    plain = with_training(tmp_path, tmp_path / "plain", mixtures=("chosen",), processes_per_node=2)
    config = with_training(tmp_path, tmp_path / "store", mixtures=("chosen",), processes_per_node=1, nodes=2)
    given = in_one_store(config, inputs)
    job = StageJob(STAGES["train"], launched(config, "train", nodes=2, processes=1), given)
    found: list[Seen] = []
    made = run_elsewhere(elsewhere(job), found.append)
    assert losses(made) == losses(StageJob(STAGES["train"], plain, inputs).run())
    attempt = found[-1].submitted.attempt
    logs = [log_of(attempt, node) or "" for node in range(2)]
    assert all("joining" in logs[1] or "step" in text for text in logs)
    told = progress_of(attempt)
    assert told is not None
    assert re.search(r"step \d+ of \d+, loss \d", "".join(seen.words for seen in found))
    assert not processes_about(home)


@pytest.mark.slow
def test_a_training_that_is_asked_to_end_has_saved_and_goes_on_when_it_is_run_again(
    tmp_path: Path, home: Path
) -> None:
    config = with_training(
        tmp_path, tmp_path / "store", mixtures=("chosen",), tokens=204_800, max_epochs=1_000
    )
    given = in_one_store(config, prepare(tmp_path))
    job = StageJob(STAGES["train"], launched(config, "train", processes=2), given)

    def ask(seen: Seen) -> None:
        if seen.progress is not None and "step" in seen.progress.message and not asked:
            asked.append(int(seen.submitted.handle.uid.partition("-")[0]))
            os.kill(asked[0], signal.SIGTERM)

    asked: list[int] = []
    with pytest.raises(PausedError, match="was asked to end and saved at step") as paused:
        run_elsewhere(elsewhere(job), ask)
    assert paused.value.exit_code == 75
    again: list[Seen] = []
    run_elsewhere(elsewhere(job), again.append)
    assert "goes on" in (log_of(again[-1].submitted.attempt, 0) or "")
