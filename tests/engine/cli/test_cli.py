"""The shell: exit codes, one-line errors, nothing half-written."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from builders.shell import mashbill

GOOD = """
[corpus]
domains = [{ name = "a", sources = [{ path = "a.jsonl" }] }, { name = "b", sources = [{ path = "b.jsonl" }] }]
references = [{ name = "r", sources = [{ path = "r.jsonl" }] }]
"""


def write_corpus(folder: Path, **texts: list[str]) -> Path:
    for name, documents in texts.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in documents)
        (folder / f"{name}.jsonl").write_text(lines)
    config = folder / "config.toml"
    config.write_text(GOOD)
    return config


@pytest.mark.parametrize(
    "texts, addition, fragments",
    [
        (
            {"a": ["x"], "b": ["y"], "r": ["z"]},
            "\n[sweep]\ntoken = 1\n",
            ["config.toml: sweep.token: is not a setting", "tokens"],
        ),
        (
            {"a": ["x"], "b": ["y"], "r": ["z"]},
            "\n[mix]\ntarget = { r = 0.5 }\n",
            ["config.toml: mix", "sum to 0.5"],
        ),
        ({"a": ["x"], "r": ["z"]}, "", ["corpus.domains[1].sources[0].path", "b.jsonl"]),
        ({"a": ["x"], "b": [], "r": ["z"]}, "", ["b", "no document"]),
    ],
    ids=["wrong field", "weights", "missing file", "empty domain"],
)
def test_bad_config_exits_2_with_one_line_and_writes_nothing(
    tmp_path: Path, texts: dict[str, list[str]], addition: str, fragments: list[str]
) -> None:
    config = write_corpus(tmp_path, **texts)
    config.write_text(GOOD + addition)
    result = mashbill("run", "ingest", "--config", config)
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "Traceback" not in result.stderr
    assert all(fragment in errors[0] for fragment in fragments), errors[0]
    left = (
        [p for p in (tmp_path / "artifacts").rglob("*") if p.is_file()]
        if (tmp_path / "artifacts").exists()
        else []
    )
    assert left == []


def test_unknown_stage_and_bad_usage_exit_2(tmp_path: Path) -> None:
    config = write_corpus(tmp_path, a=["x"], b=["y"], r=["z"])
    assert mashbill("run", "brew", "--config", config).returncode == 2
    assert mashbill("run").returncode == 2


@pytest.mark.parametrize(
    "tokens, fragments",
    [
        ("a,1000\n", ["t.csv: has no row of domain b"]),
        ("a,1000\nb,0\n", ["t.csv: domain b", "above 0"]),
        ("a,1000\nb,few\n", ["t.csv: domain b", "number of tokens"]),
        ("a,1000\na,1000\nb,5\n", ["t.csv: domain a", "twice"]),
    ],
    ids=["missing", "none", "no number", "twice"],
)
def test_a_forecast_needs_the_tokens_of_every_domain(
    tokens: str, fragments: list[str], tmp_path: Path
) -> None:
    config = write_corpus(tmp_path, a=["x"], b=["y"], r=["z"])
    available = tmp_path / "t.csv"
    available.write_text("domain,tokens\n" + tokens)
    result = mashbill("train", "--dry-run", "--config", config, "--available", available)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert all(fragment in result.stderr for fragment in fragments), result.stderr


def test_a_forecast_says_how_often_each_domain_is_read(tmp_path: Path) -> None:
    config = write_corpus(tmp_path, a=["x"], b=["y"], r=["z"])
    available = tmp_path / "t.csv"
    available.write_text("domain,tokens\na,3000000\nb,1e6\n")
    result = mashbill("train", "--dry-run", "--config", config, "--available", available, "--json")
    figures = json.loads(result.stdout)
    read, steps = figures["tokens_by_domain"], figures["steps"] * figures["batch_tokens"]
    assert read == {"a": round(0.75 * steps), "b": round(0.25 * steps)}
    assert figures["epochs_by_domain"] == pytest.approx({"a": read["a"] / 3e6, "b": read["b"] / 1e6})


def test_ingest_runs_and_is_reused(tmp_path: Path) -> None:
    config = write_corpus(tmp_path, a=["one text", "another"], b=["a third"], r=["reference"])
    first = mashbill("run", "ingest", "--config", config, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["ingest"]["counts"]["documents_out"] == 3
    again = mashbill("run", "ingest", "--config", config)
    assert "reused" in again.stderr
    listed = json.loads(mashbill("stages", "--config", config, "--json").stdout)
    assert [row["name"] for row in listed if row["artifact"]] == ["ingest"]


def test_the_shell_says_which_version_it_is() -> None:
    said = mashbill("--version")
    assert (said.returncode, said.stdout) == (0, f"mashbill {version('airflow-provider-mashbill')}\n")


def test_every_command_has_help_with_an_example() -> None:
    for command in ("run", "stages", "train", "score", "selftest"):
        assert "Example: mashbill" in mashbill(command, "--help").stdout


@pytest.mark.slow
def test_selftest_catches_what_it_plants_and_notices_what_is_switched_off(tmp_path: Path) -> None:
    from pydoc_data import topics

    passages = [p for text in topics.topics.values() for p in text.split("\n\n") if len(p.split()) > 85]
    config = write_corpus(tmp_path, a=passages[:45], b=passages[45:], r=["reference"])
    result = mashbill("selftest", "--config", config, "--documents", "90", "--json")
    assert result.returncode == 0, result.stderr
    findings = {f["kind"].split(" (")[0]: f for f in json.loads(result.stdout)}
    assert findings["exact duplicates"]["caught"] == findings["exact duplicates"]["planted"] > 0
    assert findings["malformed records"]["caught"] == findings["malformed records"]["planted"] > 0
    off = mashbill("selftest", "--config", config, "--set", "filters.decontamination.max_shared_ngrams=10000")
    assert off.returncode == 1
    assert "error: selftest: caught too few of: documents with an evaluation text" in off.stderr
    assert not (tmp_path / "artifacts").exists()


def test_importing_the_package_is_cheap() -> None:
    heavy = "torch daft lightgbm transformers fasttext numba sklearn matplotlib airflow"
    code = (
        f"import sys, mashbill.stages, mashbill.cli.main; print([m for m in '{heavy}'.split() if m in "
        "sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
