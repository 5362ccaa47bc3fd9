"""``mashbill part``: what a job elsewhere runs."""

import os

from mashbill.stages.part import run_given


def make_parts(stage: str, parts: list[str], run: str, *, record: str | None) -> None:
    """Make parts, or a whole stage, and print where they are."""
    from mashbill.launch.node import Node

    for artifact in run_given(run, stage, parts, record=record, node=Node.here(os.environ)):
        print(artifact.address)  # noqa: T201
