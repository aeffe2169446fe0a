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
# # 37 · The data
#
# Every chapter so far took pictures and captions as given. Real ones come from the web, where files
# are broken, rotated, blurred, duplicated, or have captions that belong to something else. The
# report on Qwen-Image devotes its section 3 to them. On this page a collection with planted defects
# passes through the same seven stages, and the rest is encoded and streamed into a training run.
#
# | | |
# |---|---|
# | **You need** | [chapter 10](10_lora.ipynb) for the training run at the end; NumPy |
# | **You get** | filters by hand, duplicates by hash, shards, and a stream that resumes exactly |
# | **Minutes** | 40 to read, 40 to write, one to run |
# | **Picture** | what a limit costs: blurred posters caught, whole ones lost |
# | **Number** | streamed examples equal those encoded in memory, bit for bit |
#
# ## Seven stages
#
# The report lists them, with the filters of each, in section 3.2, but it gives no limits. Filters
# are added from stage to stage, so that early training sees many pictures and later training only
# the good ones.

# %%
import collections
import io
import math
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from qwenimage_ref.course import charts, show
from qwenimage_ref.curation import filters, together
from qwenimage_ref.curation import picture as look
from qwenimage_ref.curation.filters import FILTERS, POSTERS, STAGES, TOGETHER
from qwenimage_ref.evaluate import defects
from qwenimage_ref.posters.draw import second_poster

names = {stage: [] for stage in STAGES}
for name in [*FILTERS, *TOGETHER]:
    names[filters.stage_of(name)].append(name)
names[7] = ["no filter: sizes are drawn"]
show.table(["stage", "", "here"], [[n, STAGES[n], ", ".join(names[n])] for n in STAGES])

# %% [markdown]
# We leave out the filters that need a separate network: NSFW, aesthetics, and CLIP, which measures
# how well a caption fits its picture. Instead of CLIP, we use the exact reader of posters.
#
# Our collection consists of posters, and half of them get a defect. There is one kind of defect for
# each filter:

# %%
KINDS = ("rotation", "clarity", "luma", "saturation", "texture", "dense text", "small characters",
         "watermark")  # fmt: skip
_, pixels, caption = second_poster(4, size=(128, 128))
poster = Image.fromarray(pixels)
damaged = []
for kind in KINDS:
    content, _ = defects.DEFECTS[kind](poster, caption, defects.random.Random(1))
    damaged.append(Image.open(io.BytesIO(content)).convert("RGB"))
show.grid(damaged, KINDS, "One poster with eight defects, each under the filter that it is for")

# %%
numbers = filters.numbers_of(defects.encoded(poster), caption)
assert filters.failing(numbers, POSTERS) == []
for kind in KINDS:
    content, text = defects.DEFECTS[kind](poster, caption, defects.random.Random(1))
    assert kind in filters.failing(filters.numbers_of(content, text), POSTERS), kind
print("the whole poster passes every filter, and each damaged one fails its own: ok")

# %% [markdown]
# ## A number for a picture
#
# A filter computes a number and compares it with a limit. Most of the numbers take one line of
# code. A file is **broken** if its decoder fails; a picture is **rotated** if its EXIF metadata say
# so. **Luma** is brightness, $Y = 0.299\,R + 0.587\,G + 0.114\,B$; a picture whose lightest pixels
# are dark, or whose darkest are light, is removed.
#
# **Entropy** measures how much variety there is in a picture. With $p_v$ the share of pixels whose
# luma is $v$,
#
# $$H = -\sum_v p_v \log_2 p_v ,$$
#
# the number of bits that a pixel would need on average in the best code for its levels.
#
# ## Exercise: entropy
#
# ★★☆☆☆ · 10 minutes
#
# Write `entropy(levels)`. It takes a NumPy array of integers from 0 to 255, one for each pixel, and
# returns $H$ in bits. You will know it works when the checker says so and it agrees with the
# package below.


# %% tags=["exercise"]
def entropy(levels):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

