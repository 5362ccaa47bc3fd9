"""Weights on disk: safetensors, in shards with an index where one file would be too large."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from mashbill.errors import DataError, RunError, one_line
from mashbill.models.folder import MEND, read_json, refuse_cut_short

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MAX_SHARD_BYTES = 5_000_000_000
DTYPES = ("F64", "F32", "F16", "BF16")


def write_weights(
    tensors: Mapping[str, torch.Tensor], folder: Path, *, max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Write tensors by name as transformers does: one file, or shards and an index of them.

    Args:
        tensors: contiguous, on the CPU.
        folder: where.
        max_shard_bytes: bytes of tensors in a file at most; a larger tensor has a file of its own.
    Raises:
        RunError: the disk does not take them.
    """
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    split = split_torch_state_dict_into_shards(dict(tensors), max_shard_size=max_shard_bytes)
    for name, held in split.filename_to_tensors.items():
        try:
            save_file({one: tensors[one] for one in held}, folder / name, metadata={"format": "pt"})
        except SafetensorError as error:
            what = f"cannot be written ({one_line(error)})"
            raise RunError(str(folder / name), what, "free the disk and rerun") from error
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True), encoding="utf-8")


def read_weights(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors by name, one at a time, in fp32.

    Raises:
        DataError: a file is missing or cut short, or holds a tensor that is no number of a known kind.
    """
    from safetensors import safe_open

    for path, wanted in _files(folder):
        refuse_cut_short(path)
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            for name in sorted(names if wanted is None else wanted):
                if name not in names:
                    raise DataError(
                        str(path), f"lacks {name}, which the index says it holds", "copy it again"
                    )
                kind = file.get_slice(name).get_dtype()
                if kind not in DTYPES:
                    what = f"holds {name} as {kind}"
                    raise DataError(str(path), what, "give weights that are not quantised")
                yield name, file.get_tensor(name).float()


def _files(folder: Path) -> list[tuple[Path, list[str] | None]]:
    """Files of weights, and which tensors of each; None means all."""
    if (folder / WHOLE).is_file():
        return [(folder / WHOLE, None)]
    if not (folder / INDEX).is_file():
        raise DataError(str(folder), f"has neither {WHOLE} nor {INDEX}", MEND)
    by_name = read_json(folder / INDEX).get("weight_map")
    if not isinstance(by_name, dict) or not by_name:
        raise DataError(str(folder / INDEX), "has no weight_map", "copy it again")
    for name in sorted({str(name) for name in by_name.values()}):
        if Path(name).name != name or not (folder / name).is_file():
            raise DataError(str(folder / INDEX), f"names {name}, which is not beside it", "copy all files")
    names = sorted(set(by_name.values()))
    return [(folder / name, [one for one, at in by_name.items() if at == name]) for name in names]
