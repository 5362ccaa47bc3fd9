"""The three kinds of failure a user can meet, told apart by who can mend them.

Every message says what is wrong, where, and how to mend it: ``where: what; mend``. The shell prints it as one
line and exits with the class's code; Airflow shows it as the task's failure, and does not retry what only a
person can mend.
"""

from collections.abc import Sequence


class MashbillError(Exception):
    """A failure with a message meant for the user.

    Args:
        where: the file, field, row or column at fault.
        what: what is wrong with it.
        mend: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, mend: str) -> None:
        super().__init__(where, what, mend)
        self.where, self.what, self.mend = where, what, mend

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


class ConfigError(MashbillError):
    """The user's setting is wrong: retrying cannot help."""

    exit_code = 2


class DataError(MashbillError):
    """The user's data is wrong: retrying cannot help."""

    exit_code = 2


class DamagedError(DataError):
    """A file of a result is gone, or holds other bytes than were written: the result can be made again."""


class RunError(MashbillError):
    """The world failed (network, disk, GPU, a killed process): retrying may help."""

    exit_code = 1


class Several(MashbillError):
    """Failures that were found at once, a line each.

    Args:
        found: at least one.
    """

    def __init__(self, found: Sequence[MashbillError]) -> None:
        super().__init__(found[0].where, found[0].what, found[0].mend)
        self.args, self.found = (found,), tuple(found)

    def __str__(self) -> str:
        return "\n".join(map(str, self.found))


class Problems(Several, ConfigError):
    """Several failures, one at least of which only a person can mend."""


class Outages(Several, RunError):
    """Several failures of the world, of which retrying may mend each."""


def all_of(found: Sequence[MashbillError]) -> MashbillError:
    """Failures, at least one, that were found at once, as one; a retry may help where it may help each."""
    each = [one for error in found for one in (error.found if isinstance(error, Several) else (error,))]
    if len(each) == 1:
        return each[0]
    return Outages(each) if all(isinstance(one, RunError) for one in each) else Problems(each)


def within(where: str, error: MashbillError) -> MashbillError:
    """The same failure, with what it is a failure of before its place."""
    if isinstance(error, Several):
        return type(error)([within(where, one) for one in error.found])
    return type(error)(f"{where}: {error.where}", error.what, error.mend)


def one_line(error: BaseException, longest: int = 200) -> str:
    """What a library's error says, on one line."""
    return line_of(str(error), longest) or type(error).__name__


def line_of(text: str, longest: int = 200) -> str:
    """A text on one line; empty where it says nothing."""
    words = " ".join(text.split())
    return words if len(words) <= longest else f"{words[: longest - 3]}..."
