"""The base of the interactive figures."""

import ipywidgets
import pytest

from qwenimage_ref.course.panel import BUSY, Panel, picture_box, slider


class Squares(Panel):
    """The square of a number, or no square for 3."""

    summary = "a slider for a number over its square"

    def __init__(self):
        self.number = slider("number", (1, 2, 3), 2)
        self.square, self.words = ipywidgets.Label(), ipywidgets.Label()
        self.computed = []
        super().__init__([self.number], [self.square, self.words])

    def state(self, number):
        self.computed.append(number)
        self.meanwhile = self.words.value
        return (None, "no square") if number == 3 else (str(number**2), "a square")


def test_a_panel_shows_the_state_of_its_first_values():
    assert Squares().square.value == "4"


def test_a_panel_follows_its_controls():
    panel = Squares()
    panel.number.value = 1
    assert (panel.square.value, panel.words.value) == ("1", "a square")


def test_the_words_say_that_a_state_is_computed_and_only_meanwhile():
    panel = Squares()
    panel.number.value = 1
    assert panel.meanwhile == BUSY and panel.words.value == "a square"


def test_a_state_that_cannot_be_computed_leaves_the_words():
    panel = Squares()
    panel.state = lambda number: 1 / 0
    with pytest.raises(ZeroDivisionError):
        panel.number.value = 1
    assert panel.words.value == "a square"


def test_a_state_is_computed_once():
    panel = Squares()
    for number in (1, 2, 1):
        panel.number.value = number
    assert panel.computed == [2, 1]


def test_an_output_without_a_value_keeps_the_old_one():
    panel = Squares()
    panel.number.value = 3
    assert (panel.square.value, panel.words.value) == ("4", "no square")


def test_a_panel_says_what_it_is_where_no_widget_can_be():
    assert Squares()._repr_mimebundle_()["text/plain"] == "a slider for a number over its square"


def test_controls_stand_above_outputs():
    panel = Squares()
    assert panel.children == (panel.number, panel.square, panel.words)


def test_a_slider_waits_until_it_is_released():
    assert not slider("number", (1, 2), 1).continuous_update


@pytest.mark.parametrize("sides", [(256, 256), (480, None), (None, None)])
def test_a_place_for_a_picture_has_only_the_sides_that_are_given(sides):
    place = picture_box(*sides)
    expected = tuple("" if side is None else str(side) for side in sides)
    assert (place.width, place.height) == expected
