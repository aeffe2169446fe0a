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
# # 34 · Look inside: where is the word spelled?
#
# A caption asks for a red circle and the text "CAT". Eight blocks compute the picture, and in each
# of them every patch attends to every token of the caption. Which of them read the letters? The
# attention maps of [chapter 06](06_one_mmdit_block.ipynb) do not answer this, since a patch may
# attend to a letter without using it. On this page we hide the letters, or exchange them for
# others, in one place at a time. The exact reader of chapter 13 then reads the picture, so that
# every answer is a count.
#
# | | |
# |---|---|
# | **You need** | chapters [06](06_one_mmdit_block.ipynb) and [13](13_is_it_any_good.ipynb) |
# | **You get** | causal tracing by hand, and a map of who reads what, with controls |
# | **Minutes** | 35 to read, 45 to write, one and a half to run |
# | **Picture** | one caption, its word hidden from one block at a time |
# | **Number** | words that survive when they are hidden in one block, and in all |

# %%
import dataclasses
import json
from contextlib import nullcontext

import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import charts, heat_maps, show
from qwenimage_ref.evaluate import inside, traced
from qwenimage_ref.evaluate.intervals import interval
from qwenimage_ref.evaluate.score import Trial
from qwenimage_ref.evaluate.survey import terms_of
from qwenimage_ref.posters.draw import Scene, Shape

pipe = QwenImage.from_pretrained(show.pocket_folder())
tokenizer, transformer = pipe.tokenizer, pipe.transformer
blocks = range(len(transformer.transformer_blocks))
record = json.loads(show.data_file("measurements/causal_tracing.json").read_text())
print(len(blocks), "blocks,", transformer.config.num_attention_heads, "heads in each")

# %% [markdown]
# This page has two kinds of measurements. Small ones run now, on a few captions. The large ones
# were recorded by `python -m qwenimage_ref.evaluate.causal_tracing`, with eight captions from each
# of three seeds for the map of the blocks and half of them for the other questions. No caption
# occurs twice. Pictures are painted in six steps and without guidance, so that there is only one
# branch in which something can be hidden.
#
# ## Which tokens are the word?
#
# The transformer receives a state for each token of the caption and of the template's end after it.

# %%
prompt = 'a large red circle on a white background with the text "CAT"'
tokens = inside.text_tokens(tokenizer, prompt)
print(len(tokens), "tokens:", *map(repr, tokens))

# %% [markdown]
# Here each letter is a token. This is not always so: in Chinese captions, and in the official
# tokenizer, a token may also contain a letter's neighbours. Whatever we hide, we must hide every
# token that contains a part of it.
#
# ## Exercise: the tokens of a part
#
# ★★☆☆☆ · 10 minutes
#
# Write `overlapping(lengths, start, stop)`. `lengths` gives the number of characters of each token,
# and the part consists of the characters from `start` up to but not including `stop`, counted from
# 0. Return the indices of the tokens that contain at least one of them. You will know it works when
# the checker says so and the next cell finds the word.


# %% tags=["exercise"]
def overlapping(lengths, start, stop):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

overlapping = answers.unless_solved(overlapping, answers.EX_34_OVERLAP)
check.ex_34_overlap(overlapping)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Where does a token begin, and where does it end? Draw both as intervals on a line.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Two intervals have a character in common if each begins before the other ends.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# end <- 0
# for each token, with its number:
#     its first character is the end so far; the new end is its length later
#     it counts if it begins before stop and ends behind start
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def overlapping(lengths, start, stop):
#     places, end = [], 0
#     for number, length in enumerate(lengths):
#         begin, end = end, end + length
#         if begin < stop and end > start:
#             places.append(number)
#     return places
# ```
#
# </details>

# %%
lengths = [len(token) for token in tokens]
for part in ("CAT", "red", "A"):
    start, stop = inside.span(prompt, part)
    places = overlapping(lengths, start, stop)
    assert places == inside.places_of(tokenizer, prompt, start, stop)
    print(f"{part!r} is in", [tokens[n] for n in places])