entropy = answers.unless_solved(entropy, answers.EX_37_ENTROPY)
check.ex_37_entropy(entropy)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How often does each level occur? What does a level contribute that never occurs?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Count the levels, leave out those that do not occur, and divide by the number of pixels. Then take
# the sum of the formula.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# p <- how often each level occurs / number of pixels, where it occurs
# minus the sum of p times the logarithm of p to base 2
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def entropy(levels):
#     counts = np.bincount(levels)
#     share = counts[counts > 0] / len(levels)
#     return -(share * np.log2(share)).sum()
# ```
#
# </details>

# %%
levels = look.gray(pixels).astype(np.uint8).ravel()
blank = np.full_like(pixels, 240)
assert abs(entropy(levels) - look.entropy(pixels)) < 1e-5 and look.entropy(blank) == 0
print("entropy of a poster and of a blank one: as the package has them, ok")

# %% [markdown]
# ## Sharp, or merely empty?
#
# The usual number for **clarity** is the variance of the Laplacian, the difference of a pixel from
# the mean of its four neighbours. It is small for blurred pictures, but also for sharp pictures
# with little on them:


# %%
def laplacian_variance(pixels):
    y = look.gray(pixels)
    around = (y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:]) / 4
    return float((y[1:-1, 1:-1] - around).var())


def blurred(pixels, radius=2.0):
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


posters = [second_poster(seed, size=(128, 128))[1] for seed in range(60)]
soft = [blurred(each) for each in posters]


# %% [markdown]
# The package instead measures how steep the steepest edges are, as a share of the whole range from
# dark to light. An edge within one pixel has 1, and one that is spread over $n$ pixels about $1/n$,
# however few edges there are. To see which number separates better, we vary the limit over all
# values:


# %%
def shares(measure):
    sharp_ones, soft_ones = ([measure(each) for each in group] for group in (posters, soft))
    limits = sorted(sharp_ones + soft_ones)
    lost = [sum(value < limit for value in sharp_ones) / 60 for limit in limits]
    caught = [sum(value < limit for value in soft_ones) / 60 for limit in limits]
    return list(zip((100 * x for x in lost), (100 * y for y in caught)))


series = {"steepest edges": shares(look.clarity), "variance": shares(laplacian_variance)}
panel = {"x": "whole posters lost, per cent", "y": "blurred ones caught, per cent"}
charts.curves(
    [panel | {"series": series}],
    "Blurred posters caught over whole ones lost: steepest edges catch all and lose none",
)

# %%
best = {name: max(y for x, y in points if x == 0) for name, points in series.items()}
assert best["steepest edges"] > 95 > best["variance"]
print("at a limit that loses no whole poster, steepest edges catch nearly all, the variance fewer")

# %% [markdown]
# Every limit can be chosen by such a curve: plant the defect and see how many whole pictures the
# limit costs. In the terms of classifiers, the vertical axis is the **recall**; the **precision**
# is the share of true defects among everything that is removed.
#
# Here are both for every filter, on many posters with defects. The whiskers are 95 % intervals,
# computed as in [chapter 13](13_is_it_any_good.ipynb). For the precision we count what a filter
# removes among whole posters and those with its own defect; a poster with another defect may well
# have both.

# %%
import json

stored = json.loads(show.data_file("measurements/filters.json").read_text())
recall, precision = (
    {name: row[which] for name, row in stored["filters"].items()}
    for which in ("recall", "precision")
)
charts.bars(
    recall, "Share of planted defects that the filter for each finds: all above 97 per cent"
)

# %%
assert all(row["share"] > 0.97 for row in recall.values()) and len(recall) == 15
print("recall: more than 97 of 100 posters with any one of the fifteen defects are found")

# %%
charts.bars(precision, "Share of removed posters that have the defect: all above 90 per cent")

# %%
assert all(row["share"] > 0.9 for row in precision.values())
below = {name for name, row in precision.items() if row["share"] < 0.95}
assert below == {"duplicate", "luma", "entropy"}
print("precision: more than 90 of 100 removed posters have the defect, and more than 95")
print("for all filters but those of", ", ".join(sorted(below)))

