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
# # 03 · A language model as a reader
#
# A prompt is now a sequence of integers. Qwen-Image passes it through a language model and keeps
# the model's hidden states instead of its output. On this page you write that model, layer and all.
#
# | | |
# |---|---|
# | **You need** | [00](00_a_picture_in_sixty_seconds.ipynb) and [02](02_tokens.ipynb); softmax |
# | **You get** | the text encoder, written by you in five exercises, and maps of its attention |
# | **Minutes** | 35 to read, 65 to write, less than one to run |
# | **Picture** | which tokens every attention head looks at from the last token |
# | **Number** | your text encoder equals that of transformers to 1e-5 |
#
# A **language model** is trained to predict the next token of a text. To do that well, its hidden
# vectors, one for each token, must represent the content of the text, such as which shape is red
# and which is on the left. These vectors are the **text states** that the transformer needs; the
# prediction itself is never computed.

# %%
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show

torch.set_grad_enabled(False)  # nothing is trained on this page
pipe = QwenImage.from_pretrained(show.pocket_folder())
tower = pipe.text_encoder

# %%
prompt = "a red circle left of a blue star on a white background"
ids = torch.tensor([pipe.tokenizer.encode_prompt(prompt)])  # (B, T)
tokens = [pipe.tokenizer.decode([token]) for token in ids[0]]
start = pipe.tokenizer.prefix_length
print("template", tokens[:start])
print("prompt  ", tokens[start:-5])
print("template", tokens[-5:])

# %% [markdown]
# Every prompt is inserted into the same **template**, which consists of a system prompt and the
# markers of a chat: 34 tokens before the prompt form the *prefix*, and five after it the *suffix*.
#
# The official text encoder is the language half of Qwen2.5-VL, 7 billion parameters ([technical
# report](https://arxiv.org/abs/2508.02324), Table 1). The pocket model has a tiny encoder of the
# same architecture. One difference matters on this page: the official encoder was trained on text
# and then frozen while the transformer was trained, whereas the pocket encoder was trained jointly
# with the transformer and never to predict words.

# %%
from qwenimage_ref.config import TextEncoderConfig
from qwenimage_ref.text_encoder import TextEncoder

with torch.device("meta"):  # shapes without memory
    official = TextEncoder(TextEncoderConfig())
rows = []
for name, model in (("official", official), ("pocket", tower)):
    c = model.config
    size = sum(p.numel() for p in model.parameters())
    heads = (c.num_attention_heads, c.num_key_value_heads, c.head_dim)
    rows.append(
        [name, c.num_hidden_layers, c.hidden_size, *heads, c.intermediate_size, f"{size:,}"]
    )
assert rows[0][-1] == "7,070,619,136"
show.table(["", "layers", "D", "H", "key-value heads", "K", "MLP", "parameters"], rows)

# %% [markdown]
# `D` is the width of a state, `H` the number of attention heads and `K` the width of one head.
#
# ## Ids become vectors
#
# The first step looks up one row of a table for each token. Here it is as a loop, as a matrix
# product, and as the package does it:

# %%
table = tower.model.embed_tokens.weight  # (vocabulary, D)

looped = torch.stack([table[token] for token in ids[0]])[None]
one_hot = torch.nn.functional.one_hot(ids, len(table)).float()
x = tower.model.embed_tokens(ids)  # (B, T, D)
assert torch.equal(looped, x) and torch.allclose(one_hot @ table, x)
print("loop, product and class give the same", tuple(x.shape), "vectors: ok")

# %% [markdown]
# A row depends on its token alone, so the *a* of *a blue star* and the *a* of *a white background*
# start as the same vector. Only the layers can make them different.

# %%
star, background = [place for place, token in enumerate(tokens) if token == " a"]
assert torch.equal(x[0, star], x[0, background])
print(f"places {star} and {background} hold equal vectors: ok")

# %% [markdown]
# ## One layer
#
# `x` is called the **residual stream**. A layer does not replace it but adds to it, twice:
#
# $$x \leftarrow x + \text{attention}(\text{norm}(x)), \qquad
# x \leftarrow x + \text{mlp}(\text{norm}(x))$$
#
# Attention moves information between tokens; the MLP works on each token separately. You will write
# every piece of these two lines, and then the lines themselves.
#
# ![Block diagram of the text encoder: embedding; in each layer a norm, grouped-query attention
# and a sum, then a norm, a gated MLP and a sum; a last norm; the system prompt's states are cut
# off](figures/text_layer.svg)
#
# ### The norm
#
# Since every layer adds to the stream, its values grow with depth. Attention and the MLP therefore
# get a normalised copy, in which each token is divided by the root of its mean square and its `D`
# numbers are multiplied by `D` learned weights $w$. This is an **RMSNorm** ([Zhang and
# Sennrich](https://arxiv.org/abs/1910.07467), equation 4):
#
# $$y_i = \frac{w_i\, x_i}{\sqrt{\frac{1}{D} \sum_j x_j^2 + \epsilon}}$$

# %%
layer = tower.model.layers[0]
norm = layer.input_layernorm


