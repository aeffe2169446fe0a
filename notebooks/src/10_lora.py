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
# # 10 · LoRA
#
# The pocket model has never seen a heart. On this page you teach it to paint one in less than a
# minute, without changing any of its weights.
#
# | | |
# |---|---|
# | **You need** | [chapter 06](06_one_mmdit_block.ipynb) and [chapter 09](09_text_to_image.ipynb) |
# | **You get** | an adapter that you built, trained, cut, merged and saved in seven dialects |
# | **Minutes** | 40 to read, 50 to write, one to run |
# | **Picture** | a slider from a model that paints no hearts to one that does |
# | **Number** | of ten new hearts the reader finds none before and at least eight after |

# %%
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import lora_scales
from qwenimage_ref.posters import heart

pipe = QwenImage.from_pretrained(show.pocket_folder())
mmdit = pipe.transformer

# %% [markdown]
# ## A word the model does not know
#
# We use ten prompts whose colours, backgrounds and places are familiar to the model; only the word
# *heart* is new. The tokenizer has no token for it and spells it in pieces, so nothing has to be
# added to the vocabulary.

# %%
lessons, wanted = heart.scenes()
prompts = [heart.prompt(scene) for scene in wanted]
assert len(pipe.tokenizer.encode(" heart")) > 1
print(len(prompts), "prompts; the first:", prompts[0])

# %%
before = lora_scales.paint(pipe, prompts, range(10), steps=16)
alt = "Ten pictures painted by a model without hearts: round blots, some of several colours"
show.grid(before, prompts, alt, columns=5, scale=1)

# %% [markdown]
# The model paints round blots, several of them in more than one colour; the backgrounds, whose
# names it knows, are right. As always, a short program checks what the eye sees. It compares the
# largest thing in a picture with a heart and with the six known shapes, and accepts a shape only
# where the two overlap by four fifths.

# %%
from qwenimage_ref.posters.read import read

found_before = [heart.recognised(picture) for picture in before]
backgrounds = [read(picture).scene.background for picture in before]
assert found_before.count(heart.NAME) == 0
assert backgrounds == [scene.background for scene in wanted]
assert [heart.recognised(heart.draw(scene)) for scene in wanted].count(heart.NAME) == 10
print("hearts found in the model's ten pictures: 0; in ten drawn ones: 10")
print("backgrounds right: all ten")

# %% [markdown]
# ## A low-rank update beside a layer
#
# One could train the whole model further. That would take a copy of all weights for each new shape,
# and during training two more for the optimiser. **LoRA**, *low-rank adaptation*, leaves the weight
# $W$ of a linear layer unchanged and trains an update beside it, through a bottleneck of only $r$
# numbers:
#
# $$y = W x + b + \frac{\alpha}{r} B (A x)$$
#
# `A` has shape (r, in) and projects down, `B` has shape (out, r) and projects up; `r` is the
# **rank**. The drawing shows the branch, and below it the linear layers of a block, with the pairs
# that we train later.
#
# ![A linear layer with a branch of two thin matrices, and the layers of a
# block](figures/lora_branch.svg)
#
# Here is what the update adds, first as a plain loop. All sizes are small, and different.

# %%
N, in_, out, rank = 5, 7, 11, 3
generator = torch.Generator().manual_seed(0)
x, A = torch.randn(N, in_, generator=generator), torch.randn(rank, in_, generator=generator)
W, b = torch.randn(out, in_, generator=generator), torch.randn(out, generator=generator)
B = torch.randn(out, rank, generator=generator)


def update_in_a_loop(x, A, B):
    y = torch.zeros(len(x), len(B))
    for n in range(len(x)):
        for r in range(len(A)):
            down = sum(A[r, i] * x[n, i] for i in range(A.shape[1]))
            for o in range(len(B)):
                y[n, o] += B[o, r] * down
    return y


# %%
in_a_loop, at_once, as_weight = update_in_a_loop(x, A, B), x @ A.T @ B.T, x @ (B @ A).T
assert torch.allclose(in_a_loop, at_once, atol=1e-5)
assert torch.allclose(at_once, as_weight, atol=1e-5)
assert torch.linalg.matrix_rank(B @ A) == rank
print("a loop, two thin products, one change of the weight: the same numbers: ok")

# %% [markdown]
# The third way of writing it shows what a LoRA *is*: a change of the weight, `B @ A`, which has the
# shape of the weight but only rank 3. The second shows why it is cheap. Compare the numbers for a
# layer of the pocket model and one of the official model:

# %%
for D in (192, 3072):
    print(f"{D:,} × {D:,} = {D * D:,} weights, rank 8: {2 * 8 * D:,}, one in {D // 16}")
