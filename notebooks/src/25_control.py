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
# # 25 · Control
#
# A caption describes what is in a picture, but not where the outlines are. A second picture can
# specify that: the edges of a poster, for example, or a depth map or a pose. There are three kinds
# of networks for Qwen-Image that process such a picture. They differ in nearly every respect, but
# at the start of training none of them has any effect on the model.
#
# | | |
# |---|---|
# | **You need** | chapters [06](06_one_mmdit_block.ipynb) and [09](09_text_to_image.ipynb) |
# | **You get** | ControlNet Union, blockwise networks and in-context control, by hand |
# | **Minutes** | 40 to read, 45 to write, one and a half to run |
# | **Picture** | gradients of the layers of a new network, over its first hundred steps |
# | **Number** | a new network changes no bit; 1,768,003,584 and 1,133,399,040 weights |

# %%
import json

import numpy as np
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt.control import Applied, BlockwiseBlock, Controlled
from qwenimage_ref.course import charts, show
from qwenimage_ref.evaluate import controlling, waking
from qwenimage_ref.mmdit import Call
from qwenimage_ref.pocket import controls
from qwenimage_ref.posters.captions import caption
from qwenimage_ref.posters.draw import paint
from qwenimage_ref.posters.understanding import edges
from qwenimage_ref.train.control import new_network

pipe = QwenImage.from_pretrained(show.pocket_folder())
mmdit = pipe.transformer.requires_grad_(False)
scene, placed = controlling.posters(19)[18]
prompt, lines = caption(scene), Image.fromarray(edges(placed))
drawn = Image.fromarray(paint(placed))
print(prompt)

# %%
options = {"negative_prompt": " ", "num_inference_steps": 20}
alone = [pipe(prompt, seed=seed, **options)[0] for seed in (0, 1)]
names = ["a poster", "its edges", "caption alone, seed 0", "caption alone, seed 1"]
alt = "A poster, the white contours of its shapes on black, and two posters painted from the same "
alt += "caption, with their shapes in other places"
show.grid([drawn, lines, *alone], names, alt)

# %% [markdown]
# How closely are the edges followed? We compare the contours that were asked for with those of the
# painted shapes, both drawn a few pixels wide. Their **likeness** is the number of pixels in both,
# divided by the number in either (intersection over union, IoU), and ranges from 0 to 1.


# %%
def likeness(picture):
    return controlling.likeness(placed, np.asarray(picture))


def over(picture):
    """A picture under the contours that were asked for"""
    pen = Image.new("RGB", lines.size, show.PALETTE["joint"])
    return Image.composite(pen, picture, lines.convert("L"))


assert likeness(drawn) > 0.9 > 0.6 > max(map(likeness, alone))
print("the poster follows its own edges, pictures of the caption alone do not: ok")

# %%
show.source(controlling.likeness)

# %% [markdown]
# ## First kind: a copy of the first blocks
#
# **ControlNet** is a *control network*: the model's own weights are frozen, and a copy of a part of
# the model is trained. The copy receives the control picture together with the noisy latents, and
# its outputs are added to the model's own stream. InstantX's *Union* for Qwen-Image copies 5 of the
# 60 blocks, and our pocket network copies 2 of 8. With $x$ the packed latents, $c$ the packed
# picture and $t_0$ the text, the copy computes
#
# $$h_0 = W_x x + W_c\, c, \qquad (h_{k+1}, t_{k+1}) = B_k(h_k, t_k), \qquad r_k = Z_k h_{k+1} .$$
#
# $W_c$ is `controlnet_x_embedder`, and the $Z_k$ are `controlnet_blocks`. All of them are
# initialised to zero. Everything else is initialised as a copy, and gets the same text, noise level
# and rotations as the model.
#
# ![Block diagram: the control picture is encoded, embedded and added to the embedded latents;
# copies of the first blocks follow; a linear layer after each gives a residual that is added after
# twelve blocks of the transformer](figures/control_union.svg)
#
# The copy has $n$ blocks and the model has $L$, so each residual serves $\lceil L/n \rceil$
# consecutive blocks. Something is added after *every* block: with $n = 5$, the residual $r_0$ is
# added after each of the first twelve.
#
# ## Exercise: which residual?
#
# ★★☆☆☆ · 10 minutes
#
# Write `residual_number(block, blocks, count)`, which returns the number of the residual that is
# added after a block, given `blocks` blocks and `count` residuals, all counted from 0. `blocks`
# need not be divisible by `count`. You will know it works when the checker says so.


