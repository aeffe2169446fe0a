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
# # 05 · MSRoPE
#
# Attention treats its input as a set, so it cannot tell which of two tokens is above the other.
# Qwen-Image adds the positions to queries and keys, as rotations. On this page you write both the
# positions and the rotation.
#
# | | |
# |---|---|
# | **You need** | [chapter 00](00_a_picture_in_sixty_seconds.ipynb); you know what attention is |
# | **You get** | the positions of all tokens and their rotation, written by you in five exercises |
# | **Minutes** | 30 to read, 75 to write, less than one to run |
# | **Picture** | the position map: the picture centred, the text on the diagonal off its corner |
# | **Number** | the table of angles equals that of diffusers, bit for bit, on odd and even grids |
#
# The transformer works on a sequence of **tokens**: `I` *image tokens*, each a patch of 2 × 2
# latents, and `T` *text tokens*, one for each text state. Attention gives each of them a *query*
# `q` and a *key* `k`, and compares tokens by the inner products of queries and keys. Nothing in
# such a product depends on *where* a token stands.

# %%
import torch
import torch.nn.functional as F


def draw_numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


q, k, v = draw_numbers(3, 6, 8)  # six tokens of eight numbers
shuffled = torch.tensor([3, 0, 5, 1, 4, 2])
out = F.scaled_dot_product_attention(q, k, v)
other = F.scaled_dot_product_attention(q[shuffled], k[shuffled], v[shuffled])
assert torch.allclose(out[shuffled], other, atol=1e-6)
print("tokens in another order, the same results in that order: ok")

# %% [markdown]
# Without positions, a poster and the same poster with its tokens shuffled are the same input. The
# positions therefore have to be encoded *in* the queries and keys.
#
# ## A rotated pair
#
# Take two numbers, `a` and `b`, as the coordinates of a hand on a clock face, and rotate the hand
# by an angle that is proportional to the token's position:

# %%
import math


def turn_by_hand(a, b, angle):
    return (
        a * math.cos(angle) - b * math.sin(angle),
        a * math.sin(angle) + b * math.cos(angle),
    )


print("a quarter turn of (1, 0): ({:.1f}, {:.1f})".format(*turn_by_hand(1, 0, math.pi / 2)))

# %% [markdown]
# Now consider the inner product of a query at position `m` and a key at position `n`. If both are
# moved by three positions, both hands turn by the same angle, and the angle *between* them does not
# change:
#
# $$\langle R_m q,\; R_n k \rangle = \langle q,\; R_{n-m} k \rangle$$
#
# The product depends on the difference of the positions alone.


# %%
def product(m, n, query=(0.6, -1.1), key=(0.9, 0.4)):
    (a, b), (c, d) = turn_by_hand(*query, angle=m), turn_by_hand(*key, angle=n)
    return a * c + b * d


here, moved, farther = product(2, 7), product(102, 107), product(2, 8)
assert abs(here - moved) < 1e-9 and abs(here - farther) > 0.1
print(f"{here:.3f} at 2 and 7, {moved:.3f} at 102 and 107, but {farther:.3f} at 2 and 8: ok")

# %% [markdown]
# This is **RoPE**, *rotary position embedding* ([Su et al.](https://arxiv.org/abs/2104.09864),
# section 3.2). It has no parameters, and moving all tokens together changes nothing.
#
# ## Many pairs, many speeds
#
# One hand is not enough, because after a full turn it points where it began. A head therefore has
# several, like a clock. In a group of `dim` numbers, pair number `i` turns by $\theta^{-2i/dim}$
# for each position, with $\theta$ = 10,000: from 1 radian for the first pair to almost nothing for
# the last.

# %%
from qwenimage_ref.rope import THETA


def speeds(dim):
    return THETA ** -(torch.arange(0, dim, 2) / dim)


angle = torch.outer(torch.arange(10), speeds(8))  # (10, 4)

# %%
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import position_map as drawn

