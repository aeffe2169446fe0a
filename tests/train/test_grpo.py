"""Flow-GRPO: advantages, the ratio, groups that teach nothing, rewards that are none, resuming."""

import math
import warnings
from dataclasses import replace

import pytest
import torch
from helpers.few_examples import EMPTY, SHAPE, prompts
from helpers.nets import addresses, filled, model, recorded_passes
from helpers.resumed import assert_same_state, kill_at, state_of

from qwenimage_ref.adapt import lora
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.train.grpo import (
    Reward,
    RewardError,
    Rounds,
    advantages,
    clipped_loss,
    train,
)
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=4, batch=2, lr=1e-2, warmup=0, decay_from=1.0, ema=0.0)
SETTINGS = Reward(rank=2, alpha=2, targets="musubi", group=3, steps=3, inner=2, guidance=2.0)
OFFICIAL = SchedulerConfig.official()


def brightness(latents, prompt) -> list[float]:
    return latents.mean((1, 2, 3)).tolist()


def trained(folder, judge=brightness, mmdit=None, settings=SETTINGS, recipe=RECIPE, **fit):
    return train(
        mmdit or model(), prompts(), EMPTY, judge, SHAPE, OFFICIAL, recipe, settings, folder,
        quiet=True, **fit,
    )  # fmt: skip


def rounds(judge=brightness, settings=SETTINGS, mmdit=None) -> Rounds:
    mmdit = mmdit or model()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2))
    return Rounds(mmdit, adapter, prompts(), EMPTY, judge, SHAPE, OFFICIAL, RECIPE, settings)


# -- the formulas


