"""Figures that README and documentation state are those that the benchmarks wrote."""

import json
import re
import runpy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from builders.checkout import DOCS, ROOT

FIGURES = json.loads((DOCS / "figures.json").read_text(encoding="utf-8"))
CLAIMS = tomllib.loads((DOCS / "claims.toml").read_text(encoding="utf-8"))
NO_MEASURES = {"reference.md", "operators.md", "mutants.md", "demo-text.md"}  # settings, a tool, versions
PAGES = [ROOT / "README.md", *(p for p in sorted(DOCS.rglob("*.md")) if p.name not in NO_MEASURES)]
ROWS = re.compile(r"^\|.*\|$", re.M)
SECTION = re.compile(r"<!-- figures: .*?<!-- end -->", re.S)
PRECISE = re.compile(r"(?<![\w.-])\d[\d,]*\.\d+|\d+(?=%)")  # but not the version of a licence
LINK = re.compile(r"\]\([^)]*\)")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
UNITS = "x|%|times|s|ms|seconds|minutes|hours|h|MB|GB"
MEASURED = re.compile(
    rf"(?<![\w.\-/])(?:\d[\d,]*\.\d+|\d[\d,]*(?:\.\d+)?(?: ?to ?\d[\d.,]*)?(?:x|%| (?:{UNITS}))(?!\w))"
)
NOT_PROSE = re.compile(
    r"^```.*?^```|<!-- figures: .*?<!-- end -->|^(?: {4}|\|).*?$|`[^`\n]*`|\]\([^)]*\)|arXiv [\d.]+",
    re.S | re.M,
)


@dataclass(frozen=True)
class Claim:
    """Words of a page, and where each of their numbers was measured."""

    page: str
    words: str
    figures: tuple[str, ...]


CLAIMED = [Claim(c["page"], c["words"], tuple(c["figures"])) for c in CLAIMS["claim"]]


def figure(path: str, figures: Mapping[str, Any]) -> float:
    """A figure by its path: BENCHMARK / ROW / COLUMN or BENCHMARK / NAME."""
    benchmark, *place = path.split(" / ")
    blocks = figures[benchmark]["blocks"]
    if len(place) == 1:
        return next(float(b["figures"][place[0]]) for b in blocks if place[0] in b.get("figures", {}))
    row, column = place
    table = next(
        b for b in blocks if column in b.get("columns", ()) and any(cells[0] == row for cells in b["rows"])
    )
    cell = next(cells for cells in table["rows"] if cells[0] == row)[table["columns"].index(column)]
    number = NUMBER.search(cell)
    assert number, f"{path}: {cell!r} holds no number"
    return float(number.group().replace(",", ""))


def stated(number: str, measured: float) -> bool:
    """Whether a number is the measured one, at as many places as it is written with."""
    places = len(number.partition(".")[2])
    rounded = Decimal(repr(measured)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return Decimal(number.replace(",", "")) == rounded


def prose(path: Path) -> str:
    """A page without code, tables and written sections; words of a line stay on their line."""
    text = path.read_text(encoding="utf-8")
    return NOT_PROSE.sub(lambda match: "\n" * match.group().count("\n"), text)


def flowing(text: str) -> str:
    """Text in one line, as a sentence may run over the end of one."""
    return " ".join(text.split())


@pytest.mark.parametrize("claim", CLAIMED, ids=lambda claim: claim.words[:50])
def test_a_claim_is_what_was_measured(claim: Claim) -> None:
    assert flowing(claim.words) in flowing((ROOT / claim.page).read_text(encoding="utf-8"))
    numbers = NUMBER.findall(claim.words)
    assert len(numbers) == len(claim.figures), "a figure for each number of the words"
    wrong = {
        number: figure(path, FIGURES)
        for number, path in zip(numbers, claim.figures, strict=True)
        if path != "given" and not stated(number, figure(path, FIGURES))
    }
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_figure_stands_in_a_page_unmeasured(page: Path) -> None:
    name = str(page.relative_to(ROOT))
    text = flowing(prose(page))
    for words in [c.words for c in CLAIMED if c.page == name] + [
        g["words"] for g in CLAIMS["given"] if g["page"] == name
    ]:
        text = text.replace(flowing(words), "")
    assert [text[max(0, m.start() - 40) : m.end() + 20] for m in MEASURED.finditer(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_table_repeats_what_benchmarks_wrote(page: Path) -> None:
    text = SECTION.sub("", page.read_text(encoding="utf-8"))
    numbers = set(PRECISE.findall(LINK.sub("", "\n".join(ROWS.findall(text)))))
    named = {table["page"]: table["benchmarks"] for table in CLAIMS["table"]}.get(
        str(page.relative_to(ROOT)), []
    )
    written = [
        float(n.replace(",", ""))
        for name in named
        for n in NUMBER.findall(json.dumps(FIGURES[name]["blocks"]))
    ]
    assert {number for number in numbers if not any(stated(number, value) for value in written)} == set()


@pytest.mark.parametrize("given", CLAIMS["given"], ids=lambda given: given["words"][:50])
def test_what_is_given_is_still_said(given: dict[str, str]) -> None:
    assert given["reason"]
    assert flowing(given["words"]) in flowing((ROOT / given["page"]).read_text(encoding="utf-8"))


def test_the_tables_are_those_that_the_benchmarks_wrote() -> None:
    render = runpy.run_path(str(DOCS / "generate_benchmarks.py"))["render"]
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert render(text, FIGURES) == text, "run docs/generate_benchmarks.py"
    assert set(re.findall(r"<!-- figures: ([\w-]+) -->", text)) == set(FIGURES)


def test_every_benchmark_that_is_named_is_there() -> None:
    commands = {page["command"].split()[0] for page in FIGURES.values()}
    assert [command for command in commands if not (ROOT / command).exists()] == []


@pytest.mark.parametrize(
    ("number", "measured", "alike"),
    [
        ("62", 62.2, True),
        ("62", 62.6, False),
        ("0.21", 0.2133, True),
        ("0.21", 0.2201, False),
        ("6,340", 6340, True),
    ],
)
def test_a_number_is_held_to_its_places(number: str, measured: float, alike: bool) -> None:
    assert stated(number, measured) is alike
