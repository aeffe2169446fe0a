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
# # 33 · Image to LoRA
#
# Chapter 10 trained a LoRA on a few pictures, in minutes. On this page a network takes one picture
# as its input and predicts the LoRA in a single pass. DiffSynth-Studio has released three such
# networks for Qwen-Image. We take their structure apart, count their weights, and train a small
# one: on the plane, where an ellipse is a style, and for posters whose style is a palette.
#
# | | |
# |---|---|
# | **You need** | chapters [04](04_pictures_to_latents_and_back.ipynb), [10](10_lora.ipynb) |
# | **You get** | hyper-networks, Gram matrices, joined ranks, a gradient that is handed on |
# | **Minutes** | 40 to read, 45 to write, half a minute to run |
# | **Picture** | an ellipse that was never trained, painted after one look at 64 of its points |
# | **Number** | 2,406,481,920 weights of the release named Style, by hand |

# %%
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import flow_on_a_plane, written_adapters

pipe = QwenImage.from_pretrained(show.pocket_folder())
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## A network that writes another one's weights
#
# Training a LoRA can be seen as a function from pictures to matrices A and B. It is slow to
# compute, because it takes hundreds of gradient steps, from scratch each time. A **hyper-network**
# $h_\phi$ is trained to replace it by a fast one. From a vector $x$ that describes the pictures, it
# returns the matrices for a frozen network $v$, and its loss is that of $v$ with these matrices:
#
# $$\min_\phi\;\mathbb E_{\text{style}}\;\mathbb E_{\text{pictures in it}}\;
# \big\|\,v\big(\,\cdot\,;\,W+B_\phi(x)A_\phi(x)\big)-(n-x_0)\big\|^2 .$$
#
# This is just the flow matching loss of chapter 12. No LoRA is used as a target: the hyper-network
# does not have to imitate training, only to lower the loss.
#
# ![From a picture over two bottlenecks to A and B of one layer](figures/image_to_lora.svg)
#
# Each of the two columns is a pair of linear maps with a bottleneck in between and **no
# non-linearity**, so A and B are linear in the vector and their product is quadratic. The
# bottleneck makes the network affordable: a direct map from 5,632 numbers to the A of one layer, 4
# times 3,072, would have 69 million weights, but through 64 numbers it has 1.1 million.
#
# ## Exercise: how many weights?
#
# ★★☆☆☆ · 10 minutes
#
# In each block twelve layers are adapted. Two streams, image and text, have six each: four of
# attention (`width` to `width`), the second of the MLP (4 `width` to `width`) and the modulation
# (`width` to 6 `width`). Write `count(width, blocks, in_dim, compress, rank)`, the number of
# weights of the whole hyper-network. No map has a bias. You will know it works when the checker
# says so and the official number comes out.


# %% tags=["exercise"]
def count(width, blocks, in_dim, compress, rank):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

count = answers.unless_solved(count, answers.EX_33_COUNT)
check.ex_33_count(count)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Each layer has two bottlenecks of two maps each. Which of the four depend on the layer's shape?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The first maps all have the same shape. The last map towards A gives rank rows, each as long as
# the layer's input; the one towards B gives rank columns, each as long as its output. Sum the
# inputs and outputs of one block, in units of width.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# first <- for each layer of a block, twice in_dim * compress
# last  <- compress * rank * (all inputs and outputs of a block)
# blocks * (first + last)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def count(width, blocks, in_dim, compress, rank):
#     sides = 2 * (4 * (1 + 1) + (4 + 1) + (1 + 6)) * width
#     return blocks * compress * (2 * 12 * in_dim + sides * rank)
# ```
#
# </details>

# %%
from qwenimage_ref.adapt.image_to_lora import COARSE, FINE, STYLE, ImageToLoRA

weights = {}
for name, config in (("Style", STYLE), ("Coarse", COARSE), ("Fine", FINE)):
    with torch.device("meta"):  # shapes alone, no memory
        network = ImageToLoRA(config)
    weights[name] = sum(each.numel() for each in network.parameters())
assert weights["Style"] == count(3072, 60, 5632, 64, 4) == 2_406_481_920
rows = [[name, f"{number:,}"] for name, number in weights.items()]
show.table(["release", "weights"], rows)