def norm_of_one(state):
    mean_square = sum(number**2 for number in state.tolist()) / len(state)
    return norm.weight * state / (mean_square + norm.eps) ** 0.5


assert torch.allclose(norm_of_one(x[0, 40]), norm(x)[0, 40], atol=1e-5)
print(f"rms of token 40: {x[0, 40].pow(2).mean().sqrt():.2f}; by hand as the package: ok")

# %% [markdown]
# ## Exercise: the norm
#
# ★☆☆☆☆ · 5 minutes
#
# Write `rms_norm(x, weight, eps)` for `x` of shape `(..., D)` and `weight` of shape `(D,)`, without
# a loop.


# %% tags=["exercise"]
def rms_norm(x, weight, eps):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

rms_norm = answers.unless_solved(rms_norm, answers.EX_03_NORM)
check.ex_03_norm(rms_norm)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The sum over `j` belongs to one token. Along which axis of `x` does it run?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The mean has to keep its axis, with length one, so that every number of a token is divided by it.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# mean_square = mean of the squares over the last axis      (..., 1)
# return weight times x, over the root of (mean_square + eps)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def rms_norm(x, weight, eps):
#     return weight * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
# ```
#
# </details>

# %%
y = rms_norm(x, norm.weight, norm.eps)
assert torch.allclose(y, norm(x), atol=1e-5)
print("all tokens by yours and by the package: ok")

# %% [markdown]
# ### Queries, keys, values
#
# Attention is a lookup. Each token has a **query** `q`, which is compared with the **keys** `k` of
# other tokens to decide how much of each one's **value** `v` it receives. All three are linear in
# `y` and are split into heads of width `K`.


# %%
def heads(projection, y):
    """(B, T, D) -> (B, number of heads, T, K)"""
    return projection(y).unflatten(-1, (-1, tower.config.head_dim)).transpose(1, 2)


attn = layer.self_attn
q, k, v = heads(attn.q_proj, y), heads(attn.k_proj, y), heads(attn.v_proj, y)
print("q", tuple(q.shape), " k", tuple(k.shape), " v", tuple(v.shape))

# %% [markdown]
# ### Rotary positions
#
# Nothing so far depends on the order of the words. **Rotary position embedding** (RoPE, [Su et
# al.](https://arxiv.org/abs/2104.09864), section 3.2) adds this dependence: numbers `i` and
# `i + K/2` of a head are treated as the two coordinates of an arrow, and the arrow is rotated by
# the angle
#
# $$\alpha = \text{place} \cdot \theta^{-2i/K}, \qquad
# (a, b) \rightarrow (a \cos\alpha - b \sin\alpha,\; a \sin\alpha + b \cos\alpha)$$
#
# with $\theta$ = 1,000,000 here. Queries and keys are rotated, values are not. [Chapter
# 05](05_msrope.ipynb) explains why, and extends it to pictures.
#
# ## Exercise: rotary positions
#
# ★★☆☆☆ · 10 minutes
#
# Write `rotary(x, places, theta)` for `x` of shape `(B, H, T, K)` and `places` of shape `(T,)`,
# without a loop.


# %% tags=["exercise"]
def rotary(x, places, theta):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
rotary = answers.unless_solved(rotary, answers.EX_03_ROTARY)
check.ex_03_rotary(rotary)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How many angles does a head of width `K` have at one place, and what is the shape of all angles of
# a text?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The first halves of all heads are the `a`, the second halves the `b`. *torch.outer* multiplies
# every place by every speed, and `(T, K/2)` broadcasts against `(B, H, T, K/2)`.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# speeds = theta to the power of minus (0, 2, 4, ... below K) over K     (K/2,)
# angle  = each place times each speed                                   (T, K/2)
# a, b   = first and second half of the last axis of x
# return a cos - b sin, followed by a sin + b cos
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def rotary(x, places, theta):
#     K = x.shape[-1]
#     speeds = theta ** -(torch.arange(0, K, 2) / K)
#     angle = torch.outer(places, speeds)
#     a, b = x.chunk(2, dim=-1)
#     turned_a = a * angle.cos() - b * angle.sin()
#     turned_b = a * angle.sin() + b * angle.cos()
#     return torch.cat([turned_a, turned_b], dim=-1)
# ```
#
# </details>

# %% [markdown]
# Rotating two arrows by the same angle leaves the angle between them unchanged. The product of a
# query and a key therefore depends on the distance between their places, not on the places
# themselves:

# %%
theta, places = tower.config.rope_theta, torch.arange(ids.shape[1])
here, far = (
    rotary(q, places + n, theta) @ rotary(k[:, :1], places + n, theta).mT for n in (0, 100)
)
shorter = rotary(q, places, theta) @ rotary(k[:, :1], places + 1, theta).mT
assert torch.allclose(here, far, atol=2e-3) and not torch.allclose(here, shorter, atol=0.1)
q, k = rotary(q, places, theta), rotary(k, places, theta)
print("all tokens 100 places further on, the same products; keys alone by one place, others: ok")

