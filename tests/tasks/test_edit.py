"""Editing beside the pipelines of diffusers: text states, tokens of pictures, steps, pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditInpaintPipeline, QwenImageEditPipeline, QwenImageEditPlusPipeline
from helpers.editing import (
    EDIT,
    EDIT_PLUS,
    EDITING,
    INSTRUCTION,
    READ,
    SIDE,
    edit_folder,
    picture,
    reference,
    start_of_prompts,
)
from helpers.painting_over import assert_the_same_pictures, mask_of
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.conditions import size_of_area, spread_positions
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import difference
from qwenimage_ref.rope import positions
from qwenimage_ref.tasks import edit

MODELS = {
    "edit": (EDIT, QwenImageEditPipeline, {}),
    "2509": (EDIT_PLUS, QwenImageEditPlusPipeline, {}),
    "2511": (EDIT_PLUS, QwenImageEditPlusPipeline, {"zero_cond_t": True}),
}


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def sides(tmp_path_factory, patch):
    """{model: (ours, theirs)}, loaded from the same folder"""
    loaded = {}
    for name, (pipeline, kind, changes) in MODELS.items():
        folder = edit_folder(tmp_path_factory.mktemp(name) / "m", pipeline, **changes)
        ours, theirs = QwenImage.from_pretrained(folder), reference(folder, kind, patch)
        start_of_prompts(theirs, ours.tokenizer)
        loaded[name] = ours, theirs
    return loaded


def both(sides, pictures, prompt=INSTRUCTION, steps=2, seed=5, **options):
    ours, theirs = sides
    painted = ours(prompt, " ", image=pictures, num_inference_steps=steps, seed=seed, **options)
    expected = theirs(
        image=pictures if len(pictures) > 1 else pictures[0],
        prompt=prompt,
        negative_prompt=" ",
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed),
        **options,
    ).images
    return painted, expected


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [(131, 77), (90, 211), (64, 64)], ids=str)
def test_diffusers_edits_a_picture_of_any_size_alike(sides, model, size):
    assert_the_same_pictures(*both(sides[model], [picture(*size)]))


@pytest.mark.parametrize("model", ["2509", "2511"])
def test_diffusers_edits_several_pictures_alike(sides, model):
    pictures = [picture(131, 77), picture(64, 90, seed=1), picture(200, 120, seed=2)]
    count = 3 if model == "2509" else 2
    assert_the_same_pictures(*both(sides[model], pictures[:count]))


@pytest.mark.parametrize("model", MODELS)
def test_sides_that_are_given_change_the_target_alone(sides, model):
    options = {"height": 64, "width": 112}
    ours, theirs = both(sides[model], [picture(131, 77)], **options)
    assert ours[0].size == (112, 64)
    assert_the_same_pictures(ours, theirs)


def test_the_target_of_several_pictures_has_the_proportions_of_the_last(sides):
    ours, _ = sides["2509"]
    wide, high = picture(200, 100), picture(100, 200)
    quick = {"num_inference_steps": 2, "true_cfg_scale": 1}
    assert ours("x", image=[high, wide], **quick)[0].size == (128, 64)
    assert ours("x", image=[wide, high], **quick)[0].size == (64, 128)


def branches_of(pipe, pictures, prompts=(INSTRUCTION, " ")):
    _, branches = edit(pipe, [[prompt] for prompt in prompts], pictures, (None, None, 2), seed=5)
    return branches


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [(131, 77), (90, 211), (177, 201)], ids=str)
def test_the_text_states_with_a_picture_are_those_of_diffusers(sides, model, size):
    ours, theirs = sides[model]
    img = picture(*size)
    area = READ if model != "edit" else SIDE
    small = img.resize(size_of_area(*size, area**2), Image.Resampling.LANCZOS)
    expected, mask = theirs.encode_prompt(INSTRUCTION, image=small)
    branch, _ = branches_of(ours, [img])
    assert mask is None and branch.txt_mask is None
    assert difference(branch.txt, expected)[1] <= within("text states")


def test_the_text_states_with_two_pictures_are_those_of_diffusers(sides):
    ours, theirs = sides["2509"]
    pictures = [picture(131, 77), picture(64, 90, seed=1)]
    small = [p.resize(size_of_area(*p.size, READ**2), Image.Resampling.LANCZOS) for p in pictures]
    for prompt, branch in zip((INSTRUCTION, " "), branches_of(ours, pictures)):
        expected, _ = theirs.encode_prompt(prompt, image=small)
        assert difference(branch.txt, expected)[1] <= within("text states")


def test_the_tokens_of_the_pictures_are_the_latents_that_diffusers_encodes(sides):
    ours, theirs = sides["2509"]
    pictures = [picture(131, 77), picture(64, 90, seed=1)]
    copies = [p.resize(size_of_area(*p.size, SIDE**2), Image.Resampling.LANCZOS) for p in pictures]
    inputs = [theirs.image_processor.preprocess(copy).unsqueeze(2) for copy in copies]
    _, expected = theirs.prepare_latents(
        inputs, 1, 16, 64, 64, torch.float32, "cpu", torch.Generator().manual_seed(0)
    )
    for branch in branches_of(ours, pictures):
        assert difference(branch.img, expected)[1] <= within("vae encode")


@pytest.mark.parametrize("model", MODELS)
def test_one_step_with_a_picture_is_that_of_diffusers(sides, model):
    ours, theirs = sides[model]
    (branch,) = branches_of(ours, [picture(131, 77)], [INSTRUCTION])
    x = torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(0))
    call = branch.call(x, torch.tensor([0.6]), (1, 4, 6))
    with torch.no_grad():
        velocity = ours.transformer(*call)
        expected = theirs.transformer(
            hidden_states=call.img,
            encoder_hidden_states=call.txt,
            timestep=call.sigma,
            img_shapes=[call.grids],
            return_dict=False,
        )[0][:, :24]
    assert difference(velocity, expected)[1] <= within("stack")


# -- what matters ---------------------------------------------------------------------------------


def painted(pipe, pictures, **options):
    (result,) = pipe(INSTRUCTION, " ", image=pictures, num_inference_steps=2, seed=5, **options)
    return np.asarray(result).astype(int)


def test_both_branches_of_guidance_carry_the_pictures(sides):
    ours, _ = sides["2509"]
    cond, uncond = branches_of(ours, [picture(131, 77), picture(64, 90, seed=1)])
    assert torch.equal(cond.img, uncond.img) and cond.grids == uncond.grids
    pads = 2 * (64 // 28) * (64 // 28)
    assert uncond.txt.shape[1] > pads and cond.txt.shape[1] > uncond.txt.shape[1]


def test_what_the_vision_tower_reads_changes_the_result(sides, monkeypatch):
    ours, _ = sides["edit"]
    usual, see = painted(ours, [picture(131, 77)]), ours.vision.forward
    # the tower is untrained and says much the same of any picture: it must say the opposite
    monkeypatch.setattr(ours.vision, "forward", lambda *patches: -50 * see(*patches))
    assert np.abs(painted(ours, [picture(131, 77)]) - usual).max() > 4


def test_what_the_vae_encodes_changes_the_result(sides, monkeypatch):
    ours, _ = sides["edit"]
    usual, tokens = painted(ours, [picture(131, 77)]), EDITING.picture_tokens
    other = picture(131, 77, seed=3)
    monkeypatch.setattr(
        EDITING, "picture_tokens", lambda pipe, copy: tokens(pipe, other.resize(copy.size))
    )
    assert np.abs(painted(ours, [picture(131, 77)]) - usual).max() > 4


def test_the_order_of_the_pictures_matters(sides):
    ours, _ = sides["2509"]
    pictures = [picture(96, 96), picture(96, 96, seed=1)]
    assert np.abs(painted(ours, pictures) - painted(ours, pictures[::-1])).max() > 4


def test_pictures_of_edit_2511_are_at_time_zero(sides):
    pictures = [picture(131, 77)]
    off = painted(sides["2509"][0], pictures) - painted(sides["2511"][0], pictures)
    assert np.abs(off).max() > 4


# -- inside a mask --------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_diffusers_edits_alike_inside_a_mask(sides, tmp_path, patch, strength):
    ours, _ = sides["edit"]
    folder = edit_folder(tmp_path / "m", EDIT)
    theirs = reference(folder, QwenImageEditInpaintPipeline, patch)
    start_of_prompts(theirs, ours.tokenizer)
    options = {"mask_image": mask_of((20, 15, 90, 60), (131, 77)), "strength": strength}
    assert_the_same_pictures(*both((ours, theirs), [picture(131, 77)], **options))


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        ("edit", {"image": None}, "image must be given to an edit model, got none"),
        ("edit", {"image": [picture(9, 9)] * 2}, "image must be 1 picture for this model, got 2"),
        (
            "2509",
            {"image": [picture(9, 9)] * 4},
            "1 to 3 pictures for this model, got 4",
        ),
        ("2509", {"image": []}, "image must be 1 to 3 pictures for this model, got 0"),
        ("edit", {"image": picture(9, 9), "prompt": ["a", "b"]}, "prompt must be a single one"),
        ("edit", {"image": Image.new("RGB", (10_000, 1))}, "at most 200 times .*, got 10000x1"),
        ("edit", {"image": picture(9, 9), "prompt": "<|image_pad|>"}, "must not contain"),
        ("edit", {"image": picture(9, 9), "padding_mask_crop": 3}, "must go with a mask_image"),
        (
            "edit",
            {"image": picture(9, 9), "mask_image": Image.new("L", (9, 9), 255), "width": 64},
            "height and width must be left out",
        ),
    ],
)
def test_what_cannot_be_edited_is_one_line(sides, model, arguments, message):
    ours, _ = sides[model]
    with pytest.raises(ValueError, match=message) as error:
        ours(
            **{"prompt": INSTRUCTION, "negative_prompt": " ", "num_inference_steps": 2} | arguments
        )
    assert "\n" not in str(error.value)


def test_edit_2511_takes_more_than_three_pictures(sides):
    ours, _ = sides["2511"]
    pictures = [picture(32, 32, seed) for seed in range(5)]
    assert painted(ours, pictures, height=32, width=32).shape == (32, 32, 3)


# -- Edit-Lowres-Fix ------------------------------------------------------------------------------


def test_a_picture_of_another_size_is_spread_over_the_positions_of_the_target():
    spread = spread_positions([(1, 6, 5), (1, 3, 2), (1, 6, 5)]).tolist()
    rows, cols = [-3, -2, -1, 0, 1, 2], [-3, -2, -1, 0, 1]
    assert spread[:30] == [[0, row, col] for row in rows for col in cols]
    # rows 0, 2.5 and 5 of the target, cut off to 0, 2, 5; columns 0 and 4
    assert spread[30:36] == [[1, row, col] for row in (-3, -1, 2) for col in (-3, 1)]
    assert spread[36:] == [[2, row, col] for row in rows for col in cols]


def test_the_spread_does_not_remember_earlier_targets():
    fresh = spread_positions([(1, 8, 8), (1, 4, 4)])
    spread_positions([(1, 4, 4), (1, 8, 8)])
    spread_positions([(1, 6, 6), (1, 4, 4)])
    assert torch.equal(spread_positions([(1, 8, 8), (1, 4, 4)]), fresh)


def test_without_another_size_the_spread_is_the_usual_positions():
    grids = [(1, 5, 7), (1, 5, 7)]
    assert torch.equal(spread_positions(grids), positions(grids, 1)[0])


def test_a_model_that_spreads_leaves_the_size_of_a_picture_and_spreads_it(sides, monkeypatch):
    ours, _ = sides["2509"]
    monkeypatch.setattr(
        ours, "form", replace(ours.form, auto_resize=False, rope_interpolation=True)
    )
    _, (branch,) = edit(ours, [[INSTRUCTION]], [picture(50, 31)], (64, 96, 2))
    assert branch.grids == ((1, 2, 3),)
    assert torch.equal(branch.img_positions, spread_positions([(1, 4, 6), (1, 2, 3)]))
    x = torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(0))
    call = branch.call(x, torch.tensor([0.6]), (1, 4, 6))
    with torch.no_grad():
        spread, plain = ours.transformer.many([call, call._replace(img_positions=None)])
    assert difference(spread, plain)[1] > 0.01