# %% [markdown]
# Coarse and Fine are larger, since their bottleneck has 128 numbers and their input also includes
# the states of the text encoder, which has processed the picture as well. This is the code that
# writes the matrices of one layer:

# %%
from qwenimage_ref.adapt import image_to_lora

show.source(image_to_lora.Bottleneck, image_to_lora.LayerWriter)

# %% [markdown]
# ## What a look returns
#
# The released networks encode the picture with two large image encoders, SigLIP2 and DINOv3, whose
# vectors have 1,536 and 4,096 numbers. We use an older idea that needs no further encoder. A style
# is the same all over a picture, so we discard *where* things are and keep *what occurs together*:
# for the channels $z_c$ of the latents, the mean products over all places,
#
# $$G_{cd}=\frac1{hw}\sum_{i}z_{c,i}\,z_{d,i}.$$
#
# This **Gram matrix** was the measure of style in the first neural style transfer. An additional
# channel of ones adds the means of the others, and with them the overall colour.
#
# ## Exercise: the Gram matrix
#
# ★★★☆☆ · 10 minutes
#
# Write `gram(latents)` for latents (C, h, w): a tensor (C + 1, C + 1), where the last channel is
# one everywhere. You will know it works when the checker says so.


# %% tags=["exercise"]
def gram(latents):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
gram = answers.unless_solved(gram, answers.EX_33_GRAM)
check.ex_33_gram(gram)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Make a row of each channel. What is the product of that matrix and its transpose?
#
# </details>
#
# <details><summary>A hint</summary>
#
# First add a row of ones below, then multiply, then divide by the number of places.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# rows <- a row of h * w numbers for each channel, and one of ones
# rows times their transpose, over the number of places
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def gram(latents):
#     channels = latents.flatten(1)
#     channels = torch.cat([channels, torch.ones(1, channels.shape[1])])
#     return channels @ channels.T / channels.shape[1]
# ```
#
# </details>
#
# ## A style on the plane
#
# The base is a field that paints a circle, and it is frozen. A style is an ellipse, given by two
# radii and a tilt. From 64 of its points we compute six numbers, the Gram matrix of x, y and one,
# and from these the hyper-network predicts A and B, of rank 2, for each of the field's four layers.
# It is trained on ellipses that are not very flat, and tested on flat ones, which it was never
# trained on.

# %%
torch.manual_seed(0)
field = written_adapters.teach_base(500, generator)
writer = written_adapters.teach_writer(field, 700, generator)

# %%
flat = [written_adapters.some_ellipse(generator, flat=True) for _ in range(4)]
off = {"base": [], "one look": [], "trained, 10 steps": [], "trained, 150 steps": []}
panels = []
for ellipse in flat:
    outline = written_adapters.points(ellipse, 400, generator)
    seen = written_adapters.points(ellipse, written_adapters.SEEN, generator)
    looks = {"base": None, "one look": writer(written_adapters.moments(seen).unsqueeze(0))}
    for steps in (10, 150):
        looks[f"trained, {steps} steps"] = written_adapters.trained_on(
            field, seen, steps, generator
        )
    for name, written in looks.items():
        painted = written_adapters.painted(field, written, 200)
        off[name].append(flow_on_a_plane.distance(painted, outline))
        if ellipse is flat[0]:
            panels.append((name, {"light": outline, "image": painted}))

# %%
alt = (
    "A flat ellipse in blue; painted points: a circle, then three times along the ellipse, nearest "
    "to it after one look"
)
flow_on_a_plane.clouds(panels, alt, columns=4)

# %%
mean = {name: sum(each) / len(each) for name, each in off.items()}
assert mean["one look"] < mean["base"] and mean["one look"] < mean["trained, 10 steps"]
print("one look ends nearer to the flat ellipses than the base, and than ten steps: ok")

# %% [markdown]
# The prediction costs only one forward pass, less than a single training step. Its quality is
# fixed, however, whereas a trained LoRA improves with more steps. The two are therefore combined,
# and a training run *begins* with the predicted LoRA.
#
# ## Several pictures: ranks are joined
#
# Three pictures of one style give three LoRAs, and we would like to use the mean of their updates.
# The means of the A and of the B do not give the mean of the products, however: $\bar B\bar A$
# contains $B_1A_2$, which belongs to no picture.
#
# ## Exercise: joined
#
# ★★★☆☆ · 10 minutes
#
# Write `joined(loras)`, which makes from a list of pairs A (r, in) and B (out, r), whose ranks may
# differ, one pair whose product B A is *exactly* the mean of the products. You will know it works
# when the checker says so.


