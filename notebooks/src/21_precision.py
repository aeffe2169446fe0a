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
# # 21 · Precision
#
# The official transformer is 41 GB of weights. The files that people run weigh 20, or 12. Nothing
# was left out of them: every weight is there, with fewer bits. This page takes the bits away one
# by one and looks at what happens, to a number, to a layer and to a picture.
#
# | | |
# |---|---|
# | **You need** | [chapter 07](07_sixty_blocks.ipynb), what bytes and files of weights are |
# | **You get** | you can decode a byte of fp8 and a block of GGUF by hand, and choose a file |
# | **Minutes** | 45 to read, less than one to run |
# | **Picture** | how many scenes and words come out right, over the size of the transformer |
# | **Number** | all 256 bytes of fp8 and all 65,536 numbers of bf16 decoded as torch does |

# %%
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import number_formats
from qwenimage_ref.evaluate import precision

torch.set_grad_enabled(False)
pipe = QwenImage.from_pretrained(show.pocket_folder())
mmdit = pipe.transformer
weights = {name: layer.weight.data for name, layer in precision.linears(mmdit).items()}
packed = sum(weight.numel() for weight in weights.values())
share = packed / sum(p.numel() for p in mmdit.parameters())
assert len(weights) == 8 * 14 and 0.97 < share < 0.98
print(f"{len(weights)} linear layers in 8 blocks hold {packed:,} numbers, 98 % of all")

# %% [markdown]
# Those 98 % are what gets packed. The rest (biases, norms, the layers where image, text and time
# enter and leave) is small, and much depends on it, so files usually leave it as it is.
#
# ## A number is a row of switches
#
# A floating-point number is written like 1.6 × 2⁻⁴: a **sign**, an **exponent**, which power of
# two, and a **fraction**, how far it is from that power to the next. Here is 0.1 in four formats,
# and what each makes of it:

# %%
alt = "0.1 in 32, 16, 16 and 8 bits: 0.1, 0.10009766, 0.099975586 and 0.1015625"
number_formats.switches(0.1, alt)

# %%
found = [number_formats.kept(0.1, name) for name in ("bfloat16", "float16", "float8_e4m3fn")]
assert found == [0.10009765625, 0.0999755859375, 0.1015625]
print("bf16, float16 and fp8 have no 0.1, only a neighbour:", *(f"{x:.6f}" for x in found))

# %% [markdown]
# Exponent bits buy *range*, fraction bits buy *exactness*. bf16 has the 8 exponent bits of float32,
# so it reaches as far, and pays with the fraction; float16 has chosen the other way round. Now read
# one by hand. Two things are not obvious:
#
# * The exponent is stored shifted up by a **bias**, so that it is never negative: with 8 bits, 127
#   means 2⁰. In front of the fraction stands a one that no bit holds, since every number has it.
# * Except the smallest. Where all exponent bits are zero that one is absent, and the power of two
#   is that of the exponent *one*. These are the **subnormals**; the first of them is zero.
#
# All exponent bits set means infinity, or NaN, *not a number*.

# %%
import math


def decode_by_hand(pattern, exponent_bits, fraction_bits):
    sign = -1.0 if pattern >> (exponent_bits + fraction_bits) else 1.0
    exponent = pattern >> fraction_bits & 2**exponent_bits - 1
    fraction = (pattern & 2**fraction_bits - 1) / 2**fraction_bits
    bias = 2 ** (exponent_bits - 1) - 1
    if exponent == 2**exponent_bits - 1:
        return math.nan if fraction else sign * math.inf
    if exponent == 0:
        return sign * 2.0 ** (1 - bias) * fraction
    return sign * 2.0 ** (exponent - bias) * (1 + fraction)


# %% [markdown]
# One loop over all patterns of 16 bits, against one line that asks torch what it makes of them.
# (NaN is not equal to anything, itself included, so a number takes its place before we compare.)

# %%
for name in ("bfloat16", "float16"):
    kind = number_formats.KINDS[name]
    loop = [decode_by_hand(pattern, kind.exponent, kind.fraction) for pattern in range(2**16)]
    line = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(kind.dtype).double()
    assert torch.equal(line.nan_to_num(777), torch.tensor(loop).double().nan_to_num(777))
    assert torch.equal(
        number_formats.all_numbers(name).double().nan_to_num(777), line.nan_to_num(777)
    )
