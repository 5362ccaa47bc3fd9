"""Which failures Airflow may retry: not those that only a person can mend."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from mashbill.errors import ConfigError, DataError


@contextmanager
def final_errors() -> Iterator[None]:
    """Errors that no retry can mend fail the task at once."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise AirflowFailException(str(error)) from error
