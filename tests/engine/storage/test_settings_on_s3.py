"""Every setting that takes a path takes an address: a stage makes of it what it makes of the same files on a
disk, whatever characters their keys have, and whoever keeps them."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from builders.corpus import run_stage, run_stages
from builders.given_settings import CASES, Case, configured, made_by, put, spelt, tokenizer
from builders.shell import mashbill
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.config.protected import protected_settings
from mashbill.documents import DOCUMENTS, EVALUATIONS, REFERENCES, DocumentStore
from mashbill.mixtures.reuse import Reuse
from mashbill.stages import STAGES, stages_up_to
from mashbill.stages.check import check_config
from mashbill.storage import open_storage

ODD = "year=2026/a+b & c/50%25 %zz/é ☕ 日本/[1] #2;@"
SEARCH = """
[deduplication]
near = false
[tokens]
vocabulary = 300
[proxy]
model = { layers = 1, width = 16, heads = 2, kv_heads = 2, feed_forward = 32, context = 32 }
[plan]
mixtures = 4
max_epochs = 1000
[sweep]
tokens = 2000
[refine]
rounds = 0
[baselines]
methods = []
[mix]
target = { a = 1.0 }
candidates = 100
[training]
tokens = 10000
max_epochs = 1000
"""
TELL_ADDRESSES = ("quality.json", "clusters.parquet/", "removed/", "duplicates.json")
NOT_FILES = {
    "root": "a folder of this machine, which is refused as an address",
    "scratch": "the same",
    "artifacts": "where everything is written, in a test of its own",
    "engine.ray_address": "a cluster",
    "training.rendezvous": "a host and a port",
    "training.address": "an address of this machine",
    "training.offload.folder": "a disk of each node",
    "training.metrics.mlflow.uri": "a server",
    "training.deepspeed": "of a training, which no stage here is",
    "training.initial": "of a training, which no stage here is",
    "evaluation.tasks_path": "tried where tasks are read (evaluation/test_places.py)",
}


def test_no_setting_that_takes_a_path_is_forgotten_here() -> None:
    named = {name for name in protected_settings(PipelineConfig) if not name.startswith("launch.")}
    assert named == CASES.keys() | NOT_FILES.keys()  # those of launch are where stages run


def given_by(artifact: Artifact) -> list[object]:
    """What a stage made, but for the addresses that it notes."""
    if artifact.manifest.stage != "ingest":
        files = artifact.manifest.files
        return [(f.path, f.sha256) for f in files if not f.path.startswith(TELL_ADDRESSES)]
    store = DocumentStore.of(artifact)
    kinds = (DOCUMENTS, REFERENCES, EVALUATIONS)
    tables = [store.read(*store.sets(kind), kind=kind) for kind in kinds if store.sets(kind)]
    return [row for table in tables for row in table.drop_columns("source").to_pylist()]


@pytest.fixture
def lake(root: str) -> str:
    """An address whose keys are no plain words."""
    return f"{root.removesuffix('/artifacts')}/{ODD}"


@pytest.mark.parametrize("setting", CASES)
def test_a_stage_makes_of_an_address_what_it_makes_of_a_folder(
    setting: str, lake: str, tmp_path: Path
) -> None:
    case = CASES[setting]
    (tmp_path / "given").mkdir()
    case.made(tmp_path / "given")
    put(tmp_path / "given", lake)
    found = []
    for place in (str(tmp_path / "given"), lake):
        config = configured(tmp_path, case, place)
        assert not [f.problem for f in check_config(config, stages_up_to(case.stage)) if f.problem]
        found.append(given_by(made_by(config, case.stage)))
    assert found[0] == found[1]
    if case.stage != "score":  # which needs one
        without = made_by(configured(tmp_path, Case(case.stage, case.made), ""), case.stage)
        assert given_by(without) != found[0]


@pytest.mark.parametrize("setting", CASES)
def test_what_is_missing_is_a_line_that_names_the_setting(setting: str, lake: str, tmp_path: Path) -> None:
    case = CASES[setting]
    found = check_config(configured(tmp_path, case, lake), stages_up_to(case.stage))
    lines = [str(one.problem) for one in found if one.problem and one.setting.startswith(spelt(setting))]
    assert lines
    for line in lines:
        assert line.startswith(f"{spelt(setting)}: ")
        assert f"{lake}" in line
        assert "\n" not in line


def test_the_shell_tells_what_is_missing_before_anything_runs(lake: str, tmp_path: Path) -> None:
    target = "[mix]\ntarget = { a = 1.0 }"
    configured(tmp_path, Case("tokenize", tokenizer, f"{CASES['tokens.tokenizer'].extra}\n{target}"), lake)
    told = mashbill("check", "--config", tmp_path / "config.toml")
    address = f"{lake}/t.json"
    assert told.stderr == (
        f"error: tokens.tokenizer: nothing is at {address}; correct the path, or put the file there\n"
    )
    assert told.returncode == 2


def test_results_live_under_any_key(lake: str, tmp_path: Path) -> None:
    case = CASES["deduplication.against"]
    (tmp_path / "given").mkdir()
    case.made(tmp_path / "given")
    config = configured(tmp_path, case, str(tmp_path / "given"))
    elsewhere = {"artifacts": f"{lake}/results", "scratch": str(tmp_path / "scratch")}
    remote = config.model_copy(update=elsewhere)
    here, there = run_stages(config, "deduplicate"), run_stages(remote, "deduplicate")
    for stage, made in here.items():
        assert [(f.path, f.sha256) for f in there[stage].manifest.files] == [
            (f.path, f.sha256) for f in made.manifest.files
        ], stage
    assert there["deduplicate"].address.startswith(f"{lake}/results/deduplicate/")
    assert run_stages(remote, "deduplicate")["deduplicate"].manifest == there["deduplicate"].manifest


@pytest.mark.slow
def test_an_earlier_choice_is_named_by_its_address(lake: str, tmp_path: Path) -> None:
    config = configured(tmp_path, Case("mix", tokenizer, SEARCH), "", artifacts=f"{lake}/results")
    done = run_stages(config, "deduplicate")
    done["select"] = done["deduplicate"]  # the same layout
    for stage in ("tokenize", "plan", "sweep", "refine", "fit", "baselines", "mix"):
        done[stage] = run_stage(config, stage, done)
    plan = config.plan.model_copy(update={"reuse": done["mix"].address})
    again = config.model_copy(update={"plan": plan})
    found = {one.setting: one for one in check_config(again, stages_up_to("plan"))}
    assert found["plan.reuse"].found.startswith(f"{lake}/results/mix/")
    assert Reuse.read(run_stage(again, "plan", done)).choice == done["mix"].address
    lost = again.model_copy(update={"plan": plan.model_copy(update={"reuse": f"{lake}/results/mix/lost"})})
    problem = {one.setting: one for one in check_config(lost, stages_up_to("plan"))}["plan.reuse"].problem
    assert re.match(r"plan\.reuse: .*/results/mix/lost cannot be used \(.*; give the address", str(problem))


def named(endpoint: str) -> str:
    """An endpoint by a name, as a server of one's own has one."""
    return endpoint.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("where", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "a profile"])