# %% [markdown]
# ### One head
#
# For each token `t`, one head compares its query with the keys of all tokens up to `t`, turns these
# scores into weights by a softmax, and takes the weighted mean of the values. The restriction to
# tokens up to `t` is the **causal mask**. The model was trained to predict the next token, so later
# ones would have given the answer away. Dividing by $\sqrt{K}$ keeps the scores near size one at
# any width ([Vaswani et al.](https://arxiv.org/abs/1706.03762), section 3.2.1).


# %%
def head_in_a_loop(q, k, v):
    """(T, K), (T, K), (T, K) -> (T, K)"""
    T, K = q.shape
    out = torch.empty_like(v)
    for t in range(T):
        scores = torch.stack([q[t] @ k[s] / K**0.5 for s in range(t + 1)])
        weights = scores.exp() / scores.exp().sum()
        out[t] = sum(weight * v[s] for s, weight in enumerate(weights))
    return out


# %%
one = [tensor[0, 0] for tensor in (q, k, v)]
by_torch = torch.nn.functional.scaled_dot_product_attention(*one, is_causal=True)
assert torch.allclose(head_in_a_loop(*one), by_torch, atol=1e-5)
print("loop and PyTorch's function give the same numbers: ok")

# %% [markdown]
# ### Many queries, few keys
#
# The shapes above show four query heads but only two key-value heads. Query heads 0 and 1 share
# key-value head 0, and 2 and 3 share head 1; officially 28 query heads share four, in groups of
# seven. This is **grouped-query attention** ([Ainslie et al.](https://arxiv.org/abs/2305.13245),
# section 2.2).
#
# It was invented for generation, where every layer has to keep the keys and values of all earlier
# tokens; groups of seven divide that memory by seven. A text encoder generates nothing, so here it
# only saves some weights.

# %%
c = official.config
kept = 2 * c.num_key_value_heads * c.head_dim * c.num_hidden_layers  # numbers for one token
alone = 2 * c.num_attention_heads * c.head_dim * c.num_hidden_layers
saved = (alone - kept) * c.hidden_size
assert (kept, alone) == (28_672, 200_704)
print(f"keys and values of one token: {kept:,} numbers instead of {alone:,}")
print(f"weights saved: {saved / 1e6:.0f} million")

# %% [markdown]
# ## Exercise: grouped-query attention
#
# ★★★☆☆ · 15 minutes
#
# Write `grouped_attention(q, k, v)`: `q` is `(B, H, T, K)`, `k` is `(B, G, T, K)` and `v` is
# `(B, G, T, W)`, with `G` key-value heads; `H` is a multiple of `G`. Return `(B, H, T, W)`, with
# the causal mask and without a loop. Here `W` equals `K`, but do not rely on it, since further down
# it is `T`.


# %% tags=["exercise"]
def grouped_attention(q, k, v):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
grouped_attention = answers.unless_solved(grouped_attention, answers.EX_03_GQA)
check.ex_03_gqa(grouped_attention)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Matrix products work on the last two axes and leave `B` and `H` alone, so all heads can be written
# as one. Two things are missing: `k` and `v` have too few heads, and the future has to be hidden.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Give `k` and `v` as many heads as `q` by repeating each, so that a head's copies stand side by
# side: 0, 0, 1, 1. PyTorch has one function that tiles (0, 1, 0, 1) and one that does this. A score
# of minus infinity has weight 0 after the softmax.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# group = H / G
# k, v = every head of k, of v, `group` times in a row
# scores = q times k transposed (last two axes), over the root of K
# scores where the key comes after the query = minus infinity
# softmax over the keys, times v
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def grouped_attention(q, k, v):
#     B, H, T, K = q.shape
#     k = k.repeat_interleave(H // k.shape[1], dim=1)
#     v = v.repeat_interleave(H // v.shape[1], dim=1)
#     scores = q @ k.transpose(-1, -2) / K**0.5
#     later = torch.ones(T, T, dtype=torch.bool).triu(1)
#     return scores.masked_fill(later, -torch.inf).softmax(-1) @ v
# ```
#
# </details>

# %% [markdown]
# To finish attention, the heads are concatenated again and mixed by one more matrix, `o_proj`:

# %%
by_hand = attn.o_proj(grouped_attention(q, k, v).transpose(1, 2).flatten(2))
cos, sin = tower.embed(ids)[1][:2]  # the package turns by a table
assert torch.allclose(by_hand, attn(y, cos, sin), atol=1e-5)
print("attention by yours and by the package: ok")

# %% [markdown]
# If the values are the identity matrix, attention returns its own weights: a map of `T` × `T`
# numbers, from the token that looks (down) to the token that is looked at (across).

# %%
identity = torch.eye(len(tokens)).expand(1, k.shape[1], -1, -1)
weights = grouped_attention(q, k, identity)  # (1, H, T, T)
assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:3]))
assert weights.triu(1).abs().max() == 0
print("the weights of each token sum to 1, and none looks ahead: ok")

