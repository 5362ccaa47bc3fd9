"""JSON values that go over several lines: one array of all records, or objects printed for people."""

import json
import re
from collections.abc import Iterator
from typing import Any

BETWEEN = re.compile(r"[\s,\[\]]*")
ARRAY_IS_CUT = b"the array of all records has no end"
NEXT_OBJECT = re.compile(r"[,}\]]\s*(?=\{)|\n(?=\{)")


def several_lines_each(beginning: bytes) -> bool:
    """Whether a file that begins so holds values that go over several lines, or one array of them."""
    text = beginning[:100_000].lstrip()
    if text.startswith(b"["):
        return text[1:].lstrip()[:1] in (b"{", b"]", b"")
    return text.split(b"\n", 1)[0].strip() == b"{" and b"\n" in text


def read_values(content: bytes) -> Iterator[tuple[Any, bytes | None]]:
    """Each value and None; for what is none, None and its bytes up to where the next object begins.

    Args:
        content: values one after another, or in one array.
    """
    text = content.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    at = BETWEEN.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            found = NEXT_OBJECT.search(text, at + 1)
            end = found.end() if found else len(text)
            yield None, text[at:end].encode("utf-8", "surrogateescape")
        else:
            yield value, None
        at = BETWEEN.match(text, end).end()  # type: ignore[union-attr]
    if text.lstrip().startswith("[") and not text.rstrip().endswith("]"):
        yield None, ARRAY_IS_CUT
