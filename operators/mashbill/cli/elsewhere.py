"""A stage that runs elsewhere, as the shell shows it: a bar a job, and a line where what a job is at
changes."""

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from mashbill.artifacts import Artifact
from mashbill.errors import RunError
from mashbill.stages import StageJob
from mashbill.stages.elsewhere import Elsewhere, parts_of
from mashbill.stages.following import OWN_EXITS, Seen, run_elsewhere


def run_shown(elsewhere: Elsewhere, bars: Progress, console: Console) -> Artifact:
    """Run a stage elsewhere; whoever breaks the waiting off is told that the jobs go on.

    Args:
        elsewhere: the stage.
        bars: where how far its jobs are is shown.
        console: where is said which jobs there are, and what becomes of them.
    """
    shown = JobBars(bars, console)
    try:
        return run_elsewhere(elsewhere, shown.seen)
    except KeyboardInterrupt:
        shown.detached()
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


class JobBars:
    """One bar a job."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self.bars, self.console = bars, console
        self.tasks: dict[str, TaskID] = {}
        self.states: dict[str, str] = {}

    def seen(self, seen: Seen) -> None:
        """A job has changed."""
        handle, state = seen.submitted.handle, seen.state
        key = handle.name
        if handle.name not in self.tasks:
            parts = parts_of(seen.submitted.attempt.order)
            name = parts[0] if len(parts) == 1 else key
            self.tasks[key] = self.bars.add_task("", total=1.0, name=name, words="")
        done = 1.0 if state.phase == "succeeded" else seen.progress.done if seen.progress else 0.0
        self.bars.update(self.tasks[key], completed=done, words=seen.words)
        said = f"{state.phase} {state.message}".strip()
        if self.states.get(key) != said:
            self.states[key] = said
            self._say(f"{'job':12} {handle.name} on {handle.backend}: {said}")
            if state.failure is not None and state.failure.exit_code not in OWN_EXITS:
                self._say(state.failure.last_words)

    def detached(self) -> None:
        """Say that what was submitted goes on, and how to come back to it."""
        for name in self.states:
            come_back = f"run the same command to take it up, or: mashbill jobs follow {name} --config ..."
            self._say(f"{'job':12} {name} goes on; {come_back}")

    def _say(self, words: str) -> None:
        self.console.print(words, highlight=False, soft_wrap=True)
