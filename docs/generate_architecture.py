"""Write docs/images/rooms.svg, the rooms of the package in their layers, from the contracts that lint-imports
holds, so that the picture shows what is checked.

Each row is a layer of the first contract, each box one of its rooms with the first sentence of its docstring.
"""

import ast
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
PACKAGE = ROOT / "operators" / "mashbill"

WIDTH, MARGIN, ARROW, GAP = 1000, 24, 46, 10
"""Pixels: of the picture, around it, for the arrow at its left, between boxes."""
LINE, TITLE, PADDING = 14, 22, 10
"""Pixels: height of a line of text, of a room's name, and above and below them."""
CHARACTER = 6.0
"""Pixels of an average character, from which lines are broken."""
WIDEST = 5
"""Rooms in a row; a layer of more has two rows."""
TOP, BOTTOM = (0xF3, 0xDC, 0xB8), (0xD3, 0xDC, 0xC6)
"""Colours of the first layer and the last; those between change evenly."""
STYLE = (
    "text{font-family:Helvetica,Arial,sans-serif;fill:#2f2718}"
    ".s{font-size:14px;font-weight:bold;text-anchor:middle}"
    ".n{font-size:11.5px;text-anchor:middle;fill:#5c4a2f}"
    ".a{font-size:12px;text-anchor:middle;fill:#8a7350}"
)
HEAD = (
    '<defs><marker id="h" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#8a7350"/></marker></defs>'
)


@dataclass(frozen=True)
class Box:
    """A room in the picture: its name, its sentence in lines, its place and width."""

    name: str
    lines: Sequence[str]
    x: float
    width: float

    @property
    def height(self) -> float:
        """What its text takes."""
        return 2 * PADDING + TITLE + LINE * len(self.lines)


def contracts() -> list[dict[str, Any]]:
    """The contracts of import-linter, as pyproject.toml gives them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[str]]:
    """Rooms by layer, top to bottom."""
    contract = next(c for c in contracts() if c["type"] == "layers")
    return [[room.strip(" ()") for room in layer.split("|")] for layer in contract["layers"]]


def engine() -> set[str]:
    """Rooms that a contract keeps from importing Airflow."""
    contract = next(c for c in contracts() if "airflow" in c.get("forbidden_modules", ()))
    return {module.removeprefix("mashbill.") for module in contract["source_modules"]}


def sentence(room: str) -> str:
    """The first sentence of a room's docstring, without the room's name where it begins with that."""
    module = PACKAGE / room / "__init__.py"
    source = (module if module.exists() else PACKAGE / f"{room}.py").read_text(encoding="utf-8")
    words = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].split()
    first = " ".join(words).split(". ")[0].rstrip(".")
    name, _, rest = first.partition(": ")
    return rest[:1].upper() + rest[1:] if rest and name.lower() == room else first


def boxes(rooms: Sequence[str]) -> list[Box]:
    """The boxes of one row, of equal width."""
    room_for = WIDTH - 2 * MARGIN - ARROW
    width = (room_for - GAP * (len(rooms) - 1)) / len(rooms)
    start = MARGIN + ARROW
    return [
        Box(
            room,
            textwrap.wrap(sentence(room), int((width - 2 * PADDING) / CHARACTER)),
            start + i * (width + GAP),
            width,
        )
        for i, room in enumerate(rooms)
    ]


def rows(rooms: Sequence[str]) -> list[list[Box]]:
    """A layer's boxes, in one row or in two of nearly equal length."""
    if len(rooms) <= WIDEST:
        return [boxes(rooms)]
    half = (len(rooms) + 1) // 2
    return [boxes(rooms[:half]), boxes(rooms[half:])]


def draw_box(box: Box, y: float, height: float, colour: str) -> Iterator[str]:
    """One room: a rectangle, its name, its sentence."""
    middle = box.x + box.width / 2
    yield (
        f'<rect x="{box.x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{height:.1f}" rx="8" '
        f'fill="{colour}" stroke="#8a7350"/>'
    )
    yield f'<text x="{middle:.1f}" y="{y + PADDING + 12:.1f}" class="s">{escape(box.name)}</text>'
    for i, line in enumerate(box.lines):
        below = y + PADDING + TITLE + 9 + i * LINE
        yield f'<text x="{middle:.1f}" y="{below:.1f}" class="n">{escape(line)}</text>'


def colour_of(place: float) -> str:
    """Between the first layer's colour (0) and the last one's (1)."""
    return "#" + "".join(f"{round(a + (b - a) * place):02x}" for a, b in zip(TOP, BOTTOM, strict=True))


def draw_arrow(end: float) -> Iterator[str]:
    """What the order of the layers means, along the left edge."""
    x, middle = MARGIN + 22, (MARGIN + end) / 2
    yield f'<path d="M{x} {MARGIN} V{end:.1f}" stroke="#8a7350" stroke-width="1.6" marker-end="url(#h)"/>'
    yield (
        f'<text transform="translate({x - 8} {middle:.1f}) rotate(-90)" class="a">'
        "a room imports rooms below it, never one above or beside it</text>"
    )


def picture() -> str:
    """The whole picture, as SVG."""
    body: list[str] = []
    y, found, without_airflow = float(MARGIN), layers(), engine()
    airflow_ends = False
    for number, rooms in enumerate(found):
        if not airflow_ends and without_airflow.issuperset(rooms):
            airflow_ends = True
            middle = MARGIN + ARROW + (WIDTH - 2 * MARGIN - ARROW) / 2
            body.append(
                f'<text x="{middle:.1f}" y="{y + 11:.1f}" class="a">Airflow is imported above this line, '
                "and never below it</text>"
            )
            body.append(
                f'<path d="M{MARGIN + ARROW} {y + 18:.1f} H{WIDTH - MARGIN}" stroke="#8a7350" '
                'stroke-dasharray="5 4"/>'
            )
            y += 18 + GAP
        for row in rows(rooms):
            height = max(box.height for box in row)
            for box in row:
                body += draw_box(box, y, height, colour_of(number / max(len(found) - 1, 1)))
            y += height + GAP
    end = y - GAP
    words = "; ".join(", ".join(rooms) for rooms in found)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end + MARGIN:.0f}" role="img" '
            f'aria-label="The rooms of mashbill, layer by layer: {escape(words)}">',
            HEAD,
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" rx="12" fill="#fffdf8"/>',
            *draw_arrow(end),
            *body,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
