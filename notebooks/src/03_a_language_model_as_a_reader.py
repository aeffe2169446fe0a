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
# A prompt is a row of whole numbers by now. Before anything can be painted, it has to be read.
# Qwen-Image uses a language model for that, and takes its states instead of its words.
#
# | | |
# |---|---|
# | **You need** | [00](00_a_picture_in_sixty_seconds.ipynb) and [02](02_tokens.ipynb); softmax |
# | **You get** | the whole tower, written by you: norm, attention, mask, gate, residual stream |
# | **Minutes** | 45 to read, less than one to run |
# | **Picture** | where every attention head looks when it reads the last token |
# | **Number** | your tower equals transformers' to 1e-5 |
#
# A **language model** was made to guess the next token of a text. To guess well, it has to know
# what was said: who is red, what stands left of what. That knowledge sits in the vectors inside,
# one for each token. We want those vectors, the **text states**, and never ask for the guess.

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
print("letter ", tokens[:start])
print("prompt ", tokens[start:-5])
print("closing", tokens[-5:])

# %% [markdown]
# The prompt travels inside a text that is always the same. Below, the **letter** is the 34 tokens
# before the prompt, the **closing** is the five after it. The transformer of chapter 00 will get
# the states.
#
# Two readers, in numbers. The official one is the text half of Qwen2.5-VL, a model of 7 billion
# numbers (report, Table 1); ours is in the same shape and tiny. One thing to keep in mind: the
# official reader learned from libraries of text, and was frozen while the transformer was trained.
# The pocket reader was never trained to predict words. It was trained together with the
# transformer.

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
show.table(["", "layers", "D", "H", "key-value heads", "K", "MLP", "numbers"], rows)

# %% [markdown]
# `D` is the length of a state, `H` the number of heads, `K` the width of one. All of it comes soon.
#
# ## Ids become vectors
#
# The first step is a table of vectors, one row for each token of the vocabulary. As a loop, as a
# matrix product, and as the class does it:

# %%
table = tower.model.embed_tokens.weight  # (vocabulary, D)

looped = torch.stack([table[token] for token in ids[0]])[None]
one_hot = torch.nn.functional.one_hot(ids, len(table)).float()
x = tower.model.embed_tokens(ids)  # (B, T, D)
assert torch.equal(looped, x) and torch.allclose(one_hot @ table, x)
print("loop, product and class give the same", tuple(x.shape), "vectors: ok")

# %% [markdown]
# A row depends on its token alone. *a* blue star and *a* white background: one and the same
# vector, though one belongs to a star and one to a background. The layers will separate them.

# %%
star, background = [place for place, token in enumerate(tokens) if token == " a"]
assert torch.equal(x[0, star], x[0, background])
print(f"places {star} and {background} hold equal vectors: ok")

# %% [markdown]
# ## One layer
#
# `x` is called the **residual stream**. It runs through all layers, and a layer never replaces it:
# it reads `x`, and adds what it found. Twice: first `self_attn`, in which tokens look at each
# other, then `mlp`, which works on each token separately.

# %%
from qwenimage_ref.text_encoder import MLP, Layer, RMSNorm

show.source(Layer.forward)

# %% [markdown]
# ### The norm
#
# Streams grow, as everybody adds to them. So each reader first brings its copy to size one: divide
# by the root of the mean square (RMS), then stretch each of the `D` numbers by a learned weight.
# `eps` stands *inside* the root, so that a vector of zeros does not divide by zero.

# %%
layer = tower.model.layers[0]
norm = layer.input_layernorm


def norm_in_a_loop(x):
    out = torch.empty_like(x)
    for t in range(x.shape[1]):
        mean_square = sum(number**2 for number in x[0, t].tolist()) / x.shape[-1]
        out[0, t] = norm.weight * x[0, t] / (mean_square + norm.eps) ** 0.5
    return out


