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
# # 28 · Outliers
#
# This is the second page of [chapter 21](21_precision.ipynb). There every block of 32 weights had
# its own scale, and one weight that was far too large spoiled 31 others. The files that people
# download today have other answers to this: a rotation, scales of scales, a second matrix, and
# lossless compression. On this page we plant outliers into the pocket model and see how each format
# copes with them.
#
# | | |
# |---|---|
# | **You need** | [chapter 21](21_precision.ipynb) |
# | **You get** | a rotation by hand, a four-bit number by hand, Huffman's code by hand |
# | **Minutes** | 35 to read, 45 to write, less than one to run |
# | **Picture** | a row of weights with an outlier, before and after its rotation |
# | **Number** | a rotation takes two thirds of int8's error away; DFloat11 loses no bit |
#
# ## Eight bits, one scale
#
# The simplest format is int8 with one scale: divide all weights so that the largest becomes 127,
# and round. ComfyUI calls it *int8 tensorwise*; in a variant, each row, that is each output of the
# layer, has its own scale.

# %%
import copy

import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import charts, show
from qwenimage_ref.evaluate import precision
from qwenimage_ref.formats import comfy_packing, dfloat11, svd_int4
from qwenimage_ref.formats.comfy_layouts import E2M1, hadamard, rotate

torch.set_grad_enabled(False)
pipe = QwenImage.from_pretrained(show.pocket_folder())
trained = pipe.transformer
weight = trained.transformer_blocks[3].attn.to_out[0].weight.data  # (192, 192)

# %%
scale = weight.abs().amax(1, keepdim=True) / 127  # one for each row
q = (weight / scale).round()
by_hand = q * scale
assert torch.equal(by_hand, comfy_packing.rounded(weight, "int8 by row"))
error = precision.relative_error(by_hand, weight)
assert q.abs().max() == 127 and error < 0.01
print("int8 with a scale a row: an error under 1 %, by hand and by the package the same numbers")

# %% [markdown]
# ## Planting an outlier
#
# Large networks develop outlier channels, many times as large as all others ([Dettmers et
# al.](https://arxiv.org/abs/2208.07339), section 4); the pocket model has none in these layers. We
# therefore plant one in a way that does not change the output. Since attention is linear in its
# values, we can divide channel 7 of `to_v` by 128, in both streams, and multiply the column of
# `to_out` that reads it by 128. Because 128 is a power of two, not even the rounding changes.


# %%
def plant(network, times=128, channel=7):
    for block in network.transformer_blocks:
        attn = block.attn
        for to_v, to_out in ((attn.to_v, attn.to_out[0]), (attn.add_v_proj, attn.to_add_out)):
            to_v.weight[channel] /= times
            to_v.bias[channel] /= times
            to_out.weight[:, channel] *= times
    return network


planted = plant(copy.deepcopy(trained))

# %%
prompts = [f"a {colour} star on a white background" for colour in ("red", "green", "blue")]
states, mask = pipe.encode_prompt(prompts)
noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
asked = {"img": noise, "txt": states, "sigma": torch.full((3,), 0.9), "txt_mask": mask}
asked["grids"] = [(1, 8, 8)]
exact = trained(**asked)
assert precision.relative_error(planted(**asked), exact) < 1e-5
print("trained and planted: the same velocity within 1e-5")


# %%
def last_layers(rounded):
    """The format that rounds the attention's square layers and leaves all others"""
    return precision.Format(8, lambda w: rounded(w) if w.shape == (192, 192) else w)


def cost(network, rounded):
    with precision.rounded_to(network, last_layers(rounded)):
        return precision.relative_error(network(**asked), exact)


def packed(kind):
    return lambda w: comfy_packing.rounded(w, kind, rotated=64)


before = {
    name: cost(net, packed("int8 by row"))
    for name, net in [("trained", trained), ("planted", planted)]
}
assert before["trained"] < 0.01 and before["planted"] > 8 * before["trained"]
print("error of the velocity in int8: under 1 % as trained, eight times as much when planted")

