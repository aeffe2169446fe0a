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
# # 01 · Map of the machine
#
# [The first notebook](00_a_picture_in_sixty_seconds.ipynb) painted with the pocket model. This one
# walks around the real machine: what goes in and out of each part, where its 20 billion numbers
# sit, and what one picture costs in operations, bytes and seconds. No weights are needed for that.
#
# | | |
# |---|---|
# | **You need** | chapter 00; what a linear layer and attention are |
# | **You get** | every shape, every parameter in its place, and what a picture costs, estimated |
# | **Minutes** | 35 to read, half a minute to run |
# | **Picture** | the data flow at 1328 × 1328; where the numbers sit; the ledger |
# | **Number** | 20,430,401,088 parameters in 1,933 tensors; the index file, byte for byte |

# %% [markdown]
# ## A machine without weight
#
# PyTorch has a device on which tensors have a shape and no content, called *meta*. A network built
# there takes no memory, yet every shape comes out right, because each layer works out what it
# *would* return. So a laptop can hold the official model. The numbers that make it official stand
# in three small files, one `config.json` a part; here they are the defaults.

# %%
import torch

from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE

with torch.device("meta"):
    official = {
        "text_encoder": TextEncoder(TextEncoderConfig()),
        "transformer": MMDiT(MMDiTConfig()),
        "vae": VAE(VAEConfig()),
    }
config = official["transformer"].config
D = config.inner_dim  # the width of the transformer
H, K = config.num_attention_heads, config.attention_head_dim
print(f"{config.num_layers} blocks, width D = {D} = {H} heads of K = {K}")

# %% [markdown]
# Are these defaults the official file's numbers? A cell about official files runs on them where
# they are on the machine, and elsewhere shows the stored result; the output is the same either way.

# %%
from qwenimage_ref.course import stored_results

released = stored_results.run(
    "01_transformer_config",
    "transformer/config.json",
    lambda path: MMDiTConfig.from_json(path).to_dict(),
)
assert released == config.to_dict()
print("the defaults are those of transformer/config.json of Qwen-Image-2512: ok")

# %% [markdown]
# ## The way through it
#
# Follow a prompt of `T` = 20 kept tokens to a picture. First the pieces that have no weights:
#
# * The **transformer** does the painting. Its kind is called *MMDiT*, multimodal diffusion
#   transformer: *multimodal*, because text and image go through it together.
# * The **VAE** works on pictures eight times smaller on each side, with 16 channels: the *latents*
#   ([chapter 04](04_pictures_to_latents_and_back.ipynb)). `h` = height / 8, `w` = width / 8.
# * The transformer cuts latents into patches of 2 × 2 × 16 = 64 numbers: the *image tokens*. There
#   are `I` = (h/2) · (w/2) of them, so one stands for 16 × 16 pixels.
# * The text encoder reads 34 more tokens than it hands on (chapters [02](02_tokens.ipynb) and
#   [03](03_a_language_model_as_a_reader.ipynb) say why).

# %%
TEXT, DROPPED = 20, 34


