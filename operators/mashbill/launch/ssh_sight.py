"""Which hosts see a path as this machine does: asked by a mark that is put there for the moment, as a folder
of the same name may be another."""

import asyncio
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mashbill.config.launch import SSHConfig
from mashbill.errors import MashbillError
from mashbill.launch.sight import nearest
from mashbill.launch.ssh_host import Host

MARK = ".mashbill-seen-"


def unseen(ssh: SSHConfig, names: Sequence[str], path: Path, *, writes: bool) -> dict[str, str]:
    """What each host lacks of a path, in words; a host that cannot be asked is left out.

    Args:
        ssh: how hosts are reached.
        names: of the hosts, as the config has them.
        path: of this machine.
        writes: whether it is a folder that jobs write, which need not be there yet.
    """
    with _marked(path) if writes else _as_it_is(path) as looked_for:
        asked = json.dumps({"path": str(looked_for), "writes": writes})

        async def ask(name: str) -> tuple[str, str]:
            with suppress(MashbillError):
                return name, json.loads(await Host(name, ssh.python, ssh.identity or "").asked("sees", asked))
            return name, ""

        async def all_hosts() -> list[tuple[str, str]]:
            return list(await asyncio.gather(*map(ask, names)))

        return dict(asyncio.run(all_hosts()))


@contextmanager
def _marked(path: Path) -> Iterator[Path]:
    """A file that nobody else has, in the path or what it would be in, for the time of a block."""
    mark = nearest(path) / f"{MARK}{uuid.uuid4().hex}"
    try:
        mark.touch()
        yield mark
    finally:
        mark.unlink(missing_ok=True)


@contextmanager
def _as_it_is(path: Path) -> Iterator[Path]:
    yield path
