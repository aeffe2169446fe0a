"""Chapter 01's roofline: what bounds a machine, and where each part of a picture stands."""

import pytest

from qwenimage_ref.course.figures import roofline
from qwenimage_ref.course.figures.costs import Machine, Work
from tests.helpers.pixels import painted, pixels, where

MACHINE = Machine("a machine", flops=2e12, bandwidth=1e10)  # flat from 200 operations a byte on


@pytest.mark.parametrize("per_byte, most", [(1, 1e10), (100, 1e12), (200, 2e12), (5000, 2e12)])
def test_a_machine_reaches_its_bandwidth_and_then_its_peak(per_byte, most):
    assert roofline.ridge(MACHINE) == 200
    assert roofline.reached(MACHINE, per_byte) == most


def test_a_roof_is_reached_as_the_times_of_a_machine_say():
    work = Work(flops=3 * 10**12, bytes=10**11)
    assert work.flops / MACHINE.seconds(work) == roofline.reached(MACHINE, work.flops / work.bytes)


def test_a_roof_rises_and_then_is_flat():
    shown = roofline.chart([MACHINE], {}, "one roof without work below it")
    roof = where(shown, "text")
    heights = [roof[:, column].nonzero()[0] for column in range(roof.shape[1])]
    tops = [int(height.min()) for height in heights if len(height)]
    third = len(tops) // 3
    assert tops[0] > tops[third] > min(tops) and tops[-2] == tops[-third // 2]


def test_every_machine_has_a_roof_and_every_part_a_dot_on_it():
    faster = Machine("another machine", flops=8e12, bandwidth=8e10)
    parts = {"slow": Work(1000, 50), "fast": Work(50_000, 50)}
    bare = roofline.chart([MACHINE, faster], {}, "two roofs without work")
    full = roofline.chart([MACHINE, faster], parts, "two roofs with two dots on each")
    for role in ("text", "image"):
        assert painted(full, role) > painted(bare, role)
    assert pixels(full).shape == pytest.approx(pixels(bare).shape, rel=0.1)
