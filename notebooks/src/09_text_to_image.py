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
# # 09 · Text to image
#
# You now know all the parts. On this page you write the pipeline that joins them, first in three
# steps and then as a whole, until its picture equals the package's to the sixth digit.
#
# | | |
# |---|---|
# | **You need** | [chapter 08](08_the_shifted_sampler.ipynb), and what came before |
# | **You get** | a pipeline from prompt to picture, written by you, and image to image on top |
# | **Minutes** | 30 to read, 95 to write, half a minute to run |
# | **Picture** | a film strip: what the model predicts at every noise level |
# | **Number** | your picture equals the package's within 1e-6, and diffusers' within 1/255 |

# %%
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show

pipe = QwenImage.from_pretrained(show.pocket_folder())
prompt = 'a red circle left of a blue star on a white background with the text "OK"'
steps, seed, scale, side = 20, 0, 4.0, 128

# %% [markdown]
# These are the parts, as chapter 00 drew them:
#
# ![Block diagram: prompt, tokenizer and text encoder on the left, noise and pack on the right
# lead into the loop of transformer and Euler step; then unpack, VAE and
# pixels](figures/text_to_image.svg)
#
# ## From prompts to states
#
# A prompt is inserted into a fixed text, the **template**, and split into tokens ([chapter
# 02](02_tokens.ipynb)). The language model turns each token into a vector, its *state* ([chapter
# 03](03_a_language_model_as_a_reader.ipynb)). The states of the template's beginning are then
# dropped, but only *after* the forward pass, because the prompt's tokens attend to them. For a
# single prompt:


# %%
@torch.no_grad()
def states_of_one(text):
    ids = torch.tensor([pipe.tokenizer.encode_prompt(text)])  # (1, prefix + T)
    return pipe.text_encoder(ids)[:, pipe.tokenizer.prefix_length :]  # (1, T, Dt)


for text in (prompt, " "):
    assert torch.allclose(states_of_one(text), pipe.encode_prompt([text])[0], atol=1e-5)
    print(tuple(states_of_one(text).shape), "for", repr(text))

# %% [markdown]
# The prompt `" "` looks empty but has six states: its own, and five of the template's end.
#
# ## Exercise: states
#
# ★★★☆☆ · 20 minutes
#
# Prompts of different lengths are encoded in one batch, in which the shorter rows of ids are padded
# at the end with `tokenizer.pad_id`. A **mask**, true where a token is real, goes to the text
# encoder, as `parts.text_encoder(ids, mask)`, and later to the transformer. Write
# `my_states(parts, prompts)`, which returns the states (B, T, Dt), with zeros at padding, and the
# mask (B, T). Where no row is padded, the mask is `None` for both. `parts` has the attributes of
# `pipe`.


# %% tags=["exercise"]
def my_states(parts, prompts):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

my_states = answers.unless_solved(my_states, answers.EX_09_STATES)
check.ex_09_states(my_states)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Every row becomes as long as the longest one, template included.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Drop the template's beginning last, from the states and from the mask alike. `mask.unsqueeze(-1)`
# has one axis more, so states can be multiplied by it.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# rows   = ids of every prompt
# ids    = rows, each filled up with pad_id at the end
# real   = for each row: position < its own length
# states = text encoder of ids and real (None if all are), 0 at padding
# give states and mask, both from prefix_length on
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_states(parts, prompts):
#     start, pad = parts.tokenizer.prefix_length, parts.tokenizer.pad_id
#     rows = [parts.tokenizer.encode_prompt(prompt) for prompt in prompts]
#     longest = max(len(row) for row in rows)
#     ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
#     real = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
#     mask = None if real.all() else real
#     states = parts.text_encoder(ids, mask) * real.unsqueeze(-1)
#     return states[:, start:], mask if mask is None else mask[:, start:]
# ```
#
# </details>

# %%
two = [prompt, "一个红色的圆形"]
states, mask = my_states(pipe, two)
package = pipe.encode_prompts([two])[0]
assert torch.equal(mask, package.txt_mask) and (states - package.txt).abs().max() < 1e-5
print("two prompts,", mask.sum(1).tolist(), "tokens:", tuple(states.shape), "of states: ok")

