"""The mixture search by single operators, on tables of one's own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.alone import Lake, lines_of, run_alone, texts
from builders.checkout import ROOT
from builders.phased_law import write_tables
from mashbill.errors import DataError, MashbillError
from mashbill.mixtures import Choice, MixtureTable, ScheduleChoice, SweepRuns
from mashbill.regression.tables import fit_tables

TARGET = {"web": 0.5, "papers": 0.5}
DOMAINS = ("web", "papers", "code")


def runs(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """[runs, domains] mixtures, and losses by a law: each set's falls with its own domain's root."""
    weights = np.random.default_rng(1).dirichlet(np.ones(3), count)
    return weights, 3.0 - np.sqrt(weights)


def csv_of(values: np.ndarray, columns: tuple[str, ...] = DOMAINS) -> bytes:
    rows = [f"{i},{','.join(f'{value:.6f}' for value in row)}" for i, row in enumerate(values)]
    return "\n".join([f"index,{','.join(columns)}", *rows, ""]).encode()


def given(lake: Lake) -> dict[str, Any]:
    """What ChooseMixture is given, as files."""
    weights, losses = runs()
    return {
        "mixtures": lake.put("m.csv", csv_of(weights)),
        "losses": lake.put("l.csv", csv_of(losses)),
        "available": lake.put("tokens.csv", b"domain,tokens\nweb,50e9\npapers,2e9\ncode,9e9\n"),
        "target": TARGET,
        "tokens": 25e9,
        "output": f"{lake.root}/mix",
        "regressor": "gp",
        "candidates": 2_000,
    }


@pytest.fixture(params=["disk", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    root = request.getfixturevalue("root") if request.param == "bucket" else str(tmp_path / "lake")
    return Lake(root)


def test_a_mixture_is_chosen_from_tables_within_what_there_is(lake: Lake, tmp_path: Path) -> None:
    made = run_alone("mix", **given(lake), scratch=str(tmp_path / "scratch"))
    chosen = Choice.read(made).mixture
    assert chosen == pytest.approx({"web": 0.68, "papers": 0.32, "code": 0.0}, abs=0.02)  # 2e9, four times
    header, row = lake.read("mix/mixture.csv").decode().split()
    assert header == "index,web,papers,code"
    assert [float(cell) for cell in row.split(",")[1:]] == pytest.approx([chosen[d] for d in DOMAINS])
    assert json.loads(lake.read("mix/choice.json"))["predicted"]["loss"] == pytest.approx(
        3 - 0.5 * (np.sqrt(0.68) + np.sqrt(0.32)), abs=0.02
    )


def test_tables_may_be_mappings_and_json_and_the_choice_is_the_same(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    files, (weights, losses) = given(lake), runs()

    def by_run(values: np.ndarray) -> dict[str, dict[str, float]]:
        return {
            str(i): dict(zip(DOMAINS, np.round(row, 6).tolist(), strict=True)) for i, row in enumerate(values)
        }

    first = Choice.read(run_alone("mix", **files)).mixture
    plain = {
        **files,
        "mixtures": str(by_run(weights)),  # as a template renders a mapping
        "losses": lake.put("l.json", json.dumps(by_run(losses)).encode()),
        "available": {"web": 50e9, "papers": 2e9, "code": 9e9},
        "tokens": "25e9",
        "target": json.dumps(TARGET),
        "output": f"{lake.root}/again",
    }
    assert Choice.read(run_alone("mix", **plain)).mixture == pytest.approx(first, abs=1e-3)
    joined = {**plain, "mixtures": files["mixtures"], "output": f"{lake.root}/joined"}
    assert Choice.read(run_alone("mix", **joined)).mixture == pytest.approx(first, abs=1e-3)


def test_runs_may_have_names_and_the_choice_is_the_same(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    files = given(lake)
    first = Choice.read(run_alone("mix", **files)).mixture
    for name in ("m.csv", "l.csv"):
        header, *rows = lake.read(name).decode().splitlines()
        named = [f"run-{row}" for row in rows]
        lake.put(f"named-{name}", "\n".join([header.replace("index", "run"), *named, ""]).encode())
    tables = {"mixtures": f"{lake.root}/named-m.csv", "losses": f"{lake.root}/named-l.csv"}
    chosen = Choice.read(run_alone("mix", **{**files, **tables, "output": f"{lake.root}/again"}))
    assert chosen.mixture == pytest.approx(first)


def test_regmixs_published_tables_give_the_regression_that_the_shell_gives(tmp_path: Path) -> None:
    data = ROOT / "tests" / "data" / "regmix"
    tables = [data / "train_mixture_1m.csv", data / "train_pile_loss_1m.csv"]
    column = json.loads(json.dumps(tables[1].read_text().split("\n")[0].split(",")[1]))
    made = run_alone(
        "fit",
        mixtures=str(tables[0]),
        losses=str(tables[1]),
        target={column: 1.0},
        regressor="linear",
        output=str(tmp_path / "fit"),
    )
    _, card = fit_tables([tables[0]], [tables[1]], {column: 1.0}, regressor="linear")
    assert made.manifest.counts["runs"] == card.runs
    assert made.manifest.counts["spearman"] == round(card.cross_validation[column].spearman, 4)


def test_from_shards_to_a_choice_and_a_decision(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    for name in ("web", "papers"):
        lake.put(f"{name}.jsonl", lines_of({"text": texts(60, seed=len(name))}))
    at = {name: f"{lake.root}/{name}" for name in ("shards", "plan", "sweep", "mix", "gate", "lines")}
    run_alone(
        "tokenize",
        documents={name: f"{lake.root}/{name}.jsonl" for name in ("web", "papers")},
        output=at["shards"],
        vocabulary=300,
        validation_share=0.1,
    )
    shape = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 2, "feed_forward": 32, "context": 32}
    proxy = {"model": shape, "device": "cpu"}
    plan = run_alone(
        "plan", available=at["shards"], mixtures=8, tokens=2_000, max_epochs=100, output=at["plan"]
    )
    assert MixtureTable.read(plan.file("mixtures.csv")).domains == ("web", "papers")
    trained = {"tokens": at["shards"], "proxy": proxy}
    sweep = run_alone(
        "sweep",
        mixtures=at["plan"],
        **trained,
        training_tokens=2_000,
        evaluations=1,
        group_size=8,
        output=at["sweep"],
    )
    assert sweep.manifest.counts["proxies"] == len(SweepRuns.read(sweep)) == 8
    mix = run_alone(
        "mix",
        mixtures=at["sweep"],
        available=at["shards"],
        target={"web": 1.0},
        tokens=2_000,
        max_epochs=100,
        regressor="gp",
        candidates=500,
        output=at["mix"],
    )
    assert sum(Choice.read(mix).mixture.values()) == pytest.approx(1)
    gate = run_alone("gate", mixture=at["mix"], within_noise="train", output=at["gate"])
    assert json.loads(Path(at["gate"], "decision.json").read_text())["decision"] == "train"
    assert gate.manifest.counts
    more = run_alone(
        "baselines", **trained, methods=[], given={"half": {"web": 0.5, "papers": 0.5}}, output=at["lines"]
    )
    assert json.loads(more.file("baselines.json").read_text())["half"] == {"web": 0.5, "papers": 0.5}
    small = {"sweep": {"tokens": 2_000, "evaluations": 1}}
    again = run_alone("validate", **trained, **small, mixture=at["mix"], seeds=1, output=f"{lake.root}/again")
    assert again.manifest.counts["proxies"] >= 2
    rounds = run_alone(
        "refine",
        **trained,
        **small,
        mixtures=at["sweep"],
        target={"web": 1.0},
        rounds=1,
        proxies=1,
        min_gain=0,
        max_epochs=100,
        regressor="gp",
        output=f"{lake.root}/rounds",
    )
    assert rounds.manifest.counts["rounds"] <= 1
    ladder = run_alone(
        "ladder",
        **trained,
        **small,
        mixtures=at["sweep"],
        target={"web": 1.0},
        rungs=[{"tokens": 1_000}],
        compared=3,
        output=f"{lake.root}/ladder",
    )
    assert ladder.manifest.counts["sizes"] == 2


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no table": ({"mixtures": "none.csv"}, "mixtures: "),
    "no tokens of a domain": (
        {"available": {"web": 1e9, "papers": 1e9}},
        "mixtures: names 'code', which the tokens",
    ),
    "a target that is measured nowhere": ({"target": {"books": 1.0}}, "column books: is missing"),
    "weights that do not sum to 1": ({"target": {"web": 0.4}}, "target weights sum to 0.4"),
    "too few tokens": ({"tokens": 1e15}, "allows 244,000,000,000 tokens where the run needs"),
    "tokens in words": ({"tokens": "many"}, "tokens: is 'many', where a valid integer is needed"),
    "a weight in words": ({"mixtures": [{"web": "much"}]}, "is 'much', where a number is needed"),
    "other runs": ({"losses": [{"web": 2.0, "papers": 2.0, "code": 1.0}]}, "keep the same runs in both"),
    "no tokens at all": ({"available": {"web": 0, "papers": 1, "code": 1}}, "has 0 tokens"),
    "what another operator wrote": ({"losses": None}, "losses: is missing; give the losses of the runs"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_get_one_line_before_work(case: str, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    changed, words = BAD[case]
    with pytest.raises(MashbillError) as refused:
        run_alone("mix", **{**given(lake), **changed})
    said = str(refused.value)
    assert said.startswith("Task mix")
    assert words in said
    assert "\n" not in said
    assert lake.names("mix/") == []


@pytest.mark.parametrize("stage", ["sweep", "refine", "ladder"])
def test_named_runs_are_refused_where_proxies_are_trained(stage: str, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.put("web.jsonl", lines_of({"text": texts(20)}))
    shards = f"{lake.root}/shards"
    run_alone("tokenize", documents={"web": f"{lake.root}/web.jsonl"}, output=shards, vocabulary=300)
    runs_given: dict[str, Any] = {"mixtures": {"first": {"web": 1.0}}}
    if stage != "sweep":
        runs_given |= {"losses": {"first": {"web": 2.0}}, "target": {"web": 1.0}}
    with pytest.raises(DataError, match=r"names of runs \('first'\), and proxies are numbered; number the"):
        run_alone(stage, tokens=shards, **runs_given, output=f"{lake.root}/out")


@pytest.mark.slow
def test_a_schedule_is_chosen_from_tables_of_runs_on_the_way(tmp_path: Path) -> None:
    schedules, trajectories = write_tables(tmp_path, order=True)
    made = run_alone(
        "schedule",
        mixtures=str(schedules),
        trajectories=str(trajectories),
        available={"scarce": 75_000, "plenty": 1e6, "other": 1e6},
        mixture={"scarce": 0.3, "plenty": 0.4, "other": 0.3},
        target={"scarce": 1.0},
        phases=2,
        tokens=1_000_000,
        max_epochs=4,
        output=str(tmp_path / "schedule"),
    )
    found = ScheduleChoice.read(made)
    assert found.taken
    chosen = found.followed
    assert chosen.mean["scarce"] <= 0.3 + 1e-6
    assert chosen.weights[1, 0] > chosen.weights[0, 0] + 0.1  # where the last phase counts most
