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
# # 07 · Sixty blocks
#
# The transformer is a stack of sixty blocks with projections at both ends. On this page you write
# all of it around the block of chapter 06, follow a picture through its depth, read the files that
# hold its weights, byte by byte, and run a model that does not fit into memory.
#
# | | |
# |---|---|
# | **You need** | [chapter 06](06_one_mmdit_block.ipynb), one block; you know what a byte is |
# | **You get** | the whole MMDiT and a loader of weights, written by you in six exercises |
# | **Minutes** | 40 to read, 85 to write, less than one to run |
# | **Picture** | streams that grow with depth; where the bytes are |
# | **Number** | blocks read from disk one by one give the same velocity, bit for bit |
#
# **MMDiT**, a multimodal diffusion transformer ([Stable Diffusion
# 3](https://arxiv.org/abs/2403.03206), section 4), is the part called `transformer`. Given noisy
# latents, a text and a noise level, it predicts the velocity, the direction from the clean latents
# to the noise. As input we take a drawn poster, mixed with three parts of noise to one of poster,
# and its caption.

# %%
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.posters import draw as world

torch.set_grad_enabled(False)
pipe = QwenImage.from_pretrained(show.pocket_folder())
mmdit = pipe.transformer

# %%
left, right = world.Shape("circle", "red"), world.Shape("star", "blue")
scene = world.Scene("white", (left, right), "left of")
poster = torch.tensor(world.draw(scene, 1)).permute(2, 0, 1)[None] / 127.5 - 1
mean, _ = pipe.vae.encode(poster)
clean, noise = pipe.vae.normalize(mean), pipe.noise(1, 128, 128, seed=0)
sigma = torch.tensor([0.75])
noisy = (1 - sigma) * clean + sigma * noise  # (B, C, h, w)
txt_states, _ = pipe.encode_prompt([world.caption(scene)])
print("noisy latents", tuple(noisy.shape), "  text states", tuple(txt_states.shape))

# %% [markdown]
# ## Patches
#
# A transformer needs a sequence, so every patch of 2 × 2 latents becomes one **token** of `4C`
# numbers. The tokens are in row order. Within a token, the four numbers of channel 0 come first,
# row by row, then those of channel 1, and so on.
# [FLUX](https://github.com/black-forest-labs/flux/blob/main/src/flux/sampling.py) packs its latents
# in the same order (function *prepare*). As a loop:


# %%
def token_by_hand(latents, row, col):
    patch = latents[0, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]  # (C, 2, 2)
    return torch.stack([patch[c, y, x] for c in range(len(patch)) for y in (0, 1) for x in (0, 1)])


four = [f"{number:.2f}" for number in token_by_hand(noisy, 3, 5)[:4].tolist()]
assert four == [f"{noisy[0, 0, y, x].item():.2f}" for y in (6, 7) for x in (10, 11)]
print("token in row 3, column 5, channel 0:", *four)

# %% [markdown]
# ![Latents as a grid of 4 by 4 in four colours, and four tokens of 64 numbers in the same
# colours: each square of 2 by 2 becomes one token, and back](figures/packing.svg)
#
# ## Exercise: latents to tokens
#
# ★★☆☆☆ · 10 minutes
#
# Write `patchify(latents)`, from `(B, C, h, w)` to `(B, I, 4C)`, without a loop; `h` and `w` are
# even, and `I` is `h/2 * w/2`.


# %% tags=["exercise"]
def patchify(latents):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

patchify = answers.unless_solved(patchify, answers.EX_07_PATCHIFY)
check.ex_07_patchify(patchify)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Split each of the two spatial axes in two: which patch, and which row or column within it. That
# gives six axes. Which four of them make the numbers of a token, and in which order?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Splitting and merging axes keeps the order of the numbers in memory; only a permutation of axes
# changes it. You need one, between the splitting and the merging. *einops* writes all three in one
# line.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# split     (B, C, h, w)  ->  (B, C, row, dy, col, dx)
# exchange                ->  (B, row, col, C, dy, dx)
# merge the last three axes, then row and column
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def patchify(latents):
#     B, C, h, w = latents.shape
#     patches = latents.reshape(B, C, h // 2, 2, w // 2, 2)
#     return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
# ```
#
# </details>

# %% [markdown]
# ## Exercise: tokens to latents
#
# ★★☆☆☆ · 10 minutes
#
# Write the inverse, `unpatchify(tokens, rows, cols)`, from `(B, I, 4C)` to `(B, C, h, w)`, where
# `rows` and `cols` count tokens.


# %% tags=["exercise"]
def unpatchify(tokens, rows, cols):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
unpatchify = answers.unless_solved(unpatchify, answers.EX_07_UNPATCHIFY)
check.ex_07_unpatchify(unpatchify)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Go through your three steps backwards. Why are `rows` and `cols` needed, although `I` is known?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Six axes again: split into `(B, row, col, C, dy, dx)` first. At the end `row` and `dy` have to be
# neighbours, and so have `col` and `dx`.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# split     (B, I, 4C)  ->  (B, row, col, C, dy, dx)
# exchange              ->  (B, C, row, dy, col, dx)
# merge row with dy, and col with dx
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def unpatchify(tokens, rows, cols):
#     B, _, width = tokens.shape
#     patches = tokens.reshape(B, rows, cols, width // 4, 2, 2)
#     return patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
# ```
#
# </details>

