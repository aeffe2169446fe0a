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
# # 27 · Layers
#
# A painted picture is flat: if you move the star, it leaves a hole. Designers therefore keep every
# object in a transparent layer of its own. Qwen-Image-Layered decomposes a flat picture into such
# layers, including the parts that are hidden. On this page you follow a poster through that model:
# the fourth channel, the token sequence, the schedule, the automatic caption, and the files that
# are written at the end.
#
# | | |
# |---|---|
# | **You need** | chapters [04][n4], [05][n5] and [08][n8] |
# | **You get** | compositing, frames, the layered schedule, captions and tiles, each by hand |
# | **Minutes** | 40 to read, 70 to write, one to run |
# | **Picture** | a poster, the four layers it consists of, and what alpha teaches a VAE |
# | **Number** | 5,185 new weights let alpha through the VAE; positions equal diffusers' exactly |
#
# [n4]: 04_pictures_to_latents_and_back.ipynb
# [n5]: 05_msrope.ipynb
# [n8]: 08_the_shifted_sampler.ipynb

# %%
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.course import charts, heat_maps, show, sliders
from qwenimage_ref.course.figures.layers import on_checkers
from qwenimage_ref.evaluate.layering import MIXTURE
from qwenimage_ref.evaluate.tables import within
from qwenimage_ref.pictures import to_input
from qwenimage_ref.pocket import layered as training
from qwenimage_ref.posters.layers import composed, judge, layered
from qwenimage_ref.psd import recompose

pipe = QwenImage.from_pretrained(show.pocket_folder())
poster = layered(5, 4, MIXTURE)
layers = poster.layers  # each (H, W, 4): red, green, blue, alpha
print(poster.count, "layers of", *layers[0].shape, "numbers:", poster.prompt)

# %% [markdown]
# ## A poster is a stack
#
# The posters of this course are drawn from the background up, so their true layers are known. The
# checkerboard is not part of any layer; it shows through where a layer is transparent.

# %%
names = ["the poster", "background", "lower shape", "upper shape", "word"]
rows = [on_checkers(each) for each in (poster.picture, *layers)]
alt = "A poster with two overlapping shapes and a word, then its background, each shape and the "
alt += "word alone on a checkerboard; the lower shape is whole"
show.grid(rows, names, alt, columns=5)

# %%
hidden = (layers[1][..., 3] > 127) & (layers[2][..., 3] > 127)
assert np.array_equal(composed(layers), poster.picture) and hidden.sum() > 50
print(
    int(hidden.sum()), "pixels of the lower shape are hidden in the poster and whole in its layer"
)

# %% [markdown]
# The same poster, one layer after another:

# %%
stack = [on_checkers(composed(layers[: n + 1])) for n in range(4)]
show.grid(stack, [f"{n + 1} of 4" for n in range(4)], "The poster as it grows by layers", columns=4)

# %%
film = sliders.Film(stack, [f"{n} of 4" for n in range(1, 5)])
assert np.array_equal(np.asarray(stack[-1]), poster.picture[..., :3])
film

# %% [markdown]
# ## Over
#
# **Alpha** is the share of a pixel that a layer covers. Put a layer with alpha $a$ and colour $c_a$
# on top of one with $b$ and $c_b$. If the two shares are independent, the upper layer is visible on
# $a$ of the pixel. The lower one is visible where it covers the pixel and the upper one does not,
# on $(1-a)\,b$. Together they cover
#
# $$\alpha = a + (1-a)\,b,$$
#
# and the light of the pixel is $a\,c_a + (1-a)\,b\,c_b$. A colour times its alpha is called
# *premultiplied*. With $p = \alpha c$ the rule becomes a single line, the **over** operator:
#
# $$p = p_a + (1-a)\,p_b.$$
#
# PNG files and this model store *straight* alpha: the colour $c = p/\alpha$ by itself.
#
# ## Exercise: over
#
# ★★★☆☆ · 15 minutes
#
# Write `over(top, bottom)` for two layers `(4, H, W)` from 0 to 1 with straight alpha. Return the
# composite of the two as a layer. Where both are transparent, any finite colour is right.
# You will know it works when the checker says so.


# %% tags=["exercise"]
def over(top, bottom):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

over = answers.unless_solved(over, answers.EX_27_OVER)
check.ex_27_over(over)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Which share of the pixel does the lower layer still show? Let both be half transparent.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Compute alpha and premultiplied light first. The colour is a quotient of the two, and in a pixel
# that neither layer covers, both of them are 0.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# alpha <- a + (1 - a) b
# light <- a x upper colour + (1 - a) b x lower colour
# colour <- light / alpha, or anything where alpha is 0
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def over(top, bottom):
#     a, b = top[3:], bottom[3:]
#     alpha = a + (1 - a) * b
#     light = a * top[:3] + (1 - a) * b * bottom[:3]
#     return torch.cat([light / alpha.clamp(min=1e-8), alpha])
# ```
#
# </details>

# %%
tensors = [torch.tensor(layer).permute(2, 0, 1) / 255 for layer in layers]
from_below = from_above = None
for lower, upper in zip(tensors, tensors[::-1]):
    from_below = lower if from_below is None else over(lower, from_below)
    from_above = upper if from_above is None else over(from_above, upper)
