"""The index of a finished corpus: signatures of what was kept, against which a later corpus is
deduplicated."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Artifact, ArtifactStore, Output, Place, SealedFile, file_in, place_at
from mashbill.artifacts.manifest import MANIFEST
from mashbill.config import DeduplicationConfig, PipelineConfig
from mashbill.errors import ConfigError
from mashbill.storage import LOCAL, local_path, open_storage, path_identity, scheme_of, scratch_of

SETTING = "deduplication.against"
FOLDER, SETTINGS = "index", "settings.json"
SUFFIX = ".npy"
IndexFile = SealedFile | Path
"""A file of signatures: of an artifact, by whose manifest it is checked, or of an index kept alone."""
SIGNATURES = 2  # how signatures are made; those of another number cannot be compared


def write_settings(output: Output, config: DeduplicationConfig) -> None:
    """Write what makes the signatures of an index comparable."""
    with output.writing(f"{FOLDER}/{SETTINGS}") as path:
        path.write_text(json.dumps({"signatures": SIGNATURES, **_comparable(config)}))


def write_signatures(output: Output, partition: str, signatures: np.ndarray) -> None:
    """Write the part of an index that one partition gives.

    Args:
        output: of the artifact; partition: a name of its own.
        signatures: [kept documents, 1 + bands] uint64: hash of the text, then its bands.
    """
    name = f"{FOLDER}/{partition}{SUFFIX}"
    with output.writing(name, rows=len(signatures)) as path, path.open("wb") as file:
        np.save(file, signatures)


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


def index_at(config: PipelineConfig, given: str) -> Place:
    """The artifact that has the index of a finished corpus, or a local folder with the index alone.

    Args:
        config: whose root relative paths start from, and whose scratch folder copies go to.
        given: a path or an address.
    Raises:
        ConfigError: there is nothing.
    """
    if _is_remote_artifact(config, given):
        root = given.rstrip("/").rpartition("/")[0]
        return ArtifactStore(root, scratch_of(config)).open(given.rstrip("/"))
    return place_at(local_path(config, SETTING, index_in(given)).parent)


def index_identity(config: PipelineConfig) -> list[list[list[Any]]]:
    """Changes when a finished corpus that is named changes."""
    identities = []
    for given in config.deduplication.against:
        inner = f"{given.rstrip('/')}/{MANIFEST}" if _is_remote_artifact(config, given) else index_in(given)
        identities.append(path_identity(config, SETTING, inner))
    return identities


def _is_remote_artifact(config: PipelineConfig, given: str) -> bool:
    """Whether an address is that of an artifact, whose files its manifest knows."""
    root, _, name = given.rstrip("/").rpartition("/")
    if scheme_of(given) == LOCAL or root.endswith(":/"):
        return False
    return open_storage(root, scratch_of(config)).exists(f"{name}/{MANIFEST}")


def rows_in(file: IndexFile) -> int:
    """How many signatures a file has; it is read where no manifest says so."""
    if isinstance(file, SealedFile):
        return len(read_signatures(file.opened())) if file.rows is None else file.rows
    return len(read_signatures(file))


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
