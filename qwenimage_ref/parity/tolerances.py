"""How far our numbers may lie from the reference's: one table, every entry with its reason.

All are relative to the largest absolute value of the reference tensor, in float32 on a CPU, unless
the reason says otherwise.
"""

from typing import NamedTuple


class Tolerance(NamedTuple):
    """A bound and why it is what it is."""

    value: float
    reason: str


TOLERANCES = {
    "mmdit": Tolerance(
        1e-5, "same operations, another order of sums: about 1e-6 after a few layers"
    ),
    "text_encoder": Tolerance(
        1e-5, "same operations, another order of sums: about 1e-6 after a few layers"
    ),
    "vae": Tolerance(
        1e-5, "a 2-D convolution beside a 3-D one with two zero frames: other kernels, other sums"
    ),
    "vision": Tolerance(
        1e-5, "patches embedded by a matrix product beside a 3-D convolution: other sums"
    ),
    "sigmas": Tolerance(
        1.2e-7, "absolute: upstream shifts in float32, we in float64; one unit of the last place"
    ),
    "preprocessing": Tolerance(
        0.0, "the same filter on the same bytes, then the same float32 formula: no room to differ"
    ),
    "resize variants": Tolerance(
        1.01 / 255 / 0.26130258,
        "absolute: PIL and torch round the same filter apart by one grey level at most, 1/255 "
        "before it is divided by the smallest standard deviation",
    ),
}


def within(name: str) -> float:
    """The bound called `name`."""
    return TOLERANCES[name].value
