"""Ranks under several classifiers are those of all margins sorted together, bit for bit, however the corpus
is cut into partitions and the margins into ranges."""

import itertools
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from mashbill.config import EngineConfig
from mashbill.quality.ranks import KeptMargins, rank_margins
from mashbill.quality.sketch import QuantileSketch
from mashbill.storage import open_storage

LEVELS = [-np.inf, -30.0, -2.0, -1.0, -1e-7, -0.0, 0.0, 1e-7, 1.0, 1.0 + 1e-12, 1.0004, 3.0, np.inf]
margin_values = st.sampled_from(LEVELS) | st.floats(-20, 20)
rows = st.lists(st.tuples(margin_values, margin_values, margin_values), min_size=1, max_size=40)


def ranked(
    folder: Path, margins: np.ndarray, ends: Sequence[int], ranges: int | None, *, root: str = ""
) -> list[pa.Table]:
    """Margins ranked in partitions that end there.

    Args:
        margins: [documents, classifiers].
    """
    kept = KeptMargins(open_storage(root or str(folder), folder), margins.shape[1])
    sketches = [QuantileSketch() for _ in range(kept.scorers)]
    cuts = sorted({0, len(margins), *(end for end in ends if end < len(margins))})
    for place, (first, last) in enumerate(itertools.pairwise(cuts)):
        columns = {f"margin_{i}": margins[first:last, i] for i in range(kept.scorers)}
        table = pa.table({"id": [f"d{i}" for i in range(first, last)], **columns})
        kept.put(place, table)
        for sketch, more in zip(sketches, kept.sketches(table), strict=True):
            sketch.merge(more)
    partitions = len(cuts) - 1
    ranking = rank_margins(kept, sketches, partitions, engine=EngineConfig(), ranges=ranges)
    assert all(len(lowest) <= (ranges or 1) for lowest in ranking.lowest)
    return [ranking.ranked(place) for place in range(partitions)]


def test_several_classifiers_give_the_logit_of_the_mean_rank(tmp_path: Path) -> None:
    """Ranks 1 to 4 by one and 4, 1, 2.5, 2.5 by the other."""
    margins = np.array([[0.1, 9.0], [0.2, -5.0], [0.3, 1.0], [0.4, 1.0]])
    parts = ranked(tmp_path, margins, [1], None)
    assert [part["id"].to_pylist() for part in parts] == [["d0"], ["d1", "d2", "d3"]]
    found = np.concatenate([part["margin"].to_numpy() for part in parts])
    share = (np.array([2.5, 1.5, 2.75, 3.25]) - 0.5) / 4
    assert found == pytest.approx(np.log(share / (1 - share)))


def test_ranks_meet_in_an_object_store_as_on_a_disk(tmp_path: Path, root: str) -> None:
    margins = np.random.default_rng(2).normal(size=(60, 2)).round(1)
    on_disk = ranked(tmp_path, margins, [7, 30], 3)
    assert ranked(tmp_path, margins, [7, 30], 3, root=root) == on_disk


def test_margins_on_their_way_lie_where_those_of_killed_processes_are_removed(
    tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(root, tmp_path)

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(storage), "put", ends)
    with pytest.raises(KeyboardInterrupt):
        KeptMargins(storage, 1).put(0, pa.table({"margin_0": [1.0]}))
    (left,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left.parent == storage.passing()


@settings(max_examples=60, deadline=None)
@given(rows, st.lists(st.integers(1, 39), max_size=5), st.sampled_from([1, 2, 3, 8, 40, None]))
def test_ranks_are_those_of_all_margins_at_once(
    given_rows: list[tuple[float, float, float]], ends: list[int], ranges: int | None
) -> None:
    margins = np.array(given_rows)
    with tempfile.TemporaryDirectory() as folder:
        parts = ranked(Path(folder), margins, ends, ranges)
    mean = np.zeros(len(margins))
    for column in margins.T:
        mean += rankdata(column) / 3
    share = (mean - 0.5) / len(margins)
    found = np.concatenate([part["margin"].to_numpy() for part in parts])
    assert found.tobytes() == (np.log(share) - np.log1p(-share)).tobytes()


def test_ranges_hold_about_as_many_documents_each(tmp_path: Path) -> None:
    margins = np.random.default_rng(0).normal(size=(40_000, 1))
    kept = KeptMargins(open_storage(str(tmp_path), tmp_path), 1)
    kept.put(0, pa.table({"margin_0": margins[:, 0]}))
    [sketch] = kept.sketches(kept.read(0))
    ranking = rank_margins(kept, [sketch], 1, engine=EngineConfig(), ranges=8)
    before = [range_.before for range_ in ranking.ranges([sketch])]
    assert np.diff([*before, 40_000]) == pytest.approx(np.full(8, 5_000), abs=100)


def test_what_comes_back_of_a_partition_does_not_grow_with_its_documents(tmp_path: Path) -> None:
    kept = KeptMargins(open_storage(str(tmp_path), tmp_path), 1)
    sizes = []
    for count in (100_000, 1_000_000):
        margins = np.random.default_rng(1).normal(scale=4, size=count)
        sizes.append(len(pickle.dumps(kept.sketches(pa.table({"margin_0": margins})))))
    assert sizes[1] < 1.5 * sizes[0] < 600_000
