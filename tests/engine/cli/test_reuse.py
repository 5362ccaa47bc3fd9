"""Domains change and a finished sweep is used again, from the shell, with a power law in the place of the
trainer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from builders.shell import mashbill
from mashbill.cli.mixtures import app
from mashbill.mixtures.bundle import bundle_domains

HELP = {"web": 1.0, "books": 2.0, "code": 0.4, "papers": 1.5, "forum": 0.2, "news": 2.5}


def answer(*arguments: object) -> Any:
    """What a command prints, in this process."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def losses_of(table: pd.DataFrame) -> pd.DataFrame:
    """The loss of each mixture: diminishing returns of each domain by itself."""
    loss = 4.0 - sum(HELP[d] * 0.3 * np.sqrt(table[d] + 0.01) for d in table.columns if d != "index")
    return pd.DataFrame({"index": table["index"], "loss": loss})


def sweep(folder: Path, name: str, domains: list[str], **extra: str) -> None:
    """Plan mixtures of some domains, and write what the law says about them."""
    pd.DataFrame({"domain": domains, "tokens": [1e9] * len(domains)}).to_csv(
        folder / f"{name}_tokens.csv", index=False
    )
    given = [f"--{option}={value}" for option, value in extra.items()]
    answer("plan", "--domains", folder / f"{name}_tokens.csv", "--output", folder / f"{name}.csv", *given)
    losses_of(pd.read_csv(folder / f"{name}.csv")).to_csv(folder / f"{name}_losses.csv", index=False)


def fit(folder: Path, model: str, *names: str) -> Any:
    given = [
        part
        for name in names
        for part in ("--mixtures", folder / f"{name}.csv", "--losses", folder / f"{name}_losses.csv")
    ]
    return answer("fit", *given, "--target", "loss", "--regressor", "gp", "--output", folder / model)


def measured(folder: Path, model: str, *given: object) -> float:
    answer("select", "--model", folder / model, "--output", folder / "x.csv", *given)
    return float(losses_of(pd.read_csv(folder / "x.csv"))["loss"][0])


@pytest.mark.slow
def test_an_added_domain_is_searched_alone(tmp_path: Path) -> None:
    old = ["web", "books", "code", "papers", "forum"]
    sweep(tmp_path, "old", old, count="48")
    fit(tmp_path, "m-old", "old")
    new = ["web", "books", "code", "papers", "news"]  # forum is gone, news came
    sweep(tmp_path, "again", new, count="8", reuse=str(tmp_path / "m-old"))
    planned = pd.read_csv(tmp_path / "again.csv")
    kept = planned[["web", "books", "code", "papers"]].to_numpy()
    ratios = kept[kept.sum(axis=1) > 0.01] / kept[kept.sum(axis=1) > 0.01].sum(axis=1, keepdims=True)
    assert ratios == pytest.approx(np.repeat(ratios[:1], len(ratios), axis=0), abs=1e-6)
    counted = pd.read_csv(tmp_path / "again_kept.csv")
    assert set(counted.columns) == {"index", *new}
    assert (counted["news"] == 0).all()
    assert len(counted) == (pd.read_csv(tmp_path / "old.csv")["forum"] < 1e-3).sum() > 0
    report = fit(tmp_path, "m-new", "again", "again_kept")
    assert report["runs"] == 8 + len(counted)
    choice = measured(tmp_path, "m-new", "--ratios", tmp_path / "again_ratios.csv")
    sweep(tmp_path, "full", new, count="48")
    fit(tmp_path, "m-full", "full")
    uniform = float(losses_of(pd.DataFrame({"index": [0], **dict.fromkeys(new, 0.2)}))["loss"][0])
    full = measured(tmp_path, "m-full")
    assert uniform - choice > 0.8 * (uniform - full)  # with a sixth of the runs


@pytest.mark.slow
def test_a_revised_domain_is_searched_again(tmp_path: Path) -> None:
    domains = ["web", "books", "code", "papers"]
    sweep(tmp_path, "old", domains, count="32")
    fit(tmp_path, "m", "old")
    given = [
        "plan",
        "--domains",
        tmp_path / "old_tokens.csv",
        "--reuse",
        tmp_path / "m",
        "--count",
        4,
        "--output",
        tmp_path / "n.csv",
    ]
    facts = answer(*given, "--revised", "code")
    assert facts["searched"] == ["code"]
    assert set(facts["kept_ratios"]) == {"web", "books", "papers"}
    refused = mashbill("mixtures", *given, "--revised", "nothing")
    assert refused.returncode == 2
    assert "nothing" in refused.stderr


def test_limits_of_domains_hold_in_a_bundle() -> None:
    bundle = bundle_domains(["a", "b", "c"], {"a": 0.6, "b": 0.2})
    assert bundle.names == ("(kept)", "c")
    assert bundle.expand(np.array([[0.8, 0.2]])) == pytest.approx(np.array([[0.6, 0.2, 0.2]]))
    floor, ceiling = bundle.limits(np.array([0, 0.1, 0]), np.array([0.6, 1.0, 0.3]))
    assert floor == pytest.approx([0.4, 0])
    assert ceiling == pytest.approx([0.8, 0.3])
    assert bundle.reduce(np.array([0.5, 0.3, 0.2])) == pytest.approx([0.8, 0.2])


def test_runs_of_several_tables_are_numbered_apart(tmp_path: Path) -> None:
    sweep(tmp_path, "old", ["web", "books"], count="12")
    twice = [
        part
        for _ in range(2)
        for part in ("--mixtures", tmp_path / "old.csv", "--losses", tmp_path / "old_losses.csv")
    ]
    result = mashbill("mixtures", "fit", *twice, "--target", "loss", "--output", tmp_path / "m")
    assert result.returncode == 2
    assert "index 0 twice" in result.stderr.replace("\n", " ")