# %% [markdown]
# The network computes the same as before, and only the format fails: in each row of `to_out` the
# planted weight becomes 127, which leaves only a few steps around zero for the other 191.
#
# ## Turning it away
#
# A layer computes W x, and for every orthogonal matrix H this equals (W Hᵀ)(H x). We can therefore
# store the rotated weight, which may be easier to round, and either rotate it back when it is used
# or rotate x instead. The rotation of ComfyUI's files, **ConvRot**, is a *regular Hadamard matrix*:
# all entries are equally large, and every row has the same sum. It begins with
#
# $$ H_4 = \begin{pmatrix} 1 & 1 & 1 & -1 \\ 1 & 1 & -1 & 1 \\ 1 & -1 & 1 & 1 \\ -1 & 1 & 1 & 1
# \end{pmatrix}, \qquad H_{4n} = H_n \otimes H_4, $$
#
# where ⊗ replaces each entry of the left matrix by that entry times a copy of the right one
# (*torch.kron*). Divided by √n, its rows have length 1, and H is its own inverse. In files n is
# 256; the pocket model's width of 192 is divided into three groups of 64.
#
# ## Exercise: rotate
#
# ★★★☆☆ · 15 minutes
#
# Write `rotate_by_hand(weight, size)`. It takes a weight (out, in) and returns one of the same
# shape, in which every `size` neighbouring inputs of a row are multiplied by the matrix of that
# size. `size` is 4, 16, 64 or 256 and divides the number of inputs. You will know it works when the
# checker says so and rotating twice gives the weight back.


# %% tags=["exercise"]
def rotate_by_hand(weight, size):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

rotate_by_hand = answers.unless_solved(rotate_by_hand, answers.EX_28_ROTATE)
check.ex_28_rotate(rotate_by_hand)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Build the matrix first and look at the one of 16. Then: which axes must a product with it see?
#
# </details>
#
# <details><summary>A hint</summary>
#
# H of 4 is a matrix of ones minus twice a flipped identity. A weight in groups has three axes:
# outputs, groups, and inputs within a group.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# four   <- ones, less 2 on the other diagonal
# matrix <- four, and its Kronecker product with four until it has `size` rows
# groups <- the weight as (out, in / size, size)
# groups times matrix, divided by the root of size, in the old shape
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def rotate_by_hand(weight, size):
#     four = torch.ones(4, 4) - 2 * torch.eye(4).flip(0)
#     matrix = four
#     for _ in range(3):  # 16, 64, 256
#         matrix = torch.kron(matrix, four) if len(matrix) < size else matrix
#     groups = weight.reshape(len(weight), -1, size)
#     return (groups @ matrix / size**0.5).reshape(weight.shape)
# ```
#
# </details>

# %%
with_outlier = planted.transformer_blocks[3].attn.to_out[0].weight.data
turned = rotate_by_hand(with_outlier, 64)
assert torch.allclose(turned, rotate(with_outlier, 64), atol=1e-5)
assert torch.allclose(rotate_by_hand(turned, 64), with_outlier, atol=1e-4)
panels = [
    {"x": "input", "y": "weight", "series": {title: list(enumerate(row[:64].tolist()))}}
    for title, row in (("as planted", with_outlier[0]), ("rotated", turned[0]))
]
charts.curves(panels, "A row with one outlier; rotated, 64 numbers of similar size share it")

# %%
shrunk = with_outlier.abs().amax(1) / turned.abs().amax(1)
assert shrunk.median() > 3 and torch.allclose(turned.norm(dim=1), with_outlier.norm(dim=1))
print("the largest weight of most rows is less than a third of what it was; lengths are kept")

