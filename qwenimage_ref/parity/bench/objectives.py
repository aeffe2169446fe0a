"""Rows of `qwenimage bench` on DPO and GRPO, beside the same objectives with diffusers and peft.

At full width both must have the same gradients; on the pocket model whole updates are measured. The
reference is written from the equations of preference.py, grpo.py and sde.py with other means:
diffusers' network, scheduler and patches, peft's `disable_adapter`, torch.distributions.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import QwenImagePipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from torch.distributions import Normal, kl_divergence

from ...config import SchedulerConfig
from ...mmdit import MMDiT
from ...train.grpo import Reward, Rollout
from ...train.lora import Batches
from ...train.prompts import Prompt
from ..reference import reference_scheduler, run
from .fresh_process import can_measure_memory, fresh_process
from .lora import gradient_error
from .lora_tasks import adapted, adapted_by_peft, base
from .objectives_tasks import (
    DISTILLED,
    DPO,
    GRPO,
    OURS,
    Sizes,
    comparisons,
    dpo_loss_at,
    grpo_rounds,
    mean_of_latents,
    pocket,
    text_states,
    update_of,
)
from .parts import BLOCK, Plan, Row, alternate

PROGRAM = "qwenimage_ref.parity.bench.objectives_tasks"
CLIP = 0.1  # at full width: far above what bf16 adds to a log-probability
# smallest ratio of memory, flow matching over an objective: during GRPO's reference pass, which
# keeps nothing, the activations of the policy are alive; a copy of either would halve the ratio.
# While the teacher of DMD2 paints with guidance, in batches of twice as many, the student's are.
ROOM = {"DPO": 1 / 1.15, "GRPO": 1 / 1.15, "distill": 1 / 1.15, "DMD2": 1 / 1.5}


# -- with diffusers and peft ----------------------------------------------------------------------


def _packed(latents: torch.Tensor) -> torch.Tensor:
    """Latents as diffusers' rows of tokens"""
    return QwenImagePipeline._pack_latents(latents, *latents.shape)


def _velocity(model, img, txt, sigma, sizes: Sizes) -> torch.Tensor:
    """What a PeftModel predicts for a batch of one prompt, in float32"""
    like = model.get_base_model().proj_out.weight
    inputs = {"img": img.to(like), "txt": txt.to(like).expand(len(img), -1, -1), "sigma": sigma}
    return run(model.get_base_model(), inputs | {"grids": [sizes.grid]}).float()


def dpo_by_peft(model, mmdit: MMDiT, sizes: Sizes) -> Callable:
    """-> a function from the number of a batch to its loss, on the draws of `dpo_loss_at`"""
    pairs, txt = comparisons(mmdit, sizes), text_states(mmdit, sizes)
    recipe, like = sizes.recipe(len(pairs)), mmdit.proj_out.weight
    order = Batches([sizes.shape] * len(pairs), len(pairs), recipe)

    def loss_at(number: int) -> torch.Tensor:
        rng, chosen = recipe.generator(number), [pairs[i] for i in order[number]]
        noise = torch.randn(len(chosen), *sizes.shape, generator=rng).to(like).repeat(2, 1, 1, 1)
        sigma = torch.rand(len(chosen), generator=rng).repeat(2)
        pictures = [one.winner for one in chosen] + [one.loser for one in chosen]
        data, noise = _packed(torch.stack(pictures).to(like)), _packed(noise)
        level = sigma.view(-1, 1, 1).to(like)
        noisy, target = (1 - level) * data + level * noise, (noise - data).float()

        def lead() -> torch.Tensor:
            predicted = _velocity(model, noisy, txt, sigma, sizes)
            errors = F.mse_loss(predicted, target, reduction="none").mean((1, 2))
            return errors[: len(chosen)] - errors[len(chosen) :]

        with torch.no_grad(), model.disable_adapter():
            reference = lead()
        return -F.logsigmoid(-DPO.beta / 2 * (lead() - reference)).mean()

    return loss_at


