"""Models fitted on tables and judged on others, against figures worked out from what was measured."""

from pathlib import Path

import numpy as np
import pytest

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.regression.cross_validation import cross_validate
from mashbill.regression.fitted import RegressorComparison, TargetModel, fit_runs
from mashbill.regression.laws.linear import Linear
from mashbill.regression.runs import join_tables, read_losses, stacked_mixtures, weigh_columns
from mashbill.regression.tables import evaluate_tables, fit_tables, load_model, predict, save_model

RUNS = 14


def write_runs(folder: Path, *, seed: int = 0, runs: int = RUNS, noise: float = 0.01) -> tuple[Path, Path]:
    """Runs of a straight law: a loss that a lowers, and a score that a raises."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(3), runs)
    loss = 3 - weights[:, 0] + random.normal(0, noise, runs)
    score = 10 * weights[:, 0] + 1 + random.normal(0, noise, runs)
    MixtureTable.numbered(("a", "b", "c"), weights).write(folder / f"m{seed}.csv")
    losses = np.stack([loss, score], axis=1)
    LossTable(np.arange(runs), ("loss", "score"), losses).write(folder / f"l{seed}.csv")
    return folder / f"m{seed}.csv", folder / f"l{seed}.csv"


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[TargetModel, Path]:
    folder = tmp_path_factory.mktemp("straight")
    mixtures, losses = write_runs(folder)
    model, card = fit_tables(
        [mixtures], [losses], {"all": 1.0}, maximized=["score"], regressor="linear", seed=3
    )
    save_model(model, card, folder / "model")
    assert (card.runs, card.skipped_runs, card.domains, card.targets) == (RUNS, 0, 3, 2)
    assert card.target == {"loss": 0.5, "score": 0.5}
    assert card.maximized == ("score",)
    expected = cross_validate(
        Linear, MixtureTable.read(mixtures).weights, LossTable.read(losses).losses * [1, -1], folds=5, seed=3
    )
    assert card.cross_validation["score"].mae == pytest.approx(expected.mae[1])
    assert card.cross_validation["loss"].spearman == pytest.approx(expected.spearman[0])
    return model, folder


def test_a_column_to_be_maximised_is_predicted_in_its_own_sign(straight: tuple[TargetModel, Path]) -> None:
    model, _ = straight
    corners = MixtureTable.numbered(("c", "a", "b"), np.eye(3))
    found = predict(model, corners)
    assert found[:, 1] == pytest.approx([1, 11, 1], abs=0.3)
    assert found[:, 0] == pytest.approx([3, 2, 3], abs=0.1)
    assert model.loss(np.eye(3)).argmin() == 0  # the target is lower where the score is higher


def test_a_model_that_was_saved_is_the_same(straight: tuple[TargetModel, Path]) -> None:
    model, folder = straight
    found = load_model(folder / "model")
    table = MixtureTable.numbered(("a", "b", "c"), np.eye(3))
    assert predict(found, table).tolist() == predict(model, table).tolist()
    assert found.maximized == ("score",)
    assert dict(found.target) == {"loss": 0.5, "score": 0.5}
    with pytest.raises(ConfigError, match=r"--model .*nowhere: holds no fitted model"):
        load_model(folder / "nowhere")


def test_a_judgement_is_what_the_measured_losses_say(straight: tuple[TargetModel, Path]) -> None:
    model, folder = straight
    weights = np.array([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.0, 0.5, 0.5]])
    MixtureTable.numbered(("a", "b", "c"), weights).write(folder / "m.csv")
    measured = np.array([[2.5, 3.0], [2.3, 0.0], [2.9, 4.0], [3.2, -5.0]])
    LossTable(np.arange(4), ("loss", "score"), measured).write(folder / "l.csv")
    found = evaluate_tables(model, folder / "m.csv", folder / "l.csv")
    predicted = predict(model, MixtureTable.read(folder / "m.csv"))
    loss, score = found.targets["loss"], found.targets["score"]
    assert (found.runs, found.skipped_runs) == (4, 0)
    assert loss.regret == pytest.approx(0.2)  # the first is predicted best, the second measured best
    assert loss.chosen_rank == 2
    assert score.regret == pytest.approx(1.0)  # 3 where 4 was to be had
    assert score.chosen_rank == 2
    assert loss.spearman == pytest.approx(0.8)
    assert score.spearman == pytest.approx(0.4)
    assert found.mean_spearman == pytest.approx(0.6)
    assert loss.mae == pytest.approx(np.abs(predicted[:, 0] - measured[:, 0]).mean())
    assert score.pearson == pytest.approx(np.corrcoef(predicted[:, 1], measured[:, 1])[0, 1])
    assert loss.coverage_90 == 0.0


def test_intervals_of_runs_from_the_same_law_cover_most_of_them(straight: tuple[TargetModel, Path]) -> None:
    """Fourteen residuals and a coverage of 0.9: the greatest bounds the interval, which covers 0.93."""
    model, folder = straight
    found = evaluate_tables(model, *write_runs(folder, seed=1, runs=400))
    for column in found.targets.values():
        assert 0.8 < column.coverage_90 <= 1
    wider = evaluate_tables(model, *write_runs(folder, seed=2, runs=400, noise=0.03))
    assert all(column.coverage_90 < 0.7 for column in wider.targets.values())
    assert found.targets["loss"].spearman > 0.99


def test_runs_of_several_tables_and_failed_ones_are_joined(tmp_path: Path) -> None:
    for name, index, loss in (("one", [0, 1], [1.0, 2.0]), ("two", [5, 6], [3.0, np.nan])):
        weights = np.array([[i / 10, 1 - i / 10] for i in index])
        domains = ("a", "b") if name == "one" else ("b", "a")
        MixtureTable(np.array(index), domains, weights if name == "one" else weights[:, ::-1]).write(
            tmp_path / f"{name}-m.csv"
        )
        values = np.stack([loss, np.ones(2)], axis=1)
        LossTable(np.array(index), ("x", name), values).write(tmp_path / f"{name}-l.csv")
    mixtures = stacked_mixtures([tmp_path / "one-m.csv", tmp_path / "two-m.csv"])
    assert mixtures.weights[:, 0] == pytest.approx([0, 0.1, 0.5, 0.6])
    losses = read_losses([tmp_path / "one-l.csv", tmp_path / "two-l.csv"])
    assert [table.columns for table in losses] == [("x",), ("x",)]
    with pytest.raises(DataError, match=r"two-l\.csv: index 6, column x: is missing"):
        join_tables(mixtures, losses)
    runs = join_tables(mixtures, losses, skip_failed=True)
    assert runs.losses.losses[:3, 0].tolist() == [1, 2, 3]
    assert len(runs.finished) == 3
    with pytest.raises(DataError, match="have index 0 twice"):
        stacked_mixtures([tmp_path / "one-m.csv"] * 2)


def test_a_loss_below_zero_is_refused_unless_higher_is_better() -> None:
    mixtures = MixtureTable.numbered(("a", "b"), np.full((2, 2), 0.5))
    table = LossTable(np.arange(2), ("x", "y"), np.array([[1.0, -2.0], [2.0, 3.0]]), "l.csv")
    with pytest.raises(DataError, match=r"l\.csv: index 0, column y: is -2, which is no loss"):
        join_tables(mixtures, [table])
    assert len(join_tables(mixtures, [table], maximized=["y"])) == 2


def test_a_target_weighs_columns_by_name_pattern_or_all() -> None:
    columns = ("exam", "code_a", "code_b")
    assert weigh_columns({"all": 3.0}, columns, "l.csv") == {"exam": 1, "code_a": 1, "code_b": 1}
    assert weigh_columns({"exam": 0.5, "code_*": 1.0}, columns, "l.csv") == {
        "exam": 0.5, "code_a": 0.5, "code_b": 0.5,
    }  # fmt: skip
    assert weigh_columns({"all": 1.0}, ("all", "x"), "l.csv") == {"all": 1.0}
    with pytest.raises(DataError, match=r"l\.csv: column lost: is missing; choose among exam"):
        weigh_columns({"lost": 1.0}, columns, "l.csv")


@pytest.mark.parametrize(
    "regressor, runs, message",
    [("linear", 7, "has 7 finished runs; a regression needs at least 8"), ("power", 9, None)],
)
def test_a_regressor_is_refused_runs_that_it_cannot_bear(
    regressor: str, runs: int, message: str | None, tmp_path: Path
) -> None:
    mixtures, losses = write_runs(tmp_path, runs=runs)
    if message is None:
        assert fit_tables([mixtures], [losses], {"loss": 1.0}, regressor=regressor)[1].runs == 9
        return
    with pytest.raises(DataError, match=message):
        fit_tables([mixtures], [losses], {"loss": 1.0}, regressor=regressor)


def test_what_runs_cannot_tell_is_refused_or_warned_of(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = np.concatenate([0.8 * random.dirichlet(np.ones(2), 9), np.full((9, 1), 0.2)], axis=1)
    losses = np.stack([weights[:, 0] + 1, np.ones(9)], axis=1)
    MixtureTable.numbered(("a", "b", "still"), weights).write(tmp_path / "m.csv")
    LossTable(np.arange(9), ("x", "same"), losses).write(tmp_path / "l.csv")
    _, card = fit_tables([tmp_path / "m.csv"], [tmp_path / "l.csv"], {"x": 1.0}, regressor="linear")
    assert len(card.warnings) == 1
    assert "column still: has the same weight in every run" in card.warnings[0]
    with pytest.raises(DataError, match="column same: is constant"):
        fit_tables([tmp_path / "m.csv"], [tmp_path / "l.csv"], {"same": 1.0}, regressor="linear")
    MixtureTable.numbered(("a", "b", "still"), np.repeat(weights[:1], 9, axis=0)).write(tmp_path / "m.csv")
    with pytest.raises(DataError, match="has the same mixture in every run"):
        fit_tables([tmp_path / "m.csv"], [tmp_path / "l.csv"], {"x": 1.0}, regressor="linear")


def test_the_comparison_says_what_was_measured_and_predicted_of_the_target(tmp_path: Path) -> None:
    mixtures, losses = write_runs(tmp_path)
    runs = SweepRuns.read_tables(mixtures, losses)
    fitted, compared = fit_runs(runs, "auto", ("linear", "power"), folds=4, seed=1)
    assert set(compared) == {"linear", "power"}
    assert fitted.name == max(compared, key=lambda name: compared[name].spearman.mean())
    assert fitted.out_of_fold.tolist() == compared[fitted.name].predicted.tolist()
    assert fitted.residuals == pytest.approx(runs.losses.losses - fitted.out_of_fold)
    target = {"loss": 0.75, "score": 0.25}
    record = RegressorComparison.of(TargetModel(fitted, target), compared, runs.mixtures.index)
    told = record.predictions["target"]
    assert told.measured == pytest.approx(runs.target_losses(target))
    assert told.predicted == pytest.approx(fitted.out_of_fold @ [0.75, 0.25])
    assert told.index == tuple(range(RUNS))
    assert (record.chosen, record.runs, record.domains) == (fitted.name, RUNS, ("a", "b", "c"))
    errors = record.regressors["power"]
    assert (errors.mean_mae, errors.mean_spearman) == (
        round(errors.mean_mae, 5),
        round(errors.mean_spearman, 4),
    )
    assert errors.mean_mae == pytest.approx(compared["power"].mae.mean(), abs=1e-5)
    assert errors.mean_spearman == pytest.approx(compared["power"].spearman.mean(), abs=1e-4)
    assert errors.targets["score"].mae == pytest.approx(compared["power"].mae[1], abs=1e-5)
    assert errors.targets["score"].spearman == pytest.approx(compared["power"].spearman[1], abs=1e-4)
    other, _ = fit_runs(runs, "linear", ("linear",), folds=4, seed=2)
    assert other.name == "linear"
    assert not np.allclose(other.out_of_fold, compared["linear"].predicted)