# %%
from qwenimage_ref.sampler import pack

x = patchify(noisy)
assert torch.equal(x[0, 3 * 8 + 5], token_by_hand(noisy, 3, 5)) and torch.equal(x, pack(noisy))
assert torch.equal(unpatchify(x, 8, 8), noisy)
print("tokens", tuple(x.shape), "equal the package's, and there and back changes nothing: ok")

# %% [markdown]
# ## Three input projections
#
# Every block works on two **streams**, image tokens and text tokens, of the same width `D`. The
# inputs have other widths, so each of them has its own projection:
#
# * Image: each token goes through one linear layer, `img_in`.
# * Text: `txt_norm`, an RMSNorm, normalises each state of the text encoder, and `txt_in` projects
#   it to width `D`.
# * Time: the noise level becomes a vector, `temb`, from which every block computes its modulation.
#
# The time embedding is that of chapter 06: 128 angles, $1000\,\sigma \cdot 10000^{-i/128}$ for $i$
# from 0 to 127, all their cosines, then all their sines; a linear layer, SiLU, a linear layer
# ([DiT](https://arxiv.org/abs/2212.09748), appendix A).
#
# ## Exercise: the time embedding
#
# ★★☆☆☆ · 10 minutes
#
# Write `time_embedding(sigma, linear_1, linear_2)` for all noise levels of a batch at once: `sigma`
# is `(B,)`, `linear_1` takes 256 numbers to `D`, `linear_2` takes `D` to `D`. Return `(B, D)`.


# %% tags=["exercise"]
def time_embedding(sigma, linear_1, linear_2):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
time_embedding = answers.unless_solved(time_embedding, answers.EX_07_TIME)
check.ex_07_time(time_embedding)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# What is the shape of the tensor of all angles, for `B` noise levels and 128 speeds?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Every noise level times every speed is an outer product. SiLU is *torch.nn.functional.silu*.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# speeds = 10000 to the power of minus (0, 1, ..., 127) over 128     (128,)
# angle  = 1000 times each sigma times each speed                    (B, 128)
# waves  = cosines of the angles, followed by the sines              (B, 256)
# return the second layer of SiLU of the first layer of the waves
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def time_embedding(sigma, linear_1, linear_2):
#     speeds = 10000 ** -(torch.arange(128) / 128)
#     angle = 1000 * torch.outer(sigma, speeds)
#     waves = torch.cat([angle.cos(), angle.sin()], dim=1)
#     return linear_2(torch.nn.functional.silu(linear_1(waves)))
# ```
#
# </details>

# %%
img = mmdit.img_in(x)
txt = mmdit.txt_in(mmdit.txt_norm(txt_states))
embedder = mmdit.time_text_embed.timestep_embedder
temb = time_embedding(sigma, embedder.linear_1, embedder.linear_2).unsqueeze(1)  # (B, 1, D)
assert torch.allclose(temb, mmdit.time_text_embed(sigma.unsqueeze(1)), atol=1e-3)
D = mmdit.config.inner_dim
assert img.shape == (1, 64, D) and txt.shape[2] == temb.shape[2] == D == 192
print("img", tuple(img.shape), "  txt", tuple(txt.shape), "  temb", tuple(temb.shape))

# %% [markdown]
# (Here `D` is 192; officially it is 3072.)
#
# ## The end
#
# After the last block only the image is used; the text stream is discarded. `norm_out` is a
# modulated LayerNorm as in the blocks, but without a gate, and its linear layer of SiLU of `temb`
# gives the *scale* first and the *shift* second (DiT, section 3.2):
#
# $$\text{velocity} = W_\text{out}\,(\text{norm}(\text{img})\,(1 + \text{scale}) +
# \text{shift})$$
#
# Finally, `proj_out` projects from width `D` to `4C`, which is 64.
#
# ## Exercise: the end
#
# ★★☆☆☆ · 10 minutes
#
# Write `leave(img, temb, linear, proj_out)`: `img` is `(B, I, D)`, `temb` is `(B, 1, D)`, `linear`
# takes `D` numbers to `2 D` and `proj_out` takes `D` to `4C`. Return `(B, I, 4C)`. The norm adds
# 1e-6 to the variance.


# %% tags=["exercise"]
def leave(img, temb, linear, proj_out):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
leave = answers.unless_solved(leave, answers.EX_07_END)
check.ex_07_end(leave)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# You wrote nearly the same line in chapter 06, in `residual`. What is missing here, and what is in
# another order?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The two halves of the last axis of what `linear` gives are `(B, 1, D)` each, and so fit every
# token.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# scale, shift = the two halves of: linear of SiLU of temb
# y = img, normalised over its last axis
# return proj_out of: y times (1 + scale), plus shift
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def leave(img, temb, linear, proj_out):
#     scale, shift = linear(torch.nn.functional.silu(temb)).chunk(2, dim=-1)
#     normed = torch.nn.functional.layer_norm(img, img.shape[-1:], eps=1e-6)
#     return proj_out(normed * (1 + scale) + shift)
# ```
#
# </details>

