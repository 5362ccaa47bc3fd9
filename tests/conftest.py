"""What holds for every test: no example has a deadline, and files of slow tests begin first.

The first example of a property pays for what is imported or compiled on first use; which test that is
depends on the order, and how long it takes on what else the machine does. A long file that begins last would
keep one process busy while the others have nothing left.
"""

import pytest
from hypothesis import settings

settings.register_profile("mashbill", deadline=None)
settings.load_profile("mashbill")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that have a slow test before the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
