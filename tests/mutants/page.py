"""``docs/mutants.md``: the share of mutants killed by room, and what is to be said for each survivor.

The arguments stand in the page alone: they are read from it before it is written anew, by the mutants' keys.
"""

import re
from collections import Counter
from pathlib import Path

from builders.checkout import DOCS
from mutants.faults import Fault
from mutants.rooms import CLOSEST, room_of

PAGE = DOCS / "mutants.md"
OPEN = "not argued yet"
ENTRY = re.compile(r"^- `(?P<key>[^`]+)`\n  (?P<argument>.+)$", re.MULTILINE)
HEAD = """# Mutants

`make mutants` plants {count} single-line faults, drawn by seed {seed}, one at a time in a copy of the
package, and runs the closest tests. A mutant is killed when a test fails or hangs. CONTRIBUTING.md says how
to run it; it writes this page, but for the arguments under survivors, which it keeps.

**{killed} of {count} are killed: {share:.1%}.**

| room | mutants | killed | by a hang | survived |
|---|---|---|---|---|
"""


def arguments(page: Path = PAGE) -> dict[str, str]:
    """What the page says for each survivor, by its key."""
    if not page.exists():
        return {}
    found = {match["key"]: match["argument"] for match in ENTRY.finditer(page.read_text(encoding="utf-8"))}
    return {key: argument for key, argument in found.items() if argument != OPEN}


def write(drawn: list[Fault], verdicts: dict[str, str], seed: int, page: Path = PAGE) -> None:
    """Writes the page.

    Args:
        drawn: the sample.
        verdicts: by key ``killed``, ``hung`` or ``survived``.
        seed: what drew it.
        page: where.
    """
    said = arguments(page)
    counts = Counter((room_of(fault.module), verdicts[fault.key]) for fault in drawn)
    killed = sum(verdicts[fault.key] != "survived" for fault in drawn)
    text = HEAD.format(count=len(drawn), seed=seed, killed=killed, share=killed / len(drawn))
    for room in CLOSEST:
        dead, hung, alive = (counts[room, verdict] for verdict in ("killed", "hung", "survived"))
        text += f"| {room} | {dead + hung + alive} | {dead + hung} | {hung} | {alive} |\n"
    text += "\n## Survivors\n\n"
    survivors = sorted(fault.key for fault in drawn if verdicts[fault.key] == "survived")
    text += "".join(f"- `{key}`\n  {said.get(key, OPEN)}\n" for key in survivors)
    page.write_text(text, encoding="utf-8")