# %% tags=["exercise"]
def residual_number(block, blocks, count):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

residual_number = answers.unless_solved(residual_number, answers.EX_25_RESIDUAL)
check.ex_25_residual(residual_number)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# With 60 blocks and 7 residuals, how many blocks does the first residual serve, and how many does
# the last?
#
# </details>
#
# <details><summary>A hint</summary>
#
# First compute the number of blocks that share a residual, rounded up. Then count how many groups
# of this size fit before the block.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# each = blocks / count, rounded up; block / each, rounded down
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def residual_number(block, blocks, count):
#     return block // -(-blocks // count)
# ```
#
# </details>

# %%
from qwenimage_ref.controlnet import residual_of

for blocks, count in ((60, 5), (60, 6), (8, 2), (60, 7)):
    mine = [residual_number(n, blocks, count) for n in range(blocks)]
    assert mine == [residual_of(n, blocks, list(range(count))) for n in range(blocks)]
    print(f"{count} residuals, {blocks} blocks:", [mine.count(k) for k in range(count)])

# %% [markdown]
# The next cells do the forward pass by hand, with a network whose zeros have been replaced by small
# random numbers, so that it has an effect.

# %%
rng = torch.Generator().manual_seed(0)
x, picture = (torch.randn(1, 64, 64, generator=rng) for _ in range(2))
txt, sigma, grid = pipe.encode_prompt([prompt])[0], torch.tensor([0.7]), (1, 8, 8)


def filled(network):
    """The network, with small random numbers in place of zeros"""
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.any():
                weight.normal_(0, 0.02, generator=rng)
    return network


union = filled(controls.copied_network(mmdit))
img, words, shared = mmdit.embed(x, txt, sigma, [grid])
residuals = []
with torch.no_grad():
    h, t = union.img_in(x) + union.controlnet_x_embedder(picture), union.txt_in(union.txt_norm(txt))
    temb = union.time_text_embed(sigma.unsqueeze(1))
    for block, linear in zip(union.transformer_blocks, union.controlnet_blocks):
        h, t = block(h, t, temb, *shared[1:4])
        residuals.append(linear(h))

# %%
with torch.no_grad():
    for n, block in enumerate(mmdit.transformer_blocks):
        img, words = block(img, words, *shared)
        img = img + residuals[residual_number(n, 8, 2)]
    by_hand = mmdit.velocity(img, shared)
    plain = mmdit(x, txt, sigma, [grid])
    packaged = Controlled(mmdit, [Applied(union, picture)], 1).many([Call(x, txt, sigma, [grid])])[
        0
    ]
assert torch.allclose(by_hand, packaged, atol=1e-4) and not torch.allclose(
    by_hand, plain, atol=0.01
)
print("the controlled velocity by hand equals that of the package within 1e-4: ok")