# %% [markdown]
# ## From seeds to tokens
#
# Noise is drawn in the shape of latents, 16 channels at an eighth of the picture's sides. The
# transformer works on tokens, patches of 2 × 2 latents with 64 numbers each, into which `pack` from
# the sampler's module rearranges them. Nothing else in the pipeline is random.
#
# ## Exercise: noise
#
# ★★☆☆☆ · 10 minutes
#
# Write `my_noise(seeds, height, width)`: packed noise (B, I, 64), one picture for each seed. Each
# has its own generator, so that its noise does not depend on the other pictures of the batch.

# %%
from qwenimage_ref.sampler import pack, unpack


# %% tags=["exercise"]
def my_noise(seeds, height, width):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_noise = answers.unless_solved(my_noise, answers.EX_09_NOISE)
check.ex_09_noise(my_noise)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Draw the noise of each picture separately, in shape (1, 16, rows, columns), and then join them.
#
# </details>
#
# <details><summary>A hint</summary>
#
# `torch.Generator().manual_seed(seed)` is a generator; torch draws normal numbers from it if it is
# passed as `generator`.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# for each seed: numbers of shape (1, 16, height / 8, width / 8), from its own generator
# join them along the batch, and pack
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_noise(seeds, height, width):
#     shape = 1, 16, height // 8, width // 8
#     drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
#     return pack(torch.cat(drawn))
# ```
#
# </details>

# %%
x = my_noise([seed, 1], side, side)
assert torch.equal(x, pack(pipe.noise(2, side, side, [seed, 1])))
assert torch.equal(x[:1], my_noise([seed], side, side))
print("the package's noise, bit for bit, and each picture's its own:", tuple(x.shape))

# %% [markdown]
# ## From tokens to pixels
#
# At the end the tokens are unpacked to latents, the latents are brought back to the VAE's own
# scale, and the VAE decodes them ([chapter 04](04_pictures_to_latents_and_back.ipynb)). Its output
# has values from −1 to 1, with the axis of colours first.
#
# ## Exercise: pixels
#
# ★★★☆☆ · 15 minutes
#
# Write `my_pixels(vae, x, rows, cols)`, which turns tokens `x` (B, I, 4C) of a grid of `rows` ×
# `cols` into pixels (B, H, W, 3) from 0 to 1. Unpack without the package. A token holds its numbers
# channel by channel, and in each channel the patch row by row: (c, dy, dx).


# %% tags=["exercise"]
def my_pixels(vae, x, rows, cols):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_pixels = answers.unless_solved(my_pixels, answers.EX_09_PIXELS)
check.ex_09_pixels(my_pixels)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Split the axes first, permute them, then merge them: there are six axes in between.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Row `2 r + dy` of the latents is row `dy` of the patches in row `r`. So `r` and `dy` have to be
# neighbours before they are merged, and likewise for the columns.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# x as (B, rows, cols, C, dy, dx), reordered to (B, C, rows, dy, cols, dx)
# latents = the same numbers as (B, C, 2 rows, 2 cols)
# img     = decoded, after the latents are back at the VAE's scale
# give img from 0 to 1, colours last
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_pixels(vae, x, rows, cols):
#     patches = x.view(len(x), rows, cols, -1, 2, 2)  # (B, rows, cols, C, dy, dx)
#     latents = patches.permute(0, 3, 1, 4, 2, 5).reshape(len(x), -1, 2 * rows, 2 * cols)
#     img = vae.decode(vae.denormalize(latents))
#     return (img / 2 + 0.5).permute(0, 2, 3, 1)
# ```
#
# </details>

# %%
from PIL import Image

rows = cols = side // 16
with torch.no_grad():
    gray = my_pixels(pipe.vae, x, rows, cols)
    latents = unpack(x, rows, cols)
    assert torch.allclose(
        2 * gray.permute(0, 3, 1, 2) - 1, pipe.vae.decode(pipe.vae.denormalize(latents)), atol=1e-5
    )