print("65,536 patterns of bf16 and of float16, by hand and by torch: the same")

# %% [markdown]
# ## Rounding is relative
#
# Between one power of two and the next there are always the same number of steps. So the error of
# rounding is a fixed *share* of the number, whatever its size, until the exponents run out.

# %%
octaves = range(-20, 18)
alt = "Worst error by size: bf16 flat at 0.004, float16 flat at 0.0005, fp8 flat only from 0.016 up"
number_formats.rounding(["bfloat16", "float16", "float8_e4m3fn"], octaves, alt)

# %%
worst = {
    name: number_formats.worst_rounding(name, [-4, -8, -12])
    for name in ("bfloat16", "float8_e4m3fn")
}
assert all(abs(error - 1 / 257) < 1e-4 for error in worst["bfloat16"])
assert abs(worst["float8_e4m3fn"][0] - 1 / 17) < 1e-3 and worst["float8_e4m3fn"][2] == 1
sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
assert ((sizes > 0.005) & (sizes < 0.2)).float().mean() > 0.75, "gray is where weights are"
print("worst: 1/257 for bf16, 1/17 for fp8 at 0.1; at 0.0003 fp8 loses everything: ok")

# %% [markdown]
# Gray is where more than three in four of the pocket model's weights are. bf16 does not care. fp8
# has its floor just there: below 2⁻⁶ = 0.016 its subnormals begin, whose steps no longer shrink
# with the number.
#
# ## Where small changes go
#
# A training step adds a small `delta` to a weight, and so does a LoRA, a small file of changes that
# somebody trained. If the sum is kept in bf16 it is rounded to the nearest number, and if `delta`
# is less than half a step, that is the old one. Take a layer of the pocket model, deltas a
# thousandth as large as its weights, and add them either at once, or in ten parts. `arrived` is how
# far the weights went in the direction of `delta`, as a share of its length:

# %%
weight = weights["transformer_blocks.3.attn.to_q"]
assert torch.equal(weight, weight.bfloat16().float()), "the file holds bf16"
delta = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std() / 1000
at_once = (weight + delta).bfloat16().float()
in_parts = weight
for _ in range(10):
    in_parts = (in_parts + delta / 10).bfloat16().float()
arrived = [((w - weight) * delta).sum() / delta.square().sum() for w in (at_once, in_parts)]

# %%
moved = [(w != weight).float().mean() for w in (at_once, in_parts)]
assert 0.2 < moved[0] < 0.25 and moved[1] < 0.03 and 0.4 < arrived[0] < 0.6 and arrived[1] < 0.1
print("at once: fewer than 25 % of the weights move, and half of delta arrives")
print("in ten parts: fewer than 3 % move, and less than a tenth of delta arrives")

# %% [markdown]
# That is why this package trains in float32 over a bf16 base, and merges a LoRA in float32,
# rounding *once*. A LoRA that stays unmerged loses nothing.
#
# ## A byte: fp8
#
# The fp8 of model files is **e4m3fn**: 4 bits of exponent, 3 of fraction, bias 7. It differs from
# the formats above in one thing. *fn* says *finite*: there is no infinity. The highest exponent is
# an ordinary one, and only the pattern of all ones behind the sign, s 1111 111, is NaN. So the
# largest number is 448.
#
# ## Exercise: decode a byte
#
# ★★☆☆☆ · 10 minutes
#
# Write `decode(byte)`: a whole number from 0 to 255 goes in, the number that e4m3fn means by it
# comes out (*math.nan* for NaN). You will know it works when the checker says so and torch agrees
# below.


# %% tags=["exercise"]
def decode(byte):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

decode = answers.unless_solved(decode, answers.EX_21_FP8)
check.ex_21_fp8(decode)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `decode_by_hand` does nearly all of it. Which of its three cases is different here?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `byte >> 7` is the sign, `byte >> 3 & 15` the exponent, `byte & 7` the fraction in eighths.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# exponent 15 and fraction 7:  NaN
# exponent 0:                  sign * 2^-6 * fraction / 8
# else:                        sign * 2^(exponent - 7) * (1 + fraction / 8)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def decode(byte):
#     sign = -1.0 if byte >> 7 else 1.0
#     exponent, fraction = byte >> 3 & 15, byte & 7
#     if (exponent, fraction) == (15, 7):
#         return math.nan
#     if exponent == 0:
#         return sign * 2.0**-6 * fraction / 8
#     return sign * 2.0 ** (exponent - 7) * (1 + fraction / 8)
# ```
#
# </details>

