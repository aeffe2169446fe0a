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
# The weights of the official transformer take 41 GB. Other files of it take 20 GB or 12 GB,
# although no weight is missing from them: each is stored in fewer bits. This page removes
# the bits step by step and shows what that does to a number, to a layer and to a picture.
#
# | | |
# |---|---|
# | **You need** | [chapter 07](07_sixty_blocks.ipynb), what bytes and files of weights are |
# | **You get** | fp8 and GGUF decoded by hand, a layer computed in blocks, a choice of files |
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
# These 98 % are what is quantised. The rest (biases, norms, and the layers where image, text and
# time enter and leave) is small and sensitive, so files usually keep it in full precision.
#
# ## A number is a row of switches
#
# A floating-point number has the form 1.6 × 2⁻⁴. It consists of a **sign**, an **exponent**, which
# selects a power of two, and a **fraction**, which says how far the number is from that power to
# the next. Here is 0.1 in four formats, with the value that each of them stores:

# %%
alt = "0.1 in 32, 16, 16 and 8 bits: 0.1, 0.10009766, 0.099975586 and 0.1015625"
number_formats.switches(0.1, alt)

# %%
found = [number_formats.kept(0.1, name) for name in ("bfloat16", "float16", "float8_e4m3fn")]
assert found == [0.10009765625, 0.0999755859375, 0.1015625]
print("bf16, float16 and fp8 have no 0.1, only a neighbour:", *(f"{x:.6f}" for x in found))

# %% [markdown]
# Exponent bits give *range*, and fraction bits give *precision*. bf16 has the 8 exponent bits of
# float32 and therefore the same range, at the expense of the fraction; float16 makes the opposite
# choice. To decode such a number by hand, you need two facts that are not obvious:
#
# * The exponent is stored shifted up by a **bias**, so that it is never negative: with 8 bits, 127
#   means 2⁰. In front of the fraction there is an implicit one, which is not stored because every
#   number has it.
# * The exception is the smallest numbers. Where all exponent bits are zero, the implicit one is
#   absent, and the power of two is that of the exponent *one*. These are the **subnormals**; the
#   first of them is zero.
#
# If all exponent bits are set, the pattern means infinity or NaN, *not a number*.

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
# A loop over all patterns of 16 bits is compared with one line in which torch reinterprets the same
# bits. (NaN is not equal to anything, itself included, so we replace it by a number before we
# compare.)

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
# Between one power of two and the next there is always the same number of steps. The rounding error
# is therefore a fixed *share* of the number, whatever its size, until the smallest exponent is
# reached.

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
# The gray band contains more than three in four of the pocket model's weights. For bf16 this range
# makes no difference, but fp8 reaches its limit just there: below 2⁻⁶ = 0.016 its subnormals begin,
# whose steps no longer shrink with the number.
#
# ## Where small changes go
#
# A training step adds a small `delta` to a weight, and so does merging a LoRA. If the sum is kept
# in bf16, it is rounded to the nearest number of that format, and if `delta` is less than half a
# step, that is the old weight. We take a layer of the pocket model and deltas a thousandth as large
# as its weights, and add them either at once or in ten parts. `arrived` is how far the weights
# moved in the direction of `delta`, as a share of its length:

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
# For this reason the package trains in float32 over a bf16 base, and merges a LoRA in float32,
# rounding only *once*. A LoRA that stays unmerged loses nothing.
#
# ## A byte: fp8
#
# The fp8 of model files is **e4m3fn**: 4 bits of exponent, 3 of fraction, bias 7. It differs from
# the formats above in one respect: *fn* stands for *finite*, because the format has no infinity.
# The highest exponent is used for ordinary numbers, and only the pattern with all ones after the
# sign, s 1111 111, is NaN, so the largest number is 448 ([Micikevicius et
# al.](https://arxiv.org/abs/2209.05433), section 3).
#
# ## Exercise: decode a byte
#
# ★★☆☆☆ · 10 minutes
#
# Write `decode(byte)`, which takes an integer from 0 to 255 and returns the number that it
# represents in e4m3fn (*math.nan* for NaN). You will know it works when the checker says so and
# torch agrees below.


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
# All weights of a layer have to be expressed by these 253 numbers. The left panel shows the weights
# of a pocket layer above the numbers that fp8 has for them; the right panel shows the same layer,
# twenty times smaller. Wider layers usually have smaller weights, because each of their outputs is
# a sum of more products.

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
# On the right, plain fp8 has only its last few steps left, and everything below half a step, 2⁻¹⁰,
# becomes zero: it is *flushed*. One number for each layer solves this. Divide all weights by a
# **scale**, chosen so that the largest becomes 448, the largest number of fp8, store the scale
# beside them, and multiply by it when the weights are used. Files called *fp8 scaled* do that. In
# numbers, for random weights:

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
# The *error* is the length of the difference over the length of the weights. Scaled fp8 has an
# error of 2.6 % at any size, because the scale follows the weights; plain fp8 has the same error
# where weights are large, and four times as much where they are small. The package's version also
# has finer scales, for rows and for blocks of 64 inputs:

