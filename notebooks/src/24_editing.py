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
# # 24 · Editing: two paths into a picture
#
# "Turn the purple ring orange." An edit model receives this instruction together with a picture,
# starts from pure noise, and ends with the same picture in which only the ring has changed,
# although no mask shows where the ring is. On this page you assemble the input of such a model
# token by token, and then remove parts of it to see what each of them contributes.
#
# | | |
# |---|---|
# | **You need** | chapters [05](05_msrope.ipynb) and [06](06_one_mmdit_block.ipynb) |
# | **You get** | the paths, sizes, frames and times of Edit, Edit-2509 and Edit-2511, by hand |
# | **Minutes** | 45 to read, 50 to write, one and a half to run |
# | **Picture** | three posters edited with each path cut off in turn |
# | **Number** | how many pixels a picture is shifted if its size differs from the target's |

# %%
import dataclasses
import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from qwenimage_ref.conditions import FORM_OF_CLASS
from qwenimage_ref.course import charts, show
from qwenimage_ref.course.figures import edit_surveys
from qwenimage_ref.course.figures import editing as figures
from qwenimage_ref.evaluate import edit_chains, edit_paths, editing
from qwenimage_ref.pocket.variants import open_variant
from qwenimage_ref.posters.edit_chains import chain
from qwenimage_ref.posters.edit_judge import judge
from qwenimage_ref.posters.read import read

editor = open_variant("edit")
wanted = editing.instructions(8)
posters = [Image.fromarray(each.pictures[0]) for each in wanted]
for each in wanted:
    print(f"{each.kind:11}", each.prompt)

# %% [markdown]
# These eight instructions, one for each kind of edit, were held out from training, and none was
# selected by its result. A third of all instructions is in Chinese, and a third is worded loosely.
# An exact judge compares the result with the intended poster and answers two questions: was the
# instruction **obeyed**, and was everything else left **untouched**?

# %%
edited = [
    editing.paint(editor, each.prompt, each.pictures, each.target.size, seed)
    for seed, each in enumerate(wanted)
]
captions = [each.kind for each in wanted] + [""] * 8
alt = "Eight posters, and below each the edited one: most edits are right, some words are garbled"
show.grid([*posters, *edited], captions, alt, columns=8, scale=1)

# %%
goals = [Image.fromarray(each.wanted) for each in wanted]
away = np.array([[show.difference(picture, goal) for goal in goals] for picture in edited])
assert (away.argmin(1) == range(8)).sum() >= 4, "by chance, one of the eight would be nearest"
judged = [judge(each, picture) for each, picture in zip(wanted, edited)]
for name in judged[0]:
    print(f"{name} in at least half, by the exact judge:", sum(each[name] for each in judged) >= 4)

# %% [markdown]
# ## Two paths
#
# ![Block diagram: a picture is resized twice; the small copy goes through the vision tower and the
# text encoder, the large one goes through the VAE and is appended to the target; both enter the
# transformer](figures/edit_paths.svg)
#
# The **vision tower** divides a copy of the picture into patches of 14 pixels and computes one
# vector for every 2 × 2 of them. These image tokens are part *of the prompt*: the language model
# processes them together with the words, which makes it possible to locate "the purple ring". The
# **VAE** encodes another copy, as in [chapter 04](04_pictures_to_latents_and_back.ipynb). Its clean
# latents are appended to the *target's* in the image stream, so that attention can copy every
# detail from them. The report calls the first path semantic and the second reconstructive. With
# guidance, both branches receive both paths.
#
# ![Two sequences: the prompt with image tokens between its words, and the target followed by two
# clean pictures, each with its frame and its time; joint attention connects them, and only the
# target's velocity is kept](figures/edit_sequence.svg)
#
# The released models differ in the number of pictures, in the resolution of the two paths, and in
# the time that the pictures are given:

# %%
rows = [
    ["Edit", 1, "the VAE's copy", "1024² pixels", "sigma"],
    ["Edit-2509", "1 to 3", "384² pixels", "1024² pixels", "sigma"],
    ["Edit-2511", "1 or more", "384² pixels", "1024² pixels", "0"],
]
forms = FORM_OF_CLASS["QwenImageEditPipeline"], FORM_OF_CLASS["QwenImageEditPlusPipeline"]
assert [form.most for form in forms] == [1, 3]
assert [form.reading_side for form in forms] == [None, 384]
header = ["model", "pictures", "vision tower reads", "VAE encodes", "time of the pictures"]
show.table(header, rows)

# %% [markdown]
# ## Sizes
#
# A picture of width $w$ and height $h$ is resized, never cropped. With its aspect ratio $r = w/h$
# and an area $A$, the new size is
#
# $$W = 32\,\Bigl[\frac{\sqrt{A r}}{32}\Bigr], \qquad
# H = 32\,\Bigl[\frac{\sqrt{A r}}{32\,r}\Bigr],$$
#
# where $[\cdot]$ rounds to the nearest integer and, as in Python, a half to the *even* one. The
# height is computed from the width *before* that is rounded. Unless height and width are given, the
# target takes the size of the last picture's copy. The network itself only needs multiples of 16,
# because a token is 16 pixels wide and high.
#
# ## Exercise: the size rule
#
# ★★☆☆☆ · 10 minutes
#
# Write `size(width, height, area)`, which returns $W$ and $H$ as integers. You will know it
# works when the checker says so.


