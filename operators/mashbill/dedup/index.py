"""The index of a finished corpus: signatures of what was kept, against which a later corpus is
deduplicated."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact, Place, SealedFile, file_in
from mashbill.config import DeduplicationConfig
from mashbill.errors import ConfigError

FOLDER, SETTINGS = "index", "settings.json"
SUFFIX = ".npy"
IndexFile = SealedFile | Path
"""A file of signatures: of an artifact, by whose manifest it is checked, or of an index kept alone."""
SIGNATURES = 2  # how signatures are made; those of another number cannot be compared


def write_settings(folder: Path, config: DeduplicationConfig) -> None:
    """Write what makes the signatures of an index comparable."""
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / SETTINGS).write_text(json.dumps({"signatures": SIGNATURES, **_comparable(config)}))


def write_signatures(folder: Path, partition: str, signatures: np.ndarray) -> None:
    """Write the part of an index that one partition gives.

    Args:
        folder: of the artifact; partition: a name of its own.
        signatures: [kept documents, 1 + bands] uint64: hash of the text, then its bands.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    np.save(folder / FOLDER / f"{partition}{SUFFIX}", signatures)


def index_in(given: str) -> str:
    """The path or address of the index in that of a deduplicate artifact."""
    return f"{given.rstrip('/')}/{FOLDER}"


def read_signatures(path: Path) -> np.ndarray:
    """[documents, 1 + bands] uint64, mapped from disk.

    Raises:
        ConfigError: the file holds no such array.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        what, mend = f"{path} holds no signatures ({error})", "deduplicate that corpus again"
        raise ConfigError("deduplication.against", what, mend) from error


def signature_files(place: Place, config: DeduplicationConfig) -> Sequence[IndexFile]:
    """The files of the index of a finished corpus.

    Args:
        place: a deduplicate artifact, or a folder with its index alone.
        config: settings of the corpus that is compared with it.
    Raises:
        ConfigError: there is no index, or it was made with other settings.
    """
    folder = place.address if isinstance(place, Artifact) else place
    try:
        settings = json.loads(file_in(place, f"{FOLDER}/{SETTINGS}").read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            "deduplication.against",
            f"{folder} holds no index ({error})",
            "give the folder of a deduplicate artifact",
        ) from error
    if settings.pop("signatures", None) != SIGNATURES:
        what = f"{folder} was made by a version of mashbill with other signatures"
        raise ConfigError("deduplication.against", what, "deduplicate that corpus again")
    for name, value in _comparable(config).items():
        if settings.get(name) != value:
            mend = f"set deduplication.{name} to {settings.get(name)}"
            raise ConfigError(
                "deduplication.against",
                f"{folder} was made with {name} = {settings.get(name)}, not {value}",
                mend,
            )
    if isinstance(place, Artifact):
        return [place.sealed(name) for name in sorted(place.names(FOLDER)) if name.endswith(SUFFIX)]
    return sorted((place / FOLDER).glob(f"*{SUFFIX}"))


def _comparable(config: DeduplicationConfig) -> dict[str, int | bool]:
    return {"near": config.near, "ngram": config.ngram, "bands": config.bands, "rows": config.rows}
