"""The index of a finished corpus: hashes and bands of what was kept, against which a later corpus is deduplicated."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mashbill.config import DeduplicationConfig
from mashbill.errors import ConfigError

FOLDER, SETTINGS, HASHES, BANDS = "index", "settings.json", "hashes.npy", "bands.npy"


@dataclass(frozen=True)
class CorpusIndex:
    """What a finished corpus held.

    Attributes:
        name: the folder it was read from.
        hashes: [documents] uint64 hash of each text.
        bands: [documents, bands] uint64.
    """

    name: str
    hashes: np.ndarray
    bands: np.ndarray


def write_index(folder: Path, hashes: np.ndarray, bands: np.ndarray, config: DeduplicationConfig) -> None:
    """Write the index of a corpus.

    Args:
        folder: folder of the artifact.
        hashes: [kept documents]; bands: [kept documents, bands].
        config: the settings that make bands comparable.
    """
    (folder / FOLDER).mkdir()
    np.save(folder / FOLDER / HASHES, hashes)
    np.save(folder / FOLDER / BANDS, bands)
    (folder / FOLDER / SETTINGS).write_text(json.dumps(_comparable(config)))


def read_index(folder: Path, config: DeduplicationConfig) -> CorpusIndex:
    """The index of a finished corpus, memory-mapped.

    Args:
        folder: a deduplicate artifact.
        config: settings of the corpus that is compared with it.
    Raises:
        ConfigError: there is no index, or it was made with other settings.
    """
    try:
        settings = json.loads((folder / FOLDER / SETTINGS).read_text())
        hashes, bands = (np.load(folder / FOLDER / name, mmap_mode="r") for name in (HASHES, BANDS))
    except (OSError, ValueError) as error:
        raise ConfigError(
            "deduplication.against", f"{folder} holds no index ({error})", "give the folder of a deduplicate artifact"
        ) from error
    for name, value in _comparable(config).items():
        if settings.get(name) != value:
            mend = f"set deduplication.{name} to {settings.get(name)}"
            raise ConfigError("deduplication.against", f"{folder} was made with {name} = {settings.get(name)}, not {value}", mend)
    return CorpusIndex(str(folder), hashes, bands)


def _comparable(config: DeduplicationConfig) -> dict[str, int | bool]:
    return {"near": config.near, "ngram": config.ngram, "bands": config.bands, "rows": config.rows}