# %%
mine = torch.tensor([decode(byte) for byte in range(256)])
fp8 = number_formats.all_numbers("float8_e4m3fn")
assert torch.equal(mine.nan_to_num(777), fp8.nan_to_num(777)) and mine.isnan().sum() == 2
finite = number_formats.steps_between(fp8)
assert (finite.max(), finite[finite > 0].min(), len(finite)) == (448, 2**-9, 253)
print("256 bytes as torch has them: 253 different numbers, from 1/512 to 448")

# %% [markdown]
# ## Why plain fp8 flushes small weights
#
# 253 numbers must do for a whole layer. Below stand the weights of a pocket layer over the numbers
# that fp8 has for them, and right the same layer, twenty times smaller. A larger model needs
# smaller weights, because each output is a sum of more products.

# %%
panels = {}
for title, layer in {"a pocket layer": weight, "the same, divided by 20": weight / 20}.items():
    scaled = fp8 * layer.abs().max() / 448
    panels[title] = (layer, {"plain": fp8, "scaled": scaled})
alt = "The layer over the numbers of fp8: for small weights, plain ones are few and evenly spaced"
number_formats.weights_on_grids(panels, alt)

# %%
reach = 2 * weight.std().item() / 20  # 19 of 20 weights are smaller
plain, scaled = (
    number_formats.steps_between(grid) for grid in panels["the same, divided by 20"][1].values()
)
there = [int((abs(grid) < reach).sum()) for grid in (plain, scaled)]
assert there[0] < 15 and there[1] > 150
print("numbers of fp8 for the smaller layer: under 15 plain, over 150 scaled: ok")

# %% [markdown]
# On the right, plain fp8 has come down to its last few steps, and everything below half a step,
# 2⁻¹⁰, becomes zero: it is *flushed*. The cure is one number a layer. Divide all weights by a
# **scale**, so that the largest becomes 448, where fp8 ends; store the scale beside them; multiply
# when you use them. Files called *fp8 scaled* do that. In numbers, for random weights:

# %%
bell = torch.randn(512, 512, generator=torch.Generator().manual_seed(3))
rows = []
for std in (0.1, 0.02, 0.005):
    plain, scaled = (precision.as_fp8(bell * std, how) for how in ("plain", "tensor"))
    flushed = (plain == 0).float().mean().item()
    errors = [precision.relative_error(found, bell * std) for found in (plain, scaled)]
    rows.append([std, *(f"{100 * share:.1f} %" for share in (flushed, *errors))])
assert 0.15 < flushed < 0.16 and 0.11 < errors[0] < 0.115 and 0.026 < errors[1] < 0.027
show.table(["std of the weights", "flushed", "error plain", "error scaled"], rows)

# %% [markdown]
# The *error* is the length of the difference over the length of the weights. Scaled fp8 costs 2.6 %
# at any size, because it moves along with the weights; plain fp8 costs the same where weights are
# large, and four times as much where they are small. The package's version, with finer scales for
# rows and for blocks of 64 inputs:

# %%
from qwenimage_ref.formats.fp8 import quantize_fp8

show.source(quantize_fp8)

# %% [markdown]
# ## Blocks: a scale for every 32
#
# **GGUF** files go on from there. They cut each row of a weight into **blocks** of 32 numbers, give
# every block a scale `d` of its own, a float16, and keep the weights as small *whole* numbers q. In
# the type Q8_0, q has 8 bits and the weight is `d` times q. A block is 34 bytes:

# %%
import struct

from qwenimage_ref.formats import gguf_blocks


def q8_by_hand(block):
    (d,) = struct.unpack("<e", block[:2])  # two bytes: a float16, lower byte first
    q = struct.unpack("<32b", block[2:])  # 32 bytes: whole numbers from -128 to 127
    return [d * number for number in q]


# %%
rows = gguf_blocks.encode(weight, "Q8_0")  # (out, bytes)
block = bytes(rows[0, :34].tolist())
by_hand = torch.tensor(q8_by_hand(block))
line = rows[0, 2:34].view(torch.int8) * rows[0, :2].view(torch.float16).float()
assert rows.shape == (192, 6 * 34) and torch.equal(by_hand, line)
assert torch.equal(line, gguf_blocks.decode(rows, "Q8_0")[0, :32])
print("the first block by hand, in one line and by the package: the same 32 weights")

