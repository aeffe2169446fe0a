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
# # 08 · The shifted sampler
#
# Noise becomes a picture in small steps along a field of arrows. This page shows the arrows on a
# plane, where they can be seen, and then takes exactly the steps of Qwen-Image.
#
# | | |
# |---|---|
# | **You need** | [chapter 00](00_a_picture_in_sixty_seconds.ipynb); you trained a network once |
# | **You get** | flow matching, the noise schedule, guidance and the loop, written by you |
# | **Minutes** | 50 to read, 60 to write, half a minute to run |
# | **Picture** | particles that flow from noise to a star; noise levels for five picture sizes |
# | **Number** | the official noise levels to 1e-6; one exact step ends at the data |
#
# A picture is a point in a space with one dimension for every number of its latents, and what
# happens in that space can be watched on a plane. Here the *data* are the points of one star, and
# *noise* is a cloud of points around the origin.

# %%
import math

import torch

from qwenimage_ref.course import show
from qwenimage_ref.course.figures import flow_on_a_plane

generator = torch.Generator().manual_seed(0)
data = flow_on_a_plane.star(600, generator)  # (600, 2)
noise = flow_on_a_plane.noise(600, seed=0)  # (600, 2)

# %% [markdown]
# ## The straight path
#
# Pair each point of the star with a random point of noise and join the two by a straight line.
# `sigma` is the position on this line: 0 at the data, 1 at the noise. (Chapter 04 showed the same
# path for latents.)
#
# $$x = (1 - \sigma)\,\text{data} + \sigma\,\text{noise}$$
#
# First with a loop, then in one line:

# %%
sigma = 0.25
by_loop = [
    [(1 - sigma) * d + sigma * n for d, n in zip(data_point, noise_point)]
    for data_point, noise_point in zip(data.tolist(), noise.tolist())
]
x = (1 - sigma) * data + sigma * noise
assert torch.allclose(x, torch.tensor(by_loop), atol=1e-6)
print("600 points a quarter of the way to noise, by loop and at once: ok")

# %%
levels = (0, 0.25, 0.5, 0.75, 1)
panels = [(f"sigma {s:g}", {"image": (1 - s) * data + s * noise}) for s in levels]
flow_on_a_plane.clouds(
    panels, alt="A star of points, blurred more and more until a round cloud is left"
)

# %% [markdown]
# As `sigma` grows from 0 to 1, `x` moves evenly along its line and covers $\text{noise} -
# \text{data}$ in all. This is its **velocity**, the same everywhere on the line, so from any point
# a single step leads back: $\text{data} = x - \sigma \cdot \text{velocity}$.

# %%
velocity = noise - data
for s in levels:
    x = (1 - s) * data + s * noise
    assert torch.allclose(x - s * velocity, data, atol=1e-6)
print("one exact step from each of five levels ends at the data: ok")

# %% [markdown]
# Beware of one trap: in equation 1 of the Qwen-Image Technical Report time runs the other way, so
# that $t$ is 1 at the *data* and the velocity is data − noise. The released weights, like this
# course, predict noise − data. The two conventions differ by $t = 1 - \sigma$ and a sign, and
# mixing them leads away from the data:

# %%
t, v = 1 - 0.25, data - noise  # the report's
assert torch.equal(t * data + (1 - t) * noise, (1 - 0.25) * data + 0.25 * noise)
x = (1 - 0.25) * data + 0.25 * noise
assert torch.allclose(x + (1 - t) * v, data, atol=1e-6)
lost = ((x - 0.25 * v) - data).norm(dim=1).mean() / (x - data).norm(dim=1).mean()
assert math.isclose(lost, 2, rel_tol=1e-4)
print("the report's line is ours; its velocity with our sign ends twice as far from the data: ok")

# %% [markdown]
# ## Many lines cross
#
# When we paint, we start from noise and the data is unknown. All we have is `x`, and lines from
# many points of the star pass through it. A network trained with a squared error predicts the
# **mean** over all of them, the conditional expectation.
#
# Here the mean can be computed. The line from a data point passes through `x` if its noise is $(x -
# (1 - \sigma)\,\text{data}) / \sigma$. The weight of the line is the probability density of that
# noise, a bell curve proportional to $e^{-|\text{noise}|^2/2}$.


# %%
def mean_velocity_by_hand(x, sigma, data):
    total, weights = [0.0, 0.0], 0.0
    for point in data.tolist():
        needed = [(x[i] - (1 - sigma) * point[i]) / sigma for i in (0, 1)]
        weight = math.exp(-(needed[0] ** 2 + needed[1] ** 2) / 2)
        total = [total[i] + weight * (needed[i] - point[i]) for i in (0, 1)]
        weights += weight
    return [t / weights for t in total]


# %% [markdown]
# The package computes the same for all points at once, with a softmax, since a softmax divides
# weights $e^{\dots}$ by their sum. (`copies` is for later.)

# %%
show.source(flow_on_a_plane.exact_velocity)

# %%
x = (1 - 0.5) * data + 0.5 * noise
exact = flow_on_a_plane.exact_velocity(x, 0.5, data)
by_hand = torch.tensor([mean_velocity_by_hand(point, 0.5, data) for point in x[:20].tolist()])
assert (exact[:20] - by_hand).abs().max() < 1e-4
one = flow_on_a_plane.exact_velocity(x, 0.5, data[:1])  # data of a single point: nothing to average
assert torch.allclose(x - 0.5 * one, data[:1].expand(600, 2), atol=1e-5)
print("by loop and at once the same mean; for data of one point, one step ends there: ok")