drawn.clocks(
    angle,
    [f"pair {i}: {speed:.3g} " for i, speed in enumerate(speeds(8))],
    alt="Four rows of ten hands, one column for each position 0 to 9: in the first row the hand "
    "turns by a radian at each position, in the second by a tenth of that, the last hardly moves",
)

# %%
assert torch.allclose(angle[:, 0], torch.arange(10.0)) and angle[9, 3] < 0.01
assert torch.allclose(angle[:, 0], 10 * angle[:, 1])
print("each pair of these four turns ten times as slowly as the one before: ok")

# %% [markdown]
# Drag the two positions. In each of the four pairs, orange is the hand of a query, blue that of a
# key, and green the angle between them. If you move both positions by the same amount, every hand
# turns, and every green angle stays.

# %%
hands = drawn.HandSliders(query=2, key=5, speeds=speeds(8))
hands

# %%
at_two_and_five = hands.words.value
hands.query.value, hands.key.value = 7, 10
assert hands.words.value == at_two_and_five
hands.key.value = 11
assert hands.words.value != at_two_and_five
print("both moved by five: the same angles; the key alone by one more: other angles: ok")

# %% [markdown]
# In print: a query at 2 and a key at 5; both moved by five positions; and the key moved by one
# more.

# %%
places = [(2, 5), (7, 10), (7, 11)]
show.grid(
    [drawn.hands_picture(*pair, speeds(8)) for pair in places],
    [f"query at {query}, key at {key}" for query, key in places],
    alt="Three rows of four clocks with two hands each. In the first two rows the hands differ and "
    "the angles between them are equal; in the third the angle of the fastest pair is larger",
    columns=1,
    scale=1,
)

# %%
angles = [hands.between(*pair) for pair in places]
assert angles[0] == angles[1] and angles[2][0] == angles[0][0] + 1
print("3 radians between the fastest hands in the first two rows, 4 in the third: ok")

# %% [markdown]
# The fast hands distinguish neighbours, the slow ones show roughly where in the picture a token is.
#
# The two numbers of a pair are *neighbours*: 0 and 1, 2 and 3, and so on. (The text encoder of
# [chapter 03](03_a_language_model_as_a_reader.ipynb), like other language models in the library
# transformers, pairs number 0 with the one half a head away. Weights trained with one convention
# are useless with the other, as we will see below.)
#
# Here is the rotation as a loop over tokens and pairs:

# %%
K = 12  # numbers in a head
x = draw_numbers(10, K)  # (S, K): ten tokens
angle = torch.outer(torch.arange(10), speeds(K))  # (S, K/2)

