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
# # 01 · Map of the machine
#
# [The first notebook](00_a_picture_in_sixty_seconds.ipynb) painted with the pocket model. This one
# takes the real machine apart: what goes into each part and what comes out of it, where its 20
# billion parameters are, and what one picture costs in operations, bytes and seconds. None of this
# needs weights.
#
# | | |
# |---|---|
# | **You need** | chapter 00; what a linear layer and attention are |
# | **You get** | every shape, the place of every parameter, an estimate of what a picture costs |
# | **Minutes** | 35 to read, 45 to write, half a minute to run |
# | **Picture** | the data flow at 1328 × 1328; where the parameters are; the cost; a roofline |
# | **Number** | 20,430,401,088 parameters in 1,933 tensors; the index file, byte for byte |

# %% [markdown]
# ## A machine without weight
#
# PyTorch has a device called *meta*, on which tensors have a shape but no content. A network built
# there takes no memory, and yet every shape comes out right, because each layer still computes the
# shape of what it would return. This is how a laptop can hold the official model. The sizes that
# make it official are in three small files, one `config.json` for each part, and they are the
# defaults of our config classes.

# %%
import torch

from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE

with torch.device("meta"):
    official = {
        "text_encoder": TextEncoder(TextEncoderConfig()),
        "transformer": MMDiT(MMDiTConfig()),
        "vae": VAE(VAEConfig()),
    }
config = official["transformer"].config
D = config.inner_dim  # the width of the transformer
H, K = config.num_attention_heads, config.attention_head_dim
print(f"{config.num_layers} blocks, width D = {D} = {H} heads of K = {K}")

# %% [markdown]
# Do these defaults agree with the official file? Cells like the next one read the official files if
# they are on your machine, and use a stored result otherwise; the output is the same either way.

# %%
from qwenimage_ref.course import stored_results

released = stored_results.run(
    "01_transformer_config",
    "transformer/config.json",
    lambda path: MMDiTConfig.from_json(path).to_dict(),
)
assert released == config.to_dict()
print("the defaults are those of transformer/config.json of Qwen-Image-2512: ok")

# %% [markdown]
# ## From prompt to pixels
#
# We follow a prompt, of which `T` = 20 tokens are kept, all the way to a picture. Four facts help
# on the way:
#
# * The **transformer** does the painting. It is an *MMDiT*, a multimodal diffusion transformer, and
#   is called *multimodal* because text and image go through it together.
# * The **VAE** translates between pictures and *latents*, which are eight times smaller on each
#   side and have 16 channels ([chapter 04](04_pictures_to_latents_and_back.ipynb)): `h` = height /
#   8, `w` = width / 8.
# * The latents are cut into patches of 2 × 2 × 16 = 64 numbers, the *image tokens*. There are `I` =
#   (h/2) · (w/2) of them, so each stands for 16 × 16 pixels.
# * The text encoder reads 34 more tokens than it passes on; chapters [02](02_tokens.ipynb) and
#   [03](03_a_language_model_as_a_reader.ipynb) explain why.

# %%
TEXT, DROPPED = 20, 34


