"""What every config section is: a frozen pydantic model that forbids unknown keys.

A field's description is the UI form's label, the reference page's row and the error's text, so each field has
one.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PROTECTED = "protected"
Location = Annotated[str, PROTECTED]
"""A path or an address: of files, models, or machines. Whoever starts a run may not change it by that, unless
the DAG's author lets them (``config/protected.py``)."""


class Section(BaseModel):
    """A frozen group of settings; unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