# %% [markdown]
# And the way in? The largest weight of the block becomes 127 or -127, the others follow. The
# package does both ways; its decoders of ten types are a line or two each.

# %%
d = weight[0, :32].abs().max() / 127
q = (weight[0, :32] / d).round().to(torch.int8)
assert torch.equal(q, rows[0, 2:34].view(torch.int8))
show.source(gguf_blocks._q8_0, gguf_blocks._q4_0, gguf_blocks._q4_1)

# %% [markdown]
# ## Exercise: a block of Q4_0
#
# ★★★☆☆ · 15 minutes
#
# Q4_0 has 4 bits a weight, so two share a byte. A block is 18 bytes: the float16 `d`, then sixteen
# bytes. The *lower* half of byte i (`byte & 15`) belongs to weight i, the *upper* half (`byte >>
# 4`) to weight i + 16. A half is a whole number from 0 to 15; it means that number less 8, so that
# weights of both signs can be had: the weight is `d` times (q - 8). Write `decode_block(block)`: 18
# bytes go in, a list of 32 numbers comes out. You will know it works when the checker says so, and
# when a layer of the model comes out as the package decodes it.


# %% tags=["exercise"]
def decode_block(block):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
decode_block = answers.unless_solved(decode_block, answers.EX_21_Q4)
check.ex_21_q4(decode_block)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Cover the line about Q4_0 in the source above, and begin from `q8_by_hand`.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Make two lists of sixteen, one of the lower halves and one of the upper, and put them one *behind*
# the other. Iterating over bytes gives whole numbers.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# d      <- the first 2 bytes as float16
# lower  <- byte & 15 for each of the other 16
# upper  <- byte >> 4 for each of them
# d * (q - 8) for each q of lower, then of upper
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def decode_block(block):
#     (d,) = struct.unpack("<e", block[:2])
#     lower = [byte & 15 for byte in block[2:]]
#     upper = [byte >> 4 for byte in block[2:]]
#     return [d * (q - 8) for q in lower + upper]
# ```
#
# </details>

# %%
rows = gguf_blocks.encode(weight, "Q4_0")
cut = [bytes(block.tolist()) for block in rows.unflatten(1, (-1, 18)).flatten(0, 1)]
mine = torch.tensor([decode_block(block) for block in cut]).view(weight.shape)
assert torch.equal(mine, gguf_blocks.decode(rows, "Q4_0"))
print(f"{len(cut):,} blocks, a whole layer, by hand and by the package: the same")

# %% [markdown]
# What does a block look like before and after? Gray lines are the numbers that it can hold. There
# is no file type for the third panel: it is the recipe of Q4_0 with 2 bits, to see it break.

# %%
before = weight[0, :32]
largest = before[before.abs().argmax()]
after = {
    "Q8_0, 34 bytes": (line, d * torch.arange(-127, 128)),
    "Q4_0, 18 bytes": (mine[0, :32], largest / -8 * torch.arange(-8, 8)),
    "2 bits, 10 bytes": (
        precision.in_blocks(before, 2),
        largest / -2 * torch.arange(-2, 2),
    ),
}
alt = "32 weights: Q8_0 hits each, Q4_0 misses by a little, 2 bits turn most into zero"
number_formats.blocks(before, after, alt)

# %%
missed = [precision.relative_error(unpacked, before) for unpacked, _ in after.values()]
assert missed[0] < 0.01 < missed[1] < 0.12 < 0.2 < missed[2]
assert torch.allclose(precision.in_blocks(weight, 4), mine, rtol=0, atol=1e-7)
print("error of this block: under 1 %, under 12 %, over 20 %: ok")

# %% [markdown]
# Why blocks? A scale is set by the largest weight, and all others suffer for it. With one scale for
# a layer of 4 bits, a single outlier among 36,864 weights decides; in blocks it spoils 31
# neighbours. Other answers to outliers, and the formats that have them, are on the second page of
# this chapter, [28](28_outliers.ipynb).
#
# ## Layer by layer
#
# Seven formats that lose something, a dot for each of the 112 layers:

