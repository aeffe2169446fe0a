"""The first pictures anyone sees: eight scenes, painted from their captions, side by side."""

from PIL import Image

from .. import pictures
from ..posters.draw import Scene, Shape, caption
from ..posters.scene import SEVERAL

STEPS, GUIDANCE, COLUMNS = 20, 4.0, 4

# Scenes with the language of their prompts. Training never showed the purple star.
SCENES = (
    (Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of"), "en"),
    (Scene("navy", (Shape("star", "yellow"),), "large", "HI"), "en"),
    (Scene("gray", (Shape("square", "pink"),) * 4, SEVERAL), "en"),
    (Scene("beige", (Shape("triangle", "purple"),), "large"), "zh"),
    (Scene("mint", (Shape("diamond", "orange"),), "small centre", "Q7"), "en"),
    (Scene("sky", (Shape("star", "red"), Shape("circle", "black")), "left of", "OK"), "zh"),
    (Scene("white", (Shape("star", "purple"),), "small right"), "en"),
    (Scene("beige", (Shape("circle", "green"),), "large", "大山"), "zh"),
)
PROMPTS = tuple(caption(scene, language) for scene, language in SCENES)


def paint(pipe) -> list[Image.Image]:
    """One picture of each prompt, the first from seed 0, the next from seed 1, and so on."""
    return pipe(
        list(PROMPTS),
        negative_prompt=" ",
        true_cfg_scale=GUIDANCE,
        num_inference_steps=STEPS,
        seed=list(range(len(PROMPTS))),
    )


def sheet(painted: list[Image.Image]) -> Image.Image:
    """Pictures of one size -> one picture, four in a row, without gaps."""
    return pictures.sheet(painted, COLUMNS)
