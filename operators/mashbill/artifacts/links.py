"""Files that pass through a stage unchanged: linked where the disk allows it, so that they cost no space."""

import os
import shutil
from pathlib import Path


def link_tree(source: Path, destination: Path) -> None:
    """Make destination hold source's files: hard links, or copies where the file system refuses links."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        place = destination / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)
