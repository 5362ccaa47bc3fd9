"""``mashbill mixtures`` on RegMix's published sweep, as a user runs it; bad input is in
test_mixtures_bad_input.py."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from builders.checkout import REGMIX
from builders.shell import mashbill
from mashbill.config.search import DESIGNS
from mashbill.regression.fitted import FittedRegression

TARGET = "metric/the_pile_pile_cc_val_loss"


def answer(*arguments: object) -> Any:
    result = mashbill("mixtures", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A model of 64 published runs."""
    folder = tmp_path_factory.mktemp("tables")
    for kind in ("mixture", "pile_loss"):
        pd.read_csv(REGMIX / f"train_{kind}_1m.csv").head(64).to_csv(folder / f"{kind}.csv", index=False)
    given = ["--mixtures", folder / "mixture.csv", "--losses", folder / "pile_loss.csv"]
    report = answer("fit", *given, "--target", TARGET, "--output", folder / "m")
    return folder, report


def unseen(kind: str) -> Path:
    return REGMIX / f"test_{kind}_1m.csv"


def test_fit_reports_and_the_model_ranks_unseen_runs(model: tuple[Path, Any]) -> None:
    folder, report = model
    assert (report["runs"], report["domains"], report["targets"]) == (64, 17, 1)
    assert set(report["cross_validation"][TARGET]) == {"spearman", "mae"}
    judged = answer(
        "evaluate", "--model", folder / "m", "--mixtures", unseen("mixture"), "--losses", unseen("pile_loss")
    )
    assert judged["runs"] == 256
    row = judged["targets"][TARGET]
    assert set(row) == {"spearman", "pearson", "mae", "regret", "chosen_rank", "coverage_90"}
    assert row["spearman"] > 0.95
    predicted, measured = prediction_of(folder), pd.read_csv(unseen("pile_loss"))[TARGET].to_numpy()
    errors = np.abs(predicted - measured)
    assert row["mae"] == pytest.approx(errors.mean())
    assert row["pearson"] == pytest.approx(np.corrcoef(predicted, measured)[0, 1])
    assert row["regret"] == pytest.approx(measured[predicted.argmin()] - measured.min())
    assert row["chosen_rank"] == 1 + (measured < measured[predicted.argmin()]).sum()
    residuals = FittedRegression.read(folder / "m").residuals[:, 0]
    half = np.sort(np.abs(residuals))[58]  # the 59th of 64: 65 x 0.9 is 58.5
    assert row["coverage_90"] == pytest.approx((errors <= half).mean())


def prediction_of(folder: Path) -> np.ndarray:
    answer("predict", "--model", folder / "m", "--mixtures", unseen("mixture"), "--output", folder / "p.csv")
    return pd.read_csv(folder / "p.csv")[TARGET].to_numpy()


def test_predictions_are_joined_on_the_index(model: tuple[Path, Any], tmp_path: Path) -> None:
    answer(
        "predict", "--model", model[0] / "m", "--mixtures", unseen("mixture"), "--output", tmp_path / "p.csv"
    )
    table = pd.read_csv(tmp_path / "p.csv")
    assert table["index"].tolist() == pd.read_csv(unseen("mixture"))["index"].tolist()
    assert list(table.columns) == ["index", TARGET]


@pytest.mark.slow
def test_choice_keeps_to_its_limits_and_beats_the_baselines(model: tuple[Path, Any], tmp_path: Path) -> None:
    free = answer("select", "--model", model[0] / "m", "--output", tmp_path / "free.csv")
    assert sum(free["mixture"].values()) == pytest.approx(1)
    assert free["predicted"]["loss"] < min(free["baselines"][name]["loss"] for name in ("natural", "uniform"))
    top = max(free["mixture"], key=free["mixture"].get)
    limits = ["--max", f"{top}=0.2", "--min", "train_the_pile_arxiv=0.1"]
    bound = answer("select", "--model", model[0] / "m", "--output", tmp_path / "b.csv", *limits)
    assert bound["mixture"][top] <= 0.2 + 1e-6
    assert bound["mixture"]["train_the_pile_arxiv"] >= 0.1 - 1e-9
    assert isinstance(bound["limits"], list)
    named = [f"{name}={tmp_path / name}.csv" for name in ("free", "b")]
    compared = answer("compare", "--model", model[0] / "m", "--mixture", named[0], "--mixture", named[1])
    assert list(compared) == ["free", "b"]


