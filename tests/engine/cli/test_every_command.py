"""Every command, and every file that it is given or writes: bad input is one line and exit 2, never a
traceback. The commands are taken from the app, so that a new one is tested or the first test here fails."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest
import typer

from builders.corpus import SMALL_SWEEP, easy_and_hard
from builders.tasks import request, write_package, write_task
from mashbill.cli.main import app, main
from mashbill.config import ModelShape
from mashbill.models.huggingface import save_model
from mashbill.models.transformer import Transformer
from mashbill.regression.tables import fit_tables
from mashbill.regression.tables import save_model as save_regression
from mashbill.storage import sha256_of
from mashbill.tokens import TokenStore


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the app, by its words."""
    children = getattr(command, "commands", {})
    if not children:
        yield name, command
    for word, child in children.items():
        yield from leaves(child, f"{name} {word}".strip())


PACKAGE = {
    "arc_easy/rc_0shot": [request(0, i, "Q:", f" {a}", label=1) for i, a in enumerate(["red", "blue"])]
}


def package_checksum() -> str:
    """Of the small package, which is the same wherever it is written."""
    with tempfile.TemporaryDirectory() as folder:
        return sha256_of(write_package(Path(folder) / "package.whl", PACKAGE))


ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = dict(leaves(ROOT_COMMAND))
GOOD: dict[str, dict[str, str]] = {
    "run": {"stage": "ingest", "--config": "config.toml"},
    "stages": {"--config": "config.toml"},
    "check": {"--config": "config.toml"},
    "forecast": {"--config": "config.toml", "--tasks": "tasks.csv"},
    "train": {"--config": "config.toml", "--dry-run": "", "--available": "available.csv"},
    "score": {
        "inputs": "easy.jsonl",
        "--classifier": "c.bin",
        "--output": "new/scores",
        "--label": "__label__hq",
    },
    "selftest": {"--config": "config.toml", "--documents": "60"},
    "mixtures plan": {
        "--domains": "three.csv",
        "--output": "new/m.csv",
        "--count": "4",
        "--reuse": "model",
    },
    "mixtures fit": {
        "--mixtures": "m.csv",
        "--losses": "l.csv",
        "--target": "loss",
        "--output": "new/model",
        "--regressor": "linear",
    },
    "mixtures evaluate": {"--model": "model", "--mixtures": "m.csv", "--losses": "l.csv"},
    "mixtures predict": {"--model": "model", "--mixtures": "m.csv", "--output": "new/p.csv"},
    "mixtures select": {
        "--model": "model",
        "--output": "new/chosen.csv",
        "--prior": "one.csv",
        "--ratios": "one.csv",
        "--tokens": "1000",
        "--available": "tokens.csv",
    },
    "mixtures compare": {"--model": "model", "--mixture": "one=one.csv"},
    "mixtures advise": {"--model": "model", "--output": "new/next.csv", "--prior": "one.csv", "--count": "2"},
    "mixtures schedule": {
        "--schedules": "m.csv",
        "--trajectories": "t.csv",
        "--target": "loss",
        "--phases": "2",
        "--output": "new/s.csv",
        "--prior": "one.csv",
        "--tokens": "1000",
        "--available": "tokens.csv",
        "--observed": "observed.csv",
        "--running": "running.csv",
    },
    "evaluate": {
        "models": "exported",
        "--config": "config.toml",
        "--set": "evaluation.tasks_path=tasks",
        "--tasks": "one,two",
    },
    "join": {"--config": "config.toml", "--node": "1", "--set": "training.nodes=2"},
    "part": {"stage": "ingest", "--run": "artifacts/runs/0123456789abcdef.json"},
    "jobs list": {"--config": "config.toml"},
    "jobs follow": {"name": "none", "--config": "config.toml"},
    "jobs logs": {"name": "none", "--config": "config.toml"},
    "jobs cancel": {"name": "none", "--config": "config.toml"},
    "tasks fetch": {
        "--output": "new/tasks",
        "--package": "package.whl",
        "--sha256": package_checksum(),
        "--tasks": "arc_easy",
    },
    "tasks list": {"folder": "tasks"},
    "tasks texts": {"folder": "tasks", "--output": "new/texts.jsonl"},
    "proxies train": {
        "--mixtures": "mixed.csv",
        "--tokens": "tokens",
        "--output": "new/runs",
        "--config": "config.toml",
    },
}
"""Arguments with which each command would do its work, among them every file that it takes."""