# %%
mine = leave(img, temb, mmdit.norm_out.linear, mmdit.proj_out)
assert torch.allclose(mine, mmdit.proj_out(mmdit.norm_out(img, temb)), atol=1e-5)
print("yours and the package's last layers, directly after the projections: ok")

# %% [markdown]
# ## The stack
#
# Between the two ends the blocks follow one another. They have the same structure and different
# weights; all receive the same `temb` and the same rotations of both streams, and each takes the
# two streams that the previous block returned.
#
# ![Block diagram of the transformer: img_in, txt_norm, txt_in and the time embedding lead into a
# stack of blocks; norm_out and proj_out turn the image stream into the
# velocity](figures/mmdit_stack.svg)
#
# ## Exercise: the transformer
#
# ★★★★☆ · 30 minutes
#
# Write `my_mmdit(mmdit, latents, txt_states, sigma)`: latents `(B, C, h, w)`, text states
# `(B, T, Dt)` and noise levels `(B,)` in; the velocity, of the shape of the latents, out. `mmdit`
# only holds the weights: `img_in`, `txt_norm`, `txt_in`, `time_text_embed.timestep_embedder` with
# `linear_1` and `linear_2`, `transformer_blocks`, `norm_out.linear`, `proj_out`. Do not call
# `mmdit` itself. Build on your functions, here and in chapter 05 (or `positions` and `rotations` of
# `qwenimage_ref.rope`; the widths are `mmdit.config.axes_dims_rope`). A block takes
# `(img, txt, temb, img_rotation, txt_rotation)`.


# %% tags=["exercise"]
def my_mmdit(mmdit, latents, txt_states, sigma):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_mmdit = answers.unless_solved(my_mmdit, answers.EX_07_MMDIT)
check.ex_07_mmdit(my_mmdit)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# List the five things that a block needs, and compute each of them. Everything after the last block
# needs only one of the two streams.
#
# </details>
#
# <details><summary>A hint</summary>
#
# The positions depend on `rows` and `cols`, half of the latents' height and width, and on `T`. The
# blocks take `temb` with an axis for tokens, `(B, 1, D)`. In the loop, the two names on the left of
# `=` are those that are passed in.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# rows, cols = half of h, half of w
# img  = img_in of the patches;   txt = txt_in of the normalised text states
# temb = time embedding, with one axis more                      (B, 1, D)
# two rotations, from the positions of one picture and T words
# for every block: img, txt = block(img, txt, temb, both rotations)
# return the end of img, back as latents
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# from qwenimage_ref.rope import positions, rotations
#
# def my_mmdit(mmdit, latents, txt_states, sigma):
#     rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
#     img = mmdit.img_in(patchify(latents))
#     txt = mmdit.txt_in(mmdit.txt_norm(txt_states))
#     embedder = mmdit.time_text_embed.timestep_embedder
#     temb = time_embedding(sigma, embedder.linear_1, embedder.linear_2).unsqueeze(1)
#     places = positions([(1, rows, cols)], txt.shape[1])
#     img_rotation, txt_rotation = (rotations(pos, mmdit.config.axes_dims_rope) for pos in places)
#     for block in mmdit.transformer_blocks:
#         img, txt = block(img, txt, temb, img_rotation, txt_rotation)
#     tokens = leave(img, temb, mmdit.norm_out.linear, mmdit.proj_out)
#     return unpatchify(tokens, rows, cols)
# ```
#
# </details>

# %% [markdown]
# Is it correct? We compare it with the package and with diffusers' own class, all with the same
# weights:

# %%
from qwenimage_ref.parity.reference import copy_weights, reference_mmdit, run
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.sampler import unpack

grids = [(1, 8, 8)]  # one picture of 8 rows and 8 columns of tokens
velocity = mmdit(x, txt_states, sigma, grids)
twin = copy_weights(mmdit, reference_mmdit(mmdit.config))
theirs = run(twin, {"img": x, "txt": txt_states, "sigma": sigma, "grids": grids})
mine = patchify(my_mmdit(mmdit, noisy, txt_states, sigma))
size = theirs.abs().max()
assert (velocity - theirs).abs().max() <= within("mmdit") * size
assert (mine - theirs).abs().max() < 1e-4 * size  # angles up to 1000 can be rounded in several ways
print(f"package and diffusers within {within('mmdit'):.0e}, yours within 1e-04: ok")

# %% [markdown]
# In the package this is divided among four functions, because training, control networks and
# streaming use the parts separately:

# %%
from qwenimage_ref.mmdit import FinalNorm, MMDiT

show.source(MMDiT.many, MMDiT.embed, MMDiT.velocity, FinalNorm.forward)

# %% [markdown]
# ## The picture through the depth
#
# What does each block add? To find out, we leave the stack early, after 0, 1, 2, … blocks, and go
# straight to `norm_out` and `proj_out`. Every velocity can be turned into a picture, because the
# noisy latents minus `sigma` times the velocity are the *clean estimate*, the clean latents that
# this velocity implies ([chapter 04](04_pictures_to_latents_and_back.ipynb)).