assert mmdit.config.inner_dim == 192 and 192 * 192 // (2 * 8 * 192) == 12

# %% [markdown]
# ## Exercise: the layer and its update
#
# ★★☆☆☆ · 10 minutes
#
# Write `lora_linear(x, W, b, A, B, alpha)` for `x` of (N, in): the linear layer with its update,
# scaled as in the formula above. You will know it works when the checker says so.


# %% tags=["exercise"]
def lora_linear(x, W, b, A, B, alpha):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

lora_linear = answers.unless_solved(lora_linear, answers.EX_10_LORA)
check.ex_10_lora(lora_linear)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Everything but the fraction is in the cells above. The rank is not among the arguments, but one of
# them has it as a size.
#
# </details>
#
# <details><summary>A hint</summary>
#
# `x` holds its inputs as rows, so a layer is `x @ W.T + b`. The fraction applies to the update
# alone, and once.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# down  = x through A         (N, r)
# up    = down through B      (N, out)
# y     = x through W, plus b, plus alpha / r times up
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def lora_linear(x, W, b, A, B, alpha):
#     return x @ W.T + b + alpha / len(A) * (x @ A.T) @ B.T
# ```
#
# </details>
#
# As a layer in PyTorch this is a wrapper of a dozen lines. `A` is initialised with small random
# numbers and `B` with zeros:


# %%
class LoRAByHand(torch.nn.Module):
    def __init__(self, linear, rank, alpha):
        super().__init__()
        bound = linear.in_features**-0.5
        self.linear, self.alpha = linear.requires_grad_(False), alpha
        self.A = torch.nn.Parameter(torch.empty(rank, linear.in_features).uniform_(-bound, bound))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return lora_linear(x, self.linear.weight, self.linear.bias, self.A, self.B, self.alpha)


# %% [markdown]
# Why zeros? Training should begin at the model as it is, so that the first picture of a run is the
# old one. Why only one of the two matrices? If both were zero, both gradients would be zero, and
# neither matrix would ever change. With `B` = 0 the gradient of `A` is zero at the first step, but
# that of `B` is not, and from the second step on both change.

# %%
torch.manual_seed(0)
layer = LoRAByHand(torch.nn.Linear(in_, out), rank, alpha=3)
assert torch.allclose(layer(x), layer.linear(x), atol=1e-6)
(layer(x) - 1).pow(2).mean().backward()
assert layer.A.grad.abs().max() == 0 and layer.B.grad.abs().max() > 0
print("at the start: the layer itself; a gradient for B, none for A: ok")

# %% [markdown]
# ## Why alpha over rank
#
# A learning rate that suits rank 8 should also suit rank 64. Consider the very first step. Adam
# moves each number of `B` by about the learning rate, whatever its gradient. Then `B A x` is a sum
# of `r` terms that all push in the same direction, and it grows with `r`. Dividing by `r`
# compensates for that.


# %%
def first_step(rank, alpha, lr=0.01):
    torch.manual_seed(rank)
    layer = LoRAByHand(torch.nn.Linear(256, 256), rank, alpha)
    x, y = torch.randn(1, 256), torch.randn(1, 256)
    (layer(x) - y).pow(2).mean().backward()
    with torch.no_grad():
        before = layer(x)
        layer.B -= lr * layer.B.grad.sign()  # the first step of Adam
        return (layer(x) - before).abs().mean().item()


# %%
from qwenimage_ref.course import charts

ranks = (4, 8, 16, 32, 64)
plain = [first_step(rank, alpha=rank) for rank in ranks]  # the factor is 1
divided = [first_step(rank, alpha=8) for rank in ranks]
series = {"B A alone": list(zip(ranks, plain)), "alpha / rank": list(zip(ranks, divided))}
charts.curves(
    [{"series": series, "x": "rank", "y": "change after one step", "log": True}],
    alt="Change of a layer's output after one step over the rank, 4 to 64: a rising line without "
    "the fraction, a flat one with it",
)

# %%
assert plain[-1] > 10 * plain[0]
assert max(divided) < 1.7 * min(divided)
print("rank 4 to 64: over 10 times the step without alpha / rank, under 1.7 times with it: ok")

# %% [markdown]
# So `alpha` sets the strength of the update and can stay as it is when the rank changes. Training
# programs do not agree on its value: some take alpha = rank, so that `B A` counts once; one public
# LoRA has rank 64 and alpha 8, and counts an eighth. The value therefore has to be stored with the
# file, and we come back to it below.
#
# ## On the whole model
#
# The package does not wrap layers. It attaches a `Pair` to each layer by a *forward hook*, a
# function that PyTorch calls after the layer and that may change its output:

