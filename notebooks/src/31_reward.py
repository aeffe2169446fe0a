# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 31 · Reward
#
# A preference says which of two pictures is better. A *reward* says how good each of them is, so
# that a model can learn from its own attempts: pictures with a higher reward become more probable.
# The last stage of Qwen-Image's training does this. A flow has no probabilities as it stands, so on
# this page we first derive a sampler that has them, and then watch training by reward succeed and
# fail.
#
# | | |
# |---|---|
# | **You need** | the [sampler](08_the_shifted_sampler.ipynb), [chapter 30](30_preference.ipynb) |
# | **You get** | a sampler with noise in it, derived; Flow-GRPO; a reward that is hacked |
# | **Minutes** | 40 to read, 70 to write, one to run |
# | **Picture** | points that run away from the star, because a reward said "farther right" |
# | **Number** | with noise: mean 1.50, deviation 0.40; as the report prints it: 3.9 and 2.2 |
#
# ## Why noise
#
# To learn from attempts, a model has to make different ones. The sampler of chapter 08 is
# deterministic: one noise gives one picture, and no step has alternatives. *Flow-GRPO* therefore
# adds noise in every step, in such a way that at each level the states are distributed as before,
# so that the pictures do not suffer.
#
# A density $p$ that moves with velocity $v$ changes by $-\nabla\cdot(vp)$. Noise of variance $s^2$
# per unit of time spreads it, which adds $+\tfrac{s^2}{2}\nabla^2 p$. A drift of
# $\tfrac{s^2}{2}\nabla \log p$ compensates for exactly this term, since
# $p\,\nabla\log p = \nabla p$. We therefore add both:
#
# $$dx = \big[-v + \tfrac{s^2}{2} \nabla\log p_\sigma(x)\big]\,d\tau + s\,dW,$$
#
# where $\tau$ increases while $\sigma$ falls. The score $\nabla\log p_\sigma$ is known, because it
# is minus the expected noise divided by its level, and the velocity gives the expected noise,
# $\hat n = x + (1 - \sigma) v$. With a step $\Delta = \sigma_\text{next} - \sigma < 0$ this becomes
#
# $$\text{mean} = x + \Delta\,v + \frac{s^2 \Delta}{2\sigma}\,\big(x + (1-\sigma) v\big), \qquad
# x_\text{next} = \text{mean} + s\sqrt{-\Delta}\;\varepsilon.$$
#
# The size of $s$ is a free choice. Flow-GRPO takes $s = a \sqrt{\sigma/(1-\sigma)}$ with $a = 0.7$
# ([Liu et al.](https://arxiv.org/abs/2505.05470), section 4 and appendix B.3), that is, much noise
# early and none at the end. At $\sigma = 1$ this is infinite, so there the value of the second
# level is used.
#
# ## Exercise: a step with noise
#
# ★★★☆☆ · 15 minutes
#
# Write `noisy_step(x, velocity, sigma, sigma_next, s)`. Return the mean of the next state, (B, D),
# and its deviation, a tensor (). You will know it works when the checker says so and a Gaussian
# keeps its shape.

# %%
import copy

import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import charts, show
from qwenimage_ref.course.figures import few_steps, flow_on_a_plane
from qwenimage_ref.train.sde import spread


# %% tags=["exercise"]
def noisy_step(x, velocity, sigma, sigma_next, s):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

noisy_step = answers.unless_solved(noisy_step, answers.EX_31_STEP)
check.ex_31_step(noisy_step)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# An Euler step, one more term, and a number.
#
# </details>
#
# <details><summary>A hint</summary>
#
# The step is negative. In the mean that is correct as it stands; in the deviation its sign has to
# be changed before the square root.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# step  <- sigma_next - sigma
# noise <- x + (1 - sigma) velocity
# mean  <- x + step velocity + s^2 step / (2 sigma) noise
# deviation <- s times the root of -step
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def noisy_step(x, velocity, sigma, sigma_next, s):
#     step = sigma_next - sigma
#     noise = x + (1 - sigma) * velocity
#     mean = x + step * velocity + s**2 * step / (2 * sigma) * noise
#     return mean, s * (-step).sqrt()
# ```
#
# </details>
#
# ## A Gaussian on a line
#
# Let the data be normal with mean 1.5 and deviation 0.4. Then the velocity is known exactly, so any
# error comes from the sampler.

