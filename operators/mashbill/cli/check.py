"""``mashbill check``: everything that a config names, looked at before anything runs."""

import json
from pathlib import Path

from mashbill.config import load_config, parse_overrides
from mashbill.stages import STAGES
from mashbill.stages.check import check_config, refuse_problems


def print_checks(path: Path, assignments: list[str], *, as_json: bool) -> None:
    """Print a line a thing that will do.

    Raises:
        MashbillError: something will not do; all of it, where there is more than one.
    """
    findings = check_config(load_config(path, parse_overrides(assignments)), STAGES.values())
    rows = [
        {
            "stage": finding.stage,
            "setting": finding.setting,
            "found": finding.found or None,
            "problem": None if finding.problem is None else str(finding.problem),
        }
        for finding in findings
    ]
    lines = [f"{finding.setting}: {finding.found}" for finding in findings if finding.problem is None]
    print(json.dumps(rows) if as_json else "\n".join(lines))  # noqa: T201
    refuse_problems(findings)
