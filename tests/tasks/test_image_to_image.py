"""A picture painted over: the steps that are taken, the order of draws, diffusers' pixels."""

import numpy as np
import pytest
import torch
from diffusers import QwenImageImg2ImgPipeline
from helpers.nets import filled
from helpers.painting_over import (
    POCKET,
    POSTER,
    WIDE,
    WISH,
    assert_the_same_pictures,
    generators,
    reference,
)
from helpers.tiny_model import TINY
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.pictures import to_input
from qwenimage_ref.tasks.image_to_image import clean_and_noise, first_step, under_noise

SMALL = {"height": 64, "width": 64, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


@pytest.fixture(scope="module")
def theirs():
    return reference(POCKET, QwenImageImg2ImgPipeline)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    forge(folder, TINY)
    return folder


def both(pipe, theirs, prompt, image, seed, **options):
    """The pictures of this package and of diffusers."""
    several = [" "] * len(prompt) if isinstance(prompt, list) else " "
    ours = pipe(prompt, " ", image=image, seed=seed, **options)
    expected = theirs(
        prompt, negative_prompt=several, image=image, generator=generators(seed), **options
    )
    return ours, expected.images


# -- diffusers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.05, 0.6, 1.0])
def test_diffusers_paints_the_same_over_a_picture(pipe, theirs, strength):
    options = {"strength": strength, "num_inference_steps": 4, "height": 128, "width": 128}
    assert_the_same_pictures(*both(pipe, theirs, WISH, POSTER, 3, **options))


@pytest.mark.parametrize("seed", [5, [5, 6]], ids=["one seed", "a seed each"])
@pytest.mark.parametrize("image", [WIDE, [WIDE, POSTER.rotate(90)]], ids=["one", "one each"])
def test_a_batch_over_pictures_is_that_of_diffusers(pipe, theirs, image, seed):
    options = {"strength": 0.7, "num_inference_steps": 3, "height": 64, "width": 96}
    assert_the_same_pictures(*both(pipe, theirs, [WISH, "a red ring"], image, seed, **options))


def test_random_weights_paint_what_diffusers_paints(tiny):
    ours = QwenImage.from_pretrained(tiny, dtype=torch.float32)
    other = reference(tiny, QwenImageImg2ImgPipeline)
    options = {"strength": 0.7, "num_inference_steps": 3, "height": 48, "width": 80}
    assert_the_same_pictures(*both(ours, other, WISH, WIDE, 1, **options))


# -- the rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps, strength, skipped",
    [
        (50, 0.6, 20),
        (50, 0.95, 2),
        (5, 0.1, 4),
        (20, 0.8, 4),
        (20, 0.9, 2),
        (50, 1, 0),
        (3, 1e-9, 2),
    ],
)
def test_strength_is_the_share_of_the_steps_that_are_taken(steps, strength, skipped):
    assert first_step(steps, strength) == skipped


@pytest.mark.parametrize("strength", [0, 1.2, -0.1, float("nan"), "0.6", None])
def test_a_strength_outside_of_its_range_is_refused(pipe, strength):
    with pytest.raises(ValueError, match="strength must be above 0 and at most 1, got"):
        pipe(WISH, " ", image=POSTER, strength=strength, **SMALL)


def test_at_strength_one_nothing_of_the_picture_is_left(pipe):
    over = [pipe(WISH, " ", image=x, strength=1, seed=3, **SMALL) for x in (POSTER, WIDE)]
    assert np.array_equal(*(np.asarray(one[0]) for one in over))


def test_strength_one_is_not_text_to_image_because_the_posterior_draws_first(pipe):
    over = pipe(WISH, " ", image=POSTER, strength=1, seed=3, **SMALL)[0]
    assert not np.array_equal(np.asarray(over), np.asarray(pipe(WISH, " ", seed=3, **SMALL)[0]))