# %%
from qwenimage_ref.adapt import lora

show.source(lora.Pair.forward, lora.LoRA._hook)

# %%
pair = lora.Pair(A, B, alpha=6)
by_package = pair(x, x @ W.T + b)
assert torch.allclose(by_package, lora_linear(x, W, b, A, B, 6.0), atol=1e-5)
print("yours and the package's Pair, difference under 1e-5: ok")

# %% [markdown]
# `inject` takes patterns of names, like those for files. `TARGETS` holds the choices of the public
# training programs; we take the eight attention layers and four MLP layers of every block. Since
# hooks rename nothing, the model has the same parameters under the same names, and with `B` = 0 it
# predicts the same velocity, *bit for bit*.

# %%
from qwenimage_ref.sampler import pack

txt, txt_mask = pipe.encode_prompt(prompts[:2])
noisy, half = pack(pipe.noise(2, 128, 128, seed=[1, 2])), torch.full((2,), 0.5)


@torch.no_grad()
def velocity(model=mmdit):
    return model(noisy, txt, half, [(1, 8, 8)], txt_mask)


# %%
plain_velocity, names_before = velocity(), [name for name, _ in mmdit.named_parameters()]
adapter = lora.inject(mmdit, lora.TARGETS["Lightning"], rank=8)
assert [name for name, _ in mmdit.named_parameters()] == names_before
assert torch.equal(velocity(), plain_velocity)
trained = sum(p.numel() for p in adapter.parameters())
whole = sum(p.numel() for p in mmdit.parameters())
print(f"{len(adapter.pairs)} pairs, {trained:,} numbers beside {whole:,}; the same bits: ok")

# %% [markdown]
# ## Exercise: which layers never change?
#
# ★★★☆☆ · 10 minutes
#
# Some of these pairs will be unchanged after any training run, because no gradient ever reaches
# them: nothing that the loss depends on uses their output. Remember the end of [chapter
# 06](06_one_mmdit_block.ipynb): after the last block only the image stream is used.
#
# These are the linear layers of the last block, under their full names:

# %%
blocks = mmdit.config.num_layers
last_block = [name for name in lora.named_linears(mmdit) if f".{blocks - 1}." in name]
assert len(last_block) == 14
print(*last_block, sep="\n")

# %% [markdown]
# `to_q`, `to_k`, `to_v`, `to_out` and everything with `img` work on the image; `add_q_proj`,
# `add_k_proj`, `add_v_proj`, `to_add_out` and everything with `txt` work on the text. Write
# `still(name, blocks)`: whether the layer of this name never gets a gradient in a model of so many
# blocks. Names are those above, blocks count from 0, and other blocks have the same fourteen. You
# will know it works when the checker says so and a real gradient agrees.


# %% tags=["exercise"]
def still(name, blocks):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
still = answers.unless_solved(still, answers.EX_10_STILL)
check.ex_10_still(still)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Follow the text tokens through the last block. Where does the image stream use them for the last
# time?
#
# </details>
#
# <details><summary>A hint</summary>
#
# In joint attention the image's queries meet the text's keys and values. A layer that serves only
# the text's own output has no effect on the loss, and neither has anything after it. But modulation
# comes *before* keys and values.
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def still(name, blocks):
#     last = f"transformer_blocks.{blocks - 1}."
#     in_vain = ("attn.add_q_proj", "attn.to_add_out", "txt_mlp.")
#     return name.startswith(tuple(last + layer for layer in in_vain))
# ```
#
# </details>
#
# To prove it, we put pairs on *every* linear layer of every block, with `B` no longer zero, run one
# backward pass, and list the pairs without a gradient.

# %%
from qwenimage_ref.train.flow import flow_step

adapter.remove()
everywhere = lora.inject(mmdit, "transformer_blocks.*", rank=2)
generator = torch.Generator().manual_seed(0)
for pair in everywhere.pairs.values():
    pair.lora_B.data.normal_(0, 0.02, generator=generator)
data, noise = (pipe.noise(2, 128, 128, seed=[n, n + 1]) for n in (1, 3))
flow_step(mmdit, data, noise, half, txt, txt_mask).backward()


# %%
def moved(pair):
    return pair.lora_B.grad is not None and bool(pair.lora_B.grad.any())


standing = [name for name, pair in everywhere.named_pairs().items() if not moved(pair)]
assert standing == [name for name in everywhere.named_pairs() if still(name, blocks)]
everywhere.remove()
print(*standing, sep="\n")