# %% [markdown]
# ## Take something away
#
# Attention is the only path from the text to the picture. In [chapter 06](06_one_mmdit_block.ipynb)
# a mask excluded padding from attention. In the same way a mask can stop the *image tokens* from
# attending to the word's tokens, in a single block. The text stream is not restricted: its tokens
# still attend to each other and to the picture.
#
# ## Exercise: who sees whom
#
# ★★★☆☆ · 10 minutes
#
# Write `seen(hidden, image_tokens)`. `hidden` is `(T,)`, true for the text tokens that no image
# token may see. Return a mask `(S, S)` of truth values with `S = T + I`, true where a token (its
# row) may see another (its column). Text comes first. You will know it works when the checker says
# so.


# %% tags=["exercise"]
def seen(hidden, image_tokens):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
seen = answers.unless_solved(seen, answers.EX_34_SEEN)
check.ex_34_seen(seen)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The mask has four quarters: text and image rows, text and image columns. In which of them is
# anything hidden?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Begin with a mask in which everything is allowed, and change one quarter. All of its rows are
# equal.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# mask <- true everywhere
# in the rows of image tokens, the columns of text tokens <- not hidden
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def seen(hidden, image_tokens):
#     T = len(hidden)
#     seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
#     seen[T:, :T] = ~hidden
#     return seen
# ```
#
# </details>

# %%
word = inside.places_of(tokenizer, prompt, *inside.span(prompt, "CAT"))
hidden = inside.marked([word], len(tokens))
mask = seen(hidden[0], 64)
panel = {"values": mask.float(), "title": "white: hidden", "colour": "joint", "cut": len(tokens)}
alt = "A square mask, dark but for three narrow columns in its lower part"
heat_maps.heat([panel], alt, side=3)

# %%
assert torch.equal(mask, inside.visible_text(hidden, 64, heads=1)[0, 0])
assert (~mask).sum() == 64 * len(word)
print("64 image tokens lose", len(word), "columns each; the package's mask is the same: ok")

# %% [markdown]
# A **hook** passes the mask to one block's attention while the picture is painted. PyTorch calls it
# before the layer, with the layer's arguments, and the layer then uses the arguments that it
# returns. The code of the model does not have to be changed.

# %%
show.source(inside.hiding)

# %% [markdown]
# Here is our caption, with its word hidden in no block, in one block at a time, and in all of them.


# %%
def painted(within=None, seed=3):
    with within or nullcontext():
        return pipe(prompt, None, 1.0, num_inference_steps=traced.STEPS, seed=seed)[0]


settings = {"hidden from none": None}
settings |= {f"from block {n}": inside.hiding(transformer, [word], [n]) for n in blocks}
settings["from all"] = inside.hiding(transformer, [word], blocks)
strip = {name: painted(within) for name, within in settings.items()}
alt = "Ten posters of a red circle. The word under it is whole, loses letters, or is gone"
show.grid([*strip.values()], [*strip], alt, columns=5, scale=1)

# %%
from qwenimage_ref.posters.read import read

readings = {name: read(picture).scene for name, picture in strip.items()}
assert readings["from all"].word != readings["hidden from none"].word
print("without its word the caption does not write it: ok")

# %% [markdown]
# One caption proves little, so `traced` counts over many.

# %%
recorded, count = record["blocks, Latin letters"], record["captions"]
trials = traced.worded(count, seed=0)  # the first seed's captions of the record
live = {}
for name, where in {"none": [], **{str(n): [n] for n in blocks}, "all": blocks}.items():
    within = traced.hidden(pipe, traced.word_tokens, where)
    scores = traced.scores_of(trials, traced.paint(pipe, trials, within))
    live[name] = sum(score["word"] for score in scores)

# %%
lost = [n for n in blocks if 2 * live[str(n)] <= live["none"]]
assert lost and 2 * live["all"] < live["none"], "half of the words, or more"
if record["weights"] == terms_of(pipe, count)["weights"]:  # the very same model
    assert all(abs(live[n] - recorded[n]["word"]["by_seed"][0]) <= 1 for n in live)
