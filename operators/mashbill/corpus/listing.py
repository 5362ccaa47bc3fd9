"""Which of the files that a source stands for are read, by their names alone; of the others, why not."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mashbill.storage import LEADS_NOWHERE, Pattern, StoredFile

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "txt",
    ".warc": "warc",
    ".wet": "warc",
}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
HUB = "hf"
FORMATS = "jsonl, parquet, arrow, csv, txt, warc, datasets or hub"
SAVED = "dataset_info.json", "state.json"
"""Files that ``save_to_disk`` leaves in a dataset's folder, both."""
SAVED_SPLITS = "dataset_dict.json"
"""The file that it leaves in a folder of such folders."""
REASONS = {
    "hidden": ("hidden", "name a hidden file itself to read it"),
    "unknown_ending": ("with an ending that names no format", "set the source's format to read such files"),
    "about_a_dataset": ("about a dataset and not of it", "name the file itself to read it"),
    "no_saved_dataset": ("in no saved dataset", "leave format out to read other files"),
    "broken_link": ("behind a link that leads nowhere", "mend the link"),
}
"""Why a file is passed over: in words, and what to do about it."""
EXAMPLES = 3


@dataclass(frozen=True)
class Entry:
    """What is read as one: a file, or the folder of a saved dataset.

    Attributes:
        key: of the file or folder.
        name: its path under the source's root.
        members: the file, or the folder's.
    """

    key: str
    name: str
    members: tuple[StoredFile, ...]


@dataclass(frozen=True)
class Listing:
    """What a source stands for.

    Attributes:
        root: key of the folder that names start from.
        entries: what is read, in order.
        passed: names of files that are not, by the reason.
    """

    root: str
    entries: tuple[Entry, ...]
    passed: Mapping[str, tuple[str, ...]]


def format_of(name: str) -> str | None:
    """The format that a file's ending names, under that of a compression, in capitals or not."""
    name = name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return ENDINGS.get(PurePosixPath(name).suffix)


def listed(files: Sequence[StoredFile], wanted: Pattern, kind: str) -> Listing:
    """Tell what is read from what is passed over.

    Args:
        files: all that a path or an address stands for, in order.
        wanted: the path or address, read.
        kind: the source's format.
    """
    saved = _saved(files) if kind in {"auto", "datasets"} else frozenset()
    members: dict[str, list[StoredFile]] = {}
    passed: dict[str, list[str]] = defaultdict(list)
    for file in files:
        folder = _folder_of(file.key, saved)
        reason = _why_not(file, wanted, kind, saved=folder is not None)
        if reason is None:
            members.setdefault(folder or file.key, []).append(file)
        else:
            passed[reason].append(wanted.name(file.key))
    root = wanted.root
    if root in members:  # a file, or a saved dataset, that is given itself
        root = root.rpartition("/")[0]
    entries = (Entry(key, wanted.name(key), tuple(of_it)) for key, of_it in members.items())
    return Listing(root, tuple(entries), {reason: tuple(names) for reason, names in passed.items()})


def told(passed: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """How many files are passed over, and why, with some of them; and what to do about it."""
    parts = []
    for reason, names in passed.items():
        some = ", ".join(names[:EXAMPLES]) + ", ..." * (len(names) > EXAMPLES)
        parts.append(f"{len(names):,} {REASONS[reason][0]} ({some})")
    return ", ".join(parts), ", or ".join(REASONS[reason][1] for reason in passed)


def _why_not(file: StoredFile, wanted: Pattern, kind: str, *, saved: bool) -> str | None:
    """Why a file is passed over; None where it is read."""
    if file.version == LEADS_NOWHERE:
        return "broken_link"
    if wanted.hides(file.key):
        return "hidden"
    if saved or file.key == wanted.root:
        return None
    if kind == "datasets":
        return "no_saved_dataset"
    if kind == "auto" and file.key.rpartition("/")[2] == SAVED[0]:
        return "about_a_dataset"
    return "unknown_ending" if kind == "auto" and format_of(file.key) is None else None


def _saved(files: Sequence[StoredFile]) -> frozenset[str]:
    """Folders that ``save_to_disk`` wrote."""
    names = defaultdict(set)
    for file in files:
        folder, _, name = file.key.rpartition("/")
        names[folder].add(name)
    return frozenset(f for f, found in names.items() if SAVED_SPLITS in found or found.issuperset(SAVED))


def _folder_of(key: str, saved: frozenset[str]) -> str | None:
    """The uppermost saved dataset that a file lies in."""
    names = key.split("/")[:-1]
    folders = ("/".join(names[: i + 1]) for i in range(len(names)))
    return next((folder for folder in folders if folder in saved), None)