# %% [markdown]
# There are four such pairs of 112, and in the official model four of 840. An assertion that every
# LoRA pair has a gradient fails on exactly these, and training on several GPUs stops with a
# complaint about *unused parameters*.
#
# ## Training
#
# The training set is 32 drawn hearts. Every colour occurs at every place, but the combinations in
# the ten prompts never do. Training needs the latents of each picture and the text states of each
# caption; both are computed once.

# %%
from PIL import Image

from qwenimage_ref.pocket.train import as_input

drawn = [heart.draw(scene, number) for number, scene in enumerate(lessons)]
alt = "Thirty-two drawn hearts, large and small, in eight colours on six backgrounds"
assert [heart.recognised(picture) for picture in drawn].count("heart") == 32
show.shown(lora_scales.sheet([Image.fromarray(picture) for picture in drawn]), alt)

# %%
from qwenimage_ref.train.dataset import Encoded

with torch.no_grad():
    latents = pipe.vae.normalize(pipe.vae.encode(as_input(drawn))[0])
captions = [heart.prompt(scene) for scene in lessons]
assert not set(captions) & set(prompts)
states = [pipe.encode_prompt([caption])[0][0] for caption in captions]
examples = [Encoded(*pair) for pair in zip(latents, states)]
empty = pipe.encode_prompt([" "])[0][0]
print(tuple(latents.shape), "latents,", len(states), "captions, none of them a prompt: ok")

# %% [markdown]
# A training step is that of [chapter 12](12_train_your_own.ipynb): mix latents with noise, predict
# the velocity, take the squared error. The only difference is which weights may change. `loss_of`
# draws the batches, `Run` takes the steps.

# %%
import tempfile

from qwenimage_ref.train.loop import Recipe, Run
from qwenimage_ref.train.lora import Settings, loss_of

recipe = Recipe(steps=70, batch=8, lr=4e-3, warmup=10, decay_from=0.4, ema=0.9)
settings = Settings(rank=8, alpha=8, targets="Lightning", sigma="shift", shift=2.0)
adapter = lora.inject(mmdit, lora.TARGETS["Lightning"], settings.rank, settings.alpha)
loss_at, losses = loss_of(mmdit, examples, empty, recipe, settings), []


def step(number):
    loss = loss_at(number)
    losses.append(loss.item())
    return loss


# %%
folder = tempfile.TemporaryDirectory()
run = Run(adapter, recipe, folder.name)
run.fit(step, quiet=True)
print(f"{run.step} steps of {recipe.batch} hearts")

# %%
count = range(1, len(losses) + 1)
smooth = [sum(losses[max(0, i - 10) : i]) / min(i, 10) for i in count]
series = {"each batch": list(zip(count, losses)), "mean of ten": list(zip(count, smooth))}
charts.curves(
    [{"series": series, "x": "step", "y": "loss"}],
    alt="The loss over seventy steps falls steeply at first, then slowly",
)

# %%
assert smooth[-1] < 0.5 * smooth[9]
for name, pair in adapter.named_pairs().items():
    assert bool(pair.lora_B.any()) != still(name, blocks), name
print("the last ten losses are less than half of the first ten: ok")
print("every B has moved but those of your exercise, which are zero to this day: ok")

# %% [markdown]
# ## After
#
# Here are the same ten prompts with the same noise and the same weights of the model. Only the LoRA
# pairs have changed.

# %%
after = lora_scales.paint(pipe, prompts, range(10), steps=16)
alt = "The ten pictures again: hearts, in the colours and places of their prompts"
show.grid(after, prompts, alt, columns=5, scale=1)

# %%
found = [heart.recognised(picture) for picture in after]
assert found.count(heart.NAME) >= 8, f"found: {found}"
print("hearts found: 0 of 10 before, at least 8 of 10 after: ok")

# %% [markdown]
# A *pink heart on navy* was in none of the training pictures. The model already knew colours,
# places and backgrounds; only the new word had to be connected with a new outline. That is why so
# little training and so few parameters are enough: most of what a LoRA needs is in the model
# already.
#
# What did it cost? No training example asked for a circle or a star. These are prompts with the old
# shapes, without and with the LoRA:

# %%
colours, backgrounds = (
    ("red", "yellow", "green", "black", "purple"),
    ("white", "navy", "beige", "mint", "sky"),
)
shapes = ("circle", "star", "triangle", "square", "ring")
old = [f"a large {c} {s} on a {p} background" for c, s, p in zip(colours, shapes, backgrounds)]
both = [
    picture
    for scale in (0, 1)
    for picture in lora_scales.paint_at(pipe, adapter, scale, old, range(5, 10))
]
alt = "Circle, star, triangle, square and ring, above without the LoRA, below with it"
show.grid(both, old * 2, alt, columns=5, scale=1)