# %% [markdown]
# The figure shows one `x` at three levels (black), the lines that pass through it (blue; those of
# little weight are left out), and the point to which the mean velocity leads (orange). That point,
# $x - \sigma\cdot\text{velocity}$, is called the **clean estimate**. At high noise it is the middle
# of the star, where there is no data at all; with less noise it comes closer to the data.

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3), layout="constrained")
estimates = []
for ax, s in zip(axes, (0.9, 0.5, 0.2)):
    here = (1 - s) * data[7] + s * torch.tensor([1.0, 0.6])
    weight = (-((here - (1 - s) * data) / s).pow(2).sum(1) / 2).exp()
    flow_on_a_plane.scatter(ax, data, "joint", size=1)
    for point in data[weight > 0.3 * weight.max()][:40]:
        ax.plot(*zip(here, point), color=show.PALETTE["light"], linewidth=0.5, zorder=0)
    clean = here - s * flow_on_a_plane.exact_velocity(here[None], s, data)[0]
    estimates.append(clean)
    flow_on_a_plane.scatter(ax, here[None], "ink", size=40)
    flow_on_a_plane.scatter(ax, clean[None], "image", size=60)
    ax.set_title(f"sigma {s:g}")
show.figure(fig, alt="From one point lines fan out to the star: to all of it, to a part, to a tip")

# %%
far, middle, near = (flow_on_a_plane.distance(estimate[None], data) for estimate in estimates)
assert far > 0.3 and near < 0.2
print("the estimate lies off the star at sigma 0.9 and nearly on it at 0.2: ok")

# %% [markdown]
# An arrow at every place is a **vector field**. Here it is at the same levels, with its sign
# reversed so that arrows point where a step leads:

# %%
flow_on_a_plane.arrows(
    (0.9, 0.5, 0.2),
    data,
    alt="Three fields of arrows over a star: at sigma 0.9 nearly all point to the middle, at 0.5 "
    "to the nearer half, at 0.2 to the nearest piece of the outline",
)

# %%
corner = torch.tensor([[2.0, 2.0]])
ends = [corner - s * flow_on_a_plane.exact_velocity(corner, s, data) for s in (0.9, 0.5, 0.2)]
off = [flow_on_a_plane.distance(end, data) for end in ends]
assert off[0] > off[2] and ends[0].norm() < ends[2].norm()
print("from the corner: towards the middle in thick noise, to the outline in thin noise: ok")

# %% [markdown]
# ## A field that you train
#
# For pictures, a sum over all the data is out of reach, so a network learns the mean from examples:
# draw data, noise and `sigma`, mix them, and train the network to predict `noise - data`. This is
# **flow matching**, the method by which Qwen-Image was trained. Our small network also gets a
# *label* in place of a prompt: 1 for a star, 2 for a ring, and in three examples of ten 0 for
# *unspecified*.

# %%
show.source(flow_on_a_plane.Field.forward, flow_on_a_plane.batch)

