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
# # 07 · Sixty blocks
#
# You know one block. The machine is a stack of sixty, with a projection at each end. This page
# builds the stack, follows a picture through its depth, opens the files that hold it, byte by byte,
# and runs a model that does not fit into memory.
#
# | | |
# |---|---|
# | **You need** | [chapter 06](06_one_mmdit_block.ipynb), one block; you know what a byte is |
# | **You get** | the whole MMDiT by hand; a loader of weights that you wrote yourself |
# | **Minutes** | 50 to read, less than one to run |
# | **Picture** | streams that grow with depth; who holds the bytes |
# | **Number** | blocks read from disk one by one give the resident machine's answer, bit for bit |
#
# **MMDiT**, a multimodal diffusion transformer, is the part called `transformer`. It computes one
# thing: given noisy latents and a text, in which direction lies the noise? So we need a question: a
# drawn poster, mixed with three parts of noise to one of poster, and its caption.

# %%
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.posters import draw as world

torch.set_grad_enabled(False)
pipe = QwenImage.from_pretrained(show.pocket_folder())
mmdit = pipe.transformer

# %%
from qwenimage_ref.sampler import pack, unpack

left, right = world.Shape("circle", "red"), world.Shape("star", "blue")
scene = world.Scene("white", (left, right), "left of")
poster = torch.tensor(world.draw(scene, 1)).permute(2, 0, 1)[None] / 127.5 - 1
mean, _ = pipe.vae.encode(poster)
data, noise = pack(pipe.vae.normalize(mean)), pack(pipe.noise(1, 128, 128, seed=0))
sigma = torch.tensor([0.75])
x = (1 - sigma) * data + sigma * noise
txt_states, _ = pipe.encode_prompt([world.caption(scene)])
grids = [(1, 8, 8)]  # one picture of 8 rows and 8 columns of tokens
print("noisy latents", tuple(x.shape), "  text states", tuple(txt_states.shape))

# %% [markdown]
# ## Three input projections
#
# Every block works on two **streams** of one width `D`: image tokens and text tokens. What comes
# from outside has other widths, so each of the inputs has a projection of its own.
#
# * Image: a token of 64 latent numbers goes through one linear layer, `img_in`.
# * Text: the states of the language model are brought to one size, token by token, by `txt_norm`,
#   then to width `D` by `txt_in`.
# * Time: the noise level becomes a vector, `temb`, that every block's modulation reads: waves of
#   128 frequencies and two linear layers, as in chapter 06.

# %%
img = mmdit.img_in(x)
txt = mmdit.txt_in(mmdit.txt_norm(txt_states))
temb = mmdit.time_text_embed(sigma.unsqueeze(1))
D = mmdit.config.inner_dim
assert img.shape == (1, 64, D) and txt.shape[2] == temb.shape[2] == D == 192
print("img", tuple(img.shape), "  txt", tuple(txt.shape), "  temb", tuple(temb.shape))

# %% [markdown]
# (Here `D` is 192, officially it is 3072.)
#
# ## The stack
#
# Inside there is nothing but the same block again and again. The numbers in it differ, the form
# does not, and all get the same three inputs: `temb` and the rotations of both streams.


# %%
def mmdit_by_hand(mmdit, x, txt_states, sigma, grids):
    img = mmdit.img_in(x)
    txt = mmdit.txt_in(mmdit.txt_norm(txt_states))
    temb = mmdit.time_text_embed(sigma.unsqueeze(1))
    img_rotation, txt_rotation = mmdit.rotations(grids, txt.shape[1])
    for block in mmdit.transformer_blocks:
        img, txt = block(img, txt, temb, img_rotation, txt_rotation)
    return mmdit.proj_out(mmdit.norm_out(img, temb))


# %% [markdown]
# The last line is the exit. Only the image leaves; the text stays inside. `norm_out` is a modulated
# norm like those in the blocks but without a gate, and `proj_out` brings `D` back to 64. Read the
# package's and compare with the block: here *scale* comes first and *shift* second.

# %%
from qwenimage_ref.mmdit import FinalNorm, MMDiT

show.source(MMDiT.forward, MMDiT.many, MMDiT.embed, MMDiT.velocity, FinalNorm.forward)

# %% [markdown]
# Is it the right machine? We ask the oracle: diffusers' own class with our weights.

