"""Distillation as a training: the teacher's own noise, its path, runs that are resumed."""

import dataclasses

import pytest
import torch
from helpers.few_examples import EMPTY, SHAPE, prompts, taught
from helpers.nets import filled, model
from helpers.resumed import assert_same_state, kill_at

from qwenimage_ref.adapt import lora
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.repository import POCKET
from qwenimage_ref.sampler import pack
from qwenimage_ref.train import distill
from qwenimage_ref.train.distill import (
    FewSteps,
    Imitation,
    Taught,
    imitation_loss,
    imitation_of,
    loss_of,
    noise_of,
    rollout,
    teacher_states,
    train,
    train_imitation,
)
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.lora import Adapter
from qwenimage_ref.train.prompts import Prompts
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=4, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)
SETTINGS, ADAPTER = FewSteps(steps=2), Adapter(rank=2, targets="musubi")
IMITATION = Imitation(rank=2, targets="musubi", steps=2, between=2)


def trained(folder, adapter=ADAPTER, **fit):
    return train(model(), taught(), RECIPE, SETTINGS, folder, adapter, quiet=True, **fit)


def imitated(folder, **fit):
    return train_imitation(
        model(), prompts(), EMPTY, SHAPE, RECIPE, IMITATION, folder, quiet=True, **fit
    )


# -- direct distillation


def test_the_noise_of_a_seed_is_the_pipelines_to_the_bit():
    pipe = QwenImage.from_pretrained(POCKET)
    one = Taught(torch.zeros(16, 12, 8), torch.zeros(3, 4), seed=2**40 + 5)
    for dtype in (torch.float32, torch.bfloat16):
        pipe.transformer.to(dtype)
        theirs = pipe.noise(1, 96, 64, seed=2**40 + 5)
        assert theirs.dtype == dtype and torch.equal(noise_of(one, dtype), theirs)


@pytest.mark.parametrize(
    "schedule, levels",
    [("Lightning", [1, 0.9, 0.75, 0.5, 0]), ("DiffSynth", [1, 0.777635, 0.470783, 0.02, 0])],
)
def test_the_students_levels_are_the_published_ones(schedule, levels):
    ours = FewSteps(steps=4, schedule=schedule).levels(4096)
    assert ours.tolist() == pytest.approx(levels, abs=1e-6)


def test_one_step_goes_from_noise_to_the_picture():
    assert FewSteps(steps=1).levels(64).tolist() == [1, 0]


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"steps": 0}, "steps must be from 1 to 1000, got 0"),
        ({"steps": 1, "schedule": "DiffSynth"}, "steps must be from 2 to 1000, got 1"),
        ({"schedule": "fast"}, "schedule must be one of Lightning, DiffSynth, got fast"),
    ],
)
def test_steps_that_no_schedule_has_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        FewSteps(**wrong)


MANY = Recipe(steps=150, batch=4, lr=5e-3, warmup=5, decay_from=0.5, ema=0.0)
LEVEL = 2.0  # of the brighter half of the teacher's pictures; the other half is as dark


def one_prompt_many_results() -> list[Taught]:
    """Pictures of one prompt, bright or dark by the brightness of the noise that they began with"""
    txt, pictures = torch.ones(3, EMPTY.shape[1]), []
    for seed in range(16):
        one = Taught(torch.zeros(SHAPE), txt, seed)
        bright = noise_of(one, torch.float32).mean() > 0
        pictures.append(dataclasses.replace(one, latents=one.latents + (2 * bright - 1) * LEVEL))
    return pictures


def result_of_training(folder, monkeypatch, foreign: bool):
    """Mean brightness of the student's 16 pictures, and of the teacher's"""
    pictures, mmdit = one_prompt_many_results(), model()
    with monkeypatch.context() as patch:
        if foreign:
            numbers = torch.Generator().manual_seed(7)
            patch.setattr(
                distill,
                "noise_of",
                lambda one, dtype: torch.randn(1, *SHAPE, generator=numbers, dtype=dtype),
            )
        train(mmdit, pictures, MANY, FewSteps(steps=1), folder, None, quiet=True)
    noise = torch.cat([noise_of(one, torch.float32) for one in pictures])
    txt = pictures[0].txt.expand(16, -1, -1)
    with torch.no_grad():
        ends = rollout(mmdit, noise, txt, torch.tensor([1.0, 0.0]))
    return ends.mean((1, 2)), torch.stack([one.latents.mean() for one in pictures])


def test_with_the_teachers_noise_the_students_pictures_are_the_teachers(tmp_path, monkeypatch):
    ours, theirs = result_of_training(tmp_path, monkeypatch, foreign=False)
    assert (ours - theirs).abs().mean() < 0.25 * LEVEL


def test_with_foreign_noise_all_pictures_become_the_mean_of_the_teachers(tmp_path, monkeypatch):
    ours, theirs = result_of_training(tmp_path, monkeypatch, foreign=True)
    assert (ours - theirs.mean()).abs().max() < 0.5 * LEVEL
    assert (ours - theirs).abs().mean() > 0.75 * LEVEL


@pytest.mark.parametrize("adapter", [ADAPTER, None])
def test_an_adapter_or_every_weight_is_trained(tmp_path, adapter):
    run = trained(tmp_path, adapter)
    names = {name.split(".")[0] for name, _ in run.model.named_parameters()}
    assert names == (
        {"pairs"} if adapter else {name.split(".")[0] for name in model().state_dict()}
    )