# %%
img, txt, shared = mmdit.embed(x, txt_states, sigma, grids)
streams = [(img, txt)]
for block in mmdit.transformer_blocks:
    streams.append(block(*streams[-1], *shared))
velocities = [mmdit.velocity(img, shared) for img, _ in streams]
assert torch.equal(velocities[-1], velocity)
print(len(streams), "places to leave from, the last one as before: ok")

# %%
true = pack(noise - clean)
errors = [((v - true).norm() / true.norm()).item() for v in velocities]
pictures = [pipe.to_pictures(unpack(x - sigma * v, 8, 8))[0] for v in velocities]
assert errors[8] < 0.2 < 0.5 < errors[5] and errors[6] > errors[7] > errors[8]
print("the error of the velocity falls with each of the last three blocks, to under 20 %: ok")

# %% [markdown]
# Move the slider through the depth. At 0 blocks only the projections are left.

# %%
from qwenimage_ref.course.figures import through_the_stack

exits = through_the_stack.DepthSlider(pictures, errors)
exits

# %%
at_top = exits.picture.value
exits.blocks.value = 6
assert exits.picture.value != at_top and exits.words.value.startswith("after 6 blocks")
exits.blocks.value = 8
assert exits.picture.value == at_top
print("another depth, another picture; back at 8, the first one: ok")

# %%
captions = [f"{blocks} blocks" for blocks in range(len(pictures))]
alt = "The clean estimate after 0 to 8 blocks: blotches; two coloured blots after 7; shapes after 8"
show.grid(pictures, captions, alt, columns=5, scale=1)

# %%
distances = [show.difference(picture, pictures[8]) for picture in pictures]
assert distances[7] < distances[5] < distances[0]
print("the nearer to the top, the nearer to the last picture: ok")

# %% [markdown]
# Look at 6, 7 and 8: *where* something is appears first, its colour and its edges last. The earlier
# pictures need caution, because `norm_out` and `proj_out` were trained on the output of block 8
# only. Earlier outputs have another distribution, so the stream after block 3 may well hold more
# than its picture shows.

# %% [markdown]
# ## Streams grow
#
# A block *adds* to the streams instead of replacing them, so the result is a sum of sixty
# corrections, and the streams grow. We measure their size by the **rms**, the root of the mean
# square.
#
# On the left is the pocket model; on the right is a stored run of sixty blocks of full width with
# random weights.

# %%
import json


def rms(x):
    return x.pow(2).mean().sqrt().item()


record = json.loads(show.data_file("measurements/depth.json").read_text())
pocket = {"img": [rms(img) for img, _ in streams[1:]], "txt": [rms(txt) for _, txt in streams[1:]]}
random = {name: record["size"][name]["rms"] for name in ("img", "txt")}
panels = {"pocket model, trained, 8 blocks": pocket, "full width, random, 60 blocks": random}
alt = "Sizes of both streams: trained, the image's grows fastest at the end; random, as a root"
through_the_stack.stream_sizes(panels, alt)

# %% [markdown]
# Random blocks add in random directions. This is a *random walk*: after $n$ steps its expected
# distance is $\sqrt n$ steps, so the *square* of the size should be a straight line. Does the
# trained model grow faster because its last blocks all add in one direction? To decide, we measure
# the cosine between the updates of two blocks, token by token, and compute how large a random walk
# with steps of the same sizes would become.

# %%
import numpy as np

squares = np.square(random["img"])
assert np.corrcoef(np.arange(60), squares)[0, 1] > 0.99
assert pocket["img"][7] / pocket["img"][3] > 1.8
assert torch.equal(streams[8][1], streams[7][1])
print("random: squares on a line; trained: the image doubles in the last four blocks: ok")

# %%
updates = [after - before for (before, _), (after, _) in zip(streams, streams[1:])]
sizes = [rms(update) for update in updates]
alike = {
    (i, j): torch.cosine_similarity(updates[i], updates[j], dim=-1).mean().item()
    for i in range(4, 8)
    for j in range(i)
    if j >= 4
}
walk = (rms(streams[0][0]) ** 2 + sum(size**2 for size in sizes)) ** 0.5
print("cosines of blocks 4 to 7:", *(f"{cosine:+.2f}" for cosine in alike.values()))
print("rms of the updates:", *(f"{size:.2f}" for size in sizes))
print(f"rms at the end: {pocket['img'][7]:.2f}; of a random walk: {walk:.2f}")
assert max(alike.values()) < 0.35 and 0.8 < pocket["img"][7] / walk < 1.05

# %% [markdown]
# They do not: the updates are far from parallel, some even oppose one another, and the stream
# becomes no larger than a random walk would. It grows at the end because the late updates are
# larger.
#
# The third assert, two cells above, deserves a second look: the last block leaves the text stream
# *exactly* as it was. Nothing after it uses the text, so no gradient ever reached those gates, and
# they still have the zeros of their initialisation. The official model stores the same weights, and
# computing with them has no effect on its output.
#
# ## Errors grow, too
#
# The official weights are **bf16**, a 16-bit format, and production also computes in it. A bf16
# keeps 8 binary digits, so each operation has a relative rounding error of up to 1/256. How much
# accuracy is left after sixty blocks with dozens of roundings each? First we measure it on the
# pocket model:

# %%
import copy

half = copy.deepcopy(mmdit).bfloat16()  # the files hold bf16, so no weight changes
img, txt, shared = half.embed(x.bfloat16(), txt_states.bfloat16(), sigma.bfloat16(), grids)
off = []
for block, (exact, _) in zip(half.transformer_blocks, streams[1:]):
    img, txt = block(img, txt, *shared)
    off.append(rms(img.float() - exact) / rms(exact))
assert all(0.001 < error < 0.02 for error in off)
print("after each of 8 blocks, bf16 is between 0.1 % and 2 % away from float32: ok")

# %% [markdown]
# Next, through sixty blocks of full width, beside the error of float32 and the distance between
# this package and diffusers:

# %%
from qwenimage_ref.course.figures import error_growth

error_growth.growth()

# %%
bf16 = record["bf16 ours from float32"]["img"]["rms"]
exponent = np.log(bf16[-1] / bf16[0]) / np.log(60)
assert 0.3 < exponent < 0.5 and bf16[-1] < 0.02
print("60 times the depth, but less than the square root of 60 times the error: ok")

# %% [markdown]
# Here the random walk works in our favour: rounding errors have nearly random directions and so
# hardly add up, while the stream that they are compared with grows. Why not use float16, whose 11
# digits round eight times finer? Its largest number is 65,504, so diffusers, as a precaution, clips
# both streams there when it computes in float16:

# %%
import inspect

theirs = inspect.getsource(type(twin.transformer_blocks[0]).forward)
print("\n".join(line.strip() for line in theirs.splitlines() if "65504" in line))
assert torch.finfo(torch.float16).max == 65504 < 1e38 < torch.finfo(torch.bfloat16).max

# %% [markdown]
# ## A file of tensors, byte by byte
#
# The weights are stored in **safetensors** files. The
# [format](https://github.com/huggingface/safetensors) is so simple that you can write a file with
# `struct`, which turns numbers into bytes, and `json`:
#
# 1. eight bytes: the length of the header, an integer, its lowest byte first;
# 2. the header, in JSON: for each tensor its type, its shape and its first and last byte, counted
#    *from the end of the header*; it may be padded with spaces;
# 3. the numbers, tensor after tensor, the last axis fastest, lowest byte first.
#
# Nothing in such a file can be executed, hence the word *safe*; a pickle, the older format, is a
# program.
#
# A bf16 is the upper half of a float32: the sign, 8 bits of exponent, and the first 7 bits of the
# fraction.

# %%
import struct

for value in (1.0, -2.5, 0.1, 3e38):
    (bits,) = struct.unpack("<I", struct.pack("<f", value))  # four bytes as an integer
    text = f"{bits:032b}"
    (kept,) = struct.unpack("<f", struct.pack("<I", bits >> 16 << 16))
    print(f"{value:8.3g} = {text[0]} {text[1:9]} {text[9:16]}|{text[16:]}   left of | : {kept:.4g}")
assert kept == torch.tensor(3e38).view(torch.int32).bitwise_and(~0xFFFF).view(torch.float32)

# %% [markdown]
# Cutting off the lower half rounds towards zero; when weights are written, they should be rounded
# to the nearest number instead, as torch does. Reading needs no rounding at all. Here is a file of
# two tensors:

# %%
wide = np.array([1, -2.5], "<f4")
deep = np.array([[1, 2, 3], [0.5, 0.25, -1]], "<f4")
numbers = wide.tobytes() + (deep.view("<u4") >> 16).astype("<u2").tobytes()
header = {
    "wide": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "deep": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]},
}
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of eight
content = struct.pack("<Q", len(text)) + text + numbers

# %%
begin = 8 + len(text)
regions = {
    "length": (0, 8, "wrong"),
    "header": (8, begin, "noise"),
    "wide, F32": (begin, begin + 8, "image"),
    "deep, BF16": (begin + 8, len(content), "text"),
}
alt = "All bytes of the file, 16 a row: length 120, the JSON of the header, 8 bytes, 12 bytes"
through_the_stack.file_bytes(content, regions, alt)

# %% [markdown]
# Above each character is its byte in hexadecimal: 78 is 120, the length, and 20 is a space. The
# official library should accept these bytes as a file:

# %%
from safetensors.torch import load

loaded = load(content)
assert (loaded["wide"].dtype, loaded["deep"].dtype) == (torch.float32, torch.bfloat16)
assert loaded["wide"].tolist() == wide.tolist() and loaded["deep"].tolist() == deep.tolist()
print("read by the official library, number by number: ok")