# %%
from qwenimage_ref.parity.reference import copy_weights, reference_mmdit, run
from qwenimage_ref.parity.tolerances import within

velocity = mmdit(x, txt_states, sigma, grids)
assert torch.equal(mmdit_by_hand(mmdit, x, txt_states, sigma, grids), velocity)
twin = copy_weights(mmdit, reference_mmdit(mmdit.config))
theirs = run(twin, {"img": x, "txt": txt_states, "sigma": sigma, "grids": grids})
apart = (theirs - velocity).abs().max() / theirs.abs().max()
assert apart <= within("mmdit")
print(f"by hand: every bit; diffusers: within {within('mmdit'):.0e}: ok")

# %% [markdown]
# ## The picture through the depth
#
# What does each block add? Let us leave early: after 0, 1, 2, … blocks,
# straight through the exit. From its velocity follows a picture: noisy latents minus `sigma` times
# the velocity are the *clean estimate*, the latents that the machine believes in ([chapter
# 08](08_the_shifted_sampler.ipynb)).

# %%
img, txt, shared = mmdit.embed(x, txt_states, sigma, grids)
streams = [(img, txt)]
for block in mmdit.transformer_blocks:
    streams.append(block(*streams[-1], *shared))
velocities = [mmdit.velocity(img, shared) for img, _ in streams]
assert torch.equal(velocities[-1], velocity)
print(len(streams), "places to leave from, the last one as before: ok")

# %%
true = noise - data
errors = [((v - true).norm() / true.norm()).item() for v in velocities]
pictures = [pipe.to_pictures(unpack(x - sigma * v, 8, 8))[0] for v in velocities]
assert errors[8] < 0.2 < 0.5 < errors[5] and errors[6] > errors[7] > errors[8]
print("the error of the velocity falls with each of the last three blocks, to under 20 %: ok")

# %% [markdown]
# Move through the depth yourself. At 0 blocks only the projections are left.

# %%
from qwenimage_ref.course.figures import through_the_stack

exits = through_the_stack.DepthSlider(pictures, errors)
exits

# %%
at_top = exits.picture.value
exits.blocks.value = 6
assert exits.picture.value != at_top and exits.words.value.startswith("after 6 blocks")
exits.blocks.value = 8
assert exits.picture.value == at_top
print("another depth, another picture; back at 8, the first one: ok")

# %%
captions = [f"{blocks} blocks" for blocks in range(len(pictures))]
alt = "The picture believed in after 0 to 8 blocks: blotches; two clusters after 6; shapes after 8"
show.grid(pictures, captions, alt, columns=5, scale=1)

# %%
distances = [show.difference(picture, pictures[8]) for picture in pictures]
assert distances[7] < distances[5] < distances[0]
print("the nearer to the top, the nearer to the last picture: ok")

# %% [markdown]
# Look at 6, 7 and 8: *where* something is comes first, its colour and its edge last. Be careful
# with the lower ones. The exit was trained for block 8 alone; below, its inputs have another
# distribution, and block 3 may well hold more than its picture shows.

# %% [markdown]
# ## Streams grow
#
# A block *adds* to the streams, it never replaces them. That is why depth works at all: sixty small
# corrections, and a straight way for everything that needs none. It also means that streams grow.
# How large is one? Take the **rms**, the root of the mean of squares: the size of a typical number.
#
# On the left the pocket model, just now. On the right sixty blocks of full width with random
# weights, stored: that run took four minutes.

# %%
import json


def rms(x):
    return x.pow(2).mean().sqrt().item()


record = json.loads(show.data_file("measurements/depth.json").read_text())
pocket = {"img": [rms(img) for img, _ in streams[1:]], "txt": [rms(txt) for _, txt in streams[1:]]}
random = {name: record["size"][name]["rms"] for name in ("img", "txt")}
panels = {"pocket model, trained, 8 blocks": pocket, "full width, random, 60 blocks": random}
alt = "Sizes of both streams: trained, they grow fastest at the end; random, like a square root"
through_the_stack.stream_sizes(panels, alt)

# %% [markdown]
# Random blocks push in random directions. That is a *random walk*: after $n$ steps you are not $n$
# but $\sqrt n$ steps away, so the *square* of the size should be a straight line. Does the trained
# model grow faster because its last blocks all push one way? Measure it: the cosine between the
# updates of two blocks, token by token, and how large a random walk with steps of the same sizes
# would become.

