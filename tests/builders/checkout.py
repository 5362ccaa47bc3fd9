"""Places in the checkout that tests read, each named once."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
REGMIX = TESTS / "data" / "regmix"
"""The published sweep of RegMix, with its licence."""
CONFIGS = ROOT / "dags" / "configs"
DOCS = ROOT / "docs"
