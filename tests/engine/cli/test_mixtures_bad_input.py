"""Bad input of ``mashbill mixtures``: exit 2 and one line that names the file, the row or column, and the
mend."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mashbill.cli.main import main
from mashbill.regression.tables import fit_tables, save_model

DOMAINS = ("web", "books", "code")
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``mashbill mixtures`` in this process: its exit code and what it says on the error stream."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mashbill", "mixtures", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


def refused(answer: tuple[int, str], *fragments: str) -> None:
    code, said = answer
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert (code, len(errors)) == (2, 1), said
    assert said.strip() == errors[0]
    assert all(fragment in errors[0] for fragment in fragments), errors[0]


def tables(runs: int = 24) -> tuple[pd.DataFrame, pd.DataFrame]:
    weights = np.random.default_rng(0).dirichlet(np.ones(len(DOMAINS)), runs)
    mixed = pd.DataFrame(weights, columns=list(DOMAINS))
    mixed.insert(0, "index", range(runs))
    lost = pd.DataFrame(
        {"index": range(runs), "loss": 3 - np.sqrt(weights + 0.01) @ [1.0, 0.5, 0.2], "score": -weights[:, 0]}
    )
    return mixed, lost


def write(folder: Path, mixed: pd.DataFrame, lost: pd.DataFrame) -> list[object]:
    mixed.to_csv(folder / "m.csv", index=False)
    lost.to_csv(folder / "l.csv", index=False)
    return ["--mixtures", folder / "m.csv", "--losses", folder / "l.csv"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of good tables."""
    folder = tmp_path_factory.mktemp("good")
    write(folder, *tables())
    fitted, report = fit_tables([folder / "m.csv"], [folder / "l.csv"], {"loss": 1.0}, regressor="gp")
    save_model(fitted, report, folder / "model")
    return folder / "model"


