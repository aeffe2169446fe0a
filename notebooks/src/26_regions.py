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
# # 26 · Regions
#
# "A red circle, a blue star and a green square" names three shapes and three colours, but it does
# not say where anything is. On this page each shape gets a box and a prompt of its own. This needs
# no new layer in the network: attention gets a mask that specifies which tokens may attend to
# which, and a LoRA is trained under that mask. The method is **EliGen**, entity-level image
# generation.
#
# | | |
# |---|---|
# | **You need** | chapters [05](05_msrope.ipynb) and [06](06_one_mmdit_block.ipynb) |
# | **You get** | the mask, built from a table; text positions that restart; boxes that you draw |
# | **Minutes** | 35 to read, 40 to write, one and a half to run |
# | **Picture** | the mask over all tokens, each region in its colour |
# | **Number** | regions in another order give the same velocity, within 1e-4 |

# %%
import numpy as np
import torch
from PIL import Image, ImageDraw

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.regions import attention_mask, text_positions
from qwenimage_ref.course import charts, show
from qwenimage_ref.course.figures import regions as figures
from qwenimage_ref.evaluate import binding
from qwenimage_ref.posters.crowded import judge, moved
from qwenimage_ref.posters.draw import paint
from qwenimage_ref.tasks import regions as task

pipe = QwenImage.from_pretrained(show.pocket_folder())
posters = binding.posters(12)
crowd = posters[4]
print(crowd.prompt)
print(*(f"{text}: pixels {box}" for (text, _), box in zip(crowd.regions, crowd.boxes)), sep="\n")

# %%
options = {"negative_prompt": " ", "num_inference_steps": 20}
alone = [pipe(crowd.prompt, seed=seed, **options)[0] for seed in (0, 1)]
drawn = Image.fromarray(paint(crowd.placed))
pictures = [drawn, figures.boxed(crowd.boxes, drawn), *alone]
names = ["a poster", "its boxes", "prompt alone, seed 0", "prompt alone, seed 1"]
alt = "A poster of three shapes, the same with a box around each, and two posters painted from the "
alt += "prompt alone: a single large ring each, yellow with patches of other colours"
show.grid(pictures, names, alt)

# %%
answer = judge(crowd, drawn)
assert answer == {"bound": 3, "right": 3, "count": True, "of": 3}
print("in the poster as it was drawn, the exact reader finds all three in their boxes: ok")

# %% [markdown]
# The reader counts three things: how many shapes appear anywhere in their own colour (`right`), how
# many do so in their own box (`bound`), and whether there are as many shapes as the prompt asks
# for.
#
# The pocket model was trained on captions of one shape, of two, or of several equal ones, but never
# of three different shapes, and never with the word "and". In the two pictures on the right, shapes
# are missing, and the ring has patches of other colours, in one picture the purple that the prompt
# gives to another ring. This second kind of error is known as a failure of **attribute binding**,
# and it occurs in large models as well if a caption names many things ([Chefer et
# al.](https://arxiv.org/abs/2301.13826), section 1).
#
# ## One text for each region
#
# The prompt of each region is encoded *separately*, with the usual template. The text stream of the
# transformer becomes
#
# $$[\text{region }1 \mid \text{region }2 \mid \dots \mid \text{the whole prompt}],$$
#
# and the image tokens follow as usual.
#
# ![Block diagram: three prompts are encoded separately and concatenated, and the target's tokens
# are appended; the transformer's attention runs under a mask](figures/regions.svg)
#
# The first question is which image tokens are inside a region. The mask of a region is a picture
# that is white inside. It is reduced to one pixel for each latent (the nearest one, without
# averaging), and a token, which covers two by two latents, counts as inside **if any of the four
# does**.
#
# ## Exercise: tokens of a region
#
# ★★☆☆☆ · 10 minutes
#
# Write `inside(mask)`, which takes (h, w) truth values of latents and returns (I,) truth values of
# tokens, row by row. You will know it works when the checker says so.


# %% tags=["exercise"]
def inside(mask):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