at_once = norm.weight * x / (x.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()
y = norm(x)
assert torch.allclose(norm_in_a_loop(x), y, atol=1e-5) and torch.allclose(at_once, y, atol=1e-5)
print("loop, line and class give the same numbers: ok")

# %%
show.source(RMSNorm.forward)

# %% [markdown]
# ### Queries, keys, values
#
# Attention is a lookup. Each token has a question (its **query** `q`), a label (its **key** `k`)
# and a content (its **value** `v`). All three are linear in `y`, cut into heads of width `K`.


# %%
def heads(projection, y):
    """(B, T, D) -> (B, number of heads, T, K)"""
    return projection(y).unflatten(-1, (-1, tower.config.head_dim)).transpose(1, 2)


attn = layer.self_attn
q, k, v = heads(attn.q_proj, y), heads(attn.k_proj, y), heads(attn.v_proj, y)
print("q", tuple(q.shape), " k", tuple(k.shape), " v", tuple(v.shape))

# %% [markdown]
# Then queries and keys are *turned*, each by an angle that grows with its place in the text (rotary
# position embedding, RoPE; [chapter 05](05_msrope.ipynb) is about it). Turning two arrows by the
# same angle does not change the angle between them. So the product of a query and a key depends on
# their distance, not on their places. Move the whole text to place 100, and nothing happens:

# %%
from qwenimage_ref.text_encoder import rotate_half, rotation_table


def angles(ids):
    """(1, T) -> cosines and sines (1, 1, T, K) of the places 0, 1, 2, ..."""
    places = torch.arange(ids.shape[1]).expand(3, 1, -1)  # three rows, all equal for text
    return [t.unsqueeze(1) for t in rotation_table(places, tower.config)]


cos, sin = angles(ids)
q, k = rotate_half(q, cos, sin), rotate_half(k, cos, sin)

# %%
states = tower(ids)
moved = tower(ids, positions=torch.arange(100, 100 + ids.shape[1]).expand(3, 1, -1))
assert (moved - states).abs().max() < 1e-3 * states.abs().max()
print("a hundred places further on, the same states: ok")

# %% [markdown]
# ### One head
#
# For each token `t`: compare its query with the keys of all tokens up to `t`, make the results into
# shares by a softmax, and mix the values by these shares. *Up to `t`* is the **causal mask**: when
# the model was trained to guess, later tokens were the answer, so it must not see them. Dividing by
# $\sqrt{K}$ keeps the scores near size one, whatever the width; without it, one token takes all.


# %%
def head_in_a_loop(q, k, v):
    """(T, K), (T, K), (T, K) -> (T, K)"""
    T, K = q.shape
    out = torch.empty_like(v)
    for t in range(T):
        scores = torch.stack([q[t] @ k[s] / K**0.5 for s in range(t + 1)])
        shares = scores.exp() / scores.exp().sum()
        out[t] = sum(share * v[s] for s, share in enumerate(shares))
    return out


def head_at_once(q, k, v):
    T, K = q.shape
    later = torch.ones(T, T, dtype=torch.bool).triu(1)  # [t, s]: s comes after t
    scores = (q @ k.T / K**0.5).masked_fill(later, -torch.inf)
    return scores.softmax(-1) @ v


# %%
one = [tensor[0, 0] for tensor in (q, k, v)]
by_torch = torch.nn.functional.scaled_dot_product_attention(*one, is_causal=True)
assert torch.allclose(head_in_a_loop(*one), by_torch, atol=1e-5)
assert torch.allclose(head_at_once(*one), by_torch, atol=1e-5)
print("loop, matrices and PyTorch's function give the same numbers: ok")

# %% [markdown]
# A trick that we need soon: as values, hand in the identity matrix. What comes out is then the
# shares themselves, a `T` × `T` map: who reads (down) what (across).

# %%
shares = head_at_once(*one[:2], torch.eye(len(tokens)))
assert torch.allclose(shares.sum(-1), torch.ones(len(tokens))) and shares.triu(1).abs().max() == 0
print("shares of each token sum to 1, and none looks ahead: ok")

# %% [markdown]
# ### Many queries, few keys
#
# You saw it in the shapes: there are four query heads and only two key-value heads. Neighbouring
# query heads share one: heads 0 and 1 read key-value head 0, heads 2 and 3 read head 1. Officially
# 28 query heads share four, in groups of seven. This is **grouped-query attention**.
#
# Why? A model that *writes* has to keep the keys and values of all tokens it has written, for every
# layer, and that memory is what limits it. Groups of seven make it a seventh. Our reader writes
# nothing and keeps nothing, so all that it gains are smaller matrices; it is built this way because
# its weights were.

# %%
c = official.config
kept = 2 * c.num_key_value_heads * c.head_dim * c.num_hidden_layers  # numbers for one token
alone = 2 * c.num_attention_heads * c.head_dim * c.num_hidden_layers
saved = (alone - kept) * c.hidden_size
assert (kept, alone) == (28_672, 200_704)
print(f"keys and values of one token: {kept:,} numbers instead of {alone:,}")
print(f"weights saved: {saved / 1e6:.0f} million")

# %% [markdown]
# ## Exercise: grouped-query attention by hand
#
# ★★★☆☆ · 15 minutes
#
# Write `grouped_attention(q, k, v)`: `q` is `(B, H, T, K)`, `k` is `(B, G, T, K)` and `v` is
# `(B, G, T, W)`, with `G` key-value heads; `H` is a multiple of `G`. Give back `(B, H, T, W)`, with
# causal mask. Here `W` is `K`, but leave it free, for the trick with the identity. You will know it
# works when the checker says so, and a few cells below *your* function runs the whole tower.


# %% tags=["exercise"]
def grouped_attention(q, k, v):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

grouped_attention = answers.unless_solved(grouped_attention, answers.EX_03_GQA)
check.ex_03_gqa(grouped_attention)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The function for one head above is nearly all of it: matrix products work on the last two axes and
# leave `B` and `H` alone. Only `k` and `v` have too few heads.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Give `k` and `v` as many heads as `q` by repeating each, so that a head's copies stand side by
# side: 0, 0, 1, 1. PyTorch has one function that tiles (0, 1, 0, 1) and one that does this.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# group = H / G
# k, v = every head of k, of v, `group` times in a row
# scores = q times k transposed (last two axes), over the root of K
# scores where the key stands later than the query = minus infinity
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
# What is left of attention: put the heads side by side again, and mix them with one more matrix,
# `o_proj`. Yours, beside the package's:


# %%
def attention_by_hand(attn, y, cos, sin):
    q, k, v = heads(attn.q_proj, y), heads(attn.k_proj, y), heads(attn.v_proj, y)
    q, k = rotate_half(q, cos, sin), rotate_half(k, cos, sin)
    identity = torch.eye(y.shape[1]).expand(1, k.shape[1], -1, -1)
    shares = grouped_attention(q, k, identity)  # (1, H, T, T), only to be looked at
    out = grouped_attention(q, k, v)
    return attn.o_proj(out.transpose(1, 2).flatten(2)), shares[0]


by_hand, _ = attention_by_hand(attn, y, cos, sin)
assert torch.allclose(by_hand, attn(y, cos, sin), atol=1e-5)
print("attention by hand and by the package: ok")

# %% [markdown]
# ### The gate
#
# The second half of a layer widens each state, and narrows it again. Two matrices widen: what comes
# out of `up_proj` passes a gate that `gate_proj` opens or closes, number by number. The gate is
# $\text{silu}(g) = g\,/\,(1 + e^{-g})$: near 0 where `g` is negative, near `g` where it is
# positive. The whole is known as SwiGLU.


# %%
def mlp_in_a_loop(mlp, state):
    gate, up = mlp.gate_proj.weight @ state, mlp.up_proj.weight @ state
    passed = [u * g / (1 + math.exp(-g)) for g, u in zip(gate.tolist(), up.tolist())]
    return mlp.down_proj.weight @ torch.tensor(passed)


def mlp_by_hand(mlp, y):
    gate = mlp.gate_proj(y)
    return mlp.down_proj(gate / (1 + torch.exp(-gate)) * mlp.up_proj(y))


# %%
import math

looped = torch.stack([mlp_in_a_loop(layer.mlp, state) for state in y[0]])[None]
assert torch.allclose(looped, layer.mlp(y), atol=1e-4)
assert torch.allclose(mlp_by_hand(layer.mlp, y), layer.mlp(y), atol=1e-4)
print("loop, line and class give the same numbers: ok")

# %%
show.source(MLP.forward)

# %% [markdown]
# ## The whole tower
#
# Embed, run the layers, norm once more. On the way, `maps` keeps every head's shares.


# %%
def tower_by_hand(ids):
    x, maps = tower.model.embed_tokens(ids), []
    for layer in tower.model.layers:
        found, shares = attention_by_hand(layer.self_attn, layer.input_layernorm(x), *angles(ids))
        x = x + found
        x = x + mlp_by_hand(layer.mlp, layer.post_attention_layernorm(x))
        maps.append(shares)
    return tower.model.norm(x), torch.stack(maps)


# %%
by_hand, maps = tower_by_hand(ids)
assert (by_hand - states).abs().max() < 1e-5 * states.abs().max()
assert maps.shape == (4, 4, len(tokens), len(tokens))  # layers, heads, who reads, what
print("by hand and by the package, relative difference under 1e-5: ok")

# %% [markdown]
# And the outside world: the class of the library transformers, which the official pipeline uses,
# holding the same weights.

# %%
from qwenimage_ref.config import VisionConfig
from qwenimage_ref.parity import reference
from qwenimage_ref.parity.tolerances import within

vision = VisionConfig.from_json(show.pocket_folder() / "text_encoder" / "config.json")
theirs = reference.reference_text_encoder(tower.config, vision)
reference.copy_weights(tower, theirs, unused=("visual.", "lm_head."))
expected = reference.run(theirs, {"ids": ids})
for ours in (states, by_hand):
    assert (ours - expected).abs().max() <= within("text_encoder") * expected.abs().max()
print(f"relative difference from transformers under {within('text_encoder'):.0e}: ok")

# %% [markdown]
# ## What it looks at
#
# The last token of all, a mere line end, is the only one that can see everything. Where does it
# look? One row for each head, darker for more; the line is where the letter ends and your prompt
# begins.

# %%
from qwenimage_ref.course.figures import text_attention

text_attention.last_token(
    tokens,
    maps,
    start,
    alt="Sixteen rows, one a head, over 51 tokens. From layer 1 on, most heads put nearly all on "
    "one token: three on 'white', some on other words of the prompt, three on words of the letter",
)

# %%
white = tokens.index(" white")
looking = (maps[:, :, -1, white] > 0.9).nonzero().tolist()
assert [1, 1] in looking and len(looking) >= 2
print("heads that give more than 90 % to 'white' [layer, head]:", looking)

# %% [markdown]
# Several heads have the same thing to find out: what colour is the background? Ask for other
# backgrounds and watch one of them, head 1 of layer 1:


# %%
def looked_at(colour, layer=1, head=1):
    ids = torch.tensor([pipe.tokenizer.encode_prompt(prompt.replace("white", colour))])
    share, place = tower_by_hand(ids)[1][layer, head, -1].max(0)
    return pipe.tokenizer.decode([ids[0, place]]), share.item()


found = {colour: looked_at(colour) for colour in ("white", "gray", "sky", "mint", "beige", "navy")}
for colour, (word, share) in found.items():
    print(
        f"{colour:6} -> {text_attention.spelled(word):8} {'over' if share > 0.9 else 'under'} 90 %"
    )

# %%
found_it = [colour for colour, (word, share) in found.items() if word.strip() == colour]
assert len(found_it) == 5 and "navy" not in found_it
print("five of six: ok")

# %% [markdown]
# Five times it finds the colour. *navy* it does not; other parts of the tower have to do that, and
# they do, or there would be no navy posters. So take such stories with care: that a head looks at a
# word does not yet show what it does with it, and a story that fits five cases may fail on the
# sixth.
#
# Some heads look back into the letter. A head must put its 100 % somewhere, and where it finds
# nothing to say, a token that means nothing is a good place to put it. In large language models
# these *attention sinks* are well known (Xiao et al. 2023, on streaming language models).
#
# Choose a layer and a token, and see what it reads:

# %%
book = text_attention.TextAttentionSliders(tokens, maps)
book

# %%
at_home = book.strips.value
book.token.value = tokens.index(" star")
assert book.strips.value != at_home and "background" not in book.strips.value.split("star")[-1]
book.token.value = len(tokens) - 1
assert book.strips.value == at_home
print("another token reads other words, and none after itself; back again: ok")

# %% [markdown]
# All of these states in print: a square for each head; down, who reads; across, what is read. The
# empty half above the diagonal is the future. A dark upright bar is a word that several tokens in a
# row look at; the longest belong to *white*, at which all five closing tokens look.

# %%
text_attention.every_head(
    maps,
    start,
    alt="Sixteen squares, blank above the diagonal: scattered dots below it, and near the lower "
    "right corner short upright bars, where the closing tokens all look at one word",
)

# %%
assert maps.triu(1).abs().max() == 0
assert min(maps[1, 1, -5:, white].min(), maps[3, 0, -5:, white].min()) > 0.9
print("the future gets nothing; all five closing tokens look at 'white' in two heads: ok")

# %% [markdown]
# ## Which vectors to take
#
# The model could go on to its guess: a last matrix, `lm_head`, makes 152,064 scores (**logits**) of
# each state, one for each row of the vocabulary. We take the states instead. Logits are a linear
# function of them, so they hold nothing that the states do not hold, and are 42 times as long. And
# they predict only what comes *next*, while the transformer needs what was said.
#
# So more than half of the tensors in the official files are never opened for text to image:
# `visual`, the eyes of the model, which the edit models use, and `lm_head`. The list of contents
# says so; it is a real official file, read here.

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
# The states are taken *after* the last norm. In the stream itself, lengths differ wildly, since
# everybody adds what they like; the norm makes them comparable.

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
# The letter's 34 states are thrown away. Why are they worthless? Because of the causal mask: they
# stand before the prompt, so they cannot know it. They are the same for every prompt there is.

# %%
other = torch.tensor([pipe.tokenizer.encode_prompt("一个黄色的大圆形")])
same = (tower(other)[:, :start] - states[:, :start]).abs().max()
assert same < 1e-5 * states.abs().max()
print("another prompt in another language, the same 34 states: ok")

# %% [markdown]
# Then why write the letter at all? Because the prompt's tokens *read* it. It sets what the text
# after it is for: colour, shape, size, text, relations. After the reading, its work is done.
#
# ## Exercise: when to cut
#
# ★☆☆☆☆ · 5 minutes
#
# Write `states_for_painter(text_encoder, ids, start)`, which gives the states for the transformer;
# `start` is the number of tokens in the letter, 34 here. You will know it works when the checker
# says so.


# %% tags=["exercise"]
def states_for_painter(text_encoder, ids, start):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
states_for_painter = answers.unless_solved(states_for_painter, answers.EX_03_DROP)
check.ex_03_drop(states_for_painter)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `text_encoder(ids)` gives `(B, T, D)`. What has to happen first, reading or cutting?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Everything to the right of the letter stays, the five closing tokens too: they stand after your
# prompt and have read it.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# read all ids
# give back every sample's states from place `start` on
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def states_for_painter(text_encoder, ids, start):
#     return text_encoder(ids)[:, start:]
# ```
#
# </details>

# %% [markdown]
# How much does the letter say? Cut it off before the reading, and compare. Places are not to blame:
# you saw that only distances count.

# %%
kept = states_for_painter(tower, ids, start)
never_read = tower(ids[:, start:])
change = (never_read - kept).norm(dim=-1)[0] / kept.norm(dim=-1)[0]
assert change.max() > 0.5
share = (never_read - kept).norm() / kept.norm()
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
axes[1].set_title("change of the kept states without the letter", fontsize=10)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
show.figure(
    fig,
    alt="Left, lengths of 51 states, under a hundred to over a thousand, the letter's 34 in gray; "
    "right, how much each kept state changes without the letter: most by under a third, two wholly",
)

# %%
most = sorted(tokens[start + place].strip() for place in change.topk(2).indices)
assert most == ["a", "of"] and change.median() < 0.3
print("half of the states change by less than 30 %, two by about their whole length:", most)

# %% [markdown]
# And the picture? Five times the same noise: cut as it should be; cut before the reading; cut one
# token too early; not cut at all; and not cut, but with a mask that hides the letter.

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
    "before": paint(never_read),
    "one too early": paint(states[:, start - 1 :]),
    "never": paint(states),
    "never, hidden": paint(states, hidden),
}
show.grid(
    [*pictures.values()],
    [*pictures],
    alt="Cut after and before reading: a red circle and a blue star. One token too early: both "
    "shifted, the star cut off by the edge. Never cut, hidden or not: one broken red circle",
    columns=5,
    scale=1,
)