# %% [markdown]
# ## Exercise: load a tensor with your bare hands
#
# ★★★☆☆ · 15 minutes
#
# Write `load_tensor(file, name)`: from the path of a .safetensors file and the name of a tensor it
# returns a numpy array of float32 in the tensor's shape. Types are F32 and BF16. Use only `struct`,
# `json` and `numpy`. You will know it works when the checker says so and when the network below,
# which gets its weights from your function, predicts the velocity from above.


# %% tags=["exercise"]
def load_tensor(file, name):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
load_tensor = answers.unless_solved(load_tensor, answers.EX_07_TENSOR)
check.ex_07_tensor(load_tensor)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Look at the picture of the bytes and go from left to right. What does each part tell you that you
# need for reading the next?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `open(file, "rb")` gives bytes, and slices of bytes are bytes. *np.frombuffer* interprets bytes as
# numbers. Numpy has no bf16, but it has integers of 16 and of 32 bits, and the method *view*
# reinterprets an array of one type as another.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# length  <- the first 8 bytes as a whole number, lowest byte first
# entry   <- the next `length` bytes, as JSON, at `name`
# bytes   <- from 8 + length + start to 8 + length + stop
# if bf16: 16-bit whole numbers -> 32-bit ones -> moved up by 16 bits -> looked at as float32
# else:    looked at as float32
# shape it
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def load_tensor(file, name):
#     with open(file, "rb") as opened:
#         (length,) = struct.unpack("<Q", opened.read(8))
#         entry = json.loads(opened.read(length))[name]
#         start, stop = entry["data_offsets"]
#         opened.seek(8 + length + start)
#         content = opened.read(stop - start)
#     if entry["dtype"] == "BF16":
#         numbers = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
#     else:
#         numbers = np.frombuffer(content, "<f4")
#     return numbers.reshape(entry["shape"])
# ```
#
# It reads only what it needs: of a file of 5 GB, the header and one tensor. The next section relies
# on this.
#
# </details>

# %% [markdown]
# Does your function agree with the package's loader? We compare them on every tensor of the pocket
# transformer:

# %%
file = show.data_file("pocket/transformer/diffusion_pytorch_model.safetensors")
state = mmdit.state_dict()
assert all(np.array_equal(load_tensor(file, name), state[name].numpy()) for name in state)
print(len(state), "tensors, number by number: ok")

# %% [markdown]
# ## One block in memory
#
# Now we use it to keep only *one* block in memory, whose weights are overwritten before each step
# by those of the next block, read from disk.

# %%
from qwenimage_ref.mmdit import Block


def stream_by_hand(x, txt_states, sigma, grids):
    img, txt, shared = mmdit.embed(x, txt_states, sigma, grids)
    block = Block(D, mmdit.config.num_attention_heads)
    for i in range(mmdit.config.num_layers):
        for name, parameter in block.named_parameters():
            weight = load_tensor(file, f"transformer_blocks.{i}.{name}")
            parameter.copy_(torch.tensor(weight))
        img, txt = block(img, txt, *shared)
    return mmdit.velocity(img, shared)


# %%
assert torch.equal(stream_by_hand(x, txt_states, sigma, grids), velocity)
print("one block in memory, eight from disk, the same bits: ok")

# %% [markdown]
# The package does this with one refinement: while one block computes, it reads the next one ahead
# into the operating system's cache. That memory is released when it is needed elsewhere, so the
# process itself holds only one block.

# %%
from qwenimage_ref.adapt import streaming
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.load import load_weights

folder = show.pocket_folder()
streamed = empty_network(folder, "transformer")
load_weights(streamed, folder / "transformer", torch.float32, streamed=True)
assert torch.equal(streamed(x, txt_states, sigma, grids), velocity)
print("streamed by the package, the same bits: ok")


# %%
def float32_bytes(module):
    return sum(4 * parameter.numel() for parameter in module.parameters())


resident = float32_bytes(streamed) + float32_bytes(mmdit.transformer_blocks[0])
share = resident / float32_bytes(mmdit)
assert share < 0.15
print(
    f"the rest and one block of eight, {resident / 1e6:.1f} million bytes at a time: under 15 %: ok"
)

# %% [markdown]
# ## Both branches in one pass
#
# Guidance runs the transformer twice, with the prompt and with an empty one. With the weights in
# memory this costs only computing time. From disk, *reading* takes most of the time, and two runs
# would read everything twice. A streamed transformer therefore computes both branches through block
# 0, then both through block 1, and so on.

# %%
show.source(streaming._Blocks.__iter__)

# %%
empty_states, _ = pipe.encode_prompt([" "])
branches = [(x, states, sigma, grids, None) for states in (txt_states, empty_states)]
reads, read_through = [], streaming.read_through
streaming.read_through = lambda place: reads.append(place) or read_through(place)
cond, uncond = streamed.many(branches)
together = len(reads)
one_by_one = [streamed(*branch) for branch in branches]
streaming.read_through = read_through
assert torch.equal(cond, one_by_one[0]) and torch.equal(uncond, one_by_one[1])
assert (together, len(reads) - together) == (8 * 32, 2 * 8 * 32)
print(f"both together: {together} tensors read; one after the other: {len(reads) - together}")

