"""JSON values that go over several lines: one array of all records, or objects printed for people."""

import json
import re
from collections.abc import Iterator
from typing import Any

BETWEEN = re.compile(r"[\s,\[\]]*")
ARRAY_IS_CUT = b"the array of all records has no end"
BREAKS_OFF = (b"{", b"[", b":", b",")
NEXT_IN_LINE = re.compile(rb"\}\s*\{")
NEXT_OBJECT = re.compile(r"[,}\]]\s*(?=\{)|\n(?=\{)")


def several_lines_each(beginning: bytes) -> bool:
    """Whether a file that begins so holds values that go over several lines, or one array of them."""
    text = beginning[:100_000].lstrip()
    if text.startswith(b"["):
        return text[1:].lstrip()[:1] in (b"{", b"]", b"")
    return text.startswith(b"{") and (_goes_on(text) or _follow_in_a_line(beginning.strip()))


def _goes_on(text: bytes) -> bool:
    """Whether the first line breaks off within an object, which the next one goes on with."""
    first, end, rest = text.partition(b"\n")
    first = first.rstrip()
    return bool(end) and (first == b"{" or (first.endswith(BREAKS_OFF) and rest[:1] in (b" ", b"\t")))


def _follow_in_a_line(text: bytes) -> bool:
    """Whether several objects are all in one line, or parted by carriage returns."""
    if b"\n" in text or not NEXT_IN_LINE.search(text):
        return False
    try:
        plain = text.decode("utf-8", "surrogateescape")
        return json.JSONDecoder().raw_decode(plain)[1] < len(plain)
    except (ValueError, RecursionError):
        return False


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
