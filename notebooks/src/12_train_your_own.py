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
# # 12 · Train your own
#
# So far you have used weights that somebody else trained. On this page you train: you write the
# objective of flow matching and the training loop, check both against the code that made the pocket
# model, and take sixty real steps with them.
#
# | | |
# |---|---|
# | **You need** | [chapter 08](08_the_shifted_sampler.ipynb); you have trained a network before |
# | **You get** | your own loss and training loop, and a model that they improved |
# | **Minutes** | 30 to read, 50 to write, one to run |
# | **Picture** | the same noise through the checkpoints of a training run, and at its end |
# | **Number** | 60 steps from the shipped checkpoint land in the stored band of losses |
#
# Training the pocket model takes hours, which is too long for a notebook. This page therefore
# trains its **sibling**: the same classes at an eighth of the size, for posters without words. It
# is shipped as it was early in its training, and you continue from there.

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.pocket import sibling

pipe = QwenImage.from_pretrained(show.pocket_folder())
small = sibling.load_mid()

# %%
sizes = {
    name: sum(p.numel() for part in parts for p in part.parameters())
    for name, parts in {
        "pocket": (pipe.text_encoder, pipe.transformer),
        "sibling": (small.text_encoder, small.transformer),
    }.items()
}
print({name: f"{size / 1e6:.1f} million" for name, size in sizes.items()})

# %% [markdown]
# ## Data that costs nothing
#
# The technical report of Qwen-Image describes billions of pictures, filtered in seven stages. Our
# pictures are drawn by a program, and one integer determines everything: it selects a scene, and
# the scene yields a picture and a caption.

# %%
from qwenimage_ref.posters import draw as world

scenes = [world.sample_scene(number) for number in range(8)]
for number, scene in enumerate(scenes):
    print(number, world.reworded(scene, number))

# %%
from PIL import Image

posters = [Image.fromarray(world.draw(scene, number)) for number, scene in enumerate(scenes)]
names = [f"poster {number}" for number in range(8)]
alt = "Eight drawn posters, whose captions are in the cell above"
show.grid(posters, names, alt, columns=8, scale=1)

# %% [markdown]
# No pictures have to be stored, number 7 is the same poster on every machine, and test posters use
# numbers that training never reaches. Captions are reworded in every epoch, so that the text
# encoder learns more than a few fixed sentences. How many different scenes are there?

# %%
shapes, colours = len(world.SHAPES), len(world.COLOURS)
one = shapes * colours * len(world.PLACES)
two = shapes**2 * colours * (colours - 1) * len(world.RELATIONS)
words = sum(36**length for length in range(5))  # none, and one to four of 36 characters
assert (world.draw(scenes[7], 7) == world.draw(world.sample_scene(7), 7)).all()
print(f"{len(world.BACKGROUNDS) * (one + two):,} without a word, times {words:,} words")

# %% [markdown]
# With words there are far more scenes than training can show. Without words they are few enough to
# be memorised, and for this reason some combinations are *never* drawn for training, a purple star
# for example. A right picture of one of those proves that the model composes what it has learned.
#
# ## From posters to latents, once
#
# The transformer never sees pixels. The VAE is already trained and stays frozen, so each poster is
# encoded once and its latents are kept. `normalize` brings every channel to mean 0 and deviation 1,
# the same scale as the noise with which they will be mixed.

# %%
latents = sibling.encode(pipe.vae)
mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
assert mean.abs().max() < 0.4 and 0.6 < deviation.min() and deviation.max() < 1.5
print(tuple(latents.shape), "each channel's mean near 0, its deviation near 1: ok")

# %% [markdown]
# ## The objective
#
# [Chapter 08](08_the_shifted_sampler.ipynb) derived it: draw noise, draw a level $\sigma$ between 0
# and 1, and mix,
#
# $$x = (1 - \sigma)\,\text{data} + \sigma\,\text{noise}$$
#
# The network is given `x`, `sigma` and the caption, and predicts the velocity $\text{noise} -
# \text{data}$. Many pairs of data and noise lead to the same `x`, so the prediction that minimises
# the squared error is the conditional expectation of the velocity. The same formula on latents:

# %%
import torch

data = latents[:5]
noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
mixed = torch.stack([(1 - s) * data[0] + s * noise[0] for s in levels])
show.grid(
    pipe.to_pictures(mixed),
    [f"sigma {s:.2f}" for s in levels],
    alt="One poster on its way to noise, at five noise levels: clear, grainy, blotches, noise",
    scale=1,
    columns=5,
)

# %% [markdown]
# With the true velocity a single step leads from any level straight back to the data.

# %%
velocity = noise[0] - data[0]
for s, x in zip(levels, mixed):
    assert torch.allclose(x - s * velocity, data[0], atol=1e-5)
print("from every level, one step of the true velocity ends at the poster: ok")

# %% [markdown]
# ## Exercise: the loss
#
# ★★☆☆☆ · 10 minutes
#
# Write `flow_loss(velocity_of, data, noise, sigma)`. `data` and `noise` have shape `(B, C, h, w)`
# and `sigma` has shape `(B,)`, one level for each picture. `velocity_of(x, sigma)` is the network:
# it predicts velocities of the shape of `x`. Return the mean of the squared errors over all
# pictures and numbers.


# %% tags=["exercise"]
def flow_loss(velocity_of, data, noise, sigma):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

flow_loss = answers.unless_solved(flow_loss, answers.EX_12_LOSS)
check.ex_12_loss(flow_loss)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The formula has one `sigma`; you have one for each picture. Which shape makes torch multiply each
# picture with its own?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `(B, 1, 1, 1)` broadcasts over channels, rows and columns. The network is given the mixture and
# the levels as they came, of shape `(B,)`.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# level = sigma with three more axes of length 1
# x = (1 - level) times data, plus level times noise
# return the mean of (the network's velocity at x and sigma, minus (noise minus data)) squared
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def flow_loss(velocity_of, data, noise, sigma):
#     level = sigma.view(-1, 1, 1, 1)
#     x = (1 - level) * data + level * noise
#     return (velocity_of(x, sigma) - (noise - data)).pow(2).mean()
# ```
#
# </details>

# %% [markdown]
# Now with the real network. `pack` turns latents into tokens, as in chapter 07, and the text
# states of a batch of captions come with a mask for their padding:

# %%
from qwenimage_ref.pocket.train import batch
from qwenimage_ref.sampler import pack, unpack

ids, mask, data, noise, sigma = batch(sibling.EXERCISE, latents, pipe.tokenizer, step=0)
prefix = pipe.tokenizer.prefix_length  # states of the system prompt, dropped
with torch.no_grad():
    txt = small.text_encoder(ids)[:, prefix:]
mask = mask[:, prefix:]
print("captions", tuple(ids.shape), "text states", tuple(txt.shape), "data", tuple(data.shape))


# %%
def velocity_of(x, sigma):
    velocity = small.transformer(pack(x), txt, sigma, [(1, 8, 8)], mask)
    return unpack(velocity, rows=8, cols=8)


# %% [markdown]
# The package's function is the one that trained the weights you have been using. It computes the
# error on tokens instead of pictures, which are the same numbers in another order:

# %%
from qwenimage_ref.train.flow import flow_step

show.source(flow_step)

# %%
with torch.no_grad():
    mine = flow_loss(velocity_of, data, noise, sigma).item()
    by_package = flow_step(small.transformer, data, noise, sigma, txt, mask).item()
assert abs(mine - by_package) < 1e-5
print(f"{mine:.2f}, by yours and by the package: ok")

# %% [markdown]
# How good is that? A network that always predicts velocity 0 has the mean square of the target as
# its loss: noise and data both have deviation 1 and are independent, so their difference has
# variance 2. A network whose last layer is initialised to zero, as ours is, starts its training
# there.