inside = answers.unless_solved(inside, answers.EX_26_INSIDE)
check.ex_26_inside(inside)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A token has four latents. How can you give these four an axis, or two, of their own?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Split each side into pairs: (rows, 2, cols, 2). Two of the four axes then run within a token.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# split both axes into pairs; along both inner axes, true if any entry is true; flatten
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def inside(mask):
#     rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
#     return mask.reshape(rows, 2, cols, 2).any(3).any(1).flatten()
# ```
#
# </details>

# %%
grid = (1, 8, 8)
seen = []
for _, mask in crowd.regions:
    latents = np.asarray(mask.resize((16, 16), Image.Resampling.NEAREST)) >= 128
    seen.append(inside(torch.from_numpy(latents)))
    assert torch.equal(seen[-1], task.seen_tokens(mask, [grid]))
seen = torch.stack(seen)
print("tokens of each box, as the package counts them:", seen.sum(1).tolist(), "of", seen.shape[1])

# %% [markdown]
# ## Which tokens attend to which
#
# | token (row) | own text | other regions' texts | whole prompt | image inside | image outside |
# |---|---|---|---|---|---|
# | text of region $i$ | yes | no | no | yes | no |
# | whole prompt | yes | no | yes | yes | yes |
# | image token | texts of the regions that it is in | no others | yes | yes | yes |
#
# The table is symmetric. All image tokens attend to each other, whatever their regions, since
# otherwise the parts could not fit together. Two texts never attend to each other, so anything that
# passes between a region and the whole prompt passes through the image.
#
# ## Exercise: the mask
#
# ★★★★☆ · 25 minutes
#
# Write `region_mask(lengths, seen)`. `lengths` are the numbers of tokens of the texts, with the
# whole prompt's last; `seen` is (R, I), true for the image tokens inside each of the R regions.
# Return (S, S) truth values, true where a token (row) may attend to another (column). A token may
# be in several regions, and a region may have no token at all. You will know it works when the
# checker says so.


# %% tags=["exercise"]
def region_mask(lengths, seen):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
region_mask = answers.unless_solved(region_mask, answers.EX_26_MASK)
check.ex_26_mask(region_mask)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Which part of the mask is true everywhere? And what distinguishes the whole prompt from a region?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The whole prompt is like a region that contains every image token. You can therefore add a row of
# ones to `seen` and treat all texts alike: each fills a square on the diagonal, a part of some
# rows, and the same part of some columns.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# seen <- seen with one more row, which is true everywhere
# mask <- true among image tokens, false elsewhere
# for each text, with its row of seen:
#     its rows, at its own columns <- true
#     its rows, at the image's columns <- its row of seen; the transpose likewise
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def region_mask(lengths, seen):
#     seen = torch.cat([seen, torch.ones_like(seen[:1])])
#     T = sum(lengths)
#     mask = torch.ones(T + seen.shape[1], T + seen.shape[1], dtype=torch.bool)
#     mask[:T, :T] = False
#     begin = 0
#     for length, own in zip(lengths, seen):
#         text = slice(begin, begin + length)
#         mask[text, text] = True
#         mask[text, T:] = own
#         mask[T:, text] = own.unsqueeze(1)
#         begin += length
#     return mask
# ```
#
# </details>

# %%
everywhere = torch.ones_like(seen[:1])
encoded = pipe.encode_prompts([[text] for text, _ in crowd.regions] + [[crowd.prompt]])
lengths = [branch.txt.shape[1] for branch in encoded]
mask = region_mask(lengths, seen)
assert torch.equal(mask, attention_mask(lengths, torch.cat([seen, everywhere]))[0, 0])
print("texts of", lengths, "tokens: your mask equals the package's, which needs no loop")

# %%
show.source(attention_mask)

# %% [markdown]
# The figure shows the mask of our poster. Each row is a token that attends, each column a token
# that is attended to, and white is forbidden. The squares on the diagonal are the texts. The
# stripes beside and below them are the tokens of each region: a box that is three tokens high gives
# three stripes, because image tokens are numbered row by row.

