"""A file of an artifact on this machine, with the sum that its manifest has of it.

It is a small value that can be sent to a process or a machine that has the same disk. Whoever opens it there
reads its bytes once to know that they are those that were committed.
"""

from dataclasses import dataclass
from pathlib import Path

from mashbill.storage import damaged, sha256_of


@dataclass(frozen=True)
class SealedFile:
    """A file whose bytes are known.

    Attributes:
        path: where it is.
        sha256: of its bytes, as they were committed.
        artifact: address of what it is a file of, for the error.
    """

    path: str
    sha256: str
    artifact: str

    def opened(self) -> Path:
        """Its path, to be read now.

        Raises:
            DataError: it is gone, or its bytes are others.
        """
        path = Path(self.path)
        try:
            found = sha256_of(path)
        except OSError as error:
            raise damaged(self.path, f"cannot be read ({error.strerror})") from error
        if found != self.sha256:
            what = f"has SHA-256 {found[:12]} where the manifest of {self.artifact} says {self.sha256[:12]}"
            raise damaged(self.path, what)
        return path
