"""Regions and context pictures through the whole pipeline: what is painted, and what is refused."""

import warnings
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from qwenimage_ref import QwenImage, limits
from qwenimage_ref.adapt import regions as regions_module
from qwenimage_ref.adapt.regions import attention_mask, text_positions
from qwenimage_ref.pictures import to_input
from qwenimage_ref.sampler import pack
from qwenimage_ref.tasks.regions import CONTEXT, MOST, checked_regions, context_prompt, seen_tokens

POCKET = Path(__file__).parents[2] / "data" / "pocket"
TASKS = import_module("qwenimage_ref.tasks.regions")
PROMPT = "two shapes on a white background"
SIDE = 64
SETTINGS = {
    "negative_prompt": " ", "height": SIDE, "width": SIDE, "num_inference_steps": 3, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


def box(left, top, right, bottom, size=(SIDE, SIDE), smooth=False) -> Image.Image:
    """A mask of black with a white box; smooth: its edge is anti-aliased"""
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), fill=255)
    return picture.rotate(10, Image.Resampling.BICUBIC) if smooth else picture


LEFT, RIGHT = box(0, 0, 31, 63), box(32, 0, 63, 63)
REGIONS = [("a red circle", LEFT), ("a blue star", RIGHT)]


def calls_of(pipe, monkeypatch, **options) -> list:
    """The calls of the transformer in one painting, step by step"""
    calls, plain = [], pipe.transformer.many
    monkeypatch.setattr(pipe.transformer, "many", lambda each: calls.append(each) or plain(each))
    pipe(PROMPT, **SETTINGS, **options)
    return calls


# -- regions --------------------------------------------------------------------------------------


def test_the_text_is_that_of_each_region_and_then_the_prompts(pipe, monkeypatch):
    (cond, uncond), *_ = calls_of(pipe, monkeypatch, regions=REGIONS)
    texts = [pipe.encode_prompt([text])[0] for text in ("a red circle", "a blue star", PROMPT)]
    assert torch.allclose(cond.txt, torch.cat(texts, dim=1), atol=1e-5)
    lengths = [txt.shape[1] for txt in texts]
    assert torch.equal(cond.txt_positions, text_positions([(1, 4, 4)], lengths))
    of_left = cond.mask[0, 0, 0, sum(lengths) :].reshape(4, 4)
    assert of_left.tolist() == [[True, True, False, False]] * 4
    assert uncond.mask is None and torch.equal(uncond.txt, pipe.encode_prompt([" "])[0])


def test_on_the_negative_branch_the_negative_prompt_is_in_every_region(pipe, monkeypatch):
    options = {"regions": REGIONS, "regions_on_negative": True}
    (cond, uncond), *_ = calls_of(pipe, monkeypatch, **options)
    negative = pipe.encode_prompt([" "])[0]
    assert torch.equal(uncond.txt, torch.cat([negative] * 3, dim=1))
    lengths = [negative.shape[1]] * 3
    on_left = torch.tensor([True, True, False, False] * 4)
    seen = torch.stack([on_left, ~on_left, torch.ones_like(on_left)])
    assert torch.equal(uncond.mask, attention_mask(lengths, seen))
    assert torch.equal(uncond.txt_positions, text_positions([(1, 4, 4)], lengths))


def test_the_mask_is_built_once_a_picture(pipe, monkeypatch):
    built, plain = [], regions_module.attention_mask
    monkeypatch.setattr(
        regions_module, "attention_mask", lambda *given: built.append(plain(*given)) or built[-1]
    )
    steps = calls_of(pipe, monkeypatch, regions=REGIONS)
    assert len(built) == 1 and len(steps) == 3
    assert all(cond.mask is built[0] for cond, _ in steps)


def test_a_picture_under_noise_may_have_regions(pipe, monkeypatch):
    start = Image.new("RGB", (SIDE, SIDE), "white")
    (cond, _), *_ = calls_of(pipe, monkeypatch, regions=REGIONS, image=start, strength=0.9)
    assert cond.mask is not None


@pytest.mark.parametrize("mask", [box(70, 70, 80, 80), Image.new("L", (SIDE, SIDE), 255), LEFT])
def test_empty_full_and_doubled_regions_paint_no_nan(pipe, mask):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a mask that is black all over
        (picture,) = pipe(PROMPT, **SETTINGS, regions=[("a red circle", mask)] * 2)
    assert picture.size == (SIDE, SIDE)  # `to_pictures` raises on NaN


