"""Keys that stay under their root: no way up out of it, and none round it by a symbolic link; and names of
copies, which a disk takes."""

from pathlib import Path

from mashbill.errors import DataError

MEND = "name what lies under it"
LONGEST_NAME = 200  # bytes of the name of a copy: a key may be longer than a disk's names


def checked_key(key: str) -> str:
    """A key as it is, where it names something under a root.

    Raises:
        ValueError: a part of it is empty, ``.`` or ``..``, or a character is a control character or a
            backslash.
    """
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise ValueError(f"{key!r:.200} is no path under a root")
    if any(_is_odd(character) for character in key):
        raise ValueError(f"{key!r:.200} holds a character that no path under a root has")
    return key


def inside(root: Path, key: str) -> Path:
    """The path of a key under a folder, where it lies there and not elsewhere by a symbolic link.

    Raises:
        DataError: it does not.
    """
    path = root / key
    try:
        checked_key(key)
    except ValueError as error:
        raise DataError(f"{root}/{key}", f"leaves {root} ({error})", MEND) from error
    whole = path.resolve()
    if not whole.is_relative_to(root.resolve()):
        what = f"is a symbolic link to {whole}, outside {root}"
        raise DataError(str(path), what, "put the files themselves there")
    return path


def copy_name(name: str) -> str:
    """What a copy of an object is called on a disk, given the last part of its key: the end of that, with a
    mark for each character that no path here has."""
    kept = name.encode()[-LONGEST_NAME:].decode(errors="ignore")
    return "".join("_" if _is_odd(character) else character for character in kept)


def _is_odd(character: str) -> bool:
    return character == "\\" or character < " "