def cell(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    """The table with another value in its third row."""
    changed = table.astype({column: object}) if isinstance(value, str) else table.copy()
    changed.loc[2, column] = value
    return changed


BAD_TABLES = {
    "sum": (lambda m, lost: (cell(m, "web", 0.999), lost), ["m.csv: index 2", "sums to", "sum to 1"]),
    "negative weight": (
        lambda m, lost: (cell(m, "web", -0.1), lost),
        ["m.csv: index 2, column web", "no weight"],
    ),
    "missing weight": (
        lambda m, lost: (cell(m, "web", float("nan")), lost),
        ["m.csv: index 2, column web", "no weight"],
    ),
    "text for a weight": (
        lambda m, lost: (cell(m, "web", "much"), lost),
        ["m.csv: index 2, column web", "'much'", "no number"],
    ),
    "negative loss": (
        lambda m, lost: (m, cell(lost, "loss", -1.0)),
        ["l.csv: index 2, column loss", "--maximize loss"],
    ),
    "missing loss": (
        lambda m, lost: (m, cell(lost, "loss", float("nan"))),
        ["l.csv: index 2, column loss", "--skip-failed"],
    ),
    "infinite loss": (
        lambda m, lost: (m, cell(lost, "loss", float("inf"))),
        ["l.csv: index 2, column loss", "infinite"],
    ),
    "text for a loss": (
        lambda m, lost: (m, cell(lost, "loss", "low")),
        ["l.csv: index 2, column loss", "'low'", "no number"],
    ),
    "not in losses": (lambda m, lost: (m, lost.head(20)), ["l.csv: index 20", "is missing", "m.csv has it"]),
    "not in mixtures": (
        lambda m, lost: (m.head(20), lost),
        ["m.csv: index 20", "is missing", "l.csv has it"],
    ),
    "few": (lambda m, lost: (m.head(5), lost.head(5)), ["l.csv", "5 finished runs", "at least 8"]),
    "constant": (lambda m, lost: (m, lost.assign(loss=2.0)), ["l.csv: column loss", "is constant"]),
    "same mixtures": (
        lambda m, lost: (m.assign(web=0.5, books=0.5, code=0.0), lost),
        ["m.csv", "same mixture in every run"],
    ),
    "no target": (
        lambda m, lost: (m, lost.drop(columns="loss")),
        ["l.csv: column loss", "is missing", "choose among score"],
    ),
    "no index in mixtures": (lambda m, lost: (m.drop(columns="index"), lost), ["m.csv", "no column index"]),
    "no index in losses": (lambda m, lost: (m, lost.drop(columns="index")), ["l.csv", "no column index"]),
    "text for an index": (
        lambda m, lost: (m, cell(lost, "index", "third")),
        ["l.csv: row 3, column index", "'third'"],
    ),
    "empty index": (lambda m, lost: (m, cell(lost, "index", float("nan"))), ["l.csv: row 3", "no index"]),
    "index twice": (lambda m, lost: (cell(m, "index", 1), lost), ["m.csv: index 1", "stands twice"]),
    "column twice": (
        lambda m, lost: (m.rename(columns={"code": "web"}), lost),
        ["m.csv: column web", "stands twice"],
    ),
    "no rows": (lambda m, lost: (m.head(0), lost), ["m.csv", "has no rows"]),
    "no columns": (lambda m, lost: (m, lost[["index"]]), ["l.csv", "no column but the index"]),
}


@pytest.mark.parametrize("change, fragments", BAD_TABLES.values(), ids=BAD_TABLES)
def test_fit_refuses_bad_tables(
    change: Callable[..., tuple[pd.DataFrame, ...]], fragments: list[str], tmp_path: Path, run: Run
) -> None:
    mixed, lost = change(*tables())
    given = write(tmp_path, mixed, lost)
    refused(run("fit", *given, "--target", "loss", "--output", tmp_path / "model"), *fragments)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "name", sorted(set(BAD_TABLES) - {"few", "same mixtures", "no target", "not in losses"})
)
def test_evaluate_refuses_bad_tables(name: str, model: Path, tmp_path: Path, run: Run) -> None:
    change, fragments = BAD_TABLES[name]
    refused(run("evaluate", "--model", model, *write(tmp_path, *change(*tables()))), *fragments[:1])


@pytest.mark.parametrize(
    "text, fragments",
    [("", ["is empty"]), ("index,web\n0,1,2\n", ["more cells"]), ("a,b\n1\n2,3,4\n", ["cannot be read"])],
)
@pytest.mark.parametrize("file", ["m.csv", "l.csv"])
def test_files_that_are_no_tables_are_named(
    file: str, text: str, fragments: list[str], tmp_path: Path, run: Run
) -> None:
    given = write(tmp_path, *tables())
    (tmp_path / file).write_text(text)
    refused(run("fit", *given, "--target", "loss", "--output", tmp_path / "model"), file, *fragments)
    (tmp_path / file).unlink()
    refused(run("fit", *given, "--target", "loss", "--output", tmp_path / "model"), file, "cannot be read")


@pytest.mark.parametrize(
    "regressor, runs, least", [("lightgbm", 12, 16), ("power", 10, 11), ("ensemble", 12, 16), ("gp", 7, 8)]
)
def test_a_regressor_says_how_many_runs_it_can_bear(
    regressor: str, runs: int, least: int, tmp_path: Path, run: Run
) -> None:
    mixed, lost = tables(40)
    mixed = pd.concat([mixed.iloc[:runs], mixed.iloc[:0]])
    if regressor == "power":  # of seven domains
        mixed[["a", "b", "c", "d"]] = 0.0
    given = write(tmp_path, mixed, lost.head(runs))
    answer = run("fit", *given, "--target", "loss", "--regressor", regressor, "--output", tmp_path / "model")
    refused(answer, "l.csv", f"{runs} finished runs", f"at least {least}")


