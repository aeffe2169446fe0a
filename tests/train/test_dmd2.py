"""DMD2: three networks in one, the gradient between them, a run that is resumed."""

import dataclasses
import math

import pytest
import torch
from helpers.few_examples import EMPTY, SHAPE, examples, prompts
from helpers.nets import filled, model
from helpers.resumed import assert_same_state, kill_at

from qwenimage_ref.adapt import lora
from qwenimage_ref.train import dmd2
from qwenimage_ref.train.adversary import (
    Judge,
    RealPictures,
    Watched,
    fooling_loss,
    judge_loss,
)
from qwenimage_ref.train.dmd2 import Matching, Players, matching_loss, train, with_slope
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.prompts import Prompts
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=6, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)
SETTINGS = Matching(rank=2, targets="musubi", steps=2, every=3)
JUDGED = Matching(rank=2, targets="musubi", steps=2, every=3, adversarial=0.5)


def trained(folder, **fit):
    return train(
        model(), prompts(), EMPTY, SHAPE, RECIPE, JUDGED, folder, real=examples(), quiet=True, **fit
    )


def players(mmdit=None, settings=SETTINGS) -> Players:
    mmdit = mmdit or model()
    student, fake = (filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2), seed) for seed in (3, 4))
    like = mmdit.proj_out.weight
    drawn = Prompts(prompts(), EMPTY, SHAPE, RECIPE, like)
    if not settings.adversarial:
        return Players(mmdit, student, fake, drawn, settings)
    judge = Judge(mmdit.config.inner_dim, seed=5)
    judge.out.weight.data.normal_(0, 1, generator=torch.Generator().manual_seed(6))
    real = RealPictures(examples(), SHAPE, RECIPE, like)
    return Players(mmdit, student, fake, drawn, settings, judge, real)


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


def test_between_two_gaussians_the_gradient_is_the_one_by_hand():
    # teacher N(0, 1), fake N(2, 1), a picture at 2, no noise drawn: at sigma 1/2, x = 1. Where data
    # are N(m, 1), the clean picture behind x is expected at m + (x - m / 2) (1/2) / (1/4 + 1/4)
    picture = torch.tensor([[[2.0]]], requires_grad=True)
    x0_teacher, x0_fake = 0 + (1 - 0) * 1.0, 2 + (1 - 1) * 1.0
    matching_loss(picture, torch.tensor([[[x0_fake]]]), torch.tensor([[[x0_teacher]]])).backward()
    assert picture.grad.item() == pytest.approx((2 - 1) / abs(2 - 1))  # downhill is towards 0


# -- the adversarial term


def test_the_judges_slope_between_two_gaussians_is_the_one_by_hand():
    # real N(0, 1), generated N(2, 1): the best judge of x is log N(x; 0, 1) - log N(x; 2, 1)
    picture = torch.tensor([[[2.0]]], requires_grad=True)
    logit = 2 - 2 * picture.sum((1, 2))
    fooling_loss(logit).backward()  # d/dx log(1 + e^-(2 - 2x)) = 2 / (1 + e^(2 - 2x))
    assert picture.grad.item() == pytest.approx(2 / (1 + math.exp(-2)))


def test_a_judge_that_knows_nothing_has_the_loss_of_two_coins_and_no_slope():
    judge, tokens = Judge(8, seed=0), torch.randn(2, 3, 8, requires_grad=True)
    assert judge_loss(judge(tokens), judge(tokens)).item() == pytest.approx(2 * math.log(2))
    fooling_loss(judge(tokens)).backward()
    assert not tokens.grad.any()


def test_the_judge_learns_where_real_and_generated_differ():
    loss = judge_loss(real=torch.tensor([3.0]), generated=torch.tensor([-3.0]))
    assert loss < judge_loss(real=torch.tensor([-3.0]), generated=torch.tensor([3.0])) / 50


def test_a_loss_with_a_slope_keeps_its_value_and_has_that_gradient():
    picture, slope = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4)
    loss = with_slope(torch.tensor(0.7), picture, slope)
    loss.backward()
    assert loss.item() == pytest.approx(0.7)
    assert torch.equal(picture.grad, slope)


