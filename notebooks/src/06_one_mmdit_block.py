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
# # 06 · One MMDiT block
#
# The transformer of Qwen-Image is one block, repeated sixty times. On this page you write that
# block, one step after another, until it agrees with the block of diffusers.
#
# | | |
# |---|---|
# | **You need** | [chapter 05](05_msrope.ipynb); you know what attention and a residual are |
# | **You get** | the whole block, written by you in five exercises, and maps of its attention |
# | **Minutes** | 30 to read, 75 to write, less than one to run |
# | **Picture** | attention between text and image in one map; gates over noise levels |
# | **Number** | your block equals that of diffusers: relative difference under 1e-5 |
#
# **MMDiT** is short for *multimodal diffusion transformer*; the design comes from Stable Diffusion
# 3. Two sequences of vectors pass through it side by side, the *streams*: `img` for the picture and
# `txt` for the prompt. Each stream has its own weights. The streams meet in exactly one place in
# each block, *joint attention*, where every token attends to every token of both streams.
#
# ## What goes into a block
#
# The next cells take a poster, add some noise, and record what every block receives when the pocket
# model processes it. `sigma` is the position on the path of [chapter
# 04](04_pictures_to_latents_and_back.ipynb): 0 is the clean poster and 1 is pure noise.

# %%
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import joint_attention
from qwenimage_ref.pocket.train import as_input
from qwenimage_ref.posters import draw as world
from qwenimage_ref.sampler import pack

_ = torch.set_grad_enabled(False)  # nothing is trained on this page
pipe = QwenImage.from_pretrained(show.pocket_folder())
transformer = pipe.transformer

# %%
shapes = world.Shape("circle", "red"), world.Shape("star", "blue")
scene = world.Scene("white", shapes, "left of")
prompt = world.caption(scene)
pixels = world.draw(scene, seed=0)
data = pipe.vae.normalize(pipe.vae.encode(as_input([pixels]))[0])  # latents (1, 16, 16, 16)
noise = pipe.noise(1, 128, 128, seed=0)
text_states, _ = pipe.encode_prompt([prompt])


def inputs_at(sigma):
    x = pack((1 - sigma) * data + sigma * noise)
    return joint_attention.arguments_of_blocks(
        transformer, x, text_states, torch.tensor([sigma]), [(1, 8, 8)]
    )


# %%
names = ("img", "txt", "temb", "img_rotation", "txt_rotation")
inputs = inputs_at(0.7)
for name, tensor in zip(names, inputs[3]):
    print(f"{name:13} {tuple(tensor.shape)}")
assert len(inputs) == transformer.config.num_layers

# %% [markdown]
# There are 64 image tokens and 17 text tokens, all of the same width `D`. The noise level arrives
# as a vector, `temb`, because sigma plays the role of time in this model. The rotations are those
# of chapter 05. A block returns a new `img` and a new `txt` of the same shapes, and the next block
# takes them as its input.
#
# ![Block diagram of one block: image and text stream side by side, each modulated, joined in one
# attention, gated and added, then an MLP each, modulated, gated and
# added](figures/mmdit_block.svg)
#
# To check each step, a small block with random weights is more useful than a trained one: none of
# its biases is zero and all its sizes differ, so no mistake can cancel out by accident.

# %%
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

B, I, T, D, H, K = 2, 35, 4, 72, 3, 24  # batch, image, text, width, heads, width of a head
config = MMDiTConfig(
    num_layers=1,
    num_attention_heads=H,
    attention_head_dim=K,
    joint_attention_dim=40,
    axes_dims_rope=(4, 8, 12),
)
net = random_weights(MMDiT(config), seed=1)
block = net.transformer_blocks[0]


# %%
def draw_numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


img, txt = draw_numbers(B, I, D), draw_numbers(B, T, D, seed=1)
sigma = torch.tensor([[0.37], [0.91]])  # (B, 1): one level for each picture
img_rotation, txt_rotation = net.rotations([(1, 5, 7)], T)

# %% [markdown]
# ## Time
#
# A block has to behave differently at high and at low noise. `sigma` is therefore encoded in the
# same way as positions in chapter 05, by angles that grow at many different speeds. There are 128
# of them. The position is 1000 times sigma, and angle `i` grows by $10000^{-i/128}$ for each unit
# of it. All cosines come first, then all sines.

# %%
import math


def waves_by_hand(sigma):
    angles = [1000 * sigma * 10000 ** (-i / 128) for i in range(128)]
    return torch.tensor([math.cos(a) for a in angles] + [math.sin(a) for a in angles])


waves = torch.stack([waves_by_hand(s.item()) for s in sigma.flatten()])[:, None]  # (B, 1, 256)

# %% [markdown]
# Two linear layers turn these 256 numbers into a vector of width `D`, with the activation **SiLU**,
# `x * sigmoid(x)`, between them. The next cell shows the class that does all of this; the map below
# it shows the 256 numbers over sigma, where dark is 1 and white is -1.

# %%
from torch.nn.functional import silu

from qwenimage_ref.mmdit import TimestepEmbedder

embedder = net.time_text_embed.timestep_embedder
by_hand = embedder.linear_2(silu(embedder.linear_1(waves)))
temb = net.time_text_embed(sigma)  # (B, 1, D)
assert torch.allclose(by_hand, temb, atol=1e-4)
show.source(TimestepEmbedder)

