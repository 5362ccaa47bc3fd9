"""A few megabytes of real text that an installed environment already carries, as four domains and a reference
set.

    python examples/smoke_text.py --output .demo/smoke/text

Python's own modules, the descriptions and the licences of installed packages, and their type stubs and
templates are the domains; Python's language reference (``pydoc_data.topics``) is the reference.
"""

import argparse
import json
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

MAX_DOMAIN_BYTES = 1_500_000


def modules() -> Iterator[tuple[str, str]]:
    """Sources of the standard library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted([*library.glob("*.py"), *library.glob("asyncio/*.py"), *library.glob("email/*.py")]):
        yield path.name, path.read_text(encoding="utf-8", errors="replace")


def descriptions() -> Iterator[tuple[str, str]]:
    """What packages say of themselves, in paragraphs."""
    for package in _packages():
        text = package.metadata.get_payload() or package.metadata.get("Description") or ""
        for i, part in enumerate(str(text).split("\n## ")):
            yield f"{package.name}-{i}", part


def licenses() -> Iterator[tuple[str, str]]:
    """Licence files of packages: many are copies of one another."""
    for package in _packages():
        for file in package.files or ():
            if "licen" in file.name.lower() and file.suffix in ("", ".txt", ".md", ".rst"):
                path = Path(str(file.locate()))
                if path.is_file():
                    yield f"{package.name}/{file}", path.read_text(encoding="utf-8", errors="replace")


def stubs() -> Iterator[tuple[str, str]]:
    """Type stubs of packages."""
    for package in _packages():
        for file in package.files or ():
            if file.suffix == ".pyi" and "torch" not in str(file):
                path = Path(str(file.locate()))
                if path.is_file():
                    yield f"{package.name}/{file}", path.read_text(encoding="utf-8", errors="replace")


def language_reference() -> Iterator[tuple[str, str]]:
    """Topics of Python's language reference, in passages of some paragraphs."""
    from pydoc_data.topics import topics

    for name, text in sorted(topics.items()):
        paragraphs = text.split("\n\n")
        for i in range(0, len(paragraphs), 8):
            yield f"{name}-{i}", "\n\n".join(paragraphs[i : i + 8])


def _packages() -> list[Distribution]:
    """Installed packages by name, the first on the path where there are several of a name."""
    first: dict[str, Distribution] = {}
    for package in distributions():
        first.setdefault((package.name or "").lower(), package)
    return [first[name] for name in sorted(first)]


def write(path: Path, documents: Iterator[tuple[str, str]]) -> None:
    """Write documents until the domain is large enough."""
    size = 0
    with path.open("w", encoding="utf-8") as file:
        for identity, text in documents:
            if len(text) >= 100 and size < MAX_DOMAIN_BYTES:
                file.write(json.dumps({"id": identity, "text": text[:20_000]}) + "\n")
                size += min(len(text), 20_000)


def main() -> None:
    """Write the five files, unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(".demo/smoke/text"))
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    sets = {
        "modules": modules,
        "descriptions": descriptions,
        "licenses": licenses,
        "stubs": stubs,
        "reference": language_reference,
    }
    for name, read in sets.items():
        path = output / f"{name}.jsonl"
        if not path.exists():
            temporary = path.with_suffix(".part")
            write(temporary, read())
            temporary.replace(path)


if __name__ == "__main__":
    main()