# %% [markdown]
# ## Twice the same
#
# Duplicates are rarely identical files: copies are smaller, more compressed or lighter. A
# **perceptual hash** keeps what such copies have in common, the coarse distribution of light and
# dark. The picture's luma $Y$ is reduced to 32 × 32, and its lowest 8 × 8 frequencies are computed
# by the discrete cosine transform
#
# $$F_{uv} = \sum_{y=0}^{31} \sum_{x=0}^{31} Y_{yx}\,
# \cos\frac{\pi u (2y+1)}{64}\, \cos\frac{\pi v (2x+1)}{64} .$$
#
# Bit $8u+v$ is set if $F_{uv}$ is positive and not negligibly small. By hand, term by term:


# %%
def hash_by_hand(pixels):
    small = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.BOX)
    waves = {}
    for u in range(8):
        for v in range(8):
            across = [math.cos(math.pi * v * (2 * x + 1) / 64) for x in range(32)]
            down = [math.cos(math.pi * u * (2 * y + 1) / 64) for y in range(32)]
            waves[u, v] = np.array(down) @ np.asarray(small, float) @ np.array(across)
    waves[0, 0] = 0  # the mean, which any change of brightness moves
    least = look.FAINT * max(map(abs, waves.values()))
    return int("".join("1" if waves[key] > least else "0" for key in waves), 2)


agree = sum(hash_by_hand(each) == look.perceptual_hash(each) for each in posters)
assert agree >= 58  # a wave at the limit may fall on either side of it
print("by hand and by two matrix products: the same hashes")


# %%
def copy_of(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).resize((112, 112)).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


codes = [look.perceptual_hash(each) for each in posters]
copies = [look.perceptual_hash(copy_of(each)) for each in posters]
apart = sorted((a ^ b).bit_count() for a, b in zip(codes, copies))
strangers = sorted((a ^ b).bit_count() for a, b in zip(codes, codes[1:]))
assert apart[54] <= 3 < strangers[30]
print("bits between a poster and its copy: at most 3 in nine of ten; strangers: mostly more")

# %% [markdown]
# A billion pictures form 5 × 10¹⁷ pairs, too many to compare. The solution is to divide the hash
# into four bands of 16 bits. Three different bits affect at most three bands, so two hashes that
# differ in at most three bits agree in at least one band and can be found by it.
#
# ## Exercise: candidates
#
# ★★★☆☆ · 15 minutes
#
# Write `candidates(codes)`. It takes a list of hashes, integers of 64 bits, and returns the set of
# all pairs of indices `(i, j)`, `i < j`, whose hashes agree in at least one of the four bands of 16
# bits, at the same position. Do not compare every pair. You will know it works when the checker
# says so.


# %% tags=["exercise"]
def candidates(codes):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
candidates = answers.unless_solved(candidates, answers.EX_37_CANDIDATES)
check.ex_37_candidates(candidates)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A dictionary finds the earlier hashes with the same band without comparing with all of them.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Use a band's number together with its 16 bits as the key, and a list of indices as the value.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# for each place j and its code
#     for each of the four bands
#         pair j with all that stand under (number of the band, its bits)
#         write j down there, too
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def candidates(codes):
#     pairs, buckets = set(), {}
#     for j, code in enumerate(codes):
#         for band in range(4):
#             bucket = buckets.setdefault((band, code >> 16 * band & 0xFFFF), [])
#             pairs |= {(i, j) for i in bucket}
#             bucket.append(j)
#     return pairs
# ```
#
# </details>

# %%
pairs = candidates(codes + copies)
met = sum((i, i + 60) in pairs for i in range(60))
assert met >= 54 and len(pairs) < 120 * 119 / 2 / 3
print("nine of ten copies meet their original; of all pairs, most were never compared")

# %% [markdown]
# Luma does not distinguish all colours, so a red and a blue star may have the same hash. Candidates
# are therefore compared pixel by pixel as thumbnails of 16 × 16 pixels:

# %%
show.source(together.Duplicates.earlier)

# %% [markdown]
# ## Balance, and scales
#
# The distribution of what is left is not the one we want to train on: some categories are far more
# frequent than others. Stage six limits the frequent ones. Which pictures stay is decided by a hash
# of their key and not by a random generator, so that it depends neither on the order nor on the
# number of workers.

# %%
kinds = {f"{i}": "text" if i % 20 == 0 else "no text" for i in range(1000)}
staying = together.balanced(kinds, most=3)
counts = collections.Counter(kinds[key] for key in staying)
assert counts == {"text": 50, "no text": 150}
print("50 with text of 1,000; at most three times as many without:", counts["no text"])

