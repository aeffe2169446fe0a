"""Flow-GRPO: pictures of one prompt compete, and what was rewarded more becomes more probable.

A round samples a group of pictures for each of a few prompts and rewards them. A picture's
advantage is its reward less the group's mean, in deviations of the group. For some steps the
network is then trained on the round, each picture and each of its sampling steps once a step:

    r = p(x_next | x) / p_round(x_next | x)
    loss = -min(r A, clip(r, 1 - e, 1 + e) A) + beta KL(p, p_reference)

The technical report's equations 4 and 5. The reference is the same network with its LoRA off. A
group is one batch: one prompt, so that its text states are shared and nothing is padded.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..adapt.lora import LoRA
from ..config import SchedulerConfig
from ..limits import warn
from ..sampler import pack, sigmas, unpack
from .flow import guided_velocity
from .loop import Recipe, Run
from .lora import Adapter, demand, origin_of, train_adapter
from .prompts import Prompt
from .run_folder import RunFolder
from .sde import divergence, log_probability, spread, transition

SMALL = 1e-4  # added to the deviation of a group's rewards, as in flow_grpo
MOST = 5.0  # largest advantage, as in flow_grpo

Judge = Callable[[torch.Tensor, str], list[float]]  # latents (G, C, h, w), prompt -> G rewards


class RewardError(ValueError):
    """Rewards that nothing can be learned from; one line."""


@dataclass(frozen=True)
class Reward(Adapter):
    """A GRPO run's choices besides its recipe, whose `batch` counts prompts a round."""

    group: int = 8  # pictures of a prompt; flow_grpo: 24
    steps: int = 10  # sampling steps while training, as flow_grpo for SD3
    noisy: int = 0  # sampling steps, the first ones, that have noise and are trained; 0: all
    starts: int = 0  # noises that a group begins with: as many as pictures (0), 1 for all, ...
    noise_level: float = 0.7  # flow_grpo's a
    guidance: float = 4.0  # the same in sampling and training; 1 is none
    inner: int = 2  # training steps a round; in the first one every ratio is 1
    clip: float = 1e-4  # small, because log-probabilities are means over dimensions
    beta: float = 0.004  # about flow_grpo's 0.04, which counts a KL ten times smaller at ten steps

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("group", "steps"), lambda value: value >= 2, "at least 2")
        demand(self, ("inner",), lambda value: value >= 1, "at least 1")
        demand(self, ("starts",), lambda value: 0 <= value <= self.group, "0 to the pictures")
        demand(self, ("noisy",), lambda value: 0 <= value <= self.steps, "0 to the sampling steps")
        positive = ("noise_level", "clip")
        demand(self, positive, lambda value: 0 < value < math.inf, "above 0 and finite")
        demand(self, ("beta",), lambda value: 0 <= value < math.inf, "finite and at least 0")
        demand(self, ("guidance",), math.isfinite, "finite")

    @property
    def trained(self) -> int:
        """Number of sampling steps that have noise and are trained"""
        return self.noisy or self.steps


@dataclass(frozen=True)
class Rollout:
    """A group as it was sampled."""

    prompt: Prompt
    states: torch.Tensor  # (steps + 1, G, I, 4C), from noise to latents
    log_p: torch.Tensor  # (trained steps, G)
    rewards: torch.Tensor  # (G,)


def demand_rewards(values, count: int, prompt: str) -> torch.Tensor:
    """The rewards as float32. Raises RewardError unless there are `count` finite numbers."""
    try:
        values = [float(value) for value in values]
    except (TypeError, ValueError):
        raise RewardError(
            f"a reward must return a list of {count} numbers, got {values!r:.80}"
        ) from None
    if len(values) != count:
        raise RewardError(f"a reward must return {count} numbers, one a picture, got {len(values)}")
    for number, value in enumerate(values, 1):
        if not math.isfinite(value):
            raise RewardError(
                f"a reward must be finite, got {value} for picture {number} of {prompt!r:.80}"
            )
    return torch.tensor(values)


