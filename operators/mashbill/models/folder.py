"""A look at a Hugging Face model folder without loading it: that its files are there and whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mashbill.errors import DataError

CONFIG, WEIGHTS, TOKENIZER = "config.json", "*.safetensors", "tokenizer.json"
NEEDED = (CONFIG, TOKENIZER)
MEND = "give a Hugging Face folder with safetensors and a tokenizer.json"
LONGEST_HEAD = 100_000_000


def look_at_model(folder: Path) -> str:
    """What kind of model a folder holds, and how many bytes of weights.

    Raises:
        DataError: a file is missing, or ends before its tensors do.
    """
    for name in NEEDED:
        if not (folder / name).is_file():
            raise DataError(str(folder), f"has no {name}", MEND)
    weights = sorted(folder.glob(WEIGHTS))
    if not weights:
        raise DataError(str(folder), "has no weights in safetensors", MEND)
    for file in weights:
        refuse_cut_short(file)
    kind = read_json(folder / CONFIG).get("model_type", "unnamed")
    return f"a {kind} model, {sum(file.stat().st_size for file in weights):,} bytes of weights"


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object of a model's folder.

    Raises:
        DataError: the file is none.
    """
    return _json(path, path.read_bytes())


def refuse_cut_short(path: Path) -> None:
    """Compare a safetensors file's length with what its head says.

    Raises:
        DataError: it ends before.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEAD):
            raise DataError(str(path), "ends before its head does", "copy it again")
        tensors = _json(path, file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) > size:
        raise DataError(str(path), "ends before its tensors do", "copy it again; it was cut short on its way")


def _json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
        if isinstance(found, dict):
            return found
    except ValueError:
        pass
    raise DataError(str(path), "is no JSON object", "copy it again")
