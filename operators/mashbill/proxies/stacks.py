"""Proxies that are planned, and their training in stacks: as many at once as the device holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mashbill.artifacts import Progress
from mashbill.config import ProxyConfig
from mashbill.mixtures import Schedule
from mashbill.proxies.result import folder_name, is_finished
from mashbill.tokens import TokenStore


@dataclass(frozen=True)
class PlannedProxy:
    """A proxy to be trained.

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


@dataclass(frozen=True)
class Budget:
    """What the proxies of a group share.

    Attributes:
        store: folder of the token shards.
        scratch: where finished proxies are kept.
        tokens: tokens of each proxy.
        evaluations: times the validation sets are measured.
    """

    store: Path
    scratch: Path
    tokens: int
    evaluations: int

    def finished(self, stack: Sequence[PlannedProxy]) -> bool:
        """Whether all of a stack were trained before."""
        return all(is_finished(self.scratch / proxy.name) for proxy in stack)


def train_stack(
    stack: Sequence[PlannedProxy], budget: Budget, progress: Progress = lambda share, words: None
) -> None:
    """Train a stack and keep its results."""
    from mashbill.proxies.proxy import Member, train_members

    folders = [budget.scratch / proxy.name for proxy in stack]
    members = [Member(p.mixture, p.seed, p.config, folder) for p, folder in zip(stack, folders, strict=True)]
    results = train_members(
        TokenStore(budget.store),
        members,
        tokens=budget.tokens,
        evaluations=budget.evaluations,
        scratch=folders[0],
        progress=progress,
    )
    for proxy, folder, result in zip(stack, folders, results, strict=True):
        result.write(folder, proxy.index)
