"""What kind of character each code point is: one table of bits that the compiled kernels look up."""

import sys
import unicodedata
from functools import cache

import numpy as np

from mashbill.documents.scripts import IDEOGRAPHS, is_mark, lacks_end_marks, stands_alone

SPACE, ALPHA, DIGIT, LOWER, UPPER, PUNCTUATION, TERMINAL, PREFIX, SUFFIX, BREAK = (1 << i for i in range(10))
ALONE, MARK, WIDE, CLOSER, UNENDED = (1 << i for i in range(10, 15))
"""Bits. A word of PUNCTUATION alone counts as none; TERMINAL ends a sentence; PREFIX and SUFFIX are split off
a word's ends; BREAK is where ``str.splitlines`` breaks. ALONE is a word by itself, with the MARKs after it;
WIDE takes two columns; CLOSER closes what was quoted or bracketed; UNENDED is of a script without full
stops."""

LINE_BREAKS = frozenset("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
SYMBOLS_THAT_ARE_PUNCTUATION = frozenset("$+<=>^`|~´∶►")
WRITTEN_WITH = dict.fromkeys(
    ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "IDEOGRAPHIC", "BOPOMOFO"), "CJK"
) | {"FULLWIDTH": "LATIN"}
"""Scripts that are written with another, by the first words of their letters' names."""
BOTH_ENDS = frozenset(
    "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧—–"
)
FRONT_ONLY = frozenset("§%=$£€¥฿₽₹₩₪₴₫")
TERMINAL_WORDS = (
    *("FULL STOP", "QUESTION MARK", "EXCLAMATION", "DANDA", "INTERROBANG"),
    *("MYANMAR SIGN SECTION", "KHMER SIGN KHAN", "KHMER SIGN BARIYOOSAN", "TIBETAN MARK SHAD", "NYIS SHAD"),
    *("JAVANESE PADA LUNGSI", "BALINESE CARIK", "TAI THAM SIGN", "MEETEI MAYEK CHEIKHEI", "OL CHIKI PUNCT"),
    *("ARABIC TRIPLE DOT", "SOF PASUQ"),
)
CLOSERS = frozenset("«»‹›“”‘’＂＇")


@cache
def character_table() -> np.ndarray:
    """[code points] uint16 bits of every code point."""
    table = np.zeros(sys.maxunicode + 1, np.uint16)
    for point in range(0x20000):
        table[point] = _bits(chr(point))
    table[IDEOGRAPHS.start : IDEOGRAPHS.stop] = ALPHA | ALONE | WIDE
    return table


@cache
def script_table() -> np.ndarray:
    """[code points] int16 number of the script of every letter, the same for those that are written together;
    0 is none."""
    table, numbers = np.zeros(sys.maxunicode + 1, np.int16), {"": 0}
    for point in range(0x20000):
        script = _script(chr(point))
        table[point] = numbers.setdefault(script, len(numbers))
    table[IDEOGRAPHS.start : IDEOGRAPHS.stop] = numbers["CJK"]
    return table


def _script(character: str) -> str:
    """The first word of a letter's name, which is its script's."""
    if unicodedata.category(character)[0] != "L":
        return ""
    first = unicodedata.name(character, "").split(" ")[0]
    return WRITTEN_WITH.get(first, first)


def _bits(character: str) -> int:
    category = unicodedata.category(character)
    punctuation = category[0] == "P"
    terminal = category == "Po" and _ends_sentence(character)
    either_end = character in BOTH_ENDS or category == "So" or (terminal and not character.isascii())
    flags = (
        (SPACE, character.isspace()),
        (ALPHA, category[0] == "L"),
        (DIGIT, category == "Nd"),
        (LOWER, character.islower()),
        (UPPER, character.isupper()),
        (PUNCTUATION, punctuation or category == "Cc" or character in SYMBOLS_THAT_ARE_PUNCTUATION),
        (TERMINAL, terminal),
        (PREFIX, either_end or character in FRONT_ONLY),
        (SUFFIX, either_end),
        (BREAK, character in LINE_BREAKS),
        (ALONE, stands_alone(character)),
        (MARK, is_mark(character)),
        (WIDE, unicodedata.east_asian_width(character) in {"W", "F"}),
        (CLOSER, character in CLOSERS or (category == "Pe" and not character.isascii())),
        (UNENDED, lacks_end_marks(character)),
    )
    return sum(bit for bit, holds in flags if holds)


def _ends_sentence(character: str) -> bool:
    """Full stops, exclamation and question marks of every script, by their Unicode names."""
    name = unicodedata.name(character, "")
    return any(word in name for word in TERMINAL_WORDS) and "INVERTED" not in name