# %% tags=["exercise"]
def joined(loras):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
joined = answers.unless_solved(joined, answers.EX_33_JOINED)
check.ex_33_joined(joined)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A product B A is a sum over the rank. A sum of products is a sum over all ranks.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Put the rows of all A below one another, and the columns of all B beside one another, in the same
# order. Divide one of the two by the number of pictures.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# A <- rows of all A, over the number of pictures
# B <- columns of all B
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def joined(loras):
#     A = torch.cat([A for A, _ in loras]) / len(loras)
#     return A, torch.cat([B for _, B in loras], dim=1)
# ```
#
# </details>
#
# On the plane, we take four samples of the same ellipse, of 64 points each:

# %%
ellipse = flat[1]
looks = [
    writer(written_adapters.moments(written_adapters.points(ellipse, 64, generator))[None])
    for _ in range(4)
]
together = []
for layers in zip(*looks):  # the same layer in every look
    A, B = joined([(A[0], B[0]) for A, B in layers])
    together.append((A[None], B[None]))
rank = together[0][0].shape[1]
mean = sum(B[0] @ A[0] for A, B in (look[1] for look in looks)) / 4
apart = (together[1][1][0] @ together[1][0][0] - mean).abs().max()
assert rank == 4 * written_adapters.RANK and apart < 1e-6
outline = written_adapters.points(ellipse, 400, generator)
near = flow_on_a_plane.distance(written_adapters.painted(field, together, 200), outline)
assert near < flow_on_a_plane.distance(written_adapters.painted(field, None, 200), outline)
print("rank", rank, "whose product is the mean of four products, within 1e-6")

# %% [markdown]
# ## Posters in styles
#
# For posters, a style is a *palette*: one paper and one colour of all shapes, whatever the caption
# says. The names, the places and the word remain those of the caption. Six papers and eight colours
# make 48 styles, of which 12 are held out, such that each paper and each colour occurs in training.
# The reader of chapter 00 reads a style back exactly.

# %%
from qwenimage_ref.posters.styles import UNSEEN_STYLES, Style, judge, styled_poster

styles = [Style("sky", "red"), Style("beige", "green"), Style("navy", "yellow"), UNSEEN_STYLES[-1]]
drawn = [styled_poster(style, seed) for seed, style in zip((0, 16, 7, 12), styles)]
styled = [Image.fromarray(picture) for _, picture, _ in drawn]
assert [style.unseen for style in styles] == [False, False, False, True]
show.grid(
    styled,
    [f"{style.colour} on {style.paper}" + ", held out" * style.unseen for style in styles],
    alt="Four posters: red shapes on sky blue, green on beige, yellow on navy, pink on mint",
)

# %%
right = [judge(style, scene, picture) for style, (scene, picture, _) in zip(styles, drawn)]
assert all(all(each.values()) for each in right)
print("paper, colour and the rest of the scene are read back from four posters: ok")
for style, (_, _, caption) in zip(styles, drawn):
    print(f"{style.colour} on {style.paper}; its caption: {caption}")

# %% [markdown]
# A style must be something that the VAE can represent, because the transformer is trained on its
# latents and paints through its decoder. The pocket VAE has seen six papers only, and a tint of ten
# grey levels is lost in it:

# %%
import numpy as np

from qwenimage_ref.evaluate.psnr_ssim import reconstruct

plain = torch.from_numpy(np.stack([each[1] for each in drawn])).permute(0, 3, 1, 2) / 255
tint = torch.tensor([10.0, -10.0, 0.0]).view(3, 1, 1) / 255
with torch.no_grad():
    kept, lost = (reconstruct(pipe.vae, each) for each in (plain, plain + tint))
copies = [Image.fromarray(each) for each in (kept * 255).byte().permute(0, 2, 3, 1).numpy()]
again = [judge(style, each[0], copy) for style, each, copy in zip(styles, drawn, copies)]
edge = (lost - plain)[:, :, :3].flatten(2).median(dim=2).values  # upper rows, nothing but paper
assert all(each["style"] for each in again) and 255 * edge.abs().max() < 2
print("palettes pass through the VAE; of a tint of 10 grey levels, less than 2 are left: ok")

