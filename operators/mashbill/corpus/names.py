"""What the files of a domain are called in ids.

A file is called by its path under its source's root. The first root of a domain adds nothing to that, each
further one as many of its folders as tell it from those before: so a source that is added leaves the names of
the others as they are, and which files lie beside one another changes none.
"""

from collections.abc import Iterator

from mashbill.config import Source
from mashbill.corpus.sources import SourceFile

Text = tuple[str, str, str]
"""What makes a file's text what it is: address, field and split."""


class FileNames:
    """Names of one domain's files, each its own."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}  # by root
        self._owners: dict[str, str] = {}  # address of the file, by name
        self._texts: dict[str, Text] = {}  # by name
        self._names: dict[Text, str] = {}

    def name(self, file: SourceFile, source: Source) -> str:
        """The name of a file: the same again where the same text is read again, else what no other has.

        Args:
            file: the file.
            source: whose field and split are read of it.
        """
        text = (file.address, source.text_field, source.split)
        if text not in self._names:
            own = file.address
            name = next(n for n in self._paths(file) if self._owners.setdefault(n, own) == own)
            names = (name, f"{name}:{source.text_field}", f"{name}:{source.split}:{source.text_field}")
            self._names[text] = next(n for n in names if self._texts.setdefault(n, text) == text)
        return self._names[text]

    def _paths(self, file: SourceFile) -> Iterator[str]:
        """Paths that could stand for a file, the shortest first, its address at the end."""
        label = self._label(file.root)
        yield f"{label}/{file.name}".lstrip("/")
        yield from (f"{end}/{file.name}" for end in _ends(file.root) if len(end) > len(label))
        yield file.address

    def _label(self, root: str) -> str:
        """What names of a root begin with."""
        if root not in self._labels:
            taken = set(self._labels.values())
            ends = ("", *_ends(root), root)
            self._labels[root] = next((end for end in ends if end not in taken), root)
        return self._labels[root]


def _ends(root: str) -> Iterator[str]:
    """The last folder of a root, its last two, and so on."""
    folders = [folder for folder in root.split("/") if folder]
    yield from ("/".join(folders[-n:]) for n in range(1, len(folders) + 1))
