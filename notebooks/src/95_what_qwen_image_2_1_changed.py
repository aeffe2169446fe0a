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
# # 95 · What Qwen-Image-2.1 changed
#
# In September 2026 the successor of this course's model was released, with a third of the weights,
# one stream instead of two, and edits that compute their condition images once instead of in every
# step. This page collects what is known about it, with sources, and tries each idea on something
# small. It does not need the weights of the new model, whose license permits research only.
#
# | | |
# |---|---|
# | **You need** | [chapter 06](06_one_mmdit_block.ipynb), [chapter 07](07_sixty_blocks.ipynb) |
# | **You get** | why a third of the old weights could go, a step of the new model by hand |
# | **Minutes** | 35 to read, 40 to write, one to run |
# | **Picture** | who sees whom in an edit |
# | **Number** | 7,115,124,736 weights; a step from the cache equals the whole step within 1e-5 |
#
# ## What is known
#
# | | the 20B model, 2512 | 2.1 | source |
# |---|---|---|---|
# | blocks | 60 of two streams, 3072 wide | 32 of one stream, 4096 wide | R, D |
# | modulation | two a block: shift, scale, gate | one for all: scale, gate through tanh | D |
# | MLP | 4 times as wide, GELU | 3 times as wide, gated (SwiGLU) | D |
# | biases | in every linear layer | in none | D |
# | attention | all tokens see all | block-causal | R, D |
# | time | one for all; Edit-2511: 0 for condition images | 0 for text and condition images | D |
# | latents | 16 channels, 8 pixels, packed 2 × 2 | 64 channels, 16 pixels, RGBA, not packed | R |
# | text | Qwen2.5-VL-7B, after its final norm | Qwen3-VL-8B, before its final norm | R, P |
# | defaults | 50 steps, guidance 4 | 40 steps, no guidance, 2048 × 2048 | R, P |
# | license of the weights | Apache 2.0 | Qwen Research License, not commercial | R |
#
# R: the [README](https://github.com/QwenLM/Qwen-Image-2.1). D: diffusers 0.42.1,
# [transformer_qwenimage21.py](https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/transformer_qwenimage21.py).
# P: diffusers 0.42.1,
# [pipeline_qwenimage21.py](https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/pipelines/qwenimage21/pipeline_qwenimage21.py).
# A token is still 16 × 16 pixels: where the old model packs four latents into one token, the new
# encoder halves the picture once more.
#
# The package implements the new transformer in `single_stream.py`, as far as this page needs it,
# and a test compares it with that of diffusers. Its parameters can be counted without weights:

# %%
import copy
import itertools
import time

import torch
import torch.nn.functional as F

from qwenimage_ref import QwenImage
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.course import charts, heat_maps, show
from qwenimage_ref.course.figures.costs import counted, numbers
from qwenimage_ref.course.single_stream import SingleStream
from qwenimage_ref.mmdit import MMDiT, layer_norm
from qwenimage_ref.rope import rotate

torch.set_grad_enabled(False)
with torch.device("meta"):
    new, old = SingleStream(), MMDiT(MMDiTConfig.official())
assert (numbers(new), numbers(old)) == (7_115_124_736, 20_430_401_088)
print(f"{numbers(new):,} weights, {2 * numbers(new) / 2**30:.2f} GiB in bf16")

# %% [markdown]
# ## One modulation for all blocks
#
# In the old model each block has its own two projections from the time embedding, D to 6 D, one for
# each stream. In 2.1 there is a single one for the whole network, D to 4 D, and every block uses
# its four vectors unchanged.

# %%
per_block = sum(
    numbers(module) for block in old.transformer_blocks for module in (block.img_mod, block.txt_mod)
)
share, one = per_block / numbers(old), numbers(new.modulation)
assert 0.33 < share < 0.34 and one == 4 * 4096**2
print(
    f"weights that modulate: {per_block / 1e9:.1f} billion, a third; 2.1: {one / 1e6:.0f} million"
)

# %% [markdown]
# A third of all weights computes something that depends on a single number, the noise level. We use
# the pocket model to see whether so many are needed. Because its modulations depend on sigma alone,
# a grid of fifty noise levels captures almost everything they do: there are 16 projections (two in
# each of 8 blocks) with 6 D outputs each.

