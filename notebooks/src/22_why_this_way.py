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
# # 22 · Why this way
#
# Text on a diagonal, queries and keys of one length, two MLPs in every block: why were these
# chosen? A paper says that they work. This page takes away one choice at a time and counts what is
# lost.
#
# | | |
# |---|---|
# | **You need** | chapters 06 for the parts, 12 for the recipe, 13 for intervals |
# | **You get** | what a training run without each choice lost, and how to tell a loss from luck |
# | **Minutes** | 25 to read, seconds to run |
# | **Picture** | each choice taken away: how many pictures that cost, with its interval |
# | **Number** | which differences are more than luck, counted caption by caption |
#
# The pocket model took hours to train, too many to do it fourteen times. Its **sibling** learns the
# same world without words in four minutes: four blocks, 1.6 million parameters, 800 steps of 32
# posters. All runs begin with the same parameters, see the same posters in the same order with the
# same noise, and differ in one thing.

# %%
import json

from qwenimage_ref.course import charts, show

record = json.loads(show.data_file("measurements/ablations.json").read_text())
variants = record["variants"]
trained = [name for name, row in variants.items() if not row["only_sampled"]]
print(len(trained), "training runs,", len(variants) - len(trained), "other ways to paint with them")
print(record["captions"], "captions each, of scenes that no training picture shows")
assert len(trained) >= 12 and record["captions"] >= 200

# %% [markdown]
# Nothing is trained on this page. It reads what was measured, and the file says by which command
# and on which machine. Each variant is named after its difference from the baseline:

# %%
rows = [[name, row["says"]] for name, row in variants.items()]
show.table(["variant", "what is different"], rows)

# %% [markdown]
# ## How far does the baseline get?

# %%
stages = record["stages"]


def over_steps(part):
    return [(stage["step"], 100 * stage["rows"][part]["share"]) for stage in stages]


loss = {"posters it never saw": [(stage["step"], stage["loss"]) for stage in stages]}
parts = {part: over_steps(part) for part in ("background", "colours", "layout", "scene")}
charts.curves(
    [{"series": loss, "x": "step", "y": "loss"}, {"series": parts, "x": "step", "y": "% right"}],
    alt="The loss falls fast, then slowly. Backgrounds are right after 150 steps; colours "
    "and places follow; whole scenes have hardly begun at the end.",
)

# %%
first, last = stages[0]["rows"], stages[-1]["rows"]
assert last["background"]["share"] > 0.95 > 0.6 > last["colours"]["share"] > 0.15
assert last["scene"]["share"] < 0.2
print("at the end: backgrounds right, a good part of the colours, few whole scenes: ok")

# %% [markdown]
# A whole scene needs round circles and pointed stars, and those come last: the pocket model saw
# many times as many posters. With one scene in twenty right there is too little to compare.
# Variants are therefore compared by *colours*: does the picture have the right number of shapes,
# each in its colour and in the right order? A third of the pictures pass, which leaves room on both
# sides.

# %%
measure = record["compared"]
print("compared by:", measure)
shares = {name: row["rows"][measure] for name, row in variants.items()}
charts.bars(
    dict(sorted(shares.items(), key=lambda pair: -pair[1]["share"])),
    top=60,
    alt="Bars of all variants with their intervals: most lie between a quarter and two fifths",
)

# %%
for row in variants.values():
    counted = row["rows"][measure]
    assert counted["right"] == row["bits"].count("1") and counted["low"] < counted["high"]
print("each bar is the count of its stored answers: ok")

# %% [markdown]
# ## First: how large is luck?
#
# Three training runs differ in nothing but the `seed`, that is in their initial weights and their
# noise. Any difference between them is luck, and a choice that makes no larger difference has not
# been shown to matter. The baseline is the luckiest of the three, so the runs below are compared
# with the *mean* of the three. Even this is a small sample: the range of three seeds is often
# narrower than luck is. Every other row is a single training run.