# %%
torch.manual_seed(0)
field = flow_on_a_plane.Field()
optimizer = torch.optim.Adam(field.parameters(), lr=6e-3)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2000)
losses = []
for _ in range(2000):
    target, label = flow_on_a_plane.batch(512, generator)
    eps = torch.randn(target.shape, generator=generator)
    level = torch.sigmoid(1.5 * torch.randn(512, generator=generator) - 0.7)  # more low than high
    mixed = (1 - level[:, None]) * target + level[:, None] * eps
    loss = (field(mixed, level, label) - (eps - target)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    decay.step()
    losses.append(loss.item())

# %% [markdown]
# The loss stays above 1 however long we train, because each example is a single line and the field
# can only give their mean. Did it learn *the mean*? Here we can compare with the exact one.

# %%
ask_star = flow_on_a_plane.ask(
    field, flow_on_a_plane.STAR
)  # (x, sigma) -> velocity, for the label star
x = (1 - 0.8) * data + 0.8 * noise
exact = flow_on_a_plane.exact_velocity(x, 0.8, data)
wrong = (ask_star(x, torch.tensor(0.8)) - exact).pow(2).mean().item()
assert sum(losses[-100:]) / 100 > 1 and wrong < 0.05 * exact.pow(2).mean().item()
print("loss above 1, yet the mean velocity is known, up to a twentieth of its square: ok")

# %% [markdown]
# ## Flow
#
# To paint, start at noise, compute the velocity, take a small step against it, and repeat. A step
# from `sigma` to `sigma_next` changes `x` by $(\sigma_{next} - \sigma)\cdot\text{velocity}$. This
# is **Euler's method** for an ordinary differential equation:
#
# $$\frac{dx}{d\sigma} = v(x, \sigma) = \text{E}[\,\text{noise} - \text{data} \mid x, \sigma\,]$$
#
# The mean velocity is enough because it carries as many particles through each place as all the
# lines together. At every `sigma` the particles are therefore distributed like the points on the
# lines, although none of them follows a line ([Lipman et al.](https://arxiv.org/abs/2210.02747),
# Theorem 1).
#
# ## Exercise: a step
#
# ★★☆☆☆ · 10 minutes
#
# Write `my_step(x, velocity, sigma, sigma_next)`, for tokens of shape (B, I, D) and levels that are
# tensors of one number. In production the velocity is in bfloat16, and then so is the product; the
# sum with `x`, which may be in float32, is rounded once, to the velocity's type. You will know it
# works when the checker accepts it in both types.


# %% tags=["exercise"]
def my_step(x, velocity, sigma, sigma_next):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

my_step = answers.unless_solved(my_step, answers.EX_08_STEP)
check.ex_08_step(my_step)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The levels fall, so the difference is negative, and the step leads against the velocity.
#
# </details>
#
# <details><summary>A hint</summary>
#
# A tensor of one number does not change the type of the tensor it is multiplied with, and for a sum
# of two types torch chooses the more precise one. Only the last conversion is left to you.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# moved  = (sigma_next - sigma) x velocity
# result = x + moved, in the type of velocity
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_step(x, velocity, sigma, sigma_next):
#     moved = (sigma_next - sigma) * velocity
#     return (x + moved).to(velocity.dtype)
# ```
#
# </details>

# %%
from qwenimage_ref.sampler import euler_step

show.source(euler_step)


# %%
def flow_by_hand(velocity, x, levels):
    states = [x]
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = my_step(x, velocity(x, sigma), sigma, sigma_next)
        states.append(x)
    return states


even = torch.linspace(1, 0, 33)  # 32 steps of one length
cloud = flow_on_a_plane.noise(600, seed=1)
states = flow_by_hand(ask_star, cloud, even)
assert torch.equal(states[-1], flow_on_a_plane.flow(ask_star, cloud, even)[-1])
print("by your step and by euler_step, the same 600 particles: ok")

# %%
fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
for ax, last in zip(axes, (0, 11, 22, 32)):
    flow_on_a_plane.trails(ax, states[: last + 1], data)
    ax.set_title(f"after {last} steps, sigma {even[last].item():.2f}")
show.figure(
    fig, alt="A gray cloud; orange particles leave it on blue trajectories and settle on a star"
)

# %%
offs = [flow_on_a_plane.distance(states[i], data) for i in (0, 22, 32)]
assert offs[0] > 3 * offs[2] and offs[2] < 0.1
again = flow_by_hand(ask_star, flow_on_a_plane.noise(600, seed=1), even)[-1]
assert torch.equal(again, states[-1])
print("they end within 0.1 of the star, on average; the same seed, the same particles: ok")

# %% [markdown]
# Gray dots mark the starting points, and blue lines are the **trajectories** of some particles.
# After the start nothing is random, so the noise determines the result and the seed determines the
# noise.
#
# The trajectories bend, although every line was straight, because the mean over lines changes from
# place to place. An Euler step follows the arrow at its beginning and misses the bend, so more
# steps mean less error. A single step is worst: from pure noise it takes *every* particle to the
# middle of the star.

# %%
counts = (1, 2, 4, 8, 16, 32, 64)
ends = {
    n: flow_on_a_plane.flow(ask_star, cloud, torch.linspace(1, 0, n + 1))[-1]
    for n in (*counts, 256)
}
errors = [(ends[n] - ends[256]).norm(dim=1).mean().item() for n in counts]
assert all(a > b for a, b in zip(errors, errors[1:]))
assert errors[0] > 1 and errors[5] < 0.1
print("the more steps, the nearer to where 256 steps end; 32 come within 0.1: ok")

# %% [markdown]
# **Heun's method** follows the bend. It takes Euler's step, computes the velocity at the end of it,
# and repeats the step with the mean of the two, at the cost of two network runs a step.


# %%
def heun_by_hand(velocity, x, levels):
    for sigma, sigma_next in zip(levels, levels[1:]):
        first = velocity(x, sigma)
        if sigma_next > 0:  # at 0 there is no noise left to ask about
            second = velocity(my_step(x, first, sigma, sigma_next), sigma_next)
            first = (first + second) / 2
        x = my_step(x, first, sigma, sigma_next)
    return x


for n in (4, 8, 16):  # as many runs as Euler's 8, 16 and 32 steps
    end = heun_by_hand(ask_star, cloud, torch.linspace(1, 0, n + 1))
    heun, euler = ((x - ends[256]).norm(dim=1).mean().item() for x in (end, ends[2 * n]))
    assert heun < 0.8 * euler
print("for the same number of runs, Heun ends nearer than Euler by over a fifth: ok")

# %%
few = [(f"{n} step{'s' * (n > 1)}", {"joint": data, "image": ends[n]}) for n in (1, 2, 4, 8, 32)]
flow_on_a_plane.clouds(
    few, alt="After 1 step a blot in the middle, after 2 and 4 a crumpled star, then a star"
)

# %%
spreads = [ends[n].std().item() for n in (1, 32)]
assert spreads[0] < 0.5 * spreads[1]
print("one step: all particles end near the middle: ok")

# %% [markdown]
# ## Where should the steps be?
#
# So far all steps had one length. Qwen-Image takes more of them at high noise, especially for large
# pictures, and the reason is that neighbouring pixels are nearly equal. Suppose that $n$ pixels
# repeat one point of the plane, each with its own noise. Their mean has the same data, but its
# noise is smaller by $\sqrt{n}$, so at the same `sigma` the large picture is far *clearer*. What
# counts is the ratio of data to noise, $(1 - \sigma)/\sigma$. To be as uncertain as a single pixel
# at $\sigma$, the large picture has to be at a higher level $\sigma'$:
#
# $$\sqrt{n}\,\frac{1 - \sigma'}{\sigma'} = \frac{1 - \sigma}{\sigma}
# \qquad\Longrightarrow\qquad \sigma' = \frac{s}{s + (1/\sigma - 1)},\quad s = \sqrt{n}$$
#
# The number $s$ is the **shift**. A shift of 1 changes nothing, and any shift leaves the levels 0
# and 1 in place.

# %%
for n in (4, 16):
    shift = n**0.5
    for sigma in (0.2, 0.5, 0.9):
        moved = shift / (shift + (1 / sigma - 1))
        mean_noise = moved / n**0.5  # its deviation in the mean over n pixels
        assert math.isclose((1 - moved) / mean_noise, (1 - sigma) / sigma)
print("with shift 2 for 4 pixels and 4 for 16, the mean is as noisy as one pixel was: ok")

# %% [markdown]
# To see that it matters, paint with ten steps, different shifts, and the exact velocity for points
# that 1, 4 or 16 pixels repeat, and measure how far off the particles end.

# %%
from functools import partial

shape = flow_on_a_plane.star(300, generator)
shifts = [0.25 * 2**k for k in range(8)]  # 0.25 to 32
series = {}
for copies in (1, 4, 16):
    start = cloud[:100] / copies**0.5  # the mean over the pixels, of noise alone
    exactly = partial(flow_on_a_plane.exact_velocity, data=shape, copies=copies)
    best = flow_on_a_plane.flow(exactly, start, flow_on_a_plane.shifted(200, copies**0.5))[
        -1
    ]  # 200 shifted steps
    ends_at = [
        flow_on_a_plane.flow(exactly, start, flow_on_a_plane.shifted(10, shift))[-1]
        for shift in shifts
    ]
    misses = [(end - best).norm(dim=1).mean().item() for end in ends_at]
    series[f"{copies} pixels" if copies > 1 else "1 pixel"] = list(zip(shifts, misses))

# %%
from qwenimage_ref.course import charts

charts.curves(
    [{"series": series, "x": "shift", "y": "error after 10 steps", "log": True}],
    alt="Three equal valleys side by side: the lowest error at shift 1, 2 and 4",
)

# %%
one, four, sixteen = ([miss for _, miss in points] for points in series.values())
assert all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(one[:-1], four[1:]))
assert all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(one[:-2], sixteen[2:]))
print("one valley, moved by a factor of 2 for 4 pixels and of 4 for 16: ok")

