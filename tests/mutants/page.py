"""``docs/mutants.md``: the share of mutants killed by room, and what is to be said for each survivor.

The arguments stand in ``argued.md``, by the mutants' keys; the page is written whole.
"""

import re
from collections import Counter
from pathlib import Path

from builders.checkout import DOCS
from mutants.faults import Fault
from mutants.rooms import CLOSEST, room_of

PAGE = DOCS / "mutants.md"
ARGUED = Path(__file__).with_name("argued.md")
OPEN = "not argued yet"
ENTRY = re.compile(r"^- `(?P<key>[^`]+)`\n  (?P<argument>.+)$", re.MULTILINE)
HEAD = """# Mutants

`make mutants` plants {count} single-line faults, drawn by seed {seed}, one at a time in a copy of the
package, and runs the closest tests. A mutant is killed when a test fails or hangs. CONTRIBUTING.md says how
to run it; it writes this page, with the arguments of `tests/mutants/argued.md`.

**{killed} of {count} are killed: {share:.1%}.**

| room | mutants | killed | by a hang | survived |
|---|---|---|---|---|
"""


def arguments() -> dict[str, str]:
    """What is to be said for a survivor, by its key."""
    return {match["key"]: match["argument"] for match in ENTRY.finditer(ARGUED.read_text(encoding="utf-8"))}


def write(drawn: list[Fault], verdicts: dict[str, str], seed: int, page: Path = PAGE) -> None:
    """Writes the page.

    Args:
        drawn: the sample.
        verdicts: by key ``killed``, ``hung`` or ``survived``.
        seed: what drew it.
        page: where.
    """
    said = arguments()
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