# %%
MEAN, DEVIATION = 1.5, 0.4


def exact_velocity(x, sigma):
    variance = (1 - sigma) ** 2 * DEVIATION**2 + sigma**2
    slope = (sigma - (1 - sigma) * DEVIATION**2) / variance
    return slope * (x - (1 - sigma) * MEAN) - MEAN


def sampled(step_of, steps):
    rng, levels = torch.Generator().manual_seed(0), torch.linspace(1, 0, steps + 1)
    x = torch.randn(40_000, 1, generator=rng)
    for sigma, sigma_next in zip(levels, levels[1:]):
        mean, deviation = step_of(x, sigma, sigma_next, spread(sigma, 0.7, levels[1]))
        x = mean + deviation * torch.randn(x.shape, generator=rng)
    return x


# %%
def with_noise(x, sigma, sigma_next, s):
    return noisy_step(x, exact_velocity(x, sigma), sigma, sigma_next, s)


def without(x, sigma, sigma_next, s):
    return x + (sigma_next - sigma) * exact_velocity(x, sigma), 0


ours, ordinary = sampled(with_noise, 50), sampled(without, 50)
assert abs(ours.mean() - 1.501) < 0.01 and abs(ours.std() - 0.398) < 0.004
assert abs(ordinary.std() - 0.387) < 0.004
print("50 steps with noise: mean 1.50, deviation 0.40; without: deviation 0.39")

# %% [markdown]
# ## What the report prints
#
# The report gives this sampler in its equations 6 to 8, taken from Flow-GRPO, where $t = 1$ is
# noise. In its equation 1, however, $t = 1$ is data, and the velocity points to the data.
# Implementing both as they stand gives this:


# %%
def as_printed(x, sigma, sigma_next, s):
    t, dt, velocity = 1 - sigma, sigma - sigma_next, -exact_velocity(x, sigma)
    variance = 0.7**2 * t / (1 - t)
    drift = velocity + 0.7**2 / (2 * (1 - t)) * (x + (1 - t) * velocity)
    return x + drift * dt, (variance * dt).sqrt()


printed = {steps: sampled(as_printed, steps) for steps in (50, 400)}
assert abs(printed[50].mean() - 3.93) < 0.1 and abs(printed[50].std() - 2.20) < 0.1
assert abs(printed[400].mean() - 6.63) < 0.1 and abs(printed[400].std() - 3.96) < 0.1
print("as printed: mean 3.9, deviation 2.2 after 50 steps; 6.6 and 4.0 after 400")

# %%
edges = torch.linspace(-2, 8, 61)
middles = ((edges[1:] + edges[:-1]) / 2).tolist()
samplers = {"with noise": ours, "without": ordinary, "as printed": printed[50]}
counts = {name: torch.histogram(x, edges).hist / 40_000 for name, x in samplers.items()}
lines = {name: [*zip(middles, each.tolist())] for name, each in counts.items()}
panel = {"x": "x", "y": "share of the samples", "series": lines}
charts.curves([panel], alt="Two equal peaks at 1.5, and a flat hill far to the right of them")

# %%
peaks = {name: middles[int(each.argmax())] for name, each in counts.items()}
assert abs(peaks["with noise"] - 1.5) < 0.2 and abs(peaks["without"] - 1.5) < 0.2
assert counts["as printed"].max() < counts["with noise"].max() / 3
print("two peaks near 1.5, and a third of their height at most for the printed one: ok")

# %% [markdown]
# More steps make it worse, so this is not a matter of precision: the correction points the wrong
# way. If either convention is used throughout, the sampler is right.
#
# ## The probability of a step
#
# The next state is now drawn from a normal distribution, so the state that was reached has a
# probability density.
#
# ## Exercise: its logarithm
#
# ★★☆☆☆ · 10 minutes
#
# Write `log_probability(x_next, mean, deviation)`, which returns for states (B, D) the logarithm of
# the density of a normal distribution with that mean and deviation, as the *mean* over the
# dimensions, (B,). You will know it works when PyTorch's own agrees.