# %% [markdown]
# ### The gated MLP
#
# The MLP widens each state and narrows it again. Two matrices widen it, `up` and `gate`, and the
# output of the first is multiplied, element by element, by a function of the output of the second:
#
# $$\text{mlp}(y) = W_\text{down}\,(\text{silu}(W_\text{gate}\, y) \odot W_\text{up}\, y),
# \qquad \text{silu}(g) = g\,\sigma(g) = g\,/\,(1 + e^{-g})$$
#
# Well below zero the function is close to 0, and well above zero it is close to `g`. This MLP is
# known as **SwiGLU** ([Shazeer](https://arxiv.org/abs/2002.05202), equation 6).

# %%
import math


def mlp_of_one(mlp, state):
    gate, up = mlp.gate_proj.weight @ state, mlp.up_proj.weight @ state
    passed = [u * g / (1 + math.exp(-g)) for g, u in zip(gate.tolist(), up.tolist())]
    return mlp.down_proj.weight @ torch.tensor(passed)


mlp = layer.mlp
assert torch.allclose(mlp_of_one(mlp, y[0, 40]), mlp(y)[0, 40], atol=1e-4)
print("gate", tuple(mlp.gate_proj.weight.shape), " down", tuple(mlp.down_proj.weight.shape))

# %% [markdown]
# ## Exercise: the gated MLP
#
# ★★☆☆☆ · 5 minutes
#
# Write `gated_mlp(y, gate, up, down)` for `y` of shape `(B, T, D)` and three weight matrices,
# stored as torch stores them: `(F, D)`, `(F, D)` and `(D, F)`. Return `(B, T, D)`.


# %% tags=["exercise"]
def gated_mlp(y, gate, up, down):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
gated_mlp = answers.unless_solved(gated_mlp, answers.EX_03_MLP)
check.ex_03_mlp(gated_mlp)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The formula has columns, `W y`; the tensors have rows, `(B, T, D)`. On which side does the matrix
# go then?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `torch.nn.functional.linear(y, gate)` applies a stored matrix to the last axis.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# g = gate applied to y                          (B, T, F)
# u = up applied to y                            (B, T, F)
# return down applied to: g times sigmoid of g, times u
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def gated_mlp(y, gate, up, down):
#     g = y @ gate.T
#     return (g * torch.sigmoid(g) * (y @ up.T)) @ down.T
# ```
#
# </details>

# %%
matrices = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
assert torch.allclose(gated_mlp(y, *matrices), mlp(y), atol=1e-4)
print("yours and the package's MLP: ok")

# %% [markdown]
# ## Exercise: the layer
#
# ★★★★☆ · 25 minutes
#
# Write `my_layer(layer, x, theta)`, from `(B, T, D)` to `(B, T, D)`; the places are 0, 1, 2, …
# `layer` only holds the weights: `input_layernorm` and `post_attention_layernorm`, each with
# `weight` and `eps`; `self_attn` with `q_proj`, `k_proj`, `v_proj`, `o_proj` and `head_dim`, which
# is `K`; and `mlp`, as above. Do not call `layer`, `self_attn` or `mlp` themselves. Build on your
# four functions. You will know it works when the checker says so and when your layers, stacked
# below, give the text encoder's states.


# %% tags=["exercise"]
def my_layer(layer, x, theta):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_layer = answers.unless_solved(my_layer, answers.EX_03_LAYER)
check.ex_03_layer(my_layer)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The two lines at the beginning of *One layer* are the whole function. You have written everything
# in them already; all that is new is which weights each piece takes.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Do attention first, down to the sum, and compare with `layer.self_attn`. Split the heads as the
# function `heads` does, but with the layer's own `head_dim`. The second norm gets the stream
# *after* that sum.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```text
# y = first norm of x
# q, k, v = the three projections of y, split into heads    (B, H or G, T, K)
# q, k = both turned to their places
# x = x + last matrix of (attention of q, k, v, with its heads side by side)
# y = second norm of x
# return x + the gated MLP of y
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_layer(layer, x, theta):
#     attn, mlp, places = layer.self_attn, layer.mlp, torch.arange(x.shape[1])
#     before, between = layer.input_layernorm, layer.post_attention_layernorm
#     y = rms_norm(x, before.weight, before.eps)
#     q, k, v = (
#         projection(y).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)
#         for projection in (attn.q_proj, attn.k_proj, attn.v_proj)
#     )
#     q, k = rotary(q, places, theta), rotary(k, places, theta)
#     x = x + attn.o_proj(grouped_attention(q, k, v).transpose(1, 2).flatten(2))
#     y = rms_norm(x, between.weight, between.eps)
#     return x + gated_mlp(y, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
# ```
#
# </details>

# %% [markdown]
# The package writes the same layer as two lines:

# %%
from qwenimage_ref.text_encoder import Layer

assert torch.allclose(my_layer(layer, x, theta), layer(x, cos, sin), atol=1e-4)
show.source(Layer.forward)

# %% [markdown]
# ## The whole encoder
#
# The encoder embeds the ids, runs the layers and normalises once more. On the way, `maps` collects
# the attention weights of every head.


