"""Which address and which interface of this machine others reach it by."""

import socket
import struct
import sys

SIOCGIFADDR = 0x8915
NAME_BYTES = 15


def address_towards(host: str, port: int) -> str:
    """This machine's address on the way to another; nothing is sent.

    Raises:
        OSError: there is no way.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((host, port))
        return str(way.getsockname()[0])


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
