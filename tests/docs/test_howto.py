"""The how-to pages' snippets are settings that exist."""

import re
from pathlib import Path

import pytest

from builders.checkout import DOCS
from mashbill.config import load_config

PAGES = sorted((DOCS / "how-to").glob("*.md"))
CORPUS = """
[corpus]
domains = [{ name = "crawl", sources = [{ path = "a" }] }, { name = "books", sources = [{ path = "b" }] }]
references = [{ name = "openwebtext", sources = [{ path = "c" }] }]
evaluations = [{ name = "quiz", sources = [{ path = "d" }] }]
"""
SNIPPETS = [
    (page.stem, snippet)
    for page in PAGES
    for snippet in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
]


@pytest.mark.parametrize(
    "snippet",
    [snippet for _, snippet in SNIPPETS],
    ids=[f"{page}-{i}" for i, (page, _) in enumerate(SNIPPETS)],
)
def test_snippet_is_a_valid_config(snippet: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(snippet if "[corpus]" in snippet else snippet + CORPUS)
    assert load_config(path).domain_names


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 8
