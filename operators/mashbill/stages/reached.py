"""How far a stage is whose parts are being made: the share of all of it, and a few words."""

from collections.abc import Sequence

from mashbill.artifacts import Progress, read_progress
from mashbill.stages.job import StageJob


def one_of(parts: Sequence[str], place: int, tell: Progress) -> Progress:
    """Tells of all parts, given how far one of those is that are made in turn.

    Args:
        parts: in their order.
        place: of the one that is being made.
        tell: is told.
    """

    def told(done: float, words: str) -> None:
        tell((place + done) / len(parts), f"{parts[place]}: {words}" if len(parts) > 1 else words)

    return told


def side_by_side(job: StageJob, parts: Sequence[str]) -> tuple[float, str]:
    """How far parts are that are made side by side, as their progress files say it."""
    name = job.stage.name
    made = set(job.store.part_names(name, job.fingerprint)) & set(parts)
    states = read_progress(job.store.storage.workspace())
    under_way = {part: states[f"{name}.{part}"] for part in parts if f"{name}.{part}" in states}
    done = len(made) + sum(state.done for part, state in under_way.items() if part not in made)
    words = [f"{len(made)} of {len(parts)} parts"]
    words += [f"{part}: {state.message}" for part, state in list(under_way.items())[:1]]
    return done / max(len(parts), 1), ", ".join(words)
