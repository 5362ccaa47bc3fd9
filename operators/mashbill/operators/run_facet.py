"""The facet that says what a stage was run with. Imported where lineage is asked for: it needs the client of
OpenLineage, which no operator needs."""

from typing import Any

from attrs import define
from openlineage.client.facet_v2 import RunFacet

NAME = "mashbill_stage"


@define
class StageRunFacet(RunFacet):
    """What determined a stage's result.

    Attributes:
        stage: its name.
        part: of the stage; empty where it ran whole.
        fingerprint: identity of the result; empty before it is known.
        stageVersion: of the stage's algorithm.
        mashbill: version of the package.
        settings: of the config, by section.
        seconds: that making it took; 0 before it is made.
    """

    stage: str
    part: str
    fingerprint: str
    stageVersion: int
    mashbill: str
    settings: dict[str, Any]
    seconds: float
