"""Figures of the structure that hold: what rooms tell one another has a type and one name, and what one reads
at a time is short. A failure names the places."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from builders.checkout import ROOT

PACKAGE = ROOT / "operators" / "mashbill"
FILE_NAME = re.compile(r"[\w*-]+\.(json|csv|parquet|npz|npy|bin|safetensors|joblib|html|log|jsonl)")
SPELT_TWICE = {
    "settings.json": "of an index and of a sweep: two files",
    "tokenizer.json": "Hugging Face's name, in a folder of shards and in a model's",
}
UNTYPED = {
    "config/load.py:parse_overrides": "a config that is not read yet",
    "config/view.py:settings": "a part of a config, for its hash",
    "models/architecture.py:config_of": "Hugging Face's JSON",
    "provider_info.py:get_provider_info": "Airflow's",
}
BY_PLACE = 3
LONGEST_FUNCTION, LONGEST_FILE = 80, 300
CALLED_BY_PLACE = {
    "dedup/deduplicate.py:write_partition": "a partial, mapped over partitions",
    "models/cross_entropy.py:forward": "autograd",
    "stages/elsewhere.py:_order": "a partial, called with an attempt's number and token",
    "stages/local_run.py:_run_part": "a process pool",
}
"""Functions that a library calls, and hands their arguments over by place."""


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Each module's path within the package, and its tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text(encoding="utf-8"))


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Each function's place, as ``room/module.py:name``, and its tree."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.as_posix()}:{node.name}", node


def test_file_names_are_spelt_in_one_room() -> None:
    rooms: dict[str, set[str]] = defaultdict(set)
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and FILE_NAME.fullmatch(str(node.value)):
                rooms[node.value].add(path.parts[0])
    spelt_twice = {name: found for name, found in rooms.items() if len(found) > 1}
    assert len(rooms) > 30
    assert spelt_twice.keys() == SPELT_TWICE.keys(), spelt_twice


def test_public_functions_return_what_has_a_type() -> None:
    untyped = [
        place
        for place, function in functions()
        if not function.name.startswith("_")
        and function.returns
        and ast.unparse(function.returns) == "dict[str, Any]"
    ]
    assert sorted(untyped) == sorted(UNTYPED)


def test_past_the_third_argument_by_name_alone() -> None:
    too_many = [
        place
        for place, function in functions()
        if len(_by_place(function)) > BY_PLACE and not _compiled(function) and not _command(function)
    ]
    assert sorted(too_many) == sorted(CALLED_BY_PLACE)


def test_functions_and_files_are_short_and_say_what_they_are() -> None:
    long = [
        place
        for place, function in functions()
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION
    ]
    large = [
        path.as_posix()
        for path, _ in modules()
        if len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) > LONGEST_FILE
    ]
    silent = [path.as_posix() for path, tree in modules() if not ast.get_docstring(tree)]
    assert not long + large + silent, (long, large, silent)


def _by_place(function: ast.FunctionDef) -> list[ast.arg]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return [argument for argument in arguments if argument.arg not in ("self", "cls")]


def _compiled(function: ast.FunctionDef) -> bool:
    """Whether it is a kernel of numba's, which takes arguments by place."""
    return any("njit" in ast.unparse(decorator) for decorator in function.decorator_list)


def _command(function: ast.FunctionDef) -> bool:
    """Whether it is a command of the shell, whose arguments Typer names."""
    return any("command" in ast.unparse(decorator) for decorator in function.decorator_list) or (
        "Option" in ast.unparse(function.args)
    )
