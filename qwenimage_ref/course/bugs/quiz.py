"""Blind diagnosis: pictures without names, and for each a list of causes to choose from."""

import ipywidgets

from ...posters.draw import Scene, Shape
from ..panel import Panel
from ..show import png
from .plant import paint
from .visible import BUGS

# what is asked for on the wall, and of the five pictures below it
WALL = Scene("beige", (Shape("star", "red"), Shape("circle", "blue")), "left of", "HI")
SCENE = Scene("sky", (Shape("ring", "green"), Shape("star", "red")), "left of", "A7")
PROMPT = 'a green ring left of a red star on a sky background with the text "A7"'
ASKED = "choose a cause"
CAUSES = tuple(sorted(bug.name for bug in BUGS if bug.shows))
SICK = (15, 9, 4, 13, 10)  # places in BUGS, so that no name can be read by accident


def sick_pictures(pipe) -> list:
    """Five pictures of one prompt, each painted with another bug."""
    return [paint(pipe, BUGS[place], PROMPT).picture for place in SICK]


def count_right(given, causes) -> int:
    """How many pictures have the cause that is theirs. Raises ValueError for another number."""
    if len(given) != len(causes):
        raise ValueError(f"causes must be {len(causes)}, one a picture, got {len(given)}")
    return sum(one == other for one, other in zip(given, causes))


def verdict(given, causes) -> str:
    """The count of right choices and of open ones, in words."""
    open_ones = sum(one == ASKED for one in given)
    words = f"{count_right(given, causes)} of {len(causes)} right"
    return f"{words}, {open_ones} still open" if open_ones else words


class Quiz(Panel):
    """Pictures in a row, under each its choice, and below how many are right, but not which."""

    def __init__(self, pictures, causes=None):
        """causes: of the pictures; None: of those that `sick_pictures` paints."""
        self._causes = causes or [BUGS[place].name for place in SICK]
        images = [
            ipywidgets.Image(value=png(picture), format="png", width=160) for picture in pictures
        ]
        layout = ipywidgets.Layout(width="164px")
        self.choices = [
            ipywidgets.Dropdown(options=(ASKED, *CAUSES), layout=layout) for _ in pictures
        ]
        self.words = ipywidgets.Label()
        self.summary = (
            f"{len(images)} pictures, each with a list of causes; run the notebook to play"
        )
        columns = [ipywidgets.VBox(column) for column in zip(images, self.choices)]
        super().__init__(self.choices, [self.words], [ipywidgets.HBox(columns), self.words])

    def state(self, *given) -> tuple[str]:
        return (verdict(given, self._causes),)
