"""What kind of character each code point is: one table of bits that the compiled kernels look up."""

import sys
import unicodedata
from functools import cache

import numpy as np

SPACE, ALPHA, DIGIT, LOWER, UPPER, PUNCTUATION, TERMINAL, PREFIX, SUFFIX, BREAK = (1 << i for i in range(10))
"""Bits. A word of PUNCTUATION alone counts as none; TERMINAL ends a sentence; PREFIX and SUFFIX are split off
a word's ends; BREAK is where ``str.splitlines`` breaks."""

LINE_BREAKS = frozenset("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
SYMBOLS_THAT_ARE_PUNCTUATION = frozenset("$+<=>^`|~´∶►")
BOTH_ENDS = frozenset(
    "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧—–"
)
FRONT_ONLY = frozenset("§%=$£€¥฿₽₹₩₪₴₫")
TERMINAL_WORDS = ("FULL STOP", "QUESTION MARK", "EXCLAMATION", "DANDA", "INTERROBANG")


@cache
def character_table() -> np.ndarray:
    """[code points] uint16 bits of every code point."""
    table = np.zeros(sys.maxunicode + 1, np.uint16)
    for point in range(0x20000):
        table[point] = _bits(chr(point))
    table[0x20000:0x32000] = ALPHA  # ideographs; what follows them is unassigned or private
    return table


def _bits(character: str) -> int:
    category = unicodedata.category(character)
    punctuation = category[0] == "P"
    either_end = character in BOTH_ENDS or category == "So"
    flags = (
        (SPACE, character.isspace()),
        (ALPHA, category[0] == "L"),
        (DIGIT, category == "Nd"),
        (LOWER, character.islower()),
        (UPPER, character.isupper()),
        (PUNCTUATION, punctuation or category == "Cc" or character in SYMBOLS_THAT_ARE_PUNCTUATION),
        (TERMINAL, category == "Po" and _ends_sentence(character)),
        (PREFIX, either_end or character in FRONT_ONLY),
        (SUFFIX, either_end),
        (BREAK, character in LINE_BREAKS),
    )
    return sum(bit for bit, holds in flags if holds)


def _ends_sentence(character: str) -> bool:
    """Full stops, exclamation and question marks of every script, by their Unicode names."""
    name = unicodedata.name(character, "")
    return any(word in name for word in TERMINAL_WORDS) and "INVERTED" not in name