# %%
formats = precision.FORMATS
errors = {name: precision.layer_errors(mmdit, form) for name, form in formats.items()}
lossy = {name: found for name, found in errors.items() if name != "bf16"}
alt = "Errors of 112 layers: flat lines for each format, but one scale with 4 bits scatters widely"
number_formats.layer_errors(lossy, alt)

# %%
mean = {name: sum(found.values()) / len(found) for name, found in errors.items()}
assert mean["bf16"] == 0 and mean["Q8_0"] < 0.007 < mean["fp8 scaled"] < 0.03 < mean["Q4_0"] < 0.1
assert mean["Q4_0"] < mean["4 bits, one scale"] / 2
coarse = errors["4 bits, one scale"]
worst = sorted(coarse, key=coarse.get)[-2:]
assert coarse[worst[1]] > 0.8 and all(name.endswith("img_mod.1") for name in worst)
print("of equal size, whole numbers in blocks beat fp8: error under 0.7 %, not 2.6 %")
print("one scale with 4 bits: twice the error of blocks or more; the worst layers:")
print(*worst, sep="\n")

# %% [markdown]
# Notice: Q8_0 is five times more exact than fp8 in nearly the same space. fp8 spends four of its
# bits on range, which a block does not need, since the scale has provided for that. What fp8 is
# good at is *arithmetic*: recent GPUs multiply it directly.
#
# ## What arrives at the velocity
#
# The machine answers with a velocity. Twelve noisy posters, with the weights of each format:

# %%
import json

record = json.loads(show.data_file("measurements/precision.json").read_text())
assert precision.terms(pipe, record["captions"]).items() <= record.items(), "other weights"
asked = precision.noisy_posters(pipe)
velocity = {name: precision.velocity_error(mmdit, form, asked) for name, form in formats.items()}
for name in formats:
    stored = record[name]
    assert abs(velocity[name] - stored["velocity"]) <= 0.02 * stored["velocity"] + 1e-4
    assert all(abs(e - stored["layers"][n]) < 1e-3 for n, e in errors[name].items())
print("errors of 8 times 112 layers and of 8 velocities, as recorded: ok")

# %%
order = sorted(formats, key=lambda name: -record[name]["bytes"])
rows = [
    [
        name,
        f"{formats[name].bits:g}",
        f"{record[name]['bytes'] / 1e6:.1f}",
        f"{record[name]['velocity']:.3f}",
    ]
    for name in order
]
show.table(["format", "bits a weight", "million bytes", "error of the velocity"], rows)

# %% [markdown]
# Down to 3 bits the velocity's error is hardly larger than that of a single layer, although 112
# wrong layers work together: errors that point everywhere do not add up. With one scale that luck
# ends. Its two worst dots are modulations of the image, which hold a few weights far larger than
# all others: next to nothing is left of them, and every token is affected.
#
# ## One prompt, eight machines

# %%
prompt = 'a red star above a green square on a beige background with the text "KEY"'
pictures = {}
for name in order:
    with precision.rounded_to(mmdit, formats[name]):
        pictures[name] = pipe(prompt, " ", num_inference_steps=8, seed=3)[0]

# %%
words = {name: f"{name}: {record[name]['bytes'] / 1e6:.1f} million bytes" for name in order}
shelf = number_formats.FormatSlider(pictures, words)
shelf

# %%
first = shelf.picture.value
shelf.format.value = "2 bits, blocks"
assert shelf.picture.value != first and shelf.words.value.startswith("2 bits, blocks: 3.9")
shelf.format.value = "bf16"
assert shelf.picture.value == first
print("another format, another picture; back at bf16, the first one: ok")

# %%
alt = f"{prompt}, in {'; '.join(order)}: alike, but ruined with one scale and with 2 bits"
show.grid(list(pictures.values()), order, alt, scale=1)

# %%
far = {name: show.difference(picture, pictures["bf16"]) for name, picture in pictures.items()}
assert far["Q8_0"] < far["Q4_0"] < far["2 bits, blocks"]
print("the fewer bits, the farther from the picture of bf16: ok")

# %% [markdown]
# ## Quality against bytes
#
# One prompt proves nothing. The record holds 200 held-out captions for each format, painted in 8
# steps and read back by the machine of [chapter 13](13_is_it_any_good.ipynb). Bars are 95 %
# intervals.

