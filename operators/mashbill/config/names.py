"""Names that become folders and columns: no two things may share one.

A domain, its quality bins, references and evaluation sets are folders beside one another in the artifacts and
columns of one table; mixtures are folders of models. Two that are spelt alike but for case are one folder on
a disk that knows no case, so they count as one everywhere.
"""

from collections.abc import Iterable, Sequence

COLUMNS = ("index", "phase", "share", "step", "tokens", "mixture")
"""Columns of the tables of mixtures and losses beside those of the sets."""


def refuse_shared_names(named: Iterable[tuple[str, str]]) -> None:
    """Refuse two things of one name.

    Args:
        named: each thing's name, and what it is: the setting that names it, or what its name is made from.
    Raises:
        ValueError: two share one.
    """
    seen: dict[str, tuple[str, str]] = {}
    for name, thing in named:
        other, first = seen.setdefault(name.casefold(), (name, thing))
        if first == thing:
            continue
        alike = f"{name!r}" if name == other else f"{name!r}, which but for case is {other!r}"
        raise ValueError(f"{thing} has the name {alike}, and so has {first}; rename one of them")


def refuse_columns(named: Iterable[tuple[str, str]]) -> None:
    """Refuse a set with the name of a column that is there already.

    Raises:
        ValueError: one has it.
    """
    for name, thing in named:
        if name in COLUMNS:
            raise ValueError(
                f"{thing} has the name {name!r}, which tables of mixtures and losses give another column; "
                "rename it"
            )


def refuse_repeated(setting: str, names: Sequence[str]) -> None:
    """Refuse a list that names a thing twice.

    Raises:
        ValueError: it does.
    """
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"{setting} names {twice[0]!r} twice; name it once")
