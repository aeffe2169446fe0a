"""Inpainting: diffusers' pixels, latents that stay to the last bit, crops, blur, wrong masks."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from diffusers.image_processor import VaeImageProcessor
from helpers.painting_over import (
    POCKET,
    POSTER,
    WIDE,
    WIDE_MASK,
    WISH,
    assert_the_same_pictures,
    generators,
    mask_of,
    reference,
)
from helpers.tiny_model import TINY
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.sampler import sigmas
from qwenimage_ref.tasks.image_to_image import clean_and_noise
from qwenimage_ref.tasks.inpaint import (
    blurred,
    crop_box,
    inpaint,
    into_target,
    latent_mask,
    overlay,
)

MASK = mask_of((70, 30, 120, 100))


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


@pytest.fixture(scope="module")
def theirs():
    return reference(POCKET)


def both(pipe, theirs, image, mask, seed=3, prompt=WISH, **options):
    several = [" "] * len(prompt) if isinstance(prompt, list) else " "
    ours = pipe(prompt, " ", image=image, mask_image=mask, seed=seed, **options)
    expected = theirs(
        prompt, negative_prompt=several, image=image, mask_image=mask,
        generator=generators(seed), **options,
    )  # fmt: skip
    return ours, expected.images


# -- diffusers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("padding_mask_crop", [None, 0, 12])
def test_diffusers_inpaints_the_same(pipe, theirs, strength, padding_mask_crop):
    options = {"strength": strength, "num_inference_steps": 3, "height": 96, "width": 128}
    options["padding_mask_crop"] = padding_mask_crop
    assert_the_same_pictures(*both(pipe, theirs, WIDE, WIDE_MASK, **options))


@pytest.mark.parametrize("seed", [5, [5, 6]], ids=["one seed", "a seed each"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_is_inpainted_as_by_diffusers(pipe, theirs, count, seed):
    pictures, masks = [WIDE, WIDE.rotate(180)][:count], [WIDE_MASK, WIDE_MASK.rotate(180)][:count]
    options = {"strength": 0.8, "num_inference_steps": 2, "height": 64, "width": 96}
    prompt = [WISH, "a red ring"]
    assert_the_same_pictures(*both(pipe, theirs, pictures, masks, seed, prompt, **options))


def test_random_weights_inpaint_what_diffusers_inpaints(tmp_path):
    forge(tmp_path / "model", TINY)
    ours = QwenImage.from_pretrained(tmp_path / "model", dtype=torch.float32)
    options = {"strength": 0.7, "num_inference_steps": 3, "height": 48, "width": 80}
    other = reference(tmp_path / "model")
    assert_the_same_pictures(*both(ours, other, WIDE, WIDE_MASK, **options))
    options["padding_mask_crop"] = 8
    assert_the_same_pictures(*both(ours, other, WIDE, WIDE_MASK, **options))


def random_boxes(count):
    """Sizes of a picture, of a target, and a mask that is somewhere in the picture."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        width, height = rng.integers(20, 200, 2).tolist()
        xs, ys = sorted(rng.integers(0, width, 2)), sorted(rng.integers(0, height, 2))
        pixels = np.zeros((height, width), np.uint8)
        pixels[ys[0] : ys[1] + 1, xs[0] : xs[1] + 1] = 200
        yield Image.fromarray(pixels), *(16 * rng.integers(1, 12, 2)).tolist()


def test_the_box_around_the_white_is_that_of_diffusers_at_any_size():
    for mask, width, height in random_boxes(200):
        for padding in (0, 7, 300):
            expected = VaeImageProcessor.get_crop_region(mask, width, height, padding)
            assert crop_box(mask, width, height, padding) == expected