# %%
silent = (noise - data).pow(2).mean().item()
assert 1.6 < silent < 2.4 and by_package < 0.5 * silent
print("velocity 0: about 2; the sibling: less than half of that: ok")

# %% [markdown]
# ## Exercise: three ways to sample sigma
#
# ★★☆☆☆ · 10 minutes
#
# The objective leaves open how `sigma` is drawn, and the choice matters, since it decides which
# noise levels the network sees most often. Write `draw_sigma(kind, count, generator)`, which
# returns `count` levels between 0 and 1:
#
# * `"uniform"`: every level is equally likely;
# * `"logit-normal"`: a standard normal number `z`, squashed by $1 / (1 + e^{-z})$, so that levels
#   around the middle are the most frequent;
# * `"shifted"`: the same, then shifted towards noise as the sampler shifts its steps,
#   $s\sigma / (1 + (s - 1)\sigma)$ with $s = 2$.


# %% tags=["exercise"]
def draw_sigma(kind, count, generator):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
draw_sigma = answers.unless_solved(draw_sigma, answers.EX_12_SIGMA)
check.ex_12_sigma(draw_sigma)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `torch` draws uniform numbers and normal numbers, and both functions take a `generator`. One of
# the squashing functions of neural networks is the formula above.
#
# </details>
#
# <details><summary>A hint</summary>
#
# The third kind is the second and one more line. A level of one half becomes two thirds; 0 and 1
# stay where they are.
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def draw_sigma(kind, count, generator):
#     if kind == "uniform":
#         return torch.rand(count, generator=generator)
#     sigma = torch.sigmoid(torch.randn(count, generator=generator))
#     return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)
# ```
#
# Shifting by $s$ is the same as adding $\ln s$ to the normal number before it is squashed, so the
# two kinds differ only in the mean of that normal distribution.
#
# </details>

# %% [markdown]
# Yours beside the package's, which has the second kind (a shift of 1) and the third:

# %%
from qwenimage_ref.train.flow import sample_sigma

at = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
for kind, shift in (("logit-normal", 1.0), ("shifted", 2.0)):
    mine = draw_sigma(kind, 50_000, torch.Generator().manual_seed(0)).quantile(at)
    theirs = sample_sigma(50_000, shift, torch.Generator().manual_seed(1)).quantile(at)
    assert (mine - theirs).abs().max() < 0.015
    print(f"{kind}: the same quantiles as sample_sigma with shift {shift:g}: ok")

# %% [markdown]
# ## Where the loss is, and where training looks
#
# The loss is not the same at all levels. The next cells measure it level by level, always with the
# same posters and the same noise, and draw the three densities over it.

# %%
places = torch.linspace(0.02, 0.98, 17)


@torch.no_grad()
def loss_at(level):
    return flow_step(small.transformer, data, noise, level.expand(len(data)), txt, mask).item()


hardness = [loss_at(level) for level in places]

# %%
import numpy as np

from qwenimage_ref.course import charts

kinds = ("uniform", "logit-normal", "shifted")
draws = {kind: draw_sigma(kind, 200_000, torch.Generator().manual_seed(0)) for kind in kinds}
series = {}
for kind in kinds:
    height, edges = np.histogram(draws[kind], bins=40, range=(0, 1), density=True)
    series[f"{kind}: density"] = list(zip((edges[1:] + edges[:-1]) / 2, height))
series["loss of the sibling"] = list(zip(places.tolist(), hardness))
charts.curves(
    [{"series": series, "x": "sigma", "y": "density, and loss"}],
    alt="Over sigma from 0 to 1: a flat density, a bell, a bell leaning to the right; and the "
    "loss, high at both ends and low in between",
)

# %%
lowest = int(np.argmin(hardness))
assert hardness[0] > 1.4 * hardness[lowest] < hardness[-1]
assert abs(np.mean(series["uniform: density"], 0)[1] - 1) < 0.01
print("at either end the loss is at least 1.4 times as high as at its lowest: ok")