# %%
def weights_of(layer, x):
    """(1, T, D) -> (H, T, T): a layer's attention weights."""
    y = rms_norm(x, layer.input_layernorm.weight, layer.input_layernorm.eps)
    projections, places = (layer.self_attn.q_proj, layer.self_attn.k_proj), torch.arange(x.shape[1])
    q, k = (rotary(heads(projection, y), places, theta) for projection in projections)
    return grouped_attention(q, k, torch.eye(x.shape[1]).expand(1, k.shape[1], -1, -1))[0]


def my_encoder(ids):
    x, maps = tower.model.embed_tokens(ids), []
    for layer in tower.model.layers:
        maps.append(weights_of(layer, x))
        x = my_layer(layer, x, theta)
    return rms_norm(x, tower.model.norm.weight, tower.model.norm.eps), torch.stack(maps)


# %%
states, (by_hand, maps) = tower(ids), my_encoder(ids)
assert (by_hand - states).abs().max() < 1e-5 * states.abs().max()
assert maps.shape == (4, 4, len(tokens), len(tokens))  # layers, heads, from, to
print("yours and the package's, relative difference under 1e-5: ok")

# %% [markdown]
# As an independent check, we load the same weights into the class of the library transformers that
# the official pipeline uses.

# %%
from qwenimage_ref.config import VisionConfig
from qwenimage_ref.parity import reference
from qwenimage_ref.parity.tolerances import within

vision = VisionConfig.from_json(show.pocket_folder() / "text_encoder" / "config.json")
theirs = reference.reference_text_encoder(tower.config, vision)
reference.copy_weights(tower, theirs, unused=("visual.", "lm_head."))
expected = reference.run(theirs, {"ids": ids})
size = expected.abs().max()
assert (states - expected).abs().max() <= within("text_encoder") * size
assert (by_hand - expected).abs().max() < 1e-5 * size
print(f"package and transformers within {within('text_encoder'):.0e}, yours within 1e-05: ok")

# %% [markdown]
# ## What it looks at
#
# The last token of all, a line end, is the only one that can see all others. Which ones does it
# look at? There is one row for each head, darker for larger weights, and a line between prefix and
# prompt.

# %%
from qwenimage_ref.course.figures import text_attention

text_attention.last_token(
    tokens,
    maps,
    start,
    alt="Sixteen rows, one for each head, over 51 tokens. Most put nearly all on one token: some "
    "on words of the prompt such as 'star', 'left' and 'background', others on the template",
)

# %%
left, star = tokens.index(" left"), tokens.index(" star")
looking = (maps[:, :, -1, left] > 0.9).nonzero().tolist()
assert [1, 3] in looking
print("heads that give more than 90 % to 'left' [layer, head]:", looking)

# %% [markdown]
# Head 3 of layer 1 seems to look for the word that says where things are. Does it still, when we
# ask for other places?


# %%
def looked_at(prompt, layer=1, head=3):
    ids = torch.tensor([pipe.tokenizer.encode_prompt(prompt)])
    share, place = my_encoder(ids)[1][layer, head, -1].max(0)
    return text_attention.spelled(pipe.tokenizer.decode([ids[0, place]])), share.item()


places = ("left of", "right of", "above", "below")
asked = {place: prompt.replace("left of", place) for place in places}
asked["large"] = "a large yellow star on a gray background"
asked["small"] = "a small blue ring on the left on a mint background"
for wanted, line in asked.items():
    word, share = looked_at(line)
    print(f"{wanted:8} -> {word:8} {'over' if share > 0.9 else 'under'} 90 %")

# %%
assert all(looked_at(line)[0] == wanted.split()[0] for wanted, line in asked.items())
print("six of six: ok")

# %% [markdown]
# Its neighbour, head 2, gives nearly everything to *star*. Is it the head that looks for the second
# shape?

# %%
shapes = ("star", "square", "triangle", "diamond", "ring", "circle")
looks = {shape: looked_at(prompt.replace("star", shape), head=2)[0] for shape in shapes}
for shape, word in looks.items():
    print(f"{shape:8} -> {word}")
assert [shape for shape, word in looks.items() if word == shape] == ["star"]

# %% [markdown]
# It is not: for the other five shapes it looks at *of*. Such stories call for caution. That a head
# looks at a word does not show what it does with it, and a story that fits one case, or even six,
# may fail on the next.
#
# Some heads look back at the template's prefix. A softmax has to put its 100 % somewhere, and a
# token without information is a harmless place for it. Such **attention sinks** are well known in
# large language models ([Xiao et al.](https://arxiv.org/abs/2309.17453)).
#
# Choose a layer and a token, and see what it looks at:

# %%
book = text_attention.TextAttentionSliders(tokens, maps)
book

# %%
at_home = book.strips.value
book.token.value = tokens.index(" star")
assert book.strips.value != at_home and "background" not in book.strips.value.split("star")[-1]
book.token.value = len(tokens) - 1
assert book.strips.value == at_home
print("another token looks at other words, and at none after itself; back again: ok")