# %%
pipe = QwenImage.from_pretrained(show.pocket_folder())
trained = pipe.transformer


def modulations(network):
    return [
        getattr(block, name)[1]
        for block in network.transformer_blocks
        for name in ("img_mod", "txt_mod")
    ]


W = torch.stack([layer.weight for layer in modulations(trained)])  # (M, 6 D, D)
b = torch.stack([layer.bias for layer in modulations(trained)])  # (M, 6 D)
sigma = torch.linspace(0.02, 1, 50)
h = F.silu(trained.time_text_embed(sigma.unsqueeze(1)))[:, 0]  # (N, D)
wanted = torch.einsum("mod,nd->nmo", W, h) + b  # (N, M, 6 D)

# %% [markdown]
# How much of this varies with sigma, and in how many directions? We subtract the mean over the
# fifty levels and compute the singular values of the rest, a matrix with a row for each level.

# %%
varying = (wanted - wanted.mean(0)).flatten(1)  # (N, M * 6 D)
_, values, V = torch.linalg.svd(varying, full_matrices=False)
part = values.square().cumsum(0) / values.square().sum()
points = [(rank, 100 * part[rank - 1].item()) for rank in range(1, 9)]
panel = {
    "x": "numbers that depend on sigma",
    "y": "% of the variation",
    "series": {"of all modulations": points},
}
charts.curves([panel], "Share of the variation over the noise level: four numbers carry nearly all")

# %%
constant = 1 - varying.square().sum() / wanted.square().sum()
assert part[3] > 0.98 and constant > 0.8 and varying.shape[1] == 18_432
print("18,432 outputs: over 80 % of their square is constant in sigma,")
print("and four numbers carry over 98 % of the rest: ok")

# %% [markdown]
# So 3.5 million weights describe a curve that varies in about four directions. Here are three ways
# to use fewer weights, each fitted to the trained network by least squares and not trained further:
#
# * **one for all**: the mean of the sixteen projections, as 2.1 shares its own;
# * **shared, own biases**: the mean weight, and for each block the bias that fits best;
# * **four numbers**: a shared D to 4 projection, and for each block 4 to 6 D and a bias.


# %%
def four_numbers(rank=4):
    flat = W.flatten(0, 1)  # (M * 6 D, D)
    near = (V[:rank].T @ (V[:rank] @ flat)).view_as(W)
    return near, b + (W - near) @ h.mean(0)


mean = W.mean(0).expand_as(W)
D, M = h.shape[1], len(W)
fits = {
    "as trained": (W, b, M * 6 * D * (D + 1)),
    "one for all": (mean, b.mean(0).expand_as(b), 6 * D * (D + 1)),
    "shared, own biases": (mean, b + (W - mean) @ h.mean(0), 6 * D * (D + M)),
    "four numbers": (*four_numbers(), M * 6 * D * 5 + 4 * D),
}

# %% [markdown]
# Each replaces the modulations in a copy of the transformer, which paints eight held-out captions.
# The reader of [chapter 13](13_is_it_any_good.ipynb) counts the scenes that are right.

# %%
from qwenimage_ref.evaluate import held_out, score

trials, right, pictures, rows = held_out.square_trials(8), {}, {}, []
for name, (weights, biases, count) in fits.items():
    pipe.transformer = copy.deepcopy(trained)
    for layer, weight, bias in zip(modulations(pipe.transformer), weights, biases):
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    painted = score.paint(pipe, trials, steps=8, quiet=True)
    right[name] = sum(mark["scene"] for mark in score.read_back(trials, painted))
    pictures[name] = painted[0]
    rows.append([name, f"{count:,}"])
pipe.transformer = trained
show.table(["modulation", "weights of the pocket model's"], rows)

# %%
alt = "One caption four times: right as trained and with four numbers, nothing with one for all"
show.grid(list(pictures.values()), list(pictures), alt, columns=4, scale=1)

# %%
assert right["one for all"] == 0 and right["shared, own biases"] >= 3
assert right["as trained"] >= 6 and right["four numbers"] >= 6
assert max(fits[name][2] for name in fits if name != "as trained") < 0.07 * W.numel()
print("scenes right of 8: as trained at least 6, with four numbers at least 6,")
print("shared with own biases at least 3, with one for all none")

