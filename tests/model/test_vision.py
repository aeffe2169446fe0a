"""The vision tower and the way of a picture to its patches, beside transformers'."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from qwenimage_ref.config import ConfigError, VisionConfig
from qwenimage_ref.parity.reference import copy_weights, random_weights, reference_vision
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import assert_agreement, difference
from qwenimage_ref.vision import (
    Vision,
    cut_patches,
    fit_size,
    preprocess,
    resize_pil,
    resize_uint8,
    rotate,
    to_rgb,
    windows,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "vision_processor.safetensors"
TINY = VisionConfig(
    depth=4,
    hidden_size=48,
    num_heads=3,
    intermediate_size=40,
    out_hidden_size=56,
    fullatt_block_indexes=(1, 3),
)
ODD_GRIDS = [(1, 6, 10), (1, 14, 4)]  # 3x5 and 7x2 tokens: no window but the first is full


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def patches_of(grids):
    return noise(sum(frames * rows * cols for frames, rows, cols in grids), 1176)


def tower(config=TINY):
    with torch.device("meta"):
        ours = Vision(config)
    return random_weights(ours, seed=1)


def picture(width, height, mode="RGB"):
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    values = np.random.default_rng(width * height).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(values)


# -- the tower ------------------------------------------------------------------------------------


def test_two_pictures_whose_windows_are_cut_off_agree_with_transformers():
    ours = tower()
    theirs = copy_weights(ours, reference_vision(TINY))
    assert_agreement(ours, theirs, dict(patches=patches_of(ODD_GRIDS), grids=ODD_GRIDS), "vision")


def test_several_frames_agree_with_transformers():
    ours, grids = tower(), [(3, 4, 10)]
    theirs = copy_weights(ours, reference_vision(TINY))
    assert_agreement(ours, theirs, dict(patches=patches_of(grids), grids=grids), "vision")


def test_a_windowed_and_a_full_block_of_official_width_agree_with_transformers():
    config = replace(VisionConfig.official(), depth=2, fullatt_block_indexes=(1,))
    ours, grids = tower(config), [(1, 10, 6)]
    theirs = copy_weights(ours, reference_vision(config))
    assert_agreement(ours, theirs, dict(patches=patches_of(grids), grids=grids), "vision")


def test_bf16_is_rotated_in_float32_and_rounded_once():
    x, angle = noise(3, 5, 8).bfloat16(), noise(5, 4, seed=1)
    assert torch.equal(rotate(x, angle), rotate(x.float(), angle).bfloat16())


def test_the_official_tower_has_the_published_tensors_in_upstreams_order():
    with torch.device("meta"):
        stored = Vision(VisionConfig.official()).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    assert len(shapes) == 390
    assert sum(tensor.numel() for tensor in stored.values()) == 676_550_144
    assert shapes["patch_embed.proj.weight"] == (1280, 3, 2, 14, 14)
    assert shapes["merger.mlp.2.weight"] == (3584, 5120)
    assert list(shapes) == list(reference_vision(VisionConfig.official()).state_dict())


def test_a_picture_gives_the_same_tokens_alone_and_beside_another():
    ours, patches = tower(), patches_of(ODD_GRIDS)
    with torch.no_grad():
        both, alone = ours(patches, ODD_GRIDS), ours(patches[60:], ODD_GRIDS[1:])
    assert difference(both[15:], alone)[1] <= within("vision")


def test_without_blocks_tokens_come_out_in_the_order_of_the_patches():
    ours, patches = tower(replace(TINY, depth=0)), patches_of(ODD_GRIDS)
    with torch.no_grad():
        straight = ours.merger(ours.patch_embed(patches))
        assert difference(ours(patches, ODD_GRIDS), straight)[1] <= within("vision")


@pytest.mark.parametrize("full, reach", [((), 16), ((0,), 20)])
def test_a_patch_reaches_its_window_and_only_a_full_block_carries_it_further(full, reach):
    ours = tower(replace(TINY, depth=1, fullatt_block_indexes=full))
    grids = [(1, 8, 10)]  # 4x5 tokens: one full window, and one of 4x1
    patches = patches_of(grids)
    changed = patches.clone()
    changed[0] += 1
    with torch.no_grad():
        moved = (ours(patches, grids) - ours(changed, grids)).abs().amax(dim=1) > 0
    assert moved.sum() == reach


def test_windows_of_a_picture_are_taken_in_raster_order():
    first, second = windows([(1, 4, 10)], TINY)
    assert first.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert second.tolist() == [4, 9]


def test_a_still_picture_meets_the_sum_of_the_two_temporal_kernels():
    embed, pixels = tower().patch_embed, noise(3, 28, 56)
    with torch.no_grad():
        ours = embed(cut_patches(pixels, TINY))[[0, 1, 4, 5, 2, 3, 6, 7]]  # blocks to raster order
        theirs = F.conv2d(pixels[None], embed.proj.weight.sum(dim=2), stride=14)[0].flatten(1).T
    assert difference(ours, theirs)[1] <= within("vision")


def test_a_grid_of_odd_sides_is_refused():
    with pytest.raises(ValueError, match="5x4 patches"):
        tower()(patches_of([(1, 5, 4)]), [(1, 5, 4)])


def test_patches_that_do_not_fill_the_grids_are_refused():
    with pytest.raises(ValueError, match="patches must be 24 .*got 16"):
        tower()(patches_of([(1, 4, 4)]), [(1, 4, 6)])


def test_a_head_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(ConfigError, match="hidden_size 30"):
        Vision(replace(TINY, hidden_size=30))


# -- the picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, fitted",
    [
        ((384, 384), (392, 392)),
        ((1024, 1024), (1036, 1036)),
        ((320, 448), (308, 448)),
        ((4000, 4000), (3584, 3584)),
        ((70, 98), (56, 112)),  # 2.5 and 3.5 both go to the even neighbour
        ((20, 20), (56, 56)),
        ((1, 200), (28, 812)),
    ],
)
def test_sizes_fit_as_upstream_fits_them(size, fitted):
    assert fit_size(*size) == fitted


def test_a_picture_longer_than_two_hundred_times_its_width_is_refused():
    with pytest.raises(ValueError, match="201x1 pixels"):
        fit_size(1, 201)


def test_patches_equal_the_recorded_ones_to_the_last_bit():
    golden = load_file(GOLDEN)
    img = Image.fromarray(golden["input"].numpy())
    patches, grid = preprocess(img, VisionConfig.official(), resize_pil)
    assert [list(grid)] == golden["grid_thw"].tolist()
    assert difference(patches, golden["pixel_values"])[0] <= within("preprocessing")


@pytest.mark.parametrize(
    "img", [picture(150, 83), picture(61, 200, "RGBA"), picture(90, 40, "L")], ids=lambda i: i.mode
)
def test_patches_equal_those_of_transformers_pil_processor(img):
    ours, grid = preprocess(img, VisionConfig.official(), resize_pil)
    theirs = Qwen2VLImageProcessorPil()(img, return_tensors="pt")
    assert theirs["image_grid_thw"].tolist() == [list(grid)]
    assert difference(ours, theirs["pixel_values"])[0] <= within("preprocessing")


def test_the_two_ways_to_resize_differ_by_one_grey_level_at_most():
    img = picture(150, 83)
    by_pil, by_torch = resize_pil(img, 84, 140), resize_uint8(img, 84, 140)
    assert 0 < difference(by_torch, by_pil)[0] <= within("resize variants")


def test_transparency_is_laid_over_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)


def test_a_prepared_picture_is_what_the_tower_expects():
    patches, grid = preprocess(picture(100, 70), TINY)
    with torch.no_grad():
        assert tower()(patches, [grid]).shape == (grid[1] * grid[2] // 4, TINY.out_hidden_size)