# %%
import numpy as np

squares = np.square(random["img"])
assert np.corrcoef(np.arange(60), squares)[0, 1] > 0.99
assert pocket["img"][7] / pocket["img"][3] > 1.8
assert torch.equal(streams[8][1], streams[7][1])
print("random: squares on a line; trained: the image doubles in the last four blocks: ok")

# %%
updates = [after - before for (before, _), (after, _) in zip(streams, streams[1:])]
sizes = [rms(update) for update in updates]
alike = {
    (i, j): torch.cosine_similarity(updates[i], updates[j], dim=-1).mean().item()
    for i in range(4, 8)
    for j in range(i)
    if j >= 4
}
walk = (rms(streams[0][0]) ** 2 + sum(size**2 for size in sizes)) ** 0.5
print("cosines of blocks 4 to 7:", *(f"{cosine:+.2f}" for cosine in alike.values()))
print("rms of the updates:", *(f"{size:.2f}" for size in sizes))
print(f"rms at the end: {pocket['img'][7]:.2f}; of a random walk: {walk:.2f}")
assert max(map(abs, alike.values())) < 0.2 and abs(pocket["img"][7] / walk - 1) < 0.05

# %% [markdown]
# They do not push one way: the updates are nearly at right angles, and the stream becomes about as
# large as a random walk would. It grows at the end because the late updates are larger.
#
# Did you see the third assert, two cells above? The last block leaves the text stream *exactly* as
# it was. Nothing behind it reads the text, so no training signal ever reached those gates: they are
# still the zeros they were born with. In the official model the same weights exist, are stored, and
# are computed for nothing.
#
# ## Errors grow, too
#
# The official weights are **bf16**, numbers of 16 bits, and production computes in it as well. A
# bf16 keeps 8 binary digits, so each operation rounds by up to a 256th or so. Sixty blocks, with
# dozens of roundings each: why is there anything left? Measure it on the pocket model:

# %%
import copy

half = copy.deepcopy(mmdit).bfloat16()  # the files hold bf16, so no weight changes
img, txt, shared = half.embed(x.bfloat16(), txt_states.bfloat16(), sigma.bfloat16(), grids)
off = []
for block, (exact, _) in zip(half.transformer_blocks, streams[1:]):
    img, txt = block(img, txt, *shared)
    off.append(rms(img.float() - exact) / rms(exact))
assert all(0.001 < error < 0.02 for error in off)
print("after each of 8 blocks, bf16 is between 0.1 % and 2 % away from float32: ok")

# %% [markdown]
# And through sixty blocks of full width, beside the error of float32 and the distance between this
# package and diffusers:

# %%
from qwenimage_ref.course.figures import error_growth

error_growth.growth()

# %%
bf16 = record["bf16 ours from float32"]["img"]["rms"]
exponent = np.log(bf16[-1] / bf16[0]) / np.log(60)
assert 0.3 < exponent < 0.5 and bf16[-1] < 0.02
print("60 times the depth, but less than the square root of 60 times the error: ok")

# %% [markdown]
# The random walk again, and here it saves us: roundings point everywhere, so they hardly add up,
# while the stream that they are compared with grows. Why not float16, whose 11 digits round eight
# times finer? It ends at 65,504. That diffusers cuts both streams off there, whenever it computes
# in float16, tells you that they get there:

# %%
import inspect

theirs = inspect.getsource(type(twin.transformer_blocks[0]).forward)
print("\n".join(line.strip() for line in theirs.splitlines() if "65504" in line))
assert torch.finfo(torch.float16).max == 65504 < 1e38 < torch.finfo(torch.bfloat16).max

# %% [markdown]
# ## A file of tensors, byte by byte
#
# Where do the numbers come from? From **safetensors** files. The format is so small that you can
# write one with `struct`, which turns numbers into bytes, and `json`:
#
# 1. eight bytes: the length of the header, a whole number, its lowest byte first;
# 2. the header, JSON: for each tensor its type, its shape and where it starts and stops, counted in
#    bytes *from the end of the header*; spaces may fill it up;
# 3. the numbers, tensor after tensor, the last axis fastest, lowest byte first.
#
# Nothing in it can run, which is the *safe* in its name: a pickle, the older way, is a program.
#
# First, what does a bf16 look like? It is the upper half of a float32: sign, 8 bits of exponent,
# and the first 7 bits of the fraction.

