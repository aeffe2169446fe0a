"""The figures of chapter 35: bands, laws and whiskers are where their numbers are."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qwenimage_ref.course.figures import scaling
from tests.helpers.pixels import painted

LEVELS = (0.25, 0.5, 0.75)
FLOOR = {"low": [0.0, 0.01, 0.1], "high": [5.0, 0.5, 0.12]}


@pytest.fixture
def drawn(monkeypatch):
    """The axis of the next figure, in place of a picture of it"""
    monkeypatch.setattr(scaling, "figure", lambda fig, alt: fig.axes[0])
    yield
    plt.close("all")


def test_a_floor_below_the_axis_is_drawn_at_its_edge(drawn):
    ax = scaling.over_noise(LEVELS, FLOOR, {"a": [1.0, 0.6, 0.3]}, "one size over a band")
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == scaling.LEAST and band[:, 1].max() == 5
    assert ax.get_ylim() == (scaling.LEAST, 1.5) and ax.get_yscale() == "log"


def test_a_law_is_a_line_through_its_own_numbers(drawn):
    points = {"a": [(1e12, 0.5), (1e14, 0.1)], "b": [(1e13, 0.4)]}
    ax = scaling.over_compute(points, {"law": (1e3, 0.25)}, "excess", "two sizes and a law")
    x, y = ax.lines[-1].get_data()
    assert (x[0], x[-1]) == (pytest.approx(1e12), pytest.approx(1e14))
    assert np.allclose(y, 1e3 * x**-0.25)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "law"]


def test_loss_falls_to_the_right_and_half_is_marked(drawn):
    series = {
        "background": [(0.2, 0.9, 0.8, 0.95), (0.8, 0.1, 0.05, 0.2)],
        "word": [(0.2, 0, 0, 0.1)],
    }
    ax = scaling.over_loss(series, "two parts over the loss", {"background": 0.4, "word": None})
    left, right = ax.get_xlim()
    assert left > 0.8 and right < 0.2
    upright = [line for line in ax.lines if list(line.get_xdata()) == [0.4, 0.4]]
    assert len(upright) == 1
    assert ax.lines[0].get_xdata().tolist() == [0.8, 0.2]


def test_shares_without_intervals_have_no_whiskers(drawn):
    ax = scaling.over_loss({"product": [(0.8, 0.1), (0.2, 0.5)]}, "a product over the loss")
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0.8, 0.2]]
    assert ax.lines[0].get_ydata().tolist() == [0.1, 0.5] and not ax.collections


def test_pictures_hold_the_colours_of_their_series_and_their_words():
    shown = scaling.over_noise(LEVELS, FLOOR, {"a": [1, 0.6, 0.3]}, "one size over a band")
    assert shown.alt == "one size over a band" and painted(shown, "light") > 50
    assert painted(shown, "joint") == 0
