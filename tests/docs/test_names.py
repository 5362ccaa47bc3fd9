"""Modules that pages and docstrings name are there."""

import re
from pathlib import Path

import pytest

from builders.checkout import DOCS, ROOT

PACKAGE = ROOT / "operators" / "mashbill"
HISTORY = ROOT / "CHANGELOG.md"  # it tells of files that were
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md")} - {HISTORY})
MODULES = sorted(PACKAGE.rglob("*.py"))
NAME = re.compile(r"`+([\w/.-]+(?:\.py|\.md|\.toml|/))`+")
PLACEHOLDER = re.compile(r"/[A-Z]+(?:\.py|/)")  # of a name that is the reader's to choose
FOLDERS = (ROOT, PACKAGE, ROOT / "dags", DOCS)


def lost(path: Path) -> list[str]:
    """Files and folders of the checkout that a text names in backticks, and that are not there.

    Only names that begin with a folder of the checkout or of the package: others are files of a user's, of an
    artifact or of another project.
    """
    roots = {folder.name: where for where in FOLDERS for folder in where.iterdir() if folder.is_dir()}
    names = NAME.findall(path.read_text(encoding="utf-8"))
    named = [name for name in names if "/" in name.rstrip("/") and name.split("/")[0] in roots]
    real = [name for name in named if not PLACEHOLDER.search(name)]
    return [name for name in real if not any((where / name).exists() for where in FOLDERS)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    assert lost(path) == []


def test_files_that_docstrings_name_are_there() -> None:
    assert {str(path): names for path in MODULES if (names := lost(path))} == {}
