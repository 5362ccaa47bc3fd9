"""What happened on a training's way: steps that were skipped, returns to a checkpoint, saves that failed."""

import json
from collections.abc import Iterator, Mapping

from mashbill.artifacts import Artifact, Part, RecordOf
from mashbill.training.account import EVENTS


class Event(Part):
    """Something that happened.

    Attributes:
        mixture: of the model; step: it happened at.
        kind: of event, in two words; words: what happened.
    """

    mixture: str
    step: int
    kind: str
    words: str


class Events(RecordOf[tuple[Event, ...]]):
    """The events of all models, in the order in which they happened to each."""

    FILE = "events.json"


def events_of(parts: Mapping[str, Artifact]) -> Events:
    """The events of finished parts, by the mixture's name."""
    return Events(tuple(event for name, part in parts.items() for event in _of(name, part)))


def _of(name: str, part: Artifact) -> Iterator[Event]:
    if part.has(EVENTS):
        for line in part.file(EVENTS).read_text(encoding="utf-8").splitlines():
            yield Event(mixture=name, **json.loads(line))