# %%
scores = {name: {"bytes": record[name]["bytes"]} | precision.scores(record[name]) for name in order}
alt = "Shares of right scenes and words over bytes: flat down to 8 bits, scenes a little lower at "
alt += "Q4_0, then a cliff"
number_formats.quality(scores, alt)

# %%
cliff = [scores[name]["scene"]["share"] for name in ("bf16", "Q4_0", "3 bits, blocks")]
assert cliff[0] > 0.93 > cliff[1] > 0.85 > cliff[2]
assert scores["2 bits, blocks"]["scene"]["high"] < scores["3 bits, blocks"]["scene"]["low"]
print("right scenes: bf16 over 93 %, Q4_0 over 85 %, 3 bits under 85 %, 2 bits fewer still: ok")

# %% [markdown]
# Every format painted the same captions from the same noise, so they can be compared in *pairs*:
# which captions came out right in bf16 and wrong now, and which the other way round? The share that
# is lost, in points, with its 95 % interval; and how far the pictures are from those of bf16:

# %%
lost = {name: precision.lost(record[name], record["bf16"]) for name in order[1:]}


def points(row):
    return f"{100 * row['difference']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def drift(name):
    far = [float(distance) for distance in record[name]["pixels"].split()]
    return f"{sum(far) / len(far):.2f}"


rows = [
    [name, *(points(found[key]) for key in ("scene", "word")), drift(name)]
    for name, found in lost.items()
]
show.table(["format", "scenes lost", "words lost", "mean distance of pixels, of 255"], rows)

# %%
for name in ("Q8_0", "fp8 scaled", "fp8 plain"):
    assert all(row["low"] < 0 for row in lost[name].values()), "more than chance"
for name in ("3 bits, blocks", "2 bits, blocks", "4 bits, one scale"):
    assert all(row["low"] > 0 for row in lost[name].values()), "could be chance"
q4 = lost["Q4_0"]
assert q4["scene"]["low"] > 0 > q4["word"]["low"]
assert record["Q8_0"]["scene"] == record["bf16"]["scene"], "no mark moved"
twice = precision.lost(record["4 bits, one scale"], record["2 bits, blocks"])
assert twice["scene"]["low"] > 0, "could be chance"
print("8 bits: the loss could be chance; Q4_0 loses scenes; less, or one scale: both: ok")

# %% [markdown]
# Q8_0 moved no mark of a scene. And bits are not everything: 4 bits with one scale a layer lose
# more scenes than 2 bits with a scale for every 32, although they weigh half as much again.
#
# Read Q4_0 with care. Of the scenes it lost twelve and won two, which is no chance; of the words it
# lost six and won eight, which is. That does not mean that words survive what scenes do not: "could
# be chance" is not "is chance".
#
# And do not trust the record, either. A slice of it, the first eight captions in two formats, now:

# %%
from qwenimage_ref.evaluate import held_out, score, settings

trials, same = held_out.square_trials(8), 0
for name in ("Q4_0", "2 bits, blocks"):
    with precision.rounded_to(mmdit, formats[name]):
        painted = score.paint(pipe, trials, record["steps"], record["guidance"], quiet=True)
    now = settings.marks(trials, painted)
    same += sum(a == b for key in ("scene", "word") for a, b in zip(now[key], record[name][key]))
assert same >= 30
print("at least 30 of 32 marks are those of the record: ok")

# %% [markdown]
# ## Running from packed weights
#
# So far we unpacked everything at once, which shows the error and saves no memory. The package
# keeps weights packed *while it runs*: a layer unpacks its weight when it is called and drops it
# after.

# %%
from qwenimage_ref.checkpoint.packed_linear import PackedLinear

show.source(PackedLinear.forward)

# %%
import tempfile
from pathlib import Path

from qwenimage_ref.formats import gguf
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "pocket.gguf"
    plan = gguf.save_gguf(mmdit, file, "Q4_0")
    small = MMDiT(mmdit.config)
    load_weights(small, file, torch.float32)
with precision.rounded_to(mmdit, formats["Q4_0"]):
    unpacked_before = mmdit(**asked)
assert precision.relative_error(small(**asked), unpacked_before) < 1e-5
print("a .gguf file, run from its blocks: the velocity of the unpacked weights within 1e-5")

