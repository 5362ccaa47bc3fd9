"""A network between a client and a server of S3 that refuses, delays and cuts answers off in the middle, as
it is told to, or at random from a seed."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KINDS = ("list", "get", "head", "put", "copy", "delete", "multipart")
ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>{}</Message></Error>"
DROPPED = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"})


@dataclass(frozen=True)
class Refused:
    """An error in place of what was asked for, which is not done."""

    status: int = 503
    code: str = "SlowDown"


@dataclass(frozen=True)
class Cut:
    """What was asked for is done, and of the answer's body this share comes; None cuts before its head."""

    share: float | None = 0.5


@dataclass(frozen=True)
class Late:
    """What was asked for, later."""

    seconds: float


@dataclass(frozen=True)
class Held:
    """An answer that is good, and says of each object to be removed that it could not be."""

    code: str = "InternalError"


@dataclass(frozen=True)
class Gone:
    """Nothing: the connection ends, and what was asked for is not done."""


Fault = Refused | Cut | Late | Held | Gone
Faults = Callable[[str, str], Fault | None]
"""The fault of a request, given its kind and the path that it is about, or None."""


@dataclass
class Proxy:
    """A server before a server.

    Attributes:
        address: its own.
        behind: host and port of the one that answers.
        faults: what happens to a request.
        asked: requests by kind.
        met: faults by kind of request and of fault.
    """

    address: str
    behind: str
    faults: Faults
    asked: Counter[str] = field(default_factory=Counter)
    met: Counter[tuple[str, str]] = field(default_factory=Counter)


def at_random(seed: int, share: float, *, longest_seconds: float = 0.005) -> Faults:
    """Faults of all kinds in a share of the requests."""
    dice, lock = random.Random(seed), threading.Lock()

    def fault(kind: str, _: str) -> Fault | None:
        with lock:
            if dice.random() >= share:
                return None
            kinds: list[Fault] = [Refused(), Refused(500, "InternalError"), Cut(None), Cut(0.0)]
            kinds += [Cut(dice.random()), Late(dice.uniform(0, longest_seconds))]
            if kind == "delete":
                kinds.append(Held())
            return dice.choice(kinds)

    return fault


def denied(*kinds: str, under: str = "") -> Faults:
    """A right that is missing for some kinds of requests, to keys that hold a word."""
    return lambda kind, path: Refused(403, "AccessDenied") if kind in kinds and under in path else None


def kind_of(method: str, target: str, headers: Mapping[str, str]) -> str:
    """What a request asks for."""
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    if {"uploads", "uploadId"} & query.keys():
        return "multipart"
    if method == "PUT":
        return "copy" if "x-amz-copy-source" in {name.lower() for name in headers} else "put"
    if method == "DELETE" or "delete" in query:
        return "delete"
    if method == "HEAD":
        return "head"
    return "list" if "list-type" in query else "get"


@contextmanager
def proxied(endpoint: str, faults: Faults, at: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Proxy]:
    """A proxy before a server, for the time of the block."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(at, Handler)
    host, port = server.server_address[:2]
    proxy = Proxy(f"http://{host!s}:{port}", urlsplit(endpoint).netloc, faults)
    Handler.proxy = proxy
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy

    def _pass(self) -> None:
        kind = kind_of(self.command, self.path, dict(self.headers))
        body = self._body()
        about = self.path + body.decode() if kind == "delete" else self.path  # which has no key in its path
        fault = self.proxy.faults(kind, about)
        self.proxy.asked[kind] += 1
        if fault is not None:
            self.proxy.met[kind, type(fault).__name__] += 1
        if isinstance(fault, Gone):
            self.close_connection = True
            return
        if isinstance(fault, Refused):
            words = ERROR.format(fault.code, "it is refused").encode()
            self._answer(fault.status, {"Content-Type": "application/xml"}, words)
            return
        if isinstance(fault, Late):
            time.sleep(fault.seconds)
        if isinstance(fault, Held):
            self._answer(200, {"Content-Type": "application/xml"}, _held(body, fault.code))
            return
        status, headers, answer = self._asked(body)
        share = fault.share if isinstance(fault, Cut) else 1.0
        self._answer(status, headers, answer, share=share)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return found

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        headers |= {"Content-Length": str(len(body))}
        headers.pop("Expect", None)
        connection = http.client.HTTPConnection(self.proxy.behind, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            length = {"Content-Length": answer.headers["Content-Length"]} if self.command == "HEAD" else {}
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in DROPPED}
            return answer.status, {**kept, **{k: v for k, v in length.items() if v}}, answer.read()
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: Mapping[str, str], body: bytes, *, share: float | None = 1.0
    ) -> None:
        if share is None:
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: int(len(body) * share)])
        self.close_connection = share < 1

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


def _held(body: bytes, code: str) -> bytes:
    """An answer to a request that removes several, of which none is."""
    keys = [part.partition(b"</Key>")[0].decode() for part in body.split(b"<Key>")[1:]]
    each = "<Error><Key>{}</Key><Code>{}</Code><Message>later</Message></Error>"
    errors = "".join(each.format(key, code) for key in keys)
    return f"<?xml version='1.0' encoding='UTF-8'?><DeleteResult>{errors}</DeleteResult>".encode()