# %% [markdown]
# Near `sigma` = 1 nothing of the poster is visible in `x`, so the network can only predict what
# posters with this caption have in common. Near 0 the poster is fully visible, and the remaining
# task is to predict *noise* that is hardly visible, so the loss rises again. At either end the best
# prediction is little more than a mean, so what there is to learn lies in between; for this reason
# SD3's authors prefer the bell ([Esser et al.](https://arxiv.org/abs/2403.03206), section 3.1).
#
# The shift moves the bell towards noise. Neighbouring pixels of a large picture are redundant, so
# it remains recognisable at noise levels at which a small one has disappeared (chapter 08 computes
# it). The official model shifts its sampling steps by the number of tokens.
#
# There is one trap: the three kinds give three different training losses for the *same* weights.
# Losses of two recipes that draw `sigma` differently cannot be compared.

# %%
curve = {kind: np.interp(draws[kind], places, hardness).mean() for kind in kinds}
assert max(curve.values()) > 1.05 * min(curve.values())
for kind, loss in curve.items():
    print(f"{kind:13} would log a loss of {loss:.2f}")

# %% [markdown]
# All of it together is one training step. The gradient changes the weights of both networks, and
# the average follows them:
#
# ![One training step: the poster's latents are mixed with noise, the MMDiT predicts the velocity
# with the caption's text states, and the gradient of the squared error leads to the optimisers and
# the average](figures/training_step.svg)

# %% [markdown]
# ## Exercise: the training loop
#
# ★★★★☆ · 30 minutes
#
# The weights jump from batch to batch, and so does the quality of the pictures. Diffusion models
# are therefore trained with a second copy of the weights that follows slowly, an *exponential
# moving average*: after each step it becomes `keep` times itself plus `1 - keep` times the new
# weights. Pictures are painted with the average.
#
# Write `train(weights, optimisers, set_rates, loss_at, steps, keep)`, which trains `weights`, a
# list of parameters, in place. In each step, counted from 0:
#
# * `set_rates(step)` sets the learning rates of that step;
# * `loss_at(step)` draws a batch and returns its loss, as a tensor;
# * the gradient, taken as one long vector over all weights, is clipped to length 1;
# * every one of the `optimisers` takes a step, and the average follows.
#
# Return the losses as a list of plain numbers, and the average as a list of tensors. It starts as a
# copy of the weights.


# %% tags=["exercise"]
def train(weights, optimisers, set_rates, loss_at, steps, keep):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
train = answers.unless_solved(train, answers.EX_12_TRAIN)
check.ex_12_train(train)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# You have written this loop before; new are the clipping and the average. When do gradients have to
# be cleared, and which memory may the average not share?
#
# </details>
#
# <details><summary>A hint</summary>
#
# One function of torch clips the norm of the gradients of a list of parameters together. The
# average is not part of the graph: let it follow detached weights.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# average = copies of the weights, without graph
# for each step:
#     set the rates; take the loss; go backward; keep the loss as a number
#     clip the gradient over all weights to length 1
#     for each optimiser: step, then clear its gradients
#     average = keep times average + (1 - keep) times weights
# return losses, average
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def train(weights, optimisers, set_rates, loss_at, steps, keep):
#     average = [weight.detach().clone() for weight in weights]
#     losses = []
#     for step in range(steps):
#         set_rates(step)
#         loss = loss_at(step)
#         loss.backward()
#         losses.append(loss.item())
#         torch.nn.utils.clip_grad_norm_(weights, 1.0)
#         for optimiser in optimisers:
#             optimiser.step()
#             optimiser.zero_grad()
#         for slow, weight in zip(average, weights):
#             slow.lerp_(weight.detach(), 1 - keep)
#     return losses, average
# ```
#
# </details>