print("painted now: some single block, hidden from, costs half of the words: ok")

# %% [markdown]
# Here is the record, with its intervals. It also has the share of right scenes, to show whether
# anything besides the word suffers.


# %%
def bounds(row):
    return row["share"], row["low"], row["high"]


def line(part, key="word", at=blocks):
    return [(n, *bounds(part[str(n)][key])) for n in at]


panel = {"x": "block in which the word is hidden", "y": "share of the pictures"}
panel["series"] = {"word right": line(recorded), "scene right": line(recorded, "scene")}
charts.curves([panel], "Words and scenes right over the block in which the word is hidden")


# %%
def below(row, other, key="word"):
    """Whether a share is surely smaller: intervals that do not even touch"""
    return row[key]["high"] < other[key]["low"]


plain, (first, second, *_) = recorded["none"], record["ranked"]
needed = [n for n in blocks if below(recorded[str(n)], plain)]
assert first in needed and len(needed) < len(blocks) / 2
assert not any(below(row, plain, "scene") for row in recorded.values())
assert recorded["all"]["word"]["high"] < 0.2
print("the word needs block", *sorted(needed), "and first of all", first)

# %% [markdown]
# In most blocks nothing is lost, so these blocks do not need to attend to the letters. Do the three
# seeds agree? The next cell also has two **controls**. In the first, as many *other* tokens of the
# caption are hidden, drawn at random, because hiding might do harm in itself. In the second,
# conversely, everything *but* the word is hidden.

# %%
seeds = [recorded[str(n)]["word"]["by_seed"] for n in blocks]
assert all(min(blocks, key=lambda n: seeds[n][k]) == first for k in range(3))
rows = [[n, *seeds[n]] for n in blocks]
show.table(["hidden in block", *(f"seed {k}: right of {count}" for k in record["seeds"])], rows)

# %%
controls, bars = record["controls"], {"word, nothing hidden": plain["word"]}
for n in (first, second):
    bars[f"word, hidden in block {n}"] = recorded[str(n)]["word"]
    bars[f"word, as many others hidden in block {n}"] = controls[str(n)]["word"]
bars["word, as many others hidden in all"] = controls["all"]["word"]
for key in ("word", "scene"):
    for name, where in {"first": f"block {first}", "all": "all"}.items():
        row = controls[f"all but the word, {name}"]
        bars[f"{key}, all but the word hidden in {where}"] = row[key]
charts.bars(bars, "Words right with the word or as many other tokens hidden, and the reverse")

# %%
assert not any(below(controls[name], plain) for name in (str(first), str(second)))
assert below(controls["all but the word, all"], plain, "scene")
assert not below(controls["all but the word, first"], plain)
print("others hidden in these blocks: the word stays; the word alone seen: the scene is lost, ok")

# %% [markdown]
# When the word is hidden in the block that needs it, the word is lost and the scene stays. When
# everything *but* the word is hidden in the same block, the word is unharmed. That block is
# therefore not simply sensitive to any change: it is where the letters are read, and it needs
# little else for them.
#
# ## Heads, and blocks together
#
# A block has several heads, and each head can have its own mask. Which of them reads the letters?

# %%
heads = {f"head {name} of block {first}": row for name, row in record["heads"].items()}
alt = "Words right with the word hidden in one head of the block that needs it most"
charts.bars({name: row["word"] for name, row in heads.items()}, alt)

# %%
few = [name for name, row in heads.items() if below(row, plain)]
assert len(few) < len(heads)
print(f"words surely suffer in {len(few)} of {len(heads)} heads:", ", ".join(few) or "none alone")

# %% [markdown]
# If only a few blocks read the word, it must be lost when it is hidden in *them*, and kept when it
# is hidden in *all others*. To test both, we add blocks in the order of the damage that hiding did
# in each of them alone.