# %% tags=["exercise"]
def log_probability(x_next, mean, deviation):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
log_probability = answers.unless_solved(log_probability, answers.EX_31_LOGP)
check.ex_31_logp(log_probability)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The density is $\frac{1}{\sqrt{2\pi}\,d}\, e^{-(x-m)^2 / 2d^2}$. What is its logarithm?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Three terms: half the squared distance in deviations, the logarithm of the deviation, and half of
# the logarithm of two pi; all with a minus.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# distance <- ((x_next - mean) / deviation) squared
# mean over D of - distance / 2 - log deviation - log(2 pi) / 2
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def log_probability(x_next, mean, deviation):
#     distance = ((x_next - mean) / deviation).pow(2)
#     return (-distance / 2 - deviation.log() - math.log(2 * math.pi) / 2).mean(1)
# ```
#
# </details>

# %%
case = torch.randn(3, 5), torch.randn(3, 5), torch.tensor(0.3)
theirs = torch.distributions.Normal(*case[1:]).log_prob(case[0]).mean(1)
assert torch.allclose(log_probability(*case), theirs, atol=1e-5)
print("equal to torch.distributions within 1e-5; a mean, as in flow_grpo, not a sum")

# %% [markdown]
# ## Better than the others
#
# A reward of 0.8 is good for a hard caption and poor for an easy one. Other methods train a second
# network to estimate the usual reward; GRPO instead paints a *group* of pictures for one caption
# and compares each with the group. The **advantage** is the reward minus the group's mean, divided
# by the group's standard deviation.
#
# ## Exercise: advantages
#
# ★★☆☆☆ · 10 minutes
#
# Write `advantages(rewards)`, (G,) to (G,). The standard deviation divides by the group's size. Add
# 0.0001 to it, because in a group of equal rewards it is 0. Clip the result to between -5 and 5.


# %% tags=["exercise"]
def advantages(rewards):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
advantages = answers.unless_solved(advantages, answers.EX_31_ADVANTAGES)
check.ex_31_advantages(advantages)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A z-score.
#
# </details>
#
# <details><summary>A hint</summary>
#
# PyTorch's deviation divides by one less than the number, unless `correction` is set.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# (rewards - their mean) / (their deviation + 0.0001), from -5 to 5
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def advantages(rewards):
#     deviation = rewards.std(correction=0) + 1e-4
#     return ((rewards - rewards.mean()) / deviation).clamp(-5, 5)
# ```
#
# </details>
#
# ## How far one round may go
#
# Pictures are expensive, so each round of them is used for a few training steps. After the first
# step, the network is no longer the one that painted them. The **ratio** of new to old probability,
# $r = p_\theta / p_\text{old}$, corrects for this as long as it is near 1, and the loss of PPO
# stops the gradient where it is not:
#
# $$L = -\min\big(r A,\; \mathrm{clip}(r, 1 - \epsilon, 1 + \epsilon)\, A\big).$$
#
# ## Exercise: the clipped loss
#
# ★★★☆☆ · 15 minutes
#
# Write `clipped_loss(log_p, old_log_p, advantage, clip)`, whose tensors are (B,) each and which
# returns the mean over the group, (). You will know it works when the gradient stops where it
# should.