# %% [markdown]
# ## Sixty steps
#
# The package's loop is `Run`. It adds what a long training needs: a state on disk, a log, a
# progress bar. The random numbers of a step depend on the step's number alone, so a run that was
# killed continues bit for bit. Here `Run` supplies the optimisers: Muon, which makes every update
# orthogonal, for the matrices inside the layers, and AdamW for all other weights. First, both loops
# take three steps:

# %%
import tempfile

from qwenimage_ref.train.loop import Run


def trainer(model, folder):
    run = Run(model, sibling.EXERCISE.recipe, folder, model.matrices())

    def set_rates(step):
        for optimiser, largest in run.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = run.recipe.lr_at(step, largest)

    def loss_at(step):
        drawn = batch(sibling.EXERCISE, latents, pipe.tokenizer, step)
        return sibling.loss_of(model, prefix, *drawn)

    return run, set_rates, loss_at


# %%
with tempfile.TemporaryDirectory() as folder:
    theirs = sibling.load_mid()
    run, _, loss_at = trainer(theirs, folder)
    run.fit(loss_at, until=3, quiet=True)
with tempfile.TemporaryDirectory() as folder:
    mine = sibling.load_mid()
    run, *functions = trainer(mine, folder)
    train([*mine.parameters()], [*run.optimisers], *functions, 3, keep=0.9)
assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters()))
print("after three steps, your weights and the package's are equal to the last bit: ok")

# %% [markdown]
# Now the whole exercise, with your loop:

# %%
with tempfile.TemporaryDirectory() as folder:
    run, *functions = trainer(small, folder)
    weights, optimisers = [*small.parameters()], [*run.optimisers]
    losses, average = train(weights, optimisers, *functions, run.recipe.steps, keep=0.8)
print(f"{len(losses)} steps of {sibling.EXERCISE.recipe.batch} posters")

# %% [markdown]
# Is the result what it should be? The stored band comes from the same sixty steps with other seeds,
# that is with other noise and other levels. A single loss shows little because batches differ, so
# the band is for the mean over the last twenty.

# %%
import json

band = json.loads(show.data_file("measurements/mid_band.json").read_text())
steps = range(1, len(losses) + 1)
smooth = [sum(losses[max(0, i - 10) : i]) / min(i, 10) for i in steps]
bounds = [(i, (band["low"] + band["high"]) / 2, band["low"], band["high"]) for i in range(41, 61)]
series = {"each batch": zip(steps, losses), "mean of ten": zip(steps, smooth), "band": bounds}
charts.curves(
    [{"series": series, "x": "step", "y": "loss"}],
    alt="Sixty losses that jump from batch to batch, their running mean, which is calm, and the "
    "stored band over the last twenty steps, which holds it",
)

# %%
landed = sum(losses[-20:]) / 20
assert band["low"] <= landed <= band["high"], f"{landed:.4f} is outside of the band"
print(f"mean of the last 20 losses between {band['low']:.3f} and {band['high']:.3f}: ok")

# %% [markdown]
# ## The average of the weights
#
# With `keep` = 0.8 the average reaches about five steps back; that of the pocket model reaches two
# hundred. Is it better than the last weights? For a fair comparison, all models get posters that
# were never trained on, with the same noise and the same levels.

# %%
from qwenimage_ref.pocket.train import as_input, encode_captions

fresh = [world.sample_scene(10_000_000 + i, word_share=0) for i in range(64)]
with torch.no_grad():
    drawn = as_input([world.draw(scene, i) for i, scene in enumerate(fresh)])
    new_data = pipe.vae.normalize(pipe.vae.encode(drawn)[0])
new_noise = torch.randn(new_data.shape, generator=torch.Generator().manual_seed(1))
captions = encode_captions(pipe.tokenizer, [world.caption(scene) for scene in fresh])


@torch.no_grad()
def loss_on_fresh(model):
    levels = torch.linspace(0.05, 0.95, len(fresh))
    return sibling.loss_of(model, prefix, *captions, new_data, new_noise, levels).item()