# %%
numbers, part = (1, 2, 3), record["together"] | {"only 1": recorded[str(first)]}
panel = {"x": "blocks, the most damaging first", "y": "words right"}
panel["series"] = {
    words: [(n, *bounds(part[f"{kind} {n}"]["word"])) for n in numbers]
    for words, kind in {"hidden in these": "only", "hidden in all others": "all but"}.items()
}
charts.curves([panel], "Words right over the number of blocks in which the word is hidden or seen")

# %%
enough = [n for n in numbers if not below(part[f"all but {n}"], plain)]
assert enough and all(part[f"only {n}"]["word"]["high"] < 0.3 for n in numbers)
names = " and ".join(map(str, sorted(record["ranked"][: enough[0]])))
print(f"seen by block {names} alone, the word comes out as if it were seen everywhere")

# %% [markdown]
# ## Letter by letter, and in Chinese
#
# Is the first letter in the picture read from the first token? We hide one character at a time, in
# all blocks, and check every place of the word.

# %%
panels = []
for kind, title in ((traced.LATIN, "Latin letters"), (traced.CHINESE, "Chinese characters")):
    part = record[f"signs, {kind}"]
    values = [[place["share"] for place in row["by_position"]] for row in part.values()]
    panels.append({"values": values, "title": title, "low": 0, "high": 1, "colour": "image"})
    panels[-1] |= {"x": "place in the word", "y": "sign that is hidden", "bar": "share right"}
heat_maps.heat(panels, "Two tables of shares right, light where the hidden sign stands", side=3.2)

# %%
for panel in panels:
    for n, row in enumerate(panel["values"]):
        others = [share for place, share in enumerate(row) if place != n]
        assert row[n] < 0.5 * min(others), panel["title"]
    print(panel["title"], [[f"{share:.2f}" for share in row] for row in panel["values"]])

# %% [markdown]
# Each character is read from its own token. Are the blocks the same for another script, and for
# letters in a Chinese caption?

# %%
chinese, mixed = record["blocks, Chinese characters"], record["translated"]
panel = {"x": "block in which the word is hidden", "y": "words right"}
panel["series"] = {
    "Latin letters, English caption": line(recorded),
    "Chinese characters, Chinese caption": line(chinese),
    "Latin letters, Chinese caption": line(mixed, at=sorted((first, second))),
}
charts.curves([panel], "Words right over the hidden block, for two scripts and two languages")

# %%
losing = [n for n in blocks if below(chinese[str(n)], chinese["none"])]
both = [n for n in (first, second) if below(mixed[str(n)], mixed["none"])]
assert below(chinese["all"], chinese["none"]) and below(mixed["all"], mixed["none"])
print("Chinese characters need block", *losing)
print("Latin letters under a Chinese caption need block", *both)

# %% [markdown]
# ## Put something in
#
# Hiding shows what a block *needs*. The second method, activation patching, shows what a state
# *carries*: two captions are painted side by side, and before block *b* the states at the word's
# tokens of one are copied into the other. From there on the first picture is computed with the
# second word's states. If it still shows the first word, the letters had been read earlier.
#
# ![Two columns of blocks, one for each caption. Before block b an arrow leads from the text of the
# right column into that of the left one](figures/causal_tracing.svg)
#
# ## Exercise: a patched run
#
# ★★★★☆ · 25 minutes
#
# Write `patched_run(blocks, img, txt, other_img, other_txt, places, at)`. `blocks` is a list of
# functions from two streams `img, txt`, of `(I, D)` and `(T, D)`, to the next two. Return the image
# stream after the last block of the first run, where before block number `at` its text states at
# `places` are replaced by those of the other run at the same depth. No argument may be changed in
# place. You will know it works when the checker says so.


# %% tags=["exercise"]
def patched_run(blocks, img, txt, other_img, other_txt, places, at):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
patched_run = answers.unless_solved(patched_run, answers.EX_34_PATCH)
check.ex_34_patch(patched_run)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Which blocks must the other run have passed by the time block `at` begins?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Use one loop over the blocks, in which both runs advance. In one iteration, and only there, some
# rows are copied. Writing into a tensor that is an argument changes it for the caller, too.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# for each block, with its number:
#     if the number is at: a copy of txt, whose rows at places are the other text's
#     both runs pass the block, each with its own two streams
# the first run's image stream
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def patched_run(blocks, img, txt, other_img, other_txt, places, at):
#     for number, block in enumerate(blocks):
#         if number == at:
#             txt = txt.clone()
#             txt[places] = other_txt[places]
#         img, txt = block(img, txt)
#         other_img, other_txt = block(other_img, other_txt)
#     return img
# ```
#
# </details>
#
# The package does both runs in one batch, whose second half are the *donors*:

# %%
show.source(inside.patched, inside.patching)

# %%
circle = Scene("white", (Shape("circle", "red"),), "large", "CAT")
trial = Trial(circle, "en", prompt, seed=3)
other = dataclasses.replace(circle, word="DOG")
donor = Trial(other, "en", prompt.replace("CAT", "DOG"), seed=3)
places = (0, 2, 4, 6)
row = [painted(), *(traced.paint_patched(pipe, [(trial, donor)], n)[0] for n in places)]
names = ["CAT", *(f"DOG put in before block {n}" for n in places)]
alt = "Five posters of a red circle; the word under it is CAT in some and DOG in others"
show.grid(row, names, alt, columns=5, scale=1)

# %%
assert read(row[0]).scene.word != read(row[1]).scene.word
print("put in before the first block, it is the other word that is written: ok")

# %%
patches = record["patches"]
before = [int(name) for name in patches if name.isdigit()]
panel = {"x": "block before which the other word is put in", "y": "signs right"}
panel["series"] = {
    "of the other word": line(patches, "other signs", before),
    "of the first word": line(patches, "signs", before),
}
charts.curves([panel], "Signs of the other word fall and signs of the first rise over the blocks")

# %%
assert not below(patches["same"], plain), "control: the same word from another noise"
assert patches["0"]["other word"]["low"] > patches["0"]["word"]["high"]
rows = {n: patches[str(n)] for n in before}
late = [n for n in before if rows[n]["signs"]["low"] > rows[n]["other signs"]["high"]]
print("control, the same word from another noise put in: the word stays, ok")
print("too late for the other word: before block", *late)

# %% [markdown]
# ## Who paints colour, place and count?
#
# We ask the same question for the other words of a caption. Here each attribute's own tokens are
# hidden, and we count whether *that* attribute comes out right. The captions of this section ask
# for no word.

# %%
names = {"colour": "colours", "place": "layout", "background": "background", "count": "count"}
columns = [*map(str, blocks), "all"]
parts = {name: record[f"attribute, {name}"] for name in names}
values = [[1 - parts[n][c][k]["share"] for c in columns] for n, k in names.items()]
panel = {"values": values, "title": "share wrong", "low": 0, "high": 1, "bar": "share wrong"}
panel |= {"x": "block in which its tokens are hidden", "rows": names, "columns": columns}
panel["colour"] = "text"
heat_maps.heat([panel], "A table of shares wrong: four attributes by eight blocks, and all", side=5)

# %%
rows = []
for name, key in names.items():
    part = parts[name]
    losing = [n for n in blocks if below(part[str(n)], part["none"], key)]
    alone = ", ".join(map(str, losing)) or "none alone"
    rows.append([name, *(f"{part[c][key]['share']:.2f}" for c in ("none", "all")), alone])
assert all(float(row[1]) > 0.7 for row in rows)
show.table(["attribute", "right, nothing hidden", "right, hidden in all", "blocks needed"], rows)

# %%
relay = parts["colour"]["all, with the shape's name"]["colours"]
print(f"colour right with its word hidden: {parts['colour']['all']['colours']['share']:.2f},")
print(f"and with the shape's name hidden as well: {relay['share']:.2f}")

# %% [markdown]
# An attribute may come out right although its word is hidden everywhere. Since the text encoder is
# causal, the state of *circle* depends on *red* as well, and the image still attends to it. For the
# letters of a word, there is no other token that carries them as well.
#
# ## When?
#
# Painting takes six steps. We hide the word in one block during half of them, and in all blocks
# during a third.

