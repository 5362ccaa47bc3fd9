"""Which characters are words by themselves: those of scripts that are written without blanks between words.

Whoever counts or compares words asks this, so that a word is the same to filters, decontamination and
deduplication. A letter of such a script is a word, with the marks that are written on it; Hangul has blanks.
Real words would need a dictionary for each language: a character is what can be told without one.
"""

import unicodedata

WITHOUT_BLANKS = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "IDEOGRAPHIC ITERATION MARK",
    "IDEOGRAPHIC NUMBER ZERO",
    "VERTICAL IDEOGRAPHIC",
    "HIRAGANA",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "BOPOMOFO",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
    "JAVANESE",
    "BALINESE",
    "TAI LE",
    "NEW TAI LUE",
    "TAI THAM",
    "TAI VIET",
    "TANGUT",
)
"""How the names of their letters begin in Unicode."""
IDEOGRAPHS = range(0x20000, 0x32000)
"""Planes of nothing else; what follows them is unassigned or private."""
WITHOUT_END_MARKS = ("THAI", "LAO")
"""Scripts whose sentences end in a blank."""
JOINERS = frozenset("\u200c\u200d\u2060\ufeff\u0f0b\u0f0c")
"""What belongs to the character before it and is no mark: joiners, and what parts Tibetan's syllables."""


def stands_alone(character: str) -> bool:
    """Whether a character is a word, whatever stands beside it."""
    if ord(character) in IDEOGRAPHS:
        return True
    letter = unicodedata.category(character) in {"Lo", "Lm", "Nl"}
    return letter and unicodedata.name(character, "").startswith(WITHOUT_BLANKS)


def is_mark(character: str) -> bool:
    """Whether a character belongs to the one before it."""
    return character in JOINERS or unicodedata.category(character)[0] == "M"


def lacks_end_marks(character: str) -> bool:
    """Whether a character is a letter or a mark of a script that has no full stop."""
    kind = unicodedata.category(character)[0]
    return kind in "LM" and unicodedata.name(character, "").startswith(WITHOUT_END_MARKS)
