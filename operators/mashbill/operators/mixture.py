"""Operators of the mixture search: from token shards to a mixture worth training."""

from mashbill.operators.base import StageOperator


class PlanMixtures(StageOperator):
    """Draw the mixtures that the sweep tries."""

    stage = "plan"


class SweepProxies(StageOperator):
    """Train one proxy a mixture; parts that are missing are run first."""

    stage = "sweep"


class RefineSweep(StageOperator):
    """Train more proxies, round by round, where they can still change the choice; rounds that are missing are
    run first."""

    stage = "refine"


class ClimbLadder(StageOperator):
    """Train some of the sweep's mixtures at other sizes; sizes that are missing are run first."""

    stage = "ladder"


class FitRegression(StageOperator):
    """Fit regressors from mixtures to losses, compared by cross-validation."""

    stage = "fit"


class FindBaselines(StageOperator):
    """Find other methods' mixtures with the same proxies; parts that are missing are run first."""

    stage = "baselines"


class ChooseMixture(StageOperator):
    """Choose the mixture with the lowest predicted target loss."""

    stage = "mix"


class ScheduleMixture(StageOperator):
    """Choose a mixture for each phase of the final run, or say that one is as good."""

    stage = "schedule"


class ValidateMixtures(StageOperator):
    """Train the compared mixtures again with fresh seeds and rank them by measured loss; parts that are
    missing are run first."""

    stage = "validate"


class GateTraining(StageOperator):
    """Say whether the predicted gain is worth the cluster; its ``counts`` hold the decision and the
    reason."""

    stage = "gate"
