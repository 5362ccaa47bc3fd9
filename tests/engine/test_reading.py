"""Nothing that the engine reads can run code: what would let it is found in the source, wherever it is."""

import ast
from collections.abc import Iterator

from builders.checkout import ROOT

PACKAGE = ROOT / "operators" / "mashbill"
RUN_WHAT_THEY_READ = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve", "imp"}
SAFE_YAML = {"yaml.safe_load", "yaml.safe_dump", "yaml.YAMLError"}
"""Plain values alone; what else is of yaml makes objects."""
EXTRACT = {"extractall", "unpack_archive"}
RUN = {"eval", "exec", "compile", "__import__"}
SAFELY = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "AutoModelForCausalLM.from_pretrained": ("use_safetensors", True),
}
"""Calls that are safe with this argument alone."""
IMPORTED_BY_NAME = {
    "alone/work.py": "functions that the table of stages that stand alone names",
    "discovery.py": "modules of our own packages",
    "stages/stage.py": "functions that the table of stages names",
    "launch/registry.py": "backends of our own, by the names that the config knows",
    "launch/child.py": "the module that a process of ours is started with",
}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the module it is in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_no_module_that_runs_what_it_reads_is_imported() -> None:
    imported: set[tuple[str, str]] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {(name.partition(".")[0], path.name) for name in names}
    assert {name for name, _ in imported} >= {"numpy", "safetensors", "json"}
    assert not [place for place in imported if place[0] in RUN_WHAT_THEY_READ]


def test_yaml_is_read_as_plain_values() -> None:
    used = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] != "yaml", path
            if isinstance(node, ast.Import):
                names = [(alias.name, alias.asname) for alias in node.names if alias.name.startswith("yaml")]
                assert names in ([], [("yaml", None)]), path
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml":
                used.add(ast.unparse(node))
    assert used <= SAFE_YAML
    assert "yaml.safe_load" in used


def test_what_loads_loads_data_alone() -> None:
    found: dict[str, int] = dict.fromkeys(SAFELY, 0)
    for place, call in calls():
        name = ast.unparse(call.func)
        assert name not in RUN, f"{place}: {name}"
        assert name.rpartition(".")[2] not in EXTRACT, f"{place}: {name}"
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("trust_remote_code", "False") == "False", place
        assert given.get("shell", "False") == "False", place
        assert given.get("allow_pickle", "False") == "False", place
        if name in SAFELY:
            argument, value = SAFELY[name]
            assert given.get(argument) == str(value), f"{place}: {name} without {argument}={value}"
            found[name] += 1
    assert all(found[name] for name in ("torch.load", "np.load", "AutoModelForCausalLM.from_pretrained"))


def test_modules_are_imported_by_name_in_few_places() -> None:
    by_name = {"import_module", "run_module", "run_path", "spec_from_file_location"}
    places = {place for place, call in calls() if ast.unparse(call.func).rpartition(".")[2] in by_name}
    assert places == set(IMPORTED_BY_NAME)
