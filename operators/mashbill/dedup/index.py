"""The index of a finished corpus: signatures of what was kept, against which a later corpus is
deduplicated."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts.manifest import MANIFEST, Manifest
from mashbill.config import DeduplicationConfig
from mashbill.errors import ConfigError

FOLDER, SETTINGS = "index", "settings.json"
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
    np.save(folder / FOLDER / f"{partition}.npy", signatures)


def signature_files(folder: Path, config: DeduplicationConfig) -> Sequence[Path]:
    """The files of the index of a finished corpus.

    Args:
        folder: a deduplicate artifact.
        config: settings of the corpus that is compared with it.
    Raises:
        ConfigError: there is no index, or it was made with other settings.
    """
    try:
        settings = json.loads((folder / FOLDER / SETTINGS).read_text())
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
    return sorted((folder / FOLDER).glob("*.npy"))


def identity_of(folder: Path) -> list[list[Any]]:
    """A JSON value that changes when an index does.

    By the manifest, where the folder is an artifact: a copy of it is the same index. Else, where the index
    was copied out of one, by its files' sizes and times.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        files = Manifest.model_validate_json(manifest.read_bytes()).files
        return [[entry.path, entry.sha256] for entry in files if entry.path.startswith(f"{FOLDER}/")]
    paths = sorted((folder / FOLDER).iterdir()) if (folder / FOLDER).is_dir() else []
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def _comparable(config: DeduplicationConfig) -> dict[str, int | bool]:
    return {"near": config.near, "ngram": config.ngram, "bands": config.bands, "rows": config.rows}