# %% [markdown]
# ## Where the bytes are
#
# For the pocket model we read the headers of its files. For the official one no file is needed: on
# torch's *meta device* ([chapter 01](01_map_of_the_machine.ipynb)) tensors have shapes but no
# numbers, and in bf16 each number takes two bytes.

# %%
import math

from qwenimage_ref.checkpoint.model_folder import STEMS, StoredTextEncoder
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

with torch.device("meta"):
    tower = TextEncoder(TextEncoderConfig.official())
    official = {
        "text_encoder": StoredTextEncoder(tower, Vision(VisionConfig.official())),
        "transformer": MMDiT(MMDiTConfig.official()),
        "vae": VAE(VAEConfig.official()),
    }
sizes = {
    part: {key: 2 * math.prod(shape) for key, shape in stored_form(network).items()}
    for part, network in official.items()
}


# %%
def header_of(file):
    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        return json.loads(opened.read(length))


pocket_sizes = {}
for part, stem in STEMS.items():
    entries = header_of(folder / part / f"{stem}.safetensors")
    entries.pop("__metadata__", None)
    places = {key: entry["data_offsets"] for key, entry in entries.items()}
    pocket_sizes[part] = {key: stop - start for key, (start, stop) in places.items()}

# %%
by_group = {
    "official": through_the_stack.bytes_by_group(sizes),
    "pocket": through_the_stack.bytes_by_group(pocket_sizes),
}
alt = (
    "Shares of all bytes: officially MLPs 31, modulation 24, attention 16, text layers 23 per cent"
)
through_the_stack.shares_by_group(by_group, alt)

# %%
total = {name: sum(groups.values()) for name, groups in by_group.items()}
mmdit_bytes = sum(sizes["transformer"].values())
assert mmdit_bytes == 40_860_802_176 and total["official"] == 2 * 28_849_460_275
assert by_group["official"]["modulation"] > by_group["official"]["attention"]
rows = [
    [name, *(f"{groups[name] / 1e6:,.1f}" for groups in by_group.values())]
    for name in by_group["official"]
]
show.table(["in millions of bytes", *by_group], rows)

# %% [markdown]
# Two of these shares are surprising. The modulations, which are applied to one vector per picture,
# hold more weights than attention, which is applied to every token, because they have $6D$ outputs
# for each of two streams. And nearly a third of the download is a language model. Its *token
# embeddings* and *vision tower* are in the files, although a prompt uses only a few rows of the
# former, and text to image does not use the latter at all.
#
# ## Nine shards and an index
#
# A file of 40 GB is hard to handle, so the transformer is split into **shards**. Tensors are
# written in order of registration, and a new file is started whenever the next tensor would take
# the current one past 5 GB. An *index* lists which tensor is in which shard. The package computes
# all of this from shapes, including the exact size of each file:

# %%
from qwenimage_ref.checkpoint.published_hashes import TRANSFORMER_2512
from qwenimage_ref.checkpoint.shards import SHARD_BYTES, shard_layout

layout = shard_layout(official["transformer"], SHARD_BYTES, dtype=torch.bfloat16)
computed = [max(stop for _, stop in places.values()) for _, places in layout.values()]
published = [size for size, _ in TRANSFORMER_2512]
assert computed == published, "sizes are reproduced to the byte"
print(len(layout), "shards; bytes as published:", *(f"{size:,}" for size in computed[:2]), "... ok")

# %% [markdown]
# If the official index file is on your machine, the next cell reads it; otherwise you see the
# stored result.

# %%
from qwenimage_ref.course import stored_results

index = "transformer/diffusion_pytorch_model.safetensors.index.json"


def look_at_index(path):
    weight_map = json.loads(path.read_text())["weight_map"]
    shards_of = {}
    for key, shard in weight_map.items():
        shards_of.setdefault(".".join(key.split(".")[:2]), set()).add(shard)
    shards = len({*weight_map.values()})
    cut = sum(len(its) > 1 for name, its in shards_of.items() if "blocks" in name)
    same = weight_map == {key: name for name, (_, places) in layout.items() for key in places}
    return {"tensors": len(weight_map), "shards": shards, "cut": cut, "as computed": same}


summary = stored_results.run("07_transformer_index", index, look_at_index)
assert summary == {"tensors": 1933, "shards": 9, "cut": 7, "as computed": True}
print("1,933 tensors in 9 shards, each where we computed it; 7 blocks lie in two files: ok")


# %%
def first_bytes(path):
    for name, (beginning, places) in layout.items():
        with open(path.parent / name, "rb") as opened:
            assert opened.read(len(beginning)) == beginning, name
        assert (path.parent / name).stat().st_size == max(stop for _, stop in places.values())


what = "the first bytes and the size of all nine shards are those computed here"
stored_results.check(f"transformer/{next(iter(layout))}", what, first_bytes)

# %% [markdown]
# ## What streaming costs
#
# Streaming needs memory for *everything that is not a block, plus one block*. For the official
# transformer in bf16:

# %%
block_bytes = sum(size for key, size in sizes["transformer"].items() if "blocks.0." in key)
rest = mmdit_bytes - 60 * block_bytes
print(f"the rest {rest / 1e9:.3f} GB + one block {block_bytes / 1e9:.3f} GB")
print(f"instead of {mmdit_bytes / 1e9:.1f} GB: {mmdit_bytes / (rest + block_bytes):.0f} times less")

