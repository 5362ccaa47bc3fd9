"""Operators of the mixture search: from token shards to a mixture worth training."""

from mashbill.operators.base import StageOperator


class PlanMixtures(StageOperator):
    """Draw the mixtures that the sweep tries.

    Example:
        PlanMixtures(
            task_id="plan",
            available={"web": 50e9, "papers": 2e9},
            mixtures=64,
            tokens=1_000_000_000,
            output="s3://lake/plan",
        )
    """

    stage = "plan"


class SweepProxies(StageOperator):
    """Train one proxy a mixture; parts that are missing are run first.

    Example:
        SweepProxies(
            task_id="sweep",
            tokens="s3://lake/shards",
            mixtures="{{ ti.xcom_pull('plan') }}",
            training_tokens=1_000_000_000,
            proxy={"model": {"layers": 8, "width": 512, "heads": 8, "kv_heads": 8, "feed_forward": 1536}},
            output="s3://lake/sweep",
        )
    """

    stage = "sweep"


class RefineSweep(StageOperator):
    """Train more proxies, round by round, where they can still change the choice; rounds that are missing are
    run first.

    Example:
        RefineSweep(
            task_id="refine",
            tokens="s3://lake/shards",
            mixtures="{{ ti.xcom_pull('sweep') }}",
            target={"papers": 1.0},
            rounds=3,
            output="s3://lake/rounds",
        )
    """

    stage = "refine"


class ClimbLadder(StageOperator):
    """Train some of the sweep's mixtures at other sizes; sizes that are missing are run first.

    Example:
        ClimbLadder(
            task_id="ladder",
            tokens="s3://lake/shards",
            mixtures="{{ ti.xcom_pull('sweep') }}",
            target={"papers": 1.0},
            rungs=[{"tokens": 4_000_000_000}],
            output="s3://lake/ladder",
        )
    """

    stage = "ladder"


class FitRegression(StageOperator):
    """Fit regressors from mixtures to losses, compared by cross-validation.

    Example:
        FitRegression(
            task_id="fit",
            mixtures="runs/m.csv",
            losses="runs/l.csv",
            target={"web": 0.5, "papers": 0.5},
            regressor="gp",
            output="runs/model",
        )
    """

    stage = "fit"


class FindBaselines(StageOperator):
    """Find other methods' mixtures with the same proxies; parts that are missing are run first.

    Example:
        FindBaselines(
            task_id="baselines",
            tokens="s3://lake/shards",
            methods=["doremi"],
            sweep={"tokens": 1_000_000_000},
            output="s3://lake/baselines",
        )
    """

    stage = "baselines"


class ChooseMixture(StageOperator):
    """Choose the mixture with the lowest predicted target loss.

    Example:
        ChooseMixture(
            task_id="mix",
            mixtures="runs/m.csv",
            losses="runs/l.csv",
            target={"web": 0.5, "papers": 0.5},
            available="tokens.csv",
            tokens=25e9,
            output="runs/mix",
        )
    """

    stage = "mix"


class ScheduleMixture(StageOperator):
    """Choose a mixture for each phase of the final run, or say that one is as good.

    Example:
        ScheduleMixture(
            task_id="schedule",
            mixtures="runs/schedules.csv",
            trajectories="runs/trajectories.csv",
            available="tokens.csv",
            mixture="{{ ti.xcom_pull('mix') }}",
            target={"papers": 1.0},
            phases=2,
            tokens=25e9,
            output="runs/schedule",
        )
    """

    stage = "schedule"


class ValidateMixtures(StageOperator):
    """Train the compared mixtures again with fresh seeds and rank them by measured loss; parts that are
    missing are run first.

    Example:
        ValidateMixtures(
            task_id="validate",
            tokens="s3://lake/shards",
            mixture="{{ ti.xcom_pull('mix') }}",
            seeds=3,
            output="s3://lake/validation",
        )
    """

    stage = "validate"


class GateTraining(StageOperator):
    """Say whether the predicted gain is worth the cluster; its ``counts`` hold the decision and the
    reason.

    Example:
        GateTraining(
            task_id="gate",
            mixture="{{ ti.xcom_pull('mix') }}",
            min_gain=0.01,
            within_noise="ask",
            output="s3://lake/gate",
        )
    """

    stage = "gate"