# %% [markdown]
# ## Second kind: two linear layers after every block
#
# DiffSynth's **blockwise** networks copy nothing. They have no attention, and neither the text nor
# the noise level is an input. The picture is embedded once, $y = W c$ (`img_in`), and *each* of the
# 60 blocks is followed by a small block of its own. If $h$ is the image stream of the target at
# that point, the small block changes it to
#
# $$h \leftarrow h + s\, \bigl(W_2\,
# \mathrm{GELU}(W_1 (\mathrm{RMS}_x(h) + \mathrm{RMS}_y(y)) + b_1) + b_2\bigr),$$
#
# $$\mathrm{RMS}(u) = \frac{g \odot u}{\sqrt{\overline{u^2} + \epsilon}} .$$
#
# ![Block diagram: the control picture is encoded and embedded once; after each block, the image
# stream and the embedded picture are normalised, added and passed through two linear layers; the
# result is scaled and added to the image stream](figures/control_blockwise.svg)
#
# Here $\epsilon$ is $10^{-6}$, and GELU is the exact form, $u\,\Phi(u)$ with the $\Phi$ of the
# normal distribution, whereas the MLPs of the transformer use the tanh approximation.
#
# ## Exercise: what is added
#
# ★★★☆☆ · 15 minutes
#
# Write `added(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out)`, which computes the expression
# in the large brackets. `img` and `control` are $h$ and $y$, `(B, I, D)`; the two norms have
# weights $g$ of shape `(D,)`; `w_in, b_in` are $W_1, b_1$ and `w_out, b_out` are $W_2, b_2$, as
# PyTorch's linear layers store them. You will know it works when the checker says so.