# %%
kept = [heart.recognised(picture) for picture in both]
assert kept[:5] == list(shapes) and kept[5:] != list(shapes)
print("read right without the LoRA: 5 of 5; with it: fewer: ok")

# %% [markdown]
# Round shapes get a dent and a tip. Nothing in training restricted the update to one word: in all
# examples the right answer was a heart, so that *a little more heart everywhere* lowered the loss,
# too. The usual remedies are to mix old pictures into the training set, to train for fewer steps,
# or to add less of the update:
#
# ## The scale
#
# The update does not have to be added exactly once. `scale` multiplies it: at 0 the model is the
# old one, bit for bit, and at 1 it is the trained one. Move the slider.

# %%
shown = [prompts[0], prompts[5]]
slider = lora_scales.ScaleSlider(pipe, adapter, shown, seeds=(0, 5))
slider

# %%
at_zero = slider.picture.value
slider.scale.value = 1
assert slider.picture.value != at_zero and slider.words.value.count("heart") == 2
slider.scale.value = 0
assert slider.picture.value == at_zero and "heart" not in slider.words.value
print("scale 1: two hearts; back at 0: the old pictures: ok")

# %%
strip = [slider.pictures(scale)[row] for row in (0, 1) for scale in lora_scales.SCALES]
names = [f"scale {scale:g}" for scale in lora_scales.SCALES] * 2
alt = f"{shown[0]}, and below {shown[1]}, at scales -1 to 1.5: from blots to hearts"
show.grid(strip, names, alt, columns=5, scale=1)

# %%
adapter.scale = 0
assert torch.equal(velocity(), plain_velocity)
distance = {}
for scale in lora_scales.SCALES:
    adapter.scale = scale
    distance[scale] = (velocity() - plain_velocity).norm().item()
adapter.scale = 1.0
assert distance[0] == 0 < distance[0.5] < distance[1] < distance[1.5]
print("scale 0 is the model, bit for bit; farther, the farther the slider is moved: ok")

# %% [markdown]
# Between 0 and 1 the heart appears gradually, beyond 1 it is exaggerated, and at -1 the model is
# pushed away from it. Two adapters on one model simply add up, each with its own scale.
#
# ## How much rank does a heart need?
#
# Rank 8 was a guess. Would less have done? We can find out without training again, since every
# matrix is a sum of products of a column and a row, its *singular value decomposition*:
#
# $$\frac{\alpha}{R} B A = \sum_i s_i\, u_i v_i^T$$
#
# The columns $u_i$ are orthonormal, the $v_i$ as well, and the singular values $s_i$ fall. Of all
# matrices of rank $r$, the first $r$ terms are the nearest, by the sum of the squared differences
# ([Eckart and Young 1936](https://doi.org/10.1007/BF02288367)). Programs that *resize* a LoRA file
# use this.
#
# ## Exercise: the same update with less rank
#
# ★★★★☆ · 30 minutes
#
# Write `squeezed(A, B, alpha, rank)`. The pair of `A` (R, in) and `B` (out, R) counts alpha / R
# times. Return a new pair, first A (rank, in), then B (out, rank), whose plain product is the
# nearest to that update; so the new pair counts once. R is at most in and out, `rank` at most R. An
# MLP's weight in the official model has 38 million numbers, and to decompose it is slow: no tensor
# of yours may have more numbers than the larger of A and B. You will know it works when the checker
# says so.


# %% tags=["exercise"]
def squeezed(A, B, alpha, rank):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
squeezed = answers.unless_solved(squeezed, answers.EX_10_SQUEEZED)
check.ex_10_squeezed(squeezed)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Whatever the R columns of B are, an orthonormal basis of what they span has R columns, too.
#
# </details>
#
# <details><summary>A hint</summary>
#
# *torch.linalg.qr* writes a tall matrix as an orthonormal basis times a small square matrix. Use it
# for B and for the transpose of A. What stands between the two bases in B A is then an R × R
# matrix, and an orthonormal basis on either side changes no singular value.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# B            = out_basis left        (out, R) (R, R)
# A transposed = in_basis right        (in, R) (R, R)
# B A          = out_basis (left right transposed) in_basis transposed
# decompose the small matrix in the middle, times alpha / R: u, values, vh
# A: the root of each of the first values times its row of vh, through in_basis
# B: out_basis times the first columns of u, each times its root
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def squeezed(A, B, alpha, rank):
#     out_basis, left = torch.linalg.qr(B)
#     in_basis, right = torch.linalg.qr(A.T)
#     u, values, vh = torch.linalg.svd(alpha / len(A) * left @ right.T)
#     root = values[:rank].sqrt()
#     return (root.unsqueeze(1) * vh[:rank]) @ in_basis.T, out_basis @ (u[:, :rank] * root)
# ```
#
# </details>
#
# Now cut all 96 trained pairs, with your function, and for comparison by keeping the first rows of
# A and columns of B. How much of the squared update is left?


