"""What parts of a stage are called where people read it: "proxies 0-15", not the names of four groups."""

from collections.abc import Sequence


def part_label(names: Sequence[str]) -> str:
    """Neighbouring parts in a few words.

    Args:
        names: of parts, in their order; at least one.
    """
    from mashbill.proxies.group import GROUP, group_rows

    if all(name.startswith(GROUP) for name in names):
        first, last = group_rows(names[0]), group_rows(names[-1])
        one = first[0] == last[-1]
        return f"proxy {first[0]}" if one else f"proxies {first[0]}-{last[-1]}"
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
