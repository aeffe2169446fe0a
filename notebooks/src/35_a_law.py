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
# # 35 · A law
#
# Before a training run of months begins, its makers want to know how large the network should be,
# how many pictures it needs, and which loss it will reach. A *scaling law* answers from small runs:
# a curve is fitted to them and continued to the large one. On this page we measure such a law for
# four sizes of MMDiT, compute the loss that no network can go below, and ask how far the curve can
# be trusted. At the end we look at skills that appear suddenly while the loss falls smoothly.
#
# | | |
# |---|---|
# | **You need** | chapters [08](08_the_shifted_sampler.ipynb), [12](12_train_your_own.ipynb) |
# | **You get** | the floor of the loss, the FLOPs of a training run, and a law with its error |
# | **Minutes** | 40 to read, 70 to write, half a minute to run |
# | **Picture** | parts of the scene that come out right, over the loss |
# | **Number** | the floor at noise level 15/16, between two computed bounds |

# %%
import dataclasses
import json
import math

import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import charts, show
from qwenimage_ref.course.figures import costs, scaling
from qwenimage_ref.evaluate import law, law_fits, law_floor
from qwenimage_ref.pocket.train import POCKET_MMDIT

record = json.loads(show.data_file("measurements/law.json").read_text())
posters = max(row["posters"] for row in record["rows"])
rows = [row for row in record["rows"] if row["posters"] == posters]
few = [row for row in record["rows"] if row["posters"] < posters]
weights = {row["size"]: row["parameters"] for row in rows}
assert (len(rows), len(few), len(weights)) == (15, 3, 4)
print(", ".join(f"{size}: {count:,} weights" for size, count in weights.items()))

# %% [markdown]
# A name such as 4x96 means four blocks of width 96. The largest size is that of the pocket model.
# All runs were done by `python -m qwenimage_ref.evaluate.law`, over two hours of one core, with the
# pocket model's frozen VAE and text encoder and with one recipe. Each was done once, with one seed.
# Everything below is therefore a *single observation*, and small differences may be luck.
#
# ## What a scaling law is
#
# [Hestness et al. 2017](https://arxiv.org/abs/1712.00409) found that in several fields the error
# falls as a power of the amount of data, a straight line between logarithms. [Kaplan et al.
# 2020](https://arxiv.org/abs/2001.08361) found such lines for language models, over weights,
# training tokens and compute. [Hoffmann et al.
# 2022](https://arxiv.org/abs/2203.15556) put size and data into one formula:
#
# $$L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}$$
#
# $N$ is the number of weights and $D$ the number of training tokens (elsewhere in this course `D`
# is the width of a stream). $E$ is the loss of a network without limits, trained without end. By
# Kaplan's law, most of an additional budget should be spent on weights, by Hoffmann's equally much
# on weights and on tokens. Chinchilla was the test: it had a quarter of the weights of Gopher (280
# billion), more than four times its tokens and the same compute, and did better. For diffusion
# transformers, [Liang et al. 2024](https://arxiv.org/abs/2410.08184) found a power law between 1e17
# and 6e18 FLOPs.
#
# ## One long run, and its branches
#
# One reason for the disagreement, according to Hoffmann et al., was the learning rate. It has to
# fall towards the end of a run, so that a loss in the *middle* of a long run is not the loss of a
# shorter run. Then each length would need a run of its own. A remedy is to keep the rate constant
# and to let *branches* leave the long run, in which the rate falls quickly ([Hu et al.
# 2024](https://arxiv.org/abs/2404.06395), who call it warmup, stable, decay; [Hägele et al.
# 2024](https://arxiv.org/abs/2405.18392)). Here, the last fifth of each length is such a branch.

# %%
plan, stops = law.Law(), sorted({row["steps"] for row in rows})
rates = {}
for stop in stops:
    recipe = plan.of(stop, law.DECAYED).recipe
    rates[f"{stop} steps"] = [(s, 1000 * recipe.lr_at(s)) for s in range(0, stop, 5)]
alt = "Four learning rates over the step: one constant line, from which each falls to zero in turn"
charts.curves([{"series": rates, "x": "step", "y": "learning rate, thousandths"}], alt)

