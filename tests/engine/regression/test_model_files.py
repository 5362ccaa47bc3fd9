"""A fitted regression is arrays and JSON: read again it predicts what it predicted, and reading one that
someone else planted runs nothing of theirs."""

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders.planted import malicious_pickle, write_malicious_npz
from mashbill.cli.main import main
from mashbill.config.search import REGRESSORS
from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.regression.fitted import EARLIER_MODEL, MODEL, FittedRegression, fit_runs
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.process import Process, learn
from mashbill.regression.state import read_state, write_state
from mashbill.regression.tables import fit_tables, save_model

DOMAINS, SETS, RUNS = ("web", "books", "code", "news"), ("loss", "other"), 32
Command = Callable[..., tuple[int, str]]


def runs() -> SweepRuns:
    """A sweep whose losses fall with what is like them, with noise."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(len(DOMAINS)), RUNS)
    losses = 3 - np.sqrt(weights + 0.01) @ random.uniform(0, 1, (len(DOMAINS), len(SETS)))
    losses += random.normal(0, 0.01, losses.shape)
    index = np.arange(RUNS)
    weights, losses = np.asfortranarray(weights), np.asfortranarray(losses)  # as a table's columns lie
    return SweepRuns(MixtureTable(index, DOMAINS, weights), LossTable(index, SETS, losses))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that ``mashbill mixtures fit`` could have written, and a table of mixtures beside it."""
    folder, sweep = tmp_path_factory.mktemp("model"), runs()
    sweep.mixtures.write(folder / "mixtures.csv")
    sweep.losses.write(folder / "losses.csv")
    tables = [folder / "mixtures.csv"], [folder / "losses.csv"]
    save_model(*fit_tables(*tables, {"loss": 1.0}, regressor="linear"), folder / "fitted")
    return folder


@pytest.fixture
def predict(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """``mashbill mixtures predict`` with a model in this process: its exit code and its errors."""

    def call(folder: Path) -> tuple[int, str]:
        asked = ["--mixtures", model / "mixtures.csv", "--output", tmp_path / "predictions.csv"]
        arguments = ["mashbill", "mixtures", "predict", "--model", folder, *asked]
        monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


@pytest.mark.parametrize("name", REGRESSORS)
def test_what_is_read_predicts_what_was_written_bit_for_bit(name: str, tmp_path: Path) -> None:
    fitted, _ = fit_runs(runs(), name, [name], folds=3, seed=0)
    fitted.write(tmp_path)
    read = FittedRegression.read(tmp_path)
    mixtures = np.random.default_rng(1).dirichlet(np.full(len(DOMAINS), 0.3), 1_500)
    assert np.array_equal(read.regressor.predict(mixtures), fitted.regressor.predict(mixtures))
    assert (read.name, read.domains, read.sets) == (name, DOMAINS, SETS)
    for table in ("weights", "losses", "out_of_fold"):
        assert np.array_equal(getattr(read, table), getattr(fitted, table))
    if isinstance(fitted.regressor, GaussianProcess):
        before, after = fitted.regressor, read.posterior
        assert np.array_equal(after.deviation(mixtures), before.deviation(mixtures))
        assert np.array_equal(after.draw(mixtures[:60], 30, 2), before.draw(mixtures[:60], 30, 2))
    read.write(tmp_path)
    assert np.array_equal(
        FittedRegression.read(tmp_path).regressor.predict(mixtures), read.regressor.predict(mixtures)
    )


def test_a_process_of_many_domains_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    """Of a table's columns, as they lie: sums in another order would end in other bits."""
    random = np.random.default_rng(1)
    weights = np.asfortranarray(random.dirichlet(np.ones(24), 160))
    made = learn(weights, random.standard_normal((160, 2)), 1 / 3)
    write_state(tmp_path / "state", made.state())
    read, unseen = Process.from_state(read_state(tmp_path / "state")), random.dirichlet(np.ones(24), 600)
    assert np.array_equal(read.mean(unseen), made.mean(unseen))
    assert np.array_equal(read.variance(unseen), made.variance(unseen))


def test_the_planted_pickle_of_these_tests_runs_when_it_is_loaded(tmp_path: Path) -> None:
    pickle.loads(malicious_pickle(tmp_path / "mark")).close()
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", [MODEL, EARLIER_MODEL, "model.json"])
@pytest.mark.parametrize("kind", ["pickle", "npz"])
def test_predict_runs_nothing_of_a_planted_file(
    name: str, kind: str, model: Path, predict: Command, tmp_path: Path
) -> None:
    planted, mark = tmp_path / "planted", tmp_path / "mark"
    shutil.copytree(model / "fitted", planted)
    if kind == "npz":
        write_malicious_npz(planted / name, mark)
    else:
        (planted / name).write_bytes(malicious_pickle(mark))
    code, said = predict(planted)
    assert not mark.exists()
    assert code == (0 if name == EARLIER_MODEL else 2), said
    assert said.startswith("error: " if code else "")


def test_a_folder_of_an_earlier_version_is_refused_unread(
    model: Path, predict: Command, tmp_path: Path
) -> None:
    shutil.copytree(model / "fitted", tmp_path / "old")
    (tmp_path / "old" / MODEL).unlink()
    (tmp_path / "old" / EARLIER_MODEL).write_bytes(malicious_pickle(tmp_path / "mark"))
    code, said = predict(tmp_path / "old")
    assert code == 2
    assert "made by an earlier version" in said
    assert "fit again" in said
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"name": "oracle"},
        {"domains": ["web"]},
        {"sets": ["loss", "more"]},
        {"losses": np.zeros((3, 1))},
        {"regressor.slopes": "import os"},
        {"regressor.slopes": np.zeros((2, 7))},
        {"regressor.constants": None},
    ],
)
def test_a_state_that_is_no_regression_is_told_in_words(
    change: dict[str, object], model: Path, tmp_path: Path
) -> None:
    state = read_state(model / "fitted" / MODEL)
    write_state(tmp_path / MODEL, {**state, **change})
    with pytest.raises(DataError, match=r"holds no fitted regression .*; fit it again"):
        FittedRegression.read(tmp_path)


def test_a_state_holds_numbers_and_json_alone(tmp_path: Path) -> None:
    values = {"text": "a", "number": 0.1, "list": [1, None], "array": np.arange(6).reshape(2, 3).T}
    write_state(tmp_path / "state", values)
    read = read_state(tmp_path / "state")
    assert np.array_equal(read.pop("array"), [[0, 3], [1, 4], [2, 5]])
    assert json.dumps(read) == json.dumps({name: values[name] for name in ("text", "number", "list")})
    for unwritable in (np.array([object()]), np.array(["text"]), object()):
        with pytest.raises(TypeError):
            write_state(tmp_path / "other", {"name": unwritable})
