"""What is drawn with a thin line is no less there: it counts, whether or not it has an inside."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from qwenimage_ref.posters.draw import COLOURS, Scene, Shape, draw
from qwenimage_ref.posters.read import read, score

SCENE = Scene("white", (Shape("circle", "red"),), "small left")


@pytest.mark.parametrize("colour", ["black", "blue", "green"])
@pytest.mark.parametrize("width", [2, 3])
def test_a_thin_ring_beside_the_shape_is_a_shape_too_many(colour, width):
    picture = Image.fromarray(np.asarray(draw(SCENE, 0)))
    outline = COLOURS[colour][1]
    ImageDraw.Draw(picture).ellipse((84, 34, 112, 62), outline=outline, width=width)
    assert len(read(picture).regions) == 2
    assert not score(SCENE, picture)["count"]
