"""Why a host is not reached by SSH, in one line: what only a person can mend, told from a host that is away.

Host keys, rights and keys of the user's are for a person; a host that does not answer, or has too many at its
door, may answer the next try.
"""

from contextlib import suppress
from pathlib import Path

from mashbill.errors import ConfigError, MashbillError, RunError, one_line
from mashbill.launch.unreached import unreached

KNOWN_HOSTS = "~/.ssh/known_hosts"


def refusal(
    error: BaseException, name: str, *, machine: str, port: int | None, identity: str
) -> MashbillError:
    """Why a host is not reached.

    Args:
        error: what asyncssh raised.
        name: of the host, as it was given.
        machine, port: as they were found in it.
        identity: the private key that was given; empty where none was.
    """
    import asyncssh

    where = f"host {name}"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _unknown(where, machine, port)
    if isinstance(error, asyncssh.PermissionDenied):
        what = f"does not let this user in ({one_line(error)})"
        return ConfigError(where, what, "add the key there, or set ssh.identity")
    if isinstance(error, asyncssh.KeyExchangeFailed | asyncssh.ProtocolNotSupported):
        what = f"has no way to encrypt in common with this machine ({one_line(error)})"
        return ConfigError(where, what, "set Ciphers, KexAlgorithms and HostKeyAlgorithms in ~/.ssh/config")
    if isinstance(error, asyncssh.IllegalUserName):
        return ConfigError(where, f"has no such user ({one_line(error)})", "correct ssh.hosts")
    if isinstance(error, asyncssh.ConfigParseError):
        return ConfigError("~/.ssh/config", f"cannot be read ({one_line(error)})", "mend it")
    return _of_a_file(error, where, identity) or _away(error, where)


def _unknown(where: str, machine: str, port: int | None) -> ConfigError:
    """A host whose key is not known, or is another than the one that is."""
    there = machine if port is None else f"[{machine}]:{port}"
    option = "" if port is None else f"-p {port} "
    if _is_known(machine, port):
        what = f"has another key than {KNOWN_HOSTS} knows: it was made anew, or something stands before it"
        mend = f"ask who made it anew, and forget the old one: ssh-keygen -R '{there}'"
        return ConfigError(where, what, mend)
    mend = f"look at its key and add it: ssh-keyscan {option}{machine} >> {KNOWN_HOSTS}"
    return ConfigError(where, "is not among the known hosts", mend)


def _is_known(machine: str, port: int | None) -> bool:
    """Whether some key of a host is known."""
    import asyncssh

    found: list[object] = []
    with suppress(OSError, ValueError):
        known = asyncssh.read_known_hosts(str(Path(KNOWN_HOSTS).expanduser()))
        found = list(asyncssh.match_known_hosts(known, machine, "", port)[0])
    return bool(found)


def _of_a_file(error: BaseException, where: str, identity: str) -> ConfigError | None:
    """A private key that is not there, or cannot be used."""
    import asyncssh

    if isinstance(error, FileNotFoundError) and identity:
        return ConfigError("ssh.identity", f"{identity} is not there", "name the key")
    if isinstance(error, OSError) and error.filename and not isinstance(error, ConnectionError):
        what = f"{error.filename} cannot be read ({error.strerror})"
        return ConfigError(
            "ssh.identity" if identity else where, what, "mend its permissions, or name another"
        )
    if isinstance(error, asyncssh.KeyImportError):
        what = f"{identity or 'a key of ~/.ssh'} cannot be used ({one_line(error)})"
        return ConfigError("ssh.identity", what, "name a key without a passphrase, or use an agent")
    return None


def _away(error: BaseException, where: str) -> MashbillError:
    found = unreached(error)
    if found.final:
        return ConfigError(where, f"{found.why} ({one_line(error)})", "correct ssh.hosts")
    said = one_line(error) or type(error).__name__
    return RunError(where, f"{found.why} ({said})", found.mend)
