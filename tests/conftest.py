"""What holds for every test: no example has a deadline.

The first example of a property pays for what is imported or compiled on first use; which test that is
depends on the order, and how long it takes on what else the machine does.
"""

from hypothesis import settings

settings.register_profile("mashbill", deadline=None)
settings.load_profile("mashbill")