# %% [markdown]
# The pocket hyper-network has the official structure with a bottleneck of 16 and rank 2. Its input
# vector consists of Gram matrices of the VAE's latents, for each place with itself and with its
# neighbours, so that what is painted next to what counts, too. In training, the network predicts a
# LoRA from one poster of a style, and the flow matching loss is computed on *other* posters of that
# style, whose captions are those of the plain posters.

# %%
from qwenimage_ref.pocket import stylist

show.source(stylist.vector_of, stylist.through)

# %%
from qwenimage_ref.pictures import to_input

latents = pipe.vae.normalize(pipe.vae.encode(to_input([drawn[0][1]]))[0])[0]
upper = torch.triu_indices(17, 17)
vector = stylist.vector_of(latents)
assert torch.allclose(vector[:153], gram(latents)[upper[0], upper[1]], atol=1e-5)
print("its first 153 numbers are your Gram matrix:", tuple(vector.shape))

# %% [markdown]
# ## Exercise: a gradient that is handed on
#
# ★★★★☆ · 20 minutes
#
# When an adapter is attached to the transformer, A and B are parameters, and training should use
# the same code as adapters from files. The loss then gives gradients at A and B, the *slopes*, and
# there the graph ends. The outputs of the hyper-network have the same values as A and B and are
# still connected to its weights. Write `handed(written, slopes)`, which returns for a list of such
# outputs and a list of slopes of the same shapes a number that is **zero** and whose gradient with
# respect to each output is its slope. A slope may be *None*, because nothing uses the last block's
# text output. You will know it works when the checker says so.


# %% tags=["exercise"]
def handed(written, slopes):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
handed = answers.unless_solved(handed, answers.EX_33_HANDED)
check.ex_33_handed(handed)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Which function of a tensor has a given constant as its gradient? And how is its value made zero?
#
# </details>
#
# <details><summary>A hint</summary>
#
# A sum of products with the slope has the right gradient. If you first subtract the same tensor,
# detached, the value becomes zero.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# total <- 0
# for each output and its slope, where there is one:
#     total <- total + sum of (output - output cut off) * slope
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def handed(written, slopes):
#     total = torch.zeros(())
#     for tensor, slope in zip(written, slopes):
#         if slope is not None:
#             total = total + ((tensor - tensor.detach()) * slope).sum()
#     return total
# ```
#
# </details>
#
# The trainer adds this to the loss. Here are two of its steps:

# %%
import dataclasses
import json
import tempfile
from pathlib import Path

from qwenimage_ref.train.loop import Recipe

few = Recipe(steps=2, batch=2, lr=2e-3, warmup=1, ema=0.0)
lesson = dataclasses.replace(stylist.LESSON, recipe=few)
folder = Path(tempfile.mkdtemp())
network = stylist.train(pipe, folder, lesson, quiet=True)
line = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
adapter = stylist.attach(pipe, network, styled[:2])
ranks = {pair.rank for pair in adapter.named_pairs().values()}
moved = max(pair.lora_B.abs().max() for pair in adapter.named_pairs().values())
adapter.remove()
assert line["step"] == 2 and line["grad_norm"] > 0 and moved > 0 and ranks == {4}
print("two steps: a gradient has reached the writer, and two pictures give a LoRA of rank 4")

# %% [markdown]
# These commands do a full run, and compare it, on styles that were not used in training, with a
# LoRA of the same rank that is trained on the one picture step by step:
#
# ```
# python -m qwenimage_ref.pocket.stylist --runs runs/stylist
# python -m qwenimage_ref.evaluate.styling runs/stylist/stylist.safetensors
# ```
#
# Both can be stopped and resumed. This is the record of such a run. Each of twelve held-out styles
# was shown by one poster, and four others were painted. *Paper* and *colour* mean that the paper
# and the colours of all shapes are the style's, *rest of the scene* that the names, the places and
# the word are as asked.

# %%
from qwenimage_ref.evaluate.tables import within

record = json.loads(show.data_file("measurements/styling.json").read_text())
parts = ("paper", "colour", "scene")
rows = [
    [way, *(within(row[part]) for part in parts), f"{row['seconds']['mean']:.1f}"]
    for way, row in record["rows"].items()
]
show.table(["LoRA of rank 2", "paper, %", "colour, %", "rest of the scene, %", "seconds"], rows)