# %%
seeds = ["baseline", "another seed", "a third seed"]
shares = [variants[name]["rows"][measure]["share"] for name in seeds]
losses = [variants[name]["loss"] for name in seeds]
luck, loss_luck = max(shares) - min(shares), max(losses) - min(losses)
rows = [[name, f"{100 * s:.0f} %", f"{x:.3f}"] for name, s, x in zip(seeds, shares, losses)]
show.table(["seed", measure, "loss"], rows)

# %%
assert 0.02 < luck < 0.2 and loss_luck < 0.02
assert shares[0] == max(shares)
mean = sum(shares) / len(shares)
print(f"equals lie {100 * luck:.0f} points apart in colours, around a mean of {100 * mean:.0f} %")
print("their losses differ by less than 0.02: ok")

# %% [markdown]
# The **loss** varies far less than the pictures. It is a mean over 512 posters and every level of
# noise, while a picture is a single answer, right or wrong. This page therefore looks at both. But
# what one wants in the end is the picture and not the loss.
#
# ## Pairs are more precise than shares
#
# All variants painted the *same* captions from the *same* noise. Most of the answers are the same,
# too, and contribute nothing to the difference. Two models differ by the captions that one got
# right and the other wrong:


# %%
def split(name):
    pairs = list(zip(variants[name]["bits"], variants["baseline"]["bits"]))
    return {kind: pairs.count((kind[0], kind[1])) for kind in ("11", "10", "01", "00")}


found = split("AdamW")
labels = {"11": "both", "10": "only AdamW", "01": "only the baseline", "00": "neither"}
show.table(["right", "captions"], [[labels[kind], count] for kind, count in found.items()])

# %%
against = variants["AdamW"]["against_baseline"]
assert (against["first_only"], against["second_only"]) == (found["10"], found["01"])
assert sum(found.values()) == record["captions"]
print("AdamW and the baseline: counted here as in the record: ok")

# %% [markdown]
# ## Exercise: worse, or unlucky?
#
# ★★★☆☆ · 15 minutes
#
# Write `worse(variant, baseline)`. Both are strings like `"0110"` with one digit for each caption,
# 1 for right. Return True if the variant is worse beyond chance. The rule is this: look only at the
# captions on which the two differ. If a fair coin had decided each of them, how often would it be
# at least as lopsided as this, in *either* direction? If less often than 5 times in 100, and the
# variant is the one that lost, it is worse. You will know it works when the checker says so.


# %% tags=["exercise"]
def worse(variant: str, baseline: str) -> bool:
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

worse = answers.unless_solved(worse, answers.EX_22_WORSE)
check.ex_22_worse(worse)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Six coins all show heads. How likely is a result like this, if all tails would have surprised you
# as much?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Let `won` and `lost` be the captions that only the variant, or only the baseline got right. Of the
# `2 ** (won + lost)` ways in which so many coins can fall, count those with at most `won` heads.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# count won and lost; chance = 2 * (ways with 0 heads + ... + ways with `won` heads) / all ways;
# worse if lost > won and chance < 0.05
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# from math import comb
#
# def worse(variant, baseline):
#     pairs = list(zip(variant, baseline))
#     won, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
#     ways = sum(comb(won + lost, heads) for heads in range(won + 1))
#     return lost > won and 2 * ways / 2 ** (won + lost) < 0.05
# ```
#
# This is McNemar's test, in its exact form.
#
# </details>

# %% [markdown]
# ## What is lost?
#
# The next figure compares each variant with the baseline, caption by caption, in points more or
# less. Its 95 % intervals cover the variation between captions and not that between seeds. The gray
# band is as wide as the three seeds were apart.

# %%
charts.differences(
    {name: row["against_baseline"] for name, row in variants.items() if name != "baseline"},
    luck,
    alt="Differences to the baseline in points with intervals, over a gray band around nothing. "
    "AdamW, unshifted and uniform noise levels, no caption dropout, no guidance and the usual "
    "start lie left of the band around the luckiest seed; most of the rest lie in it",
)

