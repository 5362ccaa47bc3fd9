"""Ports of a pod's own: what listens on every address listens on the pod's alone; all share one network.

A library that is loaded before a pod's own ones does so for every program that is linked to the C library.
Where there is no compiler there is none of it, and two pods cannot listen on the same port.
"""

import functools
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from builders.checkout import ROOT

FOLDER = ROOT / ".demo" / "tools" / "listening"
"""Where the library is, which pods have to see."""
ADDRESS = "CLUSTER_POD_ADDRESS"
SOURCE = """
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int bind(int socket, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    const char *own = getenv("CLUSTER_POD_ADDRESS");
    struct in_addr pod;
    if (!own || !address || inet_pton(AF_INET, own, &pod) != 1) return real(socket, address, length);
    if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in changed;
        memcpy(&changed, address, sizeof changed);
        if (changed.sin_addr.s_addr == htonl(INADDR_ANY)) changed.sin_addr = pod;
        return real(socket, (struct sockaddr *)&changed, sizeof changed);
    }
    if (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 changed;
        int only = 0;
        socklen_t size = sizeof only;
        memcpy(&changed, address, sizeof changed);
        getsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size);
        if (!only && IN6_IS_ADDR_UNSPECIFIED(&changed.sin6_addr)) {
            memset(&changed.sin6_addr, 0, 10);
            memset((char *)&changed.sin6_addr + 10, 0xff, 2);
            memcpy((char *)&changed.sin6_addr + 12, &pod, 4);
        }
        return real(socket, (struct sockaddr *)&changed, sizeof changed);
    }
    return real(socket, address, length);
}
"""


def listening_alone(address: str) -> Mapping[str, str]:
    """Variables by which a process listens on one address where it says any."""
    library = _library()
    return {"LD_PRELOAD": str(library), ADDRESS: address} if library else {}


@functools.cache
def _library() -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    library = FOLDER / f"listening-{hashlib.sha256(SOURCE.encode()).hexdigest()[:12]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            made = Path(folder) / "listening.so"
            words = [compiler, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(made), "-ldl"]
            if subprocess.run(words, input=SOURCE.encode(), capture_output=True, check=False).returncode:
                return None
            made.replace(library)
    return library.resolve()
