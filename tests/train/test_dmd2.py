"""DMD2: three networks in one, the gradient between them, a run that is resumed."""

import pytest
import torch
from helpers.few_examples import EMPTY, SHAPE, prompts
from helpers.nets import filled, model
from helpers.resumed import assert_same_state, kill_at

from qwenimage_ref.adapt import lora
from qwenimage_ref.train import dmd2
from qwenimage_ref.train.dmd2 import Matching, Players, matching_loss, train
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.prompts import Prompts
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=6, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)
SETTINGS = Matching(rank=2, targets="musubi", steps=2, every=3)


def trained(folder, **fit):
    return train(model(), prompts(), EMPTY, SHAPE, RECIPE, SETTINGS, folder, quiet=True, **fit)


def players(mmdit=None, settings=SETTINGS) -> Players:
    mmdit = mmdit or model()
    student, fake = (filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2), seed) for seed in (3, 4))
    drawn = Prompts(prompts(), EMPTY, SHAPE, RECIPE, mmdit.proj_out.weight)
    return Players(mmdit, student, fake, drawn, settings)


def with_gradients(module) -> bool:
    return any(p.grad is not None and p.grad.any() for p in module.parameters())


def test_the_gradient_points_from_the_fakes_picture_to_the_teachers():
    picture, fake, teacher = (torch.randn(2, 3, 4) for _ in range(3))
    picture.requires_grad_(True)
    matching_loss(picture, fake, teacher).backward()
    scale = (picture - teacher).abs().mean((1, 2), keepdim=True)
    torch.testing.assert_close(picture.grad * picture.numel(), (fake - teacher) / scale)


def test_where_fake_and_teacher_agree_nothing_pulls_at_the_student():
    picture, same = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4)
    matching_loss(picture, same, same).backward()
    assert not picture.grad.any()


def test_the_student_takes_the_last_of_every_few_steps_and_the_fake_the_others():
    each = players()
    names = [next(iter(each(number)[1])) for number in range(6)]
    assert names == ["fake_loss", "fake_loss", "student_loss"] * 2


@pytest.mark.parametrize(
    "number, trained_, other", [(0, "fake", "student"), (2, "student", "fake")]
)
def test_a_step_has_gradients_for_its_own_network_alone(number, trained_, other):
    each = players()
    each(number)[0].backward()
    assert with_gradients(getattr(each, trained_))
    assert not with_gradients(getattr(each, other))


def test_the_teacher_has_no_adapter_and_is_guided(monkeypatch):
    each, scales = players(), []
    guided = dmd2.guided_velocity

    def spy(*arguments):
        scales.append((each.student.scale, each.fake.scale, arguments[-1]))
        return guided(*arguments)

    monkeypatch.setattr(dmd2, "guided_velocity", spy)
    each(2)
    assert scales == [(0.0, 0.0, 4.0)]


def test_three_networks_are_one_with_two_adapters():
    each = players()
    assert sum(1 for _ in each.mmdit.modules()) == sum(1 for _ in model().modules())
    assert lora.adapters(each.mmdit) == [each.student, each.fake]


@pytest.mark.parametrize("number", [0, 2])
def test_blocks_that_are_computed_again_give_the_same_gradients(number):
    def gradients(sparing):
        mmdit = model()
        if sparing:
            recompute(mmdit)
        each = players(mmdit)
        each(number)[0].backward()
        both = [*each.student.parameters(), *each.fake.parameters()]
        return [p.grad for p in both if p.grad is not None]

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(ours, theirs)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    kill_at("test_dmd2", 4, tmp_path / "killed")
    trained(tmp_path / "killed")
    run = trained(tmp_path / "whole")
    assert_same_state(tmp_path / "killed", tmp_path / "whole")
    assert all(any(pair.lora_B.any() for pair in run.model[name].pairs.values())
               for name in ("student", "fake"))  # fmt: skip


def test_the_student_alone_is_left_on_the_network(tmp_path):
    mmdit = model()
    run = train(mmdit, prompts(), EMPTY, SHAPE, RECIPE, SETTINGS, tmp_path, quiet=True)
    assert lora.adapters(mmdit) == [run.model["student"]]
    assert run.model["student"].scale == 1.0


def test_measurements_are_taken_of_the_student(tmp_path):
    mmdit, scales = model(), []

    def measure():
        scales.append([adapter.scale for adapter in lora.adapters(mmdit)])
        return {}

    train(
        mmdit, prompts(), EMPTY, SHAPE, RECIPE, SETTINGS, tmp_path, quiet=True,
        measure=measure, measure_every=1,
    )  # fmt: skip
    assert scales == [[1.0, 0.0]] * 6


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"every": 1}, "every must be at least 2, got 1"),
        ({"guidance": float("nan")}, "guidance must be finite, got nan"),
        ({"steps": 0}, "steps must be from 1 to 1000, got 0"),
        ({"rank": 0}, "rank must be at least 1, got 0"),
    ],
)
def test_choices_that_cannot_be_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Matching(**wrong)
