"""Why a server is not reached, and whether asking again may help: told by the kind of error beneath what a
client raises, whichever client it is.

A name that nobody knows is none of the user's faults for certain, as names of services come and go with
clusters and with tunnels; a certificate that is not trusted is one that only a person can mend.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from mashbill.errors import ConfigError, MashbillError, RunError, one_line

EXPIRED, NOT_YET, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64
"""What OpenSSL finds of a certificate, as against one whose issuer it does not know."""
NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EPERM})
FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS})
_NUMBER = re.compile(r"\[Errno (\d+)\]")
_NO_ADDRESS = frozenset({"InvalidURL", "MissingSchema", "InvalidSchema", "LocationParseError"})
_CUT = frozenset(
    {"RemoteDisconnected", "ProtocolError", "IncompleteRead", "ServerDisconnectedError", "ConnectionLost"}
)
_LATE = frozenset({"ConnectTimeoutError", "ReadTimeoutError", "ConnectTimeout", "ReadTimeout"})
_PROXY = frozenset({"ProxyError", "ClientHttpProxyError"})
_OUR_FILES = ("PEM_LIB", "NO_START_LINE", "KEY_VALUES_MISMATCH", "BAD_BASE64_DECODE", "NO_CERTIFICATE")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG")
_NOT_OURS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
_NONE_IN_COMMON = ("HANDSHAKE_FAILURE", "PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS")


@dataclass(frozen=True)
class Unreached:
    """Why a server is not reached.

    Attributes:
        why: in a few words, which go on after what the server is called.
        mend: what the user can do.
        final: whether asking again cannot help.
    """

    why: str
    mend: str
    final: bool = False

    def error(self, where: str, server: str, said: BaseException) -> MashbillError:
        """The failure in words.

        Args:
            where: the setting that names the server.
            server: what it is called.
            said: what the client raised.
        """
        words = one_line(said, 160)
        return (ConfigError if self.final else RunError)(where, f"{server} {self.why} ({words})", self.mend)


def unreached(error: BaseException) -> Unreached:
    """Why a server was not reached, by all that stands behind what its client raised."""
    chain = list(_behind(error))
    for look in _LOOKS:
        for one in chain:
            found = look(one)
            if found is not None:
                return found
    return Unreached("does not answer", "mend it or the way to it, and try again")


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was made of, the nearest first."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        beneath = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        waiting += [each for each in beneath if isinstance(each, BaseException)]


def _of_tls(error: BaseException) -> Unreached | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    if not isinstance(error, ssl.SSLError):
        return None
    reason = str(error.reason or "").upper()
    if any(word in reason for word in _OUR_FILES):
        return Unreached(
            "cannot be asked with this certificate", "mend the certificate and key that it is given", True
        )
    if any(word in reason for word in _NO_TLS):
        return Unreached("does not speak TLS", "correct https:// or the port", True)
    if "ALERT" in reason and any(word in reason for word in _NOT_OURS):
        return Unreached("refuses this client's certificate", "log in anew, or renew the certificate", True)
    if any(word in reason for word in _NONE_IN_COMMON):
        return Unreached(
            "has no version of TLS in common with this machine", "correct https:// or the port", True
        )
    return Unreached("breaks off as TLS begins", "mend it or the way to it, and try again")


def _of_certificate(error: ssl.SSLCertVerificationError) -> Unreached:
    if error.verify_code == EXPIRED:
        return Unreached("has a certificate that has expired", "renew it, or set this machine's clock", True)
    if error.verify_code == NOT_YET:
        return Unreached("has a certificate of a later time", "set this machine's clock", True)
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return Unreached("has another's certificate", "name it as its certificate does", True)
    return Unreached(
        "has a certificate whose issuer is not trusted here", "give the certificate of its issuer", True
    )


def _of_name(error: BaseException) -> Unreached | None:
    if not isinstance(error, socket.gaierror):
        return None
    if error.errno == socket.EAI_AGAIN:
        return Unreached("has a name that cannot be looked up now", "mend DNS or the network, and try again")
    return Unreached("has a name that DNS does not know", "correct the name, or mend DNS or the way to it")


def _of_address(error: BaseException) -> Unreached | None:
    if type(error).__name__ in _NO_ADDRESS or isinstance(error, UnicodeError):
        return Unreached("is no address", "write http:// or https://, host and port", True)
    of_a_file = isinstance(error, OSError) and (error.filename or "TLS CA certificate" in str(error))
    if of_a_file and not isinstance(error, ConnectionError):
        return Unreached("is asked with a file that cannot be read", "mend the path of the file", True)
    return None


def _of_proxy(error: BaseException) -> Unreached | None:
    if type(error).__name__ not in _PROXY:
        return None
    final = any(code in str(error) for code in (" 403 ", " 407 "))
    return Unreached(
        "is not reached through the proxy", "mend HTTPS_PROXY, or name the server in NO_PROXY", final
    )


def _of_connection(error: BaseException) -> Unreached | None:
    numbers = _numbers(error)
    if errno.ECONNREFUSED in numbers:
        return Unreached("does not answer: nothing listens there", "start it, or correct the address")
    if numbers & NO_WAY:
        return Unreached("does not answer: there is no way to it", "mend the network or the tunnel to it")
    if numbers & FULL:
        return Unreached("cannot be asked: this machine has no connection left", "free some, and try again")
    return None


def _of_patience(error: BaseException) -> Unreached | None:
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name in _LATE or errno.ETIMEDOUT in _numbers(error):
        return Unreached("does not answer in time", "mend it, or the network between, and try again")
    return None


def _of_breaks(error: BaseException) -> Unreached | None:
    if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError | EOFError) or (
        type(error).__name__ in _CUT
    ):
        return Unreached("breaks the connection off", "mend it or what stands before it, and try again")
    return None


def _numbers(error: BaseException) -> set[int]:
    """The system's numbers of an error, of which one that was made of several has none of its own."""
    if not isinstance(error, OSError):
        return set()
    return {error.errno} if error.errno else {int(number) for number in _NUMBER.findall(str(error))}


_LOOKS = (_of_tls, _of_name, _of_address, _of_proxy, _of_connection, _of_patience, _of_breaks)
"""What tells most comes first: a time-out or a break is also said of what had another cause."""