# %% [markdown]
# So the blocks differ mainly in their constants. With one shared weight and separate biases in each
# block, some of the scenes are still right; with four numbers that depend on the noise level, used
# by each block in its own way, 3 % of the weights are enough. One modulation for *all* blocks
# cannot be fitted to this trained network, since the mean of sixteen constants fits no block. A
# network that is trained without separate modulations can put the constants elsewhere, however: a
# scale on the inputs of a matrix equals a scale of its columns, and a gate after it a scale of its
# rows. This is possible in 2.1; what it costs in quality has not been published.
#
# ## Who sees whom
#
# Text, condition images and the picture to be painted, the *target*, form one sequence, with the
# target last. Each token attends to the tokens before it, and tokens of one image also attend to
# each other in both directions. In the README this is `(q_idx >= kv_idx) or same_image_block`.
#
# ## Exercise: the mask
#
# ★★☆☆☆ · 10 minutes
#
# A `layout` is a list in which an integer is a number of text tokens and a pair (rows, columns) is
# an image with that many tokens. Write `visible(layout)`. It returns a tensor (S, S) of torch.bool,
# true where the token of a row may attend to the token of a column. You will know it works when the
# checker says so and the picture below shows squares along a staircase.


# %% tags=["exercise"]
def visible(layout):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

visible = answers.unless_solved(visible, answers.EX_95_VISIBLE)
check.ex_95_visible(visible)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Begin with the mask of a language model. What is missing?
#
# </details>
#
# <details><summary>A hint</summary>
#
# A lower triangle of ones covers everything before a token, itself included. Then go through the
# parts and fill the square of each image.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# mask <- ones on and below the diagonal, of all tokens
# first <- 0
# for each part:
#     if it is an image: fill the square from first to first + its size
#     first <- first + its size
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def visible(layout):
#     sizes = [part if isinstance(part, int) else part[0] * part[1] for part in layout]
#     mask = torch.ones(sum(sizes), sum(sizes), dtype=torch.bool).tril()
#     first = 0
#     for part, size in zip(layout, sizes):
#         if not isinstance(part, int):
#             mask[first : first + size, first : first + size] = True
#         first += size
#     return mask
# ```
#
# </details>

# %%
small = [4, (3, 4), 6, (4, 4)]  # text, a condition image, the instruction, the target
panel = {"values": visible(small), "title": "", "cut": 22, "x": "sees", "y": "token", "high": 2}
alt = "A staircase with two squares on it: the condition image and, behind the lines, the target"
heat_maps.heat([panel], alt, side=4)

# %%
mask = visible(small)
assert mask[22:].all() and not mask[:22, 22:].any() and mask[4:16, 4:16].all()
print("the target sees everything, and nothing before it sees the target: ok")

# %% [markdown]
# The important part is the empty corner at the top right: nothing before the target depends on the
# target. In the 20B model text and condition images attend to the noisy tokens, so from the second
# block on they change in every step.
#
# ## Time zero, and a cache
#
# Besides the target, the noise level changes from step to step, and it modulates every token. In
# 2.1, text and condition images always get the level 0 instead, since they have no noise; Edit-2511
# already did this for condition images. Now nothing before the target changes at all, so in every
# block its keys and values from the first step can be kept for all others.
#
# A network of this kind, with the pocket model's size and random weights, shows that both changes
# are needed:

# %%
torch.manual_seed(0)
pocket_size = SingleStream(192, 4, 8, text_dim=192, axes=(8, 20, 20))
torch.nn.init.normal_(pocket_size.modulation[1].weight, std=1)  # gates as wide open as trained ones
layout = [12, (16, 16), 8, (16, 16)]
parts = [torch.randn(1, n, width) for n, width in ((12, 192), (256, 64), (8, 192), (256, 64))]
first, second = torch.tensor([0.9]), torch.tensor([0.5])


def apart(**how):
    _, kept = pocket_size(parts, layout, first, **how)
    cached, _ = pocket_size(parts[-1:], layout, second, kept, **how)
    whole, _ = pocket_size(parts, layout, second, **how)
    return ((cached - whole).norm() / whole.norm()).item()


