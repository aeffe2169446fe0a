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
# So far you used weights that somebody trained. On this page you train: first by hand, each line
# of the objective, then sixty real steps, with the same code that made the pocket model.
#
# | | |
# |---|---|
# | **You need** | [chapter 00](00_a_picture_in_sixty_seconds.ipynb); you trained a network once |
# | **You get** | the whole of flow matching in one screen, and a model that you improved yourself |
# | **Minutes** | 40 to read, one to run |
# | **Picture** | the same noise through the checkpoints of a training run |
# | **Number** | 60 steps from the shipped checkpoint land in the stored band of losses |
#
# The pocket model took two hours and a half of one core. Nobody waits for that in a notebook, so
# the page trains its **sibling**: the same classes, an eighth of the size, no words on its posters.
# It is shipped in the middle of its training, and from there you go on.

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.pocket import sibling

pipe = QwenImage.from_pretrained(show.pocket_folder())
painter = sibling.load_mid()

# %%
sizes = {
    name: sum(p.numel() for part in parts for p in part.parameters())
    for name, parts in {
        "pocket": (pipe.text_encoder, pipe.transformer),
        "sibling": (painter.text_encoder, painter.transformer),
    }.items()
}
print({name: f"{size / 1e6:.1f} million" for name, size in sizes.items()})

# %% [markdown]
# ## Data that costs nothing
#
# Large models eat billions of pictures that people made, filtered in seven stages. Ours are drawn,
# and an integer is all it takes: it chooses a scene, the scene gives a picture and a caption.

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
# Nothing is stored and nothing can leak: number 7 is the same poster on every machine, and the
# tests use numbers that training never reaches. Captions are reworded each time a poster comes
# round, so that the text tower has something to learn, too. How many different scenes are there?

# %%
shapes, colours = len(world.SHAPES), len(world.COLOURS)
one = shapes * colours * len(world.PLACES)
two = shapes**2 * colours * (colours - 1) * len(world.RELATIONS)
words = sum(36**length for length in range(5))  # none, and one to four of 36 characters
assert (world.draw(scenes[7], 7) == world.draw(world.sample_scene(7), 7)).all()
print(f"{len(world.BACKGROUNDS) * (one + two):,} without a word, times {words:,} words")

# %% [markdown]
# With words nobody sees them all; without, they are few enough to be learned by heart. That is why
# some combinations are *never* drawn for training, a purple star for one. On those, a right picture
# proves that the model puts things together.
#
# ## From posters to latents, once
#
# The transformer never sees pixels. The VAE is finished by now and stays frozen, so each poster is
# encoded once and its latents are kept. `normalize` brings every channel to mean 0 and deviation 1,
# because noise has those, and a model that mixes both wants them on one scale.

# %%
latents = sibling.encode(pipe.vae)
mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
assert mean.abs().max() < 0.4 and 0.6 < deviation.min() and deviation.max() < 1.5
print(tuple(latents.shape), "each channel's mean near 0, its deviation near 1: ok")

# %% [markdown]
# ## The objective
#
# Draw noise. Draw a level `sigma` between 0 and 1. Mix:
#
# $$x = (1 - \sigma)\,\text{data} + \sigma\,\text{noise}$$
#
# That is a straight line from data to noise, and on a straight line the velocity is the same
# everywhere: $\text{noise} - \text{data}$. The model sees `x`, `sigma` and the caption, and has to
# predict that velocity. It cannot be exact, since many posters and many noises meet in one `x`; the
# best prediction under a squared error is the *mean* of all velocities that pass there. This is the
# whole of **flow matching**.

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
# Who knows the velocity needs a single step: from anywhere on the line, straight back to the data.

# %%
velocity = noise[0] - data[0]
for s, x in zip(levels, mixed):
    assert torch.allclose(x - s * velocity, data[0], atol=1e-5)
print("from every level, one step of the true velocity ends at the poster: ok")

# %% [markdown]
# Now the loss, three times. First a loop over pictures and numbers, as the formula says:

# %%
from qwenimage_ref.pocket.train import batch
from qwenimage_ref.sampler import pack

ids, mask, data, noise, sigma = batch(sibling.EXERCISE, latents, pipe.tokenizer, step=0)
prefix = pipe.tokenizer.prefix_length  # states of the letter around the prompt, dropped
with torch.no_grad():
    txt = painter.text_encoder(ids)[:, prefix:]
mask = mask[:, prefix:]
print("captions", tuple(ids.shape), "text states", tuple(txt.shape), "data", tuple(data.shape))


# %%
@torch.no_grad()
def loss_in_a_loop():
    errors = []
    for b in range(len(data)):
        x = (1 - sigma[b]) * data[b] + sigma[b] * noise[b]
        one = slice(b, b + 1)
        said = painter.transformer(pack(x[None]), txt[one], sigma[one], [(1, 8, 8)], mask[one])
        errors += (said - pack((noise[b] - data[b])[None])).flatten().tolist()
    return sum(error**2 for error in errors) / len(errors)


