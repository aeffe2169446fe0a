"""Charts show what they are given, in the course's colours."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qwenimage_ref.course import charts
from qwenimage_ref.evaluate.intervals import interval
from tests.helpers.pixels import painted, pixels, where


def test_a_bar_is_as_long_as_its_share():
    short, long = (charts.bars({"a": interval(k, 10)}, "one bar for a share") for k in (3, 9))
    assert painted(long, "light") == pytest.approx(3 * painted(short, "light"), rel=0.1)


def test_a_bar_fills_more_of_an_axis_that_ends_early():
    whole, half = (
        charts.bars({"a": interval(2, 10)}, "one bar for a share", top) for top in (100, 50)
    )
    assert painted(half, "light") == pytest.approx(2 * painted(whole, "light"), rel=0.1)


def test_a_part_of_a_row_is_indented_below_it():
    rows = {"x" * 5: interval(1, 2), "  " + "x" * 5: interval(1, 2)}
    labels = [text for text in _texts(rows) if text.get_text() == "x" * 5]
    left = [text.get_window_extent().x0 for text in labels]
    assert len(left) == 2 and left[1] > left[0] + 5


def test_names_of_bars_end_left_of_the_axis():
    texts = _texts({"a long name of a row": interval(1, 2), "  its part": interval(1, 2)})
    axis = texts[0].axes.get_window_extent().x0
    names = [text for text in texts if " of a row" in text.get_text() or "part" in text.get_text()]
    assert len(names) == 2 and max(text.get_window_extent().x1 for text in names) < axis


def _texts(rows) -> list:
    """The texts of a chart of bars, before it is made a picture of."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "figure", lambda fig, alt: kept.extend(fig.axes[0].texts))
        charts.bars(rows, "bars with names")
    plt.close("all")
    return kept


def test_labels_of_an_axis_of_fractions_do_not_touch(monkeypatch):
    places = []
    monkeypatch.setattr(charts, "figure", lambda fig, alt: places.extend(_tick_spans(fig)))
    series = {"a": [(1 / size, 1.0) for size in (25, 50, 100, 200, 400)]}
    charts.curves([{"series": series, "x": "1 / size", "y": "distance"}], "a level line")
    plt.close("all")
    assert len(places) > 2 and all(a[1] + 5 < b[0] for a, b in zip(places, places[1:]))


def _tick_spans(fig) -> list[tuple[float, float]]:
    """Left and right ends of the labels below the first axis, in pixels"""
    fig.canvas.draw()
    boxes = [label.get_window_extent() for label in fig.axes[0].get_xticklabels()]
    return [(box.x0, box.x1) for box in boxes]


@pytest.mark.parametrize("places, whole", [((0, 1, 2, 3), True), ((0.5, 1, 1.5, 2), False)])
def test_an_axis_of_whole_numbers_has_no_ticks_between_them(places, whole, monkeypatch):
    ticks = []
    monkeypatch.setattr(charts, "figure", lambda fig, alt: ticks.extend(fig.axes[0].get_xticks()))
    series = {"a": [(place, 1.0) for place in places]}
    charts.curves([{"series": series, "x": "step", "y": "value"}], "a level line")
    plt.close("all")
    assert all(float(tick).is_integer() for tick in ticks) is whole


def test_bars_keep_their_order_from_the_top():
    shown = charts.bars({"all": interval(10, 10), "none": interval(0, 10)}, "two bars, one empty")
    rows = np.nonzero(where(shown, "light").any(1))[0]
    assert rows.mean() < len(pixels(shown)) / 2


def test_a_difference_stands_on_its_side_of_nothing_and_its_interval_is_drawn():
    def places(difference):
        row = {"difference": difference, "low": difference - 0.1, "high": difference + 0.1}
        even = {"difference": 0.0, "low": -0.5, "high": 0.5}
        shown = charts.differences({"a": row, "even": even}, "two differences and their bars")
        rows, columns = np.nonzero(where(shown, "image"))
        upper = columns[rows < rows.mean()]
        return upper.mean(), np.ptp(upper)

    (left, wide), (right, wide_too) = places(-0.3), places(0.3)
    assert left < right - 50 and wide == pytest.approx(wide_too, abs=2)


def test_every_series_has_a_colour_of_its_own_and_a_band_where_there_are_bounds():
    line = [(1, 10), (2, 20), (4, 15)]
    band = [(x, y, y - 5, y + 5) for x, y in line]
    panel = {"series": {"a": line, "b": line[::-1]}, "x": "steps", "y": "right", "log": True}
    plain = charts.curves([panel], "two lines over steps")
    assert painted(plain, "text") > 50 and painted(plain, "image") > 50
    with_band = charts.curves([panel | {"series": {"a": band}}], "a line with its band")
    tinted = (pixels(with_band).sum(-1) < 760).sum()
    without = charts.curves([panel | {"series": {"a": line}}], "a line without a band")
    assert tinted > (pixels(without).sum(-1) < 760).sum() + 1000


def test_names_of_many_series_stand_above_the_axes(monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "figure", lambda fig, alt: drawn.append(fig))
    series = {name: [(1, 0), (2, 1)] for name in ("first", "second", "third")}
    charts.curves([{"series": series, "x": "step", "y": "right"}], "three lines")
    (fig,) = drawn
    fig.canvas.draw()
    (ax,) = fig.axes
    box, names = ax.get_window_extent(), ax.get_legend().get_window_extent()
    assert names.y0 >= box.y1 - 1 and names.y1 <= fig.bbox.y1 + 1
    plt.close(fig)


def test_two_panels_stand_side_by_side():
    panel = {"series": {"a": [(1, 1), (2, 2)]}, "x": "steps", "y": "right"}
    one, two = (pixels(charts.curves([panel] * n, "panels of a line")) for n in (1, 2))
    assert two.shape[1] == pytest.approx(2 * one.shape[1], rel=0.1)
    assert two.shape[0] == pytest.approx(one.shape[0], rel=0.1)