# %% [markdown]
# Here are all maps in print, a square for each head: down, the token that looks; across, the one
# that is looked at. The empty half above the diagonal is the future. A dark vertical bar is a word
# that several successive tokens look at; the longest belongs to *star*, at which all five tokens of
# the suffix look.

# %%
text_attention.every_head(
    maps,
    start,
    alt="Sixteen squares, blank above the diagonal: scattered dots below it, and near the lower "
    "right corner short upright bars, where the tokens of the suffix all look at one word",
)

# %%
assert maps.triu(1).abs().max() == 0
assert maps[1, 2, -5:, star].min() > 0.9
print("the future gets nothing; the whole suffix looks at 'star' in one head: ok")

# %% [markdown]
# ## Which vectors to take
#
# The model could go on to its prediction: a last matrix, `lm_head`, turns each state into 152,064
# scores (**logits**), one for each row of the vocabulary. Qwen-Image takes the states instead.
# Since the logits are a linear function of them, they hold nothing more, yet they are 42 times as
# long.
#
# Text to image therefore leaves more than half of the tensors in the official files unread:
# `lm_head`, and `visual`, the vision tower, which only the edit models use. The official index file
# lists them:

# %%
import json

from qwenimage_ref.course import stored_results


def families(index):
    """How many tensors begin with which word, and what they add up to."""
    stored = json.loads(index.read_text())
    names = [name.split(".")[0] for name in stored["weight_map"]]
    return {name: names.count(name) for name in sorted({*names})} | stored["metadata"]


index = "text_encoder/model.safetensors.index.json"
listed = stored_results.run("03_text_encoder_index", index, families)
read = sum(p.numel() for p in official.parameters())
assert listed["model"] == len(list(official.parameters()))
print(listed)
print(f"read for text to image: {read / listed['total_parameters']:.0%} of all numbers")

# %% [markdown]
# The states are taken *after* the last norm, because in the stream their lengths differ widely and
# the norm makes them comparable.

# %%
x, shared = tower.embed(ids)
for layer in tower.model.layers:
    x = layer(x, *shared)
before, after = x[0].norm(dim=-1), states[0].norm(dim=-1)
assert before.max() > 15 * before.min() and after.max() < 1.1 * after.min()
print("longest to shortest: over 15 before the norm, under 1.1 after: ok")

# %% [markdown]
# ## The cut
#
# The 34 states of the prefix are dropped. Because of the causal mask they cannot depend on the
# prompt, which comes after them, so they are the same for every prompt.

# %%
other = torch.tensor([pipe.tokenizer.encode_prompt("一个黄色的大圆形")])
same = (tower(other)[:, :start] - states[:, :start]).abs().max()
assert same < 1e-5 * states.abs().max()
print("another prompt in another language, the same 34 states: ok")

# %% [markdown]
# Why, then, is there a template at all? The prompt's tokens attend to it. Its system prompt asks
# for a description of colour, shape, size, text and relations, and this shifts the states of
# everything after it.
#
# ## Exercise: when to cut
#
# ★☆☆☆☆ · 5 minutes
#
# Write `prompt_states(text_encoder, ids, start)`, which returns the states for the transformer;
# `start` is the length of the prefix, 34 here.


# %% tags=["exercise"]
def prompt_states(text_encoder, ids, start):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
prompt_states = answers.unless_solved(prompt_states, answers.EX_03_DROP)
check.ex_03_drop(prompt_states)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `text_encoder(ids)` gives `(B, T, D)`. What has to happen first, encoding or cutting?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Everything to the right of the prefix stays, including the five tokens of the suffix, which come
# after the prompt and attend to it.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# encode all ids
# return every sample's states from place `start` on
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def prompt_states(text_encoder, ids, start):
#     return text_encoder(ids)[:, start:]
# ```
#
# </details>

# %% [markdown]
# How much difference does the template make? Cut it off *before* encoding, and compare. The shifted
# positions cannot explain a difference, since only distances count.

# %%
kept = prompt_states(tower, ids, start)
without = tower(ids[:, start:])  # cut too early
change = (without - kept).norm(dim=-1)[0] / kept.norm(dim=-1)[0]
assert change.max() > 0.5
share = (without - kept).norm() / kept.norm()
print(f"all states together: changed by {share:.0%} of their length")

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.4), layout="constrained", width_ratios=(2, 1))
names = [text_attention.spelled(token) for token in tokens]
colours = [show.PALETTE["noise"]] * start + [show.PALETTE["text"]] * (len(tokens) - start)
axes[0].bar(range(len(tokens)), before, color=colours)
axes[0].set_xticks(range(len(tokens)), names, rotation=90, fontsize=7)
axes[0].set_title("length in the stream, before the last norm; gray is cut off", fontsize=10)
axes[1].barh(range(len(change)), change, color=show.PALETTE["text"])
axes[1].set_yticks(range(len(change)), names[start:], fontsize=7)
axes[1].invert_yaxis()
axes[1].set_title("change of the kept states without the template", fontsize=10)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
show.figure(
    fig,
    alt="Left, lengths of 51 states, under a hundred to over a thousand, the prefix's 34 in gray; "
    "right, how much each kept state changes without the template: most under a third, two wholly",
)

