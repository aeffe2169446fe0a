"""Layers beside diffusers' QwenImageLayeredPipeline: text states, latents, a step, whole layers."""

from importlib import import_module

import numpy as np
import pytest
import torch
from helpers.editing import EDIT, edit_folder, picture
from helpers.layering import layered_folder, reference, transparent
from helpers.painting_over import assert_the_same_pictures
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.conditions import size_of_area
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import difference
from qwenimage_ref.repository import POCKET
from qwenimage_ref.sampler import pack
from qwenimage_ref.tasks.layers import decompose, extract

LAYERS = import_module("qwenimage_ref.tasks.layers")
PROMPT = 'a red circle left of a blue star, the word "OK" over both'
QUICK = {"num_inference_steps": 2, "seed": 5}


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Ours and theirs, loaded from the same folder"""
    folder = layered_folder(tmp_path_factory.mktemp("layered") / "m")
    with pytest.MonkeyPatch.context() as patch:
        yield QwenImage.from_pretrained(folder), reference(folder, patch)


def theirs_of(theirs, img, prompt=PROMPT, seed=5, **options):
    """-> one list of layers for each prompt, and whatever diffusers puts behind them"""
    options = {"num_inference_steps": 2, "negative_prompt": " "} | options
    if isinstance(seed, list):
        sources = [torch.Generator().manual_seed(one) for one in seed]
    else:
        sources = torch.Generator().manual_seed(seed)
    return theirs(img, prompt, generator=sources, **options).images


@pytest.mark.parametrize("size", [(131, 77), (90, 211)], ids=str)
def test_diffusers_takes_a_picture_of_any_size_apart_alike(sides, size):
    ours, theirs = sides
    img = transparent(*size)
    painted = decompose(ours, img, PROMPT, layers=3, **QUICK)
    (expected,) = theirs_of(theirs, img, layers=3)
    assert [layer.mode for layer in painted] == 3 * ["RGBA"]
    assert_the_same_pictures(painted, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 1},
        {"layers": 4, "num_inference_steps": 1, "cfg_normalize": True},
        {"true_cfg_scale": 1.0},
        {"negative_prompt": None},
        {"negative_prompt": "grey", "true_cfg_scale": 7.0},
    ],
    ids=str,
)
def test_diffusers_takes_a_picture_apart_alike_with_every_option(sides, options):
    ours, theirs = sides
    img, options = transparent(100, 60, seed=1), {"layers": 2, "seed": 5} | options
    painted = decompose(ours, img, PROMPT, **QUICK | options)
    (expected,) = theirs_of(theirs, img, **options)
    assert_the_same_pictures(painted, expected)


def test_the_steps_that_are_seen_are_those_of_diffusers(sides):
    """With the schedule, the packing of the frames and guidance: latents after each step."""
    ours, theirs = sides
    img, seen, expected = transparent(100, 60), [], []

    def keep(pipe, step, time, tensors):
        expected.append(tensors["latents"])
        return tensors

    options = {"layers": 2, "num_inference_steps": 3}
    theirs_of(theirs, img, callback_on_step_end=keep, **options)
    decompose(ours, img, PROMPT, callback=lambda *step: seen.append(step), **QUICK | options)
    for (_, _, latents, _), theirs_before in zip(seen[1:], expected):
        assert difference(pack(latents), theirs_before)[1] <= within("stack")


@pytest.mark.parametrize("prompt", [PROMPT, " "])
def test_the_text_states_are_those_of_diffusers(sides, prompt):
    ours, theirs = sides
    (branch,) = LAYERS.encode(ours, prompt, None, 4.0, 512)
    expected, mask = theirs.encode_prompt(prompt)
    assert mask is None and branch.txt_mask is None
    assert difference(branch.txt, expected)[1] <= within("text states")


def test_the_latents_of_the_picture_are_those_that_diffusers_encodes(sides):
    ours, theirs = sides
    img = transparent(131, 77)
    width, height = size_of_area(*img.size, 96**2)
    prepared = theirs.image_processor.resize(img, height, width)
    prepared = theirs.image_processor.preprocess(prepared, height, width).unsqueeze(2)
    noise, expected = theirs.prepare_latents(
        prepared, 1, 16, height, width, 3, torch.float32, "cpu", torch.Generator().manual_seed(5)
    )
    copy = LAYERS.encoded_copy(ours, img, None)
    assert difference(LAYERS.picture_tokens(ours, copy), expected)[1] <= within("vae encode")
    assert torch.equal(pack(LAYERS.frames_of_noise(ours, 4, copy, 5)), noise)


@pytest.mark.parametrize("frames", [2, 5])
def test_one_step_is_that_of_diffusers(sides, frames):
    ours, theirs = sides
    img = torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(1))
    encoded = LAYERS.encode(ours, PROMPT, None, 4.0, 512)
    (branch,) = LAYERS.layered_branches(encoded, img, frames, (1, 4, 6))
    x = torch.randn(1, 24 * frames, 64, generator=torch.Generator().manual_seed(0))
    call = branch.call(x, torch.tensor([0.6]), (1, 4 * frames, 6))
    with torch.no_grad():
        velocity = ours.transformer(*call)
        expected = theirs.transformer(
            hidden_states=call.img,
            encoder_hidden_states=call.txt,
            timestep=call.sigma,
            img_shapes=[[(1, 4, 6)] * (frames + 1)],
            additional_t_cond=torch.tensor([0]),
            return_dict=False,
        )[0][:, : 24 * frames]
    assert difference(velocity, expected)[1] <= within("stack")


def test_the_vae_in_four_channels_is_that_of_diffusers(sides):
    ours, theirs = sides
    z = torch.randn(1, 16, 8, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.vae.decode(z.unsqueeze(2), return_dict=False)[0].squeeze(2)
        assert expected.shape == (1, 4, 64, 96)
        assert difference(ours.vae.decode(z), expected)[1] <= within("vae decode")


def test_erratum_of_several_prompts_diffusers_cuts_the_list_of_layers_in_the_wrong_places(sides):
    """It drops the composite and then cuts as if it were there: layers move to their neighbour."""
    ours, theirs = sides
    img, prompts = transparent(64, 64), [PROMPT, "a green square"]
    first, second = theirs_of(
        theirs, img, prompts, seed=[5, 6], layers=2, negative_prompt=[" ", " "]
    )
    assert [len(first), len(second)] == [3, 1]
    # alone, so that the shorter prompt has no padding: that of the longer one is what it was
    right = decompose(ours, img, PROMPT, layers=2, **QUICK)
    assert_the_same_pictures(right, first[:2])


# -- what matters ---------------------------------------------------------------------------------


def pixels(layers) -> np.ndarray:
    return np.stack([np.asarray(layer).astype(int) for layer in layers])


def painted(pipe, img, prompt=PROMPT, **options):
    return pixels(decompose(pipe, img, prompt, **{"layers": 2} | QUICK | options))


def test_transparency_of_the_picture_changes_its_layers(sides):
    ours, _ = sides
    img = transparent(64, 64)
    opaque = img.convert("RGB")
    assert np.abs(painted(ours, img) - painted(ours, opaque)).max() > 4


def test_a_picture_without_transparency_counts_as_opaque(sides):
    ours, _ = sides
    opaque = picture(64, 64)
    solid = opaque.convert("RGBA")
    assert np.array_equal(painted(ours, opaque), painted(ours, solid))


def test_the_picture_is_at_frame_minus_one(sides):
    ours, _ = sides
    encoded = LAYERS.encode(ours, PROMPT, None, 4.0, 512)
    (branch,) = LAYERS.layered_branches(encoded, torch.zeros(1, 24, 64), 4, (1, 4, 6))
    frames = branch.img_positions[:, 0].view(5, 24)
    assert frames[:, 0].tolist() == [0, 1, 2, 3, -1] and (frames == frames[:, :1]).all()


def test_the_schedule_goes_by_the_tokens_of_one_frame(sides, monkeypatch):
    ours, _ = sides
    lengths, sigmas = [], LAYERS.sigmas
    monkeypatch.setattr(
        LAYERS, "sigmas", lambda steps, n, config: lengths.append(n) or sigmas(steps, n, config)
    )
    painted(ours, transparent(64, 64), layers=3)
    assert lengths == [(96 // 16) ** 2]


def test_guidance_keeps_the_length_of_tokens_only_if_it_is_told_to(sides):
    ours, _ = sides
    img = transparent(64, 64)
    assert np.abs(painted(ours, img) - painted(ours, img, cfg_normalize=True)).max() > 4


# -- one layer ------------------------------------------------------------------------------------


def one_of_theirs(theirs, ours, img, conditions, levels, prompts, scale):
    """The loop of DiffSynth's pipeline with layer_num=0, over diffusers' networks"""
    width, height = size_of_area(*img.size, 96**2)
    tokens = []
    for condition in conditions:
        resized = condition.resize((width, height), Image.Resampling.LANCZOS)
        prepared = theirs.image_processor.preprocess(resized, height, width).unsqueeze(2)
        latents = theirs._encode_vae_image(prepared, None)
        tokens.append(theirs._pack_latents(latents, 1, 16, height // 8, width // 8, 1))
    grid = (1, height // 16, width // 16)
    noise = torch.randn(1, 16, height // 8, width // 8, generator=torch.Generator().manual_seed(5))
    x = theirs._pack_latents(noise, 1, 16, height // 8, width // 8, 1)
    texts = [theirs.encode_prompt(prompt)[0] for prompt in prompts]
    for sigma, sigma_next in zip(levels, levels[1:]):
        velocity, *negative = (
            theirs.transformer(
                hidden_states=torch.cat([x, *tokens], dim=1),
                encoder_hidden_states=txt,
                timestep=sigma.view(1),
                img_shapes=[[grid] * (1 + len(tokens))],
                additional_t_cond=torch.tensor([0]),
                return_dict=False,
            )[0][:, : x.shape[1]]
            for txt in texts
        )
        if negative:
            velocity = negative[0] + scale * (velocity - negative[0])
        x = x + (sigma_next - sigma) * velocity
    latents = theirs._unpack_latents(x, height, width, 0, 8)[:, :, 0]
    return ours.to_pictures(latents)


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_one_layer_is_taken_out_by_the_loop_of_diffsynth(sides, masked):
    ours, theirs = sides
    img, mask = transparent(100, 60), transparent(50, 30, seed=4) if masked else None
    layer = extract(ours, img, "the star", mask, num_inference_steps=3, seed=5)
    levels = LAYERS.sigmas(3, 4 * 8, LAYERS.SchedulerConfig.official())
    conditions, prompts = ([mask, img], ["the star"]) if masked else ([img], ["the star", ""])
    expected = one_of_theirs(theirs, ours, img, conditions, levels, prompts, 4.0)
    assert layer.mode == "RGBA"
    assert_the_same_pictures([layer], expected)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layers": 0}, "layers must be a whole number from 1 to 64, got 0"),
        ({"layers": 65}, "layers must be a whole number from 1 to 64, got 65"),
        ({"layers": 2.5}, "layers must be a whole number from 1 to 64, got 2.5"),
        ({"resolution": 700}, r"resolution must be one of \[96, 640, 1024\], got 700"),
        ({"image": None}, "image must be a PIL picture, got NoneType"),
        ({"true_cfg_scale": float("nan")}, "true_cfg_scale must be finite"),
        ({"num_inference_steps": 0}, "num_inference_steps must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"image": Image.new("RGB", (10_000, 1))}, "at most 200 times .*, got 10000x1"),
    ],
)
def test_what_cannot_be_taken_apart_is_one_line(sides, arguments, message):
    ours, _ = sides
    with pytest.raises(ValueError, match=message) as error:
        decompose(ours, **{"image": picture(9, 9), "prompt": "a"} | arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pipeline, kind", [(None, "a text-to-image"), (EDIT, "an edit")])
def test_other_models_take_nothing_apart(tmp_path, pipeline, kind):
    folder = POCKET if pipeline is None else edit_folder(tmp_path / "m", pipeline)
    pipe = QwenImage.from_pretrained(folder)
    with pytest.raises(ValueError, match=f"must be of Qwen-Image-Layered .*, got {kind} model"):
        decompose(pipe, picture(9, 9), "a")
    with pytest.raises(ValueError, match=f"must be of Qwen-Image-Layered .*, got {kind} model"):
        extract(pipe, picture(9, 9), "a")


@pytest.mark.parametrize("more", [{}, {"image": picture(9, 9)}], ids=["text", "with an image"])
def test_a_layered_model_paints_nothing_from_a_prompt(sides, more):
    ours, _ = sides
    with pytest.raises(ValueError, match="must be given a picture to take apart"):
        ours("a", " ", num_inference_steps=2, **more)


@pytest.mark.parametrize("level, kind", [(255, "all of it opaque"), (0, "all of it transparent")])
def test_a_mask_that_shows_no_place_is_one_line(sides, level, kind):
    mask = Image.new("RGBA", (9, 9), (0, 0, 0, level))
    with pytest.raises(ValueError, match=f"mask must be opaque where .*, got {kind}; erase"):
        extract(sides[0], picture(9, 9), "the star", mask)


def test_a_layer_without_a_name_cannot_be_taken_out(sides):
    with pytest.raises(ValueError, match="prompt must name a layer"):
        extract(sides[0], picture(9, 9), " ")


def test_more_frames_than_memory_holds_are_refused_at_once(sides, monkeypatch):
    ours, _ = sides
    monkeypatch.setattr(LAYERS.limits, "free_memory", lambda device: 3e7)
    with pytest.raises(ValueError, match="42 frames of 96x96 pixels must fit .* use fewer layers"):
        decompose(ours, picture(9, 9), "a", layers=40)
