"""Amounts as Kubernetes writes them: 500m, 16, 64Gi."""

from decimal import Decimal

BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)},
}


def amount(quantity: str | float) -> Decimal:
    """What a quantity is, in its unit: cores, bytes, pieces.

    Raises:
        ValueError: it is none.
    """
    text = str(quantity)
    number = text.rstrip("KMGTPEinumk")
    suffix = text[len(number) :]
    scale = BINARY.get(suffix) or DECIMAL.get(suffix)
    if scale is None:
        raise ValueError(f"{text} is no quantity")
    return Decimal(number) * scale
