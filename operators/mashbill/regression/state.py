"""What a fitted thing is, as a file: arrays, and values that JSON holds, each by its name.

The file is a safetensors file, the values in its header. Reading one runs nothing that it says, whoever wrote
it, which could not be said of a pickle.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

State = dict[str, Any]
"""NumPy arrays and JSON values by name; names of what lies within another start with its name and a dot."""
VALUES = "values"  # key of the header that holds what is no array


def within(name: str, state: State) -> State:
    """A state under a name, as part of a larger one."""
    return {f"{name}.{key}": value for key, value in state.items()}


def part_of(state: State, name: str) -> State:
    """What lies under a name."""
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}


def write_state(path: Path, state: State) -> None:
    """Write a state.

    Raises:
        TypeError: a value is neither an array of numbers nor JSON's.
    """
    from safetensors.numpy import save_file

    arrays = {key: np.ascontiguousarray(v) for key, v in state.items() if isinstance(v, np.ndarray)}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{key} is an array of {array.dtype}, and not of numbers")
    values = json.dumps({key: value for key, value in state.items() if key not in arrays})
    save_file(arrays, path, metadata={VALUES: values})


def read_state(path: Path) -> State:
    """Read a state; its arrays are the reader's own.

    Raises:
        OSError, ValueError: the file is missing, or holds no state.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {key: np.array(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118  (no mapping)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    values = json.loads(header[VALUES]) if VALUES in header else None
    if not isinstance(values, dict):
        raise ValueError("its header holds no values")
    return {**values, **arrays}