# %%
alt = "A square map over the tokens of three short texts, a long one and the image: each text has "
alt += "a square on the diagonal and stripes in the image's rows and columns, one colour a region; "
alt += "those of the whole prompt are unbroken; image by image is filled; all else is white"
figures.mask_figure(crowd, lengths, seen, alt)

# %%
T, shown = sum(lengths), figures.coloured(lengths, seen)
assert torch.equal(torch.from_numpy((shown < 1).any(2)), mask) and torch.equal(mask, mask.T)
first = mask[: lengths[0], T:].view(-1, 8, 8)
assert all(torch.equal(row, seen[0].view(8, 8)) for row in first)
print("coloured where the mask is true, and symmetric; a text's row, reshaped, is its box: ok")

# %% [markdown]
# ## Positions of the texts
#
# The positions of a text in MSRoPE begin just off the corner of the picture and continue along the
# diagonal ([chapter 05](05_msrope.ipynb)). If several texts were numbered as one, the third would
# begin far away from the image, and a region would look different merely because it was named last.
# In EliGen, the positions **restart** with each text at
# $\max(\lfloor h/2 \rfloor, \lfloor w/2 \rfloor)$, where $h$ and $w$ are the rows and columns of
# tokens. That is where each text would begin if it were alone. Tokens of different texts then share
# positions, which does no harm because they do not attend to each other.
#
# ## Exercise: positions of the texts
#
# ★★☆☆☆ · 10 minutes
#
# Write `places(lengths, rows, cols)`, which returns (T, 3), the frame, row and column of every text
# token, for texts of `lengths` tokens and a picture of `rows` by `cols` tokens.


# %% tags=["exercise"]
def places(lengths, rows, cols):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
places = answers.unless_solved(places, answers.EX_26_PLACES)
check.ex_26_places(places)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# What is the position of a text of one token, with a picture of 5 rows and 8 columns?
#
# </details>
#
# <details><summary>A hint</summary>
#
# A text alone takes consecutive integers from the start, the same on all three axes. Concatenate
# these runs.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# start = half of the longer side, rounded down; for each text start, start + 1, ...; the same on
# all three axes
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def places(lengths, rows, cols):
#     start = max(rows // 2, cols // 2)
#     runs = [torch.arange(start, start + length) for length in lengths]
#     return torch.cat(runs).unsqueeze(1).repeat(1, 3)
# ```
#
# </details>

# %%
assert torch.equal(places(lengths, 8, 8), text_positions([grid], lengths))
rng = torch.Generator().manual_seed(0)
x, sigma = torch.randn(1, 64, 64, generator=rng), torch.tensor([0.7])


def velocity(texts, seen, positions):
    """The pocket model's velocity under regions; texts (1, T, Dt) each, the whole prompt's last"""
    mask = region_mask([txt.shape[1] for txt in texts], seen)[None, None]
    with torch.no_grad():
        return pipe.transformer(
            x, torch.cat(texts, dim=1), sigma, [grid], mask=mask, txt_positions=positions
        )


texts = [branch.txt for branch in encoded]
start = velocity(texts, seen, places(lengths, 8, 8))

# %% [markdown]
# As a result, the order in which the regions are named makes no difference. If all texts were
# numbered in one run, it would:

# %%
order = [2, 0, 1]
turned = [*(texts[i] for i in order), texts[-1]]
again = [lengths[i] for i in order] + lengths[-1:]
restarted = velocity(turned, seen[order], places(again, 8, 8))
assert torch.allclose(restarted, start, atol=1e-4)
one_run = [velocity(t, s, places([T], 8, 8)) for t, s in ((texts, seen), (turned, seen[order]))]
assert (one_run[0] - one_run[1]).abs().max() > 1e-3
print("with regions in another order, the velocity is the same within 1e-4;")
print("with a single run of positions for all texts, it is not: ok")