# %% tags=["exercise"]
def size(width, height, area):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

size = answers.unless_solved(size, answers.EX_24_SIZE)
check.ex_24_size(size)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Leave the multiples of 32 aside at first. How wide is a rectangle of this area and this aspect
# ratio?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Keep the exact width in a variable of its own. Both sides are computed from it, and each is
# rounded only once, at the end.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# exact <- the width for this area and this ratio
# 32 times exact / 32, rounded; 32 times exact / ratio / 32, rounded
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def size(width, height, area):
#     ratio = width / height
#     exact = (area * ratio) ** 0.5
#     return 32 * round(exact / 32), 32 * round(exact / ratio / 32)
# ```
#
# </details>

# %%
from qwenimage_ref.conditions import size_of_area

rows = []
for sides in ((1024, 1024), (1920, 1080), (500, 333), (4032, 3024), (4225, 4096)):
    large, small = size(*sides, 1024**2), size(*sides, 384**2)
    assert large == size_of_area(*sides, 1024**2) and small == size_of_area(*sides, 384**2)
    stretch = 100 * (large[0] / large[1] * sides[1] / sides[0] - 1)
    rows.append([f"{w} × {h}" for w, h in (sides, large, small)] + [f"{stretch:+.1f} %"])
show.table(["picture", "for the VAE", "for the vision tower", "stretched in width"], rows)

# %% [markdown]
# The vision tower resizes its copy once more, to multiples of 28. Since both sides are rounded,
# most pictures are also stretched slightly, here by up to three per cent, and this has to be undone
# before the result is laid over the original.
#
# ## One sequence
#
# In the transformer, target and pictures form a single sequence of image tokens. They are
# distinguished by their MSRoPE positions, which consist of three integers for each token: a
# **frame**, which is 0 for the target and $n$ for picture $n$, then the row and the column. Each
# grid is centred *on its own size*, so that of $R$ rows, row $i$ has the position
# $i - \lceil R/2 \rceil$.
#
# ## Exercise: tokens and grids
#
# ★★★☆☆ · 15 minutes
#
# Write `assemble(target, pictures)` for latents `(B, 16, h, w)` and a list of such latents of other
# sizes. Return the tokens, `(B, S, 64)`, with the target's first, and their positions, `(S, 3)`, as
# frame, row and column. `pack(latents)` turns latents into tokens, row by row. You will know it
# works when the checker says so and an edit with your tokens equals the pipeline's.

# %%
from qwenimage_ref.sampler import pack

print("latents of 6 × 10 become tokens of shape", tuple(pack(torch.zeros(2, 16, 6, 10)).shape))


# %% tags=["exercise"]
def assemble(target, pictures):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
assemble = answers.unless_solved(assemble, answers.EX_24_ASSEMBLE)
check.ex_24_assemble(assemble)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How many tokens do latents of 6 × 10 give? And what are the row positions of five rows of tokens?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Treat the target as picture 0. For each picture, build a table of positions with one row for each
# token, in the order in which the tokens are packed, and concatenate the tables at the end.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# for each of target and pictures, numbered from 0
#     rows, cols <- half the sides of its latents
#     row positions <- 0, 1, ... minus (rows - rows // 2); columns likewise
#     table <- all (number, row, column), row by row
# concatenate the packed tokens, and the tables
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def assemble(target, pictures):
#     places = []
#     for frame, latents in enumerate([target, *pictures]):
#         rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
#         row = torch.arange(rows) - (rows - rows // 2)
#         col = torch.arange(cols) - (cols - cols // 2)
#         places.append(torch.cartesian_prod(torch.tensor([frame]), row, col))
#     tokens = torch.cat([pack(each) for each in [target, *pictures]], dim=1)
#     return tokens, torch.cat(places)
# ```
#
# </details>

# %%
from qwenimage_ref.pictures import to_input
from qwenimage_ref.sampler import euler_step, guide, unpack