# %%
import struct

for value in (1.0, -2.5, 0.1, 3e38):
    (bits,) = struct.unpack("<I", struct.pack("<f", value))  # four bytes, read as a whole number
    text = f"{bits:032b}"
    (kept,) = struct.unpack("<f", struct.pack("<I", bits >> 16 << 16))
    print(f"{value:8.3g} = {text[0]} {text[1:9]} {text[9:16]}|{text[16:]}   left of | : {kept:.4g}")
assert kept == torch.tensor(3e38).view(torch.int32).bitwise_and(~0xFFFF).view(torch.float32)

# %% [markdown]
# Cutting the half off is easy, and rounds towards zero; whoever writes weights should round to the
# nearest instead, as torch does. Reading needs no rounding at all. Now a file of two tensors:

# %%
wide = np.array([1, -2.5], "<f4")
deep = np.array([[1, 2, 3], [0.5, 0.25, -1]], "<f4")
numbers = wide.tobytes() + (deep.view("<u4") >> 16).astype("<u2").tobytes()
header = {
    "wide": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "deep": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]},
}
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of eight
content = struct.pack("<Q", len(text)) + text + numbers

# %%
begin = 8 + len(text)
regions = {
    "length": (0, 8, "wrong"),
    "header": (8, begin, "noise"),
    "wide, F32": (begin, begin + 8, "image"),
    "deep, BF16": (begin + 8, len(content), "text"),
}
alt = "All bytes of the file, 16 a row: length 120, the JSON of the header, 8 bytes, 12 bytes"
through_the_stack.file_bytes(content, regions, alt)

# %% [markdown]
# Above each character is its byte in hexadecimal: 78 is 120, the length, and 20 is a space. Does
# the world agree that this is a file? Ask the library that everybody loads weights with:

# %%
from safetensors.torch import load

loaded = load(content)
assert (loaded["wide"].dtype, loaded["deep"].dtype) == (torch.float32, torch.bfloat16)
assert loaded["wide"].tolist() == wide.tolist() and loaded["deep"].tolist() == deep.tolist()
print("read by the official library, number by number: ok")

# %% [markdown]
# ## Exercise: load a tensor with your bare hands
#
# ★★★☆☆ · 15 minutes
#
# Write `load_tensor(file, name)`: the path of a .safetensors file and the name of a tensor go in, a
# numpy array of float32 with the tensor's shape comes out. Types are F32 and BF16. Use `struct`,
# `json` and `numpy`, nothing else. You will know it works when the checker says so, and when the
# machine below, which gets its weights from your function, answers bit for bit as before.


# %% tags=["exercise"]
def load_tensor(file, name):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

load_tensor = answers.unless_solved(load_tensor, answers.EX_07_TENSOR)
check.ex_07_tensor(load_tensor)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Look at the picture of the bytes and go from left to right. What do you have to know before you
# can know the next thing?
#
# </details>
#
# <details><summary>A hint</summary>
#
# `open(file, "rb")` gives bytes, and slices of bytes are bytes. *np.frombuffer* looks at bytes as
# numbers. There is no bf16 in numpy, but there are whole numbers of 16 and of 32 bits, and an array
# of one type can be looked at as another with its method *view*.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# length  <- the first 8 bytes as a whole number, lowest byte first
# entry   <- the next `length` bytes, as JSON, at `name`
# bytes   <- from 8 + length + start to 8 + length + stop
# if bf16: 16-bit whole numbers -> 32-bit ones -> moved up by 16 bits -> looked at as float32
# else:    looked at as float32
# shape it
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def load_tensor(file, name):
#     with open(file, "rb") as opened:
#         (length,) = struct.unpack("<Q", opened.read(8))
#         entry = json.loads(opened.read(length))[name]
#         start, stop = entry["data_offsets"]
#         opened.seek(8 + length + start)
#         content = opened.read(stop - start)
#     if entry["dtype"] == "BF16":
#         numbers = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
#     else:
#         numbers = np.frombuffer(content, "<f4")
#     return numbers.reshape(entry["shape"])
# ```
#
# It reads only what it needs: of a file of 5 GB the header and one tensor. That is the whole trick
# of what follows.
#
# </details>