# %%
certain = [name for name in variants if worse(variants[name]["bits"], variants["baseline"]["bits"])]
below = {name: variants[name]["rows"][measure]["share"] - mean for name in trained}
beyond = [name for name in trained if below[name] < -luck]
print("worse than the luckiest seed by the coin:", ", ".join(certain))
print("below the mean of the seeds by more than they are apart:", ", ".join(beyond))
assert "another seed" in certain and beyond == ["AdamW", "sigma unshifted", "no caption dropout"]
for name in ("sigma uniform", "usual start", "no QK-norm"):
    print(f"{name}: {100 * below[name]:+.1f} points from the mean, within the band")
    assert name in certain and -luck < below[name] < 0

# %% [markdown]
# Look at the first line again: it contains *another seed*. The test calls a run worse that differs
# in nothing but its seed. It is not mistaken, because **these weights** do paint worse than those
# on captions of this kind. But the test covers the variation between captions, not the variation
# between training runs. A claim that a choice is worse is a claim about training runs, and needs
# several of each.
#
# The rows of this page are therefore single observations: fourteen training runs took an hour of
# one core, and three seeds of each would take three. Three rows fall below the mean by more than
# the seeds are apart. For everything within the band, this page cannot say whether it matters.
#
# ## The paper's choices, in this small world
#
# * **Text on a diagonal** (`text at the origin`, `text in a row`). Both lie in the band, and the
#   loss shows no harm either: with all text at one position it is even lower. A caption here has
#   fifteen tokens, and the text encoder has already put each position into its state. The report
#   wants two things from the diagonal, one layout for every size of picture and no overlap of text
#   and picture positions, and posters of one size need neither. [Chapter 05](05_msrope.ipynb)
#   explains the idea; this page shows only that small worlds do not need it.
# * **QK-norm** (`no QK-norm`). Five points below the mean of the seeds, within the band, at the
#   same loss. It was introduced to keep the training of large networks from diverging ([Dehghani et
#   al.](https://arxiv.org/abs/2302.05442)); four blocks and 800 steps did not diverge without it.
# * **Two MLPs in a block** (`one MLP`). Sharing one saves a fifth of the numbers and lies in the
#   band.
# * **Length kept under guidance** (`no norm rescale`). With these weights it is *better* to leave
#   it out, by five points. No training is involved, since the same weights painted twice, so the
#   test applies, but only to these weights.
# * **Guidance**. With these weights, painting without it loses fifteen points. After so short a
#   training run the predictions are uncertain, and then guidance decides most, as [chapter
#   08](08_the_shifted_sampler.ipynb) shows.

# %%
rescale = variants["no norm rescale"]["against_baseline"]
assert rescale["low"] > 0 and rescale["p"] < 0.05
assert variants["text at the origin"]["loss"] < min(losses)
saved = 1 - variants["one MLP"]["parameters"] / variants["baseline"]["parameters"]
assert 0.15 < saved < 0.25
print(f"without the rescale {100 * rescale['difference']:.0f} points better, beyond a coin's luck")
print(f"one MLP saves {100 * saved:.0f} % of the numbers: ok")

# %% [markdown]
# ## The recipe's choices
#
# These are our choices, not the paper's, with one run each, against the mean of the three seeds:
#
# * **Muon** for the matrices: the one run with AdamW instead ended 16 points lower.
# * **Noise levels** as the sampler uses them, logit-normal and shifted: unshifted 16 points lower,
#   uniform seven, which is within the band.
# * **Layers that start at zero** (`usual start` leaves that out): seven points lower without,
#   within the band.
# * **Caption dropout**: 14 points lower without, although the loss is *lower* without it, too. One
#   caption in ten is replaced by an empty one, so that guidance has something to push away from; a
#   model that never saw the empty prompt receives it at every guided step. The loss falls and the
#   pictures get worse, which is worth remembering whenever someone shows you a loss.
# * Averaging the weights, and letting the learning rate fall: leaving out either one changed
#   little, and without both the loss is higher by more than the seeds are apart.


# %%
def loss_of(name):
    return variants[name]["loss"]


assert loss_of("no caption dropout") < min(losses)
assert below["no caption dropout"] < -luck
assert loss_of("constant rate, no average") > max(losses) + loss_luck
assert max(loss_of("constant rate"), loss_of("no average")) < max(losses) + loss_luck
print("without caption dropout the loss is lower and the pictures are worse: ok")
print("average or falling rate: one suffices: ok")