# %%
from qwenimage_ref.formats.fp8 import quantize_fp8

show.source(quantize_fp8)

# %% [markdown]
# ## Blocks: a scale for every 32
#
# **GGUF** files go one step further. They divide each row of a weight into **blocks** of 32
# numbers, give every block its own scale `d`, a float16, and store the weights as small *integers*
# q. In the type Q8_0, q has 8 bits and the weight is `d` times q. A block takes 34 bytes:

# %%
import struct

from qwenimage_ref.formats import gguf_blocks


def q8_by_hand(block):
    (d,) = struct.unpack("<e", block[:2])  # two bytes: a float16, lower byte first
    q = struct.unpack("<32b", block[2:])  # 32 bytes: integers from -128 to 127
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
# To encode a block, the scale is chosen so that its largest weight becomes 127 or -127. The package
# encodes and decodes; its decoders of ten types take a line or two each.

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
# bytes. The *lower* half of byte i (`byte & 15`) belongs to weight i, the *upper* half
# (`byte >> 4`) to weight i + 16. A half is an integer q from 0 to 15, from which 8 is subtracted to
# represent weights of both signs: the weight is `d` times (q - 8). Write `decode_block(block)`,
# which takes 18 bytes and returns a list of 32 numbers. You will know it works when the checker
# says so and when it decodes a layer of the model as the package does.


# %% tags=["exercise"]
def decode_block(block):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
decode_block = answers.unless_solved(decode_block, answers.EX_21_Q4)
check.ex_21_q4(decode_block)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Start from `q8_by_hand`, without looking at the line about Q4_0 in the source above.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Make two lists of sixteen, one of the lower halves and one of the upper, and put them one *behind*
# the other. Iterating over bytes gives integers.
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
# What does a block look like before and after? Gray lines mark the values that it can represent. No
# file type corresponds to the third panel: it is the method of Q4_0 with 2 bits, to show where it
# breaks down.

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
# Why use blocks? The largest weight determines the scale, and with it the error of all others. With
# one scale for a layer of 4 bits, a single outlier among 36,864 weights affects them all; in blocks
# it affects only 31 neighbours. Other answers to outliers, and the formats that use them, are on
# the second page of this chapter, [28](28_outliers.ipynb).
#
# ## Layer by layer
#
# Here is the error of seven formats, with a dot for each of the 112 layers:

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
print("of equal size, integers in blocks beat fp8: error under 0.7 %, not 2.6 %")
print("one scale with 4 bits: twice the error of blocks or more; the worst layers:")
print(*worst, sep="\n")