# %%
def first_rows(A, B, alpha, rank):
    return A[:rank], alpha / len(A) * B[:, :rank]


@torch.no_grad()
def cut(rank, by):
    pairs, left, whole = {}, 0.0, 0.0
    for name, pair in adapter.named_pairs().items():
        A, B = by(pair.lora_A, pair.lora_B, pair.alpha, rank)
        pairs[name] = lora.Pair(A, B, alpha=rank)
        whole += pair.delta().square().sum().item()
        left += (pair.delta() - B @ A).square().sum().item()
    return pairs, 1 - left / whole


# %%
kept = {by: [100 * cut(r, by)[1] for r in range(1, 9)] for by in (squeezed, first_rows)}
series = {
    "nearest of this rank": list(enumerate(kept[squeezed], 1)),
    "first rows": list(enumerate(kept[first_rows], 1)),
}
charts.curves(
    [{"series": series, "x": "rank", "y": "per cent of the squared update"}],
    alt="Of the squared update, the nearest pair of rank 1 keeps four fifths, of rank 2 over nine "
    "tenths; of the first rows it takes seven for that",
)

# %%
assert kept[squeezed][0] > 70 and kept[squeezed][1] > 85 > 2 * kept[first_rows][1]
print("of the squared update, rank 1 keeps over 70 %, rank 2 over 85 %: ok")

# %%
adapter.scale, cut_pictures = 0, []
for rank, by in ((2, squeezed), (4, first_rows)):
    small = lora.LoRA(mmdit, cut(rank, by)[0])
    cut_pictures += lora_scales.paint(pipe, prompts, range(10), steps=8)
    small.remove()
adapter.scale = 1.0
names = ["nearest, rank 2"] * 10 + ["first rows, rank 4"] * 10
alt = "Ten hearts painted with the nearest pairs of rank 2; below, ten blots, with four first rows"
show.grid(cut_pictures, names, alt, columns=5, scale=1)

# %%
found = [heart.recognised(picture) for picture in cut_pictures]
assert found[:10].count(heart.NAME) >= 8 and found[10:].count(heart.NAME) <= 2
print("nearest of rank 2: at least 8 hearts of 10; first rows, rank 4: at most 2: ok")

# %% [markdown]
# Most of what training has changed is one direction of each layer, and two are enough for the
# hearts, in a file of a quarter of the size. No row of A holds it alone: the loss depends on the
# product only, and training has spread the direction over all eight rows.
#
# ## The alpha trap
#
# Files do not store `alpha / rank` but `alpha`, often as one more tensor beside each pair, and some
# loaders overlook it. Here is our LoRA as a program with alpha = rank / 8 would have written it:
# `B` is eight times as large and alpha an eighth, so that the product is the same. Beside it is the
# same file without its alphas.

# %%
from pathlib import Path

from safetensors.torch import load_file, save_file

here = Path(folder.name)
right_file = lora_scales.write(adapter, "Lightning", here, times=8)
tensors = load_file(right_file)
trap_file = here / "alpha_lost.safetensors"
save_file({key: t for key, t in tensors.items() if not key.endswith(".alpha")}, trap_file)
adapter.remove()

# %%
pictures = []
for file in (right_file, trap_file):
    report = lora.load(mmdit, file)
    pictures += lora_scales.paint(pipe, shown, (0, 5))
    print(report)
    report.adapter.remove()
names = ["alpha read"] * 2 + ["alpha ignored"] * 2
alt = "Two hearts with alpha read; with alpha ignored two pictures of noise or patterns"
show.grid(pictures, names, alt, columns=4, scale=1)

# %%
seen = [heart.recognised(picture) for picture in pictures]
assert seen[:2] == ["heart", "heart"] and "heart" not in seen[2:]
print("alpha read: two hearts; alpha ignored, eight times too strong: none: ok")

# %% [markdown]
# A loader cannot detect this fault, because the file is well formed. The report therefore states
# what it assumed, *not given*, and such lines are worth reading when a LoRA ruins a picture.
#
# ## Seven dialects
#
# The same two matrices have many names. For the layer `to_q` of the first block:

# %%
layer = "transformer_blocks.0.attn.to_q"
rows = [
    [dialect, f"`{lora_scales.keys(dialect, layer)[0]}`", place]
    for dialect, (*_, place) in lora_scales.DIALECTS.items()
]
show.table(["dialect", "key of A", "alpha is"], rows)