# %% [markdown]
# ## Empty, full, overlapping
#
# * An **empty** mask: the region's text attends only to itself, and no image token attends to it,
#   so the velocity is the same as without the region. (Nothing becomes NaN, because a text always
#   attends to itself.)
# * A **full** mask: the region acts as a second prompt for the whole picture.
# * **Overlapping** masks: tokens inside both attend to both texts, and no rule decides between
#   them.
# * **Soft edges** are an error. Whether a grey pixel is inside would depend on an arbitrary
#   threshold, so the package rejects such a mask.

# %%
without = velocity(texts[1:], seen[1:], places(lengths[1:], 8, 8))
for name, own in {"empty": torch.zeros(64), "full": torch.ones(64), "overlapping": seen[1]}.items():
    changed = torch.cat([own.bool()[None], seen[1:]])
    result = velocity(texts, changed, places(lengths, 8, 8))
    assert result.isfinite().all()
    assert torch.allclose(result, without, atol=1e-4) == (name == "empty")
print("an empty region has no effect, full and overlapping ones do, and nothing is NaN: ok")

# %%
blurred = Image.new("L", (128, 128))
ImageDraw.Draw(blurred).ellipse((20, 20, 80, 80), fill=128)
try:
    pipe("a red circle", " ", regions=[("a red circle", blurred)])
except ValueError as error:
    print(str(error)[:50], "...")
    assert "must be black and white" in str(error)

# %% [markdown]
# ## The negative branch
#
# Guidance needs a second branch. By default, this branch has only the negative prompt and no
# regions. With `regions_on_negative` (*eligen_enable_on_negative* in DiffSynth) it gets the same
# mask, with its own prompt in place of *every* text. The two branches then differ only in their
# words and not in which tokens attend to which.

# %%
branches = pipe.encode_prompts([[crowd.prompt], [" "]])
shape, empty = (1, 128, 128), branches[1].txt.shape[1]
for on_negative in (False, True):
    cond, uncond = task.in_regions(pipe, branches, shape, crowd.regions, on_negative)
    assert torch.equal(cond.mask[0, 0], mask) and cond.txt.shape[1] == T
    assert (uncond.mask is not None) == on_negative
    assert uncond.txt.shape[1] == (4 * empty if on_negative else empty)
print("the negative branch has its prompt once, or once per region and once more: ok")

# %% [markdown]
# ## The LoRA
#
# The mask alone already has an effect, since an image token attends to no texts except the whole
# prompt and those of its own regions. But the network was never trained with tokens that attend to
# different texts. EliGen's LoRA was, with the mask in place and the network frozen. The official
# LoRAs have rank 32. **EliGen-V2** comes from a second, better training run, and **EliGen-Poster**
# was trained further from V2, for posters. All three are used in the same way, because the mask is
# computed and not stored in the file.
#
# Our LoRA has rank 16 and was trained on posters of two to four shapes by
# `python -m qwenimage_ref.pocket.regional`. The figure shows four scenes, painted from the prompt
# alone, with the mask, and, if the LoRA is in `data/variants`, with both.

# %%
chosen = [poster for poster in posters if len(poster.placed.shapes) > 2][:4]
asked = {"prompt alone": chosen, "mask, no LoRA": chosen}
if binding.STORED.exists():
    asked |= {"mask and LoRA": chosen, "boxes moved": [*map(moved, chosen, range(4))]}
painted = {}
for name, each in asked.items():
    if name == "mask and LoRA":
        lora.load(pipe.transformer, binding.STORED)
    given = [{} if name == "prompt alone" else {"regions": poster.regions} for poster in each]
    painted[name] = [
        pipe(poster.prompt, seed=seed, **options, **regions)[0]
        for seed, (poster, regions) in enumerate(zip(each, given))
    ]

# %%
columns, names = [], []
for name, each in asked.items():
    for poster, picture in zip(each, painted[name]):
        columns.append(figures.boxed(poster.boxes, picture))
        names.append(name)
alt = "Four scenes of three or four shapes and their boxes, row by row: from the prompt alone; "
alt += "with a prompt for each box, but no LoRA; with the LoRA; and with it and the boxes moved"
show.grid(columns, names, alt, columns=4, scale=1)