# %% [markdown]
# Does your function agree with the package's loader? On every tensor of the pocket transformer:

# %%
file = show.data_file("pocket/transformer/diffusion_pytorch_model.safetensors")
state = mmdit.state_dict()
assert all(np.array_equal(load_tensor(file, name), state[name].numpy()) for name in state)
print(len(state), "tensors, number by number: ok")

# %% [markdown]
# ## A machine with one block of memory
#
# Now use it. Only *one* block exists. Before each floor its weights are read from disk over those
# of the floor below.

# %%
from qwenimage_ref.mmdit import Block


def stream_by_hand(x, txt_states, sigma, grids):
    img, txt, shared = mmdit.embed(x, txt_states, sigma, grids)
    block = Block(D, mmdit.config.num_attention_heads)
    for i in range(mmdit.config.num_layers):
        for name, parameter in block.named_parameters():
            weight = load_tensor(file, f"transformer_blocks.{i}.{name}")
            parameter.copy_(torch.tensor(weight))
        img, txt = block(img, txt, *shared)
    return mmdit.velocity(img, shared)


# %%
assert torch.equal(stream_by_hand(x, txt_states, sigma, grids), velocity)
print("one block in memory, eight from disk, the same bits: ok")

# %% [markdown]
# The package does this with two refinements. It reads the next block ahead while this one computes.
# And it reads ahead into the system's own cache, which gives way when somebody else needs the room:
# the process itself holds one block and no more.

# %%
from qwenimage_ref.adapt import streaming
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.load import load_weights

folder = show.pocket_folder()
streamed = empty_network(folder, "transformer")
load_weights(streamed, folder / "transformer", torch.float32, streamed=True)
assert torch.equal(streamed(x, txt_states, sigma, grids), velocity)
print("streamed by the package, the same bits: ok")


# %%
def float32_bytes(module):
    return sum(4 * parameter.numel() for parameter in module.parameters())


resident = float32_bytes(streamed) + float32_bytes(mmdit.transformer_blocks[0])
share = resident / float32_bytes(mmdit)
assert share < 0.15
print(f"doors and one block of eight, {resident / 1e6:.1f} million bytes at a time: under 15 %: ok")

# %% [markdown]
# ## Both branches in one pass
#
# Guidance runs twice: once with the prompt, once with an empty one. From memory that costs nothing
# but computing. From disk the *reading* is what takes time, and two runs would read everything
# twice. So a streamed machine walks both branches through block 0, then both through block 1.

# %%
show.source(streaming._Blocks.__iter__)

# %%
empty_states, _ = pipe.encode_prompt([" "])
branches = [(x, states, sigma, grids, None) for states in (txt_states, empty_states)]
reads, read_through = [], streaming.read_through
streaming.read_through = lambda place: reads.append(place) or read_through(place)
cond, uncond = streamed.many(branches)
together = len(reads)
one_by_one = [streamed(*branch) for branch in branches]
streaming.read_through = read_through
assert torch.equal(cond, one_by_one[0]) and torch.equal(uncond, one_by_one[1])
assert (together, len(reads) - together) == (8 * 32, 2 * 8 * 32)
print(f"both together: {together} tensors read; one after the other: {len(reads) - together}")

# %% [markdown]
# ## Who holds the bytes
#
# For the pocket model we ask the headers of its files. For the official one no file is needed: on
# torch's *meta device* ([chapter 01](01_map_of_the_machine.ipynb)) tensors have shapes but no
# numbers, and shapes times two bytes are sizes.

# %%
import math

from qwenimage_ref.checkpoint.model_folder import STEMS, StoredTextEncoder
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

with torch.device("meta"):
    tower = TextEncoder(TextEncoderConfig.official())
    official = {
        "text_encoder": StoredTextEncoder(tower, Vision(VisionConfig.official())),
        "transformer": MMDiT(MMDiTConfig.official()),
        "vae": VAE(VAEConfig.official()),
    }
sizes = {
    part: {key: 2 * math.prod(shape) for key, shape in stored_form(network).items()}
    for part, network in official.items()
}


# %%
def header_of(file):
    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        return json.loads(opened.read(length))


