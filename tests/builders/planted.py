"""Files that someone else put where ours are read: a pickle that runs code when it is opened, and an archive
of NumPy that holds one."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np


class Touching:
    """Pickled, it is a call that makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def malicious_pickle(mark: Path) -> bytes:
    """A pickle that makes the file ``mark`` when it is loaded."""
    return pickle.dumps(Touching(mark))


def write_malicious_npz(path: Path, mark: Path) -> None:
    """An archive of NumPy with an array of objects, which makes the file ``mark`` when it is loaded."""
    with path.open("wb") as file:
        np.savez(file, weights=np.array([Touching(mark)], dtype=object))


def write_malicious_npy(path: Path, mark: Path) -> None:
    """An array of objects, which makes the file ``mark`` when it is loaded."""
    with path.open("wb") as file:
        np.save(file, np.array([Touching(mark)], dtype=object))