# %%
bound = {
    name: sum(judge(*pair)["bound"] for pair in zip(each, painted[name]))
    for name, each in asked.items()
}
whole = sum(len(poster.placed.shapes) for poster in chosen)
assert whole == 14 and max(bound.values()) <= whole
for name in [name for name in bound if name != "prompt alone"]:
    more = bound[name] > bound["prompt alone"]
    print(f"{name}: more shapes in their boxes than from the prompt alone: {more}")

# %% [markdown]
# The prompt alone does not say where anything is, so no place is wrong, but are the *colours*
# right? With the mask alone, do colours change at the edges of the boxes? And when the boxes are
# moved while the noise remains the same, do the shapes follow?
#
# Four scenes prove little. The command `python -m qwenimage_ref.evaluate.binding` paints held-out
# posters of two, three and four shapes and records what the reader finds. Two additional rows keep
# the comparison fair. The base model was never trained on such posters or such captions, so a
# second LoRA was trained on the same posters for the same number of steps, but *without* regions;
# whatever it gains is not due to the boxes. In the other row, two shapes are painted from a caption
# in the wording of the base model's training, which includes whether one of them is on the left or
# above. We begin with colours: of all shapes, the share that appears anywhere in its own colour.

# %%
measured = binding.recorded()
assert list(measured) == ["caption alone", *list(measured)[1:]] and len(measured) == 5
ways = {row["shapes"]: {} for row in measured[binding.ALONE]}
for name, rows in measured.items():
    for row in rows:
        ways[row["shapes"]][name] = row
alt = "Shares of shapes that appear in their own colour, for two, three and four shapes, from the "
alt += "caption alone, with a LoRA and no regions, with regions, and with regions moved"
bars = {f"{n} shapes, {name}": row["right"] for n in ways for name, row in ways[n].items()}
charts.bars(bars, alt)


# %%
def above(part, name, other):
    """The numbers of shapes for which one is clearly above the other: intervals do not touch"""
    both = [(n, row[name][part], row[other][part]) for n, row in ways.items() if name in row]
    shapes = [str(n) for n, a, b in both if a["low"] > b["high"]]
    return f"{', '.join(shapes)} shapes" if shapes else "no number of shapes"


for n, row in ways.items():
    alone = row[binding.ALONE]["right"]
    print(f"caption alone, {n} shapes: {alone['of'] - alone['right']} of {alone['of']}", end=" ")
    print("are wrong or missing")
for name in [name for name in measured if name != binding.ALONE]:
    print(f"{name}: clearly more shapes right than from the caption alone, for", end=" ")
    print(above("right", name, binding.ALONE))
print("regions: clearly more shapes right than with the LoRA without regions, for", end=" ")
print(above("right", binding.REGIONS, binding.WHOLE))

# %% [markdown]
# The second measure is about places: the share of shapes in their own colour *and* in their own
# box, which a caption alone can achieve only by accident.

# %%
bars = {f"{n} shapes, {name}": row["bound"] for n in ways for name, row in ways[n].items()}
charts.bars(bars, "Shares of shapes in their own colour and box, for two, three and four shapes")

# %%
assert all(row["bound"]["share"] <= row["right"]["share"] for row in measured[binding.ALONE])
for name in (binding.ALONE, binding.WHOLE):
    print(f"regions: clearly more shapes in their boxes than with {name}, for", end=" ")
    print(above("bound", binding.REGIONS, name))
print("clearly fewer after the boxes have been moved, for", end=" ")
print(above("bound", binding.REGIONS, binding.MOVED))

# %% [markdown]
# ## Draw the boxes
#
# For each prompt, two sliders with two handles each draw a box. Let the boxes overlap, or make one
# of them very flat. What happens to a shape that does not fit into its box?

# %%
prompt, words = (
    "a red circle and a blue star on a white background",
    ["a red circle", "a blue star"],
)
boxes = [(0, 32, 64, 96), (64, 32, 128, 96)]
panel = figures.BoxPanel(pipe, prompt, words, boxes)
panel

