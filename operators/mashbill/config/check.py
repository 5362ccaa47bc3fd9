"""Things that a config names, to be looked at before any stage runs: files, models, addresses.

A room that reads such things for a stage says here what they are and how to look at one; the stage's row
names that function, and ``stages/check.py`` looks at all of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mashbill.config.pipeline import PipelineConfig


@dataclass(frozen=True)
class Check:
    """One thing, and how to look at it.

    Attributes:
        setting: the setting that names it, dotted.
        look: says what was found; raises a MashbillError where that will not do. It reads as little as tells.
    """

    setting: str
    look: Callable[[], str]


Checks = Callable[[PipelineConfig], Iterator[Check]]