# %% [markdown]
# Stage seven trains at several sizes. A picture is encoded at every size for which it is large
# enough, and never enlarged: at the areas of 640² and 1328² pixels in the report, and of 96² and
# 128² here.

# %%
for side in (96, 112, 128):
    print(side, together.scales(side, side, (96 * 96, 128 * 128)))
assert together.scales(112, 112, (96 * 96, 128 * 128)) == [96 * 96]

# %% [markdown]
# ## Shards
#
# Reading a million small files is slow on any disk, and slower over a network. Examples are
# therefore stored in **shards**, tar files of some hundred megabytes that are read from front to
# back. The layout is that of *webdataset*: the files of an example share the name before the first
# dot. The tar format is simple: each file has a header of 512 bytes, followed by its content and
# zeros up to the next multiple of 512.

# %%
from qwenimage_ref.tar_shards import ShardError, read_shard, write_shard

folder = Path(tempfile.mkdtemp())
write_shard(folder / "one.tar", [("000001", {"png": b"pixels", "txt": b"a red star"})])
content = (folder / "one.tar").read_bytes()
name, size = content[:100].rstrip(b"\0").decode(), int(content[124:135], 8)
assert (name, content[512 : 512 + size]) == ("000001.png", b"pixels")
print(name, size, "bytes; then", content[1024:1124].rstrip(b"\0").decode())

# %%
(folder / "cut.tar").write_bytes(content[:1024])  # the caption is lost
with tarfile.open(folder / "cut.tar") as archive:
    print("Python's own reader takes it without complaint:", archive.getnames())
try:
    list(read_shard(folder / "cut.tar"))
except ShardError as error:
    assert "truncated" in str(error)
    print("ours:", str(error).partition("(")[2])

# %% [markdown]
# A file system renames a file in one step. A shard is therefore written under another name and
# renamed when it is complete, so a worker that is killed leaves nothing under the final name.
# Another worker then processes the shard again, with the same bytes as result. "Exactly once" needs
# nothing more than this: work that can be repeated without harm, and results that are either
# complete or absent.
#
# ![The data pipeline: pictures are packed into shards, workers measure each shard, one decision
# sees all numbers, workers encode what stays, a trainer streams it](figures/data_pipeline.svg)
#
# Here the pipeline runs on 24 posters, half of them with defects. Its three steps are also
# commands: `qwenimage data pack`, `filter` and `encode`.

# %%
from qwenimage_ref.curation import steps
from qwenimage_ref.train.streamed import Streamed

examples = [defects.planted(seed) for seed in range(24)]
(folder / "raw").mkdir()
for n in range(4):
    part = [(i, *examples[i][:2]) for i in range(6 * n, 6 * n + 6)]
    files = ((f"{i:06}", {"png": c, "txt": text.encode()}) for i, c, text in part)
    write_shard(folder / "raw" / f"{n:06}.tar", files)

# %%
summary = steps.filtered(folder / "raw", folder / "filtered", POSTERS, "posters")
planted = sum(defect is not None for _, _, defect in examples)
assert summary["examples"] == 24 and abs(24 - planted - summary["kept"]) <= 3
print(f"{planted} of 24 have a defect; removed:", summary["removed"])

# %%
areas = (96 * 96,)
steps.encode(folder / "raw", folder / "filtered", folder / "encoded", show.pocket_folder(), areas)
streamed = Streamed(folder / "encoded", window=2)
assert len(streamed) == summary["kept"] and streamed.reads == 0
print(len(streamed.shards), "shards of latents and text states, none of which has been read yet")

# %% [markdown]
# Does the stream give the same as encoding in memory? We compare one example, encoded as [chapter
# 10](10_lora.ipynb) encodes all of its pictures:

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.train import dataset

pipe = QwenImage.from_pretrained(show.pocket_folder())
_, first = next(iter(read_shard(folder / "encoded" / streamed.shards[0].file)))
origin = json.loads(first["json"])
content, text, _ = examples[int(origin["key"])]
picture = dataset.fit(filters.picture_from(content), tuple(origin["size"]))
alone = dataset.latents_of(pipe, picture)[0], dataset.states_of(pipe, text)
assert torch.equal(streamed[0].latents, alone[0]) and torch.equal(streamed[0].txt, alone[1])
print("streamed and in memory: the same latents and text states, bit for bit")