# %% [markdown]
# Q8_0 is nearly five times more precise than fp8 in nearly the same space. The reason is that fp8
# spends four of its bits on range, which a block does not need, since its scale provides it. The
# advantage of fp8 is in *arithmetic*: recent GPUs multiply it directly.
#
# ## What arrives at the velocity
#
# The output of the transformer is a velocity. We compare it for twelve noisy posters, with the
# weights in each format:

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
# Down to 3 bits the velocity's error is hardly larger than that of a single layer, although all 112
# layers are wrong, because errors in unrelated directions hardly add up. With one scale a layer
# this no longer holds. The two worst layers are modulations of the image, which have a few weights
# far larger than all others; the other weights become almost zero, and this affects every token.
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
# A single prompt proves little. The record has 200 held-out captions for each format, painted in 8
# steps and read back by the reader of [chapter 13](13_is_it_any_good.ipynb). Bars are 95 %
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
# Since every format painted the same captions from the same noise, they can be compared in *pairs*:
# which captions came out right in bf16 and wrong in the other format, and which the other way
# round? The table gives the share that is lost, in percentage points, with its 95 % interval, and
# the distance of the pictures from those of bf16:

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
# Q8_0 changed the result of no scene. The number of bits is not everything, either: 4 bits with one
# scale a layer lose more scenes than 2 bits with a scale for every 32 weights, although they take
# half as much space again.
#
# The row of Q4_0 needs care. Of the scenes it lost twelve and gained two, which is unlikely to be
# chance; of the words it lost six and gained eight, which could well be. This does not show that
# words survive better than scenes, because a difference that could be chance need not be chance.
#
# You need not trust the record, either. Here is a part of it, the first eight captions in two
# formats, painted again:

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
# So far we unpacked everything at once, which shows the error but saves no memory. The package can
# keep weights packed *while it runs*: a layer unpacks its weight when it is called and frees it
# afterwards.

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
# The cost is time, because every weight is decoded again in every step. diffusers runs GGUF files
# in the same way ([its guide](https://huggingface.co/docs/diffusers/quantization/gguf)).
#
# ## Multiplying without unpacking
#
# On a CPU, ggml does not unpack at all. It quantises the *inputs* as well, to Q8_0, while the layer
# runs ([quants.c](https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-cpu/quants.c)).
# A block of a product is then a sum of integers, and both scales come in front of it:
#
# $$y_{no}=\sum_b d^x_{nb}\,d^w_{ob}\sum_{i=1}^{32}q^x_{nbi}\,(q^w_{obi}-8)$$
#
# Thirty-two multiplications of integers, which are fast and exact, need only two of floating-point
# numbers.
#
# ![Block diagram: inputs are quantised in blocks of 32, and bytes of the weight are taken apart
# into integers and scales; the integers of a block are multiplied and summed, the sum is scaled by
# both, and the blocks are added](figures/quantised_linear.svg)
#
# ## Exercise: a layer of blocks
#
# ★★★★☆ · 25 minutes
#
# Write `multiply(x, rows)`: `x` has the inputs, (N, in) in float32; `rows` has the weight's bytes,
# (out, 18 · in / 32) in uint8, each row block after block of Q4_0. Return (N, out) in float32,
# without a bias. For each 32 inputs, the scale is the largest magnitude over 127, and the integers
# are the inputs over the scale, rounded to the nearest. In the product use that scale rounded to
# float16, as a file would hold it. A block of zeros gives zeros. You will know it works when the
# checker says so; the package decodes both sides and multiplies afterwards.


# %% tags=["exercise"]
def multiply(x, rows):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
multiply = answers.unless_solved(multiply, answers.EX_21_MULTIPLY)
check.ex_21_multiply(multiply)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Begin with the shapes: `rows` becomes (out, in / 32, 18), and `x` becomes (N, in / 32, 32). What
# is the shape of the sums of integers?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `blocks[..., :2].view(torch.float16)` reads the scales. Convert halves of bytes to a type with a
# sign *before* you subtract 8. Integers of 8 bits cannot hold a product; use int32.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# d, q      <- scale and 32 integers of each block of the weight
# scale     <- the largest magnitude of each 32 inputs / 127
# whole     <- inputs / scale, rounded (where the scale is 0: zeros)
# sums      <- over the 32 of a block: whole * q, for all rows and outputs
# result    <- over the blocks: sums * (scale as float16) * d
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def multiply(x, rows):
#     blocks = rows.unflatten(1, (-1, 18))
#     d = blocks[..., :2].view(torch.float16)[..., 0].float()
#     q = torch.cat([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], dim=-1).int() - 8
#     inputs = x.unflatten(1, (-1, 32))
#     scale = inputs.abs().amax(-1) / 127
#     steps = inputs / torch.where(scale > 0, scale, 1.0).unsqueeze(-1)
#     sums = torch.einsum("nbi,obi->nob", steps.round().int(), q)
#     return torch.einsum("nob,nb,ob->no", sums.float(), scale.half().float(), d)
# ```
#
# </details>
#
# Is it worse to round the inputs, too? Here are a layer's own inputs, from the noisy posters:

# %%
caught = []
layer = mmdit.get_submodule("transformer_blocks.3.attn.to_q")
hook = layer.register_forward_hook(lambda _, given, __: caught.append(given[0]))
mmdit(**asked)
hook.remove()
x = caught[0].flatten(0, 1)  # (12 posters of 64 tokens, 192)
blocks = gguf_blocks.encode(weight, "Q4_0")
exact, unpacked = x @ weight.T, x @ gguf_blocks.decode(blocks, "Q4_0").T
by_blocks = multiply(x, blocks)

