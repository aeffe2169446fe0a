"""A picture painted over another one: strength, the slider, and chapter 09's answer."""

import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.course import answers, show
from qwenimage_ref.course.figures import image_to_image
from qwenimage_ref.pocket.train import as_input
from qwenimage_ref.posters.draw import Scene, Shape, draw
from qwenimage_ref.sampler import sigmas
from qwenimage_ref.tasks.image_to_image import clean_and_noise

START = Image.fromarray(draw(Scene("white", (Shape("circle", "red"),), "large")))
FIVE = {"num_inference_steps": 5}
WISH = "a large blue star on a navy background"


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(show.pocket_folder())


def test_the_answer_of_chapter_09_paints_what_the_slider_paints(pipe):
    """But for the sample of the posterior, which the exercise replaces by its mean."""
    levels = sigmas(5, 64, pipe.scheduler)
    _, noise = clean_and_noise(pipe, [START], (1, 128, 128), seed=0)
    with torch.no_grad():
        encoded = pipe.encode_prompts([[WISH], [" "]])
        latents = answers.EX_09_IMG2IMG(pipe, as_input([START]), noise, levels, 0.6, *encoded)
    over = pipe(WISH, " ", image=START, strength=0.6, num_inference_steps=5, seed=0)[0]
    assert show.difference(pipe.to_pictures(latents)[0], over) < 1


def test_more_strength_leaves_less_of_the_picture(pipe):
    kept = [
        show.difference(pipe(WISH, " ", image=START, strength=strength, seed=0, **FIVE)[0], START)
        for strength in (0.2, 0.6, 1.0)
    ]
    assert kept == sorted(kept) and kept[2] > 2 * kept[0]


def test_a_strength_is_painted_once():
    calls = []

    def counted(prompt, negative_prompt, image, strength, **_):
        calls.append((prompt, image, strength))
        return [Image.fromarray(draw(Scene("navy", (Shape("star", "red"),), "large"), len(calls)))]

    slider = image_to_image.StrengthSlider(counted, START, WISH)
    before = slider.picture.value
    slider.strength.value = 0.2
    assert slider.picture.value != before
    assert slider.words.value == "strength 0.2: large red star on navy"
    slider.strength.value = 0.6
    assert slider.picture.value == before
    assert calls == [(WISH, START, 0.6), (WISH, START, 0.2)]
    assert slider._repr_mimebundle_()["text/plain"].startswith("a slider for the strength")


def test_diffusers_pipeline_paints_what_ours_paints(pipe):
    from qwenimage_ref.parity.reference_picture import reference_pictures

    prompts = [WISH, "a red ring"]
    theirs = reference_pictures(show.pocket_folder(), prompts, seed=5, steps=3, side=64)
    ours = pipe(prompts, " ", height=64, width=64, num_inference_steps=3, seed=5)
    assert [picture.size for picture in theirs] == [(64, 64)] * 2
    assert max(map(show.difference, ours, theirs)) < 1