by_hand = torch.empty_like(x)
for s in range(10):
    for i in range(K // 2):
        a, b = turn_by_hand(x[s, 2 * i].item(), x[s, 2 * i + 1].item(), angle[s, i].item())
        by_hand[s, 2 * i], by_hand[s, 2 * i + 1] = a, b

# %% [markdown]
# ## Exercise: the rotation
#
# ★★☆☆☆ · 10 minutes
#
# Write `turn(x, angle)` for `x` of shape `(S, K)` and `angle` of shape `(S, K/2)`, without complex
# numbers and without loops: `x[:, 0::2]` are the first numbers of all pairs. Do not change `x`.


# %% tags=["exercise"]
def turn(x, angle):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

turn = answers.unless_solved(turn, answers.EX_05_ROTATE)
check.ex_05_rotate(turn)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `turn_by_hand` is already written for two numbers. It also works on two tensors of shape
# `(S, K/2)` if you replace `math` by torch.
#
# </details>
#
# <details><summary>A hint</summary>
#
# You end with two tensors, all first numbers and all second ones. They have to be interleaved
# again: stack them on a new last axis, then merge the last two axes.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# a, b   = numbers 0, 2, 4, ... and numbers 1, 3, 5, ... of every row
# turned = a cos - b sin, a sin + b cos      (from the old a and b, both times)
# return the turned a and b, put back into turns: a b a b a b ...
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def turn(x, angle):
#     a, b = x[:, 0::2], x[:, 1::2]
#     turned_a = a * angle.cos() - b * angle.sin()
#     turned_b = a * angle.sin() + b * angle.cos()
#     return torch.stack([turned_a, turned_b], dim=-1).flatten(-2)
# ```
#
# </details>

# %%
assert torch.allclose(turn(x, angle), by_hand, atol=1e-5)
print("yours and the loop agree: ok")

# %% [markdown]
# The package does the same with complex numbers: a pair is $a + ib$, and rotating is multiplying by
# $\cos + i\sin$, a number of length one.

# %%
from qwenimage_ref.rope import positions, rotate, rotations

rotation = torch.polar(torch.ones_like(angle), angle)  # cos + i sin
by_package = rotate(x.view(1, 10, 1, K), rotation)[0, :, 0]  # axes for batch and heads, too
assert torch.allclose(turn(x, angle), by_package, atol=1e-5)
show.source(rotate)

# %% [markdown]
# ## Exercise: only differences count
#
# ★★★☆☆ · 15 minutes
#
# Compute the products from the right side of the equation above. Write `relative(q, k, gap)`: `q`
# is `(S, K)`, `k` is `(R, K)`, and `gap` of shape `(S, R, K/2)` is the angle of each pair at the
# key's position *minus* that at the query's. Return the products of all queries with all keys,
# `(S, R)`. Your function never sees a position.


# %% tags=["exercise"]
def relative(q, k, gap):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
relative = answers.unless_solved(relative, answers.EX_05_RELATIVE)
check.ex_05_relative(relative)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The query is not rotated. Each key is rotated once for every query, so the rotated keys have one
# axis more than the keys.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Give the query's pairs an axis of length one for the keys, and the key's pairs one for the
# queries, so that both fit `gap`. The formula of `turn` is the same with one axis more.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# a, b = first and second numbers of the queries' pairs     (S, 1, K/2)
# c, d = first and second numbers of the keys' pairs        (1, R, K/2)
# turn c and d by the gap                                   (S, R, K/2)
# return a times the new c, plus b times the new d, added up over the pairs
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def relative(q, k, gap):
#     a, b = q[:, None, 0::2], q[:, None, 1::2]
#     c, d = k[None, :, 0::2], k[None, :, 1::2]
#     turned_c = c * gap.cos() - d * gap.sin()
#     turned_d = c * gap.sin() + d * gap.cos()
#     return (a * turned_c + b * turned_d).sum(-1)
# ```
#
# </details>

# %%
query, key = draw_numbers(2, 10, K, seed=1)
both_turned = turn(query, angle) @ turn(key, angle).T
assert torch.allclose(relative(query, key, angle[None] - angle[:, None]), both_turned, atol=1e-4)
print("100 products, both rotated or the key alone by the difference: the same: ok")

# %% [markdown]
# ## Three coordinates in one head
#
# A picture has rows *and* columns, and when it is edited there are several pictures. A position
# therefore consists of three integers, `(frame, row, col)`, and a head is split into three groups
# of pairs, one for each of them. Officially a head has 128 numbers, split into 16, 56 and 56
# (`transformer/config.json`, field `axes_dims_rope`); the pocket model has smaller heads. This
# scheme, with three axes and one rule for text and pictures, is **MSRoPE**, *multimodal scalable
# RoPE* ([technical report](https://arxiv.org/abs/2508.02324), section 2.4), a relative of the
# M-RoPE of [Qwen2-VL](https://arxiv.org/abs/2409.12191) (section 2.1). FLUX has three axes, too,
# but counts rows and columns from the corner and leaves all text at position 0 ([its
# code](https://github.com/black-forest-labs/flux/blob/main/src/flux/sampling.py), function
# *prepare*).

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.course import stored_results

axes = stored_results.run(
    "05_axes",
    "transformer/config.json",
    lambda path: list(MMDiTConfig.from_json(path).axes_dims_rope),
)
official = MMDiTConfig.official()
assert axes == list(official.axes_dims_rope) == [16, 56, 56]
print("the official file says 16, 56 and 56: ok")

# %%
pipe = QwenImage.from_pretrained(show.pocket_folder())
pocket = pipe.transformer.config
rows = [
    [name, config.attention_head_dim, *config.axes_dims_rope]
    for name, config in (("official", official), ("pocket", pocket))
]
assert all(sum(row[2:]) == row[1] for row in rows)
show.table(["", "head dim K", "frame", "row", "column"], rows)


# %% [markdown]
# ## Exercise: the angles of a head
#
# ★★★☆☆ · 15 minutes
#
# Write `angles(pos, axes_dims)`: `pos` holds the positions, integers of shape `(S, 3)`, and
# `axes_dims` the three widths, such as `(16, 56, 56)`. Return the angles of all pairs, `(S, K/2)`:
# first the pairs that turn with the frame, then those of the row, then those of the column.


# %% tags=["exercise"]
def angles(pos, axes_dims):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
angles = answers.unless_solved(angles, answers.EX_05_ANGLES)
check.ex_05_angles(angles)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Each group is a small head of its own: one coordinate, its own `dim`, its own speeds from 1 down.
#
# </details>
#
# <details><summary>A hint</summary>
#
# `speeds` is above. For one group, the angle is every token's coordinate times every speed.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# for each axis and its dim:
#     speeds = theta to the power of minus (0, 2, 4, ... below dim) over dim     (dim/2,)
#     group  = each token's coordinate on this axis, times each speed            (S, dim/2)
# return the three groups side by side                                           (S, K/2)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def angles(pos, axes_dims):
#     groups = []
#     for axis, dim in enumerate(axes_dims):
#         speeds = 1 / THETA ** (torch.arange(0, dim, 2) / dim)
#         groups.append(torch.outer(pos[:, axis], speeds))
#     return torch.cat(groups, dim=1)
# ```
#
# </details>

# %%
pos = torch.tensor([[0, -3, 5], [1, 0, 0], [0, 40, -42]])
mine = angles(pos, (16, 56, 56))
gap = torch.polar(torch.ones_like(mine), mine) - rotations(pos, (16, 56, 56))
assert gap.abs().max() < 1e-5
print("yours and the package's, three tokens of 64 angles: ok")

# %% [markdown]
# What do the 64 pairs express together? Let every pair of the query and of all keys be (1, 0). Then
# each product is a sum of cosines of differences, and its mean measures how close a token is for
# attention before anything is learned. The figure shows it for the 83 × 83 tokens of 1328 × 1328
# pixels, the official square size, as seen from the circled token.

# %%
img, _ = positions([(1, 83, 83)], text_length=0)
angle = angles(img, official.axes_dims_rope)  # (6889, 64)
asking = 22 * 83 + 52
cosines = (angle - angle[asking]).cos()
groups = {"row pairs": slice(8, 36), "column pairs": slice(36, 64), "all pairs": slice(0, 64)}
nearness = {name: cosines[:, pairs].mean(1).view(83, 83) for name, pairs in groups.items()}

# %%
from qwenimage_ref.course.heat_maps import heat

heat(
    [
        {"values": near, "title": name, "marks": [(22, 52)], "low": 0.3, "high": 1}
        for name, near in nearness.items()
    ],
    alt="Three maps of 83 by 83 tokens: row pairs give a dark horizontal band at the asking token, "
    "column pairs a vertical one, all pairs together a cross with a dark middle",
    side=3.2,
)

# %%
rows_near, cols_near, near = nearness.values()
assert near.argmax() == asking and abs(near.max() - 1) < 1e-5
assert torch.allclose(rows_near[:, :1], rows_near[:, 1:], atol=1e-4)
print(
    f"itself {near.max():.2f}, five rows below {near[27, 52]:.2f}, a corner {near[82, 0]:.2f}: ok"
)

# %% [markdown]
# Training changes this, since `q` and `k` determine how much each pair counts, but the cross is the
# starting point.
#
# ## The position map
#
# Which position does each token get? The picture is **centred**, so that its middle has row 0 and
# column 0. The text continues beyond its lower right corner, along the **diagonal**: the words are
# at (`start`, `start`), (`start` + 1, `start` + 1), and so on. Here are the pocket model's grid and
# a prompt.
#
# ![A grid of 8 by 8 image tokens around row 0 and column 0, five text tokens on the diagonal
# below its right corner, and bars that divide a head among frame, row and
# column](figures/msrope.svg)

# %%
prompt = "a red star"
ids = pipe.tokenizer.encode_prompt(prompt)[pipe.tokenizer.prefix_length :]
words = [pipe.tokenizer.decode([token]).strip() for token in ids[:3]]
drawn.position_map(8, 8, reach=(-5, 7), words=words)

# %%
img, txt = positions([(1, 8, 8)], text_length=3)
assert img[0].tolist() == [0, -4, -4] and img[-1].tolist() == [0, 3, 3]
assert txt.tolist() == [[4, 4, 4], [5, 5, 5], [6, 6, 6]]
print("the picture: -4 to 3 both ways; the text: 4, 5, 6 on all three axes: ok")

# %% [markdown]
# An *odd* number of rows cannot be split evenly into negative ones and those from 0 on. The extra
# row goes to the negative side, so that 5 rows are −3, −2, −1, 0, 1.
#
# Move the sliders. The extra row or column of an odd side has another colour. Watch where the text
# starts when only one side grows.

# %%
sliders = drawn.GridSliders(5, 8)
sliders

# %%
before = sliders.picture.value
sliders.rows.value = 9
assert sliders.words.value == "grid 9 x 8, text starts at 4" and sliders.picture.value != before
sliders.cols.value = 3
assert sliders.words.value == "grid 9 x 3, text starts at 4"
sliders.rows.value, sliders.cols.value = 5, 8
assert sliders.picture.value == before
print("moved and moved back:", sliders.words.value)

# %% [markdown]
# Some of these states in print:

# %%
grids = [(4, 4), (5, 8), (9, 8), (9, 3)]
show.grid(
    [drawn.position_picture(*grid) for grid in grids],
    [drawn.say(*grid) for grid in grids],
    alt=f"Four position maps: {'; '.join(drawn.say(*grid) for grid in grids)}",
    columns=2,
    scale=1,
)

# %%
starts = [positions([(1, *grid)], 1)[1][0, 1].item() for grid in grids]
assert starts == [max(rows, cols) // 2 for rows, cols in grids] == [2, 4, 4, 4]
print("the text starts at half of the longer side, rounded down: ok")

# %% [markdown]
# ## Exercise: one picture and its text
#
# ★★☆☆☆ · 10 minutes
#
# Write `places(rows, cols)`. It returns three things: the list of row positions, from the top; the
# list of column positions, from the left; and the position of the first word. You will know it
# works when the checker says so and the table below is full of *yes*.


# %% tags=["exercise"]
def places(rows, cols):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
places = answers.unless_solved(places, answers.EX_05_ODD)
check.ex_05_odd(places)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Rows and columns follow one rule, so write it once. What does Python's `//` do to an odd number?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Sides of 4 and of 5 both end at 1. What do 4 and 5 have in common? The first word takes the first
# position that is free both among the rows and among the columns.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# around_zero(side): as many places as side, the last one just below side // 2
# rows and columns:  around_zero(rows), around_zero(cols)
# text:              one after the last place of the longer side
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def places(rows, cols):
#     def around_zero(side):
#         return [place - (side - side // 2) for place in range(side)]
#
#     return around_zero(rows), around_zero(cols), max(rows // 2, cols // 2)
# ```
#
# </details>

# %%
sizes = [(1328, 1328), (1664, 928), (928, 1664), (1472, 1104), (1104, 1472)]
rows = []
for width, height in sizes:
    down, right, start = places(height // 16, width // 16)
    img, txt = positions([(1, height // 16, width // 16)], text_length=1)
    same = img[0, 1:].tolist() == [down[0], right[0]] and txt[0, 1].item() == start
    ends = f"{down[0]} to {down[-1]}", f"{right[0]} to {right[-1]}"
    rows.append([f"{width} × {height}", *ends, start, "yes" if same else "no"])
assert all(row[-1] == "yes" for row in rows)
show.table(["pixels", "rows", "columns", "text from", "as the package"], rows)

# %% [markdown]
# ## Several pictures
#
# The edit models get reference pictures as further tokens, appended to those of the picture that is
# painted. Each picture is centred on its own size, and the `frame` separates them: the first
# picture has frame 0, the next one frame 1. A grid may itself hold several frames; then the next
# one begins after all of them. Tokens come picture by picture, frame by frame, row by row, from
# left to right. The text starts off the corner of the *largest* picture, and its frame, row and
# column are equal.
#
# ## Exercise: all positions
#
# ★★★★☆ · 25 minutes
#
# Write `my_positions(grids, text_length)`. `grids` is a list of `(frames, rows, cols)`. Return two
# tensors of integers, the positions of the image tokens, `(I, 3)`, and those of the text, `(T, 3)`.


# %% tags=["exercise"]
def my_positions(grids, text_length):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_positions = answers.unless_solved(my_positions, answers.EX_05_POSITIONS)
check.ex_05_positions(my_positions)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# For one picture you need every combination of a frame, a row and a column, in the order given
# above. Which of the three changes fastest?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Torch has a function for all combinations of several lists of numbers, in exactly this order;
# three nested loops work, too. From one picture to the next, only one number has to be kept: the
# next free frame.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# frame = 0
# for each grid (frames, rows, cols):
#     all combinations of: frames from `frame` on, centred rows, centred columns
#     frame = frame + frames
# start = half of the longest side of all grids, rounded down
# text  = start, start + 1, ... three times side by side
# return all pictures one after another, and the text
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_positions(grids, text_length):
#     img, frame = [], 0
#     for frames, rows, cols in grids:
#         across = torch.arange(cols) - (cols - cols // 2)
#         down = torch.arange(rows) - (rows - rows // 2)
#         img.append(torch.cartesian_prod(torch.arange(frames) + frame, down, across))
#         frame = frame + frames
#     start = max(max(rows // 2, cols // 2) for _, rows, cols in grids)
#     txt = start + torch.arange(text_length)
#     return torch.cat(img), torch.stack([txt, txt, txt], dim=1)
# ```
#
# </details>

# %% [markdown]
# The package's function has one more option, for the layered model below:

# %%
for grids in ([(1, 8, 8)], [(1, 4, 6), (1, 9, 2), (1, 3, 5)], [(2, 5, 3), (1, 1, 1)]):
    for mine, package in zip(my_positions(grids, 9), positions(grids, 9)):
        assert torch.equal(mine, package)
show.source(positions)

# %% [markdown]
# ## The same table as diffusers
#
# The official code, in the library diffusers, looks its angles up in a long table of positive and
# negative positions. Do all angles agree? Those of the package have to agree *bit for bit*, since
# the formula is the same and positions are integers; yours may round differently.

# %%
from dataclasses import replace

from qwenimage_ref.parity.reference import reference_mmdit
from qwenimage_ref.parity.tolerances import within

theirs = reference_mmdit(replace(official, num_layers=1)).pos_embed
cases = {
    "1328 × 1328 pixels": ([(1, 83, 83)], 37),
    "even, 8 × 8": ([(1, 8, 8)], 17),
    "odd, 5 × 7": ([(1, 5, 7)], 4),
    "a picture and two references": ([(1, 4, 6), (1, 9, 2), (1, 3, 5)], 11),
}

# %%
for name, (grids, text_length) in cases.items():
    expected = theirs([grids], max_txt_seq_len=text_length, device="cpu")
    ours = [rotations(pos, official.axes_dims_rope) for pos in positions(grids, text_length)]
    gaps = [(a - b).abs().max().item() for a, b in zip(ours, expected)]
    assert max(gaps) <= within("rope"), name
    for pos, turned in zip(my_positions(grids, text_length), expected):
        mine = angles(pos, official.axes_dims_rope)
        assert (torch.polar(torch.ones_like(mine), mine) - turned).abs().max() < 1e-4
    print(f"{name}: {len(ours[0])} + {len(ours[1])} tokens, package and yours: ok")

# %% [markdown]
# ## Why centred? Why the diagonal?
#
# Products depend only on differences of positions. Moving *everything* together, text included,
# therefore changes nothing, and the difference between two image tokens is the same whether the
# grid is centred or counted from its corner. Centring can change two things only: how far the text
# is from the picture, and how pictures of several sizes overlap. Let the pocket model paint with
# other positions: `paint_with` replaces the model's rule by `change`.


# %%
def paint_with(change):
    def other_rotations(grids, text_length, *_):
        img, txt = change(*positions(grids, text_length))
        return rotations(img, pocket.axes_dims_rope), rotations(txt, pocket.axes_dims_rope)

    pipe.transformer.rotations = other_rotations  # hides the method of the class
    picture = pipe(scene, " ", num_inference_steps=12, seed=0)[0]
    del pipe.transformer.rotations
    return picture


scene = "a red circle left of a blue star on a white background"
corner = torch.tensor([0, 4, 4])  # half of the pocket's grid

# %%
changes = {
    "as trained": lambda img, txt: (img, txt),
    "all moved by 50": lambda img, txt: (img + 50, txt + 50),
    "picture from its corner, text as it was": lambda img, txt: (img + corner, txt),
    "all at 0": lambda img, txt: (0 * img, 0 * txt),
}
painted = {name: paint_with(change) for name, change in changes.items()}

# %% [markdown]
# One more mistake is to split the head in halves, which applies the right angles to the wrong
# pairs.

# %%
from qwenimage_ref import mmdit


def rotate_half_split(x, rotation):
    apart = x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)  # i and i + K/2 side by side
    return rotate(apart, rotation).unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


mmdit.rotate = rotate_half_split
painted["half-split pairs"] = paint_with(changes["as trained"])
mmdit.rotate = rotate

# %%
show.grid(
    list(painted.values()),
    list(painted),
    alt=f"{scene}, painted with five kinds of positions: {'; '.join(painted)}",
    columns=5,
    scale=1,
)

# %%
right = painted["as trained"]
away = {name: show.difference(picture, right) for name, picture in painted.items()}
assert away["all moved by 50"] < 1
assert min(away[name] for name in list(away)[2:]) > 5
print("all moved together: the same picture; each of the other three: another one: ok")

# %% [markdown]
# So on a single square picture a centred rule cannot be distinguished from an uncentred one that
# moves the text along. Centring matters where there are *several* sizes:
#
# * In **edit** models each picture is centred, so the centres of pictures of different sizes
#   coincide. If positions were counted from the corner, the corners would.
# * In **wide and tall** pictures the text is equally far from the centre by rows and by columns.
#
# Why the **diagonal**? If the words formed a row, they would share positions with image tokens of a
# larger picture. On the diagonal beyond the corner no word shares a position with a token, and
# between two words all three differences are equal, so within itself the text is an ordinary
# one-dimensional sequence (report, section 2.4).

# %%
img, txt = positions([(1, 8, 8), (1, 4, 6)], text_length=40)
target, reference = img.split([64, 24])
print("middle tokens:", target[4 * 8 + 4].tolist(), "and", reference[2 * 6 + 3].tolist())
assert torch.equal(target[4 * 8 + 4, 1:], reference[2 * 6 + 3, 1:])
assert {*map(tuple, img[:, 1:].tolist())}.isdisjoint(map(tuple, txt[:, 1:].tolist()))
print("no word shares a place with a token of the pictures: ok")

# %% [markdown]
# Pictures can also grow. The angles of a small grid are exactly those of the middle of a large one,
# and the new tokens lie around it. (Counted from the corner, the small grid would be the upper left
# quarter.) The text does move, because it starts at the edge of the grid: between a grid of 32 and
# one of 64, the first word goes from 16 to 32 tokens from the middle.

# %%
axes = official.axes_dims_rope
small, large = (rotations(positions([(1, n, n)], 0)[0], axes) for n in (32, 64))
middle = large.view(64, 64, 64)[16:48, 16:48]
assert torch.equal(small.view(32, 32, 64), middle)
print("512 × 512 pixels are the middle of 1024 × 1024, angle by angle: ok")
first_words = [positions([(1, n, n)], 1)[1][0, 1].item() for n in (32, 64)]
assert first_words == [16, 32]
print("the first word is at", first_words[0], "and at", first_words[1])

# %% [markdown]
# ## Layers
#
# Qwen-Image-Layered paints several layers of one picture at once. There `frame` counts the layers,
# all on the same grid, and the picture that is decomposed gets frame −1.

# %%
img, txt = positions([(3, 2, 2), (1, 2, 2)], text_length=2, layered=True)
print("frames:", img[:, 0].tolist(), "text:", txt.tolist())
assert img[:, 0].unique().tolist() == [-1, 0, 1, 2] and txt[0, 0] == 3

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** 1664 × 928 pixels. Where does the text start?
#
# <details><summary>Answer</summary>
#
# At 52: a token is 16 pixels wide, so there are 104 columns and 58 rows, and half of the longer
# side is 52.
#
# </details>
#
# **2.** How many rows does the *slowest* official row pair need for one full turn?
#
# <details><summary>Answer</summary>
#
# About 45,000. It turns by 10,000 to the power of −54/56, or 0.00014, for each row, so within a
# picture its angle grows almost linearly.
#
# </details>
#
# **3.** By how much does MSRoPE enlarge the 20 billion parameters?
#
# <details><summary>Answer</summary>
#
# Not at all, because no angle is learned. The only cost is the table during a run, 64 complex
# numbers for each token.
#
# </details>

# %%
_, txt = positions([(1, 928 // 16, 1664 // 16)], text_length=1)
slowest = speeds(56)[-1].item()
assert txt[0, 1] == 52 and 44_000 < 2 * math.pi / slowest < 46_000
assert not any("rope" in name or "pos" in name for name, _ in pipe.transformer.named_parameters())
print("52, about 45,000 rows, no parameter: ok")

# %% [markdown]
# ## What production code does differently
#
# * diffusers computes a table of all angles from −4096 to 4095 once and looks them up, so neither
#   picture nor text may go beyond position 4095.
# * Other programs rotate with real numbers, as your `turn` does. The results differ in the last
#   bits, which is enough to spoil bit-for-bit comparisons.
# * Angles and rotation stay in float32 even when the network runs in bfloat16: an angle of 40 would
#   be off by a tenth of a radian.
# * Where several prompts are padded to one length, the padding also gets positions. They are at the
#   end of the diagonal, so no real token moves.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * RoPE: [Su et al. 2021](https://arxiv.org/abs/2104.09864), section 3.2; several axes in one
#   head: M-RoPE, [Qwen2-VL, Wang et al. 2024](https://arxiv.org/abs/2409.12191), section 2.1.
#   MSRoPE: [Qwen-Image report](https://arxiv.org/abs/2508.02324), section 2.4.
# * SD3 does not rotate: it adds a two-dimensional position embedding to the image tokens, cropped
#   to the size of the picture ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), section
#   5.3.2), and gives the text none.
# * FLUX.1 rotates with the same three axes of 16, 56 and 56 numbers and the same base of 10,000.
#   Rows and columns count from 0 in the upper left corner, and every text token has position (0,
#   0, 0)
#   ([sampling.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/sampling.py),
#   *prepare*).
#
# </details>
#
# ## Try this
#
# * Move only the text, by 1, 2, 4, 8 positions, with `paint_with`. When does the picture change?
# * Mirror the columns: `img * torch.tensor([1, 1, -1])`. What happens to *left of*, and why is the
#   result not the mirrored picture?
# * Draw `nearness` for the frame pairs of a reference picture. How much closer is frame 0 to frame
#   1 than to frame 2?
#
# Capstone: `rope.py` can be written now: `make grade PART=rope`, 9 points.
#
# Next: [06 · One MMDiT block](06_one_mmdit_block.ipynb), where text and image meet.
