"""Proxies that are planned, and their training: in stacks, as many at once as the device holds, and in
processes.

A process of its own runs ``mashbill.proxies.stack_process``, which trains a share of the stacks one after the
other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mashbill.artifacts import Progress, write_json
from mashbill.config import ProxyConfig
from mashbill.errors import RunError
from mashbill.launch.processes import Child, start_module, wait_for
from mashbill.mixtures import Schedule
from mashbill.proxies.result import folder_name, is_finished
from mashbill.tokens import TokenStore

MODULE = "mashbill.proxies.stack_process"


@dataclass(frozen=True)
class PlannedProxy:
    """A proxy of a plan, before it is known with which others it is trained.

    Attributes:
        index: of its mixture.
        mixture: weight of each domain, or a schedule.
        seed: seed of weights and order.
        config: shape and optimisation.
        place: which of the configs that its mixture is trained with.
    """

    index: int
    mixture: Mapping[str, float] | Schedule
    seed: int
    config: ProxyConfig
    place: int = 0

    @property
    def name(self) -> str:
        """Name of its folder."""
        return folder_name(self.index, self.place)

    def as_json(self) -> Any:
        """The proxy as JSON values."""
        phased = isinstance(self.mixture, Schedule)
        mixture = self.mixture.as_json() if isinstance(self.mixture, Schedule) else dict(self.mixture)
        return {
            "index": self.index,
            "phases" if phased else "mixture": mixture,
            "seed": self.seed,
            "config": self.config.model_dump(mode="json"),
            "place": self.place,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The proxy of ``as_json``'s values."""
        phases = values.get("phases")
        mixture = values["mixture"] if phases is None else Schedule.from_json(phases)
        config = ProxyConfig.model_validate(values["config"])
        return cls(values["index"], mixture, values["seed"], config, values["place"])


@dataclass(frozen=True)
class Budget:
    """What the proxies of a group share.

    Attributes:
        store: folder of the token shards.
        scratch: where finished proxies are kept.
        tokens: tokens of each proxy.
        evaluations: times the validation sets are measured.
        sets: which of them; none means all.
    """

    store: Path
    scratch: Path
    tokens: int
    evaluations: int
    sets: tuple[str, ...] = ()

    def finished(self, stack: Sequence[PlannedProxy]) -> bool:
        """Whether all of a stack were trained before."""
        return all(is_finished(self.scratch / proxy.name) for proxy in stack)


def train_planned(
    proxies: Sequence[PlannedProxy], budget: Budget, *, stack: int, processes: int, progress: Progress
) -> None:
    """Train what is not finished of some proxies, and keep the results.

    Args:
        proxies: in the order they are trained.
        budget: what they share.
        stack: how many are trained at once.
        processes: worker processes that share the stacks; with one they are trained here.
        progress: told of every stack.
    Raises:
        RunError: a process failed or was killed; what is finished is kept.
    """
    stacks = [proxies[start : start + stack] for start in range(0, len(proxies), stack)]
    todo = [planned for planned in stacks if not budget.finished(planned)]
    if min(processes, len(todo)) > 1:
        _share(todo, budget, processes=min(processes, len(todo)), progress=progress)
        return
    from mashbill.proxies.proxy import Member, train_members

    for done, planned in enumerate(todo):
        folders = [budget.scratch / proxy.name for proxy in planned]
        members = [
            Member(proxy.mixture, proxy.seed, proxy.config, folder)
            for proxy, folder in zip(planned, folders, strict=True)
        ]
        results = train_members(
            TokenStore(budget.store),
            members,
            tokens=budget.tokens,
            evaluations=budget.evaluations,
            scratch=folders[0],
            sets=budget.sets,
            progress=_scaled(progress, done, len(todo), name=planned[0].name),
        )
        for proxy, folder, result in zip(planned, folders, results, strict=True):
            result.write(folder, proxy.index)


def _share(
    stacks: Sequence[Sequence[PlannedProxy]], budget: Budget, *, processes: int, progress: Progress
) -> None:
    """Share stacks among processes of one thread each, and wait for them."""
    budget.scratch.mkdir(parents=True, exist_ok=True)
    children = [
        _start(stacks[i::processes], budget, budget.scratch / f"process-{i}") for i in range(processes)
    ]

    def look() -> None:
        done = sum(budget.finished(stack) for stack in stacks)
        progress(done / len(stacks), f"{done} of {len(stacks)} trained, in {processes} processes")

    wait_for(children, look)
    for child in children:
        if child.exit_code:
            what = f"a process that trains them failed ({child.last_words()})"
            raise RunError("proxies", what, f"see {child.log}, then rerun: finished proxies are kept")
        child.log.unlink()
        child.log.with_suffix(".job").unlink()


def read_job(path: Path) -> tuple[list[list[PlannedProxy]], Budget]:
    """The stacks that a process is to train, and what their proxies share."""
    job = json.loads(path.read_text(encoding="utf-8"))
    stacks = [[PlannedProxy.from_json(proxy) for proxy in stack] for stack in job["stacks"]]
    store, scratch = Path(job["store"]), Path(job["scratch"])
    return stacks, Budget(store, scratch, job["tokens"], job["evaluations"], tuple(job["sets"]))


def _start(stacks: Sequence[Sequence[PlannedProxy]], budget: Budget, place: Path) -> Child:
    job = place.with_suffix(".job")
    shared = {
        "store": str(budget.store.absolute()),
        "scratch": str(budget.scratch.absolute()),
        "tokens": budget.tokens,
        "evaluations": budget.evaluations,
        "sets": budget.sets,
    }
    write_json(job, {**shared, "stacks": [[proxy.as_json() for proxy in stack] for stack in stacks]})
    return start_module(MODULE, [str(job)], place.with_suffix(".log"))


def _scaled(progress: Progress, done: int, of: int, *, name: str) -> Progress:
    return lambda share, words: progress((done + share) / of, f"proxy {name}: {words}")
