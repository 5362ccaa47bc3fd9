"""The picture of the rooms is what the import contracts say, and they know every room."""

import runpy
from typing import Any

import pytest

from builders.checkout import DOCS, ROOT


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate_architecture.py"))


@pytest.fixture(scope="module")
def rooms() -> set[str]:
    """Packages and modules of the package, as they lie on the disk."""
    package = ROOT / "operators" / "mashbill"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    return folders | {path.stem for path in package.glob("*.py")} - {"__init__"}


def test_picture_is_up_to_date(generator: dict[str, Any]) -> None:
    drawn = (DOCS / "images" / "rooms.svg").read_text(encoding="utf-8")
    assert drawn == generator["picture"](), "run docs/generate_architecture.py"


def test_every_room_has_a_layer(generator: dict[str, Any], rooms: set[str]) -> None:
    assert sorted(room for layer in generator["layers"]() for room in layer) == sorted(rooms)


def test_every_room_but_airflows_is_kept_from_airflow(generator: dict[str, Any], rooms: set[str]) -> None:
    assert rooms - generator["engine"]() == {"operators", "provider_info"}