# %%
from qwenimage_ref.course.heat_maps import heat

levels = [i / 199 for i in range(200)]
stripes = torch.stack([waves_by_hand(s) for s in levels], dim=1)  # (256, 200)
panel = {"values": stripes, "title": "128 cosines over 128 sines", "low": -1, "aspect": "auto"}
panel |= {"extent": (0, 1, 256, 0), "x": "sigma", "y": "number", "colour": "light"}
heat(
    [panel],
    alt="A striped map, sigma to the right: the first rows of each half flicker, later rows have "
    "ever broader stripes, the last rows of each half have one colour",
    side=4.5,
)

# %%
assert (stripes[:128, 0] == 1).all() and (stripes[128:, 0] == 0).all()
assert stripes[127].min() > 0.98, "the slowest hand hardly turns"
print("at sigma 0 all cosines are 1 and all sines 0: ok")

# %% [markdown]
# No text enters here, although diffusers calls the module `time_text_embed`.
#
# ## Norm, then scale and shift
#
# Before attention, and again before the MLP, each token is normalised: its `D` numbers get mean 0
# and variance 1. This **LayerNorm** has no weights of its own. Two details matter for exact
# agreement: 1e-6 is added to the variance, and the variance is the mean of the squares, divided by
# `D` and not by `D - 1`.


# %%
def layer_norm_by_hand(x):
    normed = torch.empty_like(x)
    for b in range(x.shape[0]):
        for s in range(x.shape[1]):
            centred = x[b, s] - x[b, s].mean()
            normed[b, s] = centred / ((centred**2).mean() + 1e-6).sqrt()
    return normed


one_call = torch.nn.functional.layer_norm(img, (D,), eps=1e-6)
assert torch.allclose(layer_norm_by_hand(img), one_call, atol=1e-5)

# %% [markdown]
# This is where the noise level acts. From `temb` the block computes six vectors for each stream, by
# SiLU and one linear layer from `D` to `6 D`. Their order is
#
# **shift, scale, gate** for attention, then **shift, scale, gate** for the MLP.
#
# Every channel of the normalised tokens is multiplied by `1 + scale`, and `shift` is added. This is
# **modulation**; DiT introduced it under the name *adaLN-Zero*. Because of the 1, a linear layer of
# zeros changes nothing. In the package:

# %%
from qwenimage_ref import mmdit

show.source(mmdit.modulate, mmdit.Modulation)

# %%
silu_then_linear = block.img_mod[1](silu(temb))  # (B, 1, 6 D)
shift, scale, gate, shift2, scale2, gate2 = silu_then_linear.split(D, dim=-1)
for mine, package in zip((shift, scale, gate, shift2, scale2, gate2), block.img_mod(temb)):
    assert torch.equal(mine, package)
by_hand = layer_norm_by_hand(img) * (1 + scale) + shift
assert torch.allclose(by_hand, mmdit.modulate(img, shift, scale), atol=1e-5)
print("six vectors in this order, and modulation by hand and by package agree: ok")

# %% [markdown]
# The layer after the last block makes only two vectors, and there the order is reversed: *scale,
# shift*.

# %%
scale, shift = net.norm_out.linear(silu(temb)).chunk(2, dim=-1)
by_hand = layer_norm_by_hand(img) * (1 + scale) + shift
assert torch.allclose(by_hand, net.norm_out(img, temb), atol=1e-5)
assert not torch.allclose(layer_norm_by_hand(img) * (1 + shift) + scale, by_hand, atol=0.1)
print("after the last block scale comes first: ok")

# %% [markdown]
# ## The gate
#
# The output of attention or of the MLP is not simply added to the stream. Each of its channels is
# first multiplied by its `gate`. Half of a block is therefore one line, in which *part* stands for
# attention or for the MLP:
#
# $$x \leftarrow x + \text{gate} \cdot
# \text{part}(\text{norm}(x)\,(1 + \text{scale}) + \text{shift})$$
#
# (This gate is not the one inside the text encoder's MLP.) With all gates at 0 a block is the
# identity. The training of the pocket model started from there, as *adaLN-Zero* proposes; in DiT,
# this gave better pictures than every other initialisation and conditioning that was tried
# ([Peebles and Xie](https://arxiv.org/abs/2212.09748), Figure 5).

# %%
import copy

small_inputs = (img, txt, temb, img_rotation, txt_rotation)
closed = copy.deepcopy(block)
for mod in (closed.img_mod, closed.txt_mod):
    for n in (2, 5):  # the gates
        mod[1].weight[n * D : (n + 1) * D] = 0
        mod[1].bias[n * D : (n + 1) * D] = 0
img_out, txt_out = closed(*small_inputs)
assert torch.equal(img_out, img) and torch.equal(txt_out, txt)
assert not torch.allclose(block(*small_inputs)[0], img)
print("zero gates: what goes in comes out, bit for bit: ok")

# %% [markdown]
# ## Exercise: one residual line
#
# ★★☆☆☆ · 10 minutes
#
# Write `residual(x, shift, scale, gate, part)`. `x` has shape `(B, S, D)`, the next three have
# `(B, 1, D)`, and `part` is a function from `(B, S, D)` to `(B, S, D)`. Use torch alone. The block
# at the end is built on this function.


