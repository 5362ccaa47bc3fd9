"""Which address and which interface of this machine others reach it by."""

import socket
import struct
import sys
import time

ASK_AGAIN_SECONDS = 1.0
SIOCGIFADDR = 0x8915
NAME_BYTES = 15


def address_towards(host: str, port: int, *, patience: float = 0.0) -> str:
    """This machine's address on the way to another; nothing is sent.

    Args:
        host, port: of the other.
        patience: seconds for which a name that nobody knows yet is asked for again: a pod's is known when it
            has its address, and the nodes of a job start when they can.
    Raises:
        OSError: there is no way.
    """
    until = time.monotonic() + patience
    while True:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
                way.connect((host, port))
                return str(way.getsockname()[0])
        except socket.gaierror:
            if time.monotonic() >= until:
                raise
        time.sleep(ASK_AGAIN_SECONDS)


def interface_of(address: str) -> str | None:
    """Name of the interface that has an address; None where none has, or it cannot be known here."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:NAME_BYTES])
            try:
                answer = fcntl.ioctl(asked.fileno(), SIOCGIFADDR, request)
            except OSError:  # an interface without an address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