def test_advantages_are_deviations_from_the_groups_mean():
    result = advantages(torch.tensor([1.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(result, torch.tensor([1.0, -1, -1, 1]) * 0.5 / (0.5 + 1e-4))


def test_an_advantage_is_at_most_five():
    rewards = torch.zeros(100)
    rewards[7] = 1.0
    assert advantages(rewards)[7] == 5.0


def test_a_ratio_that_has_left_its_bounds_in_its_own_favour_has_no_gradient():
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0])
    log_p = torch.tensor([0.3, -0.3, 0.3, -0.3], requires_grad=True)
    clipped_loss(log_p, torch.zeros(4), advantage, 0.1).backward()
    assert [bool(g) for g in log_p.grad] == [False, True, True, False]


# -- rounds


def test_the_ratio_of_the_first_inner_step_is_exactly_one():
    each = rounds()
    for number in range(2 * 3):  # two groups, three sampling steps
        assert each(number)[1]["ratio_off"] == 0.0


def test_the_ratio_moves_with_the_weights_behind_the_first_inner_step():
    each = rounds()
    each(0)
    for pair in each.adapter.pairs.values():
        pair.lora_B.data.mul_(1.1)
    assert each(2 * 3)[1]["ratio_off"] > 0  # the same round
    assert each(2 * 2 * 3)[1]["ratio_off"] == 0.0  # a new one


def test_behind_the_noisy_steps_the_sampler_goes_on_without_noise_and_nothing_is_trained():
    every, one = (rounds(settings=replace(SETTINGS, noisy=noisy)) for noisy in (3, 1))
    whole, short = every.sample(0), one.sample(0)
    assert torch.equal(whole.states[:2], short.states[:2])  # the same noise up to there
    assert len(whole.log_p) == 3 and len(short.log_p) == 1
    for i in (1, 2):
        sigma, sigma_next = one.levels[i : i + 2]
        x = short.states[i]
        velocity = one.velocity(x, short.prompt.txt, sigma)
        torch.testing.assert_close(short.states[i + 1], x + (sigma_next - sigma) * velocity.float())
    # a round has one batch for each of its two groups, and each inner step takes them again
    assert [one(number)[1]["ratio_off"] for number in range(2)] == [0.0, 0.0]
    assert one._round == 0 and one(2 * 2)[1]["ratio_off"] == 0.0 and one._round == 1


def test_pictures_of_a_group_begin_with_noise_of_their_own():
    noise = rounds().sample(0).states[0]
    assert not any(torch.equal(noise[i], noise[j]) for i in range(3) for j in range(i))


def test_a_group_may_begin_with_one_noise_so_that_only_the_way_decides():
    first, *others = rounds(settings=replace(SETTINGS, starts=1)).sample(0).states
    assert torch.equal(first, first[:1].expand(3, -1, -1))
    assert not any(torch.equal(others[0][0], each) for each in others[0][1:])


def test_a_groups_text_states_are_expanded_and_not_copied(monkeypatch):
    each, strides = rounds(), []
    forward = type(each.mmdit).forward

    def spy(mmdit, img, txt, *rest):
        strides.append((txt.stride(0), len(txt)))
        return forward(mmdit, img, txt, *rest)

    monkeypatch.setattr(type(each.mmdit), "forward", spy)
    each.sample(0)
    assert strides and set(strides) == {(0, 3)}


def test_rollouts_and_training_read_the_prompts_own_text_states_and_no_copy(monkeypatch):
    each, passes = rounds(), recorded_passes(monkeypatch)
    each(0)
    given = {prompt.txt.data_ptr() for prompt in each.prompts}
    assert {rollout.prompt.txt.data_ptr() for rollout in each._rollouts} < given
    assert {one.txt for one in passes} < given | {EMPTY.data_ptr()}


def test_policy_and_reference_are_passes_of_one_network(monkeypatch):
    each, passes = rounds(), recorded_passes(monkeypatch)
    each(0)
    assert {one.weights for one in passes} == {addresses(each.mmdit)}
    # two groups in three steps, the policy, the reference; each with guidance in two passes
    assert [one.scale for one in passes] == 2 * 2 * 3 * [1.0] + 2 * [1.0] + 2 * [0.0]


def test_guidance_is_the_same_in_sampling_and_in_training():
    calls, each = [], rounds()
    velocity = each.velocity
    each.velocity = lambda *args: calls.append(velocity(*args)) or calls[-1]
    each(0)
    sampled, in_training = calls[0], calls[2 * 3]  # two groups were sampled in three steps
    assert torch.equal(sampled, in_training)
    plain = rounds(settings=Reward(rank=2, group=3, steps=3, guidance=1.0)).velocity
    assert not torch.allclose(plain(*_first(each)), velocity(*_first(each)))


def _first(each):
    rollout = each._rollouts[0]
    return rollout.states[0], rollout.prompt.txt, each.levels[0]


def test_a_fresh_adapter_has_no_distance_from_its_reference():
    mmdit = model()
    adapter = lora.inject(mmdit, lora.TARGETS["musubi"], 2)
    each = Rounds(mmdit, adapter, prompts(), EMPTY, brightness, SHAPE, OFFICIAL, RECIPE, SETTINGS)
    assert each(0)[1]["kl"] == 0.0
    filled(adapter)
    assert each(1)[1]["kl"] > 0.0
    assert sum(1 for _ in mmdit.modules()) == sum(1 for _ in model().modules())  # no copy of it


def test_every_prompt_comes_once_an_epoch():
    each = rounds()
    names = [each.prompt(number).text for number in range(6)]
    assert sorted(names[:3]) == sorted(names[3:]) == ["prompt 0", "prompt 1", "prompt 2"]


def test_blocks_that_are_computed_again_give_the_same_gradients():
    def gradients(sparing):
        mmdit = model()
        if sparing:
            recompute(mmdit)
        each = rounds(mmdit=mmdit)
        each(0)[0].backward()
        return [p.grad for p in each.adapter.parameters() if p.grad is not None]

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(ours, theirs)


def test_rewarded_pictures_become_more_frequent(tmp_path):
    recipe = Recipe(steps=12, batch=2, lr=3e-2, warmup=0, decay_from=1.0, ema=0.0)
    settings = Reward(rank=2, targets="musubi", group=6, steps=3, guidance=1.0, beta=0.0, clip=0.1)
    rewards = []

    def judge(latents, prompt):
        rewards.append(sum(brightness(latents, prompt)) / len(latents))
        return brightness(latents, prompt)

    trained(tmp_path, judge, settings=settings, recipe=recipe)
    assert len(rewards) == 6 * 2  # rounds and groups
    assert sum(rewards[-4:]) > sum(rewards[:4])


# -- groups that teach nothing, and rewards that are none


def test_a_group_of_equal_rewards_is_left_out_counted_and_noted_once(tmp_path):
    def judge(latents, prompt):
        return [1.0] * 3 if prompt == "prompt 0" else brightness(latents, prompt)

    each = rounds(judge)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        results = [each(number) for number in range(3 * 2 * 2 * 3)]  # three rounds, six groups
    left_out = [loss is None for loss, _ in results]
    assert sum(left_out) == 2 * 2 * 3  # two of six groups, in both inner steps
    assert [bool(numbers["equal_groups"]) for _, numbers in results] == left_out
    (note,) = noted
    assert "all 3 rewards of 'prompt 0' are 1" in str(note.message)


def test_rewards_that_are_all_equal_change_nothing(tmp_path):
    with pytest.warns(UserWarning, match="are left out"):
        run = trained(tmp_path, lambda latents, prompt: [0.0] * 3)
    assert run.step == RECIPE.steps
    assert not any(pair.lora_B.any() for pair in run.model.pairs.values())


@pytest.mark.parametrize(
    "values, complaint",
    [
        ([1.0, math.nan, 0.0], "must be finite, got nan for picture 2 of 'prompt "),
        ([1.0, math.inf, 0.0], "must be finite, got inf for picture 2"),
        ([1.0, 0.0], "must return 3 numbers, one a picture, got 2"),
        ([1.0] * 4, "must return 3 numbers, one a picture, got 4"),
        (None, "must return a list of 3 numbers, got None"),
        (0.5, "must return a list of 3 numbers, got 0.5"),
        (["good", "bad", "good"], "must return a list of 3 numbers"),
    ],
)
def test_a_reward_that_is_none_ends_the_run_before_its_first_step(tmp_path, values, complaint):
    with pytest.raises(RewardError, match=complaint) as refused:
        trained(tmp_path, lambda latents, prompt: values)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "state.safetensors").exists()