def test_a_score_may_be_negative_where_it_is_maximised(tmp_path: Path, run: Run) -> None:
    given = [*write(tmp_path, *tables()), "--regressor", "linear", "--output", tmp_path / "model"]
    refused(run("fit", *given, "--target", "score"), "l.csv: index 0, column score", "--maximize score")
    assert run("fit", *given, "--target", "score", "--maximize", "score")[0] == 0


@pytest.mark.parametrize(
    "options, fragments",
    [
        (
            ["--target", "loss", "--maximize", "nothing"],
            ["l.csv: column nothing", "choose among loss, score"],
        ),
        (["--target", "los?x*"], ["l.csv: column los?x*", "is missing"]),
        (["--target", "loss=x"], ["--target loss=x", "'x'"]),
        (["--target", "loss=-1"], ["--target loss=-1", "at least 0"]),
        (["--target", "loss=0"], ["--target", "above 0"]),
        (["--target", "loss", "--target", "loss"], ["--target loss", "twice"]),
        (["--target", "loss", "--regressor", "oracle"], ["--regressor oracle", "choose among"]),
    ],
)
def test_fit_refuses_bad_options(options: list[str], fragments: list[str], tmp_path: Path, run: Run) -> None:
    refused(run("fit", *write(tmp_path, *tables()), *options, "--output", tmp_path / "model"), *fragments)


@pytest.mark.parametrize("command", ["prior", "ratios", "mixture", "predict", "evaluate"])
@pytest.mark.parametrize(
    "file",
    ["index,web,books\n0,0.5,0.5\n", "index,web,books,code,news\n0,0.4,0.2,0.2,0.2\n"],
    ids=["missing", "unknown"],
)
def test_a_mixture_of_other_domains_is_refused(
    command: str, file: str, model: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "x.csv").write_text(file)
    ways = {
        "prior": ["select", "--prior", tmp_path / "x.csv", "--output", tmp_path / "o.csv"],
        "ratios": ["select", "--ratios", tmp_path / "x.csv", "--output", tmp_path / "o.csv"],
        "mixture": ["compare", "--mixture", f"one={tmp_path / 'x.csv'}"],
        "predict": ["predict", "--mixtures", tmp_path / "x.csv", "--output", tmp_path / "o.csv"],
        "evaluate": ["evaluate", "--mixtures", tmp_path / "x.csv", "--losses", tmp_path / "x_l.csv"],
    }
    (tmp_path / "x_l.csv").write_text("index,loss\n0,1.0\n1,2.0\n")
    if command == "evaluate":
        (tmp_path / "x.csv").write_text(file + file.splitlines()[1].replace("0,", "1,", 1) + "\n")
    refused(
        run(ways[command][0], "--model", model, *ways[command][1:]),
        "x.csv: column",
        "code" if "news" not in file else "news",
    )


TOKENS = "domain,tokens\nweb,1e9\nbooks,1e8\ncode,1e8\n"


