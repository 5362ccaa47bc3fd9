"""Regressors compared on the same folds, and their ensemble, which weighs its members by their out-of-fold
predictions."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from mashbill.artifacts import Progress
from mashbill.config.search import REGRESSORS
from mashbill.regression.cross_validation import CrossValidation, cross_validate, measured_by, split_folds
from mashbill.regression.laws.registry import regressor_named
from mashbill.regression.regressor import Regressor
from mashbill.regression.state import State, part_of, within
from mashbill.regression.threads import one_thread

ENSEMBLE = "ensemble"
MEMBERS = ("gp", "power", "lightgbm")
FOLDS = 5
PRIOR_RUNS = 8.0  # equal shares count as much as so many runs do
COMMON_RUNS = 64.0  # what all targets say about a member counts as much as so many runs of one
NEGLIGIBLE = 0.03


class Ensemble:
    """Weighted mean of the Gaussian process, the power law and LightGBM; the weights are learnt by
    cross-validation.

    Args:
        shares: [targets] of each member; None means that fitting cross-validates to find them.
    """

    name = ENSEMBLE

    def __init__(self, shares: Mapping[str, np.ndarray] | None = None) -> None:
        self.shares = dict(shares) if shares else {}

    @staticmethod
    def least_runs(domains: int) -> int:
        """As many as the member that needs most."""
        return max(regressor_named(name).least_runs(domains) for name in MEMBERS)

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""
        if not self.shares:
            self.shares = member_shares(compare(MEMBERS, weights, losses, folds=FOLDS, seed=0), losses)
        self.members: dict[str, Regressor] = {
            name: new_regressor(name).fit(weights, losses) for name in self.shares
        }
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        parts = [share * self.members[name].predict(weights) for name, share in self.shares.items()]
        return np.sum(parts, axis=0)

    def state(self) -> State:
        """The members in their order, the share of each and what each is."""
        state: dict[str, Any] = {"members": list(self.shares)}
        for name, share in self.shares.items():
            state |= {f"share.{name}": share} | within(name, self.members[name].state())
        return state

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted ensemble again."""
        made = cls({name: state[f"share.{name}"] for name in state["members"]})
        made.members = {
            name: regressor_named(name).from_state(part_of(state, name)) for name in state["members"]
        }
        return made


def new_regressor(name: str) -> Regressor:
    """A regressor by its name, not fitted yet."""
    return regressor_named(name)()


def compare(
    names: Sequence[str],
    weights: np.ndarray,
    losses: np.ndarray,
    *,
    folds: int,
    seed: int,
    progress: Progress = lambda share, words: None,
) -> dict[str, CrossValidation]:
    """Cross-validate regressors on the same folds; the ensemble from its members' predictions, each member
    fitted once a fold.

    Args:
        names: the regressors.
        weights, losses: [runs, domains] mixtures, and [runs, targets].
        folds, seed: of the cross-validation.
        progress: told of each regressor.
    """
    needed = {*names, *(MEMBERS if ENSEMBLE in names else ())}
    single = [name for name in REGRESSORS if name in needed and name != ENSEMBLE]
    compared = {}
    for i, name in enumerate(single):
        progress(i / len(single), f"cross-validating {name}")
        with one_thread():
            compared[name] = cross_validate(regressor_named(name), weights, losses, folds=folds, seed=seed)
    if ENSEMBLE in names:
        predicted = np.empty_like(losses)
        for held, seen in split_folds(
            len(weights), folds, seed
        ):  # a run has no say in the shares that predict it
            shares = member_shares(compared, losses, seen)
            predicted[held] = np.sum(
                [share * compared[name].predicted[held] for name, share in shares.items()], axis=0
            )
        compared[ENSEMBLE] = measured_by(predicted, losses)
    return compared


def member_shares(
    compared: Mapping[str, CrossValidation], losses: np.ndarray, runs: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """[targets] shares of the ensemble's members with the least squared error out of fold; members with
    slight shares only are left out.

    A target's shares are drawn towards those that serve all targets, and these towards equal ones, the more
    so the fewer the runs.

    Args:
        compared: the members' cross-validation.
        losses: [runs, targets] measured.
        runs: which runs to learn from; None means all.
    """
    chosen = np.arange(len(losses)) if runs is None else runs
    spread = np.maximum(losses.std(axis=0), 1e-12)
    errors = np.stack([((compared[name].predicted - losses) / spread)[chosen] for name in MEMBERS])
    own = np.einsum("art,brt->tab", errors, errors) / len(chosen)
    common = own.mean(axis=0)
    common += np.eye(len(MEMBERS)) * common.diagonal().mean() * PRIOR_RUNS / len(chosen)
    drawn = (len(chosen) * own + COMMON_RUNS * common) / (len(chosen) + COMMON_RUNS)
    shares = np.stack([_least_error(scatter) for scatter in drawn], axis=1)
    return {name: row for name, row in zip(MEMBERS, shares, strict=True) if row.any()}


def _least_error(scatter: np.ndarray) -> np.ndarray:
    """[members] shares, which sum to 1, of the mean with the least squared error; from the errors' products,
    [members, members]."""
    from scipy.optimize import nnls

    root = np.linalg.cholesky(scatter).T
    scale = 1e3 * np.abs(root).max()
    shares, _ = nnls(
        np.vstack([root, np.full((1, len(scatter)), scale)]), np.append(np.zeros(len(scatter)), scale)
    )
    shares = np.where(shares < NEGLIGIBLE, 0, shares)
    return shares / shares.sum()


def fit_regressor(
    name: str, weights: np.ndarray, losses: np.ndarray, *, compared: Mapping[str, CrossValidation]
) -> Regressor:
    """A regressor fitted on all runs; the ensemble with the shares that the comparison found."""
    regressor = Ensemble(member_shares(compared, losses)) if name == ENSEMBLE else new_regressor(name)
    with one_thread():
        return regressor.fit(weights, losses)


def choose_regressor(compared: Mapping[str, CrossValidation]) -> str:
    """The best by mean rank correlation; the Gaussian process where it is within a hundredth of the best, as
    it knows its own doubt."""
    means = {name: float(cv.spearman.mean()) for name, cv in compared.items()}
    best = max(means, key=lambda name: means[name])
    return "gp" if means.get("gp", -1.0) >= means[best] - 0.01 else best