# %%
written, longest = (record["rows"][way] for way in ("written in one pass", "trained, 128 steps"))
assert written["paper"]["low"] > longest["paper"]["high"]
assert written["seconds"]["high"] < 0.1 < longest["seconds"]["low"]
assert written["colour"]["low"] < longest["colour"]["share"] < written["colour"]["high"]
print("one pass gives the paper more surely than 128 steps on the one poster; the colours, which")
print("are asked for by other names in every caption, neither of them gives reliably: ok")

# %% [markdown]
# %% [markdown]
# ## An open question
#
# 30 minutes, for a discussion or a page of text. A picture shows a red bicycle in watercolour.
# Asked for a house, the written LoRA paints a house with red wheels. Which of the parts above could
# have kept the bicycle out, and how would you find out which one did not?
#
# <details><summary>Rubric: eight points</summary>
#
# * **Where contents can get in** (2): the vector (a large encoder describes bicycles, a Gram matrix
#   hardly does), the training pairs (if the input picture is also the target, copying its contents
#   is rewarded), the rank.
# * **A test for each that could fail** (3): other pictures of the style as targets; the same
#   network with another vector; rank 1 against 4. Only one thing is changed at a time.
# * **A number** (2): shares of houses with and without wheels over many pictures and prompts, with
#   intervals, beside a LoRA trained on the same picture.
# * **A remedy and its cost** (1): joining several pictures keeps what they have in common, at the
#   cost of a higher rank.
#
# </details>
#
# ## Estimate first
#
# **1.** How many weights would Style have without bottlenecks, with each A and B computed by one
# map?
#
# <details><summary>Answer</summary>
#
# 166 billion: in_dim replaces compress, and there are no first maps.
#
# </details>
#
# **2.** A network of rank 4 predicts a LoRA from four pictures, and it is saved in bf16. How large
# is the file for the 20-billion transformer?
#
# <details><summary>Answer</summary>
#
# 236 MB: rank 16, and 7.37 million numbers for each rank.
#
# </details>
#
# **3.** The hyper-network is new, and B is zero everywhere. Which of the four maps of a layer get a
# gradient in the first step?
#
# <details><summary>Answer</summary>
#
# Only the last one towards B. A has an effect only through B, and the first map only through the
# last one.
#
# </details>

# %%
direct = 60 * 40 * 3072 * 4 * 5632
assert round(direct / 1e9) == 166
numbers = 16 * 60 * 40 * 3072
assert round(2 * numbers / 1e6) == 236 and round(numbers / 16 / 1e6, 2) == 7.37
print("166 billion weights, 236 MB: ok")

# %% [markdown]
# ## What production code does differently
#
# * The image encoders have billions of weights, and several pictures are encoded in one batch.
# * Coarse and Fine are used together, and a fixed LoRA named *Bias* is merged with theirs.
# * Training runs begin with the predicted LoRA and continue for a few hundred steps.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * Hyper-networks: [Ha et al. 2016](https://arxiv.org/abs/1609.09106), section 3.
# * From one picture of a person to a LoRA that a training run starts from: [HyperDreamBooth, Ruiz
#   et al. 2023](https://arxiv.org/abs/2307.06949), sections 4.2 and 4.3.
# * Gram matrices as style: [Gatys et al. 2015](https://arxiv.org/abs/1508.06576), the section on
#   methods.
# * The three releases for Qwen-Image, their structure and their fingerprints:
#   [DiffSynth-Studio](https://github.com/modelscope/DiffSynth-Studio), named Qwen-Image-i2L there.
# * We know of no released network of this kind for SD3 or FLUX.1. Image adapters, which add tokens
#   to attention, serve the same purpose there: [IP-Adapter, Ye et al.
#   2023](https://arxiv.org/abs/2308.06721), section 3.2.
#
# </details>
#
# ## Try this
#
# * Add a non-linearity to the bottleneck of the plane's hyper-network. Does it need fewer steps?
# * Use 8 points instead of 64. When does joining several LoRAs help?
# * Start `trained_on` from the predicted matrices. How many steps are saved?
# * Give the hyper-network ellipses that are shifted. Which of the six numbers show it?
#
# **Capstone.** `make grade` has no points for this page, because a predicted LoRA is used like any
# other.
#
# Next: [look inside](34_look_inside.ipynb).