# %% tags=["exercise"]
def clipped_loss(log_p, old_log_p, advantage, clip):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
clipped_loss = answers.unless_solved(clipped_loss, answers.EX_31_CLIP)
check.ex_31_clip(clipped_loss)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A ratio of probabilities is the exponential of a difference.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Multiply the advantage by the ratio, and by the ratio within its bounds. Element by element, the
# smaller of the two products counts.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# ratio <- exp(log_p - old_log_p)
# gain  <- the smaller of ratio * advantage and bounded ratio * advantage
# minus the mean of the gains
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def clipped_loss(log_p, old_log_p, advantage, clip):
#     ratio = (log_p - old_log_p).exp()
#     bounded = ratio.clamp(1 - clip, 1 + clip)
#     return -torch.minimum(ratio * advantage, bounded * advantage).mean()
# ```
#
# </details>
#
# Because log-probabilities are means over thousands of numbers, ratios are extremely close to 1,
# and $\epsilon$ is about $10^{-4}$ for pictures. On the plane, with two numbers, we use 0.2.
#
# ## A leash
#
# A reward never measures everything that we want of a picture. The model is therefore kept close to
# the one it started from, by adding the KL divergence of every step to the loss. It is simple to
# compute, because both steps are normal with the same deviation.
#
# ## Exercise: the KL of two steps
#
# ★★★★☆ · 20 minutes
#
# Write `divergence(velocity, reference, sigma, sigma_next, s)`, the KL of the steps that two
# velocities (B, D) take from the same $x$, as the mean over the dimensions, (B,). For two normal
# distributions of the same deviation, the KL is half the squared distance of their means, measured
# in deviations.


# %% tags=["exercise"]
def divergence(velocity, reference, sigma, sigma_next, s):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
divergence = answers.unless_solved(divergence, answers.EX_31_KL)
check.ex_31_kl(divergence)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Subtract the two means. What is left of $x$?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The velocity occurs twice in a mean: in the Euler step and in the predicted noise. The variance of
# a step is $-s^2 \Delta$.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# apart <- (1 + s^2 (1 - sigma) / (2 sigma)) step (velocity - reference)
# mean over D of apart^2 / (2 s^2 (-step))
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def divergence(velocity, reference, sigma, sigma_next, s):
#     step = sigma_next - sigma
#     apart = (1 + s**2 * (1 - sigma) / (2 * sigma)) * step * (velocity - reference)
#     return (apart.pow(2) / (2 * s**2 * -step)).mean(1)
# ```
#
# </details>

# %%
from qwenimage_ref.train import grpo, sde

v, w = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
sigma, sigma_next, s = torch.tensor([0.6, 0.5, 0.7])
equation_8 = (sigma - sigma_next) / 2 * (1 / s + s * (1 - sigma) / (2 * sigma)) ** 2
by_equation = equation_8 * (v - w).pow(2).mean(1)
assert torch.allclose(divergence(v, w, sigma, sigma_next, s), by_equation, rtol=1e-4)
assert torch.allclose(sde.divergence(v[None], w[None], sigma, sigma_next, s), by_equation.mean())
print("the KL by hand, the report's equation 8 and the package: equal")

# %% [markdown]
# The program [flow_grpo](https://github.com/yifan123/flow_grpo) does not divide by the step's
# length, so its KL is ten times smaller at ten steps, and its $\beta$ is not comparable with ours.
#
# ## On the plane
#
# Now we use all parts together on the star. A round is a group of 256 points.
#
# ![A group is sampled with noise and rewarded; advantages and log-probabilities make the clipped
# loss, to which the divergence from the network without LoRA is added](figures/reward_round.svg)

# %%
generator = torch.Generator().manual_seed(0)
torch.manual_seed(0)
field = flow_on_a_plane.Field()
few_steps.teach(field, 1200, generator)
levels = torch.linspace(1, 0, 11)
widths = [spread(sigma, 0.7, levels[1]) for sigma in levels[:-1]]
star = torch.full((256,), flow_on_a_plane.STAR)


@torch.no_grad()
def roll_out(policy, rng):
    states, log_p = [torch.randn(256, 2, generator=rng)], []
    for sigma, sigma_next, s in zip(levels, levels[1:], widths):
        velocity = policy(states[-1], sigma.expand(256), star)
        mean, deviation = noisy_step(states[-1], velocity, sigma, sigma_next, s)
        states.append(mean + deviation * torch.randn(256, 2, generator=rng))
        log_p.append(log_probability(states[-1], mean, deviation))
    return states, log_p