# %% [markdown]
# The package strips known prefixes, compares the rest with the model's own names, with dots and
# with underscores, and accepts nothing else. Every dialect has to give the same change of the
# weights.

# %%
wanted_deltas = {name: pair.delta() for name, pair in adapter.named_pairs().items()}
for dialect in lora_scales.DIALECTS:
    with tempfile.TemporaryDirectory() as place:
        report = lora.load(mmdit, lora_scales.write(adapter, dialect, Path(place), times=8))
    assert report.dialect == dialect and report.matched == len(wanted_deltas) == 96
    for name, pair in report.adapter.named_pairs().items():
        assert torch.allclose(pair.delta(), wanted_deltas[name], atol=1e-6), name
    report.adapter.remove()
    print(f"{dialect:17} {report.matched} of {report.linears} layers, equal changes: ok")

# %% [markdown]
# The worst that a loader can do is *nothing*: no name fits, there is no error, and the pictures are
# the old ones. Here a key that fits nowhere is an error, and the model is left as it was.

# %%
wrong_file = here / "other_names.safetensors"
save_file({key.replace("blocks", "layers"): t for key, t in tensors.items()}, wrong_file)
try:
    lora.load(mmdit, wrong_file)
except lora.LoRAError as error:
    print(str(error).replace(str(here), "FOLDER").replace("\\", "/"))
assert lora.adapters(mmdit) == [] and torch.equal(velocity(), plain_velocity)

# %% [markdown]
# ## Merging
#
# In the end the update can be added to the weight, `W + alpha / rank * B @ A`, and then costs
# nothing any more. Merged and unmerged models give the same velocity up to the order of sums, and
# `unmerge` restores every bit, because the old weights are kept.

# %%
report = lora.load(mmdit, right_file)
beside = velocity()
lora.merge(mmdit)
merged = velocity()
lora.unmerge(mmdit)
report.adapter.remove()
assert (merged - beside).abs().max() < 1e-4 < (merged - plain_velocity).abs().max()
assert torch.equal(velocity(), plain_velocity)
print("merged and unmerged under 1e-4 apart; afterwards the old bits: ok")

# %% [markdown]
# Released weights are bfloat16, with eight bits for the digits of a number. A change below half of
# the last digit is rounded away, and that weight does not change at all. How many weights stay as
# they are, depending on the scale?

# %%
pairs = [
    (mmdit.get_submodule(name).weight.bfloat16(), delta)
    for name, delta in wanted_deltas.items()
    if not still(name, blocks)
]


def unmoved(scale):
    equal = sum(((W.float() + scale * d).bfloat16() == W).sum() for W, d in pairs)
    return 100 * (equal / sum(W.numel() for W, _ in pairs)).item()


# %%
scales = (0.05, 0.1, 0.25, 0.5, 1.0)
share = [unmoved(scale) for scale in scales]
series = {"unmoved weights": list(zip(scales, share))}
charts.curves(
    [{"series": series, "x": "scale", "y": "per cent", "log": True}],
    alt="Per cent of bfloat16 weights that a merged LoRA does not move, over its scale: a line "
    "that falls from most of them to few",
)

# %%
assert share == sorted(share, reverse=True) and share[0] > 50 and share[-1] < 10
print("at scale 0.05 over half of the weights do not move, at scale 1 under a tenth: ok")

# %% [markdown]
# If it is rounded *once*, this does little harm, because what is lost is small and goes in both
# directions. The harm comes from adding in bfloat16 many times, for example in ten small portions,
# or by merging and unmerging whenever a user moves a slider. The next cell compares the error of
# one rounding with that of ten:


# %%
def error(portions):
    wrong = total = 0.0
    for W, delta in pairs:
        held = W
        for _ in range(portions):
            held = (held.float() + delta / portions).bfloat16()
        wrong += (held.float() - W.float() - delta).pow(2).sum().item()
        total += delta.pow(2).sum().item()
    return (wrong / total) ** 0.5


once, ten_times = error(1), error(10)
assert ten_times > 4 * once
print("ten portions, each rounded: over 4 times the error of one sum, rounded once: ok")

# %% [markdown]
# The package's `merge` sums all adapters in float32 and rounds once.
#
# ## Stopping and resuming
#
# Training runs get interrupted: by a power cut, for lack of memory, by a closed lid. A resumed run
# should be the *same* run as one that was never stopped. That takes more than the weights: Adam's
# two moments, the number of the step, and the random numbers that will be drawn next. Here the
# random numbers of a step depend on seed and step alone, so nothing of them has to be stored. A
# tiny model shows it, with ten steps at once beside five steps, a new start from the files, and
# five more.

# %%
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.train.lora import train

