"""What must hold of a damaged file: it is read without a traceback, and no loss goes uncounted."""

from pathlib import Path

from fuzz.damage import Damaged
from mashbill.config import Source
from mashbill.corpus.readers import read_source_file
from mashbill.corpus.streams import BLOCK_BYTES

PAGES = 24
HEADER = "text"
FORMATS = {"jsonl": "jsonl", "json": "jsonl", "csv": "csv", "warc": "warc", "txt": "txt"}
FORMATS |= {"parquet": "parquet", "arrow": "arrow"}
SEEN = frozenset({"cut", "flip", "insert"})
"""Damage that shows in any format; what else can be done to plain text may leave other plain text."""


def check(damaged: Damaged, folder: Path) -> None:
    """Read a damaged file and compare it with what it was.

    Args:
        damaged: the file.
        folder: where it may be written.
    Raises:
        AssertionError: a loss is not counted, or a text came that was never written.
    """
    path = folder / damaged.whole.name
    path.write_bytes(damaged.content)
    kept: list[str] = []
    refused = passed = volume = 0
    cut = False
    for batch in read_source_file(path, Source(path=str(path), format=FORMATS[path.name.split(".")[1]])):
        kept += batch.documents["text"].to_pylist()
        refused += len(batch.rejected)
        volume += sum(one.bytes for one in batch.rejected)
        cut |= any(one.cut for one in batch.rejected)
        passed += len(batch.passed)
    written = len(damaged.whole.texts) or PAGES
    words = f"{damaged.whole.name} {damaged.how}: {len(kept)} kept, {refused} refused"
    if len(kept) < written:
        assert refused or passed or _without_a_trace(damaged), words
    if volume > BLOCK_BYTES:
        return  # damage that unpacks to more than a block, which is taken before its checksum is known
    if damaged.whole.checked and not cut and damaged.whole.texts and "txt" not in damaged.whole.name:
        strange = [text for text in kept if text not in {*damaged.whole.texts, HEADER}]
        assert not strange, f"{words}; never written: {strange[0]!r:.200}"


def _without_a_trace(damaged: Damaged) -> bool:
    """Whether what is left of the file is whole in itself: nobody can tell that there was more."""
    content, whole = damaged.content, damaged.whole
    if not whole.checked and any(how.split()[0] not in SEEN for how in damaged.how):
        return True
    kinds = [how.split()[0] for how in damaged.how]
    if "wide" in whole.name and "insert" in kinds and len(kinds) > 1:
        return True  # half a character more, and later another half: what is between is text of another kind
    if whole.name == "plain.warc" and len(kinds) > 1:
        return (
            True  # of a record whose length does not fit, the next header says where it ends; both may be hit
        )
    if "csv" in whole.name and "cut" in kinds and (content.endswith(b'"') or len(kinds) > 1):
        return True  # a row that is cut behind a quote is whole, as the last one needs no line break
    return len(content) in whole.ends and content == whole.content[: len(content)]