def test_a_mask_that_is_black_all_over_is_said(pipe):
    with pytest.warns(UserWarning, match='mask of "a star" is black all over'):
        pipe(PROMPT, **SETTINGS, regions=[("a star", box(70, 70, 80, 80))])


def test_on_a_condition_picture_of_another_size_a_region_lies_where_it_does_on_the_target():
    seen = seen_tokens(LEFT, [(1, 4, 4), (1, 2, 6)])
    assert seen.tolist() == [True, True, False, False] * 4 + [True] * 3 + [False] * 3 + [
        True, True, True, False, False, False,
    ]  # fmt: skip


# -- a context picture ----------------------------------------------------------------------------


def test_a_context_picture_is_a_clean_picture_of_frame_one_in_both_branches(pipe, monkeypatch):
    picture = Image.new("RGB", (200, 100), "navy")
    (cond, uncond), *_ = calls_of(pipe, monkeypatch, context_image=picture)
    mean, _ = pipe.vae.encode(to_input([picture.resize((SIDE, SIDE))]))
    for call in (cond, uncond):
        assert call.grids == [(1, 4, 4), (1, 4, 4)]
        assert torch.allclose(call.img[:, 16:], pack(pipe.vae.normalize(mean)), atol=1e-5)
    assert torch.equal(cond.txt, pipe.encode_prompt([CONTEXT + PROMPT])[0])
    assert torch.equal(uncond.txt, pipe.encode_prompt([" "])[0])


def test_the_prefix_is_put_before_a_prompt_once():
    assert context_prompt("a cat") == context_prompt("Context_Control. a cat")


def test_a_context_picture_may_have_regions(pipe, monkeypatch):
    picture = Image.new("RGB", (SIDE, SIDE), "navy")
    (cond, _), *_ = calls_of(pipe, monkeypatch, context_image=picture, regions=REGIONS)
    on_target, on_picture = cond.mask[0, 0, 0, -32:].chunk(2)
    assert torch.equal(on_target, on_picture) and on_target.any()


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "regions, words",
    [
        ([], f"regions must be 1 to {MOST}, got 0"),
        (REGIONS * 15, f"regions must be 1 to {MOST}, got 30"),
        (
            [("a star", box(8, 8, 40, 40, smooth=True))],
            '"a star" must be black and white, got .* gr',
        ),
        (
            [("a star", box(0, 0, 9, 9, size=(64, 32)))],
            "proportions of the target, 64x64, got 64x32",
        ),
        ([("a star", "mask.png")], 'mask of "a star" must be a PIL picture, got str'),
        ([(" ", LEFT)], "pairs of a prompt and a mask"),
        ([LEFT], "pairs of a prompt and a mask"),
        ([("a star", LEFT, 1.0)], "pairs of a prompt and a mask"),
    ],
)
def test_regions_that_cannot_be_painted_are_refused_in_one_line(pipe, regions, words):
    with pytest.raises(ValueError, match=words) as error:
        pipe(PROMPT, **SETTINGS, regions=regions)
    assert "\n" not in str(error.value)


def test_regions_need_a_single_prompt(pipe):
    with pytest.raises(ValueError, match="a single one for regions, got 2"):
        pipe([PROMPT] * 2, **SETTINGS, regions=REGIONS)


def test_a_mask_of_the_same_proportions_is_brought_to_the_targets_size():
    ((_, mask),) = checked_regions([("a star", box(0, 0, 63, 127, size=(128, 128)))], [PROMPT])
    assert torch.equal(seen_tokens(mask, [(1, 4, 4)]), seen_tokens(LEFT, [(1, 4, 4)]))


def test_more_regions_than_memory_holds_are_refused(pipe, monkeypatch):
    monkeypatch.setattr(TASKS.limits, "demand_memory", refuse_regions(limits.demand_memory))
    with pytest.raises(ValueError, match="2 regions must fit into .* use fewer, or smaller sides"):
        pipe(PROMPT, **SETTINGS, regions=REGIONS)


def refuse_regions(plain):
    def demand(tensors, device, what, remedy):
        plain(10**18 if "regions" in what else tensors, device, what, remedy)

    return demand
