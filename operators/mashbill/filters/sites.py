"""Sites: how an address and a line of a blocklist name one, spelt one way, so that the two can be compared.

A site is a host in small letters, of a name in another script its ASCII form (RFC 5891), without scheme,
user, port, path or the dot at its end.
"""

import ipaddress
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import idna

from mashbill.errors import ConfigError

ADDRESS = (
    r"(?i)^\s*(?:[a-z][a-z0-9+.\-]*:[/\\]+|[/\\]{2,})?(?:[^/\\?#]*@)?"
    r"(?P<host>\[[^\]/]*\]|[^/\\:?#\s\[\]]+)"
)
"""The host of an address, with a scheme or without, as RE2 and Python read it."""
_READ = re.compile(ADDRESS)
_PLAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_ADBLOCK = re.compile(r"\|\|([^/^$|*]+)\^?(?:\$.*)?")
_REST_OF_LINE = re.compile(r"\s[#;!].*")
_PAGE = re.compile(r"(?::\d*)?/?\Z|[*^]")
SCHEMES = ("http", "https", "ftp")  # after which no host came
COMMENTS = ("#", "!", ";")
LONGEST = 253  # characters of a host
SHOWN, LINE_SHOWN = 3, 60  # lines that are shown, and characters of each
MEND = "give a text file with one site a line, such as bad.example"
log = logging.getLogger(__name__)


def site_of(host: str) -> str | None:
    """The one spelling of a host; None where it is no host.

    Args:
        host: as an address has it, without a port.
    """
    name = unquote(host).strip().lower()
    if name.startswith("["):
        return _numbered(name.strip("[]"))
    if not name.isascii():
        name = _in_ascii(name)
    name = name.rstrip(".")
    is_host = _PLAIN.fullmatch(name) and len(name) <= LONGEST and name not in SCHEMES
    return name if is_host else None


def parts_of(site: str) -> Iterator[str]:
    """A site and those it is part of, by its name."""
    yield site
    if site.startswith("[") or _numbered(site) is not None:
        return
    while "." in site:
        site = site.partition(".")[2]
        yield site


def read_sites(path: Path, setting: str, given: str) -> frozenset[str]:
    """The sites on a list: a site, an address, ``*.site``, ``||site^`` or ``0.0.0.0 site`` a line.

    Args:
        path: the list; lines that begin with ``#``, ``!`` or ``;`` are comments.
        setting: which names it; given: as what. Both are for errors and warnings.
    Raises:
        ConfigError: it cannot be read, or no line can match.
    """
    sites: set[str] = set()
    odd: list[str] = []
    pages: list[str] = []
    tops: list[str] = []
    for number, line in enumerate(_lines(path, setting, given), 1):
        found = sites_of(line)
        sites.update(found or ())
        shown = f"line {number} {line.strip()[:LINE_SHOWN]!r}"
        if found is None:
            odd.append(shown)
        elif found and _names_a_page(line):
            pages.append(shown)
        elif found and found[0].isalpha() and not line.strip().startswith((".", "*.")):
            tops.append(shown)
    if not sites:
        what = f"has no line that can match a site ({_some(odd)})" if odd else "names no site"
        raise ConfigError(setting, f"{given} {what}", MEND)
    of_no_effect = "match no site", MEND
    of_pages = "name a page and block its whole site", "list the site, or leave them out"
    of_tops = "block every site whose name ends so", "write .name if that is meant"
    for lines, (what, mend) in ((odd, of_no_effect), (pages, of_pages), (tops, of_tops)):
        if lines:
            log.warning(
                "%s: %d lines of %s %s (%s); %s", setting, len(lines), given, what, _some(lines), mend
            )
    return frozenset(sites)


def sites_of(line: str) -> tuple[str, ...] | None:
    """The sites that a line of a list names, none where it is a comment; None where it can match nothing."""
    if _PLAIN.fullmatch(line) and not line.startswith("www."):  # as nearly all are
        return (line,) if site_of(line) else None
    line = line.strip()
    if not line or line.startswith(COMMENTS):
        return ()
    first, *more = _REST_OF_LINE.sub("", line).split()
    if more:  # a hosts file, which names this machine too, or no list of sites
        hosts = (site_of(name) for name in more if "." in name)
        return tuple(site for site in hosts if site) if _numbered(first) else None
    blocked = _ADBLOCK.fullmatch(first)
    name = blocked[1] if blocked else first
    if (number := _numbered(name)) is not None:
        return (number,)
    read = _READ.match(name)
    host = read["host"] if read else ""
    site = site_of(host.removeprefix("*.").lstrip("."))
    bare = (site or "").removeprefix("www.")
    site = bare if "." in bare else site
    return (site,) if site else None


def _lines(path: Path, setting: str, given: str) -> list[str]:
    try:
        content = path.read_bytes()
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return content.decode("utf-16" if wide else "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(setting, f"{given} cannot be read ({error})", MEND) from error


def _names_a_page(line: str) -> bool:
    """Whether a line that names a site has a path after it."""
    name = line.split(maxsplit=1)[0]
    read = _READ.match(name)
    return read is not None and _PAGE.match(name[read.end() :]) is None


def _numbered(name: str) -> str | None:
    """The one spelling of an IP address; None where it is none."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return str(address) if address.version == 4 else f"[{address}]"


def _in_ascii(name: str) -> str:
    """The ASCII form of a name in another script; of a label that the standard has none for, punycode."""
    try:
        return idna.encode(name.rstrip(".。．｡"), uts46=True).decode()
    except idna.IDNAError:
        labels = re.split("[.。．｡]", name)
        return ".".join(x if x.isascii() else f"xn--{x.encode('punycode').decode()}" for x in labels)


def _some(lines: list[str]) -> str:
    return ", ".join(lines[:SHOWN]) + ", ..." * (len(lines) > SHOWN)
