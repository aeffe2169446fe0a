"""Rows of `qwenimage bench` on whole pictures of the pocket model, and on its posters."""

from collections.abc import Iterator
from functools import partial

from ...pipeline import QwenImage
from ...posters.draw import draw
from ...posters.read import read
from ...posters.scene import SIDE, Mixture, sample
from ...repository import POCKET
from ..reference_picture import reference_pipeline
from .parts import Plan, Row, alternate

EQUAL = 1.0
FEW = 4  # steps without guidance
POSTERS = 50  # drawn and read


def pocket_rows(plan: Plan) -> Iterator[Row]:
    """A picture with guidance and one in few steps, each beside diffusers' with the same weights

    And a poster drawn, and one read back, beside the picture with guidance.
    """
    ours, theirs = QwenImage.from_pretrained(POCKET), reference_pipeline(POCKET)
    size = {"height": SIDE, "width": SIDE}
    for steps, guidance in ((plan.picture_steps, 4.0), (FEW, 1.0)):
        words = {"prompt": "a blue star", "negative_prompt": " " if guidance > 1 else None}
        options = {"true_cfg_scale": guidance, "num_inference_steps": steps}
        calls = [partial(pipe, **words, **options, **size) for pipe in (ours, theirs)]
        (seconds, reference), _ = alternate(calls, plan.rounds)
        kind = "guided" if guidance > 1 else "unguided"
        what = f"pocket picture, {steps} {kind} steps, {SIDE}x{SIDE}"
        yield Row(what, "s", seconds, reference, EQUAL)
        if guidance > 1:
            picture = seconds
    mixture = Mixture(sizes=((SIDE, SIDE),))
    scenes = [sample(f"bench {number}", mixture) for number in range(POSTERS)]
    calls = [partial(_each, draw, scenes), partial(_each, read, [draw(each) for each in scenes])]
    (drawn, seen), _ = alternate(calls, plan.rounds)
    yield Row("poster drawn, beside the guided picture", "s", drawn / POSTERS, picture)
    yield Row("poster read, beside the guided picture", "s", seen / POSTERS, picture)


def _each(act, items: list) -> None:
    for item in items:
        act(item)