# %% [markdown]
# ## A random order from files that are read in order
#
# Training needs examples in random order, whereas disks are fast only when files are read in
# sequence. The compromise is to shuffle the shards, open `window` of them, shuffle their examples
# together, return these, and then open the next ones. A run that is stopped in the middle of an
# epoch must resume with the very next example; otherwise it uses some examples twice and others
# never.
#
# ## Exercise: a stream that resumes
#
# ★★★★☆ · 20 minutes
#
# Write `stream(lengths, window, seed, start)`. `lengths` gives the number of examples in each
# shard. Return a list of pairs (shard, index in it): the order of one epoch without its first
# `start` examples. At most `window` shards are open at a time, and all of their examples are
# shuffled together. The order must depend only on the seed. You will know it works when the checker
# says so.


# %% tags=["exercise"]
def stream(lengths, window, seed, start):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
stream = answers.unless_solved(stream, answers.EX_37_STREAM)
check.ex_37_stream(stream)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# If everything can be computed from the seed, what else does a resumed run need?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Create a generator from the seed, plan the whole epoch with it, and only then drop the examples
# that have been used.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# shuffle the shards
# for each `window` of them
#     append all their examples, shuffled
# everything from `start` on
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def stream(lengths, window, seed, start):
#     rng = random.Random(seed)
#     order = list(range(len(lengths)))
#     rng.shuffle(order)
#     examples = []
#     for begin in range(0, len(order), window):
#         near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
#         rng.shuffle(near)
#         examples += near
#     return examples[start:]
# ```
#
# </details>

# %%
from qwenimage_ref.train.recipe import Recipe

recipe = Recipe(steps=6, batch=3, lr=1e-3)
batches = streamed.batches(recipe.batch, recipe)
epoch = [batches[n] for n in range(batches.per_epoch)]
assert sorted(sum(epoch, [])) == list(range(len(streamed)))
again = Streamed(folder / "encoded", window=2).batches(3, recipe)
assert [again[n] for n in range(2, batches.per_epoch)] == epoch[2:]
print("every example once; a run that starts at the third batch gets what the others get")

# %% [markdown]
# The package's trainer does the same, and builds batches of examples of one size. Here are two
# runs, one of which is stopped half way:

# %%
from safetensors.torch import load_file

from qwenimage_ref.train.lora import Settings, train


def run(name, *stops):
    for until in stops:
        pipe = QwenImage.from_pretrained(show.pocket_folder())
        mmdit, data = pipe.transformer.requires_grad_(False), Streamed(folder / "encoded", window=2)
        settings, place = Settings(rank=2), folder / name
        train(mmdit, data, data.empty, recipe, settings, place, quiet=True, until=until)
    return load_file(folder / name / "state.safetensors")


whole, halves = run("whole", 6), run("halves", 3, 6)
assert all(torch.equal(whole[key], halves[key]) for key in whole)
print("six steps, and three and three: the same state, bit for bit")

# %% [markdown]
# ## Is filtering worth it?
#
# Fewer pictures, but better ones. `python -m qwenimage_ref.evaluate.filtered_training` trains one
# small network on the posters that pass the filters, and one on all that can be decoded, of which
# half have a planted defect. Both have the same start and the same number of steps of as many
# pictures, so that the first sees its posters more often, and both paint the same held-out
# captions. Filtered less unfiltered, in points, part by part; a single observation, since there is
# one pair of runs:

# %%
trained = json.loads(show.data_file("measurements/filtered_training.json").read_text())
rows = {part: row["paired"] for part, row in trained["rows"].items()}
alt = "Differences of shares by part of the scene, filtered less unfiltered, with 95 % intervals"
charts.differences(rows, alt)

# %%
better = [part for part, row in rows.items() if row["low"] > 0]
assert len(better) >= 2 and not [part for part, row in rows.items() if row["high"] < 0]
seen = {name: f"{count:,} posters" for name, count in trained["examples"].items()}
print(seen, f"- {trained['steps']:,} steps each")
print("surely better with the filters:", ", ".join(better), "- surely worse: nothing")