# %%
apart = {name: show.difference(pictures["after"], other) for name, other in pictures.items()}
assert apart["before"] < 5 < min(apart[name] for name in list(apart)[2:])
print("before the reading: hardly to be seen; the others: ruined: ok")

# %% [markdown]
# Read the second picture with care. The states were wrong by four tenths of their length, and you
# see *nothing*. Our model has few words and tolerates much. A bug of this kind hides behind a good
# picture; only the number shows it. The others are ruined for a reason that has little to do with
# meaning: in the transformer, too, tokens have places, and each extra state pushes all the others
# to the next place. The mask proves it: with the letter hidden the picture stays broken.
#
# ## Padding
#
# Two prompts in one batch have to be equally long, so the shorter one is filled up with a token
# that means nothing. On the right, padding cannot harm: nobody looks ahead, so no real token can
# see it, mask or no mask. On the left, everybody would see it.

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
# The padded places themselves hold rubbish afterwards. They are set to zero, and the transformer
# gets the mask, so that it does not look there ([chapter 06](06_one_mmdit_block.ipynb)).
#
# ## Two languages
#
# Does the reader understand, or does it copy? Here are eight scenes, each described in English and
# in Chinese. The two share no token. We take the mean over a prompt's states and compare by the
# cosine: 1 means the same direction, 0 nothing in common.