@pytest.mark.parametrize("design", DESIGNS)
def test_plan_writes_mixtures_under_the_epoch_limit(design: str, tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text("domain,tokens\na,1e9\nb,5e7\nc,2e8\n")
    options = ["--count", 20, "--design", design, "--tokens", 1e9, "--max-epochs", 4]
    answer("plan", "--domains", tmp_path / "tokens.csv", *options, "--output", tmp_path / "m.csv")
    table = pd.read_csv(tmp_path / "m.csv")
    assert len(table) == 20
    assert table[["a", "b", "c"]].sum(axis=1).tolist() == pytest.approx([1] * 20)
    assert table["b"].max() <= 0.2 + 1e-9


@pytest.mark.slow
def test_advice_is_given_and_written(model: tuple[Path, Any], tmp_path: Path) -> None:
    advice = answer(
        "advise",
        "--model",
        model[0] / "m",
        "--count",
        3,
        "--max",
        "train_the_pile_pile_cc=0.4",
        "--output",
        tmp_path / "next.csv",
    )
    assert set(advice) == {"next", "choice", "gain", "gain_90", "noise", "worth_it"}
    assert len(advice["next"]) == 3
    assert 0 <= advice["gain"] <= advice["gain_90"] * 2
    table = pd.read_csv(tmp_path / "next.csv")
    assert table["train_the_pile_pile_cc"].max() <= 0.4 + 1e-6
    assert table.drop(columns="index").sum(axis=1).to_list() == pytest.approx([1, 1, 1])


@pytest.mark.slow
def test_choice_tells_what_it_hangs_on(model: tuple[Path, Any], tmp_path: Path) -> None:
    given = ["--model", model[0] / "m", "--caution", 0, "--output", tmp_path / "x.csv"]
    choices = {method: answer("select", *given, "--method", method) for method in ("direct", "simulation")}
    assert choices["direct"]["predicted"]["loss"] <= choices["simulation"]["predicted"]["loss"]
    row = choices["direct"]["sensitivity"]["train_the_pile_pile_cc"]
    assert set(row) == {"weight", "without", "halved", "doubled", "as_good"}
    assert row["without"] > 0
    assert mashbill("mixtures", "select", *given, "--method", "guess").returncode == 2


def test_a_pattern_shares_its_weight_among_the_columns_that_match(
    model: tuple[Path, Any], tmp_path: Path
) -> None:
    given = [
        "--mixtures",
        model[0] / "mixture.csv",
        "--losses",
        model[0] / "pile_loss.csv",
        "--regressor",
        "linear",
    ]
    report = answer(
        "fit", *given, "--target", "*pubmed*=0.5", "--target", "*arxiv*=0.5", "--output", tmp_path / "m"
    )
    assert report["targets"] == 3
    target = json.loads((tmp_path / "m" / "model.json").read_text())["target"]
    assert target == {
        "metric/the_pile_pubmed_central_val_loss": 0.25,
        "metric/the_pile_pubmed_abstracts_val_loss": 0.25,
        "metric/the_pile_arxiv_val_loss": 0.5,
    }


@pytest.mark.slow
def test_failed_runs_are_left_out_where_asked(model: tuple[Path, Any], tmp_path: Path) -> None:
    lost = pd.read_csv(model[0] / "pile_loss.csv")
    lost.loc[[3, 5], TARGET] = float("nan")
    lost.to_csv(tmp_path / "l.csv", index=False)
    given = ["--mixtures", model[0] / "mixture.csv", "--losses", tmp_path / "l.csv", "--skip-failed"]
    result = mashbill(
        "mixtures",
        "fit",
        *given,
        "--target",
        TARGET,
        "--regressor",
        "linear",
        "--output",
        tmp_path / "m",
        "--json",
    )
    report = json.loads(result.stdout)
    assert (report["runs"], report["skipped_runs"]) == (62, 2)
    assert "warning: 2 runs are left out" in result.stderr
    judged = answer("evaluate", "--model", tmp_path / "m", *given)
    assert (judged["runs"], judged["skipped_runs"]) == (62, 2)


@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.slow
def test_warnings_are_on_the_error_stream(
    json_: tuple[str, ...], model: tuple[Path, Any], tmp_path: Path
) -> None:
    mixed = pd.read_csv(model[0] / "mixture.csv")
    mixed["train_the_pile_arxiv"] = 0.25
    others = mixed.columns[2:]
    mixed[others] = mixed[others].div(mixed[others].sum(axis=1), axis=0) * 0.75
    mixed.to_csv(tmp_path / "m.csv", index=False)
    given = [
        "--mixtures",
        tmp_path / "m.csv",
        "--losses",
        model[0] / "pile_loss.csv",
        "--target",
        TARGET,
        "--regressor",
        "gp",
    ]
    fitted = mashbill("mixtures", "fit", *given, "--output", tmp_path / "m", *json_)
    assert fitted.returncode == 0
    assert "warning" in fitted.stderr
    assert "m.csv: column train_the_pile_arxiv: has the same weight in every run" in fitted.stderr
    far = ["--min", "train_the_pile_ubuntu_irc=0.9", "--output", tmp_path / "far.csv"]
    chosen = mashbill("mixtures", "select", "--model", model[0] / "m", *far, *json_)
    assert chosen.returncode == 0
    assert any(line.startswith("warning: the choice lies farther") for line in chosen.stderr.splitlines())
    if json_:
        assert json.loads(fitted.stdout)["warnings"]
        assert json.loads(chosen.stdout)["outside_sampled"]
    else:
        assert "warning" not in fitted.stdout + chosen.stdout
