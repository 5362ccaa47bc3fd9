"""The reference page is what the code says."""

import runpy

from builders.checkout import DOCS


def test_reference_page_is_up_to_date() -> None:
    generated = runpy.run_path(str(DOCS / "generate_reference.py"))["page"]()
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == generated, "run docs/generate_reference.py"