def _raising(latents, prompt):
    raise KeyError("no such\nword")


def _raising_late(latents, prompt):
    yield 1.0
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    "judge, named",
    [(_raising, r"KeyError: 'no such.*word'"), (_raising_late, "ZeroDivisionError: division by")],
)
def test_a_reward_that_raises_is_one_line_with_the_exception_and_the_prompt(tmp_path, judge, named):
    with pytest.raises(RewardError, match=f"3 numbers, got {named}.* for 'prompt ") as refused:
        trained(tmp_path, judge)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "state.safetensors").exists()


def test_the_end_of_memory_in_a_reward_stays_what_it_is(tmp_path):
    def hungry(latents, prompt):
        raise MemoryError

    with pytest.raises(MemoryError):
        trained(tmp_path, hungry)


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"group": 1}, "group must be at least 2, got 1"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"inner": 0}, "inner must be at least 1, got 0"),
        ({"clip": 0.0}, "clip must be above 0 and finite"),
        ({"starts": 9}, "starts must be 0 to the pictures, got 9"),
        ({"noisy": 11}, "noisy must be 0 to the sampling steps"),
        ({"noise_level": math.inf}, "noise_level must be above 0 and finite"),
        ({"beta": -1.0}, "beta must be finite and at least 0, got -1.0"),
        ({"guidance": math.nan}, "guidance must be finite, got nan"),
    ],
)
def test_choices_that_cannot_be_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Reward(**wrong)


# -- the run


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    kill_at("test_grpo", 2, tmp_path / "killed")
    assert state_of(tmp_path / "killed")["step"] == 2
    trained(tmp_path / "killed")
    trained(tmp_path / "whole")
    assert_same_state(tmp_path / "killed", tmp_path / "whole")


def test_no_state_lies_inside_a_round(tmp_path):
    with pytest.raises(ValueError, match="steps must be a multiple of 2, got 3"):
        trained(tmp_path, until=3)
