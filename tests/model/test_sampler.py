"""Noise levels against published schedules; packing, Euler steps and guidance as defined."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline

from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.sampler import euler_step, guide, model_time, pack, sigmas, unpack

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "sigmas.json").read_text(encoding="utf-8")
)
OFFICIAL = SchedulerConfig.official()
LIGHTNING = SchedulerConfig.from_dict(GOLDEN["config_lightning"])
LAYERED = SchedulerConfig.from_dict(GOLDEN["config_layered"])


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# -- noise levels ---------------------------------------------------------------------------------


def golden(name):
    """The published case and our sigmas for it."""
    case, kind = GOLDEN["cases"][name], name.split("_")[0]
    config = {"t2i": OFFICIAL, "lightning": LIGHTNING, "layered": LAYERED}[kind]
    return case, sigmas(case["steps"], case["image_seq_len"], config)


every_case = pytest.mark.parametrize("name", GOLDEN["cases"])


@every_case
def test_sigmas_are_the_published_ones(name):
    case, ours = golden(name)
    assert ours.dtype == torch.float32 and len(ours) == case["steps"] + 1
    assert (ours - torch.tensor(case["sigmas"])).abs().max() <= within("sigmas")


@every_case
def test_the_bf16_time_of_the_network_is_the_published_one_to_the_last_bit(name):
    case, ours = golden(name)
    times = [model_time(sigma, torch.bfloat16) for sigma in ours[:-1]]
    assert {time.dtype for time in times} == {torch.bfloat16}
    assert [time.item() for time in times] == case["timestep_fed_to_model_bf16"]


@every_case
def test_the_float32_time_of_the_network_is_the_sigma_itself(name):
    case, ours = golden(name)
    times = model_time(ours[:-1], torch.float32)
    expected = torch.tensor(case["timestep_fed_to_model_fp32"])
    assert (times - expected).abs().max() <= within("sigmas")


def test_the_official_config_is_that_of_the_golden_file():
    assert SchedulerConfig.from_dict(GOLDEN["config_base"]) == OFFICIAL


@pytest.mark.parametrize("config", [OFFICIAL, LIGHTNING, LAYERED], ids=["t2i", "4-step", "layers"])
@pytest.mark.parametrize("steps", [2, 3, 50, 1000])
def test_sigmas_fall_from_one_to_zero(config, steps):
    levels = sigmas(steps, 64, config)
    assert len(levels) == steps + 1
    assert levels[0] == 1 and levels[-1] == 0 and (levels.diff() < 0).all()


def test_the_last_sigma_before_zero_is_the_terminal_one():
    assert sigmas(7, 999, OFFICIAL)[-2].item() == pytest.approx(0.02, abs=1e-7)


def test_a_larger_picture_stays_longer_at_high_noise():
    small, large = sigmas(20, 64, OFFICIAL), sigmas(20, 6889, OFFICIAL)
    assert (small[1:-2] < large[1:-2]).all()


def test_one_step_is_refused_with_the_reason_where_the_schedule_is_stretched():
    with pytest.raises(ValueError, match="must be at least 2 .*0.02, got 1; use 2 or more"):
        sigmas(1, 64, OFFICIAL)


@pytest.mark.parametrize("config", [LIGHTNING, LAYERED], ids=["4-step", "layers"])
def test_one_step_is_a_schedule_where_nothing_is_stretched(config):
    assert sigmas(1, 64, config).tolist() == [1, 0]


@pytest.mark.parametrize("steps", [0, -3, 1001, 2.5, 20.0, math.nan, "20"])
def test_an_impossible_number_of_steps_is_refused(steps):
    with pytest.raises(ValueError, match=f"a whole number from 1 to 1000, got {steps}"):
        sigmas(steps, 64, OFFICIAL)


def test_an_integer_of_numpy_is_a_number_of_steps():
    assert torch.equal(sigmas(np.int64(8), 64, OFFICIAL), sigmas(8, 64, OFFICIAL))


@pytest.mark.parametrize("shift", [1.0, 3.0, 0.7])
@pytest.mark.parametrize("terminal", [None, 0.02])
@pytest.mark.parametrize("steps", [2, 8, 50, 333])
def test_a_static_shift_is_that_of_diffusers_to_the_last_bit(shift, terminal, steps):
    settings = {"use_dynamic_shifting": False, "shift": shift, "shift_terminal": terminal}
    theirs = FlowMatchEulerDiscreteScheduler(**settings)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    ours = sigmas(steps, 64, SchedulerConfig.from_dict(settings))
    assert torch.equal(ours, theirs.sigmas)


def test_a_static_shift_is_the_same_at_every_size():
    static = replace(OFFICIAL, use_dynamic_shifting=False, shift=3.0)
    assert torch.equal(sigmas(8, 64, static), sigmas(8, 6889, static))


@pytest.mark.parametrize(
    "change, named",
    [
        ({"shift_terminal": 1.5}, "shift_terminal must be .*, got 1.5"),
        ({"shift_terminal": -0.5}, "shift_terminal must be .*, got -0.5"),
        ({"max_shift": math.nan}, "max_shift must be .*, got nan"),
    ],
)
def test_scheduler_numbers_that_make_no_sense_are_named(change, named):
    with pytest.raises(ValueError, match=named):
        sigmas(4, 4096, replace(OFFICIAL, **change))


def test_a_shift_so_large_that_float32_cannot_tell_the_levels_apart_is_refused():
    with pytest.raises(ValueError, match="sigmas must fall from 1"):
        sigmas(1000, 64, replace(OFFICIAL, base_shift=10.0, max_shift=10.0))


# -- packing --------------------------------------------------------------------------------------


def test_channels_of_a_token_come_in_the_order_channel_row_column():
    # every value says where it was: channel, row, column
    latents = (
        100 * torch.arange(5).view(1, 5, 1, 1)
        + 10 * torch.arange(4).view(1, 1, 4, 1)
        + torch.arange(6).view(1, 1, 1, 6)
    )
    tokens = pack(latents)
    row, col = 1, 2
    expected = [
        100 * c + 10 * (2 * row + y) + 2 * col + x for c in range(5) for y in (0, 1) for x in (0, 1)
    ]
    assert tokens[0, row * 3 + col].tolist() == expected


def test_packing_and_unpacking_undo_each_other():
    latents = noise(2, 5, 4, 6)
    assert torch.equal(unpack(pack(latents), 2, 3), latents)
    tokens = noise(2, 6, 20)
    assert torch.equal(pack(unpack(tokens, 2, 3)), tokens)


def test_packing_is_that_of_diffusers():
    latents = noise(2, 5, 4, 6)
    assert torch.equal(pack(latents), QwenImagePipeline._pack_latents(latents, 2, 5, 4, 6))
    back = QwenImagePipeline._unpack_latents(pack(latents), 4 * 8, 6 * 8, 8)
    assert torch.equal(unpack(pack(latents), 2, 3), back.squeeze(2))


# -- Euler steps (beside diffusers in test_parity.py) ---------------------------------------------


def test_a_step_in_bf16_rounds_the_difference_then_the_product_then_the_sum():
    x, velocity = noise(1, 40, 64).bfloat16(), noise(1, 40, 64, seed=1).bfloat16()
    sigma, sigma_next = torch.tensor(0.990988), torch.tensor(0.981768)
    product = (sigma_next - sigma).bfloat16() * velocity
    expected = (x.float() + product.float()).bfloat16()
    assert torch.equal(euler_step(x, velocity, sigma, sigma_next), expected)


def test_a_step_in_float32_is_plain():
    x, velocity = noise(1, 4, 6), noise(1, 4, 6, seed=1)
    moved = euler_step(x, velocity, torch.tensor(0.75), torch.tensor(0.5))
    assert torch.equal(moved, x - 0.25 * velocity)


# -- guidance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 1.5, 4.0, 30.0])
def test_guidance_keeps_the_length_of_every_token(scale):
    cond, uncond = noise(2, 5, 64) * torch.arange(1, 6).view(5, 1), noise(2, 5, 64, seed=1)
    guided = guide(cond, uncond, scale)
    torch.testing.assert_close(guided.norm(dim=-1), cond.norm(dim=-1))


def test_guidance_points_away_from_the_negative_prompt():
    cond, uncond = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 0.0]]])
    expected = torch.tensor([[[5.0, 8.0]]]) * 5 / math.sqrt(89)  # 2 cond - uncond, of length 5
    torch.testing.assert_close(guide(cond, uncond, 2.0), expected)


def test_guidance_of_scale_one_changes_nothing():
    cond, uncond = noise(2, 5, 64), noise(2, 5, 64, seed=1)
    torch.testing.assert_close(guide(cond, uncond, 1.0), cond)


def test_guidance_by_the_prompt_itself_changes_nothing():
    cond = noise(2, 5, 64)
    torch.testing.assert_close(guide(cond, cond, 4.0), cond)


def test_guidance_of_one_token_does_not_depend_on_the_others():
    cond, uncond = noise(2, 5, 64), noise(2, 5, 64, seed=1)
    alone = guide(cond[:1, 2:3], uncond[:1, 2:3], 4.0)
    torch.testing.assert_close(guide(cond, uncond, 4.0)[:1, 2:3], alone)


def test_guidance_stays_in_the_type_of_the_network():
    cond, uncond = noise(2, 5, 64).bfloat16(), noise(2, 5, 64, seed=1).bfloat16()
    assert guide(cond, uncond, 4.0).dtype == torch.bfloat16