print("noise, decoded:", tuple(gray.shape), f"from {gray.min():.1f} to {gray.max():.1f}")

# %% [markdown]
# ## Exercise: the whole pipeline
#
# ★★★★☆ · 50 minutes
#
# Write `my_paint(parts, prompts, negatives, true_cfg_scale, height, width, steps, seeds)`: from
# lists of prompts, negative prompts and seeds to pixels. Between `my_noise` and `my_pixels` comes
# the loop of [chapter 08](08_the_shifted_sampler.ipynb), with the real transformer:
# `parts.transformer(x, states, time, grids, mask)`, where `time` has shape (B,) and `grids` is a
# list of one grid (frames, rows, columns) in tokens, with one frame. The schedule is `sigmas(steps,
# image_tokens, parts.scheduler)`. Guidance applies only where `negatives` is not `None` and the
# scale is above 1; otherwise nothing is computed for the negative prompts. You will know it works
# when the checker accepts it and the picture below is the package's within 1e-6.

# %%
from qwenimage_ref.sampler import euler_step, guide, model_time, sigmas

show.source(model_time, guide, euler_step)


# %% tags=["exercise"]
def my_paint(parts, prompts, negatives, true_cfg_scale, height, width, steps, seeds):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_paint = answers.unless_solved(my_paint, answers.EX_09_PAINT)
check.ex_09_paint(my_paint)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Write it for one picture without guidance first, in eight lines. The checker says what is missing.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Keep a list of (states, mask), one entry for the prompts and, with guidance, one for the negative
# prompts. Each entry gives a velocity; where there are two, combine them with `guide`. A token is
# 16 pixels wide.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# texts  = my_states of the prompts, and of the negatives where there is guidance
# x      = my_noise;  rows, cols = sides / 16
# levels = sigmas for rows x cols tokens
# for each level and the next:
#     time       = model_time of the level, once for each picture
#     velocities = the transformer's, for each of texts
#     velocity   = guided where there are two
#     x          = euler_step
# give my_pixels of x
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_paint(parts, prompts, negatives, true_cfg_scale, height, width, steps, seeds):
#     guided = negatives is not None and true_cfg_scale > 1
#     texts = [
#         my_states(parts, group) for group in ([prompts, negatives] if guided else [prompts])
#     ]
#     x, rows, cols = my_noise(seeds, height, width), height // 16, width // 16
#     levels = sigmas(steps, rows * cols, parts.scheduler)
#     for sigma, sigma_next in zip(levels, levels[1:]):
#         time = model_time(sigma, x.dtype).expand(len(x))
#         grid = [(1, rows, cols)]
#         velocity, *away = [parts.transformer(x, txt, time, grid, mask) for txt, mask in texts]
#         if guided:
#             velocity = guide(velocity, *away, true_cfg_scale)
#         x = euler_step(x, velocity, sigma, sigma_next)
#     return my_pixels(parts.vae, x, rows, cols)
# ```
#
# </details>

# %%
noisy, clean = [], []


def watch(step, sigma, latents, velocity):
    noisy.append(latents)
    clean.append(latents - sigma * velocity)


with torch.no_grad():
    mine = my_paint(pipe, [prompt], [" "], scale, side, side, steps, [seed])
    branches = pipe.encode_prompts([[prompt], [" "]])
    levels = sigmas(steps, rows * cols, pipe.scheduler)
    latents = pipe.denoise(pipe.noise(1, side, side, seed), levels, *branches, callback=watch)
    img = pipe.vae.decode(pipe.vae.denormalize(latents))  # (1, 3, H, W), -1 to 1
assert (mine - (img / 2 + 0.5).permute(0, 2, 3, 1)).abs().max() < 1e-6
print("your picture and the package's, every number within 1e-6: ok")

# %%
by_hand = Image.fromarray((255 * mine[0]).round().byte().numpy())
by_pipe = pipe.to_pictures(latents)[0]
show.grid([by_hand, by_pipe], ["yours", "pipe"], alt=f"Twice the same picture of {prompt}")

# %%
from qwenimage_ref.posters.read import read

