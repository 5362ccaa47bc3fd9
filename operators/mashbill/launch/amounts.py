"""Amounts of memory and cores, as Kubernetes writes them, as numbers."""

import re
from types import MappingProxyType

FACTORS = MappingProxyType(
    {
        "m": 1e-3,
        "": 1.0,
        "k": 1e3,
        "M": 1e6,
        "G": 1e9,
        "T": 1e12,
        "Ki": 2.0**10,
        "Mi": 2.0**20,
        "Gi": 2.0**30,
        "Ti": 2.0**40,
    }
)


def number_of(amount: str) -> float:
    """What an amount comes to: bytes of memory, or cores.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", amount)
    if found is None or found[2] not in FACTORS:
        raise ValueError(f"{amount} is no amount")
    return float(found[1]) * FACTORS[found[2]]
