"""What a stage sees of a config: the sections that its row names, so that its fingerprint cannot lie.

A section that a stage reads and does not name would change its result and leave its fingerprint as it is: a
stale result would pass for today's. So what is not named is not there, and asking for it is an error at once.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from mashbill.config.pipeline import PipelineConfig
from mashbill.config.section import is_how_it_runs
from mashbill.errors import RunError

HOW_IT_RUNS = frozenset(name for name, field in PipelineConfig.model_fields.items() if is_how_it_runs(field))
"""Settings of where and how work is done: every stage sees them, and no fingerprint holds them."""

ALWAYS_HELD = frozenset({"seed"})
"""Settings of what is computed that every stage sees, and every fingerprint holds."""


class StageConfig(PipelineConfig):
    """A config without the sections that its reader does not name; reading one of them raises RunError."""

    _reader: str = PrivateAttr("")

    @classmethod
    def of(cls, config: PipelineConfig, sections: Iterable[str], *, reader: str) -> "StageConfig":
        """The part of a config that a reader may see.

        Args:
            config: the whole config.
            sections: names of the sections, and of settings outside any, that the reader's result depends on.
            reader: whose view it is, for the error.
        """
        seen = {*sections} | ALWAYS_HELD | HOW_IT_RUNS
        view = cls.model_construct(**{name: getattr(config, name) for name in seen})
        view._reader = reader
        for name in PipelineConfig.model_fields.keys() - seen:  # the defaults that construction filled in
            view.__dict__.pop(name, None)
        return view

    def settings(self) -> dict[str, Any]:
        """What its reader's result depends on, as JSON values: goes into the fingerprint."""
        return self.what_is_computed()

    if not TYPE_CHECKING:  # as pydantic does, so that a misspelt name stays a type error

        def __getattr__(self, name: str) -> Any:
            if name in PipelineConfig.model_fields:
                raise RunError(
                    self._reader,
                    f"reads {name} of the config, which its row does not name",
                    f"add {name} to the row's sections, so that its result depends on it",
                )
            return super().__getattr__(name)