assert show.difference(by_hand, by_pipe) < 1
print("the picture reads:", show.describe(read(by_hand)))

# %% [markdown]
# The package's loop is the same, with a few more lines for weights that do not fit into memory:

# %%
show.source(QwenImage.denoise)

# %% [markdown]
# ## The film strip
#
# What does the model predict while it paints? `watch` has kept the noisy latents of every step and
# the clean estimates, $x - \sigma\cdot\text{velocity}$. The upper row shows the decoded latents,
# the lower row the estimates, which chapter 00 showed for all twenty steps.

# %%
shown = [0, 2, 5, 9, 12, 15, 17, 19]
frames = pipe.to_pictures(torch.cat([latents[i] for latents in (noisy, clean) for i in shown]))
captions = [f"{row} {levels[i]:.2f}" for row in ("x at", "clean at") for i in shown]
alt = "Above, a picture slowly clears; below, the clean estimates show it from the first step on"
show.grid(frames, captions, alt=alt, columns=8, scale=1)

# %%
final = latents
to_go = [(estimate - final).pow(2).mean().sqrt().item() for estimate in clean]
still_noisy = [(state - final).pow(2).mean().sqrt().item() for state in noisy]
assert all(c < n for c, n in zip(to_go, still_noisy))
assert to_go[0] > to_go[10] > to_go[18] and to_go[19] < 1e-5
print("each clean estimate lies nearer to the end than its noisy latents: ok")

# %% [markdown]
# From pure noise, the estimate is a mean over everything the prompt allows. This prompt allows
# little, so its mean is nearly a picture, with soft edges. The layout is settled in the first steps
# and the contours later, while the last steps change little that is visible. The same as a curve:

# %%
from qwenimage_ref.course import charts

series = {
    "clean estimate": list(enumerate(to_go)),
    "noisy latents": list(enumerate(still_noisy)),
}
charts.curves(
    [{"series": series, "x": "step", "y": "distance from the end"}],
    alt="Two falling curves; the clean estimate's starts low and is near zero when half is done",
)

# %%
assert to_go[10] < 0.5 * still_noisy[10]
print("halfway, the estimate is less than half as far from the end as the latents are: ok")

# %% [markdown]
# ## The same as diffusers
#
# Qwen-Image was released for the library diffusers. Its pipeline opens the same folder and paints
# the same prompt from the same seed:

# %%
from qwenimage_ref.parity import reference_picture as reference

theirs = reference.reference_pictures(show.pocket_folder(), [prompt], seed, steps, side)[0]
show.grid([by_hand, theirs], ["yours", "diffusers"], alt=f"Twice the same picture of {prompt}")

# %%
from qwenimage_ref.parity.tolerances import within

assert show.difference(by_hand, theirs) <= 255 * within("picture")
print("yours and diffusers': mean difference under 1/255: ok")

# %% [markdown]
# ## The negative prompt
#
# [Chapter 08](08_the_shifted_sampler.ipynb) shows what guidance does, and when it decides. At a
# scale of 1, or without a negative prompt, there is no second pass, so a picture costs half as
# much:

# %%
plain = "a red circle left of a blue star on a white background"
calls = []
hook = pipe.transformer.proj_out.register_forward_hook(lambda *_: calls.append(1))
pipe(plain, None, true_cfg_scale=1, num_inference_steps=steps, seed=1)
hook.remove()
assert len(calls) == steps
print(len(calls), "passes without guidance, and not", 2 * steps)

# %% [markdown]
# The negative prompt is not a list of forbidden words. It gives the prediction that guidance moves
# away from. We ask for *a large star* and nothing else, with an empty negative prompt and with *a
# large blue star*, and the latter at two scales.

# %%
away = "a large blue star"
settings = [(" ", 2.0), (away, 2.0), (away, 4.0)]  # negative prompt, scale
options = {"seed": [0, 1, 2, 3], "num_inference_steps": 10}
groups = [pipe(["a large star"] * 4, negative, scale, **options) for negative, scale in settings]
captions = [f'"{negative}", scale {scale:g}' for negative, scale in settings for _ in range(4)]
alt = "Four red stars; four pink ones on the same backgrounds; four pictures with hardly a star"
show.grid(sum(groups, []), captions, alt=alt, scale=1)

