"""Write the tables of docs/benchmarks.md from docs/figures.json, where benchmarks keep what they measured.

A section of the page stands between ``<!-- figures: NAME -->`` and ``<!-- end -->``; the words around it are
written by hand, and a test holds their figures against the same file.
"""

import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "benchmarks.md"
FIGURES = Path(__file__).parent / "figures.json"
SECTION = re.compile(r"<!-- figures: (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.S)


def section(page: dict[str, Any]) -> list[str]:
    """A benchmark's title, where and when it ran, and what it measured."""
    lines = [f"### {page['title']}", ""]
    lines += [
        f"`.venv/bin/python {page['command']}`, {page['date']}, commit {page['commit']}; {page['machine']}",
        "",
    ]
    for block in page["blocks"]:
        if "text" in block:
            lines += [block["text"], ""]
            continue
        lines += [f"| {' | '.join(block['columns'])} |", f"|{'---|' * len(block['columns'])}"]
        lines += [f"| {' | '.join(row)} |" for row in block["rows"]] + [""]
    return lines


def render(text: str, figures: dict[str, dict[str, Any]]) -> str:
    """The page with its sections as the figures are."""

    def written(match: re.Match[str]) -> str:
        body = "\n".join(section(figures[match["name"]]))
        return f"<!-- figures: {match['name']} -->\n{body}<!-- end -->"

    return SECTION.sub(written, text)


def main() -> None:
    """Write the page."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
