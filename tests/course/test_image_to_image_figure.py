"""A picture painted over another one: strength, the slider, and chapter 09's answer."""

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.course import answers, show
from qwenimage_ref.course.figures import image_to_image
from qwenimage_ref.pocket.train import as_input
from qwenimage_ref.posters.draw import Scene, Shape, draw
from qwenimage_ref.sampler import sigmas

START = Image.fromarray(draw(Scene("white", (Shape("circle", "red"),), "large")))
WISH = "a large blue star on a navy background"


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(show.pocket_folder())


def test_strength_one_forgets_the_picture_and_paints_the_wish_from_noise(pipe):
    over = image_to_image.repaint(pipe, START, WISH, 1.0, steps=4, seed=3)
    plain = pipe(WISH, negative_prompt=" ", num_inference_steps=4, seed=3)[0]
    assert show.difference(over, plain) < 0.01


def test_strength_zero_gives_the_picture_back_as_the_vae_sees_it(pipe):
    over = image_to_image.repaint(pipe, START, WISH, 0.0, steps=4)
    with torch.no_grad():
        clean = pipe.vae.normalize(pipe.vae.encode(as_input([START]))[0])
    assert show.difference(over, pipe.to_pictures(clean)[0]) < 0.01
    assert show.difference(over, START) < 5


def test_more_strength_leaves_less_of_the_picture(pipe):
    kept = [
        show.difference(image_to_image.repaint(pipe, START, WISH, strength, steps=5), START)
        for strength in (0.2, 0.6, 1.0)
    ]
    assert kept == sorted(kept) and kept[2] > 2 * kept[0]


def test_the_answer_of_chapter_09_paints_what_the_slider_paints(pipe):
    levels = sigmas(5, 64, pipe.scheduler)
    with torch.no_grad():
        encoded = pipe.encode_prompts([[WISH], [" "]])
        noise = pipe.noise(1, 128, 128, 0)
        found = answers.EX_09_IMG2IMG(pipe, as_input([START]), noise, levels, 0.5, *encoded)
    over = image_to_image.repaint(pipe, START, WISH, 0.5, steps=5)
    assert np.array_equal(np.asarray(pipe.to_pictures(found)[0]), np.asarray(over))


def test_a_strength_is_painted_once(pipe, monkeypatch):
    calls = []

    def counted(pipe, picture, prompt, strength):
        calls.append((prompt, strength))
        return Image.fromarray(draw(Scene("navy", (Shape("star", "red"),), "large"), len(calls)))

    monkeypatch.setattr(image_to_image, "repaint", counted)
    slider = image_to_image.Repainter(pipe, START, WISH)
    before = slider.picture.value
    slider.strength.value = 0.2
    assert slider.picture.value != before
    assert slider.words.value == "strength 0.2: large red star on navy"
    slider.strength.value = 0.6
    assert slider.picture.value == before
    assert calls == [(WISH, 0.6), (WISH, 0.2)]
    assert slider._repr_mimebundle_()["text/plain"].startswith("a slider for the strength")


def test_diffusers_pipeline_paints_what_ours_paints(pipe):
    from qwenimage_ref.parity.reference_picture import reference_pictures

    prompts = [WISH, "a red ring"]
    theirs = reference_pictures(show.pocket_folder(), prompts, seed=5, steps=3, side=64)
    ours = pipe(prompts, " ", height=64, width=64, num_inference_steps=3, seed=5)
    assert [picture.size for picture in theirs] == [(64, 64)] * 2
    assert max(map(show.difference, ours, theirs)) < 1