# %%
scenes = [[read(picture).scene for picture in group] for group in groups]
colours = [[shape.colour for scene in group for shape in scene.shapes] for group in scenes]
assert colours[0].count("red") >= 3 and colours[1].count("pink") >= 3
assert [s.background for s in scenes[0]] == [s.background for s in scenes[1]]
assert sum(not scene.shapes for scene in scenes[2]) >= 2
print("red stars; away from a blue star pink ones, and at scale 4 hardly any: ok")

# %% [markdown]
# At scale 2 the colour moves away from blue, while the backgrounds, which the negative prompt does
# not mention, stay as they were. At scale 4 most of the stars are gone: *star* is in the negative
# prompt as well, and guidance moves away from everything in it. Guidance extrapolates beyond the
# prompt's own prediction, and so beyond the posters of the training set.
#
# ## Seeds
#
# Only the noise is random, and the seed determines it. A list of seeds gives each picture of a
# batch its own noise, the same that it would have on its own.

# %%
seeds = [0, 1, 2, 3]
family = pipe([plain] * 4, " ", num_inference_steps=10, seed=seeds)
alt = "Four times a red circle left of a blue star, each a little elsewhere"
show.grid(family, [f"seed {seed}" for seed in seeds], alt=alt, scale=1)

# %%
third = pipe(plain, " ", num_inference_steps=10, seed=2)[0]
assert show.difference(third, family[2]) < 0.5 < show.difference(third, family[1])
print("seed 2 alone is seed 2 among others, and not seed 1: ok")

# %% [markdown]
# ## Several at once, and other sizes
#
# A picture must depend neither on the others of its batch nor on padding. Yours does not:

# %%
with torch.no_grad():
    together = my_paint(pipe, two, [" ", " "], scale, side, side, 8, [5, 6])
    alone = [my_paint(pipe, [p], [" "], scale, side, side, 8, [s]) for p, s in zip(two, (5, 6))]
assert (together - torch.cat(alone)).abs().max() < 1e-3
print("two prompts of different lengths, in one batch and each alone: within a thousandth")

# %% [markdown]
# A picture can have any size whose sides are multiples of 16, since the VAE needs a factor of 8 and
# the patches a factor of 2. Whether it is any good is another question. This model was trained at
# seven sizes, all of about the same area as 128 × 128. At first it was trained on posters of 96 ×
# 96, but it no longer paints them well:

# %%
wishes = [(96, 96), (128, 128), (256, 256)]
sized = [pipe(plain, " ", height=h, width=w, num_inference_steps=20, seed=0)[0] for h, w in wishes]
assert [picture.size for picture in sized] == [(w, h) for h, w in wishes]
same_size = [picture.resize((128, 128)) for picture in sized]
captions = [f"{w} × {h}" for h, w in wishes]
alt = "A star alone at 96 pixels, both shapes at 128, two circles at 256"
show.grid(same_size, captions, alt=alt, scale=1)

# %%
for height in (100, 0):
    try:
        pipe(plain, " ", height=height, width=128)
    except ValueError as error:
        print(error)
reads = [show.describe(read(picture)) for picture in same_size]
asked_for = "red circle left of blue star on white"
assert reads[1] == asked_for and asked_for not in (reads[0], reads[2])
print("as asked for at the size it knows, otherwise at the other two: ok")