@pytest.mark.parametrize("adapter", [ADAPTER, None])
def test_four_steps_are_two_and_two_to_the_last_bit(tmp_path, adapter):
    trained(tmp_path / "twice", adapter, until=2)
    trained(tmp_path / "twice", adapter)
    trained(tmp_path / "once", adapter)
    assert_same_state(tmp_path / "twice", tmp_path / "once")


def test_a_killed_distillation_goes_on_to_the_same_bits(tmp_path):
    kill_at("test_distill_training", 2, tmp_path / "killed")
    trained(tmp_path / "killed")
    trained(tmp_path / "whole")
    assert_same_state(tmp_path / "killed", tmp_path / "whole")


def test_a_run_with_other_seeds_is_not_taken_up(tmp_path):
    trained(tmp_path, until=1)
    others = [dataclasses.replace(one, seed=one.seed + 1) for one in taught()]
    with pytest.raises(ValueError, match="on other data"):
        train(model(), others, RECIPE, SETTINGS, tmp_path, ADAPTER, quiet=True)


def gradients(objective, sparing: bool) -> list[torch.Tensor]:
    """By a filled adapter, of the objective that objective(mmdit, adapter) returns"""
    mmdit = model()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2))
    if sparing:
        recompute(mmdit)
    objective(mmdit, adapter)(0).backward()
    return [p.grad for p in adapter.parameters() if p.grad is not None]


def distillation(mmdit, adapter):
    return loss_of(mmdit, taught(), RECIPE, SETTINGS)


def imitation(mmdit, adapter):
    drawn = Prompts(prompts(), EMPTY, SHAPE, RECIPE, mmdit.proj_out.weight)
    return imitation_of(mmdit, adapter, drawn, IMITATION)


@pytest.mark.parametrize("objective", [distillation, imitation])
def test_blocks_that_are_computed_again_give_the_same_gradients(objective):
    both = gradients(objective, True), gradients(objective, False)
    for ours, theirs in zip(*both, strict=True):
        assert torch.equal(ours, theirs)


# -- trajectory imitation


def test_the_teachers_states_are_those_of_the_pipeline():
    mmdit, noise = model(), torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    txt, levels = prompts()[0].txt[None], torch.tensor([1.0, 0.5, 0.0])

    def velocity(x, sigma):
        return mmdit(x, txt, sigma.expand(1), [(1, 2, 3)])

    with torch.no_grad():
        states = teacher_states(velocity, pack(noise), levels, between=2)
        whole = rollout(mmdit, noise, txt, torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))
        half = rollout(mmdit, noise, txt, torch.tensor([1.0, 0.75, 0.5]))
    assert len(states) == 3
    torch.testing.assert_close(states[2], whole)
    torch.testing.assert_close(states[1], half)


def test_a_student_that_is_its_own_teacher_in_equal_steps_has_no_loss():
    mmdit, noise = model(), torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    txt, levels, grid = torch.ones(2, 3, EMPTY.shape[1]), torch.tensor([1.0, 0.6, 0.0]), (1, 2, 3)

    def velocity(x, sigma):
        return mmdit(x, txt, sigma.expand(2), [grid])

    with torch.no_grad():
        states = teacher_states(velocity, pack(noise), levels, between=1)
        loss = imitation_loss(mmdit, states, txt, levels, grid)
    assert loss.item() == pytest.approx(0, abs=1e-10)


def test_the_teacher_is_the_network_with_its_adapter_off(monkeypatch):
    mmdit, scales = model(), []
    adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2))
    guided = distill.guided_velocity
    monkeypatch.setattr(
        distill, "guided_velocity", lambda *a: scales.append(adapter.scale) or guided(*a)
    )
    imitation(mmdit, adapter)(0)
    assert set(scales) == {0.0} and adapter.scale == 1.0


def test_imitation_brings_the_student_nearer_to_the_teachers_path(tmp_path):
    recipe = Recipe(steps=12, batch=3, lr=1e-2, warmup=0, decay_from=1.0, ema=0.0)
    losses, mmdit = [], model()
    train_imitation(
        mmdit, prompts(), EMPTY, SHAPE, recipe, IMITATION, tmp_path, quiet=True,
    )  # fmt: skip
    (adapter,) = lora.adapters(mmdit)
    for scale in (0.0, 1.0):
        drawn = Prompts(prompts(), EMPTY, SHAPE, recipe, mmdit.proj_out.weight)
        loss_at = imitation_of(mmdit, adapter, drawn, IMITATION)
        adapter.scale = scale
        with torch.no_grad():
            losses.append(loss_at(100).item())
    assert losses[1] < 0.9 * losses[0]


def test_four_steps_of_imitation_are_two_and_two_to_the_last_bit(tmp_path):
    imitated(tmp_path / "twice", until=2)
    imitated(tmp_path / "twice")
    imitated(tmp_path / "once")
    assert_same_state(tmp_path / "twice", tmp_path / "once")


def test_lightning_levels_are_those_of_the_scheduler_that_paints_with_it():
    assert distill.SCHEDULES["Lightning"] == SchedulerConfig.lightning()