# %%
rows = []
for causal, clean in itertools.product((True, False), repeat=2):
    same = apart(causal=causal, clean=clean) < 1e-5
    assert same == (causal and clean)
    words = ["block-causal" if causal else "all see all", "0" if clean else "sigma"]
    rows.append([*words, "equal within 1e-5" if same else "different"])
show.table(["attention", "time of text and conditions", "from the cache and whole"], rows)

# %% [markdown]
# ## Exercise: what is saved
#
# ★★★☆☆ · 10 minutes
#
# Every product of a block has a row for each token that is being computed. The work is the same for
# each of these tokens, in attention too, since a query is compared with all keys, stored or not.
# Write `saved(conditions, target, steps)`: the factor by which the cache reduces the work of an
# edit, for the numbers of tokens before the target and in the target, and the number of steps. The
# first step computes everything. You will know it works when the checker says so and torch's count
# agrees.


# %% tags=["exercise"]
def saved(conditions, target, steps):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
saved = answers.unless_solved(saved, answers.EX_95_SAVED)
check.ex_95_saved(saved)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Count tokens, not operations: all that matters is how many are computed in each step.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Without the cache each step computes all tokens. With it one step does, and the others compute the
# target's.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# without <- steps times all tokens
# with    <- all tokens once, and the target's in the other steps
# the ratio
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def saved(conditions, target, steps):
#     whole = steps * (conditions + target)
#     return whole / (conditions + steps * target)
# ```
#
# </details>

# %% [markdown]
# For the released size, torch can count the operations on the meta device. Our example is an edit
# with 300 tokens of text, a condition image of 1024 × 1024 pixels, which are 64 × 64 tokens, and a
# result of the same size.

# %%
edit = [200, (64, 64), 100, (64, 64)]
with torch.device("meta"):
    tokens = [torch.empty(1, n, w) for n, w in ((200, 4096), (4096, 64), (100, 4096), (4096, 64))]
    level = torch.empty(1)
_, kept = new(tokens, edit, level)
whole = counted(lambda: new(tokens, edit, level))
step = counted(lambda: new(tokens[-1:], edit, level, kept))
ratio = 40 * whole / (whole + 39 * step)
assert abs(ratio / saved(4396, 4096, 40) - 1) < 0.01 and 1.9 < ratio < 2.1
print(f"{whole / 1e12:.0f} trillion operations whole, {step / 1e12:.0f} from the cache")
print(f"40 steps: {ratio:.1f} times less")

# %%
pictures = {"the prompt alone": 300, "one condition image": 4396, "ten of them": 41_260}
rows = [[name, f"{saved(count, 4096, 40):.2f}"] for name, count in pictures.items()]
show.table(["before the target", "times less work in 40 steps"], rows)

# %% [markdown]
# With ten condition images, the most that 2.1 takes, the cache saves far more. It costs memory, two
# numbers for each token, block and channel, which in bf16 are 2.3 GB for one condition image. The
# time is measured on the network from above:


# %%
def seconds(*arguments):
    times = []
    for _ in range(5):
        start = time.process_time()  # of this process alone, whatever else is running
        pocket_size(*arguments)
        times.append(time.process_time() - start)
    return min(times)


_, kept = pocket_size(parts, layout, first)
faster = seconds(parts, layout, second) / seconds(parts[-1:], layout, second, kept)
assert 2 * 2 * 32 * 4096 * 4396 / 1e9 < 2.4 and faster > 1.3
print("a step from the cache takes less than three quarters of the time: ok")

# %% [markdown]
# ## One stream
#
# ![A block of one stream: scaled norm, block-causal attention with cached keys and values, a gate
# through tanh; then scaled norm, SwiGLU and a gate](figures/single_stream_block.svg)
#
# A block of the old kind has every matrix twice, once for text and once for the image, and each
# token uses one of the two. A second stream therefore costs weights but no time. We count a block
# of either kind in units of D²:

# %%
from qwenimage_ref.course import single_stream
from qwenimage_ref.course.figures.costs import block_flops

D = 3072
with torch.device("meta"):
    blocks = {"two streams": old.transformer_blocks[0], "one stream": single_stream.Block(D, 24)}
    x, rotation = torch.empty(1, 256, D), torch.empty(256, 64, dtype=torch.complex64)
    own = counted(lambda: blocks["one stream"](x, [x] * 4, rotation))