# %% [markdown]
# ## The same in a table: loss and cost

# %%
base = variants["baseline"]


def cost(row):
    return f"{row['seconds_per_step'] / base['seconds_per_step']:.2f}"


rows = [
    [name, f"{row['loss']:.3f}", f"{row['loss'] - base['loss']:+.3f}", cost(row),
     f"{row['parameters'] / 1e6:.2f}"]
    for name, row in variants.items() if not row["only_sampled"]
]  # fmt: skip
show.table(["training", "loss", "to baseline", "time a step", "million numbers"], rows)

# %%
same = [row["seconds_per_step"] for row in map(variants.get, (*seeds, "text in a row"))]
assert 1.03 < max(same) / min(same) < 1.25
print("runs that compute the same differ by 3 to 25 % in time: ok")

# %% [markdown]
# The times should be read with that in mind: other work on the machine shows even in processor
# time. That `words alone`, a text encoder without layers, costs a quarter less is more than that;
# what QK-norm costs is not settled here.
#
# The losses of *sigma uniform* and *sigma unshifted* need care as well. They are taken at the
# baseline's noise levels, which these variants practised less. For them, the pictures decide.

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** Variant and baseline differ on 20 captions. How many must the variant lose before the coin
# calls it worse?
#
# <details><summary>Answer</summary>
#
# 15 of the 20. With 14 lost and 6 won, a fair coin would be as lopsided in 12 cases of 100.
#
# </details>
#
# **2.** Take 20 variants that are all as good as the baseline. How many will the coin call
# different?
#
# <details><summary>Answer</summary>
#
# One, on average: 5 in 100. With seventeen rows on this page, expect nearly one false alarm, even
# if runs did not vary.
#
# </details>
#
# **3.** How many captions would it take to see a true difference of 3 points, if models disagree on
# a fifth of them?
#
# <details><summary>Answer</summary>
#
# About 900 to see it at all, with a lead of two standard errors, and twice as many to see it in
# four trials of five. A benchmark of 240 captions can show a difference of twenty points, but not
# one of three.
#
# </details>

# %%
assert worse("0" * 15 + "1" * 5, "1" * 15 + "0" * 5)
assert not worse("0" * 14 + "1" * 6, "1" * 14 + "0" * 6)
needed = 4 * 0.2 / 0.03**2  # (two standard errors)², the error of a difference being sqrt(0.2 / n)
assert 800 < needed < 1000
print("15 of 20; about 900 captions: ok")

# %% [markdown]
# ## What production code does differently
#
# * People compare pictures as well (in the report: AI Arena); our reader counts shapes.
# * The report names its choices and shows few of the alternatives: a training run of 20 billion
#   parameters is not repeated to find out whether a diagonal was needed.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The test by coins: [McNemar 1947](https://doi.org/10.1007/BF02295996). Query and key norm:
#   [Dehghani et al. 2023](https://arxiv.org/abs/2302.05442), section 2. Guidance and the empty
#   captions that it needs: [Ho and Salimans 2022](https://arxiv.org/abs/2207.12598), section 3.
# * SD3's paper does what this page does at a larger scale. It trains and compares 61 combinations
#   of path, prediction and levels, and then the number of latent channels, the captions and the
#   architecture ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), sections 5.1 and 5.2).
# * FLUX.1: no comparison of alternatives was published.
#
# </details>
#
# ## Try this
#
# * Add a variant to `VARIANTS` in `qwenimage_ref/evaluate/ablation_variants.py` and run
#   `python -m qwenimage_ref.evaluate.ablations "your variant"`: four minutes of one core.
# * Give one that lies in the band two more seeds. Does it stay there?
# * Compare by *layout* instead of *colours*: `row["rows"]["layout"]`. Which rows change places?
#
# Capstone: each choice that this page takes away is a line of `mmdit.py`. Take it away in yours,
# and `make grade PART=mmdit` names the first tensor that it changes.
#
# Next: [23 · Image to image and inpainting](23_image_to_image_and_inpainting.ipynb), starting from
# a picture instead of noise.
