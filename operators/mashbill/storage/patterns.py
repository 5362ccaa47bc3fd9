"""Which files a path, a folder or a glob stands for: rules of names alone, the same on disk and in a bucket.

What exists as it is spelt is meant, brackets and all. ``*``, ``?`` and ``[...]`` stay within one name, ``**``
is any number of folders or none, and a folder is all that lies in it. A name that begins with a dot or an
underscore is hidden, and so is what lies under it, unless the pattern spells that out.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

from mashbill.storage.storage import StoredFile

ANY_FOLDERS = "**"
WILDCARD = re.compile(r"[*?\[]")
HIDDEN = (".", "_")


@dataclass(frozen=True)
class Pattern:
    """A path, a folder or a glob, read.

    Attributes:
        root: the key that it begins with and that holds no wildcard; all that it stands for lies there.
        parts: the names that follow, with wildcards; none where a file or a folder is spelt out.
    """

    root: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, given: str, exists: Callable[[str], bool]) -> Self:
        """Read what was given.

        Args:
            given: a key, a folder's, or a glob.
            exists: whether a file or folder has a key, asked where one that has wildcards could be a name.
        """
        names = given.rstrip("/").split("/")
        for i, name in enumerate(names):
            spelt = "/".join(names[: i + 1])
            if WILDCARD.search(name) and not exists(spelt):
                return cls("/".join(names[:i]), tuple(names[i:]))
        return cls("/".join(names), ())

    @classmethod
    def among(cls, given: str, keys: Iterable[str]) -> Self:
        """Read what was given, where these are all the keys that there may be."""
        known = tuple(keys)
        return cls.of(given, lambda spelt: any(k == spelt or k.startswith(f"{spelt}/") for k in known))

    def takes(self, key: str) -> bool:
        """Whether it stands for the file of a key, hidden or not."""
        return self._takes(key, hidden=True)

    def hides(self, key: str) -> bool:
        """Whether the file of a key, for which it stands, is hidden."""
        return not self._takes(key, hidden=False)

    def may_lead_to(self, folder: str) -> bool:
        """Whether something in a folder could be taken: a walk can leave out the others."""
        return folder == self.root or _lead(self.parts, self.name(folder).split("/"))

    def name(self, key: str) -> str:
        """What a key under the root is called there; its own name where it is the root."""
        if key == self.root:
            return key.rpartition("/")[2]
        return key.removeprefix(f"{self.root}/") if self.root else key

    def _takes(self, key: str, *, hidden: bool) -> bool:
        if key == self.root:
            return not self.parts
        under = not self.root or key.startswith(f"{self.root}/")
        return under and _match(self.parts, tuple(self.name(key).split("/")), hidden=hidden)


def in_order(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Files sorted folder by folder."""
    return sorted(files, key=lambda file: file.key.split("/"))


def _match(parts: tuple[str, ...], names: tuple[str, ...], *, hidden: bool) -> bool:
    """Whether names, from a root down to a file, are those of a pattern, or lie in a folder that is its."""
    if not parts:
        return hidden or not any(name.startswith(HIDDEN) for name in names)
    if parts[0] == ANY_FOLDERS:
        below = names and (hidden or not names[0].startswith(HIDDEN))
        none = _match(parts[1:], names, hidden=hidden)
        return none or bool(below and _match(parts, names[1:], hidden=hidden))
    agree = names and _agree(parts[0], names[0], hidden=hidden)
    return bool(agree) and _match(parts[1:], names[1:], hidden=hidden)


def _agree(part: str, name: str, *, hidden: bool) -> bool:
    """Whether a name is one that a part stands for; wildcards at its front leave out what is hidden."""
    if part == name:
        return True
    return fnmatchcase(name, part) and (hidden or part.startswith(HIDDEN) or not name.startswith(HIDDEN))


def _lead(parts: tuple[str, ...], names: list[str]) -> bool:
    """Whether a folder of these names is on the way to a pattern's files, or among them."""
    for part, name in zip(parts, names, strict=False):
        if part == ANY_FOLDERS:
            return True
        if not _agree(part, name, hidden=True):
            return False
    return True
