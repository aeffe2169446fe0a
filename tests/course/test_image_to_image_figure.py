"""A picture painted over another one: strength, the slider, and chapter 09's answer."""

import numpy as np
import pytest
import torch
from diffusers import QwenImageImg2ImgPipeline
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


def test_at_strength_one_nothing_of_the_picture_is_left(pipe):
    other = Image.fromarray(draw(Scene("navy", (Shape("star", "yellow"),), "small left")))
    over = [image_to_image.repaint(pipe, one, WISH, 1.0, steps=2, seed=3) for one in (START, other)]
    assert np.array_equal(*map(np.asarray, over))


def test_strength_zero_gives_the_picture_back_as_the_vae_sees_it(pipe):
    over = image_to_image.repaint(pipe, START, WISH, 0.0, steps=4)
    with torch.no_grad():
        clean, _ = image_to_image.start_latents(pipe, START, seed=0)
    assert show.difference(over, pipe.to_pictures(clean)[0]) < 0.01
    assert show.difference(over, START) < 5


def test_more_strength_leaves_less_of_the_picture(pipe):
    kept = [
        show.difference(image_to_image.repaint(pipe, START, WISH, strength, steps=5), START)
        for strength in (0.2, 0.6, 1.0)
    ]
    assert kept == sorted(kept) and kept[2] > 2 * kept[0]


def test_the_sample_of_the_posterior_is_drawn_before_the_noise(pipe):
    clean, noise = image_to_image.start_latents(pipe, START, seed=3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        mean, logvar = pipe.vae.encode(as_input([START]))
        first, second = (torch.randn(mean.shape, generator=generator) for _ in range(2))
    assert torch.equal(noise, second)
    assert torch.allclose(pipe.vae.denormalize(clean), mean + (logvar / 2).exp() * first, atol=1e-5)


def test_the_answer_of_chapter_09_paints_what_the_slider_paints(pipe):
    """But for the sample of the posterior, which the exercise replaces by its mean."""
    levels = sigmas(5, 64, pipe.scheduler)
    _, noise = image_to_image.start_latents(pipe, START, seed=0)
    with torch.no_grad():
        encoded = pipe.encode_prompts([[WISH], [" "]])
        found = answers.EX_09_IMG2IMG(pipe, as_input([START]), noise, levels, 0.6, *encoded)
    over = image_to_image.repaint(pipe, START, WISH, 0.6, steps=5)
    assert show.difference(pipe.to_pictures(found)[0], over) < 1


@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_diffusers_image_to_image_paints_the_same(pipe, strength):
    folder = show.pocket_folder()
    theirs = QwenImageImg2ImgPipeline.from_pretrained(folder, dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    [expected] = theirs(
        WISH,
        negative_prompt=" ",
        true_cfg_scale=4.0,
        image=START,
        height=128,
        width=128,
        strength=strength,
        num_inference_steps=5,
        generator=torch.Generator().manual_seed(3),
    ).images
    ours = image_to_image.repaint(pipe, START, WISH, strength, steps=5, seed=3)
    assert show.difference(ours, expected) < 0.01
    assert np.abs(np.asarray(ours, int) - np.asarray(expected, int)).max() <= 1


def test_a_strength_is_painted_once(pipe, monkeypatch):
    calls = []

    def counted(pipe, picture, prompt, strength):
        calls.append((prompt, strength))
        return Image.fromarray(draw(Scene("navy", (Shape("star", "red"),), "large"), len(calls)))

    monkeypatch.setattr(image_to_image, "repaint", counted)
    slider = image_to_image.StrengthSlider(pipe, START, WISH)
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