# %%
most = sorted(tokens[start + place].strip() for place in change.topk(2).indices)
assert most == ["a", "of"] and change.median() < 0.3
print("half of the states change by less than 30 %, two by about their whole length:", most)

# %% [markdown]
# Does it show in the picture? We paint from the same noise five times: with the prefix cut as it
# should be; cut before encoding; cut one token too early; not cut at all; and not cut, but hidden
# by a mask.

# %%
from qwenimage_ref.conditions import Branch
from qwenimage_ref.sampler import sigmas

empty = Branch(*pipe.encode_prompt([" "]))
levels = sigmas(20, 64, pipe.scheduler)


def paint(text_states, mask=None):
    latents = pipe.denoise(
        pipe.noise(1, 128, 128, seed=0), levels, Branch(text_states, mask), empty
    )
    return pipe.to_pictures(latents)[0]


# %%
hidden = torch.arange(len(tokens))[None] >= start
pictures = {
    "after": paint(kept),
    "before": paint(without),
    "one too early": paint(states[:, start - 1 :]),
    "never": paint(states),
    "never, hidden": paint(states, hidden),
}
show.grid(
    [*pictures.values()],
    [*pictures],
    alt="Cut after or before encoding or one token too early: a red circle and a blue star. Never "
    "cut: both smaller, above a word of no prompt. Hidden: a dented circle, a purple star",
    columns=5,
    scale=1,
)

# %%
apart = {name: show.difference(pictures["after"], other) for name, other in pictures.items()}
assert max(apart[name] for name in ("before", "one too early")) < 5
assert min(apart[name] for name in ("never", "never, hidden")) > 5
print("before encoding or one too early: hardly visible; not cut: another picture: ok")

# %% [markdown]
# Look at the second picture again. Its states were wrong by four tenths of their length, and
# *nothing* shows, because the pocket model has few words to distinguish and tolerates much. A bug
# of this kind hides behind a good picture; only the number reveals it. One state too many does not
# show either, although it moves all others by one position: the model was trained at seven sizes,
# for which the prompt begins at different positions. Without any cut, two things go wrong: the
# prefix is treated as part of the prompt, and the prompt begins 34 positions later than it ever did
# in training. The mask separates these two causes: with the prefix hidden, the unwanted word
# disappears, but the shifted positions still do harm.
#
# ## Padding
#
# Two prompts in one batch must have the same length, so the shorter one is filled up with a token
# that means nothing. Padding on the right does no harm, because with a causal mask no real token
# can see it. Padding on the left would be visible to all of them.

# %%
pad = torch.full((1, 9), pipe.tokenizer.pad_id)
right, left = torch.cat([ids, pad], 1), torch.cat([pad, ids], 1)
off = {
    "right, no mask": tower(right)[:, :-9] - states,
    "right, mask": tower(right, right != pad[0, 0])[:, :-9] - states,
    "left, no mask": tower(left)[:, 9:] - states,
    "left, mask": tower(left, left != pad[0, 0])[:, 9:] - states,
}
harmed = {where: bool(gap.abs().max() > 1e-4 * states.abs().max()) for where, gap in off.items()}
assert harmed == {name: name == "left, no mask" for name in harmed}
print(harmed)

# %% [markdown]
# The states of the padding itself are meaningless. They are set to zero, and the transformer gets a
# mask so that no token attends to them ([chapter 06](06_one_mmdit_block.ipynb)).
#
# ## Two languages
#
# Do the states represent the meaning or the words? Here are eight scenes, each described in English
# and in Chinese, two languages that share no token. We average the states of each prompt and
# compare by the cosine, which is 1 for the same direction and 0 for nothing in common.

# %%
from qwenimage_ref.posters import draw as world

scenes = [world.sample_scene(10_000 + i, word_share=0) for i in range(8)]


def meaning(scene, language):
    text_states, _ = pipe.encode_prompt([world.caption(scene, language)])
    return text_states[0, :-5].mean(0)  # without the suffix, which all prompts share


english, chinese = (torch.stack([meaning(s, lang) for s in scenes]) for lang in ("en", "zh"))
alike = torch.nn.functional.cosine_similarity(english[:, None], chinese[None], dim=-1)
words = [{*pipe.tokenizer.encode(world.caption(scenes[0], lang))} for lang in ("en", "zh")]
assert words[0].isdisjoint(words[1])
print(world.caption(scenes[0], "en"), "/", world.caption(scenes[0], "zh"))

# %%
from qwenimage_ref.course.heat_maps import shade

fig, ax = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
image = ax.imshow(alike, cmap=shade("text"), vmin=0, vmax=1)
ax.set_yticks(range(8), [world.caption(scene) for scene in scenes], fontsize=9)
ax.set_xticks(range(8), [f"zh {i + 1}" for i in range(8)])
fig.colorbar(image, label="cosine")
show.figure(fig, alt="Eight English captions against the same eight in Chinese: dark diagonal")