# %%
from qwenimage_ref.posters import draw as world

scenes = [world.sample_scene(10_000 + i, word_share=0) for i in range(8)]


def meaning(scene, language):
    text_states, _ = pipe.encode_prompt([world.caption(scene, language)])
    return text_states[0, :-5].mean(0)  # without the closing, which all prompts share


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
# Each English caption is nearest to its own translation. That *red* and 红 mean the same was in no
# label; both had to lead to the same posters.
#
# With the official weights on the machine, what was said of the letter is checked on them, a layer
# at a time from disk:

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
    shard, "the letter's 34 states are those of any prompt, the next one is not", verify
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
# **2.** What share of the official tower's numbers sits in its MLPs?
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
# 1.5 times, not four: the letter and the closing stay. 12 tokens are 51 with them, 24 are 63, and
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
# * It takes the last of all hidden states that the library returns, which is the one after the
#   norm, though the name does not say so.
# * It runs in bfloat16, with fused attention that never stores a map. Maps like ours are for eyes.
# * It reads the prompt once, keeps the states, and sends the tower away before painting starts:
#   14 GB less.
# * The letter's keys and values never change, so a busy server computes them once.
# * It cuts the prompt at 512 tokens by default, 1,024 at most; here, too.
# * Edit models also let it *see*: the vision tower's vectors take the places of some tokens.
#
# ## Try this
#
# * Move the widget to *left* and to *of*. Which head finds out what is left of what?
# * Take the five closing states away, too: `paint(kept[:, :-5])`. Then paint a word.
# * Paint with `tower.model.embed_tokens(ids)[:, start:]`, the words that nobody has read.
# * Change the letter's text and read with it. Which states change most?
# * Compare *a red circle left of a blue star* with *a blue star right of a red circle*. Same
#   meaning: how near are the states?
#
# Capstone: `text_encoder.py` can be written now: `make grade PART="text encoder"`,
# 16 points.
#
# Next: [04 · Pictures to latents and back](04_pictures_to_latents_and_back.ipynb), the space that
# the transformer works in.