class GroupsByPeft:
    """GRPO of one prompt: from the number of a batch to its loss, as Rounds counts batches"""

    def __init__(self, model, mmdit: MMDiT, sizes: Sizes, choices: Reward):
        self.model, self.sizes, self.choices = model, sizes, choices
        self.txt = text_states(mmdit, sizes)
        scheduler, steps = reference_scheduler(SchedulerConfig.official()), choices.steps
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        numbers = (scheduler.config[name] for name in names)
        _, rows, cols = sizes.grid
        mu = calculate_shift(rows * cols, *numbers)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=mu)
        self.levels = scheduler.sigmas

    def next_state(self, x: torch.Tensor, i: int) -> Normal:
        """(B, I, 4C) -> the distribution of the state behind sampling step i"""
        sigma, step = self.levels[i], self.levels[i + 1] - self.levels[i]
        level = self.levels[max(i, 1)]  # at sigma 1, where s has no limit, the second level
        s = self.choices.noise_level * (level / (1 - level)).sqrt()
        v = _velocity(self.model, x, self.txt, sigma.expand(len(x)), self.sizes)
        drift = v * (1 + s**2 * (1 - sigma) / (2 * sigma))
        return Normal(x * (1 + s**2 * step / (2 * sigma)) + drift * step, s * (-step).sqrt())

    @torch.no_grad()
    def sample(self, number: int) -> Rollout:
        rng = torch.Generator().manual_seed(number)
        x = _packed(torch.randn(self.choices.group, *self.sizes.shape, generator=rng))
        states, log_p = [x], []
        for i in range(self.choices.steps):
            after = self.next_state(states[-1], i)
            e = torch.randn(x.shape, generator=rng)
            states.append(after.mean + after.stddev * e)
            log_p.append(after.log_prob(states[-1]).mean((1, 2)))
        rewards = torch.tensor(mean_of_latents(states[-1].unsqueeze(1), ""))
        prompt = Prompt("", self.txt)
        return Rollout(prompt, torch.stack(states), torch.stack(log_p), rewards)

    def loss(self, group: Rollout, i: int) -> torch.Tensor:
        x, x_next = group.states[i], group.states[i + 1]
        policy = self.next_state(x, i)
        with torch.no_grad(), self.model.disable_adapter():
            reference = self.next_state(x, i)
        ratio = torch.exp(policy.log_prob(x_next).mean((1, 2)) - group.log_p[i])
        deviation = group.rewards.std(unbiased=False) + 1e-4
        advantage = ((group.rewards - group.rewards.mean()) / deviation).clamp(-5, 5)
        clipped = ratio.clamp(1 - self.choices.clip, 1 + self.choices.clip)
        gain = torch.min(ratio * advantage, clipped * advantage)
        kl = kl_divergence(policy, reference).mean((1, 2))
        return (self.choices.beta * kl - gain).mean()

    def __call__(self, number: int) -> torch.Tensor:
        round_, place = divmod(number, self.choices.steps * self.choices.inner)
        if place == 0:
            self.group = self.sample(round_)
        return self.loss(self.group, place % self.choices.steps)


# -- at full width --------------------------------------------------------------------------------


def wide_rollout(mmdit: MMDiT, sizes: Sizes) -> Rollout:
    """A group whose pictures have become more probable since, some by more than the clip allows

    careful: before our adapter is on the network.
    """
    model, _ = adapted_by_peft(mmdit)
    group = GroupsByPeft(model, mmdit, sizes, _wide(sizes)).sample(0)
    lifts = torch.linspace(0.5, 2, sizes.group) * CLIP
    rewards = torch.linspace(0, 1, sizes.group)
    return replace(group, log_p=group.log_p - lifts, rewards=rewards)


def _wide(sizes: Sizes) -> Reward:
    return replace(sizes.rewards(), clip=CLIP)