@torch.no_grad()
def edit_by_hand(prompt, poster, seed, steps=20):
    clean = editor.vae.normalize(editor.vae.encode(to_input([poster]))[0])
    shape, levels = editor.schedule(1, poster.height, poster.width, steps)
    texts = edit_paths.text_states(editor, (prompt, " "), [poster])
    latents = editor.noise(*shape, seed)
    for sigma, below in zip(levels, levels[1:]):
        tokens, places = assemble(latents, [clean])
        grids = [(1, side.shape[2] // 2, side.shape[3] // 2) for side in (latents, clean)]
        calls = [(tokens, txt, sigma.view(1), grids, *[None] * 4, places) for txt in texts]
        velocity = guide(*editor.transformer.many(calls), 4.0)
        x = euler_step(tokens[:, : velocity.shape[1]], velocity, sigma, below)
        latents = unpack(x, *grids[0][1:])
    return editor.to_pictures(latents)[0]


# %%
mine = edit_by_hand(wanted[0].prompt, posters[0], seed=0)
assert show.difference(mine, edited[0]) < 0.5
print("your tokens and positions in a loop of ten lines give the pipeline's picture: ok")

# %% [markdown]
# ## Cut a path
#
# What does each path contribute? The clean experiment is to train an editor for each: one that
# sees no latents, and one whose prompts show no picture. It is reported below. Here we do a cheaper
# experiment and cut a path of the *trained* editor **at inference**. Since the editor was not
# trained for that, more may break than what the path carries. In each row of the figure, look for
# two things: does the new part appear, and is the old poster still there?

# %%
show.source(edit_paths.paint)

# %%
shown = (0, 5, 6)  # a colour, a new shape, a word
cuts = {name: cut for name, cut in figures.CUTS.items() if name != "nothing"}
pieces = {
    name: [figures.cut_off(editor, wanted[i].prompt, posters[i], cut, seed=i) for i in shown]
    for name, cut in cuts.items()
}
pictures, captions = [], []
for place, i in enumerate(shown):
    pictures += [posters[i], edited[i], *(row[place] for row in pieces.values())]
    captions += ["before", wanted[i].kind, *(f"cut: {name}" for name in cuts)]
alt = "Three posters, each edited with both paths, without the vision tower, without the VAE, "
alt += "and without either; without the VAE a different poster appears"
show.grid(pictures, captions, alt, columns=5, scale=1)

# %%
away = {
    name: np.mean([show.difference(posters[i], picture) for i, picture in zip(shown, row)])
    for name, row in ({"nothing": [edited[i] for i in shown]} | pieces).items()
}
assert away["nothing"] < min(away["the VAE"], away["both"])
print("without the VAE's path the result is farther from the poster than with both: ok")

# %% [markdown]
# A second experiment cuts nothing. Each path receives a poster, but not the same one, so that both
# inputs look like those of training. Which of the two posters is copied?

# %%
first, second = posters[1], posters[7]
prompt = wanted[6].prompt  # another word
mixed = [
    edit_paths.paint(editor, prompt, [seen], [kept], first.size, seed=0)
    for seen, kept in ((first, second), (second, first))
]
alt = "Two posters, and two results: each keeps the shapes of the poster that the VAE encoded"
captions = ["A", "B", "vision tower: A, VAE: B", "vision tower: B, VAE: A"]
show.grid([first, second, *mixed], captions, alt)

# %%
toward = [
    show.difference(picture, seen) - show.difference(picture, kept)
    for picture, seen, kept in zip(mixed, (first, second), (second, first))
]
assert min(toward) > 0
print("both times the result is closer to the poster that the VAE encoded: ok")

# %% [markdown]
# Use the sliders to choose one of three instructions and the path that is cut.

# %%
panel = figures.PathPanel(editor, posters[0], [each.prompt for each in wanted[:3]])
panel

# %%
at_first = panel.picture.value
panel.cut.value = "the VAE"
assert panel.picture.value != at_first
panel.cut.value = "nothing"
assert panel.picture.value == at_first
print("cutting a path changes the picture, and restoring it brings the first one back: ok")

# %% [markdown]
# ## What was recorded
#
# `python -m qwenimage_ref.evaluate.editing FOLDER` runs an editor on held-out instructions and
# questions and writes a record. `edit` is the editor of this page; `edit-2509` and `edit-2511`,
# which continue it, come up below. The other three names denote *training runs*: each continues an
# earlier editor for 200 steps, with both paths, with the vision tower alone, or with the VAE alone.
# Compare these three with each other.

# %%
records = figures.recorded()
show.table(figures.HEADER, figures.rows(records))

# %%
for name, record in records.items():
    rows = [place(record) for _, place in figures.GOALS.values()]
    assert all(row["low"] <= row.get("share", row.get("mean")) <= row["high"] for row in rows), name
for goal, verdict in figures.verdicts(records).items():
    print(f"{goal:25} {verdict}")

# %% [markdown]
# A goal counts as *reached* or *missed* only if the whole interval is on that side of it, and as
# *open* otherwise.

# %%
figures.arms(records)

# %%
for name, record in records.items():
    whole = record["edits"][0]
    assert whole["both"]["right"] <= min(whole["obeyed"]["right"], whole["untouched"]["right"])
    names = [
        row["kind"] for row in record["edits"][1:] if row["both"]["high"] < whole["both"]["low"]
    ]
    print(f"{name}: kinds whose interval is entirely below that of all:", *(names or ["none"]))

# %%
both, vae, vision = (records[f"edit-{arm}"]["edits"][0] for arm in figures.ARMS)
assert vision["untouched"]["high"] < vae["untouched"]["low"]
for name in ("obeyed", "untouched"):
    assert max(vae[name]["high"], vision[name]["high"]) < both[name]["low"], name
print("each path alone obeys less and leaves less untouched than both, beyond the intervals: ok")
print(f"with the vision tower alone the rest is untouched in {vision['untouched']['right']}: ok")

# %% [markdown]
# Without the VAE's path no poster comes back whole. Without the vision tower the latents are still
# copied, but the text states no longer say where the named shape is.

# %% [markdown]
# ## Five edits in a row
#
# An editor's result can be edited again, together with its errors. Here each instruction is applied
# to the result of the one before it:

# %%
asked = chain(edit_chains.FIRST_SEED, edit_chains.MIXTURE)
chained = [Image.fromarray(asked[0].pictures[0])]
for number, each in enumerate(asked):
    last = np.asarray(chained[-1])
    chained.append(editing.paint(editor, each.prompt, [last], each.target.size, number))
    print(number + 1, each.prompt)
captions = ["before", *(f"{number}. {each.kind}" for number, each in enumerate(asked, 1))]
show.grid(chained, captions, "A poster and five edits of it, one after another", columns=6, scale=1)

# %%
goal, before = (Image.fromarray(each) for each in (asked[-1].wanted, asked[0].pictures[0]))
assert show.difference(chained[-1], goal) < show.difference(chained[-1], before)
print("after five edits the result is closer to the goal than to the first poster: ok")

# %% [markdown]
# Recorded are 24 such chains, and beside them the same instructions, each applied to the poster
# that it should have been given:

# %%
record = json.loads(show.data_file("measurements/edit_chains.json").read_text())
edit_surveys.chained(record["after"])

# %%
own, wanted_start = (lines[-1] for lines in record["after"].values())
assert own["all"]["right"] <= wanted_start["all"]["right"]
for name in edit_chains.TRAITS:
    print(f"{name:10} right after five: {own[name]['right']} of {own[name]['of']}")
assert own["word"]["high"] < min(own[name]["low"] for name in edit_chains.TRAITS[:3])
assert record["last"]["high"] < 0, "everything right: own results minus wanted posters"

# %% [markdown]
# Words are lost first. An editor copies what it sees, and a letter that was slightly wrong after
# one edit is copied, and slightly changed again, by the next.

# %% [markdown]
# ## In four steps
#
# The Lightning LoRA of [chapter 20](20_few_steps.ipynb) was trained on the text-to-image model
# that the editor began as, and never with a picture. Does the editor need it?

# %%
record = json.loads(show.data_file("measurements/edit_few_steps.json").read_text())
shares = {name: share["both"] for name, share in record["shares"].items()}
charts.bars(shares, f"Shares of edits in which everything is right: {', '.join(shares)}")

# %%
for name, row in record["beside"].items():
    apart = row["low"] > 0 or row["high"] < 0
    words = "differs beyond the interval" if apart else "no difference beyond it"
    print(f"Lightning beside {name}: {words}")
assert [row["low"] > 0 for row in record["beside"].values()] == [False, True, False]

# %% [markdown]
# Four steps without guidance are enough here, with the LoRA or without it, and only guidance in
# so few steps does harm. A likely reason is that picture and instruction leave little open.

# %% [markdown]
# ## Pictures of two sizes
#
# Suppose the target has 176 × 96 pixels and the picture 128 × 128, which makes 6 × 11 and 8 × 8
# tokens. Each grid is centred on its own size, so their *middles* coincide and their edges do not.

# %%
from qwenimage_ref.conditions import spread_positions
from qwenimage_ref.rope import positions

grids, official = [(1, 6, 11), (1, 8, 8)], [(1, 1152 // 16, 1536 // 16), (1, 896 // 16, 1184 // 16)]
assert size(1536, 1152, 1024**2) == (1184, 896)
panels = [
    {"title": "6 × 11 and 8 × 8 tokens", "positions": positions(grids, 1)[0]},
    {"title": "the same, spread", "positions": spread_positions(grids)},
    {"title": "officially, 72 × 96 and 56 × 74", "positions": positions(official, 1)[0]},
]
alt = "Three panels: a grid of 8 x 8 over the middle of one of 6 x 11; the same grid spread over "
alt += "the whole of the other; and an official picture in the middle of a larger target"
figures.grids_over(panels, alt)


# %%
def offset(own, target):
    """Pixels from the first of `target` tokens to the first of `own` tokens, both centred"""
    return 16 * ((target - target // 2) - (own - own // 2))


places, _ = positions(grids, 1)
assert [offset(8, target) for target in (11, 10, 9, 8, 7, 6)] == [32, 16, 16, 0, 0, -16]
assert (places[66] - places[0])[1:].tolist() == [offset(8, 6) // 16, offset(8, 11) // 16]
print("8 tokens in a target of 11, 10, 9, 8, 7, 6 begin at its pixel 32, 16, 16, 0, 0, -16: ok")

# %% [markdown]
# Attention depends on *differences* of positions. In training, target and picture had the same
# size, so the editor could learn that a target token copies from the picture's token at the same
# row and column. If that is all it does, the picture is not scaled, although the user wanted it to
# be: a larger target shows it in the middle, with new margins around it, and a smaller target crops
# it.
#
# The first test changes nothing but positions. The picture has the target's size, and a constant is
# added to *all* of its columns:


# %%
def moved(columns):
    def own(grids):
        places = positions(grids, 1)[0].clone()
        places[places[:, 0] > 0, 2] += columns
        return places

    return own


def middle(picture):
    """Middle (x, y) of the largest shape that the reader finds, in pixels; NaN if it finds none"""
    shapes = sorted(read(picture).regions, key=lambda region: -region.radius)
    return np.array([shapes[0].x, shapes[0].y] if shapes else [np.nan] * 2)


reword, alone = wanted[6].prompt, posters[2]
shifted = {
    by: edit_paths.paint(editor, reword, [alone], [alone], alone.size, 0, moved(by))
    for by in (-1, 0, 1, 2)
}
captions = ["before", *(f"columns {by:+d}" for by in shifted)]
alt = "A poster, and four results in each of which its shape is one token farther to the right"
show.grid([alone, *shifted.values()], captions, alt, columns=5, scale=1)

# %%
start = middle(alone)
off = [np.abs(middle(picture) - start - (16 * by, 0)).max() for by, picture in shifted.items()]
assert sum(each < 8 for each in off) >= 3
print("one column of positions moves the shape by 16 pixels, within half a token: ok")

# %% [markdown]
# The second test is the case that users run into: `height` and `width` change only the target.

# %%
sizes = ((176, 96), (160, 112), (144, 112))
options = {"num_inference_steps": 20, "seed": 0, "image": alone}
of_size = [editor(reword, " ", width=w, height=h, **options)[0] for w, h in sizes]
spread = edit_paths.paint(editor, reword, [alone], [alone], sizes[0], 0, spread_positions)
captions = ["before", *(f"{w} × {h}" for w, h in sizes), "176 × 96, spread"]
alt = "A poster, and three wider results in which its shape keeps its size and is where the "
alt += "centred grids predict; and one with spread positions, in which it is farther left"
show.grid([alone, *of_size, spread], captions, alt, columns=5, scale=1)

# %%
rows = []
for name, (w, h), picture in zip(captions[1:], (*sizes, sizes[0]), (*of_size, spread)):
    centred = start + (offset(8, w // 16), offset(8, h // 16))
    scaled = start * (w / 128, h / 128)
    near, far = (np.abs(middle(picture) - place).max() for place in (centred, scaled))
    verdict = "the centred grids" if near < far else "scaling"
    rows.append([name, *(f"({x:.0f}, {y:.0f})" for x, y in (centred, scaled)), verdict])
assert [row[-1] for row in rows[:3]].count("the centred grids") >= 2, "the shift, reproduced"
show.table(["target", "if grids are centred", "if it were scaled", "the shape is closer to"], rows)

# %% [markdown]
# For the last row of the table, the positions of the same two grids were spread as in the middle
# panel above.
#
# A common complaint is that [edits come out shifted or
# zoomed](https://github.com/QwenLM/Qwen-Image/issues/160). Grids of different sizes are one cause,
# and it is easy to avoid: leave the target's size alone, or resize the picture to the target's
# grid. A second, according to a comment there, is training on pairs that were not aligned to the
# pixel.
#
# **Edit-Lowres-Fix** is another remedy for grids of different sizes. In a target with $R_0$ rows,
# row $i$ of a picture with $R$ rows is given the position
#
# $$\bigl\lfloor\, i\,\frac{R_0 - 1}{R - 1} \bigr\rfloor - \lceil R_0/2 \rceil .$$
#
# The release is a LoRA that was trained for these positions. The record repeats the test with
# pictures of half the target's size, at last with a small LoRA of our own, of 200 steps:

# %%
record = json.loads(show.data_file("measurements/edit_displaced.json").read_text())
edit_surveys.displaced(record["inward"], record["if centred"])

# %%
for way, share in record["nearer to scaled"].items():
    print(f"{way:18} nearer to the scaled place: {share['right']} of {share['of']} that were found")
assert record["nearer to scaled"]["equal size"]["low"] > 0.5
assert record["nearer to scaled"]["half, centred"]["high"] < 0.5
lost = {way: sum(each is None for each in moved) for way, moved in record["inward"].items()}
assert lost["half, spread"] > len(record["if centred"]) / 2 > lost["half, centred"]
assert lost["half, spread, LoRA"] < len(record["if centred"]) / 10

# %% [markdown]
# Spread, most shapes are lost without the LoRA: the positions of the picture's tokens now have
# gaps, which this editor never met.
#
# ## Positions in the prompt
#
# The positions in the language model have three axes as well (**M-RoPE**): time, row and column.
# Text tokens advance along all three together. The tokens of a picture share one time, their rows
# and columns are counted from that number, and the text continues after the longer side.

# %%
from qwenimage_ref.conditions import PAD, edit_ids, edit_prefix, places_in_text

tokenizer, form = editor.tokenizer, editor.form
ids = torch.tensor(edit_ids(tokenizer, form, "make it red", [3 * 5]))
places = places_in_text(ids, [(3, 5)], tokenizer.added[PAD])[:, 0]
kept = (places[:, edit_prefix(tokenizer) :] - places[0, edit_prefix(tokenizer)]).tolist()
series = {name: [*enumerate(row)] for name, row in zip(("time", "row", "column"), kept)}
panel = {"x": "token after the template", "y": "position", "series": series}
alt = "Three curves over the tokens, which coincide for text; within the picture, time is "
alt += "constant, the row rises in steps and the column is a sawtooth"
charts.curves([panel], alt)

# %%
picture = (ids == tokenizer.added[PAD]).nonzero()[:, 0]
start = places[0, picture[0]].item()
assert places[0, picture].unique().tolist() == [start]
assert places[1, picture].unique().tolist() == [start, start + 1, start + 2]
assert places[:, picture[-1] + 1].tolist() == [start + 5] * 3
print("15 image tokens take up 5 positions, and the text continues after these: ok")

# %% [markdown]
# **Erratum.** Since version 5, transformers computes these positions only if it receives the *type*
# of each token, and the edit pipelines of diffusers do not pass it. The image tokens then get
# consecutive numbers, as text does, and there is no warning, although the weights were trained with
# three axes. The next cells call transformers itself, with our weights, in both ways:

# %%
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder
from qwenimage_ref.parity.reference import copy_weights, reference_text_encoder
from qwenimage_ref.vision import preprocess

theirs = reference_text_encoder(editor.text_encoder.config, editor.vision.config)
copy_weights(StoredTextEncoder(editor.text_encoder, editor.vision), theirs)
patches, grid = preprocess(posters[0], editor.vision.config)
rows, cols = grid[1] // 2, grid[2] // 2
ids = torch.tensor([edit_ids(tokenizer, form, wanted[0].prompt, [rows * cols])])
inputs = {"input_ids": ids, "pixel_values": patches, "image_grid_thw": torch.tensor([grid])}
types = (ids == tokenizer.added[PAD]).int()

# %%
with torch.no_grad():
    with_types = theirs.model(**inputs, mm_token_type_ids=types).last_hidden_state
    without = theirs.model(**inputs).last_hidden_state
    places = places_in_text(ids[0], [(rows, cols)], tokenizer.added[PAD])
    states = editor.vision(patches, [grid])
    ours, flat = (
        editor.text_encoder(ids, positions=own, image_states=states) for own in (places, None)
    )


# %%
def apart(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


assert apart(ours, with_types) < 1e-4 and apart(flat, without) < 1e-4
assert apart(without, with_types) > 1e-2
print("with types, transformers agrees within 1e-4; without, states differ by over 1e-2: ok")

# %% [markdown]
# ## Several pictures
#
# Edit-2509 numbers its pictures. Each of them comes before the instruction, as "Picture 1: "
# followed by its image tokens, and has frame 1, 2 or 3 in the image stream, so that an instruction
# can refer to it by its number.

# %%
plus = FORM_OF_CLASS["QwenImageEditPlusPipeline"]
ids = edit_ids(tokenizer, plus, "the shape of picture 1 in the colour of picture 2", [2, 3])
print(tokenizer.decode(ids[edit_prefix(tokenizer) :]).replace(PAD, "▢"))

# %%
kept = tokenizer.decode(ids[edit_prefix(tokenizer) :])
assert kept.startswith("Picture 1: <|vision_start|>") and kept.count(PAD) == 5
latents = [torch.zeros(1, 16, h, w) for h, w in ((16, 16), (14, 18), (12, 20))]
tokens, places = assemble(latents[0], latents[1:])
frames, counts = places[:, 0].unique(return_counts=True)
assert counts.tolist() == [64, 63, 60]
print("frames", frames.tolist(), "with", counts.tolist(), "tokens")

# %% [markdown]
# Does an editor use the numbers? If both the pictures *and* the numbers in the instruction are
# swapped, the intended poster stays the same. If only the pictures are swapped, the instruction
# describes another poster, and the first one should rarely come out. Two editors continued the one
# of this page for 700 steps, a third of these with several pictures; `edit-2509-further`
# adds 1,300:

# %%
show.table(figures.ORDERS, figures.order_rows(records))

# %%
plus = {name: record["several"][0] for name, record in records.items() if "several" in record}
for name, row in plus.items():
    print(f"{name}: {row['obeyed']['right']} of {row['obeyed']['of']} with several obeyed")
*short, longer = (plus[name]["obeyed"] for name in ("edit-2509", "edit-2511", "edit-2509-further"))
assert max(row["high"] for row in short) < 0.3 and longer["low"] > 0.25
shares = records["edit-2509-further"]["swapped"]
assert shares["pictures"]["high"] < min(shares[name]["low"] for name in ("straight", "turned"))
print("turning pictures and numbers changes little, turning pictures alone everything: ok")

# %% [markdown]
# Only the last one, trained with more noise, reads the numbers.

# %% [markdown]
# ## A time for each token
#
# The target at level $\sigma$ and the clean pictures share one sequence, yet in Edit and Edit-2509
# all image tokens are modulated for noise of level $\sigma$, whether they are noisy or clean.
# Edit-2511 treats them separately (`zero_cond_t`). It computes two time embeddings, of $\sigma$ and
# of 0, and each image token $j$ takes shift, scale and gate from its own,
#
# $$x_j \leftarrow x_j + g(t_j) \odot f\bigl(\mathrm{LN}(x_j) \odot (1 + s(t_j)) + b(t_j)\bigr),
# \qquad t_j = \begin{cases}\sigma & \text{target} \\ 0 & \text{pictures.}\end{cases}$$
#
# The text stream and the last layer use $\sigma$ alone. Because there are no new weights, a program
# that ignores the flag loads the file without an error and computes something else.

# %%
from qwenimage_ref.mmdit import MMDiT

config = dataclasses.replace(editor.transformer.config, zero_cond_t=True)
timed = MMDiT(config).eval()
timed.load_state_dict(editor.transformer.state_dict())
target, sigma = 64, torch.tensor([0.9])
with torch.no_grad():
    times, temb = timed.times(sigma, target, len(tokens[0]))
    gates = timed.transformer_blocks[0].img_mod(temb, times)[2][0].abs().mean(-1)
levels = sigma.item() * (times == 0)
series = {"time": levels, "mean gate of block 0, over the largest": gates / gates.max()}
series = {name: [*enumerate(row.tolist())] for name, row in series.items()}
panel = {"x": "image token: target, picture 1, picture 2", "y": "", "series": series}
charts.curves([panel], "Time and mean gate over the tokens; both jump where the pictures begin")

# %%
assert times.tolist() == [0] * 64 + [1] * 123 and temb.shape[1] == 2
assert len(gates[:64].unique()) == 1 == len(gates[64:].unique())
print("64 tokens have time 0.9, 123 have 0; the target has one gate, both pictures another: ok")

# %% [markdown]
# The training runs of `edit-2509` and `edit-2511` differ in the flag alone. Each was then run both
# with it and without. A velocity implies a poster under the noise; how far are its colours from the
# intended ones?

# %%
record = json.loads(show.data_file("measurements/edit_time_zero.json").read_text())
arms = record["rows"]
edit_surveys.time_zero(record["levels"], arms)

# %%
for name, row in arms.items():
    print(f"{name:28} both right in {row['shares']['both']['right']} of {record['captions']}")
assert arms["trained without, run with"]["both, minus the first"]["high"] < 0
own, other = (arms[f"trained with, run {how}"]["minus the first"] for how in ("with", "without"))
assert own["changes"]["high"] < other["changes"]["low"], "mean errors over all levels"
row = arms["trained with, run with"]["both, minus the first"]
assert row["low"] < 0 < row["high"]
print("the wrong flag does harm either way; one pair does not show which training is better: ok")

# %% [markdown]
# ## Exercise: both halves of a block
#
# ★★★★☆ · 25 minutes
#
# Write `halves(img, temb, linear, sublayers, target)`, which computes the image stream of a block
# with a separate time for each token. `img` is `(B, S, D)`, and its first `target` tokens are the
# target's. `temb` is `(B, 2, D)`: the embedding of $\sigma$, then that of time 0.
# `linear(silu(temb))` has $6D$ numbers: shift, scale and gate for attention, then the same for the
# MLP. `sublayers` are these two, as functions of all tokens, `(B, S, D)` to `(B, S, D)`. Return the
# stream after both. The layer norm has no weights, and its $\epsilon$ is $10^{-6}$. You will know
# it works when the checker says so and the package's block agrees.


# %% tags=["exercise"]
def halves(img, temb, linear, sublayers, target):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
halves = answers.unless_solved(halves, answers.EX_24_HALVES)
check.ex_24_halves(halves)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How many different vectors of $6D$ numbers does one example have? And how many tokens need one?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Make a tensor of S integers, 0 for the target's tokens and 1 for the others. Indexing the two rows
# with it gives every token its own row, and the rest is the block of chapter 06.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# times <- 0 for the first `target` tokens, 1 for the rest
# six tensors (B, S, D) <- the projected embedding, indexed by times, split into six
# for attention, then for the MLP, each with three of these tensors
#     stream <- stream + gate x sublayer(norm(stream) x (1 + scale) + shift)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def halves(img, temb, linear, sublayers, target):
#     times = (torch.arange(img.shape[1]) >= target).long()
#     numbers = linear(F.silu(temb))[:, times].chunk(6, dim=-1)
#     for sublayer, (shift, scale, gate) in zip(sublayers, (numbers[:3], numbers[3:])):
#         normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
#         img = img + gate * sublayer(normed * (1 + scale) + shift)
#     return img
# ```
#
# </details>

# %%
block = timed.transformer_blocks[0]
img, txt = torch.randn(2, 1, 187, config.inner_dim, generator=torch.manual_seed(0)).unbind()
txt = txt[:, :20]
rotations = timed.rotations([(1, 8, 8), (1, 7, 9), (1, 6, 10)], 20)

# %%
with torch.no_grad():
    shift, scale, *_ = block.txt_mod(temb[:, :1])
    words = F.layer_norm(txt, txt.shape[-1:], eps=1e-6) * (1 + scale) + shift
    sublayers = (lambda x: block.attn(x, words, *rotations)[0], block.img_mlp)
    by_hand = halves(img, temb, block.img_mod[1], sublayers, target)
    packaged, _ = block(img, txt, temb, *rotations, None, times)
assert torch.allclose(by_hand, packaged, atol=1e-4)
print("your two halves agree with the package's block, with a time for each token: ok")

# %% [markdown]
# Finally, the whole transformer is compared with that of diffusers, with two pictures of odd sizes:

# %%
from qwenimage_ref.parity import reference

generator = torch.manual_seed(1)
case = {
    "img": torch.randn(1, 187, 64, generator=generator),
    "txt": torch.randn(1, 30, config.joint_attention_dim, generator=generator),
    "sigma": sigma, "grids": [(1, 8, 8), (1, 7, 9), (1, 6, 10)],
}  # fmt: skip
with torch.no_grad():
    for network in (editor.transformer, timed):
        their = copy_weights(network, reference.reference_mmdit(network.config))
        assert apart(network(**case), reference.run(their, case)) < 1e-4
    changed = apart(timed(**case), editor.transformer(**case))
assert changed > 1e-3
print("with and without the flag, diffusers agrees within 1e-4; the flag changes more: ok")

# %% [markdown]
# ## Understanding as editing
#
# The report trains the same model on understanding tasks, such as segmentation, depth and edges: an
# instruction names the task, and the answer is a picture. The pocket editor was trained on four
# such tasks.

# %%
from qwenimage_ref.posters.understanding import answer_score

asked = editing.questions(4)
given = [
    editing.paint(editor, each.prompt, [each.picture], each.poster.size, seed)
    for seed, each in enumerate(asked)
]
row = [[Image.fromarray(each.picture) for each in asked], given]
row.append([Image.fromarray(np.ascontiguousarray(each.wanted)) for each in asked])
captions = [each.kind for each in asked] + ["answer"] * 4 + ["correct answer"] * 4
alt = "Four posters; below each the answer: a mask without the ring's hole, depth in two tones, "
alt += "broken coloured edges, a mirrored poster; and below that the correct answer"
show.grid(sum(row, []), captions, alt, columns=4)

# %%
scores = {each.kind: answer_score(each, np.asarray(p)) for each, p in zip(asked, given)}
blank = answer_score(asked[0], np.full_like(asked[0].picture, 255))
assert asked[0].kind == "mask" and scores["mask"] > 2 * blank
unmirrored = answer_score(asked[3], asked[3].picture)
assert asked[3].kind == "mirror" and scores["mirror"] > unmirrored + 3
print("the mask scores more than twice as much as an all-white answer: ok")
print("the mirrored poster is closer to the correct answer than the poster itself, by 3 dB: ok")

# %% [markdown]
# Masks and depth orders of the whole set are in the table above.

# %% [markdown]
# ## Where this comes from
#
# * The two paths, the frame axis and understanding as editing: [Qwen-Image Technical
#   Report](https://arxiv.org/abs/2508.02324), section 4.3. The model cards:
#   [Edit](https://huggingface.co/Qwen/Qwen-Image-Edit),
#   [2509](https://huggingface.co/Qwen/Qwen-Image-Edit-2509),
#   [2511](https://huggingface.co/Qwen/Qwen-Image-Edit-2511).
# * Learning to edit from instructions: [InstructPix2Pix, Brooks et al.
#   2022](https://arxiv.org/abs/2211.09800), section 3. There the picture's latents are additional
#   *channels* of the input, so the picture must have the target's size.
# * Positions with three axes in the language model: [Qwen2-VL, Wang et al.
#   2024](https://arxiv.org/abs/2409.12191), section 2.1. How they are lost with version 5:
#   [diffusers, issue 14194](https://github.com/huggingface/diffusers/issues/14194).
# * Elsewhere: [FLUX.1 Kontext](https://arxiv.org/abs/2506.15742), section 3, also appends clean
#   tokens to the target's, with another number on the first rotary axis. It has no vision tower, so
#   its text encoder never receives the picture. SD3 was released without an edit model.
#
# ## Estimate first
#
# **1.** In Edit at 1024 × 1024, how many image tokens are in the transformer's sequence, and how
# much more does attention cost than without the picture?
#
# <details><summary>Answer</summary>
#
# 8,192, twice 4,096. Attention among them costs four times as much, and the linear layers cost
# twice as much.
#
# </details>
#
# **2.** How many image tokens are in the prompt for a square picture, in Edit and in Edit-2509?
#
# <details><summary>Answer</summary>
#
# 1,369 and 196: the sides have 1036 and 392 pixels, in units of 28.
#
# </details>
#
# **3.** A picture of 1184 × 896 is edited, and the target is 1536 × 1152. Where in the target is
# the first pixel of the picture?
#
# <details><summary>Answer</summary>
#
# 176 pixels to the right and 128 down: its 74 columns of tokens are in the middle of 96, and its 56
# rows are in the middle of 72.
#
# </details>

# %%
from qwenimage_ref.vision import fit_size

assert 2 * (1024 // 16) ** 2 == 8192
assert [(fit_size(side, side)[0] // 28) ** 2 for side in (1024, 384)] == [1369, 196]
assert (offset(74, 96), offset(56, 72)) == (176, 128)
print("8,192 tokens; 1,369 and 196 in the prompt; 176 and 128 pixels: ok")

# %% [markdown]
# ## What production code does differently
#
# * The latents of the pictures are the same in every step, so they are encoded only once per edit.
#   Their keys and values change, because these tokens attend to the target. A model whose mask
#   forbids this can cache the keys and values as well ([chapter
#   95](95_what_qwen_image_2_1_changed.ipynb)).
# * ComfyUI gives different positions than the released code to a picture that is larger than the
#   target ([chapter 90](90_errata.ipynb) has more such differences).
# * With a `mask_image`, an edit model changes only what the mask covers, by the blend described in
#   [chapter 23](23_image_to_image_and_inpainting.ipynb).
#
# ## Try this
#
# * Give an editor an empty instruction ten times in a row. What does the VAE alone change?
# * Add 100 to the picture's frame, or set it to 0, which is the target's. What changes?
# * Write an instruction that is already fulfilled, such as "turn the red ring red". Does anything
#   change?
#
# Capstone: your `rope.py` accepts several grids, and your `mmdit.py` any number of image tokens.
# With `assemble` in front of them, your files can edit.
#
# Next: [control](25_control.ipynb), where a picture of edges determines what is painted where.
