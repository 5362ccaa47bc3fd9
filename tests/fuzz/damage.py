"""Damage to a file's bytes: cut, flipped, inserted and put in another order."""

from dataclasses import dataclass

from hypothesis import strategies as st

from fuzz.files import Whole, whole_files

LENGTHS = (5, 120, 3_000)


@dataclass(frozen=True)
class Damaged:
    """A file that is no longer whole.

    Attributes:
        whole: what it was.
        how: what was done to it.
        content: its bytes now.
    """

    whole: Whole
    how: tuple[str, ...]
    content: bytes


@st.composite
def damaged_files(draw: st.DrawFn) -> Damaged:
    """A file of some kind with one to three kinds of damage."""
    whole = draw(st.sampled_from(whole_files(draw(st.sampled_from(LENGTHS)))))
    content = whole.content
    how = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("cut", "drop", "flip", "insert", "swap", "repeat")))
        if not content:
            break
        at = draw(st.integers(0, len(content) - 1))
        size = draw(st.integers(1, max(1, min(400, len(content) - at))))
        how.append(f"{kind} {at} {size}")
        if kind == "cut":
            content = content[:at]
        elif kind == "drop":
            content = content[:at] + content[at + size :]
        elif kind == "flip":
            bit = draw(st.integers(0, 7))
            content = content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + draw(st.binary(min_size=1, max_size=40)) + content[at:]
        elif kind == "swap":
            other = draw(st.integers(0, len(content) - 1))
            first, last = sorted((at, other))
            one, two = content[first : first + size], content[last : last + size]
            if first + size <= last:
                content = content[:first] + two + content[first + size : last] + one + content[last + size :]
        else:
            content = content[: at + size] + content[at : at + size] + content[at + size :]
    return Damaged(whole, tuple(how), content)
