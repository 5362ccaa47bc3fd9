"""Domains bundled into one virtual domain, so that only what changed is searched again.

Source: olmix (arXiv 2602.12237): domains that did not change keep their relative ratios; recomputing the rest
alone matches full recomputation at a fraction of the runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mashbill.errors import ConfigError

VIRTUAL = "(kept)"


@dataclass(frozen=True)
class Bundle:
    """A view of mixtures in which some domains are one.

    Attributes:
        domains: all names, in order.
        ratios: [domains] relative weights of the bundled domains, which sum to 1; 0 for free ones.
        free: [free] places of the domains that keep a weight of their own.
    """

    domains: tuple[str, ...]
    ratios: np.ndarray
    free: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the reduced mixtures: the virtual domain, then the free ones."""
        return (VIRTUAL, *(self.domains[i] for i in self.free))

    def expand(self, reduced: np.ndarray) -> np.ndarray:
        """[mixtures, domains] of [mixtures, 1 + free]."""
        full: np.ndarray = reduced[:, :1] * self.ratios
        full[:, self.free] += reduced[:, 1:]
        return full

    def reduce(self, values: np.ndarray) -> np.ndarray:
        """[1 + free] sums of [domains] values, as of natural proportions."""
        bundled = np.delete(np.arange(len(self.domains)), self.free)
        return np.concatenate([[values[bundled].sum()], values[self.free]])

    def limits(self, floor: np.ndarray, ceiling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[1 + free] floors and ceilings that keep every domain within its own.

        Raises:
            ConfigError: no mixture that keeps the ratios is within them.
        """
        held = self.ratios > 0
        lowest = float((floor[held] / self.ratios[held]).max())
        highest = min(1.0, float((ceiling[held] / self.ratios[held]).min()))
        least, most = (
            np.concatenate([[lowest], floor[self.free]]),
            np.concatenate([[highest], ceiling[self.free]]),
        )
        never = [self.domains[i] for i in np.flatnonzero(~held & (floor > 0)) if i not in self.free]
        if never or (least > most + 1e-9).any() or least.sum() > 1 + 1e-9 or most.sum() < 1 - 1e-9:
            what = (
                f"leave {never[0]} out, which has a floor" if never else "leave no mixture within the limits"
            )
            raise ConfigError(
                "the ratios that are kept", what, "loosen the limits of their domains, or plan from the start"
            )
        return least, most


def bundle_domains(
    domains: Sequence[str], kept: Mapping[str, float], revised: Sequence[str] = (), *, where: str = "--reuse"
) -> Bundle:
    """Bundle the domains that an earlier mixture had and that did not change.

    Args:
        domains: today's names.
        kept: the earlier mixture, weight by domain.
        revised: names whose text changed.
        where: what errors call the earlier mixture.
    Raises:
        ConfigError: a name is unknown, or fewer than two domains are left to bundle.
    """
    unknown = [name for name in revised if name not in domains]
    if unknown:
        raise ConfigError(
            f"--revised {unknown[0]}", "is no domain of today", f"choose among {', '.join(domains)}"
        )
    ratios = np.array([kept.get(name, 0.0) if name not in revised else 0.0 for name in domains])
    bundled = np.array([name in kept and name not in revised for name in domains])
    if bundled.sum() < 2 or ratios.sum() <= 0:
        raise ConfigError(
            where, "leaves fewer than two unchanged domains with weight", "plan from the start, without it"
        )
    return Bundle(tuple(domains), ratios / ratios.sum(), np.flatnonzero(~bundled))