# %% [markdown]
# ## `mu`: how far Qwen-Image shifts
#
# Real pixels are similar but not equal, and Qwen-Image shifts by less than the root. Its shift is
# $e^{\mu}$, where `mu` grows linearly with the number of **image tokens**, patches of 16 × 16
# pixels. Two points in scheduler_config.json define the line:

# %%
import json

from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.course import stored_results

official = SchedulerConfig.official()
fields = ("base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift", "shift_terminal")


def of_the_file(path):
    content = json.loads(path.read_text())
    return {field: content[field] for field in fields}


stored = stored_results.run("08_scheduler", "scheduler/scheduler_config.json", of_the_file)
assert all(getattr(official, field) == stored[field] for field in fields)
print("the package's numbers are those of the official file: ok")

# %%
show.table(
    ["image tokens", "mu", "fields of the file"],
    [
        [official.base_image_seq_len, official.base_shift, "base_image_seq_len, base_shift"],
        [official.max_image_seq_len, official.max_shift, "max_image_seq_len, max_shift"],
    ],
)

# %% [markdown]
# ## Exercise: `mu`
#
# ★★☆☆☆ · 5 minutes
#
# Write `my_mu(height, width)`, for sides in pixels. The line continues beyond both points; nothing
# is clamped. You will know it works when 256 × 256 gives 0.5 and the checker accepts it.


# %% tags=["exercise"]
def my_mu(height, width):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_mu = answers.unless_solved(my_mu, answers.EX_08_MU)
check.ex_08_mu(my_mu)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# First the tokens: how many patches fit into the height, how many into the width?
#
# </details>
#
# <details><summary>A hint</summary>
#
# A line through two points: begin at the first, add the slope times the distance from it.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# tokens = patches down x patches across
# slope  = (mu at 8192 - mu at 256) / (8192 - 256)
# mu     = mu at 256 + slope x (tokens - 256)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_mu(height, width):
#     image_tokens = (height // 16) * (width // 16)
#     return 0.5 + (image_tokens - 256) * (0.9 - 0.5) / (8192 - 256)
# ```
#
# </details>

