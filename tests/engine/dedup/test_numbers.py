"""Numbers of documents and ranges of partitions agree, for any number of either."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mashbill.dedup.numbers import Numbered, Numbering


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 40), st.integers(0, 10))
def test_each_partition_and_each_document_is_in_one_range(
    rows: list[int], ranges: int, held_out: int
) -> None:
    starts = np.cumsum([0, *rows]).tolist()
    partitions = [
        Numbered(i, f"set{i}", Path("file"), starts[i], count, held_out=i < held_out)
        for i, count in enumerate(rows)
    ]
    numbering = Numbering(partitions, min(ranges, len(rows)))
    found = [list(numbering.in_range(range_)) for range_ in range(numbering.ranges)]
    assert [partition for part in found for partition in part] == partitions
    for range_, part in enumerate(found):
        assert {numbering.range_of_partition(partition) for partition in part} <= {range_}
        numbers = [number for partition in part for number in range(partition.start, partition.end)]
        assert set(numbering.range_of(np.array(numbers, np.int64)).tolist()) <= {range_}
    assert numbering.held_out == sum(rows[:held_out])
    assert numbering.held_out_sets == {f"set{i}" for i in range(min(held_out, len(rows)))}