def judged(judge: Judge, latents: torch.Tensor, prompt: str) -> torch.Tensor:
    """The rewards of a group as float32. Raises RewardError where the judge raises anything.

    The end of memory need not be the judge's fault, and stays the error that it is.
    """
    try:
        values = judge(latents, prompt)
        values = list(values) if isinstance(values, Iterator) else values
    except (RewardError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise RewardError(
            f"a reward must return {len(latents)} numbers, got {what:.200} for {prompt!r:.80}; "
            "correct the reward"
        ) from error
    return demand_rewards(values, len(latents), prompt)


def advantages(rewards):
    """(B,) -> (B,): how many deviations of its group each reward lies above the mean"""
    deviation = rewards.std(correction=0) + SMALL
    return ((rewards - rewards.mean()) / deviation).clamp(-MOST, MOST)


def clipped_loss(log_p, old_log_p, advantage, clip: float):
    """(B,), (B,), (B,) -> (): minus the clipped gain; its gradient ends where a ratio leaves"""
    ratio = (log_p - old_log_p).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


class Rounds:
    """From the number of a batch to its loss: a group at one of its sampling steps.

    Batches are counted through the sampling steps of a group, the groups of a round, the inner
    steps of a round. A round is sampled when its first batch is asked for, with the weights of that
    moment; the noise depends on seed and round alone.
    """

    def __init__(
        self,
        mmdit: nn.Module,
        adapter: LoRA,
        prompts: list[Prompt],
        empty: torch.Tensor,
        judge: Judge,
        shape: tuple[int, int, int],
        scheduler: SchedulerConfig,
        recipe: Recipe,
        settings: Reward,
    ):
        self.mmdit, self.adapter, self.judge, self.shape = mmdit, adapter, judge, shape
        self.prompts, self.empty = prompts, empty
        self.recipe, self.settings = recipe, settings
        self.base = mmdit.proj_out.weight
        self.grid = (1, shape[1] // 2, shape[2] // 2)
        levels = sigmas(settings.steps, self.grid[1] * self.grid[2], scheduler)
        self.levels = levels.to(self.base.device)
        self._round, self._rollouts, self._noted = None, [], False

    def __call__(self, number: int) -> tuple[torch.Tensor | None, dict]:
        steps, groups = self.settings.trained, self.recipe.batch
        round_ = number // (steps * groups * self.settings.inner)
        if round_ != self._round:
            numbers = range(round_ * groups, (round_ + 1) * groups)
            self._round, self._rollouts = round_, [self.sample(number) for number in numbers]
        rollout = self._rollouts[number // steps % groups]
        numbers = {"reward": rollout.rewards.mean().item(), "equal_groups": 0.0}
        if (rollout.rewards == rollout.rewards[0]).all():
            self._say_equal(rollout)
            return None, numbers | {"equal_groups": 1.0}
        loss, more = self.loss(rollout, number % steps)
        return loss, numbers | more

    def _say_equal(self, rollout: Rollout) -> None:
        if not self._noted:
            warn(
                f"all {len(rollout.rewards)} rewards of {rollout.prompt.text!r:.80} are "
                f"{rollout.rewards[0].item():g}: such groups teach nothing and are left out; "
                "equal_groups in the log is their share"
            )
        self._noted = True

    def prompt(self, number: int) -> Prompt:
        """The prompt of a group, groups counted on and on: each comes once an epoch."""
        epoch, place = divmod(number, len(self.prompts))
        order = torch.randperm(len(self.prompts), generator=self.recipe.generator(epoch, "order"))
        return self.prompts[order[place]]

    def velocity(self, x, txt, sigma):
        """(B, I, D), (T, Dt), () -> (B, I, D): guided as the settings say"""
        x = x.to(self.base.dtype)
        txt = txt.to(self.base).expand(len(x), -1, -1)
        return guided_velocity(
            self.mmdit, x, txt, None, self.empty, sigma, self.grid, self.settings.guidance
        )

    def step(self, x, txt, i: int):
        """(B, I, D), (T, Dt) -> (B, I, D), (): mean and deviation of state i + 1 behind state i"""
        sigma, sigma_next = self.levels[i : i + 2]
        return transition(x, self.velocity(x, txt, sigma), sigma, sigma_next, self.spread(i))

    def spread(self, i: int):
        if i >= self.settings.trained:
            return torch.zeros_like(self.levels[i])
        return spread(self.levels[i], self.settings.noise_level, self.levels[1])

    @torch.no_grad()
    def sample(self, number: int) -> Rollout:
        """Paint and reward a group."""
        prompt, rng = self.prompt(number), self.recipe.generator(number, "rollout")
        group, starts = self.settings.group, self.settings.starts
        noise = torch.randn(starts or group, *self.shape, generator=rng)
        noise = noise[torch.arange(group) % len(noise)]
        states, log_p = [pack(noise).to(self.base.device)], []
        for i in range(self.settings.steps):
            mean, deviation = self.step(states[-1], prompt.txt, i)
            if i >= self.settings.trained:
                states.append(mean)
                continue
            e = torch.randn(mean.shape, generator=rng).to(mean.device)
            states.append(mean + deviation * e)
            log_p.append(log_probability(states[-1], mean, deviation))
        latents = unpack(states[-1], *self.grid[1:]).to(self.base.dtype)
        rewards = judged(self.judge, latents, prompt.text)
        return Rollout(prompt, torch.stack(states), torch.stack(log_p), rewards)

    def loss(self, rollout: Rollout, i: int) -> tuple[torch.Tensor, dict]:
        """-> the loss of a group at sampling step i, and numbers for the log"""
        x, x_next = rollout.states[i : i + 2]
        sigma, sigma_next = self.levels[i : i + 2]
        s, txt = self.spread(i), rollout.prompt.txt
        velocity = self.velocity(x, txt, sigma)
        log_p = log_probability(x_next, *transition(x, velocity, sigma, sigma_next, s))
        advantage = advantages(rollout.rewards).to(log_p)
        loss = clipped_loss(log_p, rollout.log_p[i], advantage, self.settings.clip)
        off = (log_p.detach() - rollout.log_p[i]).exp() - 1
        numbers = {
            "ratio_off": off.abs().max().item(),
            "clipped": (off.abs() > self.settings.clip).float().mean().item(),
        }
        if self.settings.beta:
            with torch.no_grad(), self.adapter.off():
                reference = self.velocity(x, txt, sigma)
            kl = divergence(velocity, reference, sigma, sigma_next, s).mean()
            loss, numbers["kl"] = loss + self.settings.beta * kl, kl.item()
        return loss, numbers


def train(
    mmdit: nn.Module,
    prompts: list[Prompt],
    empty: torch.Tensor,
    judge: Judge,
    shape: tuple[int, int, int],
    scheduler: SchedulerConfig,
    recipe: Recipe,
    settings: Reward,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train a new adapter by Flow-GRPO -> the finished run; see lora.train_adapter

    judge: rewards of a group's latents, normalised, for a prompt. shape: (C, h, w) of the latents.
    origin: has to name the judge, which the run depends on.
    A killed run repeats the round it was in. Raises RewardError, before a weight is changed, for
    rewards that are not as many finite numbers as there are pictures.
    """
    return train_adapter(
        mmdit,
        lambda adapter: Rounds(
            mmdit, adapter, prompts, empty, judge, shape, scheduler, recipe, settings
        ),
        recipe, settings, folder, origin_of(prompts, origin, shape, scheduler),
        accumulate=recipe.batch * settings.trained, together=settings.inner, **fit,
    )  # fmt: skip