def test_the_sample_of_the_posterior_is_drawn_before_the_noise(pipe):
    clean, noise = clean_and_noise(pipe, [POSTER], (1, 128, 128), seed=3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        mean, logvar = pipe.vae.encode(to_input([POSTER]))
        first, second = (torch.randn(mean.shape, generator=generator) for _ in range(2))
    assert torch.equal(noise, second)
    assert torch.allclose(pipe.vae.denormalize(clean), mean + (logvar / 2).exp() * first, atol=1e-5)


def test_latents_in_bf16_are_mixed_with_a_sigma_in_bf16():
    clean, noise = torch.randn(2, 1, 16, 4, 4, generator=generators(0)).bfloat16()
    sigma = torch.tensor(0.7234).bfloat16()
    assert torch.equal(under_noise(clean, noise, 0.7234), sigma * noise + (1 - sigma) * clean)


def test_the_callback_sees_only_the_steps_that_are_taken(pipe):
    seen = []
    options = {"strength": 0.5, "num_inference_steps": 4, "height": 64, "width": 64}
    pipe(WISH, image=POSTER, true_cfg_scale=1, callback=lambda *args: seen.append(args), **options)
    assert [step for step, *_ in seen] == [0, 1] and seen[0][1] < 1
    assert seen[0][2].shape == (1, 16, 8, 8)


def test_a_list_of_seeds_gives_each_picture_what_it_gets_alone(pipe):
    options = {"image": POSTER, "strength": 0.7, **SMALL}
    pair = pipe([WISH] * 2, " ", seed=[4, 4], **options)
    alone = pipe(WISH, " ", seed=4, **options)[0]
    # upstream's rule: a single picture is sampled once, by the first generator
    assert_the_same_pictures([pair[0]], [alone])
    assert not np.array_equal(*map(np.asarray, pair))


def test_a_lora_takes_part(pipe, tiny):
    ours = QwenImage.from_pretrained(tiny, dtype=torch.float32)
    options = {"image": POSTER, "seed": 1, **SMALL}
    before = np.asarray(ours(WISH, " ", **options)[0], int)
    filled(lora.inject(ours.transformer, lora.TARGETS["diffusers"], rank=2))
    assert np.abs(np.asarray(ours(WISH, " ", **options)[0], int) - before).max() > 0


def test_streamed_weights_paint_the_same_bytes(tiny):
    resident, streamed = (
        QwenImage.from_pretrained(tiny, dtype=torch.bfloat16, stream=stream)(
            WISH, " ", image=POSTER, seed=1, **SMALL
        )[0]
        for stream in (False, True)
    )
    assert np.array_equal(np.asarray(resident), np.asarray(streamed))


# -- pictures of every kind -----------------------------------------------------------------------


def painted(pipe, picture):
    return np.asarray(pipe(WISH, image=picture, true_cfg_scale=1, seed=0, **SMALL)[0], int)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_the_mode_of_a_picture_does_not_matter(pipe, mode):
    other = POSTER.quantize() if mode == "P" else POSTER.convert(mode)
    assert np.array_equal(painted(pipe, other), painted(pipe, other.convert("RGB")))


def test_what_is_transparent_is_painted_as_white(pipe):
    clear = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    white = Image.new("RGB", (128, 128), "white")
    assert np.array_equal(painted(pipe, clear), painted(pipe, white))


def test_sixteen_bit_grey_is_painted_like_eight_bits(pipe):
    grey = np.asarray(POSTER.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert np.array_equal(painted(pipe, deep), painted(pipe, Image.fromarray(grey)))


def test_a_rotated_picture_is_painted_upright(pipe, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    POSTER.save(tmp_path / "a.png", exif=exif)
    upright = POSTER.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(painted(pipe, Image.open(tmp_path / "a.png")), painted(pipe, upright))


@pytest.mark.parametrize(
    "image, message",
    [
        (Image.new("RGB", (10_000, 1)), "at most 200 times .*, got 10000x1; crop it"),
        (np.zeros((8, 8, 3), np.uint8), "image must be a PIL picture, got ndarray"),
        ("a.png", "image must be a PIL picture, got str"),
        (Image.new("F", (8, 8)), "its pixels are 32-bit numbers; save it with 8 or 16 bits"),
        ([POSTER, POSTER], "image must be one, or one for each of 1 prompts, got 2"),
        ([], "image must be one, or one for each of 1 prompts, got 0"),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused_in_one_line(pipe, image, message):
    with pytest.raises(ValueError, match=message) as refusal:
        pipe(WISH, " ", image=image, **SMALL)
    assert "\n" not in str(refusal.value)
