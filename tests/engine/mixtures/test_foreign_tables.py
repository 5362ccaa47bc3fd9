"""Tables as other trainers write them say the same as plain ones, and what is left out of them is said."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.regression.runs import join_tables
from mashbill.regression.tables import fit_tables

RUNS = 12
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), RUNS)
LOSSES = 3 - np.sqrt(WEIGHTS + 0.01) @ np.array([[1.0, 0.2], [0.5, 0.3], [0.2, 0.9]])
TABLES = {"m": (MixtureTable, ("web", "books", "code"), WEIGHTS), "l": (LossTable, ("loss", "other"), LOSSES)}
NAMED = [f"run-{chr(97 + i)}" for i in range(RUNS)]


def frame(which: str, index: list[object] | None = None) -> pd.DataFrame:
    _, columns, values = TABLES[which]
    made = pd.DataFrame(values, columns=list(columns))
    made.insert(0, "index", list(range(RUNS)) if index is None else index)
    return made


def plain(which: str) -> str:
    return str(frame(which).to_csv(index=False))


def european(which: str) -> str:
    return str(frame(which).to_csv(index=False, sep=";", decimal=","))


def from_pandas(which: str) -> str:
    return str(frame(which).drop(columns="index").to_csv())


def called(name: str) -> Callable[[str], str]:
    return lambda which: str(frame(which).rename(columns={"index": name}).to_csv(index=False))


WRITTEN: dict[str, Callable[[str], str | bytes]] = {
    "byte mark": lambda w: "\ufeff" + plain(w),
    "utf-16": lambda w: plain(w).encode("utf-16"),
    "windows": lambda w: plain(w).replace("\n", "\r\n"),
    "old mac": lambda w: plain(w).replace("\n", "\r\n").rstrip(),
    "tabs": lambda w: str(frame(w).to_csv(index=False, sep="\t")),
    "semicolons": lambda w: str(frame(w).to_csv(index=False, sep=";")),
    "semicolons and decimal commas": european,
    "pandas' own index": from_pandas,
    "saved twice by pandas": lambda w: str(frame(w).to_csv()),
    "a column run": called("run"),
    "a column Name": called("Name"),
    "empty rows at the end": lambda w: plain(w) + ",,,\n\n,,\n",
    "empty columns at the end": lambda w: "".join(f"{line},,\n" for line in plain(w).splitlines()),
    "a comma more in each row": lambda w: plain(w).replace("\n", ",\n").replace(",\n", "\n", 1),
    "blanks": lambda w: plain(w).replace(",", " , "),
    "quoted": lambda w: str(frame(w).astype(str).to_csv(index=False, quoting=1)),
    "other order of rows": lambda w: str(frame(w)[::-1].to_csv(index=False)),
    "text beside": lambda w: str(
        frame(w)
        .assign(status="finished", started="2026-01-02T03:04:05", good=True, notes=["", "ok"] * (RUNS // 2))
        .to_csv(index=False)
    ),
}


def written(folder: Path, which: str, content: str | bytes) -> Path:
    path = folder / f"{which}.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("which", TABLES)
def test_a_table_says_the_same_in_any_form(which: str, form: str, tmp_path: Path) -> None:
    kind, columns, values = TABLES[which]
    table = kind.read(written(tmp_path, which, WRITTEN[form](which)))
    order = np.argsort(table.index)
    assert table.columns == columns
    assert table.index[order].tolist() == list(range(RUNS))
    assert table.values[order] == pytest.approx(values, abs=1e-12)


def test_percent_are_weights(tmp_path: Path) -> None:
    table = frame("m")
    table[["web", "books", "code"]] *= 100
    assert MixtureTable.read(written(tmp_path, "m", table.to_csv(index=False))).weights == pytest.approx(
        WEIGHTS
    )
    signed = table.map(lambda cell: f"{cell}%" if isinstance(cell, float) else cell)
    assert MixtureTable.read(written(tmp_path, "m", signed.to_csv(index=False))).weights == pytest.approx(
        WEIGHTS
    )


def test_thousands_are_told_from_decimals(tmp_path: Path) -> None:
    text = 'index,loss,tokens\n0,1.5,"1,234,567"\n1,2.5,"12,345.5"\n'
    assert LossTable.read(written(tmp_path, "l", text)).values.tolist() == [[1.5, 1_234_567], [2.5, 12_345.5]]


def test_runs_are_joined_by_their_names(tmp_path: Path) -> None:
    mixed = frame("m", [*NAMED]).rename(columns={"index": ""})
    lost = frame("l", [*NAMED])[::-1].rename(columns={"index": "run_name"})[["loss", "run_name", "other"]]
    paths = [
        written(tmp_path, "m", mixed.to_csv(index=False)),
        written(tmp_path, "l", lost.to_csv(index=False)),
    ]
    runs = SweepRuns.read_tables(*paths)
    assert runs.mixtures.index.tolist() == NAMED
    assert runs.losses.losses == pytest.approx(LOSSES)
    runs.losses.write(tmp_path / "again.csv")
    assert LossTable.read(tmp_path / "again.csv").index.tolist() == NAMED
    lost = lost[lost["run_name"] != "run-c"]
    written(tmp_path, "l", lost.to_csv(index=False))
    with pytest.raises(DataError, match=r"l\.csv: index run-c: is missing, and .*m\.csv has it"):
        SweepRuns.read_tables(*paths)
    written(tmp_path, "l", frame("l").to_csv(index=False))
    with pytest.raises(DataError, match=r"l\.csv: index run-a: is missing, .*m\.csv has it \(as 11 more\)"):
        SweepRuns.read_tables(*paths)


def test_a_name_twice_is_named(tmp_path: Path) -> None:
    names = [*NAMED[:-1], NAMED[0]]
    with pytest.raises(DataError, match=r"l\.csv: index run-a: stands twice"):
        LossTable.read(written(tmp_path, "l", frame("l", [*names]).to_csv(index=False)))


@pytest.mark.parametrize(
    "cell",
    ["inf", "-inf", "Infinity", "NaN", "nan", "", "diverged", "Crashed", "FAILED", "N/A", "None", "1e999"],
)
def test_a_run_that_failed_is_named_or_left_out_and_counted(cell: str, tmp_path: Path) -> None:
    lost = frame("l", [*NAMED]).astype({"loss": object})
    lost.loc[2, "loss"] = cell
    mixed = MixtureTable.read(written(tmp_path, "m", frame("m", [*NAMED]).to_csv(index=False)))
    losses = [LossTable.take(written(tmp_path, "l", lost.to_csv(index=False)))]
    with pytest.raises(DataError, match=r"l\.csv: index run-c, column loss: is .*--skip-failed"):
        join_tables(mixed, losses)
    runs = join_tables(mixed, losses, skip_failed=True)
    assert len(runs) - len(runs.finished) == 1
    assert runs.finished.losses.losses == pytest.approx(np.delete(LOSSES, 2, axis=0))
    _, card = fit_tables(
        [tmp_path / "m.csv"], [tmp_path / "l.csv"], {"loss": 1.0}, regressor="gp", skip_failed=True
    )
    assert (card.runs, card.skipped_runs) == (RUNS - 1, 1)


def test_what_is_said_in_place_of_numbers_is_known_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("index,loss,other\n4,2.5,Diverged\n7,oom,\n9,2.25,2.75\n")
    table = LossTable.take(tmp_path / "l.csv")
    assert table.said == {(4, "other"): "Diverged", (7, "loss"): "oom"}
    assert np.argwhere(np.isnan(table.losses)).tolist() == [[0, 1], [1, 0], [1, 1]]


def test_a_failed_run_of_a_column_outside_the_target_counts(tmp_path: Path) -> None:
    lost = frame("l").astype({"other": object})
    lost.loc[2, "other"] = "crashed"
    given = [written(tmp_path, "m", plain("m"))], [written(tmp_path, "l", lost.to_csv(index=False))]
    assert fit_tables(*given, {"loss": 1.0}, regressor="gp")[1].runs == RUNS


def test_text_is_left_out_with_a_word_and_no_target(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lost = frame("l").assign(status="finished", started="2026-01-02")
    given = [written(tmp_path, "m", plain("m"))], [written(tmp_path, "l", lost.to_csv(index=False))]
    with caplog.at_level(logging.WARNING):
        _, card = fit_tables(*given, {"all": 1.0}, regressor="gp")
    assert card.target == {"loss": 0.5, "other": 0.5}
    assert f"{tmp_path / 'l.csv'}: columns status, started are text, and are left out" in caplog.text
    with pytest.raises(DataError, match=r"column status: is text \('finished'\).*choose among loss, other"):
        fit_tables(*given, {"status": 1.0}, regressor="gp")


def test_a_word_among_losses_that_says_no_failure_is_an_error(tmp_path: Path) -> None:
    lost = frame("l").astype({"loss": object})
    lost.loc[2, "loss"] = "low"
    with pytest.raises(DataError, match=r"l\.csv: index 2, column loss: is 'low', which is no number"):
        LossTable.read(written(tmp_path, "l", lost.to_csv(index=False)))