def test_a_box_is_fitted_into_the_target_as_by_diffusers():
    processor = VaeImageProcessor(vae_scale_factor=16)
    rng = np.random.default_rng(1)
    for mask, width, height in random_boxes(40):
        box = crop_box(mask, width, height, 2)
        picture = Image.fromarray(rng.integers(0, 256, (*mask.size[::-1], 3), np.uint8))
        expected = processor.resize(picture.crop(box), height, width, resize_mode="fill")
        fitted = into_target(picture, box, width, height)
        assert np.array_equal(np.asarray(fitted), np.asarray(expected))


def test_the_painted_box_is_put_back_as_by_diffusers():
    processor = VaeImageProcessor(vae_scale_factor=16)
    rng = np.random.default_rng(2)
    for mask, width, height in random_boxes(40):
        box = crop_box(mask, width, height, 2)
        mask = mask.point(lambda level: 255 * (level > 0))
        picture = Image.fromarray(rng.integers(0, 256, (*mask.size[::-1], 3), np.uint8))
        painted = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        expected = processor.apply_overlay(mask, picture, painted, box)
        ours = overlay(painted, picture, mask, box)
        assert np.array_equal(np.asarray(ours), np.asarray(expected))


# -- what stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_latents_outside_of_the_mask_end_as_those_of_the_picture_to_the_last_bit(dtype, strength):
    pipe = QwenImage.from_pretrained(POCKET, dtype=dtype)
    levels = sigmas(4, 64, pipe.scheduler)
    shape = (1, 128, 128)
    start = inpaint(pipe, [POSTER], [MASK], shape, levels, strength, seed=2)
    with torch.no_grad():
        ends = pipe.denoise(
            start.latents, start.levels, *pipe.encode_prompts([[WISH]]), keep=start.keep
        )
    clean, _ = clean_and_noise(pipe, [POSTER], shape, seed=2)
    outside = (latent_mask(MASK, 8) == 0).expand_as(clean)
    assert torch.equal(ends[outside], clean[outside])
    assert not torch.equal(ends[~outside], clean[~outside])


def test_with_a_crop_no_pixel_outside_of_the_mask_changes(pipe):
    options = {"strength": 1.0, "num_inference_steps": 2, "padding_mask_crop": 4}
    painted = pipe(WISH, image=WIDE, mask_image=WIDE_MASK, true_cfg_scale=1, seed=0, **options)[0]
    outside = np.asarray(WIDE_MASK) == 0
    assert np.array_equal(np.asarray(painted)[outside], np.asarray(WIDE)[outside])
    assert not np.array_equal(np.asarray(painted)[~outside], np.asarray(WIDE)[~outside])


def test_a_mask_of_nothing_but_white_is_image_to_image(pipe):
    options = {"image": POSTER, "true_cfg_scale": 1, "seed": 3, "num_inference_steps": 3}
    white = Image.new("L", POSTER.size, 255)
    ours, plain = pipe(WISH, mask_image=white, **options), pipe(WISH, **options)
    assert np.array_equal(np.asarray(ours[0]), np.asarray(plain[0]))


def test_streamed_weights_inpaint_the_same_bytes(tmp_path):
    forge(tmp_path / "model", TINY)
    options = {"image": POSTER, "mask_image": MASK, "seed": 1, "num_inference_steps": 2}
    resident, streamed = (
        QwenImage.from_pretrained(tmp_path / "model", dtype=torch.bfloat16, stream=stream)(
            WISH, " ", height=64, width=64, **options
        )[0]
        for stream in (False, True)
    )
    assert np.array_equal(np.asarray(resident), np.asarray(streamed))


# -- masks ----------------------------------------------------------------------------------------


def test_the_upper_left_pixel_of_each_eight_decides_over_a_latent():
    pixels = np.zeros((16, 24), np.uint8)
    pixels[0, 8] = 128
    pixels[8, 16] = 127
    pixels[1:8, 0:8] = 255
    assert latent_mask(Image.fromarray(pixels), 8).tolist() == [[[0, 1, 0], [0, 0, 0]]]