@pytest.mark.parametrize(
    "options, tokens, fragments",
    [
        (["--min", "web=0.7", "--min", "code=0.6"], "", ["--min", "asks for 1.3", "sum to at most 1"]),
        (
            ["--max", "web=0.2", "--max", "code=0.2", "--max", "books=0.2"],
            "",
            ["--max", "allows 0.6", "at least 1"],
        ),
        (["--min", "web=0.5", "--max", "web=0.4"], "", ["--min web", "ceiling"]),
        (["--min", "web=-0.5"], "", ["--min web=-0.5", "at least 0"]),
        (["--max", "web=1.5"], "", ["--max web", "from 0 to 1"]),
        (["--max", "web"], "", ["--max web", "DOMAIN=0.5"]),
        (["--max", "news=0.5"], "", ["--max news", "choose among web, books, code"]),
        (["--tokens", "1e9"], "", ["--tokens", "give --available too"]),
        ([], TOKENS, ["--available", "give --tokens too"]),
        (
            ["--tokens", "1e12"],
            TOKENS,
            ["t.csv: --max-epochs 4", "allows 4,800,000,000 tokens", "1,000,000,000,000"],
        ),
        (["--tokens", "1e9", "--max-epochs", "0.1"], TOKENS, ["t.csv: --max-epochs 0.1", "raise it"]),
        (["--tokens", "1e9", "--max-epochs", "0"], TOKENS, ["--max-epochs 0", "above 0"]),
        (["--tokens", "-5"], TOKENS, ["--tokens -5", "above 0"]),
        (["--tokens", "1e9", "--min", "code=0.9"], TOKENS, ["--min code", "ceiling"]),
        (["--tokens", "1e9"], TOKENS.replace("code,1e8\n", ""), ["t.csv: domain code", "is missing"]),
        (["--tokens", "1e9"], TOKENS + "news,5\n", ["t.csv: domain news", "no domain of the model"]),
        (["--tokens", "1e9"], TOKENS + "web,5\n", ["t.csv: domain web", "twice"]),
        (["--tokens", "1e9"], TOKENS + "news,many\n", ["t.csv: domain", "number of tokens"]),
        (["--tokens", "1e9"], TOKENS + "news,-1\n", ["t.csv: domain news", "above 0"]),
        (["--tokens", "1e9"], "domain,amount\nweb,1\n", ["t.csv", "no column tokens"]),
        (["--tokens", "1e9"], "domain,tokens\n", ["t.csv", "no rows"]),
    ],
)
def test_limits_that_no_mixture_keeps_to_are_refused(
    options: list[str], tokens: str, fragments: list[str], model: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "t.csv").write_text(tokens)
    available = ["--available", tmp_path / "t.csv"] if tokens else []
    refused(run("select", "--model", model, "--output", tmp_path / "o.csv", *options, *available), *fragments)
    assert not (tmp_path / "o.csv").exists()


def test_caution_has_the_bounds_of_the_setting(model: Path, tmp_path: Path, run: Run) -> None:
    code, said = run("select", "--model", model, "--output", tmp_path / "o.csv", "--caution", 11)
    assert (code, "--caution" in said) == (2, True)


def test_kept_ratios_keep_to_the_limits_or_are_refused(model: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "r.csv").write_text("index,web,books,code\n0,0.5,0.5,0\n")
    given = ["select", "--model", model, "--output", tmp_path / "o.csv", "--ratios", tmp_path / "r.csv"]
    assert run(*given, "--max", "web=0.3")[0] == 0
    assert pd.read_csv(tmp_path / "o.csv").loc[0, "web"] <= 0.3 + 1e-6
    refused(run(*given, "--max", "web=0.1", "--min", "books=0.3"), "ratios", "no mixture within the limits")


@pytest.mark.parametrize(
    "options, tokens, fragments",
    [
        (["--tokens", "1e12"], TOKENS, ["t.csv: --max-epochs 4", "raise it"]),
        (["--tokens", "0"], TOKENS, ["--tokens 0", "above 0"]),
        (["--design", "grid"], TOKENS, ["--design grid", "space-filling"]),
        (["--revised", "web"], TOKENS, ["--revised web", "--reuse"]),
        (["--reuse", "nowhere"], TOKENS, ["--reuse nowhere", "no fitted model"]),
        ([], "", ["t.csv", "is empty"]),
        ([], "domain,tokens\nweb\n", ["t.csv: domain web", "tokens"]),
    ],
)
def test_plan_refuses_what_it_cannot_plan(
    options: list[str], tokens: str, fragments: list[str], tmp_path: Path, run: Run
) -> None:
    (tmp_path / "t.csv").write_text(tokens)
    refused(
        run("plan", "--domains", tmp_path / "t.csv", "--output", tmp_path / "o.csv", *options), *fragments
    )


def test_a_broken_model_is_named(tmp_path: Path, run: Run, model: Path) -> None:
    (tmp_path / "model.json").write_text((model / "model.json").read_text())
    (tmp_path / "regression.safetensors").write_bytes(b"no tensors")
    refused(run("advise", "--model", tmp_path), f"--model {tmp_path}", "no fitted model")