# %% [markdown]
# Both networks are small and far from done: hardly any whole scene is right yet, so this compares
# what is learned first.
#
# ## Many machines
#
# Each shard is processed by one worker, independently of all others. Here the workers are
# processes; on a cluster [Ray](https://docs.ray.io) distributes the shards, and reassigns those of
# a worker that dies. The report calls this *producer and consumer*: producers filter and encode,
# consumers train, and between them is storage. One class contains all of it:

# %%
from qwenimage_ref.curation.workers import RayData

show.source(RayData.map)

# %% [markdown]
# Only the decision about duplicates and balance needs information about all pictures: a hash and a
# thumbnail of each, about 2 kB.
#
# ## Where this comes from
#
# * The stages and their filters: [technical report of
#   Qwen-Image](https://arxiv.org/abs/2508.02324), sections 3.1 to 3.3. Of its pairs about 55 % show
#   nature, 27 % design and 13 % people, and 5 % are rendered text. Pictures generated by other
#   models are excluded.
# * [LAION-5B](https://arxiv.org/abs/2210.08402), section 3: the open collection, whose captions
#   were filtered by CLIP. [SD3](https://arxiv.org/abs/2403.03206), sections 5.2.2 and 5.3.1: half
#   of the captions are written by a model; filters for NSFW, aesthetics, and duplicates by clusters
#   of embeddings. What FLUX.1 was trained on is not published.
# * Why duplicates matter: [Carlini et al. 2023](https://arxiv.org/abs/2301.13188), section 4: most
#   of the pictures that a model reproduces from memory occur many times in its training data.
# * Variance of the Laplacian, as a measure of focus: Pech-Pacheco et al. 2000. Perceptual hashes by
#   cosine transform: Zauner 2010. Shards: [WebDataset](https://github.com/webdataset/webdataset).
#   Ray: [Moritz et al. 2017](https://arxiv.org/abs/1712.05889).
#
# ## Estimate first
#
# **1.** A billion pictures of 1024 × 1024 pixels, encoded to 16 channels of 128 × 128 in bf16. How
# many terabytes of latents?
#
# <details><summary>Answer</summary>
#
# 524: half a megabyte each.
#
# </details>
#
# **2.** The hashes of two unrelated pictures are 64 fair coin flips each. How likely is it that
# they agree in one of the four bands?
#
# <details><summary>Answer</summary>
#
# Each of four bands agrees with probability one in 65,536, so about one in 16,384. Real hashes are
# less random and agree more often.
#
# </details>
#
# **3.** One in a thousand pictures is rotated. A filter finds all of them and errs on one in a
# hundred others. What is its precision?
#
# <details><summary>Answer</summary>
#
# Nine per cent, because ten whole pictures are removed for each rotated one. A filter for rare
# defects must have very few false alarms.
#
# </details>

# %%
assert round(1e9 * 16 * 128 * 128 * 2 / 1e12) == 524
assert 65536 / 4 == 16384
assert round(100 * 1 / (1 + 999 / 100)) == 9
print("524 TB; one in 16,384; 9 per cent: ok")

# %% [markdown]
# ## What production code does differently
#
# * Captions are written by a vision-language model, as structured text, several for each picture;
#   the original is kept in some share of the examples.
# * Duplicates are also found by embeddings, which agree for crops and shifts as well.
# * Text is found by OCR, and watermarks, codes and faces by detectors. Each of these is a function
#   from a picture to a number, as `agreement` is here.
# * Latents are kept in object stores, and other threads read ahead while a step is computed.
#
# ## Try this
#
# * Plant a new kind of defect and find a number for it. What does its curve look like?
# * Which posters do the filters for luma and saturation both remove? Is a filter worth keeping that
#   never removes a picture by itself?
# * Raise the window of the stream to the number of shards. What changes, and what does it cost?
# * Kill `qwenimage data encode` while it runs, and start it again.
#
# **Capstone.** `make grade` has no points for this page, because the model is the same whatever it
# was trained on.
#
# Next: the [errata](90_errata.ipynb).
