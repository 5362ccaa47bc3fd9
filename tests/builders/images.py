"""The images as their Dockerfiles describe them: stages, instructions, and what pip is told to install."""

import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from builders.checkout import ROOT

DOCKER = ROOT / "docker"
IMAGES = ("trainer", "worker")
LOCKS = ("build", "trainer", "trainer-source", "worker")
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) \\\n    --hash=sha256:(?P<sha256>[0-9a-f]{64})\n")


@dataclass
class Stage:
    """A stage of a Dockerfile.

    Attributes:
        base: the image that it begins from, defaults of arguments put in.
        name: what others copy from it by.
        instructions: word and rest of each, in order.
    """

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        """The rests of the instructions of one word."""
        return [rest for found, rest in self.instructions if found == word]

    def commands(self) -> list[list[str]]:
        """What its RUN instructions run, a list of words each."""
        return [
            [word for word in shlex.split(command) if "=" not in word or word.startswith("-")]
            for rest in self.of("RUN")
            for command in rest.split("&&")
        ]


@cache
def stages(image: str) -> tuple[Stage, ...]:
    """The stages of an image, the last of which is what is shipped."""
    text = (DOCKER / f"{image}.Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in lines.replace("\\\n", " ").splitlines():
        word, _, rest = " ".join(line.split()).partition(" ")
        if word == "ARG" and not found:
            name, _, default = rest.partition("=")
            arguments[name] = default.strip('"')
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], base), name))
        elif word:
            found[-1].instructions.append((word, rest))
    return tuple(found)


def pins(lock: str) -> dict[str, tuple[str, str]]:
    """Version and hash by name of what a lock holds; every line must be part of a pin."""
    text = (DOCKER / f"{lock}.lock").read_text(encoding="utf-8")
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    found = {match["name"]: (match["version"], match["sha256"]) for match in PIN.finditer(lines)}
    assert PIN.sub("", lines) == "", lock
    return found


def ignored() -> list[str]:
    """What .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def wheel_of(folder: Path) -> Path:
    """The one wheel of this project in a folder."""
    [found] = folder.glob("airflow_provider_mashbill-*.whl")
    return found