assert torch.allclose(from_below, from_above, atol=1e-5)
flat = torch.tensor(poster.picture).permute(2, 0, 1) / 255
assert (from_below - flat).abs().max() < 1 / 255
print("joined from below or from above, the layers give the poster within one level: ok")

# %% [markdown]
# Over is *associative*: $(A \text{ over } B) \text{ over } C = A \text{ over } (B \text{ over }
# C)$, since both are $p_A + (1-a)\,p_B + (1-a)(1-b)\,p_C$. So a group of layers can be flattened in
# advance. Over is not commutative:

# %%
swapped = [layers[n] for n in (0, 2, 1, 3)]
assert not np.array_equal(composed(swapped), poster.picture)
print("with the shapes in the other order it is another poster: ok")

# %% [markdown]
# ## Colours that are never visible
#
# Where alpha is 0, a straight colour means nothing, and programs store black, white, or anything
# else there. That is harmless until pixels are mixed. Below, a shape whose transparent pixels are
# black is reduced by averaging 4 × 4 pixels, first channel by channel, then premultiplied, as
# Pillow does for RGBA.

# %%
shape = layers[2].copy()
shape[shape[..., 3] == 0] = 0
small_size = (24, 24), Image.Resampling.BOX
channels = [
    Image.fromarray(np.ascontiguousarray(shape[..., n])).resize(*small_size) for n in range(4)
]
straight = np.dstack([*map(np.asarray, channels)])
premultiplied = np.asarray(Image.fromarray(shape).resize(*small_size))
paper = np.full((24, 24, 4), 255, np.uint8)
small = [on_checkers(composed([paper, each])) for each in (straight, premultiplied)]
alt = "A small shape with a dark rim, and the same shape without one"
show.grid(small, ["channel by channel", "premultiplied"], alt, columns=2, scale=8)

# %%
white = np.full_like(shape, 255)
right = np.asarray(Image.fromarray(composed([white, shape])[..., :3]).resize(*small_size))
off = [np.abs(np.asarray(each, int) - right).max() for each in small]
assert off[0] > 20 > 3 >= off[1]
print("worst pixel: more than 20 levels off channel by channel, at most 3 premultiplied: ok")

# %% [markdown]
# A network mixes pixels in every convolution. For this reason each layer of these posters has one
# colour everywhere, and the loss below gives invisible colours a weight of one tenth.
#
# ## A VAE of four channels
#
# The VAE treats alpha as a fourth channel. Only the encoder's first and the decoder's last
# convolution become larger. Latents keep their 16 channels, so the transformer need not change.

# %%
import math

from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import MMDiTConfig, VAEConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.vae import VAE


def stored(part):
    return sum(map(math.prod, stored_form(part).values()))


with torch.device("meta"):  # shapes without memory
    rgb = VAE(VAEConfig.official())
    rgba = VAE(replace(VAEConfig.official(), input_channels=4))
assert stored(rgba) - stored(rgb) == 96 * 27 + (96 * 27 + 1) == 5185
print(f"{stored(rgb):,} + 5,185 = {stored(rgba):,} weights")

# %% [markdown]
# How should the new weights be initialised? The paper sets them to zero, and the new bias to one.
# Then every opaque picture is encoded and decoded as before, and alpha is 1 everywhere.

# %%
vae = training.with_alpha(pipe.vae)
img = to_input(layers)  # (4, 4, H, W) in [-1, 1]
with torch.no_grad():
    mean, _ = vae.encode(to_input([poster.picture]))
    assert torch.allclose(mean, pipe.vae.encode(to_input([poster.picture[..., :3]]))[0], atol=1e-5)
    assert (vae.decode(vae.encode(img)[0])[:, 3] == 1).all()
print("opaque pictures: the same latents; alpha: 1 everywhere, whatever went in")

# %% [markdown]
# Now this VAE is trained for 120 steps on eight crops of 48 × 48 pixels. That is enough to memorise
# the crops and to see how alpha enters the latents. The new channel starts in a deadlock: the
# decoder can learn alpha only from latents that contain it, and the encoder gets a gradient for it
# only through a decoder that uses it. At first, both new sets of weights are zero.

# %%
show.source(training.rgba_error)