@torch.no_grad()
def walk(parts, height, width):
    """What comes out of each part, for one picture: its shape."""
    h, w = height // 8, width // 8
    ids = torch.zeros(1, DROPPED + TEXT, dtype=torch.long, device="meta")
    text_states = parts["text_encoder"](ids)[:, DROPPED:]
    latents = torch.empty(1, 16, h, w, device="meta")
    img = torch.empty(1, h * w // 4, 64, device="meta")
    sigma = torch.empty(1, device="meta")
    velocity = parts["transformer"](img, text_states, sigma, [(1, h // 2, w // 2)])
    pixels = parts["vae"].decode(latents)
    seen = {"ids": ids, "text states": text_states, "latents": latents}
    seen |= {"velocity": velocity, "pixels": pixels}
    return {name: tuple(tensor.shape) for name, tensor in seen.items()}


# %% [markdown]
# The pocket model consists of the same classes, built with the sizes in its own `config.json`
# files, so the same function can follow it.

# %%
from qwenimage_ref.checkpoint.model_folder import empty_networks
from qwenimage_ref.course import show

pocket = empty_networks(show.pocket_folder())
big, small = walk(official, 1328, 1328), walk(pocket, 128, 128)
show.table(
    ["what", "official, 1328 × 1328", "pocket, 128 × 128"],
    [[name, big[name], small[name]] for name in big],
)

# %% [markdown]
# The next drawing shows the same, and the cell below it gives the sizes of the letters. The latents
# are *packed*, which means that each patch of 2 × 2 becomes a token of 64 numbers, because the
# transformer works on tokens only. Its output, the `velocity`, is the direction from a picture to
# the noise; painting moves the other way.
#
# ![Block diagram: prompt, tokenizer and text encoder on the left, noise and pack on the right
# lead into the loop of transformer and Euler step; then unpack, VAE and
# pixels](figures/text_to_image.svg)

# %%
I, T = big["velocity"][1], big["text states"][1]
assert (I, T) == (83 * 83, 20) and big["pixels"] == (1, 3, 1328, 1328)
assert big["text states"][2] == config.joint_attention_dim == 3584
print(f"1328 × 1328 pixels are I = {I:,} image tokens; the text has T = {T}: ok")

# %% [markdown]
# Three sizes to remember: the picture is **6,889** tokens, the transformer is **3,072** wide and
# **60** blocks deep. The rest of this page follows from them.
#
# ## Where do 28 billion numbers sit?
#
# A network's parameters are its weights and biases. Count them, and the tensors that hold them:

# %%
transformer = official["transformer"]
count = sum(p.numel() for p in transformer.parameters())
tensors = len(list(transformer.parameters()))
assert (count, tensors) == (20_430_401_088, 1_933)
print(f"{count:,} parameters in {tensors:,} tensors")

# %% [markdown]
# The released folder contains more than text to image needs. Its text encoder is a complete
# vision-language model, Qwen2.5-VL 7B, with a *vision tower* that encodes pictures for the edit
# models and an `lm_head` that would choose the next word. The official VAE was made for video, and
# most of its parameters are about time (chapter 04). `stored_form` lists what is in the files.

# %%
import math

from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import VisionConfig
from qwenimage_ref.vision import Vision

with torch.device("meta"):
    reader = StoredTextEncoder(official["text_encoder"], Vision(VisionConfig()))


def stored(module):
    return sum(math.prod(shape) for shape in stored_form(module).values())


whole = {"text_encoder": stored(reader), "transformer": count, "vae": stored(official["vae"])}
assert sum(whole.values()) == 28_849_460_275
for name, numbers in whole.items():
    print(f"{name:13} {numbers:>14,} numbers, {2 * numbers / 1e9:6.2f} GB")

# %% [markdown]
# Each number takes two bytes, because the files are in *bf16*, a 16-bit float. The next figure
# zooms in, from the folder to the transformer to one of its sixty blocks. A block has two
# *streams*, one for text and one for image, each with a full set of weights; they meet in attention
# only.

# %%
from qwenimage_ref.course.figures.nested_bars import Bar, Slice, bars, short

block = transformer.transformer_blocks[0]
of = {name: sum(p.numel() for p in child.parameters()) for name, child in block.named_children()}
tower = sum(p.numel() for p in official["text_encoder"].parameters())
one = sum(of.values())
folder = (
    Slice("language tower", tower, "text"),
    Slice("not for text to image", whole["text_encoder"] - tower, "noise"),
    Slice("transformer", count),
    Slice("VAE", whole["vae"], "image"),
)
blocks = [Slice(f"block {i}", one, named=False) for i in range(60)]
blocks.append(Slice("what is before and after the blocks:", count - 60 * one, "noise"))
colours = {"img_mod": "image", "attn": "joint", "img_mlp": "image", "txt_mod": "text"}
inside = [Slice(name, numbers, colours.get(name, "text")) for name, numbers in of.items()]

# %%
bars(
    [
        Bar(f"the folder: {short(sum(whole.values()))} numbers", folder, "transformer"),
        Bar(f"the transformer: 60 blocks of {short(one)}", tuple(blocks), "block 30"),
        Bar("one block", tuple(inside)),
    ],
    alt="Three bars. The folder: a quarter is the language tower, seven tenths the transformer. "
    "The transformer: sixty equal blocks and a sliver. One block: attn and four other parts.",
)

# %%
assert 60 * one / count > 0.998 and 0.70 < count / sum(whole.values()) < 0.71
assert of["img_mod"] == of["txt_mod"] and of["img_mlp"] == of["txt_mlp"]
print(f"the blocks hold {60 * one / count:.1%} of the transformer")
print(f"modulation holds {2 * of['img_mod'] / one:.0%} of a block")

# %% [markdown]
# A third of each block is *modulation*, layers whose only input is a vector that encodes the noise
# level; from it they compute shifts, scales and gates ([chapter 06](06_one_mmdit_block.ipynb)).
# Half of the remaining parameters belong to the text stream, which has a few dozen tokens where the
# image has 6,889. How many parameters a part has says little about how much of the work it does.

# %% [markdown]
# ## One block by hand
#
# A block of width $D$ with heads of width $K$ consists of the following parts. A *linear layer*
# from $a$ to $b$ numbers holds a matrix and a bias: $a\,b + b$.
#
# | part | what it is | one each for text and image? |
# | modulation | one linear layer, $D$ to $6D$ | yes |
# | attention | four linear layers, $D$ to $D$: query, key, value, out | yes |
# | QK-norm | $K$ numbers for queries, $K$ for keys; all heads share them | yes |
# | MLP | two linear layers, $D$ to $4D$ and back | yes |
#
# The norms before attention and MLP have no parameters of their own. The package was not written
# from this table, so in the exercise you can test the table against its classes.

# %% [markdown]
# ## Exercise: one block by hand
#
# ★★☆☆☆ · 10 minutes
#
# Write `block_parameters(D, K)`, which returns the number of parameters of a block. You will know
# it works when the checker agrees for blocks of several sizes, and yours gives the official
# 339,831,296.


# %% tags=["exercise"]
def block_parameters(D, K):
    """Parameters of one block of width D with heads of width K."""
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

block_parameters = answers.unless_solved(block_parameters, answers.EX_01_BLOCK)
check.ex_01_block(block_parameters)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Write a small `linear(a, b)` first. Then count one stream, row by row of the table.
#
# </details>
#
# <details><summary>A hint</summary>
#
# One stream is modulation + attention + QK-norm + MLP. Its QK-norm is tiny, two vectors as long as
# a head is wide. A block is two streams, and nothing else.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
#     linear(a, b): a times b, plus b
#     stream: linear(D, 6D)
#             plus four times linear(D, D)
#             plus two times K
#             plus linear(D, 4D) plus linear(4D, D)
#     block: two streams
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def block_parameters(D, K):
#     def linear(a, b):
#         return a * b + b
#
#     stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * K
#     stream += linear(D, 4 * D) + linear(4 * D, D)
#     return 2 * stream
# ```
#
# </details>

# %%
by_hand = block_parameters(D, K)
assert by_hand == one == 339_831_296
before_and_after = count - 60 * by_hand
print(f"a block: {by_hand:,}; sixty and {before_and_after:,} more are {count:,}: ok")

# %% [markdown]
# ## A fingerprint of the structure
#
# Counts can agree by accident; the next comparison can hardly do so. The official folder comes with
# an *index*, a JSON file that lists for each of the 1,933 names which of nine files contains its
# tensor. The files are split at 5 GB, in the order in which the layers were registered. The index
# therefore follows from names, order and sizes alone, and the package can write it without any
# weights:

# %%
import hashlib

from qwenimage_ref.checkpoint import index_json

index = index_json(transformer, 5_000_000_000, dtype=torch.bfloat16)
print(index[:178].decode(), "...")

# %%
official_index = stored_results.run(
    "01_transformer_index",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    lambda path: hashlib.sha256(path.read_bytes()).hexdigest(),
)
assert hashlib.sha256(index).hexdigest() == official_index
print(f"{len(index):,} bytes, sha256 {official_index[:16]}...: the official file, byte for byte")

# %% [markdown]
# A single wrong name would change the hash, and so would a tensor that ended up in the next file.
# The hash says nothing about the arithmetic between the tensors; that is checked in the other
# chapters.
#
# ## Exercise: nine files
#
# ★★☆☆☆ · 10 minutes
#
# Write `file_numbers(sizes, limit)`. `sizes` gives the bytes of each tensor by its name, in the
# order of registration. Return a dictionary from each name to the number of its file; the first
# file is number 1. A tensor goes into the current file, unless the file would then have more than
# `limit` bytes; in that case the tensor begins the next file. A file is never opened again, none is
# empty, and a tensor of more than `limit` bytes has a file for itself. You will know it works when
# the checker says so and all 1,933 tensors are where the index has them.


# %% tags=["exercise"]
def file_numbers(sizes, limit):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
file_numbers = answers.unless_solved(file_numbers, answers.EX_01_FILES)
check.ex_01_files(file_numbers)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Two numbers are enough to go through the tensors once: that of the current file, and its bytes so
# far.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Decide before you add. What has to happen if the very first tensor is larger than the limit?
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
#     number 1, no bytes so far
#     for each tensor:
#         if there are bytes so far, and with the tensor they would exceed the limit:
#             next number, no bytes so far
#         the tensor has this number
#         add its bytes
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def file_numbers(sizes, limit):
#     number_of, number, filled = {}, 1, 0
#     for name, size in sizes.items():
#         if filled and filled + size > limit:
#             number, filled = number + 1, 0
#         number_of[name] = number
#         filled += size
#     return number_of
# ```
#
# </details>

# %%
import json

sizes = {name: 2 * p.numel() for name, p in transformer.named_parameters()}
number_of = file_numbers(sizes, 5_000_000_000)
listed = json.loads(index)["weight_map"]
last = max(number_of.values())
stem = "diffusion_pytorch_model"
assert {n: f"{stem}-{i:05}-of-{last:05}.safetensors" for n, i in number_of.items()} == listed
print(f"{len(listed):,} tensors in {last} files, each where the index has it: ok")

# %% [markdown]
# ## Count operations
#
# How much *work* is one forward pass? It is counted in **FLOPs**, multiplications and additions.
# Nearly all of them belong to matrix products, and the most direct way to count those is to do it
# while multiplying:


# %%
def count_by_hand(a, b):
    """Multiply two matrices number by number, and count."""
    rows, inner, cols = len(a), len(b), len(b[0])
    product, flops = [[0.0] * cols for _ in range(rows)], 0
    for r in range(rows):
        for c in range(cols):
            for i in range(inner):
                product[r][c] += a[r][i] * b[i][c]
                flops += 2  # one multiplication, one addition
    return product, flops


a, b = torch.rand(3, 5), torch.rand(5, 4)
product, flops = count_by_hand(a.tolist(), b.tolist())
assert torch.allclose(torch.tensor(product), a @ b) and flops == 2 * 3 * 5 * 4
print(f"3 × 5 times 5 × 4: {flops} operations")

# %% [markdown]
# A linear layer therefore takes two operations for each of its weights, **for each token**. With $S
# = T + I$ tokens in a block, the table above becomes
#
# * query, key, value, out and MLP have $4D^2 + 8D^2 = 12D^2$ weights in each stream, and each token
#   passes through one stream: $24\,S\,D^2$;
# * attention compares every token with every other: $S^2$ scores of $D$ products each, over all
#   heads together, and as many operations again for the weighted sums: $4\,S^2 D$;
# * modulation has $12 D^2$ weights, $6 D^2$ in each stream, but is applied to *one* vector instead
#   of $S$: $24\,D^2$.


# %%
def block_flops_by_hand(D, I, T):
    S = T + I
    return 24 * S * D**2 + 4 * S**2 * D + 24 * D**2


I = 6889
T = 64  # a prompt of medium length, from here on
print(f"{block_flops_by_hand(D, I, T) / 1e12:.3f} × 10¹² operations for one block")

# %% [markdown]
# PyTorch can count, too. `FlopCounterMode` records every operation that runs, on the meta device as
# well, and agrees with our formula to the last digit. The package has the formula as
# `costs.block_flops`.

# %%
from torch.utils.flop_counter import FlopCounterMode

from qwenimage_ref.course.figures import costs

img, txt = torch.empty(1, I, D, device="meta"), torch.empty(1, T, D, device="meta")
temb = torch.empty(1, 1, D, device="meta")
rotations = transformer.rotations([(1, 83, 83)], T, "meta")
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    block(img, txt, temb, *rotations)
counted = counter.get_total_flops()
assert counted == block_flops_by_hand(D, I, T) == sum(costs.block_flops(D, I, T).values())
print(f"torch counts {counted:,}, and so do we: ok")

# %% [markdown]
# Where in the block is this work? It can be counted layer by layer with *hooks*: after `handle =
# layer.register_forward_hook(hook)`, PyTorch calls `hook(layer, inputs, output)` at the end of
# every forward pass of this layer, until `handle.remove()`.
#
# ## Exercise: a counter of your own
#
# ★★★★☆ · 25 minutes
#
# Write `layer_flops(network, *inputs)`, which runs the network once, on these inputs, and returns a
# dictionary from names, as *named_modules* gives them, to operations: one entry for every layer of
# the kinds *nn.Linear* and *nn.Conv2d* that ran, wherever in the network it is. Only the products
# with weights count, not the biases. A layer may run several times, and a convolution may have
# strides, groups and any kernel. Afterwards no hook is left. You will know it works when the
# checker says so and what you did not count in the block is attention.


# %% tags=["exercise"]
def layer_flops(network, *inputs):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
layer_flops = answers.unless_solved(layer_flops, answers.EX_01_FLOPS)
check.ex_01_flops(layer_flops)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Take a single number of a layer's output. How many weights took part in it?
#
# </details>
#
# <details><summary>A hint</summary>
#
# In both kinds of layer it is the size of `weight[0]`, since a weight begins with the axis of the
# outputs. A hook has to know the name of its layer: let a function of the name return it.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
#     an empty counter, an empty list of handles
#     hook_for(name): a hook that adds to the counter, under this name,
#         2 times the numbers of the output times the numbers of weight[0]
#     for each name and module: if it is one of the two kinds, hook it and keep the handle
#     run the network
#     remove every handle
#     return the counter as a dictionary
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# from collections import Counter
# from torch import nn
#
# def layer_flops(network, *inputs):
#     flops, handles = Counter(), []
#
#     def hook_for(name):
#         def hook(layer, inputs, output):
#             flops[name] += 2 * output.numel() * layer.weight[0].numel()
#
#         return hook
#
#     for name, layer in network.named_modules():
#         if isinstance(layer, (nn.Linear, nn.Conv2d)):
#             handles.append(layer.register_forward_hook(hook_for(name)))
#     network(*inputs)
#     for handle in handles:
#         handle.remove()
#     return dict(flops)
# ```
#
# </details>


# %%
def part_of(name):
    if "_mod." in name:
        return "modulation"
    text = name.startswith(("txt_", "attn.add_", "attn.to_add_", "attn.norm_added"))
    return "text" if text else "image"


work = dict.fromkeys(("image", "text", "modulation"), 0)
with torch.no_grad():
    for name, flops in layer_flops(block, img, txt, temb, *rotations).items():
        work[part_of(name)] += flops
work["attention"] = counted - sum(work.values())
assert work["attention"] == 4 * (I + T) ** 2 * D and work["modulation"] == 24 * D**2
assert work["image"] == 24 * I * D**2 and work["text"] == 24 * T * D**2
weights_of = dict.fromkeys(work, 0)
for name, weight in block.named_parameters():
    weights_of[part_of(name)] += weight.numel()
rows = [[n, f"{weights_of[n] / one:.1%}", f"{work[n] / counted:.3%}"] for n in work]
show.table(["part of a block", "of its parameters", "of its operations"], rows)

# %% [markdown]
# A third of the parameters, the modulation, does almost nothing, and attention does a quarter of
# the work without a single weight of its own. The whole transformer is sixty of these blocks and a
# few layers before and after them:
# `costs.pass_flops`. The pocket model is small enough to be counted as a whole:

# %%
small_config = pocket["transformer"].config
states = torch.empty(1, TEXT, small_config.joint_attention_dim, device="meta")
tokens, sigma = torch.empty(1, 64, 64, device="meta"), torch.empty(1, device="meta")
counted = costs.counted(lambda: pocket["transformer"](tokens, states, sigma, [(1, 8, 8)]))
assert counted == costs.pass_flops(small_config, 64, TEXT)
print(f"pocket: {counted / 1e9:.3g} × 10⁹ operations a pass, counted and by formula: ok")
show.source(costs.pass_flops)

# %% [markdown]
# The same for the text encoder and for the VAE's decoder, counted at full size:

# %%
ids = torch.zeros(1, DROPPED + T, dtype=torch.long, device="meta")
latents = torch.empty(1, 16, 166, 166, device="meta")
read = costs.counted(lambda: official["text_encoder"](ids))
decode = costs.counted(lambda: official["vae"].decode(latents))
assert read == costs.text_encoder_flops(TextEncoderConfig(), DROPPED + T)
assert abs(decode / costs.decode_flops(VAEConfig(), 1328, 1328) - 1) < 1e-4
print(f"reading a prompt {read / 1e12:.2f}, decoding {decode / 1e12:.2f} × 10¹² operations: ok")

# %% [markdown]
# ## What a picture costs
#
# The official README recommends seven picture sizes of about the same area, with 50 steps and with
# guidance, which runs the transformer twice in each step. What do they cost?

# %%
from qwenimage_ref.course.figures import cost_slider

cost_slider.chart(
    alt="Left: bars for seven picture sizes, one pass costs 110 to 130 million million operations, "
    "about a quarter of them attention. Right, on a logarithmic scale: the text encoder 1.8, the "
    "VAE decoder 7.7, one pass 130, fifty guided steps 12,946 million million operations."
)

# %%
square = costs.picture((1328, 1328))
one_pass = costs.pass_flops(config, I, T)
share = 60 * costs.block_flops(D, I, T)["attention"] / one_pass
assert 0.27 < share < 0.28 and round(one_pass / 1e12) == 130
assert square["MMDiT"].flops > 1000 * (square["text encoder"] + square["VAE decoder"]).flops
print(f"attention is {share:.0%} of a pass; the MMDiT does over 99.9 % of the work: ok")

# %% [markdown]
# All seven in numbers, in 10¹² operations, with a prompt of 64 tokens and an empty negative one:

# %%
rows = []
for size in costs.SIZES:
    tokens = costs.image_tokens(*size)
    work = [part.flops / 1e12 for part in costs.picture(size).values()]
    work.insert(1, costs.pass_flops(config, tokens, T) / 1e12)
    rows.append([f"{size[0]} × {size[1]}", f"{tokens:,}", *(f"{tera:,.1f}" for tera in work)])
show.table(
    ["size", "image tokens", "text encoder", "one pass", "50 guided steps", "VAE decoder"], rows
)

# %% [markdown]
# Two things stand out. Nearly all of the work is the transformer's, so that a faster text encoder
# would save next to nothing. And attention, although its cost grows with the square of the number
# of tokens, is only a quarter of the work at this size: $4S^2D$ overtakes $24SD^2$ at $S = 6D$,
# which is 18,432 tokens or about 2,170 × 2,170 pixels.
#
# ## From operations to seconds
#
# Two things take time: multiplying, and fetching the weights from where they are stored. Both go on
# at the same time, so a part takes as long as the slower of the two. We compare two machines, one
# that was measured and one from a data sheet.

# %%
show.source(costs.Machine)

# %%
slow, fast = costs.measured(), costs.DATA_SHEET
rows = [
    [m.name, f"{m.flops / 1e12:.3g}", f"{m.bandwidth / 1e9:,.4g}", f"{m.flops / m.bandwidth:,.0f}"]
    for m in (slow, fast)
]
show.table(["machine", "10¹² operations / s", "GB / s", "operations a byte"], rows)

# %% [markdown]
# The first row was measured with this package: full-width blocks in bf16 on two processor cores,
# with all weights read from disk, because the machine has no memory for 57.7 GB. The second row is
# what NVIDIA's data sheet gives for bf16 and for memory. No program reaches these peaks, so times
# computed from them are *lower bounds*.
#
# The plot of this rule is called a **roofline** ([Williams et al.
# 2009](https://doi.org/10.1145/1498765.1498785)). It shows how many operations a second a machine
# can do at most, over the number of operations that the work needs for each byte it fetches. On the
# slope, fetching takes longer; on the flat part, multiplying does. The dots are the parts of the
# pipeline for a picture of 1328 × 1328, and the transformer once more for 256 × 256.

# %%
from qwenimage_ref.course.figures import roofline

small_pass = costs.picture((256, 256))["MMDiT"]
tasks = square | {"MMDiT at 256 × 256": small_pass}
roofline.chart(
    [slow, fast],
    tasks,
    alt="Two roofs on logarithmic axes, each a slope that becomes flat near 300 operations a byte: "
    "the text encoder and the transformer at 256 × 256 lie on the slope, the transformer and the "
    "VAE decoder at 1328 × 1328 on the flat part",
)

# %%
per_byte = {name: task.flops / task.bytes for name, task in tasks.items()}
for machine in (slow, fast):
    assert per_byte["text encoder"] < per_byte["MMDiT at 256 × 256"] < roofline.ridge(machine)
    assert roofline.ridge(machine) < per_byte["MMDiT"] < per_byte["VAE decoder"]
    print(f"{machine.name}: flat from {roofline.ridge(machine):.0f} operations a byte on")

# %% [markdown]
# Can such a rule be trusted? Its numbers come from a run of twelve blocks. We test it on another
# run that was measured: a whole picture of 256 × 256 in four steps without guidance, with all
# weights read from disk.

# %%
run = costs.record("streaming")["whole"]
work = costs.picture((256, 256), steps=4, guided=False, text=20)
estimate = sum(slow.seconds(part) for part in work.values())
assert 0.67 < run["seconds"] / estimate < 1
print(f"estimated: {estimate:.0f} seconds; measured: {run['seconds']:.0f}")
print(f"estimated: {sum(p.bytes for p in work.values()) / 1e9:.0f} GB fetched; ", end="")
print(f"measured: {run['read_gb']:.0f}, the rest was still in memory")

# %% [markdown]
# The estimate is off by a quarter, and one reason is known: some weights were still in memory and
# did not have to be read again. That is good enough for a calculation on a napkin. A second test
# concerns another part. The VAE was measured at 256 × 256; what does that predict for 512 × 512?


# %%
def vae_flops(side):
    return costs.decode_flops(VAEConfig(), side, side)


measured = {side: costs.bench(f"VAE, decode {side}x{side}, float32") for side in (256, 512)}
estimate = measured[256] * vae_flops(512) / vae_flops(256)
assert 0.67 < estimate / measured[512] < 1.5
print(f"estimated: {estimate:.1f} seconds; measured on one core: {measured[512]:.1f}")

# %% [markdown]
# ## Your own estimate
#
# Choose a size, steps, guidance and a machine. For which sizes does fetching take longer than
# multiplying?

# %%
knobs = cost_slider.CostPanel()
knobs

# %%
at_home = knobs.line.value
knobs.size.value, knobs.steps.value, knobs.guided.value = (256, 256), 4, False
assert knobs.line.value.endswith("fetching") and at_home.endswith("multiplying")
knobs.size.value, knobs.steps.value, knobs.guided.value = (1328, 1328), 50, True
assert knobs.line.value == at_home
print("fetching takes longer for a small picture, multiplying for a large one: ok")

# %% [markdown]
# The same states in print.

# %%
rows = []
for size in ((256, 256), *costs.SIZES):
    row = [f"{size[0]} × {size[1]}", f"{costs.image_tokens(*size):,}"]
    for machine in (slow, fast):
        for steps, guided in ((4, False), (50, True)):
            work = costs.picture(size, steps, guided)
            row.append(costs.duration(sum(machine.seconds(part) for part in work.values())))
    rows.append(row)
assert rows[1][3] == "6.9 hours" and rows[1][5] == "13 s"
header = ["size", "image tokens", "cores: 4 steps", "50 guided", "GPU: 4 steps", "50 guided"]
show.table(header, rows)

# %% [markdown]
# Why do weights ever take longer than products? A weight of 2 bytes is fetched once and then used
# for every token of its stream, with two operations each time. That makes as many operations for
# each byte as there are tokens. The three thirds of a block differ in this: one third of the
# weights is used for the 6,889 image tokens, one for the 64 text tokens, and one, the modulation,
# for a single vector. The mean is therefore far below 6,889. It is still far above the last column
# of the table of machines, so with an image this large a GPU is busy multiplying. The text encoder,
# with 98 tokens for the prompt and 40 for the negative one, leaves the GPU idle while weights are
# loaded.

# %%
rows = []
for name, part in square.items():
    per_byte = part.flops / part.bytes
    waits = "fetching" if per_byte < fast.flops / fast.bandwidth else "multiplying"
    times = [costs.duration(machine.seconds(part)) for machine in (slow, fast)]
    rows.append([name, f"{part.bytes / 1e9:,.2f}", f"{per_byte:,.0f}", *times, waits])
assert [row[-1] for row in rows] == ["fetching", "multiplying", "multiplying"]
show.table(["part", "GB fetched", "operations a byte", "cores", "GPU", "the GPU waits for"], rows)

# %%
serves = {"image": I, "text": T, "modulation": 1}  # tokens, or vectors, that a weight is used for
total = sum(weights_of.values())
assert all(abs(weights_of[name] / total - 1 / 3) < 0.01 for name in serves)
products = sum(times * weights_of[name] for name, times in serves.items()) / total
scores = 4 * (I + T) ** 2 * D / (2 * total)  # two products of attention, over the block's bytes
passes = [*square.values()][1]
assert abs((products + scores) / (passes.flops / passes.bytes) - 1) < 0.02
print(f"products with weights: {products:,.0f} operations a byte, attention: {scores:,.0f}")
print("together the table's number, within 2 %: ok")

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** Of the 28.85 billion stored numbers, how many does text to image never read?
#
# <details><summary>Answer</summary>
#
# About 1.32 billion: the vision tower and `lm_head` of the text encoder (1.22), and nearly all of
# the VAE (0.10), of which only the decoder is needed, and of the decoder only what concerns a
# single frame.
#
# </details>
#
# **2.** Twice the width and height, 2656 × 2656: how much longer does a pass take?
#
# <details><summary>Answer</summary>
#
# It takes 7.2 times as long. With four times the tokens, the products with weights are four times
# as much work and attention is sixteen times as much.
#
# </details>
#
# **3.** How many operations does one *pixel* of a guided 50-step picture cost?
#
# <details><summary>Answer</summary>
#
# About 7 × 10⁹. A processor core that does one addition each nanosecond would need seven seconds
# for every pixel.
#
# </details>

# %%
needed = sum(costs.weights().values())
never = sum(whole.values()) - needed
longer = costs.pass_flops(config, 4 * I, T) / one_pass
pixel = sum(part.flops for part in square.values()) / 1328**2
assert round(never / 1e9, 2) == 1.32 and round(longer, 1) == 7.2 and round(pixel / 1e9) == 7
print(f"{never:,} never read; {longer:.1f} times; {pixel / 1e9:.0f} × 10⁹ a pixel: ok")

# %% [markdown]
# ## What production code does differently
#
# * It keeps in memory what fits there: text encoder, transformer and VAE one after the other, each
#   unloaded when it is done, or weights in 8 or 4 bits, which halves or quarters the bytes in the
#   tables above.
# * It computes attention without ever storing the $S^2$ scores. The number of operations stays the
#   same.
# * It uses few-step models for previews that appear while one types. Four passes instead of a
#   hundred make a picture 25 times cheaper.
# * It runs both guidance passes as one batch, or on two GPUs, or skips guidance in some steps.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The model, its parts and their sizes: [Qwen-Image technical report, Wu et al.
#   2025](https://arxiv.org/abs/2508.02324), section 2 and Table 1.
# * Two operations for each weight and token: [Kaplan et al.
#   2020](https://arxiv.org/abs/2001.08361), section 2.1. The roofline: [Williams, Waterman and
#   Patterson 2009](https://doi.org/10.1145/1498765.1498785).
# * SD3's largest transformer has 8 billion parameters ([Esser et al.
#   2024](https://arxiv.org/abs/2403.03206), section 5.3). Of its three text encoders the largest,
#   T5-XXL, has 4.7 billion and can be left out (there, *Flexible text encoders*).
# * FLUX.1's transformer has 11,901,408,320, counted as on this page from
#   [model.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/model.py) with the sizes
#   in [util.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py). Each of its
#   19 blocks of two streams has 339,831,296, exactly as many as a block of Qwen-Image; each of the
#   38 blocks in which text and image share all weights has 141,591,808.
#
# </details>
#
# ## Try this
#
# * Put your own processor or GPU into a `Machine` and compare with a stopwatch.
# * Which width $D$ would a 10-billion transformer of 60 blocks have? Solve it with
#   `block_parameters`.
# * According to the Qwen-Image report, training begins with pictures of 256 × 256 and ends at 1328
#   × 1328. How much cheaper is a step at the beginning?
# * Write the table for a batch of 16 small pictures. What happens to *fetching*?
#
# Capstone: `make blank` lists the functions of the drawing, file by file. None of them can be
# written yet, but the constructors, which name every parameter you have counted, are already there.
#
# Next: [02 · Tokens](02_tokens.ipynb), how a prompt becomes a sequence of integers.