# %%
sizes = [(256, 256), (512, 512), (1024, 1024), (928, 1664), (1328, 1328)]  # height, width
rows = []
for height, width in sizes:
    mu = my_mu(height, width)
    rows.append([f"{width} × {height}", height // 16 * (width // 16), f"{mu:.4f}"])
    rows[-1].append(f"{math.exp(mu):.3f}")
assert math.isclose(my_mu(1328, 1328), 0.834324597, abs_tol=1e-9)
show.table(["width × height", "image tokens", "mu", "shift"], rows)

# %% [markdown]
# ## The terminal stretch
#
# A schedule for $N$ steps starts from $1, \frac{N-1}{N}, \dots, \frac{1}{N}$. These levels are
# shifted, and a 0 is appended. The shift, however, also raises the last level:

# %%
N = 8
even = torch.linspace(1, 1 / N, N)
shift = math.exp(0.834324597)  # the mu of 1328 × 1328, from the table
lifted = shift / (shift + (1 / even - 1))
assert even[-1] == 0.125 and lifted[-1] > 0.24
print([f"{level:.3f}" for level in lifted.tolist()])

# %% [markdown]
# The last step would go from 0.248 to 0, too far for the range in which fine detail is settled.
# Qwen-Image therefore **stretches** the levels: the first stays 1, the last becomes
# `shift_terminal`, 0.02, and every level's distance from 1 grows by the same factor.

# %% [markdown]
# ## Exercise: the terminal stretch
#
# ★★☆☆☆ · 5 minutes
#
# Write `my_stretch(levels, terminal)`: it takes shifted levels, a tensor that begins with 1 and
# lacks the final 0, and returns stretched ones, leaving its argument unchanged. You will know it
# works when the last level is `terminal` and the checker accepts it.


# %% tags=["exercise"]
def my_stretch(levels, terminal):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_stretch = answers.unless_solved(my_stretch, answers.EX_08_STRETCH)
check.ex_08_stretch(my_stretch)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Think not of the levels but of how much of the way is done: `1 - levels`.
#
# </details>
#
# <details><summary>A hint</summary>
#
# How much is done at the last level now, and how much should be? The ratio is the factor.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# done   = 1 - levels
# factor = (1 - terminal) / last of done
# levels = 1 - factor x done
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_stretch(levels, terminal):
#     done = 1 - levels
#     return 1 - done * (1 - terminal) / done[-1]
# ```
#
# </details>

# %% [markdown]
# ## Exercise: the whole schedule
#
# ★★★☆☆ · 10 minutes
#
# Write `my_sigmas(steps, mu, terminal)`: space evenly, shift, stretch, append the 0. Return a
# tensor of `steps + 1` levels. You will know it works when it gives the official levels below.


# %% tags=["exercise"]
def my_sigmas(steps, mu, terminal):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_sigmas = answers.unless_solved(my_sigmas, answers.EX_08_SIGMAS)
check.ex_08_sigmas(my_sigmas)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# You have the last part already. The cell above the stretch has the first.
#
# </details>
#
# <details><summary>A hint</summary>
#
# The order matters: the shift moves every level but 1 and 0, so the stretch has to come after it.
# The 0 takes part in neither.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# even   = from 1 down to 1 / steps, `steps` of them
# shift  = e to the mu
# levels = the shift of even, stretched by my_stretch
# result = levels, followed by 0
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_sigmas(steps, mu, terminal):
#     even = torch.linspace(1, 1 / steps, steps)
#     shift = math.exp(mu)
#     levels = my_stretch(shift / (shift + (1 / even - 1)), terminal)
#     return torch.cat([levels, torch.zeros(1)])
# ```
#
# </details>

# %% [markdown]
# We compare yours and the package's with levels from the official scheduler, stored in this
# repository:

# %%
from qwenimage_ref.sampler import shift_at, sigmas

golden = json.loads((show.ROOT / "tests" / "golden" / "sigmas.json").read_text())["cases"]

# %%
for name, case in golden.items():
    if not name.startswith("t2i"):
        continue
    mine = my_sigmas(case["steps"], my_mu(case["height"], case["width"]), 0.02).tolist()
    package = sigmas(case["steps"], case["image_seq_len"], official).tolist()
    for levels in (mine, package):
        assert max(abs(a - b) for a, b in zip(levels, case["sigmas"], strict=True)) < 1e-6
    print(f"{case['width']} × {case['height']}, {case['steps']} steps, both within 1e-6: ok")

# %%
show.source(shift_at, sigmas)

# %% [markdown]
# The first panel shows the five sizes, with even steps for comparison; the second shows the effect
# of the stretch when steps are few.

# %%
looks = [("light", "-"), ("text", "-"), ("joint", "-"), ("image", "-"), ("wrong", "-")]
by_size = {"even steps": (torch.linspace(1, 0, 51), "noise", "--")}
for (height, width), look in zip(sizes, looks):
    tokens = (height // 16) * (width // 16)
    by_size[f"{width} × {height}"] = (sigmas(50, tokens, official), *look)
stretched = {
    "shifted": (torch.cat([lifted, torch.zeros(1)]), "noise", "o--"),
    "and stretched": (sigmas(8, 6889, official), "image", "o-"),
}
panels = [("50 steps", by_size), ("1328 × 1328, 8 steps", stretched)]
flow_on_a_plane.schedules(
    panels, alt="Five arches above a dashed line; the largest picture's is the highest"
)

# %%
halfway = [levels[25].item() for levels, *_ in by_size.values()]
assert halfway[0] == 0.5 and halfway[1] > 0.6
assert halfway[1:] == sorted(halfway[1:])
print("after half of the steps: even 0.50,", ", ".join(f"{level:.2f}" for level in halfway[1:]))

# %% [markdown]
# ## Two sliders
#
# Here is your field with any number of steps and any shift (no stretch). Since no pixel is repeated
# on the plane, a large shift cannot help, and with few steps you see what it costs.

# %%
sliders = flow_on_a_plane.FlowSliders(field)
sliders

# %%
at_home = sliders.picture.value
sliders.shift.value = 5
assert sliders.picture.value != at_home and "shift 5" in sliders.words.value
sliders.shift.value = 1
assert sliders.picture.value == at_home
print("another shift, other trajectories; the same shift, the same picture: ok")

# %% [markdown]
# The same in print: above, the steps at shift 1; below, the shifts at 8 steps.

# %%
states = [(steps, 1) for steps in flow_on_a_plane.STEPS] + [
    (8, shift) for shift in flow_on_a_plane.SHIFTS
]
panels = [
    (
        f"{steps} steps, shift {shift:g}",
        {"joint": data, "image": sliders.states(steps, shift)[-1]},
    )
    for steps, shift in states
]
flow_on_a_plane.clouds(
    panels, alt="Ten stars of particles: sharper with more steps, smeared by large shifts"
)

# %%
off = {state: sliders.off(*state) for state in states}
assert off[2, 1] > off[8, 1] > off[32, 1] and off[8, 5] > off[8, 1]
print("more steps end nearer to the star; at 8 steps, shift 5 ends farther than shift 1: ok")

# %% [markdown]
# ## What the network receives, and what a step rounds
#
# The scheduler counts time in *timesteps*, $1000\,\sigma$. The network receives `sigma` again, but
# the detour has an effect: in bfloat16, as production runs, $1000\,\sigma$ is rounded before it is
# divided, so the network is called with rounded times. (Whether it was trained with them is not
# known: the official training code is not public.)

# %%
from qwenimage_ref.sampler import model_time

case = golden["t2i_1328x1328_50"]
levels = sigmas(50, case["image_seq_len"], official)
times = [model_time(level, torch.bfloat16).item() for level in levels[:-1]]
assert times == case["timestep_fed_to_model_bf16"]
for level, time in list(zip(levels.tolist(), times))[1:4]:
    print(f"sigma {level:.6f} -> timestep {1000 * level:.3f} -> received {time}")

# %% [markdown]
# A step in bfloat16 rounds three times: the length of the step, its product with the velocity, and
# the sum. A step computed in float32 and rounded only once sometimes ends elsewhere:

# %%
x16, velocity16 = (torch.randn(1, 500, 64, generator=generator).bfloat16() for _ in range(2))
sigma, sigma_next = levels[1:3]
stepped = my_step(x16, velocity16, sigma, sigma_next)
product = (sigma_next - sigma).bfloat16() * velocity16
by_hand = (x16.float() + product.float()).bfloat16()
rounded_once = (x16.float() + (sigma_next - sigma) * velocity16.float()).bfloat16()
assert torch.equal(stepped, by_hand)
share = (stepped != rounded_once).float().mean().item()
assert 0.005 < share < 0.05
print("between one half and five of a hundred numbers differ in the last bit: ok")

# %% [markdown]
# ## Guidance
#
# Your field gives two velocities at every place: `cond`, with the label of a star, points away from
# stars, while `uncond`, without a label, points away from stars and rings alike. The difference
# between them is the effect of the label, and **classifier-free guidance** multiplies it by
# `true_cfg_scale` ([Ho and Salimans](https://arxiv.org/abs/2207.12598); an older method needed a
# second network, a classifier):
#
# $$\text{combined} = \text{uncond} + \text{scale}\cdot(\text{cond} - \text{uncond})$$
#
# Scale 0 ignores the label, 1 gives `cond`, and above 1 the result is extrapolated beyond `cond`.
# Multiplying by `sigma` and subtracting from `x` shows that the clean estimates obey the same
# formula.

# %%
x, sigma = (1 - 0.5) * data + 0.5 * noise, torch.tensor(0.5)
ask_any = flow_on_a_plane.ask(field, flow_on_a_plane.NO_LABEL)
cond, uncond = ask_star(x, sigma), ask_any(x, sigma)
combined = uncond + 4 * (cond - uncond)
clean_cond, clean_uncond, clean = (x - sigma * v for v in (cond, uncond, combined))
assert torch.allclose(clean, clean_uncond + 4 * (clean_cond - clean_uncond), atol=1e-4)
pulled = combined.norm(dim=1).mean() / cond.norm(dim=1).mean()
assert pulled > 1.2
print("clean estimates are extrapolated, too; the velocities have grown by over a fifth: ok")
shorter = (combined.norm(dim=1) < cond.norm(dim=1)).float().mean().item()
print(f"{100 * shorter:.0f} % of them have become shorter")

# %% [markdown]
# Longer velocities overshoot, which shows as glaring colours in pictures. Qwen-Image therefore
# rescales every combined velocity to the length of its `cond` and keeps only the new *direction*.
# Most tokens are shortened by this, but where the combination is shorter than `cond`, it is
# lengthened. The length is that of each **token's** velocity, over its channels, the last axis: 64
# numbers there, two here. Each token is rescaled separately.
#
# ![Block diagram of the loop: the transformer predicts with and without the prompt, guide
# combines both, euler_step moves x to the next noise level and back to the
# top](figures/sampler_loop.svg)
#
# ## Exercise: guidance
#
# ★★★☆☆ · 10 minutes
#
# Write `my_guide(cond, uncond, true_cfg_scale)`, all of shape (B, I, 4C): batch, image tokens,
# channels of a token. You will know it works when every token of the result is as long as the same
# token of `cond`, and the checker accepts it.


# %% tags=["exercise"]
def my_guide(cond, uncond, true_cfg_scale):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_guide = answers.unless_solved(my_guide, answers.EX_08_GUIDE)
check.ex_08_guide(my_guide)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Two lines and a return: combine, measure both lengths, multiply by their ratio.
#
# </details>
#
# <details><summary>A hint</summary>
#
# `x.norm(dim=-1, keepdim=True)` turns (B, I, 4C) into lengths of shape (B, I, 1), which can be
# multiplied with (B, I, 4C) again.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# combined = uncond + scale x (cond - uncond)
# for each token of each picture:
#     multiply it by (length of cond there) / (length of combined there)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_guide(cond, uncond, true_cfg_scale):
#     combined = uncond + true_cfg_scale * (cond - uncond)
#     length = cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
#     return combined * length
# ```
#
# </details>

# %% [markdown]
# Compare yours with the package's and with a loop over tokens:

# %%
from qwenimage_ref.sampler import guide

show.source(guide)


# %%
def guide_by_hand(cond, uncond, scale):
    result = []
    for c, u in zip(cond.tolist(), uncond.tolist()):
        combined = [b + scale * (a - b) for a, b in zip(c, u)]
        ratio = math.hypot(*c) / math.hypot(*combined)
        result.append([ratio * value for value in combined])
    return torch.tensor(result)


# %%
package = guide(cond, uncond, 4.0)  # every particle is a token with two channels
assert torch.allclose(my_guide(cond[None], uncond[None], 4.0)[0], package, atol=1e-5)
assert torch.allclose(guide_by_hand(cond, uncond, 4.0), package, atol=1e-4)
print("loop, yours and the package's: the same 600 guided velocities: ok")


# %% [markdown]
# ## Exercise: the loop
#
# ★★★★☆ · 25 minutes
#
# All the parts are ready. Write `my_loop(network, x, levels, cond, uncond, true_cfg_scale)`, which
# paints from `x`, of shape (B, I, D), through all `levels`, and returns the final `x` and the list
# of clean estimates, one a step.
#
# * `network(x, time, cond)` gives a velocity. `time` has shape (B,) and is the `sigma` where the
#   step begins, after its detour: 1000 `sigma`, in the type of `x`, divided by 1000.
# * Where `uncond` is `None` there is no guidance, and the network runs once a step; otherwise
#   twice.
#
# Build on `my_step` and `my_guide`.


# %% tags=["exercise"]
def my_loop(network, x, levels, cond, uncond, true_cfg_scale):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_loop = answers.unless_solved(my_loop, answers.EX_08_LOOP)
check.ex_08_loop(my_loop)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `flow_by_hand` is the skeleton. What has to happen between the velocity and the step?
#
# </details>
#
# <details><summary>A hint</summary>
#
# In each step, in this order: the time, one or two velocities, guidance, the estimate from the `x`
# that the step begins at, and then the step.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# for each level and the next one:
#     time     = 1000 level in the type of x, over 1000, once for each picture
#     velocity = network at x with cond
#     if there is an uncond: velocity = my_guide(velocity, network at x with uncond, scale)
#     keep x - level x velocity
#     x        = my_step from level to the next one
# give x, and what was kept
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_loop(network, x, levels, cond, uncond, true_cfg_scale):
#     estimates = []
#     for sigma, sigma_next in zip(levels, levels[1:]):
#         time = ((1000 * sigma).to(x.dtype) / 1000).expand(len(x))
#         velocity = network(x, time, cond)
#         if uncond is not None:
#             velocity = my_guide(velocity, network(x, time, uncond), true_cfg_scale)
#         estimates.append(x - sigma * velocity)
#         x = my_step(x, velocity, sigma, sigma_next)
#     return x, estimates
# ```
#
# </details>

# %% [markdown]
# Let it paint stars. What distinguishes them from rings is the tips, and the hollows between.


# %%
@torch.no_grad()
def field_of(x, time, label):  # one picture, whose tokens are particles
    return field(x[0], time.expand(len(x[0])), torch.full((len(x[0]),), label))[None]


def unscaled(x, sigma):
    cond, uncond = ask_star(x, sigma), ask_any(x, sigma)
    return uncond + 4 * (cond - uncond)


def looped(label, away=None, scale=1):
    return my_loop(field_of, cloud[None], even, label, away, scale)[0][0]


even = torch.linspace(1, 0, 33)
star, anything = flow_on_a_plane.STAR, flow_on_a_plane.NO_LABEL
painted = {"no label": looped(anything), "scale 1": looped(star)}
painted["scale 4, not rescaled"] = flow_on_a_plane.flow(unscaled, cloud, even)[-1]
for scale in (2, 4):
    painted[f"scale {scale}, length kept"] = looped(star, anything, scale)

# %%
panels = [(name, {"joint": data, "image": points}) for name, points in painted.items()]
alt = "Star and ring mixed; a star; guided but not rescaled, it overshoots; rescaled, few strays"
flow_on_a_plane.clouds(panels, alt=alt)

# %%
circle = flow_on_a_plane.ring(2000, generator)
apart = {name: flow_on_a_plane.distance(points, circle) for name, points in painted.items()}
assert apart["no label"] < apart["scale 1"] < apart["scale 4, length kept"]
print("with the label farther from the ring, with guidance of 4 farther still: ok")

# %% [markdown]
# Guidance leaves few strays, but it also loses part of the star: particles move away from its sides
# where the ring crosses them, because a place on both shapes is weak evidence for a star. Without
# the rescaling they overshoot the upper tip. Pictures change in the same way: with guidance they
# are clearer, and less varied.
#
# ## When guidance decides
#
# Your loop also paints posters when it gets the transformer as its network. Of our two prompts, one
# is plain and the other asks for a small shape and a word of four letters:

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.sampler import pack, unpack

pipe = QwenImage.from_pretrained(show.pocket_folder())
plain = "a red circle left of a blue star on a white background"
crowded = 'a small purple diamond on the right on a sky background with the text "BIQP"'


@torch.no_grad()
def paint(prompt, scale, count):
    prompts = [[prompt] * count, [" "] * count]
    cond, uncond = (branch.txt for branch in pipe.encode_prompts(prompts))
    x = pack(pipe.noise(count, 128, 128, seed=[*range(count)]))
    x, _ = my_loop(
        lambda x, time, txt: pipe.transformer(x, txt, time, [(1, 8, 8)]),
        *(x, sigmas(20, 64, pipe.scheduler), cond, uncond if scale > 1 else None, scale),
    )
    return pipe.to_pictures(unpack(x, 8, 8))


# %%
posters = {(plain, scale): paint(plain, scale, 4) for scale in (1, 4)}
posters |= {(crowded, scale): paint(crowded, scale, 8) for scale in (1, 4)}
by_pipe = pipe(crowded, " ", 4.0, 128, 128, 20, seed=0)[0]
assert show.difference(posters[crowded, 4][0], by_pipe) < 1
print("your loop and the package's, mean difference under 1/255: ok")

# %%
shown = [posters[crowded, scale][seed] for scale in (1, 4) for seed in range(8)]
captions = [f"scale {scale}, seed {seed}" for scale in (1, 4) for seed in range(8)]
alt = "Eight purple diamonds with a word: above, at scale 1, half of the words are garbled; below, "
alt += "at scale 4, nearly all of them read BIQP"
show.grid(shown, captions, alt=alt, columns=8, scale=1)

# %%
from qwenimage_ref.posters.read import read

words = {scale: [read(one).scene.word for one in posters[crowded, scale]] for scale in (1, 4)}
right = {scale: words[scale].count("BIQP") for scale in words}
plain_reads = {show.describe(read(one)) for scale in (1, 4) for one in posters[plain, scale]}
assert right[1] <= 5 and right[4] >= 6
assert plain_reads == {"red circle left of blue star on white"}
print("of 8 words, at most 5 are right at scale 1 and at least 6 at scale 4: ok")
print("the plain prompt is right at both scales, for every seed: ok")

# %% [markdown]
# So guidance decides where the prompt asks for something difficult and changes little where the
# model is right anyway. To see how much it gains on average, we count over a hundred captions, few
# of which are hard, with one noise each:

# %%
from qwenimage_ref.evaluate import settings
from qwenimage_ref.evaluate.intervals import paired

swept = json.loads(settings.RECORD.read_text())


def all_right(scale):
    marks = swept[settings.name(20, scale)]
    return [s == "1" and w != "0" for s, w in zip(marks["scene"], marks["word"])]


rows = []
for scale in (1, 2, 4, 8):
    against = paired(all_right(scale), all_right(1))
    chance = f"{against['p']:.3f}" if scale > 1 else ""
    rows.append([scale, sum(all_right(scale)), f"{100 * against['difference']:+.0f}", chance])
show.table(["scale", "right of 100", "less scale 1", "p"], rows)

# %%
assert paired(all_right(2), all_right(1))["p"] < 0.01 < paired(all_right(4), all_right(1))["p"]
assert paired(all_right(4), all_right(8))["p"] < 0.01
print("a little guidance helps, more adds nothing, and too much does harm: ok")

# %% [markdown]
# Scale 2 gets twelve more of them right; scale 4 gets six more, which could be chance; and scale 8
# ruins some. Other chapters refer to this result: [13](13_is_it_any_good.ipynb) asks how certain
# such a gain is, [22](22_why_this_way.ipynb) measures it on weights that were trained less, and
# [20](20_few_steps.ipynb) paints without guidance in few steps. The price is always a second pass
# in every step.
#
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** At 1328 × 1328, how many of 50 steps begin at a `sigma` above one half?
#
# <details><summary>Answer</summary>
#
# 35, where even spacing would give 25: the upper half of the noise gets seven steps in ten.
#
# </details>
#
# **2.** If pixels did repeat, how much larger would the shift be at 1328 × 1328 than at 256 × 256?
# And how much larger is Qwen-Image's?
#
# <details><summary>Answer</summary>
#
# 5.2 times: the square root of 6889 / 256 tokens. Qwen-Image's is 1.4 times as large,
# $e^{0.834 - 0.5}$.
#
# </details>
#
# **3.** The pocket pictures have 128 × 128 pixels. What is their `mu`?
#
# <details><summary>Answer</summary>
#
# 0.490. With 64 tokens they lie below the first point of the line, which simply continues.
#
# </details>

# %%
above = int((levels[:-1] > 0.5).sum())
repeated, real = math.sqrt(6889 / 256), shift_at(6889, official) / shift_at(256, official)
assert (above, f"{repeated:.1f}", f"{real:.1f}") == (35, "5.2", "1.4")
assert f"{math.log(shift_at(64, official)):.3f}" == "0.490"
print(f"{above} of 50 steps; {repeated:.1f} and {real:.1f} times; 0.490: ok")

# %% [markdown]
# ## What production code does differently
#
# * It puts the schedule into a scheduler object, which looks up the step by its timestep; the
#   numbers are the same.
# * *Few-step* models change the schedule. Lightning ([chapter 20](20_few_steps.ipynb)) is a LoRA, a
#   small file of changes to the weights, that needs four steps. Both shifts of its config are ln 3
#   and there is no stretch, so its steps start at 1, 0.9, 0.75 and 0.5. It needs no guidance.
# * Some programs do not rescale after guidance, so at the same scale their pictures differ from the
#   official ones.
# * Higher-order solvers reuse earlier velocities to follow the bend.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * Straight paths and the mean velocity: [Lipman et al. 2022](https://arxiv.org/abs/2210.02747),
#   section 3 (Theorems 1 and 2), and [Liu et al. 2022](https://arxiv.org/abs/2209.03003), section
#   2. Heun's method for sampling: [Karras et al. 2022](https://arxiv.org/abs/2206.00364), section
#   3.
# * Guidance: [Ho and Salimans 2022](https://arxiv.org/abs/2207.12598), section 3. Rescaling after
#   it, in another form: [Lin et al. 2023](https://arxiv.org/abs/2305.08891), section 3.4.
# * SD3: the same path and velocity; the shift is $\sqrt{m/n}$ for a picture of $m$ pixels and a
#   reference of $n$ ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), section 5.3.2).
#   Guidance is not rescaled
#   ([sd3_impls.py](https://github.com/Stability-AI/sd3-ref/blob/master/sd3_impls.py)).
# * FLUX.1: the same $e^\mu$ as here, with $\mu$ from 0.5 at 256 tokens to 1.15 at 4,096, and no
#   terminal stretch
#   ([sampling.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/sampling.py),
#   *get_schedule*). FLUX.1 dev receives the guidance scale as an input, beside the time, so that
#   one prediction a step is enough.
#
# </details>
#
# ## Try this
#
# * Train with `level` drawn uniformly. What happens to the tips, and why there?
# * Guide away from the ring: `uncond` is then `flow_on_a_plane.ask(field, flow_on_a_plane.RING)`.
#   That is what a *negative prompt* does.
# * Set the scale to 0.5. What do the particles form?
# * Ask for a single official step: `sigmas(1, 6889, official)`. Why can it not be stretched?
#
# Capstone: `sampler.py` can be written now: `make grade PART=sampler`, 15 points.
#
# Next: [09 · Text to image](09_text_to_image.ipynb), all parts together.