# %%
def crop(layer, side=48):
    """A square around the middle of what can be seen"""
    ys, xs = np.nonzero(layer[..., 3] > 127)
    top, left = (int(np.clip(at.mean() - side // 2, 0, 96 - side)) for at in (ys, xs))
    return layer[top : top + side, left : left + side]


crops = [crop(layer) for seed in range(4) for layer in layered(seed, 3, MIXTURE).layers[1:]]
few = to_input(crops)


def overlap(vae):
    """IoU of alpha with the true one, the mean over the crops"""
    with torch.no_grad():
        seen, true = vae.decode(vae.encode(few)[0])[:, 3] > 0, few[:, 3] > 0
    return ((seen & true).sum((1, 2)) / (seen | true).sum((1, 2))).mean().item()


# %%
vae = vae.requires_grad_(True)
adam = torch.optim.AdamW(vae.parameters(), 1e-3, (0.9, 0.99))
errors, overlaps = [], [(0, overlap(vae))]
for step in range(120):
    adam.param_groups[0]["lr"] = 1e-3 * min(1, (step + 1) / 5)
    mean, _ = vae.encode(few)
    error = training.rgba_error(vae.decoder(vae.post_quant_conv(mean)), few)
    adam.zero_grad()
    error.backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 10)
    adam.step()
    errors.append((step, error.item()))
    if step % 10 == 9:
        overlaps.append((step + 1, overlap(vae)))
vae = vae.requires_grad_(False)

# %%
panels = [{"series": {"loss": errors}, "x": "step", "y": "error of the eight crops"}]
panels += [{"series": {"IoU": overlaps}, "x": "step", "y": "IoU of alpha"}]
charts.curves(panels, "A loss that falls, and an overlap of alpha that falls first and then rises")

# %%
least = min(share for _, share in overlaps)
assert errors[-1][1] < 0.2 * errors[0][1] and overlaps[-1][1] > 0.6 > 0.15 > least
print("the loss falls to less than a fifth; alpha falls below 0.15 first, and ends above 0.6: ok")

# %% [markdown]
# The overlap falls first. While the latents contain no alpha, the best prediction is its mean,
# which is mostly transparent. The shapes appear after that.

# %%
with torch.no_grad():
    levels = ((vae.decode(vae.encode(few)[0]) + 1) * 127.5).round().byte()
after = levels.permute(0, 2, 3, 1).numpy()
alt = "Eight crops of shapes and words on a checkerboard, and below what the VAE makes of them"
show.grid(
    [*map(on_checkers, crops), *map(on_checkers, after)],
    ["before"] * 8 + ["after"] * 8,
    alt,
    columns=8,
)

# %%
inside = (few[:, 3] > 0).numpy()
assert after[..., 3][inside].mean() > 2 * after[..., 3][~inside].mean()
print("alpha is more than twice as large inside the shapes as outside: ok")

# %% [markdown]
# ## One sequence for all layers
#
# All layers are painted together, in one loop. Each is a frame of the target with its own tokens,
# and every token attends to all others. The first frame, 0, is the *composite*: the whole picture
# again, which is dropped at the end. The last one in the sequence is the picture to be decomposed,
# clean, with frame -1.
#
# ![Block diagram: the tokens of the prompt, of the noise in frames 0 to n, and of the encoded
# picture in frame -1 form one sequence; the MMDiT gives a velocity for frames 0 to n; at the end
# frame 0 is dropped and each layer decoded](figures/layered_sequence.svg)
#
# Why -1? Layers are counted upwards, and there may be any number of them. A fixed frame below them
# marks the given picture whatever that number is. The text must not overlap the layers: it starts
# off the longer half side, as in [chapter 05](05_msrope.ipynb), but not before position $n + 1$.
#
# ## Exercise: places
#
# ★★★☆☆ · 15 minutes
#
# Write `places(layers, rows, cols, text_length)`: the positions (frame, row, column) of all image
# tokens, `((layers + 2) * rows * cols, 3)`, and those of the text, `(T, 3)`, as integers. Rows and
# columns are centred as in chapter 05. You will know it works when the checker says so.


# %% tags=["exercise"]
def places(layers, rows, cols, text_length):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
places = answers.unless_solved(places, answers.EX_27_PLACES)
check.ex_27_places(places)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Write down the frames of all tokens for two layers of a single token each. How many are there?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The frames are one list, with -1 at its end. All combinations of frames, rows and columns follow,
# columns fastest. The start of the text is the largest of three numbers.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# frames <- 0 to n, then -1
# rows, columns <- centred, an odd one on the negative side
# start <- the largest of: half the rows, half the columns, n + 1
# text <- start, start + 1, ..., three times
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def places(layers, rows, cols, text_length):
#     frames = torch.tensor([*range(layers + 1), -1])
#     down = torch.arange(rows) - (rows - rows // 2)
#     across = torch.arange(cols) - (cols - cols // 2)
#     txt = torch.arange(text_length) + max(rows // 2, cols // 2, layers + 1)
#     return torch.cartesian_prod(frames, down, across), torch.stack([txt] * 3, dim=1)
# ```
#
# </details>

# %%
from qwenimage_ref.parity.reference import reference_mmdit
from qwenimage_ref.rope import positions, rotations

official = MMDiTConfig.official()
official = replace(official, use_layer3d_rope=True, use_additional_t_cond=True)
theirs = reference_mmdit(replace(official, num_layers=1)).pos_embed
for n, rows, cols, text in ((4, 40, 40, 30), (7, 5, 3, 6)):
    mine = places(n, rows, cols, text)
    package = positions([(n + 1, rows, cols), (1, rows, cols)], text, layered=True)
    assert all(map(torch.equal, mine, package))
    expected = theirs([[(1, rows, cols)] * (n + 2)], max_txt_seq_len=text, device="cpu")
    turned = [rotations(each, official.axes_dims_rope) for each in mine]
    assert all(map(torch.equal, turned, expected))
    print(f"{n} layers of {rows} × {cols}: {len(mine[0])} + {text} tokens, as in diffusers: ok")

# %% [markdown]
# The second difference is `use_additional_t_cond` in the configuration: a learned vector of the
# model's width is added to the time embedding in every call. The file has two of them, for pictures
# with and without alpha, and the public pipelines always use the first.

# %%
with torch.device("meta"):
    plain, framed = MMDiT(MMDiTConfig.official()), MMDiT(official)
assert stored(framed) - stored(plain) == 2 * 3072
print(f"{stored(plain):,} + 6,144 = {stored(framed):,} weights in {len(stored_form(framed)):,}")

# %% [markdown]
# ## The layered schedule
#
# The other models shift their noise levels by $e^\mu$, where $\mu$ is a line over the image tokens,
# and stretch them to end at 0.02 ([chapter 08](08_the_shifted_sampler.ipynb)). Here
#
# $$\mu = \sqrt{L / 256}, \qquad \sigma = \frac{\mu}{\mu + 1/s - 1},$$
#
# where $s$ falls evenly from 1, and $L$ is the number of tokens of *one* frame. The configuration
# calls this `linear`: $\mu$ is the shift itself, not its logarithm. Nothing is stretched.
#
# ## Exercise: the layered levels
#
# ★★☆☆☆ · 10 minutes
#
# Write `levels_of(steps, width, height, layers)` for frames of this size in pixels, which are
# multiples of 16. Return `steps + 1` levels. The first is 1; for the others $s$ falls by `1 /
# steps` each time, and the last is 0. You will know it works when the checker says so.


# %% tags=["exercise"]
def levels_of(steps, width, height, layers):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
levels_of = answers.unless_solved(levels_of, answers.EX_27_LEVELS)
check.ex_27_levels(levels_of)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How many tokens has a frame of 640 × 640 pixels? What is the root of that over 256?
#
# </details>
#
# <details><summary>A hint</summary>
#
# One of the four arguments has no influence. For $s = 0$ the formula divides by zero, so append the
# last level separately.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# mu <- root of (tokens of one frame / 256)
# s <- 1, 1 - 1/N, ..., 1/N
# levels <- mu / (mu + 1/s - 1), and a 0 behind them
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def levels_of(steps, width, height, layers):
#     shift = (width // 16 * (height // 16) / 256) ** 0.5
#     s = torch.linspace(1, 1 / steps, steps)
#     return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])
# ```
#
# </details>

# %%
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.sampler import sigmas

usual = SchedulerConfig.official()
linear = replace(usual, time_shift_type="linear", shift_terminal=0.0)
exponential = replace(usual, base_shift=2.5, max_shift=2.5, shift_terminal=0.0)
kinds = {
    "layered: shift 2.5": linear,
    "text to image at 640 × 640": usual,
    "2.5 as an exponent": exponential,
}
series = {name: [*enumerate(sigmas(20, 1600, kind).tolist())] for name, kind in kinds.items()}
panel = {"series": series, "x": "step", "y": "noise level"}
charts.curves([panel], "Three falling curves; the one by the exponent stays near 1 longest")

# %%
mine = levels_of(20, 640, 640, layers=4)
assert torch.allclose(mine, sigmas(20, 1600, linear), atol=1e-6)
above = {name: sum(level > 0.5 for _, level in points) for name, points in series.items()}
print("your levels are the package's; steps that begin above one half:", *above.values())

# %% [markdown]
# The third curve is a common mistake: with 2.5 as an exponent the shift is 12.2, and most steps are
# spent near pure noise.
#
# **Guidance** restores each token's length only if `cfg_normalize` is set. In diffusers the default
# is false, and the model card's example sets it; this package's command follows the card.

# %%
from qwenimage_ref.sampler import guide
from qwenimage_ref.tasks.layers import without_rescale

generator = torch.Generator().manual_seed(0)
cond, uncond = torch.randn(2, 1, 500, 64, generator=generator)
lengths = {rule.__name__: rule(cond, uncond, 4.0).norm(dim=-1) for rule in (guide, without_rescale)}
assert torch.allclose(lengths["guide"], cond.norm(dim=-1), atol=1e-4)
assert lengths["without_rescale"].mean() > 2 * lengths["guide"].mean()
print("with cfg_normalize lengths stay; without, scale 4 makes them more than twice as long: ok")

# %% [markdown]
# ## A model before its training
#
# What does such a model paint *before* it has learned anything about layers? The next cells take
# the pocket model's weights, the VAE whose alpha is 1 and a zero row of time embedding, write them
# as a folder of the layered kind, open it and decompose the poster.

# %%
forged = QwenImage.from_pretrained(show.pocket_folder())
forged.vae = training.with_alpha(forged.vae)
forged.transformer = training.with_frames(forged.transformer)
with tempfile.TemporaryDirectory() as folder:
    training.write_layered(Path(folder) / "layered", forged, show.pocket_folder())
    opened = QwenImage.from_pretrained(Path(folder) / "layered")
flat = Image.fromarray(poster.picture)
print("a layered model:", type(opened.form).__name__, opened.recommended)

# %%
from qwenimage_ref.tasks.layers import decompose

show.source(decompose)

# %%
options = {"layers": 4, "num_inference_steps": 12, "seed": 0}
frames = []
parts = decompose(
    opened, flat, poster.prompt, callback=lambda *step: frames.append(step), **options
)
shown = [on_checkers(np.asarray(each)) for each in (flat, *parts)]
titles = ["the poster", *(f"layer {n} of 4" for n in range(1, 5))]
alt = "The poster, and four opaque pictures that all show both shapes beside each other"
show.grid(shown, titles, alt, columns=5)

# %%
assert len(parts) == 4 and all(part.mode == "RGBA" for part in parts)
assert all(part.getextrema()[3] == (255, 255) for part in parts)
scores = judge(poster, [np.asarray(part) for part in parts])
assert scores["iou"] < 0.7
print("four layers, all opaque, and their alpha agrees with the true one by less than 0.7: ok")

# %% [markdown]
# Every frame is a whole poster, because these weights were trained on pictures and never on layers.
# What frames 1, 2 and 3 mean has to be learned, by flow matching on all frames at once with the
# poster as frame -1. `python -m qwenimage_ref.pocket.layered` trains the VAE, then the transformer,
# and resumes where it stopped.

# %%
show.source(training.loss_of)

# %% [markdown]
# ## An empty prompt
#
# The prompt describes the *whole* picture. If it is empty, the text encoder writes a caption:
# Qwen2.5-VL is a language model, and its vision tower encodes the picture. The released generation
# settings contain a temperature of 0.1 and top-k 1, which leaves only the likeliest token, so
# nothing is random. This is greedy decoding with a **repetition penalty** $\rho = 1.05$: the score
# $z$ of every token that occurred before, in the question or in the answer, becomes
#
# $$z' = \begin{cases} z/\rho & z \ge 0\\ z\,\rho & z < 0.\end{cases}$$
#
# ## Exercise: write
#
# ★★★☆☆ · 15 minutes
#
# Write `write(scores_of, ids, most, ends, penalty)`. `scores_of(ids)` gives a tensor with the score
# of each token to come next; `ids` is the question, a list. Return the list of ids written: at most
# `most` of them, and none after an id of the set `ends`, which is returned as well.


# %% tags=["exercise"]
def write(scores_of, ids, most, ends, penalty):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
write = answers.unless_solved(write, answers.EX_27_WRITE)
check.ex_27_write(write)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A score of -2, divided by 1.05: is the token more or less likely than before?
#
# </details>
#
# <details><summary>A hint</summary>
#
# A token that occurred three times is penalised once. Keep one list of everything so far for the
# scores, and another of what was written.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# until `most` are written or the last one is an end:
#     scores of what comes next, a copy
#     for each id that occurred: lower its score
#     the largest one is written, and belongs to what has occurred
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def write(scores_of, ids, most, ends, penalty):
#     ids, written = list(ids), []
#     while len(written) < most and not (written and written[-1] in ends):
#         scores = scores_of(ids).clone()
#         for id in set(ids):
#             scores[id] = scores[id] * penalty if scores[id] < 0 else scores[id] / penalty
#         written.append(scores.argmax().item())
#         ids.append(written[-1])
#     return written
# ```
#
# </details>
#
# Greedy decoding easily gets into loops, and a small factor is often enough to leave one:

# %%
words = ["a", "red", "circle", "on", "white", "."]
table = torch.full((6, 6), -1.0)
for before, word, score in ((0, 1, 2.0), (1, 1, 4.0), (1, 2, 3.9), (2, 3, 2.0), (3, 4, 2.0)):
    table[before, word] = score
table[4, 5] = 2.0
for penalty in (1.0, 1.05):
    text = write(lambda ids: table[ids[-1]], [0], 8, {5}, penalty)
    print(f"{penalty:<5} a", *(words[id] for id in text))
    assert (text[-1] == 5) == (penalty > 1)

# %% [markdown]
# The same function works with the forged model. Its vision tower is untrained, so the words mean
# nothing, but they must equal the package's:

# %%
from qwenimage_ref.conditions import PAD, places_in_text
from qwenimage_ref.tasks.captions import ENGLISH
from qwenimage_ref.vision import preprocess

writer, tokenizer = opened.text_encoder, opened.tokenizer
patches, grid = preprocess(flat, opened.vision.config)
rows, cols = (side // opened.vision.config.spatial_merge_size for side in grid[1:])
question = tokenizer.encode(ENGLISH.replace(PAD, PAD * rows * cols))
with torch.no_grad():
    picture_states = opened.vision(patches, [grid])
print(len(question), "tokens of question,", len(picture_states), "of them the picture")


# %%
@torch.no_grad()
def scores_of(ids):
    ids = torch.tensor(ids)
    at = places_in_text(ids, [(rows, cols)], tokenizer.added[PAD])
    return writer.lm_head(writer(ids[None], None, at, picture_states)[0, -1])


mine = write(scores_of, question, 12, set(), 1.05)
at = places_in_text(torch.tensor(question), [(rows, cols)], tokenizer.added[PAD])
package = writer.write(torch.tensor([question]), at, picture_states, 12, set())
assert mine == package
print("twelve tokens: yours, and the package's, which keeps keys and values: the same")

# %% [markdown]
# ## Put together again
#
# How good is a decomposition? Its layers, composited, should give the picture, and the **PSNR**
# measures how closely. But that number ignores everything hidden and is easy to cheat. `judge`
# gives two more: the IoU of each layer's alpha with the true one, and whether each layer has its
# colour.

# %%
background, lower, upper, word = layers
cut, clear, faint = lower.copy(), upper.copy(), word.copy()
cut[..., 3] = np.rint(cut[..., 3] * (1 - upper[..., 3] / 255.0))
clear[clear[..., 3] == 0, :3] = 7
faint[..., 3] //= 3
cases = {
    "the true ones": layers,
    "lower shape without its hidden part": [background, cut, upper, word],
    "other colours where alpha is 0": [background, lower, clear, word],
    "word too transparent": [background, lower, upper, faint],
    "shapes in the other order": [background, upper, lower, word],
    "the poster itself, four times": [poster.picture] * 4,
}
results = {name: judge(poster, case) for name, case in cases.items()}
rows = [[n, f"{r['iou']:.2f}", r["colours"], f"{r['psnr']:.0f}"] for n, r in results.items()]
show.table(["layers", "IoU of alpha", "colours right", "PSNR together, dB"], rows)


# %%
def row(words):
    return next(result for name, result in results.items() if words in name)


assert row("true ones") == row("other colours")
assert row("hidden part")["psnr"] > 30 and row("hidden part")["iou"] < 0.99
assert row("four times")["psnr"] == row("true ones")["psnr"] and row("four times")["iou"] < 0.7
assert row("too transparent")["psnr"] < 30
print("the flat poster four times has the best PSNR there is, and it is no solution: ok")

# %% [markdown]
# ## The model after its training
#
# `data/variants/layered` is the forged model after four hours of that training. It decomposes the
# poster, which it has never seen, without guidance:

# %%
from qwenimage_ref.pocket.variants import open_variant

trained = open_variant("layered")
learned = decompose(trained, flat, poster.prompt, true_cfg_scale=1.0, **options)
shown = [on_checkers(np.asarray(each)) for each in (flat, *learned, recompose(learned))]
titles = ["the poster", *(f"layer {n} of 4" for n in range(1, 5)), "put together again"]
alt = "The poster; its background, two whole shapes and the word alone; and all of them together"
show.grid(shown, titles, alt, columns=6)

# %%
scores = judge(poster, [np.asarray(each) for each in learned])
assert scores["iou"] > 0.85 and scores["psnr"] > 22
print("alpha agrees with the true one by more than 0.85; together they resemble the poster: ok")

# %% [markdown]
# And many held-out ones:

# %%
record = json.loads(show.data_file("measurements/layering.json").read_text())


def between(row, digits=1):
    return f"{row['mean']:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"


rows = [[f"{each['layers']}", each["iou"]["of"], between(each["iou"], 3), within(each["colours"]),
         between(each["psnr"])] for each in record["rows"]]  # fmt: skip
columns = ["layers", "posters", "IoU of alpha", "all colours right, in per cent", "PSNR, dB"]
show.table(columns, rows)

# %% [markdown]
# How much of what is missing is due to the VAE? Let it encode and decode the true layers:

# %%
with torch.no_grad():
    decoded = trained.vae.decode(trained.vae.encode(to_input(layers))[0]).clamp(-1, 1)
copies = (127.5 * (decoded + 1)).round().byte().permute(0, 2, 3, 1).numpy()
limit = judge(poster, copies)
assert limit["iou"] > max(0.9, scores["iou"]) and limit["psnr"] > scores["psnr"]
print(f"alpha: {scores['iou']:.2f} after sampling, {limit['iou']:.2f} through the VAE alone;")
print(f"put together: {scores['psnr']:.0f} and {limit['psnr']:.0f} dB")

# %% [markdown]
# ## Files
#
# `qwenimage layers poster.png --to folder` writes layer_1.png and so on, with straight alpha, and
# all of them in layers.psd, for Photoshop, GIMP and Krita. A PSD also contains the flattened
# picture, for programs without layers.

# %%
from psd_tools import PSDImage

from qwenimage_ref.psd import save_psd

pictures = [Image.fromarray(layer) for layer in layers]
with tempfile.TemporaryDirectory() as folder:
    save_psd(pictures, Path(folder) / "layers.psd")
    document = PSDImage.open(Path(folder) / "layers.psd")
    again = [np.asarray(layer.topil()) for layer in document]
    titles = [layer.name for layer in document]
assert all(map(np.array_equal, again, layers))
apart = np.abs(np.asarray(recompose(pictures)).astype(int) - poster.picture).max()
assert apart <= 1
print(", ".join(titles) + ": read back bit for bit; together the poster within one level: ok")

# %% [markdown]
# ## Tiles
#
# Each layer is decoded separately, so memory does not grow with their number. It does grow with
# their area: the last blocks of the official decoder have 96 channels at full resolution. Large
# pictures are therefore encoded and decoded in **tiles** of 256 pixels that begin every 192.

# %%
from qwenimage_ref import limits
from qwenimage_ref.vae import STRIP

record = json.loads(show.data_file("measurements/tiling.json").read_text())
whole = {
    side: limits.decoder_bytes(side, side, STRIP, VAEConfig.official(), torch.float32) / 1e9
    for side in (512, 1024, 2048)
}
how = {"ours": "whole", "tiled": "in tiles"}
rows = [[f"{r['side']} × {r['side']}", r["call"], how[r["how"]], f"{r['bytes'] / 1e9:.2f}"]
        for r in record["rows"]]  # fmt: skip
rows += [[f"{s} × {s}", "decode", "whole, by the formula", f"{b:.2f}"] for s, b in whole.items()]
show.table(["picture", "call", "how", "GB above the imports"], rows)

# %%
tiled = next(r["bytes"] for r in record["rows"] if r["side"] == 2048)
assert tiled < record["most"] and tiled < whole[2048] * 1e9 / 10
assert abs(whole[2048] / whole[512] - 16) < 0.1
print("2048 × 2048 in tiles takes less than a tenth of what the whole would: ok")

# %% [markdown]
# A tile is padded with zeros at its edges, and the attention in the middle of the VAE is confined
# to that tile. So two tiles differ where they meet, and cutting from one to the other leaves a
# visible seam. In the overlap of 64 pixels one tile is therefore faded into the other. Of $n$
# common rows, row $i$ is
#
# $$\left(1 - \tfrac{i}{n}\right)\text{before} + \tfrac{i}{n}\,\text{tile}.$$
#
# ![Four overlapping tiles: each has a part to itself, two share a strip, and all four share the
# middle; below, the share of one falls in a straight line as that of the next
# rises](figures/vae_tiles.svg)
#
# ## Exercise: blended tiles
#
# ★★★★☆ · 30 minutes
#
# Write `blended(tiles, step, overlap)`. `tiles` is a list of rows, each a list of tensors `(C, h,
# w)`; a tile begins `step` pixels after its neighbour and has up to `overlap` pixels more. Each
# tile fades in from the one above, then from the one to its left, both as they are after their own
# fades. The first `step` rows and columns of a finished tile belong to the picture. The last tiles
# may be thinner than `overlap`; then the fade is as short as the tile. Change no tile in place. You
# will know it works when the checker says so.


# %% tags=["exercise"]
def blended(tiles, step, overlap):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
blended = answers.unless_solved(blended, answers.EX_27_BLENDED)
check.ex_27_blended(blended)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Begin with a single row of tiles. Which pixels of one tile coincide with the first pixels of the
# next?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The *end* of the tile before, as many pixels as are in common, is mixed into the *start* of the
# tile. Write that as a function of an axis and call it twice. Keep the finished tiles of the row
# above.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# fade(before, tile, axis):
#     n <- the smallest of overlap and both lengths
#     share <- 0, 1/n, ..., (n - 1)/n
#     (1 - share) x the last n of before + share x the first n of tile, then the rest of tile
# for each row of tiles, for each tile:
#     fade from the finished one above, if any; fade from the finished one on the left, if any
#     its first `step` rows and columns go into the picture
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def blended(tiles, step, overlap):
#     def faded(before, tile, dim):
#         n = min(overlap, tile.shape[dim])
#         share = (torch.arange(n) / n).view([-1 if axis == dim else 1 for axis in range(3)])
#         start, rest = tile.narrow(dim, 0, n), tile.narrow(dim, n, tile.shape[dim] - n)
#         mixed = (1 - share) * before.narrow(dim, before.shape[dim] - n, n) + share * start
#         return torch.cat([mixed, rest], dim)
#
#     strips, above = [], None
#     for row in tiles:
#         finished = []
#         for column, tile in enumerate(row):
#             if above is not None:
#                 tile = faded(above[column], tile, 1)
#             if column:
#                 tile = faded(finished[-1], tile, 2)
#             finished.append(tile)
#         strips.append(torch.cat([tile[:, :step, :step] for tile in finished], dim=2))
#         above = finished
#     return torch.cat(strips, dim=1)
# ```
#
# </details>
#
# How much does each tile contribute to each pixel? Set one tile to 1 and all others to 0.

# %%
sides = [(256, 256), (256, 64), (64, 256), (64, 64)]  # of a picture of 256 × 256, from 192 on


def share_of(number):
    ones = [torch.full((1, *side), float(n == number)) for n, side in enumerate(sides)]
    return blended([ones[:2], ones[2:]], 192, 64)[0]


shares = [share_of(number) for number in range(4)]
panels = [
    {"values": share, "title": f"tile {name}", "high": 1} for name, share in zip("ABCD", shares)
]
heat_maps.heat(panels, "Four maps of shares: A nearly everywhere, the others along the edges")

# %%
total = sum(shares)
assert torch.allclose(total, torch.ones_like(total)) and shares[0][0, 224] == 0.5
assert shares[1][191, 224] == 0.5 and shares[1][192, 224] == 0.25
print("in every pixel the four shares add up to 1; half way into the overlap A has one half: ok")

# %% [markdown]
# Look at the corner where all four meet: from one row to the next, the share of B drops from a half
# to a quarter. D has faded in from B, which already contains A, and then fades in from C, which
# contains A as well. So this rule, which is that of diffusers, is not smooth in corners. The tiles
# agree too closely there for the step to be visible.
#
# Next, a large poster is decoded as a whole, in tiles that are cut, and in tiles that are faded.

# %%
from qwenimage_ref.adapt.tiling import TiledVAE

large = flat.convert("RGB").resize((448, 320), Image.Resampling.LANCZOS)
with torch.no_grad():
    z, _ = pipe.vae.encode(to_input([large]))  # (1, 16, 40, 56)
    parts = [[z[:, :, y : y + 32, x : x + 32] for x in (0, 24, 48)] for y in (0, 24)]
    tiles = [[pipe.vae.decoder(pipe.vae.post_quant_conv(p))[0] for p in row] for row in parts]
    pictures = {
        "whole": pipe.vae.decode(z)[0],
        "cut": blended(tiles, 192, 0).clamp(-1, 1),
        "faded": blended(tiles, 192, 64).clamp(-1, 1),
    }
    package = TiledVAE(pipe.vae).decode(z)[0]


# %%
def zoomed(picture):
    """The surroundings of the first seam, three times as large"""
    window = ((picture[:, 40:140, 152:232] + 1) * 127.5).round().byte()
    return Image.fromarray(window.permute(1, 2, 0).numpy()).resize(
        (240, 300), Image.Resampling.NEAREST
    )


views = [zoomed(picture) for picture in pictures.values()]
alt = "A detail of the poster three times: whole; with a vertical seam; and faded, without a seam"
show.grid(views, [*pictures], alt, columns=3, scale=1)

# %%
off = {name: (picture - pictures["whole"]).abs() * 127.5 for name, picture in pictures.items()}
seam = {name: each[:, :, 192].mean().item() for name, each in off.items()}
assert torch.allclose(package, pictures["faded"], atol=1e-5)
assert seam["cut"] > 5 * seam["faded"] and off["faded"].mean() < 1
print("yours is the package's; at the seam, fading is more than five times nearer to the whole: ok")

# %% [markdown]
# `TiledVAE` also encodes in tiles, with the results of diffusers' AutoencoderKLQwenImage. The
# command switches to it where the whole would not fit into memory, and prints a line about it.
#
# ## Erratum: several pictures at once
#
# Diffusers' layered pipeline accepts a list of prompts. It decodes the layers of all pictures as
# one list, without the composites, and then splits the list as if the composites were still there:

# %%
n, both = 3, ["A1", "A2", "A3", "B1", "B2", "B3"]
theirs = [both[i * (n + 1) : (i + 1) * (n + 1)] for i in range(2)]
right = [both[i * n : (i + 1) * n] for i in range(2)]
print("diffusers:", theirs, "\nright:    ", right)
assert theirs != right and "B1" in theirs[0]

# %% [markdown]
# The first picture gets a layer of the second, and the last one gets too few. With a single picture
# the split is harmless, and this package decomposes one picture at a time.
#
# ## One layer by name
#
# *Layered-Control* is the same network, trained for a single frame: the prompt names a layer, such
# as "the word", and that layer is painted (`extract`, or `--extract`). Its second version also
# accepts a mask, as a clean picture at frame 1 between the noise and the picture at frame -1.
#
# ## Where this comes from
#
# * Compositing and the over operator: [Porter and Duff
#   1984](https://doi.org/10.1145/800031.808606). Standard names: *straight* or
#   *unassociated* alpha, and *premultiplied* or *associated* alpha.
# * The model: [Qwen-Image-Layered, Yin et al. 2025](https://arxiv.org/abs/2512.15603), section 3:
#   the RGBA VAE and how it begins, the transformer for any number of layers with its *Layer3D
#   RoPE*, and training in several stages on layers from Photoshop documents.
# * Transparency without a new VAE: [LayerDiffuse, Zhang and Agrawala
#   2024](https://arxiv.org/abs/2402.17113), section 3, hides alpha in an offset of the latents of
#   SDXL.
# * The repetition penalty: [CTRL, Keskar et al. 2019](https://arxiv.org/abs/1909.05858), section
#   4.1, on positive scores.
# * SD3 ([Esser et al. 2024](https://arxiv.org/abs/2403.03206)) and FLUX.1 decode three channels and
#   have no alpha. Diffusers tiles their VAEs by the same rule.
#
# ## Estimate first
#
# **1.** 640 × 640 pixels, four layers: how many image tokens are in the sequence?
#
# <details><summary>Answer</summary>
#
# 9,600: six frames of 1,600. A single picture of 1328 × 1328 has 6,889.
#
# </details>
#
# **2.** A pixel is covered by three layers of alpha 0.5. How much of the background is seen?
#
# <details><summary>Answer</summary>
#
# An eighth.
#
# </details>
#
# **3.** How many tiles has a picture of 2048 × 2048 pixels?
#
# <details><summary>Answer</summary>
#
# 121: tiles begin at 0, 192, ..., 1920, eleven along a side. Together they have 1.7 times its
# pixels.
#
# </details>

# %%
starts = range(0, 2048, 192)
area = sum(min(256, 2048 - start) for start in starts) ** 2
assert (4 + 2) * (640 // 16) ** 2 == 9600 and 0.5**3 == 1 / 8
assert len(starts) ** 2 == 121 and round(area / 2048**2, 1) == 1.7
print("9,600 tokens; one eighth; 121 tiles: ok")

# %% [markdown]
# ## What production code does differently
#
# * Diffusers has a separate pipeline class for layers. Here it is a function, `decompose`, that
#   calls the loop of text to image with other positions and another schedule.
# * Designers' programs composite in linear light, or with blend modes such as multiply and screen.
#   The paper's layers are put together by over alone.
# * Other programs choose the size of tiles by the free memory, weight every tile by a window that
#   falls off on all sides, and divide by the sum of the weights.
#
# ## Try this
#
# * Move the upper shape by ten pixels and composite. What would have to be painted without layers?
# * Train the VAE with `FAINT` at 1. What happens to alpha, and to the colours?
# * Decompose into 8 layers with the forged model. Which frames still resemble the poster, and why?
# * Decode with tiles of 128 pixels. How far from the whole is the picture then?
#
# **Capstone.** `make grade PART=rope` tests the positions of one picture and its references. Your
# `places` is the same function for layers.
#
# Next: [28 · Outliers](28_outliers.ipynb), the second page on precision.