# %%
own = sum(round((1 - law.DECAYED) * stop) for stop in stops)
shared = round(law.DECAYED * stops[-1])
first = [plan.of(stop, law.DECAYED).recipe.lr_at(199) for stop in stops]
assert len(set(first)) == 1 and (shared + own, sum(stops)) == (2350, 3750)
print(f"{shared} shared steps and {own} in the branches, in place of {sum(stops)}: ok")


# %% [markdown]
# Each long run thus gives four points of a curve, that of the largest size three, since it was
# stopped at 1,000 steps. The loss is measured on 512 posters that are in no training set, with the
# same noise for all networks, at eight noise levels. Here is the mean over the levels:


# %%
def mean(values):
    return sum(values) / len(values)


curves = {size: [] for size in weights}
for row in rows:
    curves[row["size"]].append((row["steps"], mean(row["losses"])))
alt = "Four falling lines over the steps, those of the larger sizes lower"
charts.curves([{"series": curves, "x": "steps", "y": "loss", "log": True}], alt)

# %%
longer = [b[1] < a[1] for points in curves.values() for a, b in zip(points, points[1:])]
ladder = [*curves.values()]
larger = [b[1] < a[1] for pair in zip(ladder, ladder[1:]) for a, b in zip(*pair)]
assert sum(longer) > 8 and sum(larger) > 5
print(f"longer is better in {sum(longer)} of {len(longer)} steps,", end=" ")
print(f"larger in {sum(larger)} of {len(larger)}")

# %% [markdown]
# ## The floor
#
# How far can the loss fall? From $x = (1 - \sigma)\,x_0 + \sigma\,\text{noise}$ it follows that the
# target $\text{noise} - x_0$ equals $(x - x_0) / \sigma$. When $x$ is given, only the picture $x_0$
# is unknown, and many pictures with many noises lead to the same $x$. The best prediction is the
# mean ([chapter 08](08_the_shifted_sampler.ipynb)), and its loss is a variance:
#
# $$v^* = \frac{x - E[x_0 \mid x, c]}{\sigma}, \qquad
# E|v - v^*|^2 = \frac{E[\text{Var}(x_0 \mid x, c)]}{\sigma^2}$$
#
# A caption $c$ does not say where exactly a circle is. At $\sigma = 1$, where $x$ is nothing but
# noise, the floor is $\text{Var}(x_0 \mid c)$, all that the caption leaves open. The loss of any
# network is this floor plus its squared distance from $v^*$. Only this second part, the *excess*,
# can be removed by training.
#
# ## Exercise: the floor of some points
#
# ★★★★☆ · 25 minutes
#
# Write `floor_of(points, chances, sigma, noise)`, the least possible loss if the data are nothing
# but the K rows of `points` `(K, D)`, with probabilities `chances` `(K,)`. Mix every point with
# each row of `noise` `(M, D)`. For each such x, compute the posterior probability of every point by
# Bayes' rule, and compare the posterior mean with the point that was mixed. Average over D and M,
# and over the points by their probabilities. Your function has to work for D = 500, too. You will
# know it works when the checker says so.


# %% tags=["exercise"]
def floor_of(points, chances, sigma, noise):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

floor_of = answers.unless_solved(floor_of, answers.EX_35_FLOOR)
check.ex_35_floor(floor_of)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Given a point, x is normally distributed. Around which mean, and with which variance?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The logarithm of a posterior probability is, up to a constant, the logarithm of the prior minus
# the squared distance of x from (1 - sigma) times the point, over twice sigma squared. One function
# of PyTorch turns such logarithms into probabilities without underflow.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# x (K, M, D) <- every point, mixed with every noise
# distances (K, M, K) <- from every x to (1 - sigma) times every point, squared and summed over D
# posterior <- softmax of: log of the probabilities - distances / (2 sigma^2)
# errors (K,) <- (point - posterior mean) / sigma, squared, averaged over M and D
# the sum of errors times probabilities
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def floor_of(points, chances, sigma, noise):
#     clean = points.unsqueeze(1)
#     x = (1 - sigma) * clean + sigma * noise
#     apart = (x.unsqueeze(2) - (1 - sigma) * points).square().sum(-1)
#     posterior = (chances.log() - apart / (2 * sigma**2)).softmax(-1)
#     errors = ((clean - posterior @ points) / sigma).square().mean((1, 2))
#     return (chances * errors).sum()
# ```
#
# </details>
#
# For the two points -1 and 1 the posterior mean is known in closed form, a hyperbolic tangent.

