"""Work on partitions, spread over the cores of a machine or over a Ray cluster by one line of the config."""

from mashbill.partitions.columns import buffers, from_buffers
from mashbill.partitions.exchange import SORTING, Exchange, buckets_for, scattered
from mashbill.partitions.spread import growing_lots, on_threads, spread

__all__ = [
    "SORTING",
    "Exchange",
    "buckets_for",
    "buffers",
    "from_buffers",
    "growing_lots",
    "on_threads",
    "scattered",
    "spread",
]