work = {
    "two streams": block_flops(D, 192, 64)["matrices"],
    "one stream": own - block_flops(D, 192, 64)["attention"],
}
rows = [
    [name, f"{numbers(block) / D**2:.0f}", f"{work[name] / 256 / D**2:.0f}"]
    for name, block in blocks.items()
]
show.table(["block", "weights / D²", "operations a token / D²"], rows)

# %%
assert [row[1:] for row in rows] == [["36", "24"], ["13", "26"]]
each = {"20B": 60 * 24 * 3072**2, "2.1": 32 * 26 * 4096**2}
assert 0.97 < each["20B"] / each["2.1"] < 1
print(
    "matrices, operations a token:", *(f"{name} {n / 1e9:.1f} billion" for name, n in each.items())
)

# %% [markdown]
# At equal width a block of one stream has 13 D² weights instead of 36 D²: 12 D² of modulation are
# gone, as is the second set of matrices. The number of operations for each token is nevertheless
# slightly higher than before, because the gated MLP has three matrices. 2.1 as a whole has a third
# of the weights of the 20B model and does **the same work for each token**. It is faster for three
# other reasons: a picture takes 40 passes, where 50 steps with guidance take 100; the cache saves
# work; and only a third of the bytes have to be read from memory.
#
# ## Exercise: a block from the cache
#
# ★★★★☆ · 20 minutes
#
# Write `cached(block, x, modulation, rotation, before)`, a block of 2.1 for the target alone. `x`
# is (B, I, D), the target's tokens. `modulation` contains scale, gate, scale, gate, first those of
# attention, then those of the MLP, each (B, I, D). `rotation` is that of the target's tokens.
# `before` holds the stored keys and values (B, P, H, K) of everything before the target; the keys
# are normalised and rotated. Return the target's tokens after the block.
#
# A block has `block.attn`, with the matrices `to_q`, `to_k`, `to_v` and `to_out` and the norms
# `norm_q` and `norm_k`, which take (B, S, H, K); and `block.img_mlp`. There is no shift, tanh is
# applied to the gates, and a scale of 0 changes nothing. You will know it works when the checker
# says so and an edit below ends where it should. From the package you need:

# %%
show.source(layer_norm, rotate)


# %% tags=["exercise"]
def cached(block, x, modulation, rotation, before):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
cached = answers.unless_solved(cached, answers.EX_95_CACHED)
check.ex_95_cached(cached)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Write the block without a cache first, as in chapter 06 for one stream. Which two tensors are then
# longer?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Queries come only from `x`. The keys and values of `x` are computed as usual, keys normalised and
# rotated, and the stored ones are concatenated in front of them, along the axis of tokens. No mask
# is needed.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# normed  <- layer_norm(x) * (1 + scale)
# q, k, v <- the three projections, in heads
# q, k    <- normalised, then rotated
# k, v    <- the stored ones in front
# x       <- x + tanh(gate) * to_out(attention)
# x       <- x + tanh(gate2) * img_mlp(layer_norm(x) * (1 + scale2))
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def cached(block, x, modulation, rotation, before):
#     scale, gate, scale2, gate2 = modulation
#     attn, heads = block.attn, before[0].shape[2]
#     normed = layer_norm(x) * (1 + scale)
#     q, k, v = (
#         to(normed).unflatten(-1, (heads, -1)) for to in (attn.to_q, attn.to_k, attn.to_v)
#     )
#     q, k = rotate(attn.norm_q(q), rotation), rotate(attn.norm_k(k), rotation)
#     k, v = torch.cat([before[0], k], dim=1), torch.cat([before[1], v], dim=1)
#     q, k, v = (each.transpose(1, 2) for each in (q, k, v))
#     out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
#     x = x + gate.tanh() * attn.to_out(out)
#     return x + gate2.tanh() * block.img_mlp(layer_norm(x) * (1 + scale2))
# ```
#
# </details>
#
# Here is an edit in five steps, with your block in all but the first, compared with one that
# computes everything in each step:


# %%
class Mine(single_stream.Block):
    def forward(self, x, modulation, rotation, mask=None, before=None):
        if before is None:
            return super().forward(x, modulation, rotation, mask)
        return cached(self, x, modulation, rotation, before), before


