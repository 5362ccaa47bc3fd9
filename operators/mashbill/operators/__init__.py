"""Airflow operators: one a stage, thin, and task groups that put them together.

Every class of these modules is exported, so that a new one is written in one place; type checkers follow.
"""

from mashbill.operators.assets import *  # noqa: F403
from mashbill.operators.base import *  # noqa: F403
from mashbill.operators.check import *  # noqa: F403
from mashbill.operators.curation import *  # noqa: F403
from mashbill.operators.gate import *  # noqa: F403
from mashbill.operators.mixture import *  # noqa: F403
from mashbill.operators.optional import *  # noqa: F403
from mashbill.operators.parts import *  # noqa: F403
from mashbill.operators.resources import *  # noqa: F403
from mashbill.operators.task_groups import *  # noqa: F403
from mashbill.operators.training import *  # noqa: F403

__all__ = [  # noqa: PLE0604
    *sorted(
        name
        for name, value in globals().items()
        if isinstance(value, type) and value.__module__.startswith(f"{__name__}.")
    )
]