@pytest.mark.parametrize("size, sigma", [(1, 0.8), (3, 1.5), (5, 40.0)])
def test_an_edge_is_blurred_by_a_gaussian_that_is_mirrored_at_the_border(size, sigma):
    mask = (torch.rand(2, 1, 9, 13, generator=generators(0)) > 0.5).float()
    kernel = np.exp(-((np.arange(-size, size + 1) / sigma) ** 2) / 2)
    expected = mask.double().numpy()
    for axis in (2, 3):
        kernel = kernel / kernel.sum()
        expected = scipy.ndimage.correlate1d(expected, kernel, axis=axis, mode="mirror")
    assert np.abs(blurred(mask, size, sigma).numpy() - expected).max() < 1e-6


def test_a_blurred_mask_still_keeps_what_is_far_from_its_edge(pipe):
    levels = sigmas(2, 64, pipe.scheduler)
    blur = {"inpaint_blur_size": 2, "inpaint_blur_sigma": 1.0}
    start = inpaint(pipe, [POSTER], [MASK], (1, 128, 128), levels, 1.0, seed=2, **blur)
    clean, _ = clean_and_noise(pipe, [POSTER], (1, 128, 128), seed=2)
    weight = start.keep(0.0, clean + 1) - clean
    assert (weight == 0).any() and weight.max() > 0.99
    assert ((weight > 0.01) & (weight < 0.99)).any()


@pytest.mark.parametrize("mode", ["1", "RGB", "RGBA", "P", "I;16"])
def test_a_mask_of_any_mode_is_read_as_grey(pipe, mode):
    levels = sigmas(2, 64, pipe.scheduler)
    deep = Image.fromarray(np.asarray(MASK).astype(np.uint16) * 257)
    other = deep if mode == "I;16" else MASK.convert(mode)
    starts = [
        inpaint(pipe, [POSTER], [mask], (1, 128, 128), levels, 1.0, seed=2).keep
        for mask in (MASK, other)
    ]
    latents = torch.ones(1, 16, 16, 16)
    assert torch.equal(*(keep(0.5, latents) for keep in starts))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mask_image": MASK.resize((64, 64))}, "size of its picture, 128x128, got 64x64; resize"),
        ({"mask_image": Image.new("L", (128, 128))}, "mask_image must be white where"),
        ({"mask_image": Image.new("L", (128, 128), 127)}, "mask_image must be white where"),
        ({"mask_image": mask_of((1, 1, 5, 5))}, "mask_image must be white where"),
        ({"mask_image": [MASK, MASK]}, "must be one, or one for each of 1 pictures, got 2"),
        ({"mask_image": 3}, "mask_image must be a PIL picture, got int"),
        ({"image": None}, "mask_image must lie on a picture, got no image"),
        ({"padding_mask_crop": -1}, "padding_mask_crop must be a whole number of pixels"),
        ({"padding_mask_crop": 2.5}, "padding_mask_crop must be a whole number of pixels"),
        ({"mask_image": None, "padding_mask_crop": 4}, "padding_mask_crop must go with a mask_im"),
        ({"inpaint_blur_size": 2}, "inpaint_blur_sigma must be a finite number above 0, got None"),
        ({"inpaint_blur_sigma": 2.0}, "inpaint_blur_size must be a whole number .*, got None"),
        ({"inpaint_blur_size": 99, "inpaint_blur_sigma": 1.0}, "from 1 to 15, got 99"),
        ({"inpaint_blur_size": 1, "inpaint_blur_sigma": 0}, "must be a finite number above 0, got"),
        ({"strength": 0}, "strength must be above 0 and at most 1, got 0"),
    ],
)
def test_a_wrong_mask_or_option_is_refused_in_one_line(pipe, options, message):
    with pytest.raises(ValueError, match=message) as refusal:
        pipe(WISH, " ", num_inference_steps=2, **{"image": POSTER, "mask_image": MASK, **options})
    assert "\n" not in str(refusal.value)