# %%
by_weights, by_both = (precision.relative_error(y, exact) for y in (unpacked, by_blocks))
by_inputs = precision.relative_error(by_blocks, unpacked)
assert by_weights > 10 * by_inputs and by_weights < by_both < 1.01 * by_weights
assert abs(math.hypot(by_weights, by_inputs) / by_both - 1) < 0.01
print("rounded inputs alone: under a tenth of the weights' error; together: under 1 % more")

# %% [markdown]
# The two errors have unrelated directions, so it is their *squares* that add up, and the larger one
# decides.
#
# ## Twenty billion
#
# The sizes of the official model can be computed without its weights: on torch's meta device
# tensors have shapes but no numbers.

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
# Published GGUF files keep biases and norms in float32 where the table counts bf16, a difference of
# a hundredth of a GiB.
#
# ## Estimate first
#
# **1.** You add 0.001 to a weight of 1.0 kept in bf16, a thousand times. What is it then?
#
# <details><summary>Answer</summary>
#
# 1.0. The next number is 1.0078, and 0.001, being less than half of that step, is lost each time.
#
# </details>
#
# **2.** Of the 254 finite patterns of fp8, how many represent numbers whose magnitude is below 1?
#
# <details><summary>Answer</summary>
#
# 112, nearly half: exponents 0 to 6 of 16, eight fractions each, two signs. Floating-point numbers
# are densest around zero, and so are weights.
#
# </details>
#
# **3.** Does the official transformer in Q4_0 fit into 12 GB, with one unpacked layer in bf16?
#
# <details><summary>Answer</summary>
#
# Only just: it takes 11.56 GB, and the largest layer, 3072 × 18,432, takes 0.11 GB more. There is
# no room left for the other parts.
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
# * It multiplies in fp8 where the GPU can. Then the *inputs* of each layer are rounded to fp8 as
#   well, with their own scales.
# * GGUF's K types (Q4_K, Q5_K, Q6_K) have blocks of 256 weights, in which the small scales are
#   themselves stored as integers. This package decodes them; to encode them well, one has to search
#   for good scales.
# * Mixed GGUF files keep the first and last blocks in more bits than the rest.
# * ComfyUI merges a LoRA into fp8 with *stochastic* rounding, up or down at random, so that small
#   deltas arrive on average
#   ([float.py](https://github.com/Comfy-Org/ComfyUI/blob/master/comfy/float.py)).
# * It avoids plain fp8 under few-step LoRAs, because it can leave grid patterns in the picture, as
#   the README of [Qwen-Image-Lightning](https://github.com/ModelTC/Qwen-Image-Lightning) warns.
# * Files called fp8 come in several dialects; the package's loader names the one that it finds.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The two formats of fp8, and why e4m3 has no infinity: [Micikevicius et al.
#   2022](https://arxiv.org/abs/2209.05433), section 3.
# * Single channels whose large values spoil a common scale: [Dettmers et al.
#   2022](https://arxiv.org/abs/2208.07339), section 4.
# * The file format and its types:
#   [gguf.md](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) and the block structures in
#   [ggml-common.h](https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h) of ggml.
# * SD3 medium was published with its T5 encoder in float16 and in fp8 ([model
#   card](https://huggingface.co/stabilityai/stable-diffusion-3-medium)). T5-XXL is the largest
#   network of that pipeline, so it is the one that is worth quantising.
# * FLUX.1 is the example in the [README](https://github.com/city96/ComfyUI-GGUF) of the program
#   that reads GGUF files in ComfyUI: transformers, it says, lose less by quantisation than
#   convolutional networks.
#
# </details>
#
# ## Try this
#
# * Try `precision.in_blocks(weight, 3, block=16)`. What do smaller blocks gain, and what do they
#   cost?
# * Keep only the modulation layers in bf16 and the rest in 2 bits. Which layers matter most?
# * Divide the weights of a layer by 50 before `as_fp8` and multiply afterwards. How many are
#   flushed?
# * `python -m qwenimage_ref.evaluate.precision` measures the record again, once you have removed
#   it.
#
# Capstone: `make grade` compares in float32, and the sampler in bfloat16 as well, so the roundings
# of this page are among the 15 points of `make grade PART=sampler`.
#
# Next: [22 · Why this way](22_why_this_way.ipynb), what each choice is worth. The second page of
# this chapter, [outliers](28_outliers.ipynb), can be read now or later.
