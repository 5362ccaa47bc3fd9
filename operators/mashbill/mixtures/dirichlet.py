"""Draws from Dirichlets around a mixture, and the tempering of what they are around."""

import numpy as np


def tempered(natural: np.ndarray, temperature: float) -> np.ndarray:
    """[domains] natural proportions raised to a power, normalised."""
    raised: np.ndarray = np.asarray(natural, np.float64) ** temperature
    return raised / raised.sum()


def draw_around(random: np.random.Generator, concentrations: np.ndarray) -> np.ndarray:
    """[draws, domains] one draw from the Dirichlet of each row of concentrations.

    They may be so small that all gammas vanish.
    """
    gammas = random.gamma(concentrations) + np.finfo(np.float64).tiny
    return gammas / gammas.sum(axis=1, keepdims=True)