# %% tags=["exercise"]
def residual(x, shift, scale, gate, part):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

residual = answers.unless_solved(residual, answers.EX_06_MODULATION)
check.ex_06_modulation(residual)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Follow the formula from the inside out. Two of its three operations on `x` are above, in cells.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Which `x` is the one that is added at the end: the one you were given, or the normalised one? And
# what does the gate multiply?
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# y = x, normalised over its last axis
# y = y times (1 + scale), plus shift
# y = what the part makes of y, times gate
# return the x you were given, plus y
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def residual(x, shift, scale, gate, part):
#     normed = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6)
#     return x + gate * part(normed * (1 + scale) + shift)
# ```
#
# </details>

# %%
mine = residual(img, shift2, scale2, gate2, block.img_mlp)
theirs = img + gate2 * block.img_mlp(mmdit.modulate(img, shift2, scale2))
assert torch.allclose(mine, theirs, atol=1e-4)
print("the image's MLP half of the block, by yours and by the package: ok")

# %% [markdown]
# How far do the gates of a *trained* model open, and at which noise levels? The maps show the mean
# size of the gates of every block of the pocket model over sigma; white is closed and dark is wide
# open.

# %%
levels = torch.linspace(0.02, 1, 25)
tembs = transformer.time_text_embed(levels[:, None])
gates = {}
for stream, mods in (("image", "img_mod"), ("text", "txt_mod")):
    for place, part in ((2, "attention"), (5, "MLP")):
        sizes = [
            getattr(b, mods)(tembs)[place].abs().mean((1, 2))
            for b in transformer.transformer_blocks
        ]
        gates[f"{stream}: {part}"] = torch.stack(sizes)  # (blocks, levels)

# %%
blocks = len(transformer.transformer_blocks)
heat(
    [
        {"values": sizes, "title": name, "high": 0.7, "aspect": "auto", "x": "sigma", "y": "block"}
        | {"extent": (0, 1, blocks - 0.5, -0.5), "colour": name.split(":")[0], "bar": "mean size"}
        for name, sizes in gates.items()
    ],
    columns=2,
    side=3.6,
    alt="Four maps, blocks downwards and sigma to the right: the image's gates open further in "
    "later blocks and in thicker noise; the text's are white, closed, in the last block",
)

# %%
assert gates["text: attention"][-1].max() < 1e-6 and gates["text: MLP"][-1].max() < 1e-6
assert all(sizes[:-1].min() > 0.02 for sizes in gates.values())
print("all gates are open, but those of the text in the last block are 0: ok")

# %% [markdown]
# Why are the last ones closed? After the last block only the image is used and the text is
# discarded. No gradient ever reached those gates, so they have kept the value they started with. In
# the official model, too, this part of the last block computes a result that nothing uses.
#
# ## Queries, keys, values
#
# This is the part in which the streams meet. Each stream computes `q`, `k` and `v` from its
# modulated tokens with its own linear layers, and each of them is split into `H` heads of `K`
# numbers. The names of the layers distinguish the streams: `to_q` belongs to the image and
# `add_q_proj` to the text.

# %%
attn = block.attn
img_in = mmdit.modulate(img, *block.img_mod(temb)[:2])  # shift and scale for attention
txt_in = mmdit.modulate(txt, *block.txt_mod(temb)[:2])
img_q, img_k, img_v = (m(img_in).view(B, I, H, K) for m in (attn.to_q, attn.to_k, attn.to_v))
txt_q, txt_k, txt_v = (
    m(txt_in).view(B, T, H, K) for m in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
)

# %% [markdown]
# Queries and keys, but not values, are then normalised *within each head*: they are divided by the
# root of the mean of their `K` squares, and multiplied by `K` learned weights which all heads
# share. This is **QK-norm**, with an **RMSNorm**, which subtracts no mean.


# %%
def rms_norm_by_hand(x, weight):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


assert torch.allclose(rms_norm_by_hand(img_q, attn.norm_q.weight), attn.norm_q(img_q), atol=1e-6)
louder = attn.norm_q(100 * img_q)
assert torch.allclose(louder, attn.norm_q(img_q), atol=1e-3)
print("queries 100 times as large, the same after the norm: ok")

# %% [markdown]
# The inner product of `q` and `k`, divided by $\sqrt K$, is the *logit* that goes into the softmax.
# Without the norm, logits can grow during training until a token attends to a single other token
# ([Dehghani et al.](https://arxiv.org/abs/2302.05442), section 2). With it, no logit can exceed a
# bound that the weights set: a normalised query or key is at most $\sqrt K$ times its largest
# weight long, so a logit is at most $\sqrt K$ times the square of the largest weight.
# (`attention_weights` gives the softmax of a block's logits; you write that step below.)

# %%
for b, arguments in zip(transformer.transformer_blocks, inputs):
    norms = b.attn.norm_q, b.attn.norm_k, b.attn.norm_added_q, b.attn.norm_added_k
    largest = max(norm.weight.abs().max() for norm in norms)
    bound = transformer.config.attention_head_dim**0.5 * largest**2
    spread = joint_attention.attention_weights(
        b, *arguments
    ).log()  # logits, but for one number a row
    assert (spread.amax(-1) - spread.amin(-1)).max() <= 2 * bound
print("in every block of the pocket model all logits are within their bound: ok")

