"""The schedule stage, and the same on tables: from proxies' trajectories to a mixture for each phase of the
final run.

With one phase in the config it says so and returns; where a schedule is not worth more than its noise, the
chosen mixture stays for all of the run.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Counts, StageRun
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import MixtureTable, Schedule, ScheduleTable, epoch_ceiling
from mashbill.regression.limits import bounds
from mashbill.regression.runs import ordered, weigh_columns
from mashbill.regression.trajectories.limits import Limits
from mashbill.regression.trajectories.optimum import UnderWay, choose_schedule, left_after
from mashbill.regression.trajectories.runs import PhasedRuns, read_phased_runs
from mashbill.regression.trajectories.transitions import fit_trajectories
from mashbill.tokens import TokenStore

NAMED = ("mix.floors", "mix.ceilings")


def schedule(run: StageRun) -> Counts:
    """Choose a schedule, or say that one mixture is as good."""
    config = run.config
    choice = json.loads((run.inputs["mix"].path / "choice.json").read_text())
    if config.schedule.phases == 1:
        stays = Schedule.constant(choice["mixture"])
        facts: dict[str, Any] = {
            "schedule": stays.as_json(),
            "mean": stays.mean,
            "taken": False,
            "reason": "schedule.phases is 1",
        }
        write_schedule(facts, run.output / "schedule.csv")
        (run.output / "schedule.json").write_text(json.dumps({"phases": 1, **facts}, indent=1))
        return {"phases": 1, "taken": False}
    plan, sweep = run.inputs["plan"].path, run.inputs["sweep"].path
    phased = plan / "schedules.csv"
    runs = read_phased_runs(
        phased if phased.exists() else plan / "mixtures.csv",
        sweep / "trajectories.csv",
        config.schedule.phases,
    )
    store = TokenStore(run.inputs["tokenize"].path)
    tokens = np.array([store.counts(d, "train")["tokens"] for d in runs.domains], np.float64)
    repeats = epoch_ceiling(tokens, config.training.tokens, config.training.max_epochs)
    floor, _ = bounds(runs.domains, config.mix.floors, config.mix.ceilings, repeats=repeats, named=NAMED)
    ceiling = np.array([config.mix.ceilings.get(name, 1.0) for name in runs.domains])
    fitted = fit_trajectories(
        runs, config.schedule.folds, config.seed, lambda share, words: run.progress(0.6 * share, words)
    )
    facts = choose_schedule(
        fitted,
        runs.target_weights(config.target, "mix.target"),
        tokens / tokens.sum(),
        Limits(runs.shares, floor, ceiling, repeats),
        caution=config.schedule.caution,
        coverage=config.mix.interval,
        seed=config.seed,
        fallback=np.array([choice["mixture"][name] for name in runs.domains]),
        told=lambda share, words: run.progress(0.6 + 0.4 * share, words),
    )
    write_schedule(facts, run.output / "schedule.csv")
    (run.output / "schedule.json").write_text(
        json.dumps({"phases": config.schedule.phases, **facts}, indent=1)
    )
    return {
        "phases": config.schedule.phases,
        "taken": facts["taken"],
        "gain": facts["gain"],
        "noise": facts["noise"],
    }


def write_schedule(facts: Mapping[str, Any], path: Path) -> None:
    """Write the schedule that was chosen as a table of one."""
    chosen = Schedule.from_json(facts["schedule"])
    ScheduleTable(np.arange(1), chosen.domains, chosen.shares[None], chosen.weights[None]).write(path)


def schedule_tables(
    schedules: Path,
    trajectories: Path,
    target: dict[str, float],
    *,
    phases: int = 1,
    least: Mapping[str, float] | None = None,
    most: Mapping[str, float] | None = None,
    available: Mapping[str, float] | None = None,
    tokens: float | None = None,
    max_epochs: float = 4.0,
    prior: Path | None = None,
    running: Path | None = None,
    observed: Path | None = None,
    caution: float = 1.0,
    coverage: float = 0.9,
    folds: int = 5,
    seed: int = 0,
    told: Callable[[float, str], Any] = lambda share, message: None,
) -> dict[str, Any]:
    """Choose a schedule from tables.

    Args:
        schedules, trajectories: as ``read_phased_runs`` reads them.
        target: weight of each loss column.
        phases: equal phases that runs on one mixture are cut into.
        least, most: weights of some domains, in every phase.
        available: tokens of each domain; with ``tokens``, those of the run, repeats are limited to
            ``max_epochs``.
        prior: CSV with one mixture, the natural proportions; None means the mean of the runs' mixtures.
        running, observed: CSVs of the schedule that a run follows, and of its losses at the end of a phase;
            the rest is chosen anew.
        caution, coverage, folds, seed: of the search, the intervals and the cross-validation.
        told: hears the share done and what comes next.
    Returns:
        What ``choose_schedule`` says.
    Raises:
        DataError: a table is wrong.
        ConfigError: no schedule keeps to the limits, or a table is missing beside another.
    """
    runs = read_phased_runs(schedules, trajectories, phases)
    weights = runs.target_weights(weigh_columns(target, runs.sets, str(trajectories)), str(trajectories))
    everything = np.ones(len(runs.domains))
    repeats = everything
    if available and tokens:
        lacking = [name for name in runs.domains if name not in available]
        if lacking:
            raise ConfigError(f"--available {lacking[0]}", "is missing", "add its tokens")
        repeats = epoch_ceiling(np.array([available[name] for name in runs.domains]), tokens, max_epochs)
    floor, _ = bounds(runs.domains, least or {}, most or {}, repeats=repeats)
    ceiling = np.array([(most or {}).get(name, 1.0) for name in runs.domains])
    limits = Limits(runs.shares, floor, ceiling, repeats)
    under_way = _read_under_way(running, observed, runs)
    if under_way is not None:
        limits = left_after(limits, under_way)
        bounds(runs.domains, least or {}, most or {}, repeats=limits.repeats)
    natural = runs.means.mean(axis=0) if prior is None else ordered(MixtureTable.read(prior), runs.domains)[0]
    fitted = fit_trajectories(runs, folds, seed, lambda share, words: told(0.6 * share, words))
    return choose_schedule(
        fitted,
        weights,
        natural,
        limits,
        caution=caution,
        coverage=coverage,
        seed=seed,
        under_way=under_way,
        told=lambda share, words: told(0.6 + 0.4 * share, words),
    )


def _read_under_way(running: Path | None, observed: Path | None, runs: PhasedRuns) -> UnderWay | None:
    """The run that is continued; None where neither table is given.

    Raises:
        ConfigError: one table is given without the other.
        DataError: it lacks a domain, a set, or a phase that is over.
    """
    import pandas as pd

    if running is None and observed is None:
        return None
    if running is None or observed is None:
        raise ConfigError(
            "--observed and --running",
            "go together",
            "give the losses so far, and the schedule that led to them",
        )
    table = ScheduleTable.read(running)
    for name in runs.domains:
        if name not in table.domains:
            raise DataError(
                f"{running}: column {name}", "is missing", "give a weight for every domain of --schedules"
            )
    places = [table.domains.index(name) for name in runs.domains]
    shares, weights = table.shares[0], table.weights[0][:, places]
    if len(shares) == 1:
        shares, weights = runs.shares, np.repeat(weights, len(runs.shares), axis=0)
    try:
        frame = pd.read_csv(observed)
    except (OSError, ValueError) as error:
        raise DataError(
            str(observed), f"cannot be read ({error})", "give a CSV with columns phase and one a set"
        ) from error
    for name in ("phase", *runs.sets):
        if (
            name not in frame
            or not pd.api.types.is_numeric_dtype(frame[name])
            or frame[name].isna().any()
            or frame.empty
        ):
            raise DataError(
                f"{observed}: column {name}",
                "is missing or has no number",
                "give the phase that ended, and the loss of every set",
            )
    last = frame.sort_values("phase").iloc[-1]
    done = int(last["phase"])
    if not 1 <= done < len(runs.shares):
        raise DataError(
            f"{observed}: column phase",
            f"is {done}",
            f"give a phase of 1 to {len(runs.shares) - 1}: after the last none is left",
        )
    losses = last[list(runs.sets)].to_numpy(np.float64)
    if (losses <= 0).any():
        raise DataError(
            f"{observed}: column {runs.sets[int(np.argmax(losses <= 0))]}",
            "is not above 0",
            "give losses above 0",
        )
    return UnderWay(Schedule(runs.domains, shares, weights), done, losses)
