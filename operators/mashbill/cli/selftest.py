"""``mashbill selftest``: what the pipeline catches of flaws planted in the user's own text."""

import json
from pathlib import Path

from rich.table import Table

from mashbill.cli.answers import show
from mashbill.config import load_config, parse_overrides
from mashbill.errors import RunError


def print_selftest(path: Path, assignments: list[str], documents: int, *, as_json: bool) -> None:
    """Run the self-test and print a row a kind of plant.

    Raises:
        RunError: something was caught less often than it should be.
    """
    from mashbill.stages.selftest import selftest

    findings = selftest(load_config(path, parse_overrides(assignments)), documents)
    if as_json:
        print(json.dumps([{**vars(f), "passed": f.passed} for f in findings]))  # noqa: T201
    else:
        table = Table(
            "planted", "how many", "caught", "expected", "", title="self-test", title_justify="left"
        )
        for f in findings:
            table.add_row(
                f.kind,
                str(f.planted),
                str(f.caught),
                f"at least {f.expected:.0%}",
                "passed" if f.passed else "FAILED",
            )
        show(table)
    failed = [f.kind for f in findings if not f.passed]
    if failed:
        raise RunError(
            "selftest", f"caught too few of: {', '.join(failed)}", "look at [filters] and [deduplication]"
        )