# %% [markdown]
# After the norm, queries and keys are rotated according to their positions, as in chapter 05. The
# order matters, since the norm's `K` weights belong to channels that the rotation mixes.

# %%
from qwenimage_ref.rope import rotate

norm_first = rotate(attn.norm_q(img_q), img_rotation)
assert not torch.allclose(norm_first, attn.norm_q(rotate(img_q, img_rotation)), atol=0.1)
print("in the other order the queries differ: ok")

# %% [markdown]
# ## Exercise: queries and keys
#
# ★★☆☆☆ · 10 minutes
#
# Write `heads_of(x, heads, weight, rotation)`, from `(B, S, D)` to `(B, S, H, K)`: split the `D`
# numbers of each token into heads, normalise each head, multiply by the `K` weights, rotate. Use
# `rotate(x, rotation)` from chapter 05, which takes `(B, S, H, K)`.


# %% tags=["exercise"]
def heads_of(x, heads, weight, rotation):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
heads_of = answers.unless_solved(heads_of, answers.EX_06_HEADS)
check.ex_06_heads(heads_of)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Two of the three steps are above, in cells. Over which axis does the norm take its mean, once the
# heads are split?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Head 0 is the first `K` of the `D` numbers. Splitting adds an axis at the end, and both the norm
# and the rotation act on that last axis.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# x = x with its last axis split in H times K
# x = x over the root of (the mean of its squares over the last axis, plus 1e-6), times weight
# return x, rotated
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def heads_of(x, heads, weight, rotation):
#     x = x.unflatten(-1, (heads, -1))
#     x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight
#     return rotate(x, rotation)
# ```
#
# </details>

# %%
img_qkv = (
    heads_of(attn.to_q(img_in), H, attn.norm_q.weight, img_rotation),
    heads_of(attn.to_k(img_in), H, attn.norm_k.weight, img_rotation),
    img_v,
)
txt_qkv = (
    heads_of(attn.add_q_proj(txt_in), H, attn.norm_added_q.weight, txt_rotation),
    heads_of(attn.add_k_proj(txt_in), H, attn.norm_added_k.weight, txt_rotation),
    txt_v,
)

# %% [markdown]
# ## Joint attention
#
# Both streams are concatenated, **text first**, to `S = T + I` tokens. From here on it does not
# matter which stream a token comes from. The next cell computes the result for a single token and
# head in plain Python: a logit for every token of both streams, divided by $\sqrt K$; the softmax,
# which turns the logits into weights that add up to 1; and the weighted mean of the values.
#
# ![Block diagram of joint attention: projections, norms and rotations of each stream, text tokens
# concatenated before image tokens, one softmax, and an output layer
# each](figures/joint_attention.svg)

# %%
q, k, v = (torch.cat(pair, dim=1) for pair in zip(txt_qkv, img_qkv))  # (B, S, H, K)


def one_answer_by_hand(b, s, h):
    query, keys, values = q[b, s, h].tolist(), k[b, :, h].tolist(), v[b, :, h].tolist()
    logits = [sum(x * y for x, y in zip(query, key)) / math.sqrt(K) for key in keys]
    powers = [math.exp(logit) for logit in logits]
    shares = [power / sum(powers) for power in powers]
    return [sum(share * value[n] for share, value in zip(shares, values)) for n in range(K)]


# %% [markdown]
# ## Exercise: joint attention
#
# ★★★☆☆ · 15 minutes
#
# Write `joint(txt, img)` for all tokens and heads at once. `txt` and `img` are triples `(q, k, v)`
# of shapes `(B, T, H, K)` and `(B, I, H, K)`. Return two tensors, first the text's, `(B, T, D)`,
# then the image's, `(B, I, D)`, with the heads put together again. Write the softmax attention
# yourself, without torch's fused function.


# %% tags=["exercise"]
def joint(txt, img):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
joint = answers.unless_solved(joint, answers.EX_06_JOINT)
check.ex_06_joint(joint)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Concatenate first. What is the shape of the logits, and which of its axes do the weights of one
# query run along?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The logits have shape `(B, H, S, S)`: queries, then keys. `torch.einsum` can contract `K` without
# any transposition. Afterwards `(B, S, H, K)` only needs its last two axes merged.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# q, k, v = text, then image, along the axis of tokens      (B, S, H, K)
# logits  = sum over K of q and k, over the root of K       (B, H, S, S)
# answer  = softmax of the logits over the keys, times v    (B, S, H, K)
# merge the last two axes; return the first T tokens, then the others
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def joint(txt, img):
#     q, k, v = (torch.cat(pair, dim=1) for pair in zip(txt, img))
#     logits = torch.einsum("bshk,brhk->bhsr", q, k) / q.shape[-1] ** 0.5
#     merged = torch.einsum("bhsr,brhk->bshk", logits.softmax(-1), v).flatten(2)
#     T = txt[0].shape[1]
#     return merged[:, :T], merged[:, T:]
# ```
#
# </details>

# %%
txt_answer, img_answer = joint(txt_qkv, img_qkv)
answer = torch.cat([txt_answer, img_answer], dim=1).view(B, T + I, H, K)
for b, s, h in ((0, 0, 0), (1, 3, 2), (0, 4, 1), (1, 38, 0)):  # two of the text, two of the image
    assert torch.allclose(answer[b, s, h], torch.tensor(one_answer_by_hand(b, s, h)), atol=1e-4)
