"""Amounts in a person's words: counts, bytes, durations, FLOPs, rates."""

UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
MINUTE, HOUR, DAY = 60, 3600, 86_400


def count(number: float) -> str:
    """A whole number, with commas from 10,000 on: ``1200``, ``48,000``."""
    return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:.0f}"


def short(number: float) -> str:
    """Three figures and a unit: ``412k``, ``1.10B``."""
    for size, unit in UNITS:
        if abs(number) >= size * 0.9995:
            return f"{_three(number / size)}{unit}"
    return _three(number) if number % 1 else f"{number:.0f}"


def size(number: float) -> str:
    """Bytes in decimal units: ``17.6 GB``."""
    for unit_size, unit in BYTE_UNITS:
        if abs(number) >= unit_size * 0.9995:
            return f"{_three(number / unit_size)} {unit}"
    return f"{number:.0f} bytes"


def flops(number: float) -> str:
    """Floating-point operations: ``1.83e20 FLOP``."""
    mantissa, _, exponent = f"{number:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)} FLOP"


def duration(seconds: float) -> str:
    """A length of time by its two largest units: ``15 h 20 min``, ``3 d 4 h``, ``40 s``."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return _two(whole, ("min", MINUTE), ("s", 1))
    if whole < DAY:
        return _two(whole, ("h", HOUR), ("min", MINUTE))
    return _two(whole, ("d", DAY), ("h", HOUR))


def rate(number: float) -> str:
    """A learning rate: ``1.06e-3``."""
    if number == 0:
        return "0"
    digits, _, power = f"{number:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def _two(whole: int, larger: tuple[str, int], smaller: tuple[str, int]) -> str:
    major, minor = divmod(round(whole / smaller[1]), larger[1] // smaller[1])
    return f"{major} {larger[0]}" + (f" {minor} {smaller[0]}" if minor else "")


def _three(number: float) -> str:
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}"