# %%
held = sum(p.nbytes for p in small.parameters())
largest = max(4 * weight.numel() for weight in weights.values())
full = sum(p.nbytes for p in mmdit.parameters())
assert held + largest < 0.2 * full and plan.size < 0.33 * record["bf16"]["bytes"]
print(f"held {held / 1e6:.1f} million bytes, and {largest / 1e6:.1f} for the layer that works;")
print(f"unpacked it would be {full / 1e6:.1f}")

# %% [markdown]
# The price is time: every weight is decoded again in every step. diffusers runs GGUF files in just
# this way.
#
# ## Twenty billion
#
# No weights are needed to weigh the official machine: on torch's meta device tensors have shapes
# but no numbers.

# %%
from qwenimage_ref.config import MMDiTConfig

with torch.device("meta"):
    official = MMDiT(MMDiTConfig.official())
size = {name: precision.count_bytes(official, formats[name]) for name in order}
rows = [[name, f"{size[name] / 1e9:.1f}", f"{size[name] / 2**30:.2f}"] for name in order]
show.table(["format", "GB", "GiB"], rows)

# %%
from collections import Counter

plan = gguf.plan_gguf(official, "Q8_0")
kinds = Counter(place.dtype for place in plan.places.values())
assert kinds == {"Q8_0": 840, "F32": 1087, "BF16": 6} and f"{plan.size / 2**30:.2f}" == "20.27"
assert size["bf16"] == 40_860_802_176
print("a Q8_0 file, as published: 1,933 tensors, 840 in blocks, 20.27 GiB: ok")

# %% [markdown]
# Published GGUF files keep biases and norms in float32 where the table counts bf16, which makes a
# hundredth of a GiB.
#
# ## Estimate first
#
# **1.** You add 0.001 to a weight of 1.0 kept in bf16, a thousand times. What is it then?
#
# <details><summary>Answer</summary>
#
# 1.0. The next number is 1.0078; 0.001 is less than half of that step, and is lost each time.
#
# </details>
#
# **2.** Of the 254 finite patterns of fp8, how many mean numbers below 1 in size?
#
# <details><summary>Answer</summary>
#
# 112, nearly half: exponents 0 to 6 of 16, eight fractions each, two signs. Floating-point numbers
# crowd around zero, and so do weights.
#
# </details>
#
# **3.** Does the official transformer in Q4_0 fit into 12 GB, with one unpacked layer in bf16?
#
# <details><summary>Answer</summary>
#
# Just: 11.56 GB, and the largest layer, 3072 × 18,432, takes 0.11 more. Latents, text states and
# the other parts do not fit in any more.
#
# </details>

# %%
one = torch.tensor(1.0, dtype=torch.bfloat16)
for _ in range(1000):
    one = one + 0.001
below = (fp8.abs() < 1).sum().item()
largest = max(2 * layer.weight.numel() for layer in precision.linears(official).values())
total = (size["Q4_0"] + largest) / 1e9
assert one == 1 and below == 112 and 11.6 < total < 11.7
print(f"{one.item()}; {below} patterns; {total:.2f} GB")

# %% [markdown]
# ## What production code does differently
#
# * It multiplies in fp8, where the GPU can. Then the *inputs* of each layer are rounded to fp8,
#   too, with scales of their own, which costs more than rounding weights.
# * GGUF's K types (Q4_K, Q5_K, Q6_K) put 256 weights in a block whose small scales are whole
#   numbers themselves. This package decodes them; finding good ones takes a search.
# * Mixed GGUF files keep the first and last blocks in more bits than the rest.
# * ComfyUI merges a LoRA into fp8 with *stochastic* rounding: up or down by chance, so that small
#   deltas arrive on average.
# * It avoids plain fp8 under few-step LoRAs: the README of Qwen-Image-Lightning warns of grid
#   patterns in the picture.
# * Files called fp8 come in several dialects; the package's loader names the one it found.
#
# ## Try this
#
# * `precision.in_blocks(weight, 3, block=16)`: what do smaller blocks gain, what do they cost?
# * Keep only the modulation layers in bf16 and the rest in 2 bits. Which layers matter most?
# * Divide the weights of a layer by 50 before `as_fp8` and multiply after. Watch the flushing.
# * `python -m qwenimage_ref.evaluate.precision` measures the record again, once you have removed
#   it.
#
# Capstone: `make grade` compares in float32, and the sampler in bfloat16, too: the roundings of
# this page are among the 15 points of `make grade PART=sampler`.
#
# Next: [outliers](28_outliers.ipynb), the second page.