print("for four tokens, as in plain Python: ok")

# %% [markdown]
# Finally, each stream has one more linear layer. In the package, a fused function of torch computes
# the attention between the projections:

# %%
img_out, txt_out = attn.to_out(img_answer), attn.to_add_out(txt_answer)
package = attn(img_in, txt_in, img_rotation, txt_rotation)
assert torch.allclose(img_out, package[0], atol=1e-4)
assert torch.allclose(txt_out, package[1], atol=1e-4)
show.source(type(attn).forward)

# %% [markdown]
# ## The MLP
#
# After attention, an MLP is applied to every token separately: a linear layer to four times the
# width, an activation, and a linear layer back. The activation is **GELU**, which is `x` times the
# probability that a standard normal number is below `x`. It exists in an exact form and in an
# approximation by tanh; the weights were trained with the approximation.

# %%
x = torch.linspace(-4, 4, 801)
by_hand = 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))
as_torch = torch.nn.functional.gelu(x, approximate="tanh")
exact = torch.nn.functional.gelu(x)
assert torch.allclose(by_hand, as_torch, atol=1e-6)
assert 1e-4 < (exact - as_torch).abs().max() < 1e-3
print("the two kinds differ by less than a thousandth, and by far more than 1e-5: ok")

# %% [markdown]
# ## The block, whole
#
# Attention needs both streams at once, so its half of the block cannot use `residual`, but the
# MLP's half can.
#
# ## Exercise: the block
#
# ★★★★☆ · 30 minutes
#
# Write `my_block(block, img, txt, temb, img_rotation, txt_rotation)`, which returns the new `img`
# and the new `txt`. `block` only holds the weights: use its linear layers and norms
# (`block.attn.to_q`, ...), `block.img_mod(temb)` and `block.txt_mod(temb)`, which give the six
# vectors, and `block.img_mlp` and `block.txt_mlp`; do not call `block` or `block.attn` themselves.
# Build on `heads_of`, `joint` and `residual`.


# %% tags=["exercise"]
def my_block(block, img, txt, temb, img_rotation, txt_rotation):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_block = answers.unless_solved(my_block, answers.EX_06_BLOCK)
check.ex_06_block(my_block)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Write the two streams under each other, line by line. Every line of the image has its counterpart
# for the text, with other weights; only one line has none.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Attention's half: normalise, scale and shift; queries, keys and values; `joint`; each stream's
# last layer; times the gate, plus the stream. The MLP's half is `residual`, applied to the result,
# with vectors three to five of the six.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# for each stream:
#     shift, scale, gate, shift2, scale2, gate2 = its modulation of temb
#     x = norm of the stream, times (1 + scale), plus shift
#     q = heads_of(its query layer of x, ...);  k likewise;  v = its value layer of x, split
# txt_out, img_out = joint(q, k, v of the text, q, k, v of the image)
# for each stream:
#     stream = stream + gate times its last layer of its out
#     stream = residual(stream, shift2, scale2, gate2, its MLP)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_block(block, img, txt, temb, img_rotation, txt_rotation):
#     attn, H = block.attn, block.attn.heads
#     img_shift, img_scale, img_gate, *img_rest = block.img_mod(temb)
#     txt_shift, txt_scale, txt_gate, *txt_rest = block.txt_mod(temb)
#     x = mmdit.modulate(img, img_shift, img_scale)
#     y = mmdit.modulate(txt, txt_shift, txt_scale)
#     img_q = heads_of(attn.to_q(x), H, attn.norm_q.weight, img_rotation)
#     txt_q = heads_of(attn.add_q_proj(y), H, attn.norm_added_q.weight, txt_rotation)
#     img_k = heads_of(attn.to_k(x), H, attn.norm_k.weight, img_rotation)
#     txt_k = heads_of(attn.add_k_proj(y), H, attn.norm_added_k.weight, txt_rotation)
#     img_v, txt_v = (v.unflatten(-1, (H, -1)) for v in (attn.to_v(x), attn.add_v_proj(y)))
#     txt_out, img_out = joint((txt_q, txt_k, txt_v), (img_q, img_k, img_v))
#     img = img + img_gate * attn.to_out(img_out)
#     txt = txt + txt_gate * attn.to_add_out(txt_out)
#     img = residual(img, *img_rest, block.img_mlp)
#     txt = residual(txt, *txt_rest, block.txt_mlp)
#     return img, txt
# ```
#
# </details>

# %% [markdown]
# The package writes it like this:

# %%
show.source(mmdit.Block.forward)

# %% [markdown]
# (`mask` is for padding, which comes below, and `times` is for edit models; here both are None.)
#
# Does yours agree with diffusers? `reference_mmdit` builds the transformer of diffusers and
# `copy_weights` copies our weights into it. The comparison runs on the small random block and on a
# block of the pocket model with the inputs recorded above.

# %%
from qwenimage_ref.parity.reference import copy_weights, reference_mmdit, run
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import difference

cases = {
    "small random block": (net, 0, small_inputs),
    "pocket, block 3": (transformer, 3, inputs[3][:5]),
}
for name, (ours, number, arguments) in cases.items():
    mine = ours.transformer_blocks[number]
    theirs = copy_weights(ours, reference_mmdit(ours.config)).transformer_blocks[number]
    expected = run(theirs, dict(zip(names, arguments)))
    for found in (mine(*arguments), my_block(mine, *arguments)):
        for stream, reference in zip(found, expected):
            assert difference(stream, reference)[1] <= within("block"), name
    print(f"{name}: yours, package and diffusers, relative difference under 1e-5: ok")