# %%
generator = torch.Generator().manual_seed(0)
noise, two = torch.randn(20_000, 1, generator=generator), torch.tensor([[-1.0], [1.0]])
levels = [n / 20 for n in range(1, 21)]
even, rare = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
toy = {
    "equally likely": [(s, floor_of(two, even, s, noise).item()) for s in levels],
    "nine to one": [(s, floor_of(two, rare, s, noise).item()) for s in levels],
}
alt = "Two curves that are zero at low noise, rise to a hump, and fall to 1 and to 0.36"
charts.curves([{"series": toy, "x": "noise level", "y": "floor"}], alt)

# %%
for s, floor in toy["equally likely"]:
    x = (1 - s) + s * noise
    exact = (1 - torch.tanh((1 - s) * x / s**2).square()).mean() / s**2
    assert abs(floor - exact) < 0.03, s
assert abs(toy["equally likely"][-1][1] - 1) < 0.03 and abs(toy["nine to one"][-1][1] - 0.36) < 0.02
print("closed form within 0.03; at pure noise the floors are the variances, 1 and 0.36: ok")

# %% [markdown]
# The floor is highest at middle noise, where x seems to show one of the two and may mislead.
#
# For posters, the distribution of $x_0$ given a caption is a program, which draws as many samples
# as we like. Sixty-four posters of each scene differ in nothing but their seed. If a picture may be
# explained by its own poster, the estimate of the floor is too *low*: at low noise, the one poster
# among 64 is always recognised. If it may only be explained by the others, it is too *high*, since
# none of them is quite like it. The true floor is in between.

# %%
show.source(law_floor.remaining)

# %%
floor, levels = record["floor"], record["levels"]
longest = {row["size"]: row["losses"] for row in rows}  # the last one of each size counts
alt = "Four losses over the noise level, and a gray band below, narrow at high noise alone"
scaling.over_noise(levels, floor, longest, alt)

# %%
low, high = floor["low"][-1], floor["high"][-1]
best = min(longest.values(), key=mean)
assert low < high < 1.5 * low, "the floor is known at the highest level"
assert all(row["losses"][-1] > high for row in rows)
assert all(value > bound for value, bound in zip(best, floor["low"]))
below = [level for level, value, bound in zip(levels, best, floor["high"]) if value < bound]
print(f"floor at noise level {levels[-1]}: {low:.3f} to {high:.3f}; lowest loss: {best[-1]:.3f}")
print("levels at which the best network is below the upper bound:", *below)

# %% [markdown]
# At high noise the two bounds nearly meet. At low noise they are far apart, and a network can be
# below the *upper* one: it has learned what lies between the 64 posters. We therefore use the floor
# at the highest level, 15/16. Two things are ignored: one caption in 25 does not mention its
# background, which raises the floor by a few per cent, and the loss has a sampling error.
#
# With your function, the rule for $\sigma = 1$ can be checked on true posters:

# %%
pipe = QwenImage.from_pretrained(show.pocket_folder())
clean = law_floor.posters(pipe, plan.phase, 0, 12).flatten(1)
chances, noise = torch.full((12,), 1 / 12), torch.randn(6, clean.shape[1], generator=generator)
at_noise = floor_of(clean, chances, 0.999, noise).item()
variance = clean.var(0, correction=0).mean().item()
assert abs(at_noise / variance - 1) < 0.03
print(f"twelve posters of one scene: {at_noise:.2f} at pure noise, variance {variance:.2f}: ok")

# %% [markdown]
# ## Compute
#
# The usual estimate is $6\,N D$ FLOPs: every weight takes part in a multiplication and an addition
# for each token of the forward pass, and in twice as many in the backward pass, which computes a
# gradient by the weights and one by the inputs. For an MMDiT it is far off. Count it yourself, with
# [chapter 01](01_map_of_the_machine.ipynb) for the forward pass.
#
# ## Exercise: the FLOPs of a training run
#
# ★★☆☆☆ · 15 minutes
#
# Write `training_flops(width, blocks, image_tokens, text_tokens, pictures)`, the FLOPs of all
# blocks, forward and backward. A block has, for each stream, four matrices of width × width (q, k,
# v, out), an MLP with two of width × 4 width, and a modulation of width × 6 width, which is
# computed once for each picture. Attention over all tokens consists of two products, the scores and
# the weighted sum. Norms, biases and the layers before and after the blocks are left out. You will
# know it works when the checker says so.