pocket_sizes = {}
for part, stem in STEMS.items():
    entries = header_of(folder / part / f"{stem}.safetensors")
    entries.pop("__metadata__", None)
    places = {key: entry["data_offsets"] for key, entry in entries.items()}
    pocket_sizes[part] = {key: stop - start for key, (start, stop) in places.items()}

# %%
by_group = {
    "official": through_the_stack.bytes_by_group(sizes),
    "pocket": through_the_stack.bytes_by_group(pocket_sizes),
}
alt = (
    "Shares of all bytes: officially MLPs 31, modulation 24, attention 16, text layers 23 per cent"
)
through_the_stack.shares_by_group(by_group, alt)

# %%
total = {name: sum(found.values()) for name, found in by_group.items()}
mmdit_bytes = sum(sizes["transformer"].values())
assert mmdit_bytes == 40_860_802_176 and total["official"] == 2 * 28_849_460_275
assert by_group["official"]["modulation"] > by_group["official"]["attention"]
rows = [
    [name, *(f"{found[name] / 1e6:,.1f}" for found in by_group.values())]
    for name in by_group["official"]
]
show.table(["in millions of bytes", *by_group], rows)

# %% [markdown]
# Two surprises. The modulations, which read one vector per picture, hold more than attention, which
# reads every token: $6D$ outputs for each of two streams. And nearly a third of the download is a
# language model. Its *token embeddings* and *vision tower* are in the files, yet of the first table
# a prompt uses a few rows, of the second none, and the tower sees no picture here.
#
# ## Nine shards and an index
#
# A file of 40 GB is hard to handle, so the transformer is cut into **shards**: tensors in order of
# registration, a new file before the one that would pass 5 GB. An *index* says which tensor lies
# where. The package computes all that from shapes, and with it the exact size of each file:

# %%
from qwenimage_ref.checkpoint.published_hashes import TRANSFORMER_2512
from qwenimage_ref.checkpoint.shards import SHARD_BYTES, shard_layout

layout = shard_layout(official["transformer"], SHARD_BYTES, dtype=torch.bfloat16)
computed = [max(stop for _, stop in places.values()) for _, places in layout.values()]
published = [size for size, _ in TRANSFORMER_2512]
assert computed == published, "sizes are reproduced to the byte"
print(len(layout), "shards; bytes as published:", *(f"{size:,}" for size in computed[:2]), "... ok")

# %% [markdown]
# Where the official index file is on your machine, the next cell reads it. Where it is not, you see
# what it said elsewhere.

# %%
from qwenimage_ref.course import stored_results

index = "transformer/diffusion_pytorch_model.safetensors.index.json"


def look_at_index(path):
    weight_map = json.loads(path.read_text())["weight_map"]
    homes = {}
    for key, shard in weight_map.items():
        homes.setdefault(".".join(key.split(".")[:2]), set()).add(shard)
    shards = len({*weight_map.values()})
    cut = sum(len(its) > 1 for name, its in homes.items() if "blocks" in name)
    same = weight_map == {key: name for name, (_, places) in layout.items() for key in places}
    return {"tensors": len(weight_map), "shards": shards, "cut": cut, "as computed": same}


found = stored_results.run("07_transformer_index", index, look_at_index)
assert found == {"tensors": 1933, "shards": 9, "cut": 7, "as computed": True}
print("1,933 tensors in 9 shards, each where we computed it; 7 blocks lie in two files: ok")


# %%
def first_bytes(path):
    for name, (beginning, places) in layout.items():
        with open(path.parent / name, "rb") as opened:
            assert opened.read(len(beginning)) == beginning, name
        assert (path.parent / name).stat().st_size == max(stop for _, stop in places.values())


what = "the first bytes and the size of all nine shards are those computed here"
stored_results.check(f"transformer/{next(iter(layout))}", what, first_bytes)

# %% [markdown]
# ## What a streamed machine costs
#
# The formula is short: *everything that is not a block, plus one block*. For the official
# transformer in bf16:

# %%
block_bytes = sum(size for key, size in sizes["transformer"].items() if "blocks.0." in key)
doors = mmdit_bytes - 60 * block_bytes
print(f"doors {doors / 1e9:.3f} GB + one block {block_bytes / 1e9:.3f} GB")
print(
    f"instead of {mmdit_bytes / 1e9:.1f} GB: {mmdit_bytes / (doors + block_bytes):.0f} times less"
)