# %% [markdown]
# The same holds for a block of the 20B model. Where its weights are, the cell computes it.

# %%
from dataclasses import replace

from safetensors import safe_open

from qwenimage_ref.rope import positions, rotations


def first_official_block(shard):
    official, prefix = replace(MMDiTConfig.official(), num_layers=1), "transformer_blocks.0."
    with safe_open(shard, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]
        weights = {key.removeprefix(prefix): file.get_tensor(key).float() for key in keys}
    with torch.device("meta"):  # shapes without memory; the weights bring theirs
        mine = mmdit.Block(official.inner_dim, official.num_attention_heads)
    theirs = reference_mmdit(official).transformer_blocks[0]
    for either in (mine, theirs):
        either.load_state_dict(weights, assign=True)
    turns = [rotations(pos, official.axes_dims_rope) for pos in positions([(1, 2, 3)], 5)]
    streams = [draw_numbers(1, n, official.inner_dim, seed=n) for n in (6, 5, 1)]
    expected = run(theirs, dict(zip(names, (*streams, *turns))))
    for found in (mine(*streams, *turns), my_block(mine, *streams, *turns)):
        for stream, reference in zip(found, expected):
            assert difference(stream, reference)[1] <= within("block")


# %%
from qwenimage_ref.course import stored_results

shard = "transformer/diffusion_pytorch_model-00001-of-00009.safetensors"
stored_results.check(
    shard, "block 0 by hand and by package equals diffusers'", first_official_block
)

# %% [markdown]
# That is the whole block. The transformer adds a linear layer that brings the image to width `D`, a
# norm and a linear layer for the text, and one more modulation and linear layer at the end.
# [Chapter 07](07_sixty_blocks.ipynb) puts these together.
#
# ## Which tokens attend to which
#
# The `weights` of joint attention are shares: row by row, how much a token takes from every other
# token. `attention_weights` gives them for a trained block. The map shows block 3 of the pocket
# model, as the mean of its heads. Dark means a large weight; the shade follows its square root, or
# all but a few would look white. The pink lines separate text from image.

# %%
weights_at = {
    sigma: [
        joint_attention.attention_weights(block, *arguments).mean(1)[0]
        for block, arguments in zip(transformer.transformer_blocks, inputs_at(sigma))
    ]
    for sigma in joint_attention.SIGMAS
}
ids = pipe.tokenizer.encode_prompt(prompt)[pipe.tokenizer.prefix_length :]
words = [pipe.tokenizer.decode([token]).strip() for token in ids]
T = len(words)
joint_attention.attention_map(
    weights_at[0.7][3],
    words,
    "block 3, sigma 0.7",
    alt="A square map in four parts. Text at text: a few dark columns. Image at image: diagonal "
    "lines, for tokens look at themselves and at their neighbours above and below",
)

# %%
all_weights = torch.stack([torch.stack(weights) for weights in weights_at.values()])
assert torch.allclose(all_weights.sum(-1), torch.ones(4, blocks, T + 64), atol=1e-5)
image_at_image = all_weights[..., T:, T:].mean((0, 1))
for offset in (-8, 0, 8):
    assert image_at_image.diagonal(offset).mean() > 1.5 * image_at_image.mean()
print("each row adds up to 1; the three lines are darker than the rest: ok")

# %% [markdown]
# In the lower right part, image at image, the lines beside the main diagonal are eight columns
# away: they are the tokens one row above and one row below. The table shows how each stream divides
# its attention, block by block. If all tokens were the same, the image would give the text 17 of 81
# parts, 21 %.

# %%
shares = [joint_attention.quarters(weights, T) for weights in weights_at[0.7]]
rows = [[n, *(f"{share:.0%}" for share in row.values())] for n, row in enumerate(shares)]
show.table(["block", *joint_attention.ACROSS], rows)

# %%
to_text = [row["image at text"] for row in shares]
assert max(to_text) > T / (T + 64) > min(to_text)
print("some blocks look at the text more than its share, some less: ok")

# %% [markdown]
# Move the sliders. At low noise the picture is already visible, and the image attends less to the
# text.

# %%
sliders = joint_attention.AttentionSliders(weights_at, words, block=3, sigma=0.7)
sliders

# %%
before = sliders.picture.value
sliders.block.value = 0
assert sliders.picture.value != before and sliders.words.value.startswith("block 0, sigma 0.7: ")
sliders.block.value = 3
assert sliders.picture.value == before
print("another block, another map, and back: ok")

# %% [markdown]
# In print, two blocks at two noise levels:

# %%
states = [(0, 0.9), (0, 0.3), (blocks - 1, 0.9), (blocks - 1, 0.3)]
heat(
    [
        {"values": weights_at[sigma][n].sqrt(), "title": f"block {n}, sigma {sigma}", "cut": T}
        | {"colour": "joint", "high": 1, "bar": "square root of the weight"}
        for n, sigma in states
    ],
    columns=2,
    side=3.6,
    alt="Four attention maps: first block and last block, at sigma 0.9 and at 0.3",
)

