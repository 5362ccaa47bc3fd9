"""Mixtures under a ceiling sum to one; tables name what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import LossTable, MixtureTable, epoch_ceiling, within_ceiling


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=6), st.lists(st.floats(0.35, 1), min_size=6, max_size=6)
)
def test_within_ceiling_keeps_the_simplex(raw: list[float], limits: list[float]) -> None:
    weights = (np.array(raw) + 1e-9)[None]
    weights /= weights.sum()
    ceiling = np.array(limits[: len(raw)])
    result = within_ceiling(weights, ceiling)
    assert result.sum() == pytest.approx(1)
    assert (result <= ceiling + 1e-6).all()


def test_epoch_ceiling_refuses_what_cannot_be() -> None:
    assert epoch_ceiling(np.array([10.0, 100.0]), 100, 2).tolist() == [0.2, 1.0]
    with pytest.raises(ConfigError, match="allows 110 tokens where the run needs 1,000"):
        epoch_ceiling(np.array([10.0, 100.0]), 1000, 1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("index,a,b\n1,0.5,0.6\n", "index 1: sums to 1.1"),
        ("index,a,b\n1,-0.5,1.5\n", "index 1, column a: is -0.5"),
        ("index,a,b\n1,,1\n", "column a: is nan"),
        ("index,a,b\n1,0.5,0.5\n1,0.5,0.5\n", "index 1: stands twice"),
        ("index,a,b\n1,x,1\n", "index 1, column a: is 'x', which is no number"),
        ("a,b\n0,1\n", "no column index"),
    ],
)
def test_bad_mixture_table_names_row_and_column(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        MixtureTable.read(tmp_path / "m.csv")


def test_tables_survive_a_round_trip(tmp_path: Path) -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    MixtureTable(np.arange(4), ("a", "b", "c"), values.copy()).write(tmp_path / "m.csv")
    assert np.allclose(MixtureTable.read(tmp_path / "m.csv").weights, values, atol=1e-15)
    LossTable(np.arange(4), ("x",), np.array([[1.0], [np.nan], [2.0], [3.0]])).write(tmp_path / "l.csv")
    assert np.isnan(LossTable.read(tmp_path / "l.csv").losses[1, 0])