# %%
at_first = panel.picture.value
panel.sides[1].value = (64, 64)
assert panel.words.value.startswith("a box is empty")
panel.sides[1].value = (64, 128)
assert panel.picture.value != at_first
panel.sides[1].value = (32, 96)
assert panel.picture.value == at_first
print("moving a box changes the picture, and moving it back restores the first one: ok")

# %% [markdown]
# ## Where this comes from
#
# * EliGen: [Zhang et al. 2025](https://arxiv.org/abs/2501.01097), section 3.1 for the attention and
#   3.2 for the data; it was first made for FLUX. The three LoRAs for Qwen-Image come with
#   [DiffSynth-Studio](https://github.com/modelscope/DiffSynth-Studio), whose *process_entity_masks*
#   implements our table.
# * The same mask without any training, also for FLUX: [Chen et al.
#   2024](https://arxiv.org/abs/2411.02395), section 3. Attention that is increased in painted
#   regions: eDiff-I, [Balaji et al. 2022](https://arxiv.org/abs/2211.01324), section 4.3. New
#   layers for boxes: GLIGEN, [Li et al. 2023](https://arxiv.org/abs/2301.07093), section 4.
# * Colours on the wrong object, and a remedy during sampling: Attend-and-Excite, [Chefer et al.
#   2023](https://arxiv.org/abs/2301.13826), section 4.
# * **SD3 and FLUX** also have a single attention over text and image, so the table applies to them.
#   FLUX gives all text tokens position 0, so there is nothing to restart. In Stable Diffusion 1 and
#   XL, regions act on *cross*-attention, in which the text never attends to the image.
#
# ## Estimate first
#
# **1.** A sequence has 4,096 image tokens and 400 text tokens. How large is its mask in bf16,
# stored as numbers that are added to the logits?
#
# <details><summary>Answer</summary>
#
# 40 MB, for 4,496² entries of two bytes. The mask is the same for all blocks and steps, so it is
# built only once.
#
# </details>
#
# **2.** Two regions do not overlap and cover a quarter of the picture each, and the texts have 30,
# 30 and 40 tokens. What share of this mask of 4,196² entries is forbidden?
#
# <details><summary>Answer</summary>
#
# 2.1 %. Nearly all pairs consist of two image tokens, and such pairs are never forbidden.
#
# </details>
#
# **3.** How much longer does the sequence become with 16 regions of 30 tokens each?
#
# <details><summary>Answer</summary>
#
# By 480 tokens, about 12 % of 4,096. The mask costs more than that, because fast attention kernels
# accept none.
#
# </details>

# %%
assert round(4496**2 * 2 / 1e6) == 40
quarters = torch.zeros(2, 4096, dtype=torch.bool)
quarters[0, :1024] = quarters[1, 1024:2048] = True
forbidden = 1 - region_mask([30, 30, 40], quarters).float().mean().item()
assert round(100 * forbidden, 1) == 2.1 and round(100 * 480 / 4096) == 12
print("40 MB, 2.1 %, 12 %: ok")

# %% [markdown]
# ## What production code does differently
#
# * Boxes are drawn by hand, or proposed by a language model that reads the prompt.
# * FlashAttention accepts no mask of this kind. PyTorch falls back to a slower kernel, while
#   FlexAttention compiles one from a rule.
# * User interfaces let regions grow by a few pixels, so that outlines are not cut off at the edge
#   of a box.
# * EliGen also works with edit models, in which case the mask applies to the tokens of the
#   condition picture as well.
#
# ## Try this
#
# * Give two regions the same prompt. Do two shapes appear?
# * Leave a shape out of the whole prompt, but keep its region. Is the shape painted?
# * Turn on `regions_on_negative` for the four scenes. Do any of the counts change?
# * Remove the LoRA. How much does the mask achieve alone?
# * Add a region for a word, with a prompt of its own.
#
# **Capstone.** `make grade` has no points for this page. If your transformer passes
# `make grade PART=mmdit`, it accepts a mask and text positions, and EliGen needs nothing else but
# its LoRA.
#
# Next: [layers](27_layers.ipynb), where a poster is split into transparent pictures.
