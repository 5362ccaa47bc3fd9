"""Files that are something else than their names say, told by their first bytes: what is wrong is said, and
no archive's bytes are taken for text."""

from pathlib import Path

from mashbill.corpus.compression import ERRORS, Member, compression_of

LOOKED_AT = 65_536
BEGINNINGS = {
    b"PK\x03\x04": "a zip archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!\x1a\x07": "a rar archive; unpack it",
    b"\x04\x22\x4d\x18": "packed with lz4; unpack it, or pack it with zstd",
    b"\xff\x06\x00\x00sNaPpY": "packed with snappy; unpack it, or pack it with zstd",
    b"%PDF-": "a PDF; take its text out first",
    b"FEA1": "Feather of version 1; write it anew, in version 2",
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS and not the file; run git lfs pull",
}
TAR_MARK, TAR_PLACE = b"ustar", 257


def foreign_kind(path: Path, *, packed: bool = True) -> str:
    """What a file is that no reader takes, and what to do; empty where it may be what it should.

    Args:
        path: the file.
        packed: whether it may be compressed as a whole.
    """
    with path.open("rb") as file:
        return foreign_beginning(file.read(LOOKED_AT), packed=packed)


def foreign_beginning(beginning: bytes, *, packed: bool = True) -> str:
    """What a file is that begins so, if no reader takes it.

    Args:
        beginning: its first bytes.
        packed: whether it may be compressed as a whole.
    """
    kind = compression_of(beginning)
    if kind is not None and not packed:
        return f"packed with {kind.name} as a whole; unpack it"
    if kind is not None:
        try:
            beginning = Member(kind).feed(beginning, LOOKED_AT)
        except ERRORS:
            return ""
        within = compression_of(beginning)
        if within is not None:
            return f"packed twice, with {kind.name} and with {within.name}; unpack it once"
    if beginning[TAR_PLACE:].startswith(TAR_MARK):
        return "a tar archive; unpack it"
    return next((what for begins, what in BEGINNINGS.items() if beginning.startswith(begins)), "")