def dpo_losses(mmdit: MMDiT, adapter, model, sizes: Sizes, group: Rollout) -> list[Callable]:
    """-> ours and that with peft, from the number of a batch to its loss"""
    return [dpo_loss_at(mmdit, adapter, sizes), dpo_by_peft(model, mmdit, sizes)]


def grpo_losses(mmdit: MMDiT, adapter, model, sizes: Sizes, group: Rollout) -> list[Callable]:
    ours = grpo_rounds(mmdit, adapter, sizes, _wide(sizes))
    theirs = GroupsByPeft(model, mmdit, sizes, _wide(sizes))
    return [
        lambda number: ours.loss(group, number % sizes.steps)[0],
        lambda number: theirs.loss(group, number % sizes.steps),
    ]


WIDE = {"DPO": dpo_losses, "GRPO": grpo_losses}


def wide_rows(heads: int, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Yields a row a type and objective: ours beside peft's, with equal weights and adapters"""
    group, exact = None, {}
    for dtype in (torch.float32, torch.bfloat16):
        mmdit = base(heads, dtype)
        group = wide_rollout(mmdit, sizes) if group is None else group
        for name, losses in WIDE.items():
            model, their_weights = adapted_by_peft(mmdit)
            adapter, weights = adapted(mmdit)
            batches = {"DPO": 1, "GRPO": sizes.steps}[name]
            updates = [
                update_of(loss_at, list(each.values()), batches)
                for loss_at, each in zip(
                    losses(mmdit, adapter, model, sizes, group), (weights, their_weights)
                )
            ]
            (a, b), grads = alternate(updates, rounds)
            adapter.remove()
            ours, theirs = (dict(zip(weights, each)) for each in grads)
            error, allowed = gradient_error(ours, theirs, exact.setdefault(name, theirs), dtype)
            what = f"{name} step, one block, {str(dtype).removeprefix('torch.')}"
            yield Row(what, "s", a, b, BLOCK, error, allowed)


# -- on the pocket model --------------------------------------------------------------------------


def update_by_peft(name: str, mmdit: MMDiT, sizes: Sizes) -> Callable:
    """A whole update, careful: before our adapter is on the network"""
    model, weights = adapted_by_peft(mmdit)
    if name == "DPO":
        return update_of(dpo_by_peft(model, mmdit, sizes), list(weights.values()))
    groups = GroupsByPeft(model, mmdit, sizes, sizes.rewards())
    return update_of(groups, list(weights.values()), sizes.steps, GRPO.inner)


def pocket_rows(sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Yields seconds beside peft, and the peak of a fresh process beside that of flow matching

    Flow matching is trained on as many pictures as a batch of the objective has. Distillation, of
    which peft and diffusers have nothing, has its peak alone.
    """
    mmdit = pocket()
    rows = {
        "DPO": f"DPO step, pocket, {2 * sizes.pairs} pictures",
        "GRPO": f"GRPO, pocket, {sizes.group} pictures, {sizes.steps} steps",
    }
    for name, what in rows.items():
        theirs = update_by_peft(name, mmdit, sizes)
        adapter, _ = adapted(mmdit)
        seconds, _ = alternate([OURS[name](mmdit, adapter, sizes), theirs], rounds)
        adapter.remove()
        yield Row(what, "s", *seconds)
    if not can_measure_memory():
        return
    peaks = fresh_process(PROGRAM, json.dumps(asdict(sizes)))
    rows |= {name: f"{name} to one step, pocket, {sizes.batch} pictures" for name in DISTILLED}
    for name, what in rows.items():
        pair = peaks[name] / 1e6, peaks[f"flow, as {name}"] / 1e6
        yield Row(f"{what}, peak", "MB", *pair, ROOM[name])


@torch.enable_grad()
def objective_rows(plan: Plan) -> Iterator[Row]:
    """DPO and GRPO: one block of full width, then the whole pocket model"""
    yield from wide_rows(plan.mmdit.num_attention_heads, plan.wide, plan.rounds)
    yield from pocket_rows(plan.pocket, plan.rounds)
