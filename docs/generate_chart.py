"""Write helm/mashbill/README.md from the chart's values and its schema, and the table of rights, there and in
docs/how-to/chart.md, from what the code asks of Kubernetes' API, so that neither drifts."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mashbill.launch.kubernetes.rights import RIGHTS, Right

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "mashbill"
README = CHART / "README.md"
HOWTO = ROOT / "docs" / "how-to" / "chart.md"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):(?: |$)")
BEGIN, END = "<!-- rights: docs/generate_chart.py -->", "<!-- end -->"
OF_JOBS = Right(
    "trainer.kubeflow.org", "trainjobs/status", ("patch",), ("trainjob",), "say how far a TrainJob is"
)
"""What the jobs' own pods may do at most; no code of ours does it."""

NAMED = {"secrets": " that values name", "namespaces": ", the release's own"}
"""Of what kinds a right is for objects of certain names only."""


@dataclass(frozen=True)
class Value:
    """A value of the chart.

    Attributes:
        path: its dotted name.
        meaning: the comment above it.
        default: what it is where nothing is said; None for a section.
        kind: what it may be.
    """

    path: str
    meaning: str
    default: Any
    kind: str


def values() -> list[Value]:
    """Every value, in the order of the file.

    Raises:
        ValueError: one has no comment above it.
    """
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    given = yaml.safe_load(text)
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    found = []
    for path, comment in _commented(text):
        part, rule = given, schema
        for key in path:
            part, rule = part[key], _resolved(rule["properties"][key], schema)
        section = "properties" in rule and path[-1] != "resources"
        found.append(Value(".".join(path), comment, None if section else part, _kind(rule)))
    return found


def _commented(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value with the comment above it; what lies in ``resources`` are entries of a map, no values."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        match = KEY.match(line)
        if match:
            indent = len(match["indent"])
            path = [*((i, key) for i, key in path if i < indent), (indent, match["key"])]
            keys = tuple(key for _, key in path)
            if "resources" not in keys[:-1]:
                if not comment:
                    raise ValueError(f"values.yaml: {'.'.join(keys)} has no comment; say what it is")
                yield keys, " ".join(comment)
        words = line.strip()
        comment = [*comment, words.lstrip("# ")] if words.startswith("#") else []


def _resolved(rule: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = str(rule.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = schema["definitions"][name] if name else rule
    return found


def _kind(rule: dict[str, Any]) -> str:
    if "enum" in rule:
        return " or ".join(str(choice) for choice in rule["enum"])
    kind = {"object": "map", "array": "list", "boolean": "true or false"}.get(rule.get("type", ""), "")
    bounds = [
        f"{sign} {rule[bound]}" for bound, sign in (("minimum", "≥"), ("maximum", "≤")) if bound in rule
    ]
    return " ".join([kind or rule.get("type", "text").replace("string", "text"), *bounds])


def table_of_values() -> list[str]:
    """A row a value."""
    lines = ["| value | what it may be | default | meaning |", "|---|---|---|---|"]
    for value in values():
        if value.default is None:
            lines.append(f"| **`{value.path}`** | | | {value.meaning} |")
        else:
            default = json.dumps(value.default)
            lines.append(f"| `{value.path}` | {value.kind} | `{default}` | {value.meaning} |")
    return lines


def table_of_rights() -> list[str]:
    """A row a right, first of Airflow's account, then of the jobs'."""
    lines = ["| account | resource | what it may do | for backend | what for | given by |"]
    lines.append("|---|---|---|---|---|---|")
    rows = [("airflow", right) for right in RIGHTS] + [("jobs", OF_JOBS)]
    for account, right in rows:
        name = f"{right.resource}.{right.group}" if right.group else right.resource
        given = "rbac.backends" if right.needed else "rbac.looks"
        if right.scope == "cluster":
            given = "rbac.cluster"
        if right is OF_JOBS:
            given = "rbac.trainJobStatus"
        resource = f"`{name}`{NAMED.get(right.resource, '')}"
        backends = ", ".join(right.backends)
        verbs = ", ".join(right.verbs)
        cells = (account, resource, verbs, backends, right.purpose, f"`{given}`")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def readme() -> str:
    """The whole page."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    lines = [
        "# The chart `mashbill`",
        "",
        "Generated by `docs/generate_chart.py`; do not edit.",
        "",
        f"{chart['description']}",
        "",
        f"Version {chart['version']}, for Kubernetes {chart['kubeVersion'].removesuffix('-0')}. "
        "How to install it beside Airflow, change it and take it away: `docs/how-to/chart.md`. "
        "Whole files of values: `helm/examples/`.",
        "",
        "## Values",
        "",
        "A value that is not in this table is refused, as is one that is of another kind.",
        "",
        *table_of_values(),
        "",
        "## Rights",
        "",
        "What the accounts may do in the API: this, and nothing else.",
        "",
        *table_of_rights(),
    ]
    return "\n".join(lines) + "\n"


def howto() -> str:
    """The how-to page with the table of rights in it."""
    page = HOWTO.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return "\n".join([f"{before}{BEGIN}", *table_of_rights(), f"{END}{after}"])


if __name__ == "__main__":
    README.write_text(readme(), encoding="utf-8")
    HOWTO.write_text(howto(), encoding="utf-8")