def test_an_endpoint_of_ones_own_is_asked_wherever_it_is_named(
    where: str, lake: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    tokenizer(tmp_path / "given")
    put(tmp_path / "given", lake)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    if where == "a profile":
        (tmp_path / "aws").write_text(f"[profile own]\nendpoint_url = {named(endpoint)}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
        monkeypatch.setenv("AWS_PROFILE", "own")
    else:
        monkeypatch.setenv(where, named(endpoint))
    boto3.setup_default_session()
    try:
        config = configured(tmp_path, CASES["tokens.tokenizer"], lake)
        assert not [one.problem for one in check_config(config, [STAGES["tokenize"]]) if one.problem]
    finally:
        boto3.setup_default_session()


@pytest.fixture
def paid(lake: str) -> Iterator[str]:
    """An address in a bucket whose requests are paid for by who asks, or refused."""
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("before-send.s3", _refuse_unpaid)
    yield lake
    boto3.setup_default_session()


def _refuse_unpaid(request: Any, **_: Any) -> AWSResponse | None:
    payer = request.headers.get("x-amz-request-payer")
    if payer in ("requester", b"requester"):
        return None
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    return AWSResponse(request.url, 403, {}, SimpleNamespace(stream=lambda: iter([body])))


@pytest.mark.parametrize("setting", ["corpus.domains.sources.path", "quality.classifier", "quality.family"])
def test_what_the_requester_pays_for_is_read_where_that_is_agreed_to(
    setting: str, paid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, read = CASES[setting], stages_up_to(CASES[setting].stage)
    (tmp_path / "given").mkdir()
    case.made(tmp_path / "given")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    put(tmp_path / "given", paid)
    config = configured(tmp_path, case, paid)
    assert not [one.problem for one in check_config(config, read) if one.problem]
    assert made_by(config, case.stage).names()
    monkeypatch.delenv("AWS_REQUEST_PAYER")
    problems = [str(one.problem) for one in check_config(config, read) if one.problem]
    assert problems
    for line in problems:
        assert line.startswith(f"{spelt(setting)}: ")
        assert line.endswith("or set AWS_REQUEST_PAYER=requester where who asks pays")


def test_every_request_says_who_pays_where_that_is_agreed_to(
    paid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    storage = open_storage(f"{paid}/paid", tmp_path)
    large = bytes(range(256)) * 33_000  # more than is sent in one piece
    for name, content in (("small", b"text"), ("large", large)):
        (tmp_path / name).write_bytes(content)
        storage.put(tmp_path / name, name)
        assert storage.exists(name)
        assert storage.adopt(storage, name, f"more/{name}")
        assert storage.read(f"more/{name}") == content
        assert bytes(storage.part(name, 1, 2)) == content[1:3]
        (file,) = storage.match(name)
        storage.copy(file, tmp_path / "copies" / name)
        sum_of = hashlib.sha256(content).hexdigest()
        assert storage.fetch(name, size=len(content), sha256=sum_of).read_bytes() == content
    storage.discard("more")
    assert storage.keys("") == ["large", "small"]
