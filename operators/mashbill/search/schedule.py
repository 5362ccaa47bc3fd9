"""The schedule stage: from proxies' trajectories to a mixture for each phase of the final run.

With one phase in the config it says so and returns; where a schedule is not worth more than its noise, the
chosen mixture stays for all of the run.
"""

from mashbill.artifacts import Counts, StageRun
from mashbill.mixtures import Choice, MixturePlan, ScheduleChoice
from mashbill.mixtures.schedule_choice import TABLE
from mashbill.mixtures.sweep_runs import read_trajectories
from mashbill.regression.limits import CONFIGURED, bounds
from mashbill.regression.runs import weigh_columns
from mashbill.regression.trajectories.limits import ScheduleLimits
from mashbill.regression.trajectories.optimum import Terms, choose_schedule
from mashbill.regression.trajectories.runs import phased_runs
from mashbill.search.choose import final_repeats
from mashbill.tokens import TokenStore

OUTPUTS = {TABLE: "the schedule", ScheduleChoice.FILE: "its gain, noise and cross-validation"}


def schedule(run: StageRun) -> Counts:
    """Choose a schedule, or say that one mixture is as good."""
    config, choice = run.config, Choice.read(run.inputs["mix"])
    phases = config.schedule.phases
    if phases == 1:
        ScheduleChoice.stays(choice.mixture, "schedule.phases is 1").write(run.output)
        return {"phases": 1, "taken": False}
    plan, trajectories = MixturePlan.read(run.inputs["plan"]), read_trajectories(run.inputs["sweep"])
    runs = phased_runs(plan.trained, trajectories, phases)
    tokens = TokenStore(run.inputs["tokenize"]).train_amounts(runs.domains)
    limits = bounds(
        runs.domains,
        config.mix.floors,
        config.mix.ceilings,
        repeats=final_repeats(config, runs.domains, tokens),
        named=CONFIGURED,
    )
    terms = Terms(
        target=weigh_columns(config.target, runs.sets, "mix.target"),
        natural=tokens / tokens.sum(),
        caution=config.schedule.caution,
        coverage=config.mix.interval,
        folds=config.schedule.folds,
        seed=config.seed,
        fallback=choice.mixture,
    )
    found = choose_schedule(runs, ScheduleLimits(runs.shares, limits), terms, progress=run.progress)
    found.write(run.output)
    return {"phases": phases, "taken": found.taken, "gain": found.gain, "noise": found.noise}
