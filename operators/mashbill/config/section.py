"""What every config section is: a frozen pydantic model that forbids unknown keys.

A field's description is the UI form's label, the reference page's row and the error's text, so each field has
one.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PROTECTED = "protected"
Location = Annotated[str, PROTECTED]
"""A path or an address: of files, models, or machines. Whoever starts a run may not change it by that, unless
the DAG's author lets them (``config/protected.py``)."""
HOW = "how it runs"
LATER = "later"
Setting = TypeVar("Setting")
HowItRuns = Annotated[Setting, HOW]
"""A setting of where and how work is done, which changes what is computed by no more than the order in which
numbers are added up: no part of a result's identity (docs/decisions/0019-how-it-runs.md)."""

Later = Annotated[Setting, LATER]
"""A setting that came after results were made, and at its default changes nothing of how they are: there it
is no part of a result's identity, so that those stay."""

Settings = dict[str, Any]
"""Settings as JSON values, by name: they are hashed, and kept in manifests."""


class Section(BaseModel):
    """A frozen group of settings; unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def what_is_computed(self) -> Settings:
        """The settings that determine a result, as JSON values: all but those of how it runs, at any
        depth."""
        determining: Settings = _computed(self, self.model_dump(mode="json"))
        return determining

    def settled_by(self) -> frozenset[str]:
        """Settings of how it runs that a result depends on all the same, as others of the section stand."""
        return frozenset()


def is_how_it_runs(field: FieldInfo) -> bool:
    """Whether a setting changes nothing of what is computed."""
    return HOW in field.metadata


def _computed(value: Any, dumped: Any) -> Any:
    """What was dumped of a value, without settings of how it runs."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        settling = value.settled_by() if isinstance(value, Section) else frozenset()
        kept = (name for name in dumped if name in settling or not is_how_it_runs(fields[name]))
        values = {name: getattr(value, name) for name in kept}
        unsaid = {
            n for n, given in values.items() if LATER in fields[n].metadata and given == fields[n].default
        }
        return {name: _computed(given, dumped[name]) for name, given in values.items() if name not in unsaid}
    if isinstance(value, Mapping):
        pairs = zip(value.values(), dumped.items(), strict=True)
        return {key: _computed(inner, plain) for inner, (key, plain) in pairs}
    if isinstance(value, list | tuple):
        return [_computed(inner, plain) for inner, plain in zip(value, dumped, strict=True)]
    return dumped