# %%
def loss_of(policy, states, old_log_p, advantage, beta):
    total = 0
    for i, (sigma, sigma_next, s) in enumerate(zip(levels, levels[1:], widths)):
        velocity = policy(states[i], sigma.expand(256), star)
        mean, deviation = noisy_step(states[i], velocity, sigma, sigma_next, s)
        log_p = log_probability(states[i + 1], mean, deviation)
        total = total + clipped_loss(log_p, old_log_p[i], advantage, 0.2)
        if beta:
            with torch.no_grad():
                reference = field(states[i], sigma.expand(256), star)
            total = total + beta * divergence(velocity, reference, sigma, sigma_next, s).mean()
    return total / len(widths)


# %%
def compete(reward, rounds, beta=0.0, lr=1e-3):
    policy, rng = copy.deepcopy(field), torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
    for _ in range(rounds):
        states, old_log_p = roll_out(policy, rng)
        advantage = advantages(reward(states[-1]))
        for _ in range(2):
            loss = loss_of(policy, states, old_log_p, advantage, beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return policy


def points_of(policy):
    velocity = flow_on_a_plane.ask(policy, flow_on_a_plane.STAR)
    return flow_on_a_plane.flow(velocity, flow_on_a_plane.noise(1000, 9), levels)[-1]


# %% [markdown]
# The first reward is bounded: 1 on the right, 0 on the left. The second sounds like the same wish,
# but grows with the distance to the right. The third run uses the second reward with the KL term.

# %%
policies = {
    "before": field,
    "right half": compete(lambda x: (x[:, 0] > 0).float(), rounds=8),
    "farther right": compete(lambda x: x[:, 0], rounds=14),
    "farther right, KL": compete(lambda x: x[:, 0], rounds=14, beta=1.0),
}
clouds = {name: points_of(policy) for name, policy in policies.items()}
panels = [(name, {"image": points}) for name, points in clouds.items()]
alt = "A star; its right half; points that left the star to the right; a star that leans right"
flow_on_a_plane.clouds(panels, alt, columns=4)

# %%
shape = flow_on_a_plane.star(2000, torch.Generator().manual_seed(3))
right = {name: (points[:, 0] > 0).float().mean().item() for name, points in clouds.items()}
off = {name: flow_on_a_plane.distance(points, shape) for name, points in clouds.items()}
assert right["before"] < 0.6 and right["right half"] > 0.75
assert off["right half"] < 1.5 * off["before"]
assert off["farther right"] > 2 * max(off["before"], off["farther right, KL"])
assert clouds["farther right, KL"][:, 0].mean() > clouds["before"][:, 0].mean()
print("the fair reward is learned on the star; the other is won outside of it, less so with KL")

# %% [markdown]
# The second reward has been *hacked*: nothing in it forbids leaving the star, and outside the star
# there is always more reward. Neither the sampler nor the network is at fault, since they did what
# the reward asks for. The KL term costs some reward and keeps the shape. This took 14 rounds; run
# it for 60 and see where the points are.
#
# ## On posters
#
# The same functions work for latents. The reward is the mark of the exact reader of chapter 13.
# Here is one group: eight pictures of one caption, painted in ten noisy steps without guidance.

# %%
from qwenimage_ref.adapt import lora
from qwenimage_ref.evaluate import hard_captions
from qwenimage_ref.posters.reward import reward
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.prompts import Prompt

pipe = QwenImage.from_pretrained(show.pocket_folder())
captions = [
    'a red circle above a blue square on a white background with the text "ABCD"',
    "three green stars on a beige background",
]
prompts = [Prompt(text, hard_captions.text_states(pipe, text)) for text in captions]
settings = grpo.Reward(rank=8, group=8, steps=10, guidance=1.0, inner=2)
adapter = lora.inject(pipe.transformer, lora.TARGETS[settings.targets], settings.rank)

# %%
recipe = Recipe(steps=2, batch=1, lr=1e-3)
empty = hard_captions.text_states(pipe, " ")


def judge(latents, prompt):
    return reward(pipe.to_pictures(latents), prompt)


rounds = grpo.Rounds(
    pipe.transformer, adapter, prompts, empty, judge, (16, 16, 16), pipe.scheduler, recipe, settings
)
rollouts = [rounds.sample(number) for number in range(2)]
print(len(rollouts), "groups of", settings.group)

# %%
from qwenimage_ref.sampler import unpack

rollout = max(rollouts, key=lambda each: each.rewards.std())
pictures = pipe.to_pictures(unpack(rollout.states[-1], 8, 8))
show.grid(
    pictures,
    ["sample"] * 8,
    alt="Eight posters that one caption gave from eight noises",
    columns=8,
    scale=1,
)

# %%
own = advantages(rollout.rewards)
assert torch.allclose(own, grpo.advantages(rollout.rewards), atol=1e-5)
assert abs(own.mean()) < 0.01 and rollout.rewards.min() >= 0 and rollout.rewards.max() <= 1
print("rewards from 0 to 1; advantages that add up to 0: ok")

# %% [markdown]
# In the first step of a round the network is still the one that painted, so each ratio must be
# *exactly* 1. If it is not, guidance, dropout, a data type or the text differs between painting and
# training. This is the first thing to check in any such program.

# %%
loss, numbers = rounds.loss(rollout, 3)
assert numbers["ratio_off"] == 0.0 and numbers["kl"] == 0.0
equal = grpo.Rollout(rollout.prompt, rollout.states, rollout.log_p, torch.ones(8))
assert rounds.loss(equal, 3)[0].item() == 0.0
print("every ratio is 1 to the last bit; a group of equal rewards has loss 0 and teaches nothing")

# %% [markdown]
# ## Full runs, measured
#
# What can a laptop gain by this? The base paints three equal shapes right less often than two or
# four, so three is what we reward: 1 for the right count and 0 for any other, on
# captions that ask for three. Runs of 120 rounds, four groups of eight pictures each
# (`python -m qwenimage_ref.evaluate.rewarded`), with noise in the first two of six sampling steps,
# where a picture's shapes are decided, and without a KL at first. Points are gained where the
# intervals of all seeds lie above 0.

# %%
import json

from qwenimage_ref.evaluate.tables import within

free = json.loads(show.data_file("measurements/rewarded_0.json").read_text())
seeds, runs = free["numbers of seeds"], free["seeds"]
quick, slow = runs[0]["results"]
columns = ["right, in per cent", "base", *(f"points gained, seed {seed}" for seed in seeds), ""]
show.table(columns, hard_captions.gains([run["results"][quick] for run in runs]))

# %% [markdown]
# Three is learned with every seed, on scenes that no training poster showed. But nothing holds the
# rest: with seed 2 words, shapes and plain scenes break, and the reward does not show it. The same
# three seeds with a KL of weight 0.02:

# %%
with_kl = json.loads(show.data_file("measurements/rewarded.json").read_text())
assert with_kl["beta"] == 0.02 and with_kl["numbers of seeds"] == seeds
rows = hard_captions.gains([run["results"][quick] for run in with_kl["seeds"]])
show.table(columns, rows)

# %%
lost = [
    -row["difference"]["difference"]
    for run in with_kl["seeds"]
    for results in run["results"].values()
    for row in results.values()
]
trained = "all that was trained"
gained = [
    [run["results"][quick][trained]["difference"]["difference"] for run in record["seeds"]]
    for record in (free, with_kl)
]
assert max(lost) < 0.14 and min(gained[0]) > 0.3 > sorted(gained[1])[1]
print(f"with the KL nothing loses more than {100 * max(lost):.1f} points; but two of three seeds")
print(
    f"gain at most {100 * sorted(gained[1])[1]:.1f} points, where without it all gain more than 30"
)

# %% [markdown]
# The KL that saves one run holds back the other two, which needed none. A weight is chosen before
# one knows which run will break. The seed that breaks, a single observation for each beta:

# %%
betas = {"0.01": "rewarded_0.01.json", "0.02": "rewarded.json", "0.05": "rewarded_0.05.json"}
files = [show.data_file(f"measurements/{name}") for name in betas.values()]
records = [json.loads(file.read_text()) for file in files]
same = [next(run for run in record["seeds"] if run["seed"] == 2) for record in (free, *records)]
columns = ["right, in per cent", "base", *(f"gained, beta {b}" for b in ("0", *betas))]
rows = hard_captions.gains([run["results"][quick] for run in same])
show.table(columns, [row[:-1] for row in rows])

# %% [markdown]
# Those pictures were painted as in training. In twenty guided steps, as the model is meant to be
# used, the base makes fewer errors, and the same four adapters give:

# %%
rows = hard_captions.gains([run["results"][slow] for run in same])
show.table(columns, [row[:-1] for row in rows])

# %% [markdown]
# And the reward that is easy to hack: how vivid the colours are, whatever the caption says. Two
# runs of 60 rounds and one seed, a single observation each. The pictures are of held-out captions:
# the base, then without the KL, then with it.

# %%
hacks = runs[0]["hacks"]["runs"]
labels = {"base": "the base", "0": "vivid, beta 0", "1": "vivid, beta 1"}
rows = [[label, within(hacks[name]["vivid"]), within(hacks[name]["right"])]
        for name, label in labels.items()]  # fmt: skip
show.table(["", "vivid, %", "of the caption right, %"], rows)

# %%
from PIL import Image

alt = "Six posters of the base; the same six of a model that was paid for colour; and with the KL"
show.shown(Image.open(show.data_file("pictures/hack.png")), alt)

# %%
assert hacks["0"]["vivid"]["low"] > 2 * hacks["base"]["vivid"]["high"]
assert hacks["0"]["right"]["high"] < hacks["base"]["right"]["low"] <= hacks["1"]["right"]["mean"]
print("without the KL: colour, and hardly a caption; with it: the pictures of the base")

# %% [markdown]
# ## Best of N
#
# A reward is useful even without training: paint N pictures and keep the best. Below, N of the
# eight pictures of each group are chosen in all possible ways, and a judge keeps one of them. One
# judge is the exact reader. The other is the same reader with noise of deviation 0.3 added to its
# marks, as a stand-in for a learned model of human preference, which also errs; 100 draws of that
# noise are averaged.

# %%
from qwenimage_ref.evaluate.best_of import kept

draw = torch.Generator().manual_seed(4)
worth, believed = {}, {}
for name, noise in (("exact reader", 0.0), ("noise of 0.3", 0.3)):
    worth[name], believed[name] = [], []
    for n in (1, 2, 4, 8):
        pairs = []
        for marks in [each.rewards.tolist() for each in rollouts] * 100:
            seen = (torch.tensor(marks) + noise * torch.randn(8, generator=draw)).tolist()
            pairs.append((kept(marks, seen, n), kept(seen, seen, n)))
        means = torch.tensor(pairs).mean(0).tolist()
        worth[name].append((n, means[0]))
        believed[name].append((n, means[1]))
panels = [
    {"x": "pictures to choose from", "y": "what is kept is worth", "series": worth, "log": True},
    {"x": "pictures to choose from", "y": "what the judge takes it for", "series": believed,
     "log": True},
]  # fmt: skip
charts.curves(panels, alt="Kept by an exact and by a noisy judge over N, and what each believes")

# %%
exact, noisy = (dict(worth[name]) for name in worth)
claims = dict(believed["noise of 0.3"])
assert all(exact[2 * n] >= exact[n] - 1e-6 for n in (1, 2, 4))
assert abs(dict(believed["exact reader"])[8] - exact[8]) < 1e-6
assert noisy[8] <= exact[8] + 1e-6 and abs(claims[1] - noisy[1]) < 0.05
assert claims[8] > noisy[8] + 0.05
print("the exact judge gets what it believes in; the noisy one believes in 0.05 too much, or more")

# %% [markdown]
# The more pictures the judge chooses from, the more often it picks one that it overrates. This is
# reward hacking again, without a gradient: maximising an imperfect measure selects for its errors.
# `python -m qwenimage_ref.evaluate.best_of` measures it on held-out captions with sixteen pictures
# each, and with one more judge, which looks at the shapes and never at the word:

# %%
record = json.loads(show.data_file("measurements/best_of.json").read_text())
table = {(row["judge"], row["number"]): row for row in record["rows"]}
judges = list(dict.fromkeys(judge for judge, _ in table))
numbers = ("worth", "believed", "all right")
rows = [[judge, *(within(table[judge, n][name]) for n in (1, 16) for name in numbers)]
        for judge in judges]  # fmt: skip
columns = ["%, of 1 picture and of 16", *(f"{name}, {n}" for n in (1, 16) for name in numbers)]
show.table(columns, rows)

# %% [markdown]
# ## Where this comes from
#
# * The sampler with noise and GRPO for flows: [Liu et al. 2025](https://arxiv.org/abs/2505.05470),
#   section 4. The equivalence of samplers with and without noise: [Song et al.
#   2020](https://arxiv.org/abs/2011.13456), section 4.3.
# * Groups in place of a value network: [Shao et al. 2024](https://arxiv.org/abs/2402.03300),
#   section 4. The clipped ratio: [Schulman et al. 2017](https://arxiv.org/abs/1707.06347), section
#   3.
# * Equations 4 to 8 of the [report](https://arxiv.org/abs/2508.02324), in its section on
#   post-training. With RL, GenEval rises from 0.87 to 0.91.
# * SD3's paper does not have this stage; Flow-GRPO raises SD3.5 medium from 0.63 to 0.95 on GenEval
#   ([Liu et al. 2025](https://arxiv.org/abs/2505.05470), abstract). Nothing is published about it
#   for FLUX.1.
#
# ## Estimate first
#
# **1.** Of a group of 8, one is right. What is its advantage, and what is that of the others?
#
# <details><summary>Answer</summary>
#
# 2.64 and -0.38: mean 0.125, deviation 0.331.
#
# </details>
#
# **2.** A picture is right with probability 0.95. What share of groups of 8 is all right and
# teaches nothing?
#
# <details><summary>Answer</summary>
#
# 0.66. Easy captions cost as much as hard ones and teach less, so captions are chosen by the spread
# of their rewards.
#
# </details>
#
# **3.** How many forward passes has a round of 4 captions, 8 pictures, 10 steps, two training steps
# and a KL, without guidance?
#
# <details><summary>Answer</summary>
#
# 1,600: there are 320 to paint, and in each of the two training steps 320 with a graph and 320 of
# the reference. With guidance, twice as many.
#
# </details>

# %%
alone = grpo.advantages(torch.tensor([1.0] + [0.0] * 7))
assert [round(float(a), 2) for a in alone[:2]] == [2.64, -0.38]
assert round(0.95**8, 2) == 0.66 and 4 * 8 * 10 * (1 + 2 * 2) == 1600
print("2.64 and -0.38; 0.66; 1,600: ok")

# %% [markdown]
# ## What production code does differently
#
# * Rewards are mixed: a reader of text, a detector of objects, a model of human preference. Each
#   can be hacked, so people look at pictures during training.
# * Painting and training run on different machines, one round apart.
# * Only a few early steps have noise (the "fast" version of Flow-GRPO); the others are plain.
# * Groups are larger, 24 pictures in Flow-GRPO (appendix B.3), with dozens of captions in a round
#   and hundreds of rounds.
#
# ## Try this
#
# * Let `compete` take groups of four points. What happens to the star?
# * Give the bounded reward 30 rounds instead of 8. All points are on the right long before; what
#   becomes of their variety, which no part of the reward asks for?
# * What does `noisy_step` become with $s = 0$, and what do the ratios become?
# * Reward the upper half on the plane with beta from 0.01 to 10, and plot share against distance.
# * **To be written up** (rubric: `site/pages/rubric.md`): invent a reward for posters that seems
#   fair and can be hacked. Say how before you run `qwenimage train grpo`, then measure with the
#   exact reader what was lost, with an interval.
#
# **Capstone.** `make grade` has no points for this page.
#
# Next: [distillation](32_distillation.ipynb).
