"""Hosts that answer by SSH: servers on loopback addresses of this machine, each a process with a home of its
own, that run what they are asked to as processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

DROP, USER = "drop", "me"


@dataclass
class SSHHost:
    """A host.

    Attributes:
        name: user@address:port.
        home: the home of its user, whose ``authorized_keys`` are those that it lets in.
        key: its public key.
        server: the process that serves it.
    """

    name: str
    home: Path
    key: str
    server: "subprocess.Popen[str]"

    def drop(self) -> None:
        """Break all connections off, and take new ones."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(f"{DROP}\n")
        self.server.stdin.flush()
        assert self.server.stdout.readline().strip() == DROP

    def close(self) -> None:
        """Answer nobody any more; what was started goes on."""
        self.server.kill()
        self.server.communicate()


@contextmanager
def ssh_hosts(folder: Path, many: int, environment: dict[str, str]) -> Iterator[list[SSHHost]]:
    """So many hosts, and a user's home ``folder/me`` with a key that they let in, and theirs known.

    Args:
        folder: of all homes.
        many: how many.
        environment: variables of what they run, beside HOME.
    """
    mine, key = folder / "me" / ".ssh", asyncssh.generate_private_key("ssh-ed25519")
    mine.mkdir(parents=True, mode=0o700)
    key.write_private_key(mine / "id_ed25519")
    (mine / "id_ed25519").chmod(0o600)
    hosts: list[SSHHost] = []
    try:
        for number in range(many):
            home, address = folder / f"host-{number}", f"127.0.1.{number + 1}"
            home.mkdir()
            (home / "authorized_keys").write_bytes(key.export_public_key())
            server = subprocess.Popen(
                [sys.executable, __file__, address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=home,
                env={**os.environ, **environment, "HOME": str(home)},
            )
            assert server.stdout is not None
            port, _, public = server.stdout.readline().strip().partition(" ")
            hosts.append(SSHHost(f"{USER}@{address}:{port}", home, public, server))
        lines = [
            f"[{host.name[3:].partition(':')[0]}]:{host.name.rpartition(':')[2]} {host.key}\n"
            for host in hosts
        ]
        (mine / "known_hosts").write_text("".join(lines))
        yield hosts
    finally:
        for host in hosts:
            host.close()


async def _run(process: Any) -> None:
    if process.get_extra_info("username") != USER:
        process.stderr.write("this account is nobody's\n")
        process.exit(1)
        return
    child = subprocess.Popen(
        process.command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    await process.stdout.drain()
    process.exit(await asyncio.to_thread(child.wait))


async def _serve(address: str) -> None:
    """Serve until killed: says its port and key, and breaks connections off when it is told."""
    own, connections = asyncssh.generate_private_key("ssh-ed25519"), set[Any]()

    class Door(asyncssh.SSHServer):
        def connection_made(self, conn: Any) -> None:
            self.connection = conn
            connections.add(conn)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.discard(self.connection)

    listening = await asyncssh.listen(
        address,
        0,
        server_host_keys=[own],
        authorized_client_keys="authorized_keys",
        process_factory=_run,
        server_factory=Door,
    )
    print(listening.get_port(), own.export_public_key().decode(), end="", flush=True)
    while (await asyncio.to_thread(sys.stdin.readline)).strip() == DROP:
        for connection in list(connections):
            connection.abort()
        print(DROP, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