# %% [markdown]
# ![The file holds the rotated weight in int8; each step rotates the input by the same matrix, and
# the product is that of the original layer](figures/rotated_layer.svg)
#
# The rotation divides the outlier by √64 and adds it to each number of its group, with one sign or
# the other. No weight is an outlier any more, so one scale fits all of them.

# %%
after = cost(planted, packed("int8 rotated"))
assert after < before["planted"] / 3
print("int8, rotated: the error of the planted network is less than a third of what it was")

# %% [markdown]
# Why *regular*? The best known Hadamard matrix, Sylvester's, is built up from 2 × 2, and its first
# row consists of ones only. If the mean of a row of weights is not zero, this matrix moves the
# whole mean to one place, so the rotation creates an outlier. With equal row sums a constant stays
# a constant.

# %%
sylvester = torch.ones(1, 1)
while len(sylvester) < 64:
    sylvester = torch.kron(sylvester, torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
constant = torch.full((1, 64), 0.5)
assert (constant @ sylvester / 8).abs().max() == 4 and (constant @ hadamard(64)).max() == 0.5
print("sixty-four times 0.5: Sylvester's matrix makes a 4 of it, the regular one changes nothing")

# %% [markdown]
# ## Scales of scales
#
# As in GGUF, blocks also help against outliers. NVIDIA's Blackwell GPUs multiply two such formats
# directly:
#
# * **mxfp8**: numbers in e4m3, and for every 32 inputs a scale of 8 bits that is only an exponent,
#   so a power of two.
# * **nvfp4**: numbers of *four* bits, e2m1: a sign, two bits of exponent with bias 1, and one bit
#   of fraction. Every 16 inputs have a scale in e4m3, and the whole layer has one in float32.
#
# ## Exercise: four bits
#
# ★★☆☆☆ · 10 minutes
#
# Write `decode(packed, scales, whole)`. `packed` is a tensor (n / 2,) of bytes, type torch.uint8.
# Each holds two numbers, the first in its *upper* half. The rules of chapter 21 apply, including
# those for subnormals, except that no pattern means infinity or NaN. `scales` (n / 16,) holds a
# scale for every sixteen numbers, `whole` is one for all. Return the n numbers. You will know it
# works when the checker says so and a layer comes out as the package decodes it.


# %% tags=["exercise"]
def decode(packed, scales, whole):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
decode = answers.unless_solved(decode, answers.EX_28_NVFP4)
check.ex_28_nvfp4(decode)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The three bits besides the sign give eight magnitudes. Write them down first; the largest is 6.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Separate the halves by shifting and by a mask, put them side by side and flatten. In a half, bit 3
# is the sign, bits 2 and 1 the exponent, bit 0 the fraction.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# codes <- upper and lower half of each byte, in turn
# size  <- fraction / 2 where the exponent is 0,
#          else 2^(exponent - 1) * (1 + fraction / 2)
# sign * size * the scale of its sixteen * whole
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def decode(packed, scales, whole):
#     codes = torch.stack([packed >> 4, packed & 15], dim=-1).flatten()
#     sign = torch.where(codes >> 3 == 1, -1.0, 1.0)
#     exponent, fraction = (codes >> 1 & 3).float(), (codes & 1) / 2
#     size = torch.where(exponent == 0, fraction, 2 ** (exponent - 1) * (1 + fraction))
#     return sign * size * scales.repeat_interleave(16) * whole
# ```
#
# </details>

# %%
from qwenimage_ref.formats.comfy_layouts import from_tiles

parts = comfy_packing.pack(weight, "nvfp4")
scales = from_tiles(parts["weight_scale"].view(torch.uint8), 192, 12).view(torch.float8_e4m3fn)
mine = decode(parts["weight"].flatten(), scales.float().flatten(), parts["weight_scale_2"])
assert torch.allclose(mine.view(192, 192), comfy_packing.rounded(weight, "nvfp4"), atol=1e-7)
assert sorted(
    {abs(x) for x in decode(torch.arange(8).to(torch.uint8), torch.ones(1), 1).tolist()}
) == [*E2M1]
print("a layer of nvfp4, by hand and by the package: the same; its sizes:", *E2M1)

# %% [markdown]
# ## A second matrix
#
# The planted column is large but simple, because it is a matrix of *rank one*. **SVDQuant** uses a
# singular value decomposition to take the largest directions out of a weight, keeps them in bf16 as
# a product of two thin matrices, like a LoRA, and stores only the remainder in 4 bits.

# %%
layer = planted.transformer_blocks[3].attn.to_out[0]
own = torch.arange(192) != 7  # all columns but the planted one
misses = {}
for rank in (0, 1, 16):
    unpacked = svd_int4.SVDInt4Linear(layer, rank).unpacked(torch.float32)
    misses[rank] = precision.relative_error(unpacked[:, own], with_outlier[:, own])
assert misses[1] < misses[0] / 1.5 and misses[16] < misses[1]
print("4 bits beside a product of rank 0, 1, 16: the other columns come out better each time")

# %% [markdown]
# ## All of them
#
# The table shows the bits for each weight, scales included, and the error of the velocity with the
# sixteen attention layers in each format, as trained and with the outliers:


# %%
def with_branch(w, rank=16):
    linear = torch.nn.Linear(w.shape[1], w.shape[0])
    linear.weight.copy_(w)
    return svd_int4.SVDInt4Linear(linear, rank).unpacked(torch.float32)


formats = {
    "int8, one scale": (8, packed("int8")),
    "int8, a scale a row": (8 + 32 / 192, packed("int8 by row")),
    "int8, rotated": (8 + 32 / 192, packed("int8 rotated")),
    "mxfp8": (8.25, packed("mxfp8")),
    "Q8_0, for comparison": (8.5, lambda w: precision.as_gguf(w, "Q8_0")),
    "nvfp4": (4.5, packed("nvfp4")),
    "w4a8, rotated": (4.5 + 32 / 192, packed("w4a8")),
    "Q4_0, for comparison": (4.5, lambda w: precision.as_gguf(w, "Q4_0")),
    "int4 and rank 16": (4.25 + 16 * 16 * 2 / 192, with_branch),
}

# %%
costs = {
    name: [cost(net, form) for net in (trained, planted)] for name, (_, form) in formats.items()
}
rows = [
    [name, f"{bits:.2f}", *(f"{100 * each:.1f} %" for each in costs[name])]
    for name, (bits, _) in formats.items()
]
show.table(["format", "bits", "error as trained", "error planted"], rows)

# %%
trained_cost, planted_cost = ({name: pair[i] for name, pair in costs.items()} for i in (0, 1))
for name in ("int8, one scale", "int8, a scale a row"):
    assert planted_cost[name] > 4 * trained_cost[name]
assert planted_cost["int8, rotated"] < planted_cost["int8, a scale a row"] / 3
for name in ("mxfp8", "int4 and rank 16"):
    assert planted_cost[name] < 1.5 * trained_cost[name]
print("one scale fails where an outlier is; a rotation mends most of it;")
print("mxfp8 and a second matrix are hardly affected: ok")

# %% [markdown]
# Compare the two columns. Integers suffer most, because all of them are multiples of one step, so
# it matters which weights share it: a layer, a row or a block. After the rotation there is no
# outlier to share it with. In mxfp8 every number has its own exponent, so rounding is relative and
# a large neighbour does no harm; the two exponent bits of nvfp4 are too few for that. An outlier in
# the second matrix does not affect the rounding of the other weights at all.
#
# In pictures, with the planted network:

# %%
prompt = 'a red star above a green square on a beige background with the text "KEY"'
pictures = {"as trained": pipe(prompt, " ", num_inference_steps=8, seed=3)[0]}
pipe.transformer = planted
for name in ("int8, one scale", "int8, rotated", "nvfp4", "int4 and rank 16"):
    with precision.rounded_to(planted, last_layers(formats[name][1])):
        pictures[name] = pipe(prompt, " ", num_inference_steps=8, seed=3)[0]
pipe.transformer = trained

# %%
alt = "One prompt with a planted outlier: int8 with one scale is far off, rotated it is as trained"
show.grid(list(pictures.values()), list(pictures), alt, columns=5, scale=1)

# %%
off = {name: show.difference(picture, pictures["as trained"]) for name, picture in pictures.items()}
assert off["int8, rotated"] < off["int8, one scale"] / 2
print("the rotated picture is less than half as far from the trained one as the unrotated: ok")

# %% [markdown]
# ## No loss at all
#
# bf16 has eight bits of exponent, but trained weights use only a few of their values. **DFloat11**
# keeps sign and fraction, one byte for each weight, and stores exponents in a code with short words
# for frequent ones and long words for rare ones. According to information theory, the average
# length of such words is at least the *entropy* Σ p log₂(1/p) of the exponents.

# %%
bits = torch.cat([w.flatten() for w in (p.data for p in trained.parameters())]).bfloat16()
exponents = (bits.view(torch.int16) >> 7 & 255).long()
counts = exponents.bincount(minlength=256)
p = counts[counts > 0] / counts.sum()
entropy = -(p * p.log2()).sum().item()
panel = {"x": "exponent, less 127", "y": "% of all weights"}
panel["series"] = {
    "bf16 weights": [(e - 127, 100 * (counts[e] / counts.sum()).item()) for e in range(95, 130)]
}
charts.curves([panel], "Exponents of all weights: a narrow hill, most between -9 and -3")

# %%
assert entropy < 3.5 and (p > 0.05).sum() < 8
print(f"{len(p)} of 256 exponents occur; their entropy is under 3.5 bits, not 8")

# %% [markdown]
# ## Exercise: Huffman's code
#
# ★★★★☆ · 20 minutes
#
# If words are written one after the other without separators, no word may be the beginning of
# another. Huffman's algorithm finds the best such code: join the two rarest symbols into a group
# that occurs as often as both together, and continue with groups and symbols alike until one group
# is left. Each time a symbol's group is joined, its word becomes one bit longer. Write
# `code_lengths(counts)`, which takes the number of occurrences of each symbol and returns a list of
# the lengths of their words in bits, 0 for a symbol that does not occur. If there is only one
# symbol, it needs one bit. You will know it works when the checker says so and the pocket model
# needs as many bits as in the package.


# %% tags=["exercise"]
def code_lengths(counts):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
code_lengths = answers.unless_solved(code_lengths, answers.EX_28_HUFFMAN)
check.ex_28_huffman(code_lengths)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# No tree is needed. A group is a count and the list of its symbols.
#
# </details>
#
# <details><summary>A hint</summary>
#
# While there are two or more groups, find the two with the smallest counts, make all their symbols
# one bit longer, and replace them by one group.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# groups  <- (count, [symbol]) for all that occur
# lengths <- 0 for every symbol; 1 if there is only one
# while there are two groups:
#     take the two with the smallest counts out
#     every symbol of both: its length grows by 1
#     put (sum of counts, all their symbols) back
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def code_lengths(counts):
#     groups = [(count, [symbol]) for symbol, count in enumerate(counts) if count]
#     lengths = [0] * len(counts)
#     if len(groups) == 1:
#         lengths[groups[0][1][0]] = 1
#     while len(groups) > 1:
#         groups.sort(key=lambda group: group[0])
#         (rarest, ours), (second, theirs), *groups = groups
#         for symbol in ours + theirs:
#             lengths[symbol] += 1
#         groups.append((rarest + second, ours + theirs))
#     return lengths
# ```
#
# </details>

# %%
lengths = torch.tensor(code_lengths(counts.tolist()))
mean_bits = ((lengths * counts).sum() / counts.sum()).item()
package = dfloat11.code_lengths(counts).long()
assert (lengths * counts).sum() == (package * counts).sum()
assert entropy <= mean_bits < entropy + 0.1 and 10.5 < 8 + mean_bits < 11.5
print("a word takes under 0.1 bits more than the entropy; in all 11 bits a weight")

# %%
small = dfloat11.compress(bits)
back = dfloat11.decompress(small)
assert torch.equal(back.view(torch.int16), bits.view(torch.int16))
assert 8 + mean_bits < small.bits < 8 + mean_bits + 0.3
print(
    f"{len(bits):,} weights, compressed and back: not one bit differs; {small.bits:.1f} bits each"
)

# %% [markdown]
# Words of different lengths can only be decoded one after the other. `DFloat11` therefore also
# stores, in five bits, where the first word in every eight bytes begins, so that all pieces can be
# decoded in parallel. This adds about a quarter of a bit to each weight.

# %%
show.source(dfloat11.DFloat11)

# %% [markdown]
# ## Where this comes from
#
# * Outliers in single channels: [Dettmers et al. 2022](https://arxiv.org/abs/2208.07339), section
#   4.
# * ConvRot, made for diffusion transformers: [Huang et al. 2025](https://arxiv.org/abs/2512.03673).
#   ComfyUI's files use its rotation where a layer's metadata have `"convrot": true`.
# * SVDQuant: [Li et al. 2024](https://arxiv.org/abs/2411.05007). It also moves outliers of the
#   *inputs* into the weights before it takes them out. FLUX.1, with 12 billion parameters, is its
#   main example; SD3 is not among its models.
# * DFloat11: [Zhang et al. 2025](https://arxiv.org/abs/2504.11651).
# * mxfp8 and nvfp4, as stored in ComfyUI's files: its
#   [quant_ops.py](https://github.com/Comfy-Org/ComfyUI/blob/master/comfy/quant_ops.py) and
#   comfy-kitchen 0.2.40, against which this package is tested.
#
# ## Estimate first
#
# **1.** A group of 256 has one weight of 32, and 255 that are nearly zero. What is the largest of
# them after the rotation?
#
# <details><summary>Answer</summary>
#
# 2, since 32 is divided by the root of 256.
#
# </details>
#
# **2.** How many bits a weight has nvfp4, with its scales?
#
# <details><summary>Answer</summary>
#
# 4.5: four, plus 8 bits shared by sixteen. The scale of the layer is negligible.
#
# </details>
#
# **3.** How long is Huffman's longest word for counts of 1, 1, 2, 4, 8, 16?
#
# <details><summary>Answer</summary>
#
# Five bits. Each step joins the group so far and the next symbol.
#
# </details>

# %%
alone = torch.zeros(1, 256)
alone[0, 100] = 32
assert rotate(alone, 256).abs().max() == 2 and max(code_lengths([1, 1, 2, 4, 8, 16])) == 5
print("2; 4.5 bits; 5 bits")

# %% [markdown]
# ## What production code does differently
#
# * It rotates the inputs as well and multiplies in int8 or four bits, where the GPU can. That saves
#   time; our formats save memory.
# * It searches for the scale with the smallest error instead of taking the largest weight.
# * It merges rotations into the neighbouring layers, so that they cost nothing.
# * DFloat11 decodes a whole block of the transformer into bf16 at a time, with its tables in the
#   memory nearest to a GPU's cores.
#
# ## Try this
#
# * Plant 1024 instead of 128. At which factor does the rotated int8 fail as well?
# * Plant two channels in one group of 64, and two in different groups. Which is harder?
# * Use `packed` with `rotated=16`. What is lost?
# * Compress the *fractions* as well: what is their entropy?
#
# **Capstone.** `make grade` compares float32 weights and has no points for formats.
#
# Next: [30 · Preference](30_preference.ipynb), what a model learns after its pre-training.