# %%
averaged = sibling.load_mid()
before = loss_on_fresh(averaged)
with torch.no_grad():
    for weight, slow in zip(averaged.parameters(), average):
        weight.copy_(slow)
raw, after = loss_on_fresh(small), loss_on_fresh(averaged)
assert max(after, raw) < before and abs(after / raw - 1) < 0.01
print(f"on fresh posters, before: {before:.2f}; last weights: {raw:.3f}; average: {after:.3f}")

# %% [markdown]
# Both are far better than the weights you began with, and they are within one per cent of each
# other. The average is meant for a learning rate that stays high, at which the weights jump far.
# Where the rate falls to zero at the end, as in the training runs of [chapter
# 22](22_why_this_way.ipynb), leaving it out makes no difference that three seeds can show.

# %%
wanted = fresh[:4]
mine, old = (sibling.pipeline(pipe, model) for model in (averaged, sibling.load_mid()))
prompts = [world.caption(scene) for scene in wanted]
painted = [
    picture
    for model in (old, mine)
    for picture in model(prompts, " ", num_inference_steps=20, seed=[0, 1, 2, 3])
]
captions = [f"{when}: {prompt}" for when in ("before", "after") for prompt in prompts]
show.grid(painted, captions, alt="Four posters before and after: " + "; ".join(prompts), scale=1)

# %%
from qwenimage_ref.posters.read import read

backgrounds = [read(picture).scene.background for picture in painted[4:]]
right = sum(found == scene.background for found, scene in zip(backgrounds, wanted))
assert right >= 3, f"backgrounds read: {backgrounds}"
print("after: at least 3 of 4 backgrounds are right: ok")

# %% [markdown]
# The loss fell, and yet the pictures hardly changed: sixty steps are a hundredth of a training run.
# How do pictures emerge over a whole one?
#
# ## The same noise, through a whole training run
#
# In one of the training runs of [chapter 22](22_why_this_way.ipynb), from untrained weights on, the
# sibling's averaged weights were saved at several moments, and each of them painted the same
# prompts from the same noise. Each row is a prompt.

# %%
from qwenimage_ref.evaluate import ablations

sheet = Image.open(show.data_file("pictures/stages.png")).convert("RGB")
columns, side = sheet.width // world.SIDE, world.SIDE
for row, scene in enumerate(ablations.SHOWN, 1):
    print(row, world.caption(scene))

# %%
corners = [(side * c, side * r) for r in range(len(ablations.SHOWN)) for c in range(columns)]
stages = [sheet.crop((x, y, x + side, y + side)) for x, y in corners]
names = [f"{step} steps" for step in ablations.STAGES[:columns]] * len(ablations.SHOWN)
alt = (
    "Four prompts through the stages of a training run: coloured noise becomes blotches, then the "
)
show.grid(stages, names, alt + "right background, then things on it", columns, scale=1)

# %%
found = [
    sum(read(stages[r * columns + c]).scene.background == scene.background
        for r, scene in enumerate(ablations.SHOWN))
    for c in range(columns)
]  # fmt: skip
assert found[0] == 0 and found[-1] == len(ablations.SHOWN)
print("backgrounds right, from stage to stage:", found)

# %% [markdown]
# Training proceeds from the large to the small: the background comes first, then the number of
# shapes and their places, then their colours, and their outlines last; chapter 22 counts each of
# them over the same steps. Large regions cover more pixels and so contribute more to the squared
# error.
#
# That training run ends there. The pocket model has eight times as many weights and was
# trained for several times as many steps with twice the batch; otherwise it is the loss and the
# loop that you wrote. The same prompts, painted with its weights:

# %%
prompts = [world.caption(scene) for scene in ablations.SHOWN]
finished = pipe(prompts, " ", num_inference_steps=20, seed=[2, 3, 4, 5])
show.grid(finished, prompts, "Finished posters: " + "; ".join(prompts), len(prompts), scale=1)

# %%
from qwenimage_ref.posters.read import score