# %% [markdown]
# Then all pictures at once, and then the package's function, the one that trained the weights you
# have been using:

# %%
from qwenimage_ref.train.flow import flow_step

show.source(flow_step)

# %%
with torch.no_grad():
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    said = painter.transformer(pack(x), txt, sigma, [(1, 8, 8)], mask)
    at_once = (said - pack(noise - data)).pow(2).mean().item()
    by_package = flow_step(painter.transformer, data, noise, sigma, txt, mask).item()
assert abs(loss_in_a_loop() - at_once) < 1e-4 and abs(at_once - by_package) < 1e-6
print(f"{at_once:.2f} three times: ok")

# %% [markdown]
# How good is that? A model that always predicts velocity 0 has the loss of the target itself:
# noise and data both have deviation 1 and are independent, so their difference has variance 2. A
# network whose last layer begins as zero, as ours does, starts its training there.

# %%
silent = (noise - data).pow(2).mean().item()
assert 1.6 < silent < 2.4 and by_package < 0.5 * silent
print("a silent model: about 2; the sibling: less than half of that: ok")

# %% [markdown]
# ## Exercise: three ways to sample sigma
#
# ★★☆☆☆ · 10 minutes
#
# The objective does not say how `sigma` is drawn, and it matters: it is what the model practises.
# Write `draw_sigma(kind, count, generator)`, which returns `count` levels between 0 and 1:
#
# * `"uniform"`: every level alike;
# * `"logit-normal"`: a standard normal number `z`, squashed by $1 / (1 + e^{-z})$, so that the
#   middle comes most often;
# * `"shifted"`: the same, then moved towards noise as the sampler moves its steps,
#   $s\sigma / (1 + (s - 1)\sigma)$ with $s = 2$.
#
# You will know it works when the checker says so.


# %% tags=["exercise"]
def draw_sigma(kind, count, generator):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

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
# two kinds differ by nothing but the mean of a bell.
#
# </details>

# %% [markdown]
# Yours and the package's, which knows the second kind (a shift of 1) and the third:

# %%
from qwenimage_ref.train.flow import sample_sigma

at = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
for kind, shift in (("logit-normal", 1.0), ("shifted", 2.0)):
    mine = draw_sigma(kind, 50_000, torch.Generator().manual_seed(0)).quantile(at)
    theirs = sample_sigma(50_000, shift, torch.Generator().manual_seed(1)).quantile(at)
    assert (mine - theirs).abs().max() < 0.015
    print(f"{kind}: the same quantiles as sample_sigma with shift {shift:g}: ok")

# %% [markdown]
# ## What is hard, and what is practised
#
# The loss is not the same everywhere. Measure it level by level, always with the same posters and
# the same noise, and lay the three densities over it.

# %%
places = torch.linspace(0.02, 0.98, 17)


@torch.no_grad()
def loss_at(level):
    return flow_step(painter.transformer, data, noise, level.expand(len(data)), txt, mask).item()


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
# Read the loss from both ends. Near `sigma` = 1 there is nothing to see in `x`, so the model can
# only predict what posters of this caption have in common. Near 0 the data is all there, and the
# model has to name *noise* that it can hardly see: the loss goes up again, but nothing is learned
# there that anyone would notice in a picture. In between lies the work: what goes where, and with
# which edge. The bell puts practice there.
#
# The shift leans it towards noise. Neighbouring pixels repeat one another, so a large picture
# shows through more noise than a small one; to be equally lost, it needs more. The official model
# shifts by token count, and the sampler takes its steps by the same rule.
#
# One trap: the three kinds give three training losses for the *same* weights. Never compare the
# losses of two recipes that draw `sigma` differently.

# %%
curve = {kind: np.interp(draws[kind], places, hardness).mean() for kind in kinds}
assert max(curve.values()) > 1.05 * min(curve.values())
for kind, loss in curve.items():
    print(f"{kind:13} would log a loss of {loss:.2f}")

# %% [markdown]
# ## Sixty steps
#
# A step: draw a batch, take the loss, go against its gradient. `Run` does that and little more. The
# rate comes from the recipe, and each step's randomness from its number alone, so that a run that
# was killed goes on to the same bits. Matrices inside the layers are trained by Muon, which makes
# every update orthogonal, the rest by AdamW.

# %%
import tempfile

from qwenimage_ref.train.loop import Run

losses = []


def train_on(step):
    drawn = batch(sibling.EXERCISE, latents, pipe.tokenizer, step)
    loss = sibling.loss_of(painter, prefix, *drawn)
    losses.append(loss.item())
    return loss