# %% tags=["exercise"]
def added(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
added = answers.unless_solved(added, answers.EX_25_BLOCKWISE)
check.ex_25_blockwise(added)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Before a network has been trained, $y = 0$. Does your norm still give a finite result?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Each stream has a norm of its own. The mean is taken over the last axis, which is kept with a
# single entry. PyTorch has both forms of GELU in one function.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# both <- normalised img + normalised control
# hidden <- both times w_in, transposed, + b_in
# the exact GELU of hidden, times w_out, transposed, + b_out
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def added(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
#     def normalised(x, weight):
#         return weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
#
#     hidden = (normalised(img, x_rms) + normalised(control, y_rms)) @ w_in.T + b_in
#     return torch.nn.functional.gelu(hidden) @ w_out.T + b_out
# ```
#
# </details>

# %%
blockwise = filled(new_network(mmdit))
first = blockwise.controlnet_blocks[0]
weights = [first.x_rms.weight, first.y_rms.weight]
weights += [
    w for layer in (first.input_proj, first.output_proj) for w in (layer.weight, layer.bias)
]
with torch.no_grad():
    y = blockwise(picture)
    assert torch.allclose(added(img, y, *weights), first(img, y), atol=1e-5)
print("the block by hand equals that of the package within 1e-5: ok")

# %%
show.source(BlockwiseBlock)

# %% [markdown]
# ## Scale, window, and several networks
#
# For the kinds that add to the image stream, three things can be chosen at inference.
#
# * The **scale** $s$ multiplies what is added. With a scale of 0 the model is unchanged.
# * The **guidance window**, from `start` to `end`, is given in shares of the $N$ steps. In
#   diffusers, step $i$ is inside if all of it is: $i/N \ge$ start and $(i+1)/N \le$ end. A window
#   that ends early leaves the last steps to the prompt alone. (DiffSynth counts from 1 down to 0,
#   and only the beginning of a step has to be inside.)
# * **Several networks** can act together, and what they add is summed. All of them receive the
#   *same* $h$: none of them receives what another has added after this block, so their order makes
#   no difference.
#
# With guidance, Union is run once per step, with the positive prompt, and both branches get its
# residuals. Blockwise blocks depend on $h$, so each branch computes its own.
#
# ## Exercise: one step under several networks
#
# ★★★★☆ · 25 minutes
#
# Write `steered(blocks, img, txt, nets, step, steps)`. `blocks` are functions that take the two
# streams `img, txt` and return the next two. `nets` is a list of `(add, scale, start, end)`, where
# `add(i, img)` is what a network adds after block `i`. Return the image stream after the last
# block, in step `step` of `steps`, without changing any argument in place. You will know it works
# when the checker says so.


# %% tags=["exercise"]
def steered(blocks, img, txt, nets, step, steps):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
steered = answers.unless_solved(steered, answers.EX_25_STEERED)
check.ex_25_steered(steered)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Which networks act can be determined before the first block. What does the second network receive
# after block 0?
#
# </details>
#
# <details><summary>A hint</summary>
#
# First make a list of the networks that act in this step. Then loop over the blocks, and compute
# everything that is added from the same `img` before any of it is added.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# acting <- networks with start <= step / steps and (step + 1) / steps <= end
# for each block, with its number i:
#     img, txt <- block of img, txt
#     img <- img + the sum of scale x add(i, img) over all that act
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def steered(blocks, img, txt, nets, step, steps):
#     acting = [
#         (add, scale)
#         for add, scale, start, end in nets
#         if start <= step / steps and (step + 1) / steps <= end
#     ]
#     for i, block in enumerate(blocks):
#         img, txt = block(img, txt)
#         img = img + sum(scale * add(i, img) for add, scale in acting)
#     return img
# ```
#
# </details>

# %%
applied = [Applied(union, picture, 0.7), Applied(blockwise, picture, 0.5)]
applied.append(Applied(union, x, 1.0, start=0.5))
call, shared = Call(x, txt, sigma, [grid]), mmdit.embed(x, txt, sigma, [grid])[2]
blocks = [
    lambda img, txt, block=block: block(img, txt, *shared) for block in mmdit.transformer_blocks
]
with torch.no_grad():
    nets = [(each.added(call, 8), 1.0, each.start, each.end) for each in applied]
    controlled = Controlled(mmdit, applied, steps=2)
    for step in range(2):
        img, words, _ = mmdit.embed(x, txt, sigma, [grid])
        mine = mmdit.velocity(steered(blocks, img, words, nets, step, 2), shared)
        assert torch.allclose(mine, controlled.many([call])[0], atol=1e-4)
print("three networks, one of which acts in the second step only: by hand as in the package: ok")

# %% [markdown]
# ## Third kind: the picture in the sequence
#
# **In-Context-Control-Union** adds no network at all. The picture's tokens are appended to the
# target's, as in an edit model, and all tokens attend to each other. In MSRoPE they have the
# target's rows and columns, but another frame, 1 instead of 0, so that token (3, 5) of the edges
# differs from token (3, 5) of the target by the same rotation as any other pair of tokens in the
# same place. This is why the picture is stretched to the target's size. A LoRA of rank 64 (ours:
# 16) adapts the model to these tokens. In its training every prompt began with `Context_Control. `,
# and prompts have to begin in the same way when it is used.
#
# ![Block diagram: text, target and control tokens pass through all blocks as one sequence, with a
# LoRA; only the target's tokens become a velocity](figures/control_in_context.svg)

# %%
from qwenimage_ref.rope import positions
from qwenimage_ref.tasks.regions import context_prompt, in_context

places = positions([grid, grid], len(txt[0]))[0]
target, control = places.split(64)
assert torch.equal(target[:, 1:], control[:, 1:]) and (control[:, 0] - target[:, 0] == 1).all()
(branch,) = in_context(pipe, pipe.encode_prompts([[context_prompt(prompt)]]), (1, 128, 128), lines)
with torch.no_grad():
    packaged = mmdit(*branch.call(x, sigma, grid))
    by_hand = mmdit(torch.cat([x, branch.img], dim=1), branch.txt, sigma, [grid, grid])
assert torch.equal(packaged, by_hand) and packaged.shape == x.shape
print("128 image tokens go in, the velocity of 64 comes out: ok")

# %% [markdown]
# ## What they cost
#
# We build the official networks without their weights and count the parameters:

# %%
from qwenimage_ref.adapt.control_forge import empty_control
from qwenimage_ref.config import MMDiTConfig

official = MMDiTConfig.official()
size_of = {
    name: sum(p.numel() for p in empty_control(name, official).parameters())
    for name in ("union", "inpainting", "canny", "inpaint")
}
kinds = ["InstantX Union, 5 blocks", "InstantX Inpainting, 6 blocks",
         "blockwise Canny or Depth", "blockwise Inpaint"]  # fmt: skip
rows = [
    [kind, f"{size:,}", f"{2 * size / 1e9:.2f} GB"] for kind, size in zip(kinds, size_of.values())
]
show.table(["network", "weights", "file in bf16"], rows)

# %%
D = official.inner_dim
assert size_of["union"] == 1_768_003_584 and size_of["inpainting"] == 2_117_287_424
assert size_of["canny"] == 60 * (2 * D * D + 4 * D) + 64 * D + D == 1_133_399_040
assert size_of["inpaint"] - size_of["canny"] == 4 * D
print("counted by hand: two layers, two biases and two norms after each block, and img_in: ok")

# %% [markdown]
# The networks for inpainting take the picture with a hole and, as a 17th channel, the mask, so that
# a token has 68 numbers instead of 64.
#
# ## Zero initialisation, and the first hundred steps
#
# At the start of training, a network leaves the model's output unchanged to the last bit, so the
# first predictions are those of the model without it.

# %%
new = {"union": controls.copied_network(mmdit), "blockwise": new_network(mmdit)}
with torch.no_grad():
    for kind, network in new.items():
        run = Controlled(mmdit, [Applied(network, picture)], 1)
        assert torch.equal(run.many([call])[0], plain), kind
print("both new networks leave the velocity as it is, to the last bit: ok")

# %% [markdown]
# But zeros also block gradients. What is added is $W_2 a$, so the gradient of everything *before*
# $W_2$ is a product with $W_2^\top = 0$. In the first step, only the last layers change. The
# embedding of the picture, which is zero as well, gets its first gradient one step later. The next
# cell runs four steps:

# %%
data = waking.posters(pipe, 8)
live = {kind: waking.watched(pipe, kind, 4, batch=4, data=data) for kind in waking.PARTS}
rows = []
for kind, parts in waking.PARTS.items():
    for part in parts:
        gradients = live[kind][part]["gradient"]
        rows.append([kind, f"`{part}`", *("zero" if g == 0 else "not zero" for g in gradients)])
show.table(["network", "gradient of", *(f"step {n}" for n in range(4))], rows)

# %%
for kind, (embedding, inner, last) in waking.PARTS.items():
    assert live[kind][embedding]["gradient"][0] == live[kind][inner]["gradient"][0] == 0
    assert live[kind][last]["gradient"][0] > 0
    assert all(min(live[kind][part]["gradient"][1:]) > 0 for part in waking.PARTS[kind])
print("in the first step only the last layers have a gradient, in the second all do: ok")

# %% [markdown]
# A hundred steps have been recorded by `python -m qwenimage_ref.evaluate.waking`, with plain AdamW,
# without warm-up and without clipping.

# %%
record = json.loads(show.data_file("measurements/waking.json").read_text())
panels = []
for kind, parts in waking.PARTS.items():
    series = {
        part: [(n, np.log10(g)) for n, g in enumerate(record[kind][part]["gradient"]) if g]
        for part in parts
    }
    words = {"x": f"step, {kind}", "y": "norm of the gradient, log10"}
    panels.append({"series": series} | words)
alt = "Norms of gradients over a hundred steps, two panels. On the left, that of the picture's "
alt += "embedding begins one step late with a spike, over 100 times as large as any later value"
charts.curves(panels, alt)

# %%
spikes = {}
for kind, (embedding, *_) in waking.PARTS.items():
    gradients = record[kind][embedding]["gradient"]
    assert gradients[0] == 0 < gradients[1]
    spikes[kind] = gradients[1] / np.median(gradients[2:])
assert spikes["blockwise"] > 500 > 20 > spikes["union"]
print("blockwise: the first gradient of img_in is over 500 times the later median; union: no spike")

# %% [markdown]
# The spike comes from the norm, which divides by $\sqrt{\overline{y^2} + \epsilon}$. While $y = 0$,
# this is $\sqrt{10^{-6}}$, so a gradient that passes through the norm is multiplied by a
# **thousand**. One step later $y$ has an ordinary size, and the factor is gone.

# %%
norm = first.y_rms
with torch.no_grad():
    norm.weight.fill_(1)
for size in (0.0, 1.0):
    y = torch.full((1, mmdit.config.inner_dim), size, requires_grad=True)
    norm(y)[0, 0].backward()
    print(f"y = {size:g}: slope {y.grad[0, 0].item():.4g}")

# %% [markdown]
# With Adam the effect lasts. Each step is divided by the root of a running mean of squared
# gradients, which extends over about a thousand steps at $\beta_2 = 0.999$. For all that time the
# spike keeps the steps of the embedding hundreds of times smaller than those of the other layers.
# The training of `img_in` is therefore delayed twice: by one step because of the zeros, and by
# hundreds of steps because of the spike.

# %%
done = {part: record["blockwise"][part]["weights"] for part in ("img_in", "output_proj")}
share = {part: lengths[40] / lengths[-1] for part, lengths in done.items()}
assert share["img_in"] > 0.9 > 0.85 > share["output_proj"]
print("after 40 steps, img_in has over 90 % of the length that it has after 100;")
print("the last layers are still growing: ok")

# %% [markdown]
# The usual remedies are part of most recipes. Clipping gradients to norm 1 reduces the spike from
# 60 to 1. With $\beta_2 = 0.98$, as in this course, its effect is over after about fifty steps
# instead of a thousand, and a warm-up keeps all steps small in the meantime.
#
# Union has no spike, since there is no norm between its embedding and the zeros, but it has another
# problem. Its last layers take the raw image stream as their input, whose numbers are several times
# larger than those that come out of the norms and the GELU of a blockwise network. One step of Adam
# changes every weight by the same amount, so the larger the inputs, the farther the output moves:

# %%
jumps = {kind: max(record[kind]["loss"][1:4]) / record[kind]["loss"][0] for kind in waking.PARTS}
with torch.no_grad():
    inner = torch.nn.functional.gelu(first.input_proj(first.x_rms(h)))
assert jumps["union"] > 2 * jumps["blockwise"] and h.abs().mean() > 2 * inner.abs().mean()
print("at a learning rate of 1e-3, the loss of union jumps more than twice as far: ok")

# %% [markdown]
# [InstantX's card](https://huggingface.co/InstantX/Qwen-Image-ControlNet-Union) gives a learning
# rate of 4e-5 for its network, whereas the script of
# [DiffSynth-Studio](https://github.com/modelscope/DiffSynth-Studio) uses 1e-3.
#
# ## The three kinds, side by side
#
# There is no published comparison at equal effort, so we made one: all kinds have the same model,
# the same 16,384 posters with their edges, the same noise, and 800 steps with batches of 32. (What
# is not equal is their size.)

# %%
sizes = {}
for name, make in controls.KINDS.items():
    own = make(mmdit).trained
    sizes[name] = sum(weight.numel() for weight in own.parameters())
own.remove()  # the LoRA of the last kind
share = [
    f"{100 * size / sum(w.numel() for w in mmdit.parameters()):.0f} %" for size in sizes.values()
]
rows = [[name, f"{size:,}", part] for (name, size), part in zip(sizes.items(), share)]
show.table(["pocket kind", "trained weights", "share of the model's"], rows)

# %% [markdown]
# Here is our caption, painted with every kind whose weights are in `data/variants`:

# %%
files = controlling.stored()
painted = {kind: paints(prompt, lines, 0) for kind, paints in controlling.painters(pipe, files)}
alt = "The edges, and posters of one caption and one seed, without control and with each kind, all "
alt += "with the edges drawn over them"
show.grid([lines, *map(over, painted.values())], ["edges", *painted], alt, columns=5, scale=1)

# %%
base = likeness(painted[controlling.ALONE])
assert base < 0.6
for kind in files:
    print(
        f"{kind}: follows the edges better than the caption alone:", likeness(painted[kind]) > base
    )

# %% [markdown]
# The next figure varies scale and window for the kinds that add to the stream, and then applies
# both networks at once. Places are determined at high noise ([chapter 09](09_text_to_image.ipynb)),
# so one would expect the first half of the steps to do most of the work. Does it?

# %%
from qwenimage_ref.adapt.control_files import load
from qwenimage_ref.controlled import ControlledQwenImage
from qwenimage_ref.tasks.control import Control

trained = {
    kind: load(file, mmdit, dtype=pipe.dtype)
    for kind, file in files.items()
    if kind != controlling.IN_CONTEXT
}


def under(*settings):
    """Our caption under networks, each with its scale and window"""
    each = [Control(trained[kind], lines, *numbers) for kind, *numbers in settings]
    return ControlledQwenImage(pipe, each)(prompt, seed=0, **options)[0]


# %%
settings = {"scale 0": (0.0,), "scale 0.5": (0.5,), "first half": (1.0, 0.0, 0.5),
            "second half": (1.0, 0.5, 1.0)}  # fmt: skip
tried = {f"{kind}, {name}": under((kind, *numbers)) for kind in trained
         for name, numbers in settings.items()}  # fmt: skip
if len(trained) == 2:
    tried["both, scale 0.5"] = under(*((kind, 0.5) for kind in trained))
alt = "Posters of one caption with each network, at scale 0 and 0.5, and in half of the steps"
pictures = [drawn, *tried.values()]
show.grid([*map(over, pictures)], ["the poster of the edges", *tried], alt, columns=5, scale=1)

# %%
if "blockwise" in trained:
    assert show.difference(tried["blockwise, scale 0"], painted[controlling.ALONE]) == 0
for kind in trained:
    halves = [likeness(tried[f"{kind}, {half} half"]) for half in ("first", "second")]
    print(
        f"{kind}: control in the first half of the steps is better than in the second:",
        halves[0] > halves[1],
    )

# %% [markdown]
# (As in diffusers, Union first draws a sample of the control picture's latents and then the noise,
# both from one seed, so its pictures at scale 0 are not those of the caption alone. Blockwise takes
# the mean of the latents.)
#
# One caption proves little. The command `python -m qwenimage_ref.evaluate.controlling` paints
# held-out captions. It also records whether scene and word are still right, because control that
# spoils the word would be no gain.

# %%
measured = controlling.recorded()
bars = {f"{row['kind']}: {part} right": row[part] for row in measured for part in ("scene", "word")}
alt = "Shares of posters whose scene and whose word are right, for the caption alone and each kind"
charts.bars(bars, alt)

# %%
likenesses = {row["kind"]: row["likeness"] for row in measured}
assert controlling.ALONE in likenesses
cells = [[kind, *(f"{each[key]:.2f}" for key in ("mean", "low", "high"))]
         for kind, each in likenesses.items()]  # fmt: skip
show.table(["kind", "mean likeness", "from", "to (95 %)"], cells)

# %% [markdown]
# All kinds painted the same captions from the same seeds, so the results can be compared in pairs,
# which shows more than two intervals do ([chapter 13](13_is_it_any_good.ipynb)). For the likeness
# we take the mean of the differences, poster by poster. For scene and word, only those posters
# count that one of the two has right and the other has wrong; $p$ is that of McNemar's exact test.

# %%
answers = controlling.recorded_answers()
names = list(likenesses)
gaps = {kind: controlling.less(answers, kind) for kind in names[1:]}
for kind, gap in gaps.items():
    nearer = gap["likeness"]
    print(f"{kind}, compared with the caption alone:")
    print("  likeness {mean:+.2f}, from {low:+.2f} to {high:+.2f}".format(**nearer))
    for part in ("scene", "word"):
        line = "gained {first_only}, lost {second_only}, p = {p:.3f}".format(**gap[part])
        print(f"  {part}s right: {line}")

# %%
follows = [kind for kind, gap in gaps.items() if gap["likeness"]["low"] > 0]
costs = [f"{part} ({kind})" for kind, gap in gaps.items() for part in ("scene", "word")
         if gap[part]["difference"] < 0 and gap[part]["p"] < 0.05]  # fmt: skip
ahead = [
    f"{a} over {b}"
    for a in names[1:]
    for b in names[1:]
    if a != b and controlling.less(answers, a, b)["likeness"]["low"] > 0
]
assert costs == ["scene (in-context)"]
print("follow the edges better than the caption alone:", "; ".join(follows) or "none")
print("cost, at p < 0.05:", "; ".join(costs) or "nothing")
print("ahead of another kind in likeness:", "; ".join(ahead) or "none")

# %% [markdown]
# In-context control is therefore the only kind here whose cost can be shown: it loses seven scenes
# and gains none. Since six tests are made at once, a $p$ of 0.016 comes up by chance in up to nine
# of a hundred such surveys, so the cost is likely rather than certain. Neither of the other two
# kinds loses more than it gains, but with 80 posters a small cost would not be noticed. The
# intervals of the shares alone overlap and would have hidden all of this.
#
# The kinds also differ in size and in what they compute. Blockwise is the smallest here. It has no
# attention, so it works on each token separately. Union processes the prompt as well. In context,
# the model itself attends to the edges in every block and with every token, at the price of a
# sequence twice as long; after the same small number of steps, it follows them least.
#
# ## Where this comes from
#
# * ControlNet, with zero-initialised layers: [Zhang et al. 2023](https://arxiv.org/abs/2302.05543),
#   section 3.1; the sudden convergence is described in section 3.3. Features of a small network
#   that is not a copy: [T2I-Adapter](https://arxiv.org/abs/2302.08453), section 3.3.
# * [Qwen-Image-ControlNet-Union](https://huggingface.co/InstantX/Qwen-Image-ControlNet-Union) was
#   trained for 50,000 steps on ten million pictures. The three blockwise networks and
#   In-Context-Control-Union come with
#   [DiffSynth-Studio](https://github.com/modelscope/DiffSynth-Studio).
# * Condition tokens in the sequence of a diffusion transformer:
#   [OminiControl, Tan et al. 2024](https://arxiv.org/abs/2411.15098), section 3.2.
# * **SD3**: ControlNets are also copies of the first blocks, but their residuals are spread evenly
#   instead of rounded up. **FLUX.1**: they are rounded up as here. InstantX's Union for FLUX.1 has
#   an embedding for the kind of picture, whereas ours receives nothing but the pixels. FLUX.1 Canny
#   and Depth [dev] are whole models that take the picture as additional input channels.
#
# ## Estimate first
#
# **1.** The linear layers of a block of the transformer take $12 D^2$ multiplications for each
# image token. What share of that does a blockwise network add in a step?
#
# <details><summary>Answer</summary>
#
# One sixth, for two layers of $D^2$ after each block.
#
# </details>
#
# **2.** What share does Union add with 5 blocks, in a step with guidance?
#
# <details><summary>Answer</summary>
#
# About 1/24: 5 of 60 blocks, run once for two branches.
#
# </details>
#
# **3.** How many of 20 steps are inside a window from 0 to 0.49?
#
# <details><summary>Answer</summary>
#
# Nine, because step 9 ends at 0.5.
#
# </details>

# %%
assert 2 * D * D / (12 * D * D) == 1 / 6 and 5 / 60 / 2 == 1 / 24
assert sum(Applied(union, picture, end=0.49).acts(step, 20) for step in range(20)) == 9
print("one sixth, 1/24, nine steps: ok")

# %% [markdown]
# ## What production code does differently
#
# * The control picture comes from a detector, such as Canny's algorithm or a network for depth or
#   poses, and the detector's mistakes appear in the result.
# * Union networks are trained on all kinds of pictures, with the text dropped in a tenth of the
#   examples, so that they also follow edges under an empty prompt.
# * ComfyUI loads blockwise files as a "model patch" and recognises them by the names of their
#   tensors, as this package does.
# * Where memory is short, in-context control has the smallest file, a LoRA, but the longest
#   sequence.
#
# ## Try this
#
# * Use the edges of a poster with other shapes than those in the caption. Which of the two does the
#   result follow?
# * Blur the edges, or draw them one pixel wide. Which kind is affected?
# * Set the scale to 2, or to -1.
# * Train `python -m qwenimage_ref.pocket.controls blockwise` with `clip` at infinity. Is there an
#   effect of the spike at the end?
#
# **Capstone.** `make grade` has no points for this page. If your transformer passes
# `make grade PART=mmdit`, it accepts `after_block`, which is all that control needs.
#
# Next: [regions](26_regions.ipynb), where masks with prompts of their own take the place of edges.