# %%
thick, thin = (
    sum(joint_attention.quarters(weights, T)["image at text"] for weights in weights_at[sigma])
    for sigma in (0.9, 0.3)
)
assert thick > thin
print("over all blocks the image attends to the text more at high noise than at low: ok")

# %% [markdown]
# ## Which patches look at the word *red*?
#
# A column of the map belongs to one word, and its lower part says how much each patch of the
# picture attends to that word. Since we know where the circle and the star are, we can *measure*
# it: the mean share that patches on the right shape give to the word, divided by the mean share
# that all others give it. Each word is shown at the block where this ratio is largest; being the
# best of eight, the number is too favourable.

# %%
from qwenimage_ref.posters.read import read

middles = 16 * torch.arange(8) + 8  # of patches, in pixels
circle, star = (
    (middles[None] - region.x) ** 2 + (middles[:, None] - region.y) ** 2 < region.radius**2
    for region in read(pixels).regions
)
right_place = {"red": circle, "circle": circle, "blue": star, "star": star}


# %%
def times_as_much(word, weights, place):
    looks = weights[T:, words.index(word)].view(8, 8)
    return (looks[place].mean() / looks[~place].mean()).item()


found = {}
for word, place in right_place.items():
    ratios = [times_as_much(word, weights, place) for weights in weights_at[0.7]]
    found[word] = max(enumerate(ratios), key=lambda pair: pair[1])

# %%
poster = Image.fromarray(pixels)
looks = [weights_at[0.7][n][T:, words.index(word)].view(8, 8) for word, (n, _) in found.items()]
show.grid(
    [joint_attention.overlay(poster, share) for share in looks],
    [f"{word}: block {n}, {ratio:.0f} times as much" for word, (n, ratio) in found.items()],
    alt="The poster four times in gray. Red and circle light up the circle, blue and star the star",
)

# %%
assert all(ratio > 10 for _, ratio in found.values())
print("the best of eight blocks: more than 10 times as much: ok")

# %% [markdown]
# Two controls: each word on the *other* shape, and words of neither shape, chosen alike.

# %%
rows, best = [], {}
for word in (*right_place, "left", "a", "of"):
    both = [
        [times_as_much(word, weights, place) for place in (circle, star)]
        for weights in weights_at[0.7]
    ]
    n = found[word][0] if word in found else max(range(blocks), key=lambda n: max(both[n]))
    best[word] = both[n]
    rows.append([word, n, *(f"{ratio:.1f}" for ratio in both[n])])
show.table(["word", "block", "on the circle, times as much", "on the star"], rows)

# %%
for word, place in right_place.items():
    mine, other = best[word] if place is circle else best[word][::-1]
    assert mine > 5 * other
highest = max(max(best[word]) for word in ("left", "a", "of"))
print(f"controls reach {highest:.1f}, chosen alike;")
print("each word is looked at 5 times as much by its own shape as by the other: ok")

# %% [markdown]
# A ratio of 5 or 6 proves nothing, since *left* and *of* reach it as well. The contrast between the
# two shapes within one block is the solid result. No loss term said which patches are to become
# red; attention is the only path from the word to the patch, and training found it.
#
# Click a word, and choose a block:

# %%
n = found["red"][0]
clicked = joint_attention.WordOverPicture(poster, weights_at[0.7], words, "red", n)
clicked

# %%
on_red = clicked.picture.value
clicked.word.value = "blue"
assert clicked.picture.value != on_red and clicked.words.value.startswith(f"'blue' in block {n}: ")
clicked.word.value = "red"
assert clicked.picture.value == on_red
print("another word, another map; and back: ok")

# %% [markdown]
# ## Padding
#
# Two prompts of different length can be processed together only if the shorter one is padded to the
# same `T`. The **padding** must not influence anything, so a *mask* accompanies the text: `real`,
# of shape `(B, T)`, true where a token is a real word. The logits of padding are set to minus
# infinity *before* the softmax. Since $e^{-\infty} = 0$, its weight is then 0 and the others still
# add up to 1. Image tokens are never padding.

# %%
short = "a red circle"
alone, _ = pipe.encode_prompt([short])
both, real = pipe.encode_prompt([short, prompt])
print("words of the two prompts:", real.sum(1).tolist(), "both filled up to", both.shape[1])

# %%
x, level, grids = pack(pipe.noise(1, 128, 128, seed=0)), torch.tensor([0.9]), [(1, 8, 8)]
wanted = transformer(x, alone, level, grids)
masked = transformer(x, both[:1], level, grids, real[:1])
ignored = transformer(x, both[:1], level, grids)
assert difference(masked, wanted)[1] < 1e-5 and difference(ignored, wanted)[1] > 0.03
print("masked: as if painted alone, to 1e-5; unmasked: more than 3 % away: ok")

# %% [markdown]
# Before version 0.37 diffusers accepted the mask but ignored it ([pull request
# 12702](https://github.com/huggingface/diffusers/pull/12702)), so older pictures from several
# prompts at a time are slightly off. The queries of padding are *not* hidden: their results are
# computed and never used. Hiding them would leave a softmax over nothing.
#
# ## Exercise: padding is not attended to
#
# ★★★☆☆ · 15 minutes
#
# Write `attend(q, k, v, real)`, which returns the answers, `(B, H, S, K)`. `q`, `k` and `v` have
# shape `(B, H, S, K)`, with `S = T + I`, text first; `real` has `(B, T)`, and `T` is less than `S`.
# (Here heads come before tokens, as torch's own function expects.)