# %% [markdown]
# This transformer was trained on grids of about 8 × 8 tokens, and on 12 × 12 it repeats the scene
# to fill the rest. The released Qwen-Image was trained at many sizes
# ([report](https://arxiv.org/abs/2508.02324)), and its [model
# card](https://huggingface.co/Qwen/Qwen-Image) names seven.
#
# ## Exercise: image to image
#
# ★★★☆☆ · 15 minutes
#
# Image to image starts from a *picture* instead of noise: encode it, add noise, and paint from
# there. The `strength` is the share of the schedule that is run. At strength 0.6 of 20 steps, the
# first 8 are skipped and the last 12 are taken; where the number to skip is not an integer, it is
# rounded down. Write `image_to_image(pipe, img, noise, levels, strength, cond, uncond)` in five
# lines:
#
# * `pipe.vae.encode(img)` gives the mean and the log-variance of the latents; take the mean;
#   `pipe.vae.normalize` brings latents to the transformer's scale;
# * `x` is the mixture of chapter 08, for the level of the first step that you take;
# * `pipe.denoise(x, levels, cond, uncond)` takes a step for each pair of neighbours in `levels`;
#   return what it returns.
#
# `levels` is the full schedule; `cond` and `uncond` are passed on unchanged. You will know it works
# when the checker accepts it and the pictures below go from old to new.


# %% tags=["exercise"]
def image_to_image(pipe, img, noise, levels, strength, cond, uncond):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
image_to_image = answers.unless_solved(image_to_image, answers.EX_09_IMG2IMG)
check.ex_09_img2img(image_to_image)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How many steps are there, if `levels` has one entry more? Which of them is the first to be taken?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `levels[k:]` is the schedule without its first `k` steps. Its first entry is the `sigma` at which
# you start, and therefore the one to mix with.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# k      = steps - steps x strength, rounded down
# data   = normalised mean of the encoded picture
# x      = (1 - levels at k) x data + (levels at k) x noise
# return what the loop makes of x and of the levels from k on
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def image_to_image(pipe, img, noise, levels, strength, cond, uncond):
#     steps = len(levels) - 1
#     first = int(steps - steps * strength)
#     clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
#     x = (1 - levels[first]) * clean + levels[first] * noise
#     return pipe.denoise(x, levels[first:], cond, uncond)
# ```
#
# </details>

# %% [markdown]
# We start from a drawn poster of a red circle and a blue star and paint over it with another
# prompt. Move the slider:

# %%
from qwenimage_ref.course.figures.image_to_image import STRENGTHS, StrengthSlider
from qwenimage_ref.pocket.train import as_input
from qwenimage_ref.posters import draw as world

scene = world.Scene("white", (world.Shape("circle", "red"), world.Shape("star", "blue")), "left of")
start = Image.fromarray(world.draw(scene))
wish = "a purple diamond above an orange square on a white background"
slider = StrengthSlider(pipe, start, wish)
slider

# %%
at_home = slider.picture.value
slider.strength.value = 1.0
assert slider.picture.value != at_home and slider.words.value.startswith("strength 1.0")
slider.strength.value = 0.6
assert slider.picture.value == at_home
print("another strength, another picture; the same strength, the same picture: ok")

# %%
overs = [slider.paint(strength) for strength in STRENGTHS]
captions = ["the start", *(f"strength {strength}" for strength in STRENGTHS)]
alt = "A circle and a star become two orange squares up to 0.6, then a diamond above a square"
show.grid([start, *overs], captions, alt=alt, columns=6, scale=1)

# %%
from qwenimage_ref.tasks.image_to_image import clean_and_noise

kept = [show.difference(over, start) for over in overs]
assert kept[0] < kept[2] < kept[4] and read(overs[4]).scene.layout == "above"
both = pipe.encode_prompts([[wish], [" "]])
_, noise = clean_and_noise(pipe, [start], (1, side, side), seed=0)
with torch.no_grad():
    painted = image_to_image(pipe, as_input([start]), noise, levels, 0.6, *both)
assert show.difference(pipe.to_pictures(painted)[0], overs[2]) < 1
print("yours paints what the slider shows; less strength keeps more of the start: ok")

# %% [markdown]
# A low strength can recolour and deform things but not move them, because their places are settled
# at high noise, in the steps that were skipped. At strength 1 the starting picture has weight $1 -
# \sigma = 0$, so nothing of it is left.
#
# ## With the released weights
#
# The class of `pipe` also opens the released model with its 20 billion parameters.

# %%
from qwenimage_ref.course import stored_results