# %%
same, rest = alike.diagonal(), alike[~torch.eye(8, dtype=torch.bool)]
assert (alike.argmax(1) == torch.arange(8)).all() and same.mean() > rest.mean() + 0.2
print(f"same scene {same.mean():.2f}, another scene {rest.mean():.2f}; each finds its twin: ok")

# %% [markdown]
# Each English caption is closest to its own translation, although no label ever said that *red* and
# 红 mean the same: it follows from both leading to the same posters.
#
# Where the official weights are on the machine, the statement about the prefix is checked on them
# too, with one layer at a time in memory:

# %%
from qwenimage_ref.load import load_weights
from qwenimage_ref.tokenizer import Tokenizer


def verify(shard):
    folder = shard.parent
    with torch.device("meta"):
        big = TextEncoder(TextEncoderConfig.from_json(folder / "config.json"))
    load_weights(big, folder, torch.float32, streamed=True)
    encode = Tokenizer.load(folder.parent / "tokenizer").encode_prompt
    one, two = (big(torch.tensor([encode(text)]))[0, :35] for text in ("a cat", "一只红色的狗"))
    change = (one - two).norm(dim=-1) / one.norm(dim=-1)
    assert change[:34].max() <= within("text states") and change[34] > 100 * within("text states")


shard = "text_encoder/model-00001-of-00004.safetensors"
stored_results.check(
    shard, "the prefix's 34 states are those of any prompt, the next one is not", verify
)

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** How many numbers are the official text states of a prompt of 512 tokens, compared with the
# latents of a picture of 1328 × 1328?
#
# <details><summary>Answer</summary>
#
# 512 × 3,584 = 1.8 million against 16 × 166 × 166 = 0.44 million: four times as many.
#
# </details>
#
# **2.** What share of the official text encoder's parameters is in its MLPs?
#
# <details><summary>Answer</summary>
#
# 81 %: 28 layers of 3 × 3,584 × 18,944 are 5.7 of 7.07 billion. Attention is cheap in weights,
# thanks to the shared key-value heads.
#
# </details>
#
# **3.** You double the length of the prompt. How much larger is one of the maps above?
#
# <details><summary>Answer</summary>
#
# 1.5 times, not four: the template stays. 12 tokens are 51 with them, 24 are 63, and
# (63 / 51)² is 1.5.
#
# </details>

# %%
text, picture = 512 * 3584, 16 * (1328 // 8) ** 2
mlps = sum(p.numel() for name, p in official.named_parameters() if ".mlp." in name)
total = sum(p.numel() for p in official.parameters())
assert round(text / picture, 1) == 4.2 and round(100 * mlps / total) == 81
assert len(tokens) == 51 and round(((len(tokens) + 12) / len(tokens)) ** 2, 1) == 1.5
print("4.2 times, 81 %, 1.5 times: ok")

# %% [markdown]
# ## What production code does differently
#
# * It takes the last of the hidden states that the library returns, which is the one after the
#   norm, although the name does not say so.
# * It runs in bfloat16, with fused attention that never stores a map of weights.
# * It encodes the prompt once, keeps the states, and removes the text encoder from the device
#   before denoising starts: 14 GB less.
# * The keys and values of the prefix never change, so a busy server computes them once.
# * Like this package, it cuts the prompt at 512 tokens by default, and at 1,024 at most.
# * In edit models, vectors from the vision tower replace the embeddings of some tokens.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The tower: [Qwen2.5-VL, Bai et al. 2025](https://arxiv.org/abs/2502.13923), section 2.1. Its
#   use here: [Qwen-Image report](https://arxiv.org/abs/2508.02324), section 2.
# * RMSNorm: [Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467). Grouped-query attention:
#   [Ainslie et al. 2023](https://arxiv.org/abs/2305.13245), section 2.2. The gated MLP, SwiGLU:
#   [Shazeer 2020](https://arxiv.org/abs/2002.05202), section 2.
# * SD3 encodes a prompt with three frozen encoders, CLIP-L, OpenCLIP bigG and T5-XXL ([Esser et al.
#   2024](https://arxiv.org/abs/2403.03206), section 4): the states are the text stream, and a
#   pooled vector of the CLIP models goes into the modulation beside the time.
# * FLUX.1 takes the states of T5-XXL, 4,096 wide, and one pooled CLIP vector of 768
#   ([util.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py)). Qwen-Image
#   has one encoder, a language model that also sees pictures, and no pooled vector.
#
# </details>
#
# ## Try this
#
# * Move the widget to *left* and to *of*. Which head finds out which shape is on the left?
# * Drop the suffix as well: `paint(kept[:, :-5])`. Then paint a prompt with a word in it.
# * Paint with `tower.model.embed_tokens(ids)[:, start:]`, the words without any layer.
# * Change the template's text and encode with it. Which states change most?
# * Compare *a red circle left of a blue star* with *a blue star right of a red circle*. They mean
#   the same; how close are their states?
#
# Capstone: `text_encoder.py` can be written now: `make grade PART="text encoder"`,
# 16 points.
#
# Next: [04 · Pictures to latents and back](04_pictures_to_latents_and_back.ipynb), the space that
# the transformer works in.