def test_the_students_gradient_is_that_of_one_graph_through_student_fake_and_judge():
    each = players(settings=JUDGED)
    each(2)[0].backward()
    ours = [p.grad.clone() for p in each.student.parameters() if p.grad is not None]
    each.student.zero_grad()
    _, theirs = _one_graph(each)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-6)


def _one_graph(each: Players):
    """The student's loss with both terms in one backward pass -> it, and the gradients"""
    noise, txt, mask = each.prompts.batch(2)
    sigma, e = each._noised(noise, each.prompts.recipe.generator(2, "compared"))
    each.act(student=True)
    picture = dmd2.rollout(each.mmdit, noise, txt, each.levels, mask).float()
    level = sigma.view(-1, 1, 1)
    x = (1 - level) * picture + level * dmd2.pack(e)
    each.act(student=False)
    watched = Watched(each.mmdit)
    fake = watched(x, txt, sigma, [each.grid], mask)
    with each.fake.off(), torch.no_grad():
        teacher = dmd2.guided_velocity(
            each.mmdit, x, txt, mask, each.prompts.empty, sigma, each.grid, 4.0
        )
    expected = ((x - level * velocity).detach() for velocity in (fake, teacher))
    loss = matching_loss(picture, *expected)
    loss = loss + JUDGED.adversarial * fooling_loss(each.judge(watched.tokens))
    weights = [p for p in each.student.parameters()]
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return loss, [gradient for gradient in gradients if gradient is not None]


def test_the_watched_network_says_what_it_said():
    mmdit = model()
    call = torch.randn(2, 6, 64), torch.randn(2, 5, 40), torch.rand(2), [(1, 2, 3)]
    watched = Watched(mmdit)
    with torch.no_grad():
        assert torch.equal(watched(*call), mmdit(*call))
    assert watched.tokens.shape == (2, 6, mmdit.config.inner_dim)


def test_real_pictures_are_needed_for_the_term_and_have_the_shape_that_is_painted(tmp_path):
    arguments = (prompts(), EMPTY, SHAPE, RECIPE, JUDGED, tmp_path)
    with pytest.raises(ValueError, match="^real must be at least one picture"):
        train(model(), *arguments, quiet=True)
    other = [dataclasses.replace(examples()[0], latents=torch.zeros(16, 6, 4))]
    with pytest.raises(ValueError, match=r"^real must be pictures whose latents are \(16, 4, 6\)"):
        train(model(), *arguments, real=other, quiet=True)


# -- three networks in one


def test_the_student_takes_the_last_of_every_few_steps_and_the_fake_the_others():
    each = players()
    names = [next(iter(each(number)[1])) for number in range(6)]
    assert names == ["fake_loss", "fake_loss", "student_loss"] * 2


@pytest.mark.parametrize("settings", [SETTINGS, JUDGED], ids=["matching", "judged"])
@pytest.mark.parametrize(
    "number, trained_, other", [(0, "fake", "student"), (2, "student", "fake")]
)
def test_a_step_has_gradients_for_its_own_network_alone(number, trained_, other, settings):
    each = players(settings=settings)
    each(number)[0].backward()
    assert with_gradients(getattr(each, trained_))
    assert not with_gradients(getattr(each, other))
    if each.judge is not None:
        assert with_gradients(each.judge) == (trained_ == "fake")


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


@pytest.mark.parametrize("settings", [SETTINGS, JUDGED], ids=["matching", "judged"])
@pytest.mark.parametrize("number", [0, 2])
def test_blocks_that_are_computed_again_give_the_same_gradients(number, settings):
    def gradients(sparing):
        mmdit = model()
        if sparing:
            recompute(mmdit)
        each = players(mmdit, settings)
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
    assert run.model["judge"].out.weight.any()


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
        ({"adversarial": -0.1}, "adversarial must be finite and at least 0, got -0.1"),
        ({"steps": 0}, "steps must be from 1 to 1000, got 0"),
        ({"rank": 0}, "rank must be at least 1, got 0"),
    ],
)
def test_choices_that_cannot_be_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Matching(**wrong)