def paint_official(path):
    official = QwenImage.from_pretrained(path.parents[1], stream=True)
    picture = official(prompt, " ", scale, 256, 256, num_inference_steps=8, seed=0)[0]
    blank = Image.new("RGB", picture.size, "white")
    assert picture.size == (256, 256) and 5 < show.difference(picture, blank) < 250


stored_results.check(
    "transformer/diffusion_pytorch_model-00001-of-00009.safetensors",
    "the released weights paint this chapter's prompt at 256 × 256 in 8 steps, and it is not blank",
    paint_official,
)

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** One picture, 20 steps, guidance 4. How often does each of the three networks run?
#
# <details><summary>Answer</summary>
#
# The text encoder twice, the transformer 40 times, the VAE's decoder once.
#
# </details>
#
# **2.** How far through the *steps* is the sampler when half of the noise is gone?
#
# <details><summary>Answer</summary>
#
# 12 of 20 steps. After 10 steps, `sigma` is still near 0.6, because the shift spends more steps at
# high noise.
#
# </details>
#
# **3.** Image to image at strength 0.6: how much noise is the picture under at the start?
#
# <details><summary>Answer</summary>
#
# `sigma` is 0.69, not 0.6. The strength counts steps, and the steps are shifted.
#
# </details>

# %%
runs = {"text_encoder": 0, "transformer": 0, "decoder": 0}
# the last module of each: it runs once for each prompt and each velocity
parts = {"text_encoder": pipe.text_encoder.model.norm, "transformer": pipe.transformer.proj_out}
parts["decoder"] = pipe.vae.decoder


def count(name):
    return lambda *_: runs.update({name: runs[name] + 1})


hooks = [part.register_forward_hook(count(name)) for name, part in parts.items()]
pipe(plain, " ", true_cfg_scale=4, num_inference_steps=20, seed=0)
for hook in hooks:
    hook.remove()
half = int((levels >= 0.5).sum())
assert f"{levels[8]:.2f}" == "0.69" and half == 12
print(runs, "; half of the noise is gone after", half, "steps; sigma at 0.6:", f"{levels[8]:.2f}")

# %% [markdown]
# ## What production code does differently
#
# * It paints 1328 × 1328 in 50 steps and bfloat16, on a GPU; for the same seed, noise drawn on a
#   GPU differs from noise drawn on a CPU.
# * Its image to image, like this package's `pipe(wish, image=start, strength=0.6)`, which the
#   slider uses, *samples* the latents of the starting picture, where yours takes their mean; the
#   sample is drawn before the noise, from the same generator.
# * It rounds sides down to multiples of 16 where this package refuses.
# * A wrapper rewrites short prompts into long ones before anything else happens.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * A text encoder, a denoiser in latents and a decoder in one pipeline: latent diffusion,
#   [Rombach et al. 2021](https://arxiv.org/abs/2112.10752), section 3. Image to image: SDEdit,
#   [Meng et al. 2021](https://arxiv.org/abs/2108.01073), section 3. The official settings:
#   [Qwen-Image report](https://arxiv.org/abs/2508.02324).
# * SD3 runs the same loop with three text encoders ([Esser et al.
#   2024](https://arxiv.org/abs/2403.03206), section 4); T5 may be left out, at the price of
#   spelling (there, *Flexible text encoders*).
# * FLUX.1 packs its latents in the same 2 × 2 patches and runs the same Euler loop, with a single
#   prediction a step
#   ([sampling.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/sampling.py),
#   *denoise*).
#
# </details>
#
# ## Try this
#
# * Take the clean estimates of the prompt `" "` at scale 1. What is the mean poster?
# * Use *a large blue star on a white background* as the prompt and `wish` as the negative prompt.
# * Paint a sequence: image to image on its own result, ten times, at strength 0.3. What drifts?
# * Set the scale to 1 in the first ten steps and to 4 in the last ten, then the other way round.
#
# Capstone: `pipeline.py` is the last file: `make grade PART=pipeline`, 11 points, 5 of them for a
# picture from end to end. `make grade` alone grades all files.
#
# Next: [10 · LoRA](10_lora.ipynb), how to teach the model something new.
