"""What a domain's files lost: records that are refused are counted, and what cannot be read is estimated, in
bytes of text and in records, from what the files gave that were read whole."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mashbill.corpus.records import REST, Rejected

WORST = 3
PROBLEM_CHARACTERS = 120


@dataclass
class FileAccount:
    """What came of one file.

    Attributes:
        name: as documents give it as their source.
        size: its bytes, as stored.
        one_record: whether it is one record by its format.
        documents, text_bytes: what it gave.
        refused: its rejected records, by reason.
        too_large_bytes: of records that are too large.
        unread_bytes, unread_records: as stored, of what could not be read, and records of it that are known.
        cut: whether more is missing than is in the file.
        passed: records that are not meant to be documents.
        problem: what is wrong, of the last part that could not be read, or of the first record.
        of_a_part: whether that is of a part.
    """

    name: str
    size: int
    one_record: bool = False
    documents: int = 0
    text_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    too_large_bytes: int = 0
    unread_bytes: int = 0
    unread_records: int = 0
    cut: bool = False
    passed: int = 0
    problem: str = ""
    of_a_part: bool = False

    def add(self, other: "FileAccount") -> None:
        """Add what came of a later part of the file."""
        self.documents += other.documents
        self.text_bytes += other.text_bytes
        self.refused += other.refused
        self.too_large_bytes += other.too_large_bytes
        self.unread_bytes = min(self.size, self.unread_bytes + other.unread_bytes)
        self.unread_records += other.unread_records
        self.cut |= other.cut
        self.passed += other.passed
        if other.of_a_part or not self.problem:
            self.problem, self.of_a_part = other.problem, other.of_a_part

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Count what is no document."""
        for one in rejected:
            self.refused[one.reason] += 1
            if one.reason == "unreadable":
                self.unread_bytes = min(self.size, self.unread_bytes + one.bytes)
                self.unread_records += one.records
                self.cut |= one.cut
            elif one.reason == "too_large":
                self.too_large_bytes += one.bytes
            if one.row == REST or not self.problem:
                words = " ".join(f"{one.reason}: {one.excerpt}".split())[:PROBLEM_CHARACTERS]
                self.problem = "".join(c if c.isprintable() else "\ufffd" for c in words)
                self.of_a_part = one.row == REST

    @property
    def broken(self) -> bool:
        """Whether a part of it could not be read."""
        return "unreadable" in self.refused

    @property
    def gave_nothing(self) -> bool:
        """Whether nothing but rejected records came of a file that is more than one."""
        bad = self.refused.keys() - {"empty_text"}
        came = self.documents or self.refused["duplicate_id"]
        return not came and bool(bad) and not self.one_record


@dataclass
class Losses:
    """What came of a domain's files, in the order in which they were read."""

    files: list[FileAccount] = field(default_factory=list)

    @property
    def refused(self) -> Counter[str]:
        """Rejected records of all files, by reason; a part of a file that cannot be read counts as one."""
        return sum((file.refused for file in self.files), Counter())

    def lost(self) -> list[tuple[FileAccount, float, float]]:
        """Of each file that lost something: it, bytes of text and records, as far as can be told."""
        whole = _Whole.of(self.files)
        return [(file, *whole.lost(file)) for file in self.files if file.refused]

    def totals(self) -> tuple[float, float]:
        """Bytes of text and records that all files lost."""
        each = self.lost()
        return sum(size for _, size, _ in each), sum(records for _, _, records in each)

    def shares(self) -> tuple[float, float]:
        """Shares of the text and of the records that are lost."""
        size, records = self.totals()
        kept = sum(file.text_bytes for file in self.files)
        documents = sum(file.documents for file in self.files)
        return size / ((size + kept) or 1), records / ((records + documents) or 1)

    def cannot_tell(self) -> list[FileAccount]:
        """Files that end too early, where none of the others was read whole: nothing says what is missing."""
        whole = any(file.documents and not file.broken for file in self.files)
        return [] if whole else [file for file in self.files if file.cut]

    def without_records(self) -> list[FileAccount]:
        """Files in which no record is, good or bad."""
        return [file for file in self.files if not file.documents and not file.refused and not file.passed]

    def summary(self) -> dict[str, float | str]:
        """The estimate, in numbers."""
        (size, records), (text, share) = self.totals(), self.shares()
        broken = sum(file.broken for file in self.files)
        return {
            "bytes": round(size),
            "records": round(records),
            "share_of_text": round(text, 6),
            "share_of_records": round(share, 6),
            "files": len(self.files),
            "files_not_read_to_their_end": broken,
            "worst": self.worst(),
        }

    def reasons(self) -> str:
        """Every reason with its count, most first."""
        return ", ".join(f"{reason} {count:,}" for reason, count in self.refused.most_common())

    def worst(self) -> str:
        """The files that lost most, each with what is wrong with it."""
        found = [file for file, _, _ in sorted(self.lost(), key=lambda one: one[1:], reverse=True)]
        return ", ".join(f"{file.name} ({file.refused.total():,}: {file.problem})" for file in found[:WORST])

    def words(self) -> str:
        """What was lost, for people; empty where nothing was."""
        if not self.refused:
            return ""
        size, records = self.totals()
        text, share = self.shares()
        broken = sum(file.broken for file in self.files)
        files = f", {broken:,} of {len(self.files):,} files not read to their end" if broken else ""
        noun = "record" if round(records) == 1 else "records"
        about = ("at least " if self.cannot_tell() else "about ") if broken else ""
        return (
            f"{about}{records:,.0f} {noun} ({share:.1%}) and {_bytes(size)} of text ({text:.1%}) are lost"
            f"{files} ({self.reasons()}), most in {self.worst()}"
        )


@dataclass(frozen=True)
class _Whole:
    """What files hold that were read whole.

    Attributes:
        files, documents, text_bytes, stored_bytes: how many, and their sums.
    """

    files: int
    documents: int
    text_bytes: int
    stored_bytes: int

    @classmethod
    def of(cls, files: Iterable[FileAccount]) -> "_Whole":
        whole = [file for file in files if file.documents and not file.broken]
        sums = (sum(getattr(f, name) for f in whole) for name in ("documents", "text_bytes", "size"))
        return cls(len(whole), *sums)

    def lost(self, file: FileAccount) -> tuple[float, float]:
        """Bytes of text and records that a file lost."""
        documents, text = self.documents or file.documents, self.text_bytes or file.text_bytes
        a_record = text / max(1, documents)
        records = float(file.refused.total() - file.refused["unreadable"])
        size = (records - file.refused["empty_text"] - file.refused["too_large"]) * a_record
        size += file.too_large_bytes
        if file.broken or file.gave_nothing:
            unread = self._unread(file)
            size = max(size, unread) if file.gave_nothing else size + unread
            estimate = unread / a_record if a_record else 0.0
            known = 0 if file.cut or file.gave_nothing else file.unread_records
            records += max(known or estimate, file.unread_records, float(file.broken))
        return size, records

    def _unread(self, file: FileAccount) -> float:
        """Bytes of text in what could not be read: by what the rest gave, and by the mean of other files
        where the file does not say how long it was."""
        read = file.size - file.unread_bytes
        ratio = self.text_bytes / self.stored_bytes if self.stored_bytes else 1.0
        if file.text_bytes and read > 0:
            ratio = file.text_bytes / read
        unread = file.unread_bytes * ratio
        if self.files and (file.cut or not file.text_bytes):
            unread = max(unread, self.text_bytes / self.files - file.text_bytes)
        return unread


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1_000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"
