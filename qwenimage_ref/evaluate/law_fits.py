"""A loss over size and data through few points, and how much it depends on each of them."""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

STEEPEST = 2.0  # largest exponent that a fit may have
NARROW = 1e-3  # residual between logarithms beyond which Huber's loss grows linearly, as Hoffmann's
EXACT = {"ftol": 1e-13, "xtol": 1e-13, "gtol": 1e-13, "max_nfev": 2000}  # flat valleys
UNIT = 1e6  # weights and tokens are counted in millions, so that all five numbers have like sizes


def frontier(compute, losses) -> list[int]:
    """Numbers of the points whose loss no point with as little compute, or less, reaches"""
    best, chosen = math.inf, []
    for i in sorted(range(len(compute)), key=lambda i: (compute[i], losses[i])):
        if losses[i] < best:
            best = losses[i]
            chosen.append(i)
    return chosen


def without_each(fit, groups, *columns) -> dict:
    """{group: the fit without the points of this group}; groups: one name for each point"""
    left = {}
    for group in dict.fromkeys(groups):
        kept = [i for i, name in enumerate(groups) if name != group]
        left[group] = fit(*([column[i] for i in kept] for column in columns))
    return left


class Surface(NamedTuple):
    """The loss E + A / N ** alpha + B / D ** beta, of N million weights and D million tokens."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def at(self, weights: float, tokens: float) -> float:
        size, data = weights / UNIT, tokens / UNIT
        return self.E + self.A * size**-self.alpha + self.B * data**-self.beta

    @property
    def growth(self) -> float:
        """Exponent with which the best N grows with compute, if compute grows with N * D"""
        return self.beta / (self.alpha + self.beta)


def surface(weights, tokens, losses) -> Surface:
    """The surface of least Huber loss between logarithms, the best of several starts

    Raises ValueError for fewer than six points, which five numbers would fit whatever they are.
    """
    if len(losses) < 6:
        raise ValueError(f"points of a surface must be at least 6, got {len(losses)}")
    N, D, L = (np.asarray(column, dtype=float) for column in (weights, tokens, losses))
    size, data = np.log(N / UNIT), np.log(D / UNIT)

    def residuals(free):
        E, a, alpha, b, beta = free
        return np.log(E + np.exp(a - alpha * size) + np.exp(b - beta * data)) - np.log(L)

    low, high = [1e-9, -20, 0, -20, 0], [L.min(), 5, STEEPEST, 5, STEEPEST]
    fits = []
    for share in (0.1, 0.5, 0.9):
        for exponent in (0.2, 0.5, 1.0):
            start = [share * L.min(), -2, exponent, -2, exponent]
            robust = {"bounds": (low, high), "loss": "huber", "f_scale": NARROW}
            fits.append(least_squares(residuals, start, **robust, **EXACT))
    E, a, alpha, b, beta = min(fits, key=lambda fit: fit.cost).x
    return Surface(*map(float, (E, math.exp(a), alpha, math.exp(b), beta)))
