"""A stage that runs elsewhere, as the shell shows it: how far each job is, and a line where what a job is at
changes."""

import typer
from rich.console import Console

from mashbill.artifacts import Artifact
from mashbill.cli.progress import Shown, Work
from mashbill.errors import RunError
from mashbill.stages import StageJob
from mashbill.stages.elsewhere import Elsewhere, parts_of
from mashbill.stages.following import OWN_EXITS, Seen, run_elsewhere


def run_shown(elsewhere: Elsewhere, shown: Shown) -> Artifact:
    """Run a stage elsewhere; whoever breaks the waiting off is told that the jobs go on.

    Args:
        elsewhere: the stage.
        shown: where it is shown which jobs there are, how far, and what becomes of them.
    """
    jobs = ShownJobs(shown)
    try:
        return run_elsewhere(elsewhere, jobs.seen)
    except KeyboardInterrupt:
        jobs.detached()
        raise


def submit_alone(elsewhere: Elsewhere, console: Console) -> None:
    """Submit what is still to be made elsewhere, and wait for none of it.

    Raises:
        typer.Exit: there are jobs, those that were submitted before among them.
    """
    jobs = elsewhere.submit_all()
    for submitted in jobs:
        name, backend = submitted.handle.name, submitted.handle.backend
        words = f"{'job':12} {name} on {backend}; to wait for it: mashbill jobs follow {name} --config ..."
        console.print(words, highlight=False, soft_wrap=True)
    if jobs:
        raise typer.Exit


def refuse_under_way(job: StageJob) -> None:
    """Refuse to make a result anew that jobs elsewhere are making.

    Raises:
        RunError: there is such a job.
    """
    elsewhere = Elsewhere.of(job)
    jobs = [] if elsewhere is None else elsewhere.under_way()
    if jobs:
        name = jobs[0].handle.name
        what = f"is being made by job {name}"
        mend = f"wait for it, or end it: mashbill jobs cancel {name} --config ..."
        raise RunError(f"stage {job.stage.name}", what, mend)


class ShownJobs:
    """How far jobs are, and what becomes of them."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.works: dict[str, Work] = {}
        self.states: dict[str, str] = {}

    def seen(self, seen: Seen) -> None:
        """A job has changed."""
        handle, state = seen.submitted.handle, seen.state
        said = f"{state.phase} {state.message}".strip()
        if self.states.get(handle.name) != said:
            self.states[handle.name] = said
            self._say(f"{handle.name} on {handle.backend}: {said}")
            failure = state.failure
            if failure is not None and failure.last_words and failure.exit_code not in OWN_EXITS:
                self.shown.say(failure.last_words)
        if handle.name not in self.works:
            parts = parts_of(seen.submitted.attempt.order)
            name = parts[0] if len(parts) == 1 else handle.name
            self.works[handle.name] = self.shown.work(name, head=f"{'job':12} {handle.name}:")
        done = 1.0 if state.ended else seen.progress.done if seen.progress else 0.0
        self.works[handle.name](done, seen.words)

    def detached(self) -> None:
        """Say that what was submitted goes on, and how to come back to it."""
        for name in self.states:
            come_back = f"run the same command to take it up, or: mashbill jobs follow {name} --config ..."
            self._say(f"{name} goes on; {come_back}")

    def _say(self, words: str) -> None:
        self.shown.say(f"{'job':12} {words}")