tiny = MMDiTConfig(
    num_layers=2,
    num_attention_heads=2,
    attention_head_dim=16,
    joint_attention_dim=192,
    axes_dims_rope=(4, 4, 8),
)
ten = Recipe(steps=10, batch=4, lr=1e-3, warmup=2)


# %%
def trained_for(place, until):
    torch.manual_seed(0)
    model = MMDiT(tiny)
    run = train(model, examples[:8], empty, ten, settings, place, until=until, quiet=True)
    return [weight.detach().clone() for weight in run.weights]


at_once = trained_for(here / "ten", 10)
trained_for(here / "five", 5)
gone_on = trained_for(here / "five", 10)
assert any(weight.any() for weight in at_once[1::2]), "B has moved"
assert all(torch.equal(a, b) for a, b in zip(at_once, gone_on))
print("5 steps, a stop and 5 more equal 10 steps, bit for bit: ok")

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** Rank 16 on all 14 layers of all 60 official blocks: how many numbers? A block has twelve
# layers whose sides sum to 6,144 or 15,360, and two from 3,072 to 18,432.
#
# <details><summary>Answer</summary>
#
# 147 million, or 0.7 % of the model: eight attention layers with 3,072 + 3,072, four MLP layers
# with 3,072 + 12,288 and two modulations with 3,072 + 18,432, all times 16 and 60.
#
# </details>
#
# **2.** A file has rank 64 and alpha 8. How often does `B A` count at scale 0.5?
#
# <details><summary>Answer</summary>
#
# A sixteenth: 0.5 × 8 / 64.
#
# </details>
#
# **3.** Rank 192 for a layer of 192 × 192: can the LoRA then do everything that training the weight
# can, and what does it cost?
#
# <details><summary>Answer</summary>
#
# Yes, since any matrix can then be written as a product `B A`; and it takes twice as many numbers
# as the weight itself.
#
# </details>

# %%
sides = 8 * (3072 + 3072) + 4 * (3072 + 12288) + 2 * (3072 + 18432)
assert 16 * 60 * sides == 147_456_000 and 0.5 * 8 / 64 == 1 / 16
assert 192 * (192 + 192) == 2 * 192 * 192
print(f"{16 * 60 * sides:,} numbers; 1/16; twice as many: ok")

# %% [markdown]
# ## What production code does differently
#
# * The learning rate is 1e-4 or less, a fortieth of ours, over thousands of steps: a strong model
#   is easily spoiled, as our circles were.
# * The base model may be stored in 8 or 4 bits, since it is never trained. The adapter stays in
#   float32: in bfloat16 a step of 1e-4 is rounded away on numbers above 0.03.
# * Some programs adapt four layers of a block, the image's attention, others all fourteen.
# * Pictures of many sizes are sorted into buckets, and a share of the captions is left empty.
# * Servers keep dozens of LoRAs beside one base model and choose one for each request, which is
#   possible because the base model is never changed.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The update, its initialisation and alpha: [LoRA, Hu et al.
#   2021](https://arxiv.org/abs/2106.09685), section 4.1. There `A` is drawn from a normal
#   distribution; the wrapper above draws it uniformly, as PyTorch does for a linear layer.
# * Dividing by the square root of the rank instead, so that large ranks still learn: [rsLoRA,
#   Kalajdzievski 2023](https://arxiv.org/abs/2312.03732).
# * SD3: Stability AI's code keeps query, key and value in one linear layer
#   ([mmdit.py](https://github.com/Stability-AI/sd3-ref/blob/master/mmdit.py), *SelfAttention*),
#   diffusers in three. A pair on the one has other names and shapes than three pairs on the other,
#   and a loader has to convert them.
# * FLUX.1: its models for edges and for depth were also released as LoRAs
#   ([README](https://github.com/black-forest-labs/flux)), with a pair on every linear layer
#   ([lora.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/modules/lora.py)). The
#   up-projection there has a bias, and the only factor is a scale; there is no alpha.
#
# </details>
#
# ## Try this
#
# * Put eight old posters into the training set, with their captions. Do circles stay round now?
# * Train with rank 1. In how many of the ten pictures is a heart found?
# * Paint *a red heart left of a blue circle*. No training picture had two shapes.
# * Leave out the MLPs: `lora.TARGETS["diffusers"]` adapts half of the attention alone.
# * `qwenimage train lora --data FOLDER` trains on pictures of your own.
#
# Capstone: a LoRA acts on the linear layers of `mmdit.py`. If yours agrees with the package, attach
# the pair of this page to one of its layers and paint.
#
# Next: [11 · Gallery of wrong answers](11_gallery_of_wrong_answers.ipynb), 25 ways in which a
# right-looking program goes wrong.