@torch.no_grad()
def walk(parts, height, width):
    """What comes out of each part, for one picture: its shape."""
    h, w = height // 8, width // 8
    ids = torch.zeros(1, DROPPED + TEXT, dtype=torch.long, device="meta")
    text_states = parts["text_encoder"](ids)[:, DROPPED:]
    latents = torch.empty(1, 16, h, w, device="meta")
    img = torch.empty(1, h * w // 4, 64, device="meta")
    sigma = torch.empty(1, device="meta")
    velocity = parts["transformer"](img, text_states, sigma, [(1, h // 2, w // 2)])
    pixels = parts["vae"].decode(latents)
    seen = {"ids": ids, "text states": text_states, "latents": latents}
    seen |= {"velocity": velocity, "pixels": pixels}
    return {name: tuple(tensor.shape) for name, tensor in seen.items()}


# %% [markdown]
# The pocket model goes the same way: the same classes, built from its own `config.json` files.

# %%
from qwenimage_ref.checkpoint.model_folder import empty_networks
from qwenimage_ref.course import show

pocket = empty_networks(show.pocket_folder())
big, small = walk(official, 1328, 1328), walk(pocket, 128, 128)
show.table(
    ["what", "official, 1328 × 1328", "pocket, 128 × 128"],
    [[name, big[name], small[name]] for name in big],
)

# %% [markdown]
# The same as a drawing, with the sizes of the letters below. The latents are *packed*: each patch
# of 2 × 2 becomes a token of 64 numbers, and the transformer sees tokens alone. `velocity` is its
# answer: the direction from a picture to the noise, and painting goes the other way.
#
# ![Block diagram: prompt, tokenizer and text encoder on the left, noise and pack on the right
# lead into the loop of transformer and Euler step; then unpack, VAE and
# pixels](figures/text_to_image.svg)

# %%
I, T = big["velocity"][1], big["text states"][1]
assert (I, T) == (83 * 83, 20) and big["pixels"] == (1, 3, 1328, 1328)
assert big["text states"][2] == config.joint_attention_dim == 3584
print(f"1328 × 1328 pixels are I = {I:,} image tokens; the text has T = {T}: ok")

# %% [markdown]
# Three sizes to remember: the picture is **6,889** tokens, the transformer is **3,072** wide and
# **60** blocks deep. The rest of this page follows from them.
#
# ## Where do 28 billion numbers sit?
#
# A network's parameters are its weights and biases. Count them, and the tensors that hold them:

# %%
transformer = official["transformer"]
count = sum(p.numel() for p in transformer.parameters())
tensors = len(list(transformer.parameters()))
assert (count, tensors) == (20_430_401_088, 1_933)
print(f"{count:,} parameters in {tensors:,} tensors")

# %% [markdown]
# The released folder holds more than text to image needs. The text encoder is a whole
# vision-language model, Qwen2.5-VL 7B: its *vision tower* reads pictures for the edit models, its
# `lm_head` would choose the next word. The official VAE was made for video, so most of its
# numbers are about time (chapter 04). `stored_form` lists what the files hold.

# %%
import math

from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import VisionConfig
from qwenimage_ref.vision import Vision

with torch.device("meta"):
    reader = StoredTextEncoder(official["text_encoder"], Vision(VisionConfig()))


def stored(module):
    return sum(math.prod(shape) for shape in stored_form(module).values())


whole = {"text_encoder": stored(reader), "transformer": count, "vae": stored(official["vae"])}
assert sum(whole.values()) == 28_849_460_275
for name, numbers in whole.items():
    print(f"{name:13} {numbers:>14,} numbers, {2 * numbers / 1e9:6.2f} GB")

# %% [markdown]
# Two bytes a number: the files are in *bf16*, a 16-bit float. Now zoom in: the folder, the
# transformer, one of its sixty blocks. A block has two *streams*, one for text and one for image,
# with a full set of weights each. They meet in attention only.

# %%
from qwenimage_ref.course.figures.nested_bars import Bar, Slice, bars, short

block = transformer.transformer_blocks[0]
of = {name: sum(p.numel() for p in child.parameters()) for name, child in block.named_children()}
tower = sum(p.numel() for p in official["text_encoder"].parameters())
one = sum(of.values())
folder = (
    Slice("language tower", tower, "text"),
    Slice("not for text to image", whole["text_encoder"] - tower, "noise"),
    Slice("transformer", count),
    Slice("VAE", whole["vae"], "image"),
)
blocks = [Slice(f"block {i}", one, named=False) for i in range(60)]
blocks.append(Slice("what is before and after the blocks:", count - 60 * one, "noise"))
colours = {"img_mod": "image", "attn": "joint", "img_mlp": "image", "txt_mod": "text"}
inside = [Slice(name, numbers, colours.get(name, "text")) for name, numbers in of.items()]

# %%
bars(
    [
        Bar(f"the folder: {short(sum(whole.values()))} numbers", folder, "transformer"),
        Bar(f"the transformer: 60 blocks of {short(one)}", tuple(blocks), "block 30"),
        Bar("one block", tuple(inside)),
    ],
    alt="Three bars. The folder: a quarter is the language tower, seven tenths the transformer. "
    "The transformer: sixty equal blocks and a sliver. One block: attn and four other parts.",
)

# %%
assert 60 * one / count > 0.998 and 0.70 < count / sum(whole.values()) < 0.71
assert of["img_mod"] == of["txt_mod"] and of["img_mlp"] == of["txt_mlp"]
print(f"the blocks hold {60 * one / count:.1%} of the transformer")
print(f"modulation holds {2 * of['img_mod'] / one:.0%} of a block")

# %% [markdown]
# A third of each block is *modulation*: layers that never see a word or a pixel, only the noise
# level. They turn one vector into shifts, scales and gates ([chapter
# 06](06_one_mmdit_block.ipynb)). Half of the rest works on the text stream, a few dozen tokens
# beside 6,889. Numbers do not sit where the work is.

# %% [markdown]
# ## One block by hand
#
# Here is what a block is made of, for width $D$ and heads of width $K$. A *linear layer* from $a$
# to $b$ numbers holds a matrix and a bias: $a\,b + b$.
#
# | part | what it is | for text and image apart? |
# |---|---|---|
# | modulation | one linear layer, $D$ to $6D$ | yes |
# | attention | four linear layers, $D$ to $D$: query, key, value, out | yes |
# | QK-norm | $K$ numbers for queries, $K$ for keys; all heads share them | yes |
# | MLP | two linear layers, $D$ to $4D$ and back | yes |
#
# The norms before attention and MLP have no parameters of their own. The package does not know
# this table. It has classes, so the table can be put to the test in the exercise.

# %% [markdown]
# ## Exercise: one block by hand
#
# ★★☆☆☆ · 10 minutes
#
# Write `block_parameters(D, K)`: how many parameters a block holds. You will know it works when
# the checker agrees for blocks of several sizes, and yours gives the official 339,831,296.


# %% tags=["exercise"]
def block_parameters(D, K):
    """Parameters of one block of width D with heads of width K."""
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

block_parameters = answers.unless_solved(block_parameters, answers.EX_01_BLOCK)
check.ex_01_block(block_parameters)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Write a small `linear(a, b)` first. Then count one stream, row by row of the table.
#
# </details>
#
# <details><summary>A hint</summary>
#
# One stream is modulation + attention + QK-norm + MLP. Its QK-norm is tiny, two vectors as long as
# a head is wide. A block is two streams, and nothing else.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
#     linear(a, b): a times b, plus b
#     stream: linear(D, 6D)
#             plus four times linear(D, D)
#             plus two times K
#             plus linear(D, 4D) plus linear(4D, D)
#     block: two streams
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def block_parameters(D, K):
#     def linear(a, b):
#         return a * b + b
#
#     stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * K
#     stream += linear(D, 4 * D) + linear(4 * D, D)
#     return 2 * stream
# ```
#
# </details>

# %%
by_hand = block_parameters(D, K)
assert by_hand == one == 339_831_296
before_and_after = count - 60 * by_hand
print(f"a block: {by_hand:,}; sixty and {before_and_after:,} more are {count:,}: ok")

# %% [markdown]
# ## A fingerprint of the structure
#
# Counts can agree by accident. Here is a proof that cannot. The official folder comes with an
# *index*, a JSON file that says for each of the 1,933 names in which of nine files its tensor
# lies. Files are cut at 5 GB in the order in which the layers were registered. So the index
# follows from names, order and sizes, and the package can write it without any weights:

# %%
import hashlib

from qwenimage_ref.checkpoint import index_json

index = index_json(transformer, 5_000_000_000, dtype=torch.bfloat16)
print(index[:178].decode(), "...")

# %%
official_index = stored_results.run(
    "01_transformer_index",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    lambda path: hashlib.sha256(path.read_bytes()).hexdigest(),
)
assert hashlib.sha256(index).hexdigest() == official_index
print(f"{len(index):,} bytes, sha256 {official_index[:16]}...: the official file, byte for byte")

# %% [markdown]
# One wrong name, or one tensor that lands on the other side of a cut: another hash. What the hash
# cannot see is arithmetic. That is what the other chapters are for.

# %% [markdown]
# ## Count operations
#
# How much *work* is a pass? Count multiplications and additions, together called **FLOPs**. Nearly
# all of them are matrix products. The most naive way is to count while multiplying:


# %%
def count_by_hand(a, b):
    """Multiply two matrices number by number, and count."""
    rows, inner, cols = len(a), len(b), len(b[0])
    product, flops = [[0.0] * cols for _ in range(rows)], 0
    for r in range(rows):
        for c in range(cols):
            for i in range(inner):
                product[r][c] += a[r][i] * b[i][c]
                flops += 2  # one multiplication, one addition
    return product, flops


a, b = torch.rand(3, 5), torch.rand(5, 4)
product, flops = count_by_hand(a.tolist(), b.tolist())
assert torch.allclose(torch.tensor(product), a @ b) and flops == 2 * 3 * 5 * 4
print(f"3 × 5 times 5 × 4: {flops} operations")

# %% [markdown]
# So a linear layer does two operations for each of its weights, **for each token**. With
# $S = T + I$ tokens in a block, the table from above becomes
#
# * query, key, value, out and MLP: $4D^2 + 8D^2 = 12D^2$ weights a stream, each token passes
#   through one stream: $24\,S\,D^2$;
# * attention: every token looks at every token. $S^2$ scores of $D$ products (all heads together),
#   and as much again for the weighted sums: $4\,S^2 D$;
# * modulation: $12 D^2$ weights, but only *one* vector, not $S$: $24\,D^2$.


# %%
def block_flops_by_hand(D, I, T):
    S = T + I
    return 24 * S * D**2 + 4 * S**2 * D + 24 * D**2


I = 6889
T = 64  # a prompt of medium length, from here on
print(f"{block_flops_by_hand(D, I, T) / 1e12:.3f} × 10¹² operations for one block")

# %% [markdown]
# PyTorch can count, too: `FlopCounterMode` watches every operation that runs, on the meta device as
# well. A formula that agrees to the last digit with somebody else's counter is worth keeping. The
# package keeps it in `costs.block_flops`.

# %%
from torch.utils.flop_counter import FlopCounterMode

from qwenimage_ref.course.figures import costs

img, txt = torch.empty(1, I, D, device="meta"), torch.empty(1, T, D, device="meta")
temb = torch.empty(1, 1, D, device="meta")
rotations = transformer.rotations([(1, 83, 83)], T, "meta")
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    block(img, txt, temb, *rotations)
counted = counter.get_total_flops()
assert counted == block_flops_by_hand(D, I, T) == sum(costs.block_flops(D, I, T).values())
print(f"torch counts {counted:,}, and so do we: ok")

# %% [markdown]
# The whole transformer is sixty of these and the little that stands before and after:
# `costs.pass_flops`. The pocket model is small enough to count whole:

# %%
small_config = pocket["transformer"].config
states = torch.empty(1, TEXT, small_config.joint_attention_dim, device="meta")
tokens, sigma = torch.empty(1, 64, 64, device="meta"), torch.empty(1, device="meta")
counted = costs.counted(lambda: pocket["transformer"](tokens, states, sigma, [(1, 8, 8)]))
assert counted == costs.pass_flops(small_config, 64, TEXT)
print(f"pocket: {counted / 1e9:.3g} × 10⁹ operations a pass, counted and by formula: ok")
show.source(costs.pass_flops)

# %% [markdown]
# The same for the text encoder and for the VAE's decoder, counted at full size:

# %%
ids = torch.zeros(1, DROPPED + T, dtype=torch.long, device="meta")
latents = torch.empty(1, 16, 166, 166, device="meta")
read = costs.counted(lambda: official["text_encoder"](ids))
decode = costs.counted(lambda: official["vae"].decode(latents))
assert read == costs.text_encoder_flops(TextEncoderConfig(), DROPPED + T)
assert abs(decode / costs.decode_flops(VAEConfig(), 1328, 1328) - 1) < 1e-4
print(f"reading a prompt {read / 1e12:.2f}, decoding {decode / 1e12:.2f} × 10¹² operations: ok")

# %% [markdown]
# ## The ledger
#
# The official README asks for one of seven sizes, all of about the same area, with 50 steps and
# guidance, which runs the transformer twice a step. What do they cost?

# %%
from qwenimage_ref.course.figures import cost_slider

cost_slider.chart(
    alt="Left: bars for seven picture sizes, one pass costs 110 to 130 million million operations, "
    "about a quarter of them attention. Right, on a logarithmic scale: the text encoder 1.8, the "
    "VAE decoder 7.7, one pass 130, fifty guided steps 12,946 million million operations."
)

# %%
square = costs.picture((1328, 1328))
one_pass = costs.pass_flops(config, I, T)
share = 60 * costs.block_flops(D, I, T)["attention"] / one_pass
assert 0.27 < share < 0.28 and round(one_pass / 1e12) == 130
assert square["MMDiT"].flops > 1000 * (square["text encoder"] + square["VAE decoder"]).flops
print(f"attention is {share:.0%} of a pass; the MMDiT does over 99.9 % of the work: ok")

# %% [markdown]
# All seven in numbers, in 10¹² operations, with a prompt of 64 tokens and an empty negative one:

# %%
rows = []
for size in costs.SIZES:
    tokens = costs.image_tokens(*size)
    work = [part.flops / 1e12 for part in costs.picture(size).values()]
    work.insert(1, costs.pass_flops(config, tokens, T) / 1e12)
    rows.append([f"{size[0]} × {size[1]}", f"{tokens:,}", *(f"{tera:,.1f}" for tera in work)])
show.table(
    ["size", "image tokens", "text encoder", "one pass", "50 guided steps", "VAE decoder"], rows
)

# %% [markdown]
# Two lessons. The transformer is *everything*; nobody saves time by a faster text encoder. And
# attention, famous for its square, is only a quarter at this size: $4S^2D$ overtakes $24SD^2$ at
# $S = 6D$, which is 18,432 tokens or about 2,170 × 2,170 pixels.
#
# ## From operations to seconds
#
# Two things take time: multiplying, and fetching the weights from wherever they lie. They go on
# side by side, so a part takes whichever is longer. (Engineers call the picture of this rule a
# *roofline*.) Two machines: one that was measured, and one from a data sheet.

# %%
show.source(costs.Machine)

# %%
slow, fast = costs.measured(), costs.DATA_SHEET
rows = [
    [m.name, f"{m.flops / 1e12:.3g}", f"{m.bandwidth / 1e9:,.4g}", f"{m.flops / m.bandwidth:,.0f}"]
    for m in (slow, fast)
]
show.table(["machine", "10¹² operations / s", "GB / s", "operations a byte"], rows)

# %% [markdown]
# The first row is a stored measurement of this package: full-width blocks in bf16, two processor
# cores, weights read from disk because 57.7 GB fit nowhere else. The second is what NVIDIA's data
# sheet promises for bf16 and for memory. No program reaches it: its times are *lower bounds*.
#
# May you trust such a rule? It was fitted to twelve blocks. Ask it about another run that was
# measured: a whole picture of 256 × 256 in four steps without guidance, all weights from disk.

# %%
run = costs.record("streaming")["whole"]
work = costs.picture((256, 256), steps=4, guided=False, text=20)
guess = sum(slow.seconds(part) for part in work.values())
assert 0.67 < run["seconds"] / guess < 1
print(f"napkin: {guess:.0f} seconds; measured: {run['seconds']:.0f}")
print(f"napkin: {sum(p.bytes for p in work.values()) / 1e9:.0f} GB fetched; ", end="")
print(f"measured: {run['read_gb']:.0f}, the rest was still in memory")

# %% [markdown]
# A quarter off, and in a way that one can explain. For an estimate on a napkin that is good. A
# second question, about another part: the VAE was measured at 256 × 256. What does that say of 512
# × 512?


# %%
def vae_flops(side):
    return costs.decode_flops(VAEConfig(), side, side)


measured = {side: costs.bench(f"VAE, decode {side}x{side}, float32") for side in (256, 512)}
guess = measured[256] * vae_flops(512) / vae_flops(256)
assert 0.67 < guess / measured[512] < 1.5
print(f"napkin: {guess:.1f} seconds; measured on one core: {measured[512]:.1f}")

# %% [markdown]
# ## Your own estimate
#
# Choose a size, steps, guidance and a machine. At which steps and sizes does the wait change from
# multiplying to fetching?

# %%
knobs = cost_slider.CostPanel()
knobs

# %%
at_home = knobs.line.value
knobs.size.value, knobs.steps.value, knobs.guided.value = (256, 256), 4, False
assert knobs.line.value.endswith("fetching") and at_home.endswith("multiplying")
knobs.size.value, knobs.steps.value, knobs.guided.value = (1328, 1328), 50, True
assert knobs.line.value == at_home
print("a small picture waits for weights, a large one for products: ok")

# %% [markdown]
# The same states in print.

# %%
rows = []
for size in ((256, 256), *costs.SIZES):
    row = [f"{size[0]} × {size[1]}", f"{costs.image_tokens(*size):,}"]
    for machine in (slow, fast):
        for steps, guided in ((4, False), (50, True)):
            work = costs.picture(size, steps, guided)
            row.append(costs.duration(sum(machine.seconds(part) for part in work.values())))
    rows.append(row)
assert rows[1][3] == "6.9 hours" and rows[1][5] == "13 s"
header = ["size", "image tokens", "cores: 4 steps", "50 guided", "GPU: 4 steps", "50 guided"]
show.table(header, rows)

# %% [markdown]
# Why does anybody wait for weights at all? A weight of 2 bytes is fetched once, and then used for
# every token of its stream: two operations each, so as many operations a byte as there are tokens.
# The three thirds of a block differ in this: a third of its weights serves the 6,889 image tokens,
# a third the 64 text tokens, and a third, the modulation, a single vector. The mean is far below
# 6,889. Compare it with the last column of the table of machines: with an image this large a GPU is
# busy multiplying. In the text encoder, with 98 tokens of the prompt and 40 of the negative one, it
# is idle while weights are loaded.

# %%
rows = []
for name, part in square.items():
    per_byte = part.flops / part.bytes
    waits = "fetching" if per_byte < fast.flops / fast.bandwidth else "multiplying"
    times = [costs.duration(machine.seconds(part)) for machine in (slow, fast)]
    rows.append([name, f"{part.bytes / 1e9:,.2f}", f"{per_byte:,.0f}", *times, waits])
assert [row[-1] for row in rows] == ["fetching", "multiplying", "multiplying"]
show.table(["part", "GB fetched", "operations a byte", "cores", "GPU", "the GPU waits for"], rows)

# %%
serves = {"image": I, "text": T, "modulation": 1}  # tokens, or vectors, that a weight is used for
weights_of = dict.fromkeys(serves, 0)
for name, weight in block.named_parameters():
    text = name.startswith(("txt_", "attn.add_", "attn.to_add_", "attn.norm_added"))
    weights_of["modulation" if "_mod." in name else "text" if text else "image"] += weight.numel()
total = sum(weights_of.values())
assert all(abs(part / total - 1 / 3) < 0.01 for part in weights_of.values())
products = sum(serves[name] * part for name, part in weights_of.items()) / total
scores = 4 * (I + T) ** 2 * D / (2 * total)  # two products of attention, over the block's bytes
passes = [*square.values()][1]
assert abs((products + scores) / (passes.flops / passes.bytes) - 1) < 0.02
print(f"products with weights: {products:,.0f} operations a byte, attention: {scores:,.0f}")
print("together the table's number, within 2 %: ok")

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** Of the 28.85 billion stored numbers, how many does text to image never read?
#
# <details><summary>Answer</summary>
#
# About 1.32 billion: the vision tower and `lm_head` of the text encoder (1.22), and nearly all of
# the VAE (0.10), which keeps only its decoder, and of that only what concerns a single frame.
#
# </details>
#
# **2.** Twice the width and height, 2656 × 2656: how much longer does a pass take?
#
# <details><summary>Answer</summary>
#
# 7.2 times as long. Four times the tokens make the matrices four times as much work and attention
# sixteen times.
#
# </details>
#
# **3.** How many operations does one *pixel* of a guided 50-step picture cost?
#
# <details><summary>Answer</summary>
#
# About 7 × 10⁹. A processor core that does one addition each nanosecond would need seven seconds
# for every pixel.
#
# </details>

# %%
needed = sum(costs.weights().values())
never = sum(whole.values()) - needed
longer = costs.pass_flops(config, 4 * I, T) / one_pass
pixel = sum(part.flops for part in square.values()) / 1328**2
assert round(never / 1e9, 2) == 1.32 and round(longer, 1) == 7.2 and round(pixel / 1e9) == 7
print(f"{never:,} never read; {longer:.1f} times; {pixel / 1e9:.0f} × 10⁹ a pixel: ok")

# %% [markdown]
# ## What production code does differently
#
# * It holds what fits: text encoder, transformer and VAE in turn, each sent away when it is done,
#   or weights in 8 or 4 bits, which halves or quarters the bytes of the ledger.
# * It writes attention so that the $S^2$ scores never lie in memory. The count of operations stays.
# * It has few-step models for everything that is shown while one types: four passes instead of a
#   hundred make the picture 25 times cheaper, more than any code can.
# * It runs both guidance passes as one batch, or on two GPUs, or skips guidance in some steps.
#
# ## Try this
#
# * Put your own processor or GPU into a `Machine` and compare with a stopwatch.
# * Which width $D$ would a 10-billion transformer of 60 blocks have? Solve it with
#   `block_parameters`.
# * By the report, training begins with pictures of 256 × 256 and ends at 1328 × 1328. How much
#   cheaper is a step in the beginning?
# * Write the table for a batch of 16 small pictures. What happens to *fetching*?
#
# Capstone: `make blank` lists the functions of the drawing, file by file. None can be written
# yet; the constructors, which name every parameter you counted, are there.
#
# Next: [02 · Tokens](02_tokens.ipynb), how a prompt becomes whole numbers.
