"""A folder as a bucket: lists, and ranges of bytes sent from the disk as they are, which is as little as a
server can do. It answers what reading sources asks, and nothing else.

    python benchmarks/range_server.py FOLDER PORT
"""

import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LIST = "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>"
ENTRY = '<Contents><Key>{}</Key><Size>{}</Size><ETag>"{}"</ETag></Contents>'


class Handler(BaseHTTPRequestHandler):
    """Answers lists and reads."""

    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_GET(self) -> None:
        """A list, an object, or some of its bytes."""
        asked = urlsplit(self.path)
        key = unquote(asked.path).lstrip("/").partition("/")[2]
        if not key:
            prefix = parse_qs(asked.query).get("prefix", [""])[0]
            files = sorted(path for path in self.folder.rglob("*") if path.is_file())
            named = [(str(path.relative_to(self.folder)), path.stat().st_size) for path in files]
            found = "".join(ENTRY.format(k, size, size) for k, size in named if k.startswith(prefix))
            self._begin(200, len(body := LIST.format(found).encode()))
            self.wfile.write(body)
            return
        with (self.folder / key).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(wanted[1]), min(int(wanted[2]), size - 1)) if wanted else (0, size - 1)
            self._begin(206 if wanted else 200, last + 1 - first, ("ETag", f'"{size}"'))
            self.wfile.flush()
            while first <= last:
                first += os.sendfile(self.connection.fileno(), file.fileno(), first, last + 1 - first)

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _begin(self, status: int, length: int, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(length)), *more):
            self.send_header(name, value)
        self.end_headers()


def main() -> None:
    """Serve until the input ends."""
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