# %%
when, steps = record["when"], record["steps"]
bars = {
    f"block {n}, steps {s} to {s + steps // 2 - 1}": when[f"{n} from {s}"]["word"]
    for n in (first, second)
    for s in (0, steps // 2)
}
for s in range(0, steps, steps // 3):
    bars[f"all blocks, steps {s} and {s + 1}"] = when[f"all from {s}"]["word"]
charts.bars(bars, "Words right with the word hidden during a part of the steps")

# %%
thirds = [when[f"all from {s}"] for s in range(0, steps, steps // 3)]
needed_in = [name for name, row in zip(("first", "second", "last"), thirds) if below(row, plain)]
assert all(row["word"]["high"] > recorded["all"]["word"]["high"] for row in thirds)
print("third of the steps in which the word is surely needed:", *(needed_in or ["none alone"]))
print("hidden in the last third alone, the word stays:", not below(thirds[-1], plain))

# %% [markdown]
# ## Click a word
#
# Attention maps are cheap to compute, and many tools show a picture like the one below: for each
# patch the attention that it pays to a word, averaged over all heads and steps (this method is
# DAAM, see below).

# %%
from qwenimage_ref.course.figures import joint_attention
from qwenimage_ref.sampler import pack

states, maps = pipe.encode_prompt([prompt])[0], []


def note(step, sigma, latents, velocity):
    call = pack(latents), states, torch.tensor([sigma]), [(1, 8, 8)]
    each = joint_attention.arguments_of_blocks(transformer, *call)
    pairs = zip(transformer.transformer_blocks, each)
    maps.append([joint_attention.attention_weights(b, *a)[0].mean(0) for b, a in pairs])


poster = pipe(prompt, None, 1.0, num_inference_steps=traced.STEPS, seed=3, callback=note)[0]
weights = [torch.stack(each).mean(0) for each in zip(*maps)]

# %%
clicked = joint_attention.WordOverPicture(poster, weights, tokens, tokens[word[0]], first)
clicked

# %%
before = clicked.picture.value
clicked.word.value = tokens[word[-1]]
assert clicked.picture.value != before
looks = [weights[n][len(tokens) :, word].sum(-1).view(8, 8) for n in blocks]
show.grid(
    [joint_attention.overlay(poster, look) for look in looks],
    [f"block {n}" for n in blocks],
    "The poster eight times in gray, with the patches coloured that attend to the word",
    columns=8,
    scale=1,
)

# %%
amounts = [look.mean().item() for look in looks]
order = sorted(blocks, key=lambda n: -amounts[n])
assert sorted(order) == sorted(record["ranked"]) == list(blocks)
print("the block that looks most is the one that is needed most:", order[0] == first)
print("the order by attention is the order by need:", order == record["ranked"])

# %% [markdown]
# How much a patch attends to a word says little about what it needs from it; only an intervention
# shows that.
#
# ## A LoRA on two blocks
#
# If spelling is computed in a few blocks, is it necessary to train these? The task is a cipher of
# four letters: where the caption says A the poster shows H, and so on, so that nothing but spelling
# changes. Two LoRAs of rank 8 are trained with the same posters, steps and number of weights, one
# on the two blocks that the word needs most and one on the two that it needs least.

# %%
from qwenimage_ref.evaluate import spelling_lora

show.source(spelling_lora.trained)

# %%
lora = record["lora"]
titles = {"none": "no LoRA"} | {
    name: f"blocks {row['blocks'][0]} and {row['blocks'][1]}"
    for name, row in lora.items()
    if "blocks" in row
}
bars = {
    f"{titles[name]}: {words}": row[key]
    for words, key in {"by the cipher": "new signs", "as before": "old signs"}.items()
    for name, row in lora.items()
}
charts.bars(bars, "Signs by the cipher and as before, without a LoRA and with one on two blocks")

# %%
here, there = (lora[name]["new signs"] for name in ("first two", "last two"))
assert min(here["low"], there["low"]) > lora["none"]["new signs"]["high"]
assert lora["first two"]["weights"] == lora["last two"]["weights"]
apart = here["low"] > there["high"] or there["low"] > here["high"]
print("both have learnt the cipher; one surely better than the other:", apart)

# %% [markdown]
# So the answer is no: blocks that a word does not need can also learn to change it. The place where
# something *is* read is not the only place where it *can* be changed, since other blocks also act
# on the same streams. Localization and editing therefore have to be tested separately.
#
# ## Open question: these blocks, or late blocks?
#
# Open · one hour
#
# A sceptic says: "You would have found the same blocks for every word of the caption. They are
# simply where the picture is finished." Test this. Choose an attribute and a measurement of this
# page, write down what you expect if the sceptic is right and if not, and run it with
# `traced.hidden` on at least 24 captions and with a control. Two pages, marked by the table of open
# questions in the rubric (`site/pages/rubric.md`), or in short:
#
# | points | for |
# |---|---|
# | 1 | two expectations that differ, written down before the run |
# | 1 | a control in which nothing should happen, and nothing does |
# | 1 | counts with intervals, and no claim where they overlap |
# | 1 | what your result does *not* show, in one sentence |
#
# ## Where this comes from
#
# * Causal tracing, in which states of one run are put into another: [Meng et al.
#   2022](https://arxiv.org/abs/2202.05262), section 2.1, for facts in GPT. The variants of the
#   method, and how they disagree: [Zhang and Nanda 2023](https://arxiv.org/abs/2309.16042).
# * Blocking attention between chosen positions is *attention knockout*: [Geva et al.
#   2023](https://arxiv.org/abs/2304.14767).
# * Attention maps of words over a picture: DAAM, [Tang et al.
#   2022](https://arxiv.org/abs/2210.04885), section 2. Exchanging those maps between two prompts:
#   Prompt-to-Prompt, [Hertz et al. 2022](https://arxiv.org/abs/2208.01626), section 3.
# * The question of this page, for SDXL, DeepFloyd IF and SD3: [Staniszewski et al.
#   2025](https://arxiv.org/abs/2502.09935). They find that less than one per cent of the weights
#   influence the written text, and train a LoRA only there. The abstract names no FLUX model. Their
#   judge is an OCR program; ours reads drawn posters without mistakes ([chapter
#   13](13_is_it_any_good.ipynb)).
#
# ## Estimate first
#
# **1.** How many pictures does a map of the blocks take, with 24 captions for each setting?
#
# <details><summary>Answer</summary>
#
# 240, for ten settings: each of eight blocks, none and all.
#
# </details>
#
# **2.** In how many ways could the word be hidden in a set of the eight blocks?
#
# <details><summary>Answer</summary>
#
# 256. This page tries 15 of them, so it could miss a pair of blocks of which either one is enough.
#
# </details>
#
# **3.** All of 24 pictures are right. How low may the true share be?
#
# <details><summary>Answer</summary>
#
# 0.86, the lower end of Wilson's interval.
#
# </details>

# %%
assert (len(blocks) + 2) * 24 == 240 and 2 ** len(blocks) == 256
assert round(interval(24, 24)["low"], 2) == 0.86
print("240 pictures, 256 sets, 0.86: ok")

# %% [markdown]
# ## What production code does differently
#
# * Tools such as TransformerLens and nnsight give every activation a name and a hook; here a block
#   has two, which is enough.
# * On models with billions of weights, one forward pass for each setting is too expensive.
#   *Attribution patching* estimates all effects at once from a gradient, and only the largest are
#   checked.
# * The judge is a program that errs, or a person, so its own errors have to be measured first.
#
# ## Try this
#
# * Hide the closing quotation mark, or the end of the template, instead of the word.
# * Put a colour's states into another caption. Before which block does this change the colour?
# * Hide the word from the *text* tokens as well. Does anything change?
# * Repeat the map with guidance. In which of the two branches must the word be hidden?
#
# **Capstone.** `make grade` has no points for this page. Your own block, if it takes a mask, can be
# traced like the package's.
#
# Next: [a law](35_a_law.ipynb) of size, data and compute.
