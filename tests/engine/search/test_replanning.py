"""Domains change in the pipeline: what did not change keeps its ratios, the rest is searched, and earlier
proxies count again."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builders.corpus import corpus_config, run_stage, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.documents import DocumentStore, Partition
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures.reuse import read_reuse
from mashbill.reports.report import TEMPLATES
from mashbill.search.revision import changed_share
from mashbill.stages import job_of, stage_named

CONFIG = """
[deduplication]
near = false
[tokens]
vocabulary = 300
[proxy]
model = { layers = 1, width = 16, heads = 2, kv_heads = 2, feed_forward = 32, context = 32 }
[plan]
mixtures = MIXTURES
max_epochs = 1000
reuse = "last"
[sweep]
tokens = 8000
[refine]
rounds = 1
proxies = 2
min_gain = 0.0
[baselines]
methods = []
[mix]
target = { web = 1.0 }
candidates = 200
[training]
tokens = 10000
max_epochs = 1000
"""
SEARCH = ("plan", "sweep", "refine", "fit", "baselines", "mix")
WORDS = {
    "web": ("ban", "del", "cor", "fut", "gim"),
    "books": ("kan", "lel", "mor", "nut", "pim"),
    "code": ("x1", "y2", "z3", "if", "do"),
    "news": ("ra", "se", "ti", "vo", "wu"),
}


def write_domain(folder: Path, name: str, seed: int = 0) -> None:
    generator = random.Random(f"{name} {seed}")
    write_jsonl(
        folder / f"{name}.jsonl",
        [" ".join(generator.choices(WORDS[name], k=150)) + f" {seed} {i}" for i in range(30)],
    )


def tokenized(folder: Path, domains: list[str], extra: str) -> tuple[PipelineConfig, dict[str, Artifact]]:
    config = corpus_config(folder, {name: f'{name}.jsonl, id_field = "id"' for name in domains}, extra=extra)
    done = run_stages(config, "deduplicate")
    done["select"] = done["deduplicate"]  # the same layout
    return config, {**done, "tokenize": run_stage(config, "tokenize", done)}


def search(folder: Path, domains: list[str], mixtures: int) -> tuple[PipelineConfig, dict[str, Artifact]]:
    """A search up to its choice."""
    config, done = tokenized(folder, domains, CONFIG.replace("MIXTURES", str(mixtures)))
    for stage in SEARCH:
        done[stage] = run_stage(config, stage, done)
    return config, done


@pytest.fixture(scope="module")
def searches(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[tuple[PipelineConfig, dict[str, Artifact]], ...]:
    """Three domains; then one is added and one revised, in the same store."""
    folder = tmp_path_factory.mktemp("replanning")
    for name in WORDS:
        write_domain(folder, name)
    first = search(folder, ["web", "books", "code"], 12)
    write_domain(folder, "code", seed=1)
    return first, search(folder, ["web", "books", "code", "news"], 4)


def facts(done: dict[str, Artifact]) -> Any:
    return json.loads((done["plan"].path / "reuse.json").read_text())


@pytest.mark.slow
def test_the_first_search_plans_from_the_start(searches: Any) -> None:
    (_, done), _ = searches
    assert done["plan"].manifest.counts["mixtures"] == 12
    assert "no earlier choice" in done["plan"].manifest.counts["reuse"]
    assert done["fit"].manifest.counts["kept_runs"] == 0


@pytest.mark.slow
def test_what_did_not_change_keeps_its_ratios_and_the_rest_is_searched(searches: Any) -> None:
    (_, before), (_, after) = searches
    said = facts(after)
    assert said["choice"] == before["mix"].address
    assert (said["searched"], said["added"], list(said["revised"])) == (["code", "news"], ["news"], ["code"])
    assert said["revised"]["code"] == 1
    chosen = pd.read_csv(before["mix"].path / "mixture.csv").loc[0]
    ratio = chosen["web"] / (chosen["web"] + chosen["books"])
    assert said["kept"] == pytest.approx({"web": ratio, "books": 1 - ratio})
    for table in ("plan", "refine", "mix"):
        name = "mixture.csv" if table == "mix" else "mixtures.csv"
        rows = pd.read_csv(after[table].path / name)
        together = rows["web"] + rows["books"]
        assert rows["web"].to_numpy() == pytest.approx((ratio * together).to_numpy(), abs=1e-6)
    assert len(pd.read_csv(after["plan"].path / "mixtures.csv")) == 4


@pytest.mark.slow
def test_earlier_runs_count_again(searches: Any) -> None:
    (_, before), (_, after) = searches
    weights = pd.concat([pd.read_csv(before[s].path / "mixtures.csv") for s in ("sweep", "refine")])
    counted = int((weights["code"] < 1e-3).sum())
    assert facts(after)["kept_runs"] == after["fit"].manifest.counts["kept_runs"] == counted > 0
    assert after["fit"].manifest.counts["runs"] == 4 + 2 + counted
    kept = pd.read_csv(after["plan"].path / "kept_losses.csv")
    assert list(kept.columns) == ["index", "web", "books"]  # code is revised, news is new


@pytest.mark.slow
def test_a_rerun_finds_the_same_plan(searches: Any) -> None:
    _, (config, done) = searches
    found = job_of(stage_named("plan"), config, done).find()
    assert found is not None
    assert found.address == done["plan"].address


@pytest.mark.slow
def test_runs_of_other_proxies_do_not_count(searches: Any) -> None:
    (_, before), (config, done) = searches
    longer = config.model_copy(update={"sweep": config.sweep.model_copy(update={"tokens": 9_000})})
    plan = run_stage(longer, "plan", done)
    assert plan.manifest.counts["kept_runs"] == 0
    assert "sweep.tokens was 8,000" in facts({"plan": plan})["runs"]
    assert not (plan.path / "kept_mixtures.csv").exists()
    named = config.model_copy(
        update={"plan": config.plan.model_copy(update={"reuse": before["mix"].address})}
    )
    assert facts({"plan": run_stage(named, "plan", done)})["choice"] == before["mix"].address


@pytest.mark.slow
def test_an_address_that_is_no_choice_is_refused(searches: Any) -> None:
    (_, before), (config, done) = searches
    for address, fragment in (
        (before["fit"].address, "is a result of fit"),
        ("artifacts/mix/nothing", "no artifact"),
    ):
        wrong = config.model_copy(update={"plan": config.plan.model_copy(update={"reuse": address})})
        with pytest.raises(ConfigError, match=fragment):
            run_stage(wrong, "plan", done)


@pytest.mark.slow
def test_a_last_search_of_another_version_is_said_and_not_waited_for(searches: Any) -> None:
    (_, before), (config, done) = searches
    model = before["fit"].path / "regression.safetensors"
    today = config.model_copy(update={"seed": 7})
    given = today.plan.model_copy(update={"reuse": before["mix"].address})
    whole = model.read_bytes()
    try:
        model.write_bytes(b"x" * len(whole))
        with pytest.raises(DataError, match=r"regression\.safetensors"):
            run_stage(today.model_copy(update={"plan": given}), "plan", done)
        plan = run_stage(today, "plan", done)
    finally:
        model.write_bytes(whole)
    assert "regression cannot be read" in facts({"plan": plan})["reason"]
    assert facts({"plan": plan})["searched"] == ["web", "books", "code", "news"]


@pytest.mark.slow
def test_the_report_says_what_was_kept(searches: Any) -> None:
    (_, before), (_, after) = searches
    found = read_reuse(after["plan"])
    assert found is not None
    assert found.kept == facts(after)["kept"]
    pages = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined).get_template(
        "reuse.html"
    )
    assert "there is no earlier choice" in pages.render(reuse=read_reuse(before["plan"]))
    said = pages.render(reuse=found)
    assert "2 domains keep their ratios, 2 are searched" in said
    assert all(
        words in said
        for words in ("Added: news", "code (100% of its documents", "<td>books</td>", "count again")
    )


@pytest.mark.slow
def test_asking_for_reuse_leaves_the_stages_before_as_they_are(searches: Any) -> None:
    (config, done), _ = searches
    without = config.model_copy(update={"plan": config.plan.model_copy(update={"reuse": None})})
    for stage in ("tokenize", "sweep"):
        assert (
            job_of(stage_named(stage), without, done).fingerprint
            == job_of(stage_named(stage), config, done).fingerprint
        )
    assert (
        job_of(stage_named("plan"), without, done).fingerprint
        != job_of(stage_named("plan"), config, done).fingerprint
    )


def test_the_share_that_changed_counts_what_came_what_went_and_what_was_edited(tmp_path: Path) -> None:
    def write(name: str, rows: dict[str, str]) -> list[Partition]:
        store = DocumentStore.into(tmp_path / name)
        blank = [""] * len(rows)
        columns = {"id": list(rows), "text": list(rows.values())}
        other = dict.fromkeys(("domain", "source", "metadata"), blank)
        store.write(pa.table({**columns, **other}), "it", 0)
        return store.partitions("it")

    old = write("old", {str(i): "text" for i in range(100)})
    assert changed_share(old, old) == 0
    assert changed_share(old, write("grown", {str(i): "text" for i in range(125)})) == pytest.approx(0.2)
    edited = write("edited", {str(i): "text" if i < 90 else "other" for i in range(100)})
    assert changed_share(old, edited) == pytest.approx(20 / 110)
    assert changed_share(old, []) == 1
    many = {str(i): "text" for i in range(60_000)}
    sampled = changed_share(write("many", many), write("half", dict(list(many.items())[:30_000])))
    assert np.isclose(sampled, 0.5, atol=0.02)


@pytest.mark.slow
def test_another_seed_plans_other_mixtures_with_the_same_ratios(searches: Any) -> None:
    _, (config, done) = searches
    other = run_stage(config.model_copy(update={"seed": 11}), "plan", done)
    one, another = (pd.read_csv(artifact.path / "mixtures.csv") for artifact in (done["plan"], other))
    assert not np.allclose(one["news"], another["news"])
    assert (another["web"] / another["books"]).to_numpy() == pytest.approx(one["web"][0] / one["books"][0])


@pytest.mark.slow
def test_a_search_whose_sweep_is_gone_is_passed_over(searches: Any) -> None:
    (_, before), (config, done) = searches
    manifest = before["sweep"].path / "manifest.json"
    hidden = manifest.rename(manifest.with_name("hidden"))
    try:
        plan = run_stage(config.model_copy(update={"seed": 12}), "plan", done)
    finally:
        hidden.rename(manifest)
    assert "no earlier choice" in facts({"plan": plan})["reason"]