# %% [markdown]
# Is that what a process really holds? `data/measurements/streaming.json` has measurements at full
# width. When they were taken, a block was *mapped* from its file, and the system counts mapped
# memory separately, so after subtracting what Python and its libraries map, one block should be
# left. (Today the same bytes are read into the process's own memory.) The last two lines are for a
# whole picture from random weights of full size, with transformer, text encoder and VAE.

# %%
measured = json.loads(show.data_file("measurements/streaming.json").read_text())
tasks, whole = measured["cold"]["tasks"], measured["whole"]
mapped = tasks["pass"]["mapped_gb"] - tasks["compute"]["mapped_gb"]
assert abs(mapped - block_bytes / 1e9) < 0.01
assert tasks["step"]["read_gb"] < 1.01 * tasks["pass"]["read_gb"]
assert whole["peak_gb"] < 0.04 * whole["weights_gb"]
print(f"mapped beyond the libraries: {mapped:.2f} GB, one block: {block_bytes / 1e9:.2f} GB")
print(f"all {whole['weights_gb']} GB: {whole['picture']}")
print(f"peak {whole['peak_gb']:.2f} GB with Python and all, {whole['seconds']:.0f} s on two cores")

# %% [markdown]
# The cost is time, because each pass reads every block once, at the speed of the disk. A guided
# step reads no more than a plain one, as the second assert shows for the measured run.
#
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** A disk reads 2 GB a second and caches nothing. How long do 50 guided steps of the official
# transformer take at least, if both branches share one pass?
#
# <details><summary>Answer</summary>
#
# 50 passes over 40.8 GB are 2,039 GB, which take 17 minutes. With a pass for each branch it would
# be 34.
#
# </details>
#
# **2.** What share of a safetensors file of the official transformer is header?
#
# <details><summary>Answer</summary>
#
# About 5 millionths: 1,933 tensors need about 130 bytes each, 250 kB beside 41 GB.
#
# </details>
#
# **3.** If all 60 blocks shared one set of modulation weights, how many of the 20.4 billion
# parameters would go?
#
# <details><summary>Answer</summary>
#
# Each block has two times 18,432 × 3,072 weights plus biases, 113 million; without 59 of 60 that is
# 6.7 billion less, a third.
#
# </details>

# %%
seconds = 50 * 60 * block_bytes / 2e9
headers = sum(len(beginning) for beginning, _ in layout.values())
modulation = sum(
    size // 2 for key, size in sizes["transformer"].items() if "blocks.0." in key and "_mod." in key
)
print(f"{seconds / 60:.0f} minutes; {1e6 * headers / mmdit_bytes:.1f} millionths", end="; ")
print(f"{59 * modulation / 1e9:.1f} billion, {59 * 2 * modulation / mmdit_bytes:.0%}")

# %% [markdown]
# ## What production code does differently
#
# * It keeps the whole transformer in the memory of one or several GPUs and streams only where it
#   has to; diffusers calls this *offloading*, by model, by block or to disk.
# * Offloading between a computer's memory and its GPU overlaps copying with computing, as our
#   read-ahead does with the disk.
# * It stores weights in fewer bits, 8 or 4, which makes both reading and memory smaller. This costs
#   accuracy, which is measured against bf16.
# * It loads files with the safetensors library, written in Rust, which maps them into memory.
# * It may skip blocks whose output hardly changed since the last step, which is called *caching*.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * A stack of such blocks between linear layers, with a modulated norm at the end: [DiT, Peebles
#   and Xie 2022](https://arxiv.org/abs/2212.09748), section 3.2. Sizes of the official stack:
#   [Qwen-Image report](https://arxiv.org/abs/2508.02324), Table 1.
# * The file format: [safetensors](https://huggingface.co/docs/safetensors), section *Format*.
# * In SD3 the width is 64 times the depth, there are as many heads as blocks, and the largest model
#   has a depth of 38 and 8 billion parameters ([Esser et al.
#   2024](https://arxiv.org/abs/2403.03206), sections 4 and 5.3).
# * FLUX.1 has 19 blocks of two streams and then 38 of one, all 3,072 wide; the latter share their
#   weights between text and image
#   ([util.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py)).
#
# </details>
#
# ## Try this
#
# * Leave one block out and keep all others. Which of the eight changes the picture least?
# * Run the early exits at `sigma` 0.3, where most of the picture is visible. Do the projections
#   alone show more?
# * Exchange two neighbouring blocks, then the first and the last. A stack of residual blocks
#   tolerates more than you may expect; which exchange is too much?
# * Flip one bit of the file's header length and load it with `load_tensor`, then with the package.
#   Which error would you rather read?
#
# Capstone: the rest of `mmdit.py`, from `FinalNorm` to `MMDiT`, can be written now:
# `make grade PART=mmdit`, 32 points with the block.
#
# Next: [08 · The shifted sampler](08_the_shifted_sampler.ipynb), what to do with a velocity.