# %% tags=["exercise"]
def training_flops(width, blocks, image_tokens, text_tokens, pictures):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
training_flops = answers.unless_solved(training_flops, answers.EX_35_FLOPS)
check.ex_35_flops(training_flops)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How many rows pass through each matrix: the image tokens, the text tokens, both, or one?
#
# </details>
#
# <details><summary>A hint</summary>
#
# A product of (rows, a) and (a, b) takes two times rows × a × b operations. Both streams together
# have as many rows as there are tokens. The backward pass takes two products for each product of
# the forward pass.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# tokens <- image tokens + text tokens
# matrices <- 2 × tokens × (all matrices of one stream but the modulation, in numbers)
# attention <- 2 products × 2 × tokens² × width
# modulation <- 2 streams × 2 × width × 6 width
# forward once and backward twice, times blocks, times pictures
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def training_flops(width, blocks, image_tokens, text_tokens, pictures):
#     S = image_tokens + text_tokens
#     matrices = 24 * S * width**2
#     attention = 4 * S**2 * width
#     modulation = 24 * width**2
#     return 3 * pictures * blocks * (matrices + attention + modulation)
# ```
#
# </details>

# %%
I, batch = record["image_tokens"], record["batch"]  # noqa: E741
T = pipe.encode_prompt([plan.phase.prompt(n) for n in range(batch)])[0].shape[1]
table, flops, shares = [], {}, []
for size, count in weights.items():
    blocks, width = map(int, size.split("x"))
    flops[size] = training_flops(width, blocks, I, T, 1)  # of one picture
    config = dataclasses.replace(POCKET_MMDIT, num_layers=blocks, num_attention_heads=width // 48)
    shares.append(flops[size] / (3 * costs.pass_flops(config, I, T)))
    estimate = 6 * count * (I + T)
    table.append([size, f"{estimate:.2e}", f"{flops[size]:.2e}", f"{estimate / flops[size]:.1f}"])
show.table(["size", "6 N D of a picture", "counted", "6 N D is too large by"], table)

# %%
assert all(2 < float(row[-1]) < 3.5 for row in table) and 0.85 < min(shares) < max(shares) < 1
official = training_flops(3072, 60, 83 * 83, 100, 1)
ratio = 6 * 20_430_401_088 * (83 * 83 + 100) / official
print(f"{I} image and {T} text tokens; the blocks are {min(shares):.0%} to {max(shares):.0%} of it")
print(f"official, at 1328x1328 with 100 text tokens: {official:.1e} FLOPs, 6 N D {ratio:.1f} times")

# %% [markdown]
# Each token passes through only a third of a block's weights: the other stream's matrices serve
# the other tokens, and the two modulations serve one vector. This alone makes $6\,N D$ three times
# too large. Attention, which has no weights, makes up for some of it. Text tokens must be counted
# in $D$, although no loss is computed on them.
#
# ## A law above the floor
#
# We now fit a power law to the loss at noise level 15/16, where the floor is known. Only the
# *frontier* of compute is used, the runs that no cheaper run beats.
#
# ## Exercise: a power law of the excess
#
# ★★★☆☆ · 15 minutes
#
# Write `excess_law(compute, losses, floor)`, from two tensors `(N,)` and a number to a factor $a$
# and an exponent $b$ such that the loss is about $\text{floor} + a\,C^{-b}$. Use least squares
# between the logarithms of compute and of the excess, without a library's fit. You will know it
# works when the checker says so.


# %% tags=["exercise"]
def excess_law(compute, losses, floor):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
excess_law = answers.unless_solved(excess_law, answers.EX_35_EXCESS)
check.ex_35_excess(excess_law)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Take the logarithm of both sides, after the floor has been subtracted. What kind of curve is it?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The slope of the least-squares line is the covariance of both logarithms over the variance of
# the one on the horizontal axis, and the line passes through both averages.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# x, y <- logarithms of compute and of the losses minus the floor
# slope <- sum of (x - average of x) times y, over the sum of (x - average of x)²
# a <- e to the power of (average of y - slope times average of x)
# b <- minus the slope
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def excess_law(compute, losses, floor):
#     x, y = compute.log(), (losses - floor).log()
#     centred = x - x.mean()
#     slope = (centred * y).sum() / centred.square().sum()
#     return (y.mean() - slope * x.mean()).exp().item(), -slope.item()
# ```
#
# </details>

# %%
compute = [flops[row["size"]] * batch * row["steps"] for row in rows]
noisy = [row["losses"][-1] for row in rows]
middle = (low + high) / 2
ahead = law_fits.frontier(compute, noisy)
C, L = (torch.tensor([column[i] for i in ahead]).double() for column in (compute, noisy))
factor, exponent = excess_law(C, L, middle)
points = {size: [] for size in weights}
for row, work, loss in zip(rows, compute, noisy):
    points[row["size"]].append((work, loss - middle))
words = f"excess at noise level {levels[-1]}"
alt = "Points of four sizes between logarithmic axes, the excess falling; a straight line through"
scaling.over_compute(points, {"frontier's law": (factor, exponent)}, words, alt)

# %%
kept = [[k for k in range(len(ahead)) if k != left] for left in range(len(ahead))]
without = [excess_law(C[k], L[k], middle)[1] for k in kept]
floors = [excess_law(C, L, bound)[1] for bound in (low, high)]
curved = [excess_law(C[part], L[part], middle)[1] for part in (slice(0, 3), slice(-3, None))]
assert len(ahead) >= 5 and min(without) <= exponent <= max(without) and exponent > 0
print(f"{len(ahead)} runs on the frontier, exponent {exponent:.2f}")
print(f"without any one of them: {min(without):.2f} to {max(without):.2f}")
print(f"with the floor's bounds: {min(floors):.2f} to {max(floors):.2f}")
print(f"first three runs: {curved[0]:.2f}; last three: {curved[1]:.2f}")

# %% [markdown]
# Leaving out each run in turn shows how much the exponent depends on one of them. It does not show
# what another seed would give, and the branches of one size share most of their steps. The last
# line compares both ends of the frontier. If their exponents differ by more than the range above,
# the points are on a curve, and the straight line only describes this range.
#
# The formula with size and data can be fitted to all fifteen runs. As in Hoffmann et al., the
# squares are between logarithms, and residuals that are too large count less. Its floor $E$ is
# free, and the loss is the mean over all levels.

# %%
tokens = [row["steps"] * batch * (I + T) for row in rows]
data = [row["parameters"] for row in rows], tokens, [mean(row["losses"]) for row in rows]
fits = {"all runs": law_fits.surface(*data)}
for name, groups in {"size": [row["size"] for row in rows], "steps": data[1]}.items():
    left_out = law_fits.without_each(law_fits.surface, groups, *data)
    for group, fit in left_out.items():
        label = group if name == "size" else f"{group // batch // (I + T)} steps"
        fits[f"without {label}"] = fit
columns = ("E", "alpha", "beta", "growth")
table = [[name, *(f"{getattr(fit, key):.2f}" for key in columns)] for name, fit in fits.items()]
show.table(["fitted to", "E", "alpha", "beta", "beta / (alpha + beta)"], table)

# %%
errors = [abs(fits["all runs"].at(N, D) / L - 1) for N, D, L in zip(*data)]
floor_mean = mean(floor["low"])
ranges = {key: [getattr(fit, key) for fit in fits.values()] for key in columns}
assert len(fits) == 9 and mean(errors) < 0.06
print(
    f"the surface of all runs is off by {mean(errors):.0%} on average, by {max(errors):.0%} at most"
)
too_low = sum(E < floor_mean for E in ranges["E"])
print(f"{too_low} of {len(fits)} fits have E below the computed lower bound, {floor_mean:.3f}")
for key, name in {"E": "E", "growth": "the last column"}.items():
    print(f"{name} is between {min(ranges[key]):.2f} and {max(ranges[key]):.2f}")

# %% [markdown]
# The last column is the exponent by which the best number of weights would grow with compute. It is
# about one half, as Hoffmann et al. found. The rows in which a size or a length is left out show
# how well four sizes determine it. Although the surface is close to the runs, its numbers are
# uncertain, because a larger $E$ is balanced by larger exponents: some fits put $E$ below the
# computed floor. Even the fit of the Chinchilla paper, to hundreds of runs, had too narrow
# intervals ([Besiroglu et al. 2024](https://arxiv.org/abs/2404.10102)).
#
# ## Exercise: the best size for a budget
#
# ★★★☆☆ · 15 minutes
#
# Without a formula, the best size can be read off the curves. Write `best_size(curves, budget)`,
# where `curves` has for each size a tuple of points `(compute, loss)` in rising compute. Between
# two points, the logarithm of the loss is a straight line over the logarithm of compute. Return the
# size with the least loss at this budget, and that loss; of equals the first. Sizes whose points do
# not enclose the budget do not count, and if there is none, return *None*. You will know it works
# when the checker says so.


# %% tags=["exercise"]
def best_size(curves, budget):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
best_size = answers.unless_solved(best_size, answers.EX_35_BEST)
check.ex_35_best(best_size)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# For each size: between which two of its points is the budget?
#
# </details>
#
# <details><summary>A hint</summary>
#
# With w from 0 at the cheaper point to 1 at the other one, measured between logarithms of compute,
# the loss is the first one times (second over first) to the power w.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# best <- none
# for each size, for each pair of its neighbouring points:
#     if the budget is between them, both included:
#         w <- log(budget / cheaper) over log(other / cheaper)
#         loss <- first loss × (second / first)^w
#         if nothing is less yet: best <- size and loss
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def best_size(curves, budget):
#     best = None
#     for size, points in curves.items():
#         for (less, above), (more, below) in zip(points, points[1:]):
#             if less <= budget <= more:
#                 share = math.log(budget / less) / math.log(more / less)
#                 loss = above * (below / above) ** share
#                 if best is None or loss < best[1]:
#                     best = size, loss
#     return best
# ```
#
# </details>

# %%
by_compute = {
    size: tuple((flops[size] * batch * steps, loss) for steps, loss in curves[size])
    for size in weights
}
least, most = min(compute), max(compute)
budgets = [min(most, least * (most / least) ** (k / 8)) for k in range(9)]
chosen = [(budget, *best_size(by_compute, budget)) for budget in budgets]
table = [[f"{budget:.1e}", size, f"{loss:.3f}"] for budget, size, loss in chosen]
show.table(["FLOPs", "best size", "its loss"], table)

# %%
picked = [[*weights].index(size) for _, size, _ in chosen]
assert picked[0] == 0 and picked[-1] == 3 and len({*picked}) > 2
print("the best size never falls as the budget grows:", picked == sorted(picked))
work, loss = by_compute["6x144"][-1]
assert 0.8 < work / most < 1 and loss < chosen[-1][2]

# %% [markdown]
# The ends of this table are forced: at the least budget only the smallest size was measured, and at
# the greatest only the largest, although 6x144 had reached a lower loss with a little less. In
# between, the table is valid for this recipe. With a learning rate tuned for each size, another
# could win.
#
# ## Few posters
#
# So far, $D$ was the number of tokens *seen*. Three more runs of size 4x96 have the same number of
# steps, but few posters, which return again and again. In the full run of this length, each poster
# is seen about twice.

# %%
size, steps = few[0]["size"], few[0]["steps"]
fresh = next(row for row in rows if (row["size"], row["steps"]) == (size, steps))
repeated = sorted([*few, fresh], key=lambda row: row["posters"])
table = []
for row in repeated:
    shares = [f"{row['right'][part]['share']:.0%}" for part in ("background", "colours", "layout")]
    times = steps * batch / row["posters"]
    table.append([row["posters"], f"{times:.0f}", f"{mean(row['losses']):.3f}", *shares])
show.table(["posters", "times each", "loss", "background", "colours", "layout"], table)

# %%
losses = {row["posters"]: mean(row["losses"]) for row in repeated}
enough = [count for count, loss in losses.items() if loss < 1.05 * losses[posters]]
assert losses[512] < 1.03 * losses[posters] < 1.1 * losses[posters] < losses[128]
print(f"loss on 128 posters: {losses[128] / losses[posters]:.2f} times that on {posters:,}")
print("within five per cent of it:", *(f"{count:,}" for count in enough))

# %% [markdown]
# Every row cost the same compute, and a law that only counts tokens predicts one loss for all four.
# With 512 posters, each seen 62 times, that is true within three per cent; with 128 it is not. For
# language models, up to about four repetitions
# are nearly as good as fresh data ([Muennighoff et al. 2023](https://arxiv.org/abs/2305.16264)).
#
# ## Skills that appear suddenly
#
# Does a lower loss mean better pictures? Each of the fifteen networks painted 120 captions, and the
# exact reader of [chapter 13](13_is_it_any_good.ipynb) judged every part.


# %%
def against_loss(part):
    keys = ("share", "low", "high")
    return [(mean(row["losses"]), *(row["right"][part][key] for key in keys)) for row in rows]


names = ("background", "colours", "shapes", "layout", "word")
series = {name: against_loss(name) for name in names}
middles = {
    name: max((loss for loss, share, *_ in points if share >= 0.5), default=None)
    for name, points in series.items()
}
alt = "Shares right of five parts over the loss, each rising in its own place from few to many"
scaling.over_loss(series, alt, middles)

# %%
order = sorted((name for name in middles if middles[name]), key=lambda name: -middles[name])
for name in order:
    print(f"{name}: half right for the first time at a loss of {middles[name]:.2f}")
print("never half right:", ", ".join(name for name in middles if not middles[name]) or "none")
assert order[0] == "background"

# %% [markdown]
# The whiskers are 95 % intervals, and the dotted lines mark the largest loss at which a part was
# right in at least half of the pictures. *Layout* is the place of one shape or the relation of
# two. The loss of every size fell smoothly, and yet most skills are missing for a while and then
# appear. Are such steps a property of the network, or of the question? [Schaeffer et al.
# 2023](https://arxiv.org/abs/2304.15004) argue for the question. A scene counts as right only if
# *all* its parts are, so that its probability is a product. A product of factors that rise smoothly
# is close to zero for a long time and then rises steeply. Some parts are products themselves: of
# all shapes of a picture, of all letters of a word.
#
# The next cell multiplies the measured parts. Shapes, colours and layout only count where the
# number of shapes is right; each is therefore divided by the share in which it is.


# %%
def product(right):
    count = right["count"]["share"]
    if not count:
        return 0.0
    parts = [right[part]["share"] / count for part in ("shapes", "colours", "layout")]
    return right["background"]["share"] * count * math.prod(parts)


ordered = sorted(rows, key=lambda row: -mean(row["losses"]))
parts = names[:-1]  # a word is no part of the scene
lines = {"scene, measured": against_loss("scene"), "product of its parts": [], "average": []}
for row in ordered:
    loss = mean(row["losses"])
    lines["product of its parts"].append((loss, product(row["right"])))
    average = mean([row["right"][part]["share"] for part in parts])
    lines["average"].append((loss, average))
alt = "Whole scenes and the product of parts stay near zero, then rise; the average is above both"
scaling.over_loss(lines, alt)

# %%
rights, averages = [row["right"] for row in ordered], [share for _, share in lines["average"]]
scenes, products = [right["scene"] for right in rights], [*map(product, rights)]
inside = [s["low"] <= p <= s["high"] for s, p in zip(scenes, products)]
assert all(s["share"] <= average for s, average in zip(scenes, averages))
assert sum(inside) > 12
print(f"the product is inside the scene's interval in {sum(inside)} of {len(inside)} runs")

# %% [markdown]
# The average of the parts and the share of whole scenes come from the same pictures, but the second
# rises later and more steeply, and the product of the parts explains it. Before a jump is called an
# emergent ability ([Wei et al. 2022](https://arxiv.org/abs/2206.07682)), the same outputs should be
# scored part by part.
#
# ## As far as the official model?
#
# It is tempting to continue the line to the official transformer. The next cell does so, to show
# what the error of the exponent becomes on the way.

# %%
passes = 1e9 * official  # a billion pictures of 1328x1328, an assumption
beyond = passes / max(compute)
spread = [*without, *floors, *curved]  # every exponent of this page
smaller = [beyond**-each for each in (min(spread), max(spread))]
assert beyond > 1e6 and smaller[0] > smaller[1]
print(
    f"compute {beyond:.0e} times that of the largest run here, and by the exponents of this page,"
)
print(f"{min(spread):.2f} to {max(spread):.2f}, {smaller[0]:.0e} or {smaller[1]:.0e} of its excess")

# %% [markdown]
# These numbers are no forecast. The data would be photographs in place of posters, with another
# floor and another exponent, and the recipe would be another one. We know of no published number
# that says how long the official model was trained. A law that is relied on is measured on the same
# data, up to a few factors of ten below the run that is planned.
#
# ## An open question
#
# 60 minutes, for a discussion or two pages. You have the computing time of this page once more. How
# would you spend it to halve the uncertainty of one number of the law?
#
# <details><summary>Rubric: eight points</summary>
#
# * **Which number, and what it is needed for** (2): one exponent, E, or the best size; named
#   before the runs are chosen.
# * **Which runs** (2): more seeds, more sizes, longer or shorter ones, another rate; their FLOPs
#   add up to the budget.
# * **An estimate of the gain** (2): from residuals of the fit, or from a simulation with made-up
#   losses from a known law.
# * **What remains** (2): an error that these runs cannot show, such as a recipe that suits one size
#   better than the others.
#
# </details>
#
# ## Estimate first
#
# **1.** The official transformer is trained for one pass over a billion pictures of 1328x1328. How
# many days do 1,000 GPUs take that each do 4e14 FLOPs a second?
#
# <details><summary>Answer</summary>
#
# Eleven, by the count of the blocks; twenty-five by 6 N D.
#
# </details>
#
# **2.** A scene has five parts, and each is right in nine of ten pictures. How many scenes are
# right, if the parts are independent? And if each is right in half of the pictures?
#
# <details><summary>Answer</summary>
#
# 59 per cent, and 3 per cent.
#
# </details>
#
# **3.** A law has the exponent 0.1. How much more compute does half of the excess take?
#
# <details><summary>Answer</summary>
#
# 1,024 times as much, two to the power of ten.
#
# </details>

# %%
days = [work / (1000 * 4e14 * 86400) for work in (passes, ratio * passes)]
assert [round(each) for each in days] == [11, 25]
assert (round(0.9**5, 2), round(0.5**5, 2), round(2 ** (1 / 0.1))) == (0.59, 0.03, 1024)
print("eleven and twenty-five days, 59 and 3 per cent, 1,024 times: ok")

# %% [markdown]
# ## What production code does differently
#
# * The learning rate is tuned for small sizes and transferred to large ones, because a law measured
#   with one rate for all sizes measures the rate as well.
# * There are dozens of sizes and budgets, and several seeds at the smallest ones.
# * The best size for *training* is seldom built: a smaller network that is trained for longer costs
#   less whenever it paints.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * Power laws in several fields: [Hestness et al. 2017](https://arxiv.org/abs/1712.00409). Size,
#   data and compute of language models, and the estimate of 6 N D: [Kaplan et al.
#   2020](https://arxiv.org/abs/2001.08361). The formula with E, and equal growth of both: [Hoffmann
#   et al. 2022](https://arxiv.org/abs/2203.15556), section 3; its fit repeated: [Besiroglu et al.
#   2024](https://arxiv.org/abs/2404.10102).
# * Branches: MiniCPM, [Hu et al. 2024](https://arxiv.org/abs/2404.06395); [Hägele et al.
#   2024](https://arxiv.org/abs/2405.18392).
# * Repeated data: [Muennighoff et al. 2023](https://arxiv.org/abs/2305.16264).
# * Steps as a property of the measure: [Schaeffer et al. 2023](https://arxiv.org/abs/2304.15004),
#   against [Wei et al. 2022](https://arxiv.org/abs/2206.07682).
# * Diffusion transformers: more GFLOPs, lower FID ([Peebles and Xie
#   2022](https://arxiv.org/abs/2212.09748)); a law of the loss ([Liang et al.
#   2024](https://arxiv.org/abs/2410.08184)).
# * SD3 was trained in several depths, and the validation loss of a larger model was lower and went
#   with better scores of its pictures ([Esser et al. 2024](https://arxiv.org/abs/2403.03206),
#   section 5.3). We know of no such measurement for FLUX.1 or Qwen-Image.
#
# </details>
#
# ## Try this
#
# * Fit the excess at another noise level, with $E$ free. Is the exponent the same?
# * Train 2x48 with a second seed (`law.Law` and `law.Laboratory`). How far apart are the losses?
#
# **Capstone.** `make grade` has no points for this page. Your own transformer, trained by the loop
# of chapter 12, has a law as well.
#
# Next: [work split over processes](36_work_split_over_processes.ipynb).