assert all(score(scene, found)["scene"] for scene, found in zip(ablations.SHOWN, finished))
print("shapes, colours, places and backgrounds, all as asked for: ok")

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** A network that always predicts velocity 0 has loss 2. What is the loss of one that knows
# the data exactly from the caption, but nothing about the noise, at `sigma` = 1?
#
# <details><summary>Answer</summary>
#
# 0. At `sigma` = 1, `x` *is* the noise, and with the data known as well, the velocity is known. In
# practice the loss there consists of what the caption does not say, mostly the exact positions.
#
# </details>
#
# **2.** Sixty steps of 32 posters: how many times does the network see each of the 512?
#
# <details><summary>Answer</summary>
#
# 3.75 times: 60 × 32 / 512, each time with different noise, another level and another wording.
#
# </details>
#
# **3.** With `keep` = 0.8, how much of the average is older than ten steps?
#
# <details><summary>Answer</summary>
#
# 11 %: 0.8 to the power of 10.
#
# </details>

# %%
x = (1 - 1.0) * data + 1.0 * noise
assert torch.equal(x - data, noise - data)
assert 60 * sibling.EXERCISE.recipe.batch / sibling.EXERCISE.posters == 3.75
assert round(0.8**10, 2) == 0.11
print("0, 3.75 times, 11 %: ok")

# %% [markdown]
# ## What production code does differently
#
# * Training uses billions of pairs, in stages: pictures of 256 pixels first, then 640, then 1,328;
#   first without text in the picture, then with it; first all data, then only the best.
# * Text states and latents are computed once, by separate machines, and stored. The text encoder is
#   frozen; here it is trained along, because it starts without any knowledge of language.
# * The weights are distributed over many GPUs, split by rows and by heads; gradients are summed in
#   float32, and weights are sent around in bfloat16.
# * Fine-tuning seldom changes the weights themselves: a LoRA learns a small change beside them.
# * A model trained as on this page is called *pre-trained*. What follows is training on hand-picked
#   pictures, then on preferences of people (DPO), then on rewards (GRPO).
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The objective: [Lipman et al. 2022](https://arxiv.org/abs/2210.02747), section 3, and [Liu et
#   al. 2022](https://arxiv.org/abs/2209.03003), section 2. Levels drawn from a logit-normal
#   distribution: [SD3, Esser et al. 2024](https://arxiv.org/abs/2403.03206), section 3.1.
# * Empty captions in training, as guidance needs them: [Ho and Salimans
#   2022](https://arxiv.org/abs/2207.12598), section 3. AdamW: [Loshchilov and Hutter
#   2017](https://arxiv.org/abs/1711.05101). Muon: [Jordan et al.
#   2024](https://kellerjordan.github.io/posts/muon/). The average of the weights and how long it
#   should be: [Karras et al. 2023](https://arxiv.org/abs/2312.02696), section 3.
# * SD3 compared 61 combinations of path, prediction and distribution of levels, and chose the path
#   and the prediction of this page with logit-normal levels (section 5.1). It was then fine-tuned
#   on preferences with DPO.
# * FLUX.1: neither a paper nor training code was published. The repository has *minimal inference
#   code* ([README](https://github.com/black-forest-labs/flux)).
#
# </details>
#
# ## Try this
#
# * Draw `sigma` uniformly in `batch` and take the sixty steps again. Compare the losses on fresh
#   posters, not the training losses.
# * Train with captions in English only. What happens to the Chinese prompt after sixty steps?
# * Set `CAPTION_DROPOUT` to 0. What does guidance then extrapolate away from?
# * `make train` makes the pocket model from nothing. Stop it with Ctrl-C and start it again.
#
# Capstone: your `mmdit.py` can be trained as it is: when `make grade PART=mmdit` says that it is
# equal, give it to the loop of this page.
#
# Next: [13 · Is it any good?](13_is_it_any_good.ipynb), how to measure what was trained.