with_mine = copy.deepcopy(pocket_size)
for block in with_mine.transformer_blocks:
    block.__class__ = Mine

# %%
levels = torch.linspace(1, 0, 6).split(1)
results = []
for keep in (False, True):
    *conditions, noisy = parts
    kept = None
    for now, after in itertools.pairwise(levels):
        given = [noisy] if kept else [*conditions, noisy]
        velocity, new_kept = with_mine(given, layout, now, kept)
        noisy = noisy + (after - now) * velocity
        kept = new_kept if keep else None
    results.append(noisy)
assert (results[0] - results[1]).norm() < 1e-5 * results[0].norm()
print("five steps, computed whole and from the cache: the same latents within 1e-5")

# %% [markdown]
# The package uses one block for both cases:

# %%
show.source(single_stream.Attention.forward, single_stream.Block.forward)

# %% [markdown]
# ## Where this comes from
#
# * Modulation of each block by the noise level, starting from zero gates: [Peebles and Xie
#   2022](https://arxiv.org/abs/2212.09748), section 3.2. 2.1 keeps the gates and drops the shifts.
# * Two streams that meet in attention: SD3, [Esser et al. 2024](https://arxiv.org/abs/2403.03206),
#   section 4. FLUX.1 has blocks of two streams first and of one stream after them; 2.1 has one
#   stream from the first block on.
# * Language models generate text with stored keys and values in the same way. There each step adds
#   one token to the cache; here each step computes the whole target again, and the cache does not
#   grow.
# * SwiGLU: [Shazeer 2020](https://arxiv.org/abs/2002.05202), as in the text encoder of [chapter
#   03](03_a_language_model_as_a_reader.ipynb).
# * The version in between, Qwen-Image-2.0, has a report ([arXiv
#   2605.10730](https://arxiv.org/abs/2605.10730)) and one on its VAE ([arXiv
#   2605.13565](https://arxiv.org/abs/2605.13565)); its weights were not published.
#
# ## Estimate first
#
# **1.** Suppose that the 20B model had one modulation for all blocks and both streams, 6 vectors of
# 3072. How many weights would be left?
#
# <details><summary>Answer</summary>
#
# 13.7 billion: 6.8 billion are removed and 57 million added.
#
# </details>
#
# **2.** In an edit with one condition image as large as the result, what do later steps cost if the
# attention is block-causal, but text and conditions take the time of the target?
#
# <details><summary>Answer</summary>
#
# As much as the first. Their keys and values change with the time, so nothing can be kept.
#
# </details>
#
# **3.** A picture from a prompt of 300 tokens, 1024 × 1024 pixels: how much does the cache save?
#
# <details><summary>Answer</summary>
#
# 7 % of the work. The cache mainly helps edits.
#
# </details>

# %%
left = numbers(old) - per_block + 6 * 3072 * 3073
assert round(left / 1e8) == 137 and 0.06 < 1 - 1 / saved(300, 4096, 40) < 0.07
print(f"{left / 1e9:.1f} billion; {1 - 1 / saved(300, 4096, 40):.0%} of the work")

# %% [markdown]
# ## What production code does differently
#
# * It splits the mask into rectangles, or passes it to flex attention, so that nothing is computed
#   where the mask is false. Our code computes everything and then masks.
# * diffusers warns that pictures with and without the cache differ visibly in bf16, because they
#   are computed by different kernels, and rounding differences grow over 32 blocks and 40 steps.
# * A language model encodes the text together with the condition images, and afterwards the images'
#   latents replace its vision tokens, four for one.
# * A server keeps the cache of a prompt and its images for the next seed.
#
# ## Try this
#
# * Share a modulation among two or four blocks. How few modulations keep the scenes right?
# * In `fits`, use two numbers, or one, instead of four. When do scenes come out wrong?
# * Give the condition image a level of 0.1 instead of 0. Can its keys and values still be kept?
# * Put the instruction before the condition image. What does the image attend to then, and which
#   edits of one image could share a cache?
#
# **Capstone.** `make grade` tests the 20B model's parts and has no points for this page.
#
# This is the last page. Go back to the [first](00_a_picture_in_sixty_seconds.ipynb), or read about
# common errors in the [errata](90_errata.ipynb).