# %% tags=["exercise"]
def attend(q, k, v, real):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
attend = answers.unless_solved(attend, answers.EX_06_MASK)
check.ex_06_mask(attend)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The logits have shape `(B, H, S, S)`: queries, then keys. To which of the two axes does the mask
# apply? And how many places does it lack?
#
# </details>
#
# <details><summary>A hint</summary>
#
# First make `real` as long as `S`: what is true of all image tokens? Then give it axes of length
# one where the logits have heads and queries, so that it broadcasts.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# seen   = real, followed by I times true               (B, S)
# logits = q times k, over the root of K                (B, H, S, S)
# where seen is false, in the last axis of the logits: minus infinity
# return softmax of the logits, times v
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def attend(q, k, v, real):
#     image_tokens = k.shape[2] - real.shape[1]
#     seen = torch.nn.functional.pad(real, (0, image_tokens), value=True)
#     logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
#     logits = logits.masked_fill(~seen[:, None, None, :], -torch.inf)
#     return logits.softmax(-1) @ v
# ```
#
# </details>

# %%
q, k, v = (draw_numbers(2, H, both.shape[1] + I, K, seed=n) for n in (1, 2, 3))
seen = torch.nn.functional.pad(real, (0, I), value=True)[:, None, None]
fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
assert torch.allclose(attend(q, k, v, real), fused, atol=1e-5)
print("yours and torch's own function, with the mask: the same: ok")

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold. Officially `D` is 3072, in 24 heads of 128.
#
# **1.** How many parameters does an official block have, and what part of them only makes shifts,
# scales and gates?
#
# <details><summary>Answer</summary>
#
# 339,831,296, and a third of them are modulation: two layers from 3072 to 18,432, whose only input
# is the noise level.
#
# </details>
#
# **2.** 1328 × 1328 pixels are 6,889 image tokens; say the prompt has 37. How many numbers are the
# attention weights of one block, all heads together?
#
# <details><summary>Answer</summary>
#
# 24 × 6,926² = 1.15 billion: more than three times the block's parameters. They are never stored;
# fused kernels keep a few rows at a time.
#
# </details>
#
# **3.** In the same picture, which share of its attention would the image give to the text if all
# tokens were the same?
#
# <details><summary>Answer</summary>
#
# Half a per cent, 37 of 6,926; in the pocket model it is 21 %. In large pictures, words matter only
# because trained attention gives them far more than this share.
#
# </details>

# %%
with torch.device("meta"):  # shapes without memory
    large = mmdit.Block(3072, 24)
count = sum(p.numel() for p in large.parameters())
modulation = sum(p.numel() for mod in (large.img_mod, large.txt_mod) for p in mod.parameters())
assert count == 339_831_296 and round(modulation / count, 2) == 0.33
assert 24 * (6889 + 37) ** 2 == 1_151_267_424 and round(37 / 6926, 3) == 0.005
print(f"{count:,} parameters, {modulation:,} of them modulation: ok")

# %% [markdown]
# ## What production code does differently
#
# * Attention is fused: logits, softmax and weighted mean are computed in one kernel that never
#   stores
#   the weights. Maps like those above need the slow way.
# * Without padding the mask is None instead of all true, because any mask, even one that hides
#   nothing, may select another kernel with other last bits.
# * The parts of the merged answer are copied into one piece of memory before the last linear
#   layers. This changes at most the last bit.
# * All modulation depends on sigma alone. For a fixed list of noise levels it could be computed
#   once, and a third of the weights would not be needed on the device.
# * In float16, diffusers clips both streams to ±65,504 after each block as a precaution. In
#   bfloat16, the released type, this is not needed.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The block: MMDiT, [SD3, Esser et al. 2024](https://arxiv.org/abs/2403.03206), section 4 and
#   its Figure 2. Modulation with gates that begin at zero: adaLN-Zero, [DiT, Peebles and Xie
#   2022](https://arxiv.org/abs/2212.09748), section 3.2. Query and key norm: [Dehghani et al.
#   2023](https://arxiv.org/abs/2302.05442), section 2.
# * SD3's block is this one, with RMSNorm on queries and keys for training at high resolution
#   (section 5.3.2), without rotations, and with a pooled text vector added to the time embedding.
# * FLUX.1 has 19 such blocks of width 3,072 and 24 heads, and then 38 *single-stream* blocks, in
#   which both kinds of token share all weights, and attention and MLP run side by side
#   ([layers.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/modules/layers.py)).
#   Qwen-Image has 60 blocks of two streams and no other.
#
# </details>
#
# ## Try this
#
# * Swap shift and scale in `my_block`. How far is the result from `Block`?
# * Look at the words *left* and *of* with `times_as_much` for places of your own. Which patches
#   attend to them?
# * Set `gate` to 0 in one trained block, `transformer.transformer_blocks[n].img_mod[1]`, and paint.
#   Which blocks does a poster need most?
#
# Capstone: `mmdit.py` up to `Block` can be written now, a point for each function:
# `make grade PART=mmdit`.
#
# Next: [07 · Sixty blocks](07_sixty_blocks.ipynb), the whole transformer, and its files.