# %%
folder = tempfile.TemporaryDirectory()
run = Run(painter, sibling.EXERCISE.recipe, folder.name, painter.matrices())
run.fit(train_on, quiet=True)
print(f"{run.step} steps of {sibling.EXERCISE.recipe.batch} posters")

# %% [markdown]
# Did you land where others did? The stored band comes from the same sixty steps with other seeds:
# other noise, other levels. A single loss means little, because each batch has its own luck; the
# band is of the mean over the last twenty.

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
# The weights jump from batch to batch like the losses, only unseen. So the run keeps a second copy
# that follows slowly, the *exponential moving average*: after every step it moves a small part of
# the way to the weights. With `ema` = 0.9 that part is a tenth, and the copy remembers ten steps
# or so; the pocket model's remembers two hundred.
#
# To compare the two fairly: posters that were never trained on, and for all models the same noise
# and the same levels.

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
before, raw = loss_on_fresh(sibling.load_mid()), loss_on_fresh(painter)
with run.averaged():
    averaged = loss_on_fresh(painter)
assert averaged < raw and averaged < before
print("on fresh posters the averaged weights beat the last ones, and those you began with: ok")

# %% [markdown]
# The average costs a copy of the weights. What you paint with below is yours.

# %%
wanted = fresh[:4]
run.use_average()
mine, old = (sibling.pipeline(pipe, model) for model in (painter, sibling.load_mid()))
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

papers = [read(picture).scene.background for picture in painted[4:]]
right = sum(paper == scene.background for paper, scene in zip(papers, wanted))
assert right >= 3, f"backgrounds read: {papers}"
print("after: at least 3 of 4 backgrounds are right: ok")

# %% [markdown]
# The pictures hardly changed? Sixty steps are sixty steps. To see a model grow you need more of
# them, and a memory for what it painted before.
#
# ## The same noise, through the whole training
#
# The sibling's averaged weights were kept at several moments of its training, and painted the same
# prompts from the same noise. A row is a prompt:

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
alt = "Four prompts through the stages of a training: coloured noise becomes blotches, then the "
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
# It learns from the large to the small, always in this order: the average colour, the background,
# how many things and where, their colours, their shapes, and long after the end of this strip the
# letters. Large things decide more pixels, so their error weighs more, and they are all that can be
# seen through much noise.
#
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** A model that always says velocity 0 has loss 2. What is the loss of one that knows the data
# perfectly by the caption, but nothing of the noise, at `sigma` = 1?
#
# <details><summary>Answer</summary>
#
# 0. At `sigma` = 1, `x` *is* the noise. Who also knows the data knows the velocity. What is left
# there in practice is what the caption does not say: jitter, mostly.
#
# </details>
#
# **2.** Sixty steps of 32 posters: how many times does the model see each of the 512?
#
# <details><summary>Answer</summary>
#
# Not quite four times: 60 × 32 / 512 = 3.75, with other noise, another level and other words each
# time. The pocket model saw each of its posters about six times.
#
# </details>
#
# **3.** With `ema` = 0.9, how much of the average is older than twenty steps?
#
# <details><summary>Answer</summary>
#
# 12 %: 0.9 to the power of 20.
#
# </details>

# %%
x = (1 - 1.0) * data + 1.0 * noise
assert torch.equal(x - data, noise - data)
assert 60 * sibling.EXERCISE.recipe.batch / sibling.EXERCISE.posters == 3.75
assert round(0.9**20, 2) == 0.12
print("0, 3.75 times, 12 %: ok")

# %% [markdown]
# ## What production code does differently
#
# * Billions of pairs, in stages: 256 pixels, then 640, then 1,328; first without text, then with;
#   first everything, then only the best.
# * Text states and latents are computed once by machines of their own, and stored; the text tower
#   is frozen. Here it is trained along, because it starts from random weights.
# * The weights lie on many GPUs at once, split by rows and by heads; gradients are summed in
#   float32, weights sent around in bfloat16.
# * Fine-tuning seldom touches the weights: a LoRA learns a small change beside them.
# * After all this come pictures chosen by hand, then preferences of people (DPO), then rewards
#   (GRPO). A model as trained here is called *pre-trained*.
#
# ## Try this
#
# * Draw `sigma` uniformly in `batch` and take the sixty steps again. Compare the losses on fresh
#   posters, not the training losses.
# * Train with captions in English only. How does the Chinese prompt fare after sixty steps?
# * Set `CAPTION_DROPOUT` to 0. What does guidance push from then?
# * `make train` makes the pocket model from nothing. Stop it with Ctrl-C and start it again.
#
# Capstone: your `mmdit.py` can be trained as it is: when `make grade PART=mmdit` says that it is
# equal, give it to the loop of this page.
