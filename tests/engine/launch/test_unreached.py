"""Why a server is not reached: by real sockets and clients, told by kind and by whether a retry may help."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mashbill.errors import ConfigError, RunError
from mashbill.launch.unreached import Unreached, unreached

Serve = Callable[[socket.socket], None]
DAY = datetime.timedelta(days=1)


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """The port of a server that does so with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    serve(connection)
                except OSError:
                    pass
                finally:
                    connection.close()

        thread = Thread(target=run, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def certificate(folder: Path, *, address: str = "127.0.0.1", ends: datetime.timedelta = DAY) -> Path:
    """A certificate that is its own authority, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 9 * DAY)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{address}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def over_tls(path: Path) -> Serve:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True):
            pass

    return serve


def by_requests(url: str, trusted: str = "") -> Unreached:
    with pytest.raises(requests.RequestException) as raised:
        requests.get(url, timeout=(2, 0.2), verify=trusted or True)
    return unreached(raised.value)


def by_urllib3(url: str, trusted: str = "") -> Unreached:
    pool = urllib3.PoolManager(ca_certs=trusted or None)
    timeout = urllib3.Timeout(connect=2, read=0.2)
    with pytest.raises(urllib3.exceptions.HTTPError) as raised:
        pool.request("GET", url, timeout=timeout, retries=False)
    return unreached(raised.value)


def by_asyncio(url: str, trusted: str = "") -> Unreached:
    parts = urllib3.util.parse_url(url)

    async def ask() -> bytes:
        context = ssl.create_default_context(cafile=trusted or None) if parts.scheme == "https" else None
        reader, writer = await asyncio.open_connection(parts.host, parts.port, ssl=context)
        try:
            return await asyncio.wait_for(reader.readexactly(1), 0.2)
        finally:
            writer.transport.abort()

    with pytest.raises((OSError, EOFError)) as raised:
        asyncio.run(ask())
    return unreached(raised.value)


CLIENTS = pytest.mark.parametrize("ask", [by_requests, by_urllib3, by_asyncio])
Ask = Callable[..., Unreached]


@CLIENTS
def test_a_port_where_nothing_listens_and_a_name_that_nobody_knows_may_be_there_later(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = ask(f"http://127.0.0.1:{port}/")
    assert (found.why, found.final) == ("does not answer: nothing listens there", False)
    found = ask("http://no-such-host.invalid:8265/")
    assert ("name" in found.why, found.final) == (True, False)


@CLIENTS
def test_a_server_that_is_silent_or_breaks_off_may_answer_later(ask: Ask) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with serving(silent) as port:
        found = ask(f"http://127.0.0.1:{port}/")
    assert ("in time" in found.why, found.final) == (True, False)
    with serving(lambda connection: None) as port:
        for scheme in ("http", "https"):
            found = ask(f"{scheme}://127.0.0.1:{port}/")
            assert ("breaks" in found.why, found.final) == (True, False), found


@CLIENTS
@pytest.mark.parametrize(
    "of, days, trusted, says",
    [
        ("127.0.0.1", 1, False, "issuer is not trusted"),
        ("127.0.0.1", -1, True, "has expired"),
        ("127.0.0.9", 1, True, "another's certificate"),
    ],
)
def test_a_certificate_that_will_not_do_is_for_a_person(
    ask: Ask, of: str, days: int, trusted: bool, says: str, tmp_path: Path
) -> None:
    path = certificate(tmp_path, address=of, ends=days * DAY)
    with serving(over_tls(path)) as port:
        found = ask(f"https://127.0.0.1:{port}/", str(path) if trusted else "")
    assert (says in found.why, found.final) == (True, True), found


@CLIENTS
def test_a_server_without_tls_that_is_asked_by_it_is_for_a_person(ask: Ask) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(plain) as port:
        found = ask(f"https://127.0.0.1:{port}/")
    assert (found.why, found.final) == ("does not speak TLS", True)


@pytest.mark.parametrize("url", ["http://", "http:///path", "://x"])
def test_what_is_no_address_is_for_a_person(url: str) -> None:
    assert by_requests(url).final


@pytest.mark.parametrize(
    "error, says",
    [
        (OSError(113, "No route to host"), "no way"),
        (OSError(101, "Network is unreachable"), "no way"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] x"), "nothing listens"),
        (OSError(24, "Too many open files"), "no connection left"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "cannot be looked up now"),
        (TimeoutError(), "in time"),
        (Exception("anything"), "does not answer"),
    ],
)
def test_what_the_system_says_is_told_in_words_and_left_for_another_try(error: Exception, says: str) -> None:
    wrapped = RuntimeError("the client's own words")
    wrapped.__cause__ = error
    found = unreached(wrapped)
    assert (says in found.why, found.final) == (True, False)
    assert isinstance(found.error("ray.address", "the cluster", wrapped), RunError)


def test_the_error_names_setting_server_and_mend_in_a_line() -> None:
    told = Unreached("does not speak TLS", "correct https://", final=True).error(
        "kubernetes.context", "the cluster", OSError("wrong\nversion")
    )
    assert isinstance(told, ConfigError)
    assert str(told) == "kubernetes.context: the cluster does not speak TLS (wrong version); correct https://"