# %% [markdown]
# Is that what a process really holds? `data/measurements/streaming.json` keeps measurements at
# full width. When they were taken, a block was still *mapped* from its file, and the system counts
# mapped memory apart: take away what Python and its libraries map anyway, and one block should be
# left. Today the same bytes are read into memory of the process's own. And then everything at
# once: a picture from random weights of the full size: transformer, text tower and VAE.

# %%
measured = json.loads(show.data_file("measurements/streaming.json").read_text())
tasks, whole = measured["cold"]["tasks"], measured["whole"]
mapped = tasks["pass"]["mapped_gb"] - tasks["compute"]["mapped_gb"]
assert abs(mapped - block_bytes / 1e9) < 0.01
assert tasks["step"]["read_gb"] < 1.01 * tasks["pass"]["read_gb"]
assert whole["peak_gb"] < 0.04 * whole["weights_gb"]
print(f"mapped beyond the libraries: {mapped:.2f} GB, one block: {block_bytes / 1e9:.2f} GB")
print(f"all {whole['weights_gb']} GB: {whole['picture']}")
print(f"peak {whole['peak_gb']:.2f} GB with Python and all, {whole['seconds']:.0f} s on two cores")

# %% [markdown]
# What you pay is time: each pass reads every block once, as fast as the disk can. A guided step
# reads no more than a plain one, as the second assert says of the measured run.
#
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** A disk reads 2 GB a second and keeps nothing. How long do 50 guided steps of the official
# transformer take at least, if both branches ride on one pass?
#
# <details><summary>Answer</summary>
#
# 50 passes over 40.8 GB are 2,039 GB: 17 minutes. Without riding together: 34.
#
# </details>
#
# **2.** What share of a safetensors file of the official transformer is header?
#
# <details><summary>Answer</summary>
#
# About 5 millionths: 1,933 tensors need about 130 bytes each, 250 kB beside 41 GB.
#
# </details>
#
# **3.** If all 60 blocks shared one set of modulation weights, how many of the 20.4 billion numbers
# would go?
#
# <details><summary>Answer</summary>
#
# Two times 18,432 × 3,072 plus biases a block, 113 million; 59 of 60 go: 6.7 billion, a third.
#
# </details>

# %%
seconds = 50 * 60 * block_bytes / 2e9
headers = sum(len(beginning) for beginning, _ in layout.values())
modulation = sum(
    size // 2 for key, size in sizes["transformer"].items() if "blocks.0." in key and "_mod." in key
)
print(f"{seconds / 60:.0f} minutes; {1e6 * headers / mmdit_bytes:.1f} millionths", end="; ")
print(f"{59 * modulation / 1e9:.1f} billion, {59 * 2 * modulation / mmdit_bytes:.0%}")

# %% [markdown]
# ## What production code does differently
#
# * It keeps the whole transformer in the memory of a GPU, or on several, and streams only where
#   there is no other way; diffusers calls it *offloading*, by model, by block or to disk.
# * Offloading between a computer's memory and its GPU overlaps copying with computing, as our
#   read-ahead does, only with another bus.
# * It stores weights in fewer bits, 8 or 4, which makes both reading and memory smaller. This costs
#   accuracy, and bf16 is what such formats are compared with.
# * It loads files with the safetensors library, which maps them as we do, in Rust.
# * It may skip blocks whose answer hardly changed since the last step, a trick called caching.
#
# ## Try this
#
# * Leave one block out and keep all others. Which of the eight does the picture miss least?
# * Run the early exits at `sigma` 0.3, where most of the picture is there. Do the projections alone
#   show more?
# * Exchange two neighbouring blocks, then the first and the last. A stack of residual blocks
#   tolerates more than you expect; where does it stop?
# * Flip one bit of the file's header length and load it with `load_tensor`, then with the package.
#   Which error would you rather read?
#
# Capstone: the rest of `mmdit.py`, from `FinalNorm` to `MMDiT`, can be written now:
# `make grade PART=mmdit`, 32 points with the block.
#
# Next: [08 · The shifted sampler](08_the_shifted_sampler.ipynb), what to do with a velocity.