LONG = {"forecast"}
"""Runs a dozen stages."""
APART = {"join", "part", "jobs follow", "jobs logs", "jobs cancel"}
"""One works beside another machine, in training/test_two_nodes.py, the others on jobs, in test_jobs.py."""
SMALL_FINAL = """
[quality]
classifier = "c.bin"
positive_label = "__label__hq"
[regression]
regressor = "linear"
folds = 2
[baselines]
methods = []
[gate]
within_noise = "train"
[training]
model = { layers = 2, width = 48, heads = 4, kv_heads = 4, feed_forward = 64, context = 32 }
tokens = 16_384
max_epochs = 1000
[forecast]
smallest = 0.1
largest = 0.8
budgets = [0.25, 0.5]
evaluations = 2
"""
"""A final model that is foretold in seconds."""


def is_output(name: str) -> bool:
    return name == "--output"


def files() -> list[tuple[str, str]]:
    """Each command with each of its files."""
    found = []
    for words, command in COMMANDS.items():
        for parameter in command.params:
            name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name
            if "Path" in str(parameter.type_descriptor.annotation) or name == "--mixture":
                found.append((words, name))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the commands are given."""
    folder = tmp_path_factory.mktemp("home")
    extra = "[sweep]\ntokens = 2_000\nevaluations = 1\n[mix]\ntarget = { easy = 1.0 }\ncandidates = 100\n"
    extra += SMALL_FINAL
    _, done = easy_and_hard(folder, SMALL_SWEEP + extra)
    (folder / "tokens").symlink_to(done["tokenize"].path)
    lines = [f"__label__{'hq' if i % 2 else 'lq'} the cat and number {i}" for i in range(60)]
    (folder / "train.txt").write_text("\n".join(lines))
    options = {"dim": 4, "bucket": 100, "thread": 1, "verbose": 0, "minCount": 1}
    fasttext.train_supervised(str(folder / "train.txt"), **options).save_model(str(folder / "c.bin"))
    weights = np.random.default_rng(0).dirichlet([1, 1], 12).round(3)
    weights[:, 1] = 1 - weights[:, 0]
    rows = [f"{i},{a:.3f},{b:.3f}" for i, (a, b) in enumerate(weights)]
    (folder / "m.csv").write_text("\n".join(["index,easy,hard", *rows]))
    (folder / "mixed.csv").write_text("\n".join(["index,easy,hard", *rows[:2]]))
    (folder / "one.csv").write_text("index,easy,hard\n0,0.5,0.5\n")
    losses = [f"{i},{2 + (a - 0.6) ** 2:.4f}" for i, (a, _) in enumerate(weights)]
    (folder / "l.csv").write_text("\n".join(["index,loss", *losses]))
    for name in ("one", "two"):
        write_task(folder / "tasks", name, [{"context": "the", "choices": [" cat", " dog"], "gold": 0}])
    write_package(folder / "package.whl", PACKAGE)
    store = TokenStore(done["tokenize"].path)
    shape = ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=32, context=32)
    save_model(Transformer(shape, store.vocabulary), folder / "exported", store.tokenizer_path)
    fitted, card = fit_tables([folder / "m.csv"], [folder / "l.csv"], {"loss": 1.0}, regressor="gp")
    save_regression(fitted, card, folder / "model")
    curves = [f"{i},{t},{4 - a * t / 1000:.4f}" for i, (a, _) in enumerate(weights) for t in (0, 500, 1000)]
    (folder / "t.csv").write_text("\n".join(["index,tokens,loss", *curves]))
    (folder / "observed.csv").write_text("phase,loss\n1,3.5\n")
    (folder / "running.csv").write_text("index,phase,share,easy,hard\n0,1,0.5,0.5,0.5\n0,2,0.5,0.4,0.6\n")
    pairs = [f"{loss},{0.9 - 2 * 0.5**loss}" for loss in (2, 2.5, 3, 3.5, 4, 5)]
    (folder / "tasks.csv").write_text("\n".join(["loss,error", *pairs]))
    (folder / "tokens.csv").write_text("domain,tokens\neasy,100000\nhard,100000\n")
    (folder / "three.csv").write_text("domain,tokens\neasy,100000\nhard,100000\nnew,100000\n")
    (folder / "available.csv").write_text("domain,tokens\neasy,100000000\nhard,100000000\n")
    return folder


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    """``mashbill`` in this process, in the folder with the files: its exit code, its error stream and what it
    shows."""

    def call(words: str, arguments: dict[str, str]) -> tuple[int, str, str]:
        given = [
            part
            for name, value in arguments.items()
            for part in ([name, value] if name.startswith("-") and value else [value or name])
        ]
        monkeypatch.setattr(sys, "argv", ["mashbill", *words.split(), *given])
        monkeypatch.chdir(home)
        with pytest.raises(SystemExit) as ended:
            main()
        streams = capsys.readouterr()
        return int(ended.value.code or 0), streams.err, streams.out

    return call


@pytest.fixture
def bad(tmp_path: Path) -> dict[str, Path]:
    """Things that are no input of any command."""
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "rubbish").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "text").write_text("some words,\nthat are (no table]\n\n")
    (tmp_path / "columns").write_text("other,names\n1,2\n3,4\n")
    (tmp_path / "json").write_text('{"a": [1, 2]}')
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    kinds = ("missing", "empty", "folder", "rubbish", "text", "columns", "json", "broken")
    return {kind: tmp_path / kind for kind in kinds}


def test_every_command_and_every_file_of_it_is_tested() -> None:
    assert GOOD.keys() == COMMANDS.keys()
    for words, name in files():
        assert name in GOOD[words], f"{words} takes {name}: give it in GOOD"


@pytest.mark.parametrize(
    "words",
    [pytest.param(w, marks=pytest.mark.slow) if w in LONG else w for w in COMMANDS if w not in APART],
)
def test_every_command_does_its_work_with_what_the_other_tests_spoil(words: str, run: Run) -> None:
    code, said, _ = run(words, GOOD[words])
    assert code == 0, said


@pytest.mark.parametrize("words, name", [f for f in files() if not is_output(f[1])])
def test_no_command_shows_a_traceback_for_a_file_that_will_not_do(
    words: str, name: str, run: Run, bad: dict[str, Path]
) -> None:
    ending = Path(GOOD[words][name]).suffix
    for kind, named in bad.items():
        path = named.with_name(named.name + ending)
        if named.exists() or named.is_symlink():
            named.rename(path)
        value = f"one={path}" if name == "--mixture" else str(path)
        code, said, _ = run(words, {**GOOD[words], name: value})
        errors = [line for line in said.splitlines() if not line.startswith("warning: ")]
        assert code == 2, (kind, said)
        assert len(errors) == 1, (kind, said)
        assert errors[0].startswith("error: "), (kind, said)
        assert errors[0].count(": ") >= 2, (kind, said)
        assert "; " in errors[0], (kind, said)


@pytest.mark.parametrize("words, name", [f for f in files() if is_output(f[1])])
def test_no_command_shows_a_traceback_for_an_output_that_cannot_be_written(
    words: str, name: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "within", Path("/proc/none/within")):
        arguments = {k: v for k, v in GOOD[words].items() if k not in ("--observed", "--running")}
        code, said, _ = run(words, {**arguments, name: str(path)})
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert (code, len(errors)) == (2, 1), said
        assert "Traceback" not in said


@pytest.mark.parametrize("words", [*COMMANDS, "", "mixtures", "proxies", "tasks", "jobs"])
def test_help_says_what_it_means_brackets_and_all(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mashbill", *words.split(), "--help"])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = " ".join(capsys.readouterr().out.split())
    for parameter in COMMANDS[words].params if words in COMMANDS else ():
        assert " ".join(parameter.help.split()) in shown, parameter.name
    if words == "proxies train":
        assert "[proxy], [sweep] and seed" in shown


@pytest.mark.parametrize("name", ["a [v2]", "it[/dim]", "[red]", "x[0]"])
def test_a_path_with_brackets_is_shown_as_it_is(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True)
    for words, output in (("mixtures predict", tmp_path / name / "p.csv"), ("score", tmp_path / name)):
        code, said, shown = run(words, {**GOOD[words], "--output": str(output)})
        assert (code, said) == (0, "")
        assert shown.endswith(f": {output}\n")
    lost = str(tmp_path / name / "lost.csv")
    code, said, _ = run("mixtures predict", {**GOOD["mixtures predict"], "--mixtures": lost})
    assert code == 2
    assert lost in said
