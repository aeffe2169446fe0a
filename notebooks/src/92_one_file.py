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
# # 92 · One file
#
# The package spreads the model over ten files, checks its inputs and runs on PyTorch. How much of
# that is the model? [one_file.py](../notebooks/one_file.py) answers with a file that you can print:
# the whole forward pass, from the characters of a prompt to the bytes of a PNG, in NumPy and the
# standard library. It reads the same weights and paints the same picture.
#
# | | |
# |---|---|
# | **You need** | the spine up to [chapter 09](09_text_to_image.ipynb); the file, open beside it |
# | **You get** | the complete model in one place, and a check of each of its stages |
# | **Minutes** | 25 to read, half a minute to run |
# | **Picture** | eight guided steps that NumPy takes alone |
# | **Number** | 400 lines, and a difference from the package below 1e-4 at each stage |
#
# You can run it from a shell:
#
# ```
# python notebooks/one_file.py "a red circle left of a blue star on a white background" -o out.png
# ```
#
# Here it is a module. PyTorch and the package are imported only to be compared with it.

# %%
import sys

import numpy as np
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show

sys.path.insert(0, str(show.ROOT / "notebooks"))
import one_file

pipe = QwenImage.from_pretrained(show.pocket_folder())
model = one_file.read_model(show.pocket_folder())

# %%
BOUND = 1e-4  # of the largest number


def compare(stage, ours, packages):
    """Shapes must be equal, and numbers within the bound."""
    packages = np.asarray(packages)
    assert ours.shape == packages.shape
    assert np.abs(ours - packages).max() <= BOUND * np.abs(packages).max()
    print(f"{stage:14} {ours.shape!s:15} equal to the package within 1e-4: ok")


# %% [markdown]
# ## What is where
#
# The names in the boxes are functions of the file.
#
# ![Block diagram: encode and encode_prompt read the prompt, draw_noise and pack begin from a
# seed; predict_velocity and a step of denoise form the loop; unpack and decode give the
# pixels](figures/one_file.svg)

# %%
names = "encode encode_prompt draw_noise pack predict_velocity denoise unpack decode".split()
assert all(callable(getattr(one_file, name)) for name in names)
print(len(names), "functions lead from the prompt to the pixels")

# %% [markdown]
# The file has ten sections. The table counts their lines, blank ones included, and says in which
# chapter each was derived.

# %%
CHAPTERS = {
    "files": "07", "tokenizer": "02", "layers that both transformers have": "03, 06",
    "text encoder": "03", "MSRoPE": "05", "MMDiT": "06, 07", "sampler": "08",
    "VAE decoder": "04", "picture": "09",
}  # fmt: skip
lines = (show.ROOT / "notebooks" / "one_file.py").read_text("utf-8").splitlines()
starts = [i for i, line in enumerate(lines) if line.startswith("# -- ")]
rows = [["imports and the template", "02", 1, starts[0]]]
for start, end in zip(starts, [*starts[1:], len(lines)]):
    section = lines[start].strip("# -").partition(":")[0]
    rows.append([section, CHAPTERS[section], start + 1, end - start])

# %%
assert sum(row[3] for row in rows) == len(lines) <= 400
show.table(["section", "derived in chapter", "first line", "lines"], rows)

# %% [markdown]
# The transformer, which has 71 % of the official model's parameters, takes a sixth of the lines.
# Its size is due to repetition: all sixty blocks are one function in a loop.
#
# ## Files
#
# A `.safetensors` file is 8 bytes that hold a length, a header in JSON, and the numbers. The
# official files store bf16, which NumPy does not know. A bf16 number is the upper half of a
# float32, so the reader moves its 16 bits up and calls the result a float32.

# %%
show.source(one_file.read_safetensors)

# %%
path = show.pocket_folder() / "vae" / "diffusion_pytorch_model.safetensors"
arrays = dict(one_file.read_safetensors(path))
bias = arrays["decoder.conv_in.bias"]
assert np.array_equal(bias, pipe.vae.decoder.conv_in.bias.numpy())
count = sum(array.size for array in arrays.values())
print(f"{len(arrays)} tensors, {count:,} numbers, a bias of them equal bit for bit")

# %% [markdown]
# The names become a tree: at each dot a dictionary holds dictionaries. This replaces all classes. A
# layer is the dictionary of its tensors, and a function that needs a layer receives it as an
# argument.

# %%
branch = model.transformer.weights["transformer_blocks"]["0"]["attn"]
print(*branch)
print(branch["to_q"]["weight"].shape, branch["to_q"]["bias"].shape)

# %% [markdown]
# ## Tokens
#
# The package finds words with the `regex` library, because Python's `re` cannot ask for Unicode's
# letters and numbers. The file lists Unicode's numbers instead, nearly two thousand, and calls a
# letter any other character of a word. Merging is the loop of chapter 02 as it was first written:
# look at all neighbours, merge the best pair, repeat. It is quadratic in the length of a word,
# which matters for hostile texts only.

# %%
show.source(one_file.merge)

# %%
prompt = "a red circle left of a blue star on a white background"
chinese = "白色背景上，红色圆形在蓝色星形的左边，文字“AB12”"
for text in (prompt, chinese, "It's ½ price,  3 for ² \n\n", "<|im_end|>\u00a0e\u0301"):
    ids = one_file.encode(text, model.tokenizer)
    assert ids == pipe.tokenizer.encode(text)
    print(len(text), "characters,", len(ids), "ids, the same as the package's")

# %% [markdown]
# ## Text states
#
# One layer of the language model is twelve lines. Attention is causal, and a key-value head
# serves a group of query heads. The position of a token enters by rotation, where the number `k`
# of a head is paired with `k + K/2`.

# %%
show.source(one_file.text_layer)

# %%
txt = one_file.encode_prompt(prompt, model)
negative = one_file.encode_prompt(" ", model)
compare("prompt", txt, pipe.encode_prompt([prompt])[0][0])
compare("negative", negative, pipe.encode_prompt([" "])[0][0])

# %% [markdown]
# ## Positions
#
# The picture's grid is centred and the text continues on the diagonal from its corner. In the
# transformer, neighbouring numbers, `2k` and `2k + 1`, turn together as a pair, unlike in the text
# encoder. Both pairings are right in their own network and wrong in the other.

# %%
show.source(one_file.positions)

# %%
from qwenimage_ref import rope

axes = model.transformer.config["axes_dims_rope"]
for ours, packages in zip(
    one_file.positions(8, 5, len(txt)), rope.positions([(1, 8, 5)], len(txt))
):
    assert np.array_equal(ours, packages)
    turned = np.exp(1j * one_file.angles(ours, axes))
    compare("rotations", turned, rope.rotations(packages, axes))

# %% [markdown]
# ## The block
#
# The two streams are written in parallel, as in chapter 06. Each line for the image has its line
# for the text; they meet once, inside `joint_attention`. Nearly all arithmetic of the model is done
# in these lines ([chapter 01](01_map_of_the_machine.ipynb) counts it).

# %%
show.source(one_file.block)

# %%
show.source(one_file.joint_attention)

# %% [markdown]
# ## Noise
#
# To paint the package's picture the file needs the package's noise, and that comes from
# *torch.randn*. Its recipe on a CPU is short. The Mersenne Twister is the generator that NumPy has
# as well, seeded in the same way. Of each word of 32 bits the lower 24 become a uniform number
# below one. Then Box and Muller's formula turns two uniform numbers $u$ and $v$ into two normal
# ones:
#
# $$\sqrt{-2 \ln(1-u)}\,\cos(2\pi v), \qquad \sqrt{-2 \ln(1-u)}\,\sin(2\pi v)$$
#
# PyTorch does this in groups of sixteen: the first eight numbers of a group are the $u$, the
# other eight the $v$. (For fewer than sixteen numbers it uses another recipe, and a last group
# that is not full is drawn again. Latents have sixteen channels, so neither occurs here.) The
# logarithms of the two libraries differ in the last bit, so the noise agrees to 1e-6 and not bit
# for bit.

# %%
show.source(one_file.draw_noise)

# %%
shape = (16, 16, 16)
noise = one_file.draw_noise(shape, seed=7)
torchs = torch.randn(shape, generator=torch.Generator().manual_seed(7)).numpy()
assert np.abs(noise - torchs).max() <= 1e-6
print("noise of seed 7: equal to torch.randn within 1e-6: ok")

# %% [markdown]
# ## The loop
#
# Below is `denoise` written out, so that each step's clean estimate, `x - sigma * velocity`, can be
# looked at.

# %%
from qwenimage_ref.sampler import sigmas

levels = one_file.noise_levels(8, 64, model.scheduler)
compare("noise levels", levels, sigmas(8, 64, pipe.scheduler))
x, estimates = one_file.pack(noise), []
for sigma, sigma_next in zip(levels, levels[1:]):
    cond = one_file.predict_velocity(x, txt, sigma, 8, 8, model.transformer)
    uncond = one_file.predict_velocity(x, negative, sigma, 8, 8, model.transformer)
    velocity = one_file.guide(cond, uncond, 4.0)
    estimates.append(x - sigma * velocity)
    x = x + (sigma_next - sigma) * velocity

# %%
from PIL import Image


def picture(tokens):
    pixels = one_file.decode(one_file.unpack(tokens, 8, 8), model.vae)
    return Image.fromarray(np.round(127.5 * (pixels + 1)).astype(np.uint8).transpose(1, 2, 0))


show.grid(
    [picture(tokens) for tokens in estimates],
    [f"noise level {sigma:.2f}" for sigma in levels[:-1]],
    "Eight clean estimates: a mottled blob and a star at noise level 1 clear up, and from 0.68 on "
    "they are a red circle left of a blue star on white",
)

# %%
theirs = pipe(prompt, " ", num_inference_steps=8, seed=7)[0]
apart = [show.difference(picture(tokens), theirs) for tokens in estimates]
assert apart[-1] < 0.1 and apart[0] > 5 * apart[-1]
latents = one_file.denoise(noise, levels, txt, negative, 4.0, model.transformer)
assert np.array_equal(latents, one_file.unpack(x, 8, 8))
print("the last estimate is the package's picture, within a tenth of a grey level on average: ok")

# %% [markdown]
# ## Pixels
#
# A convolution is an `einsum` over windows, and enlarging repeats each pixel four times. The
# weights have five axes because they belong to a video model: a still picture meets the last of
# three taps in time (chapter 04).

# %%
show.source(one_file.convolve, one_file.decode)

# %%
with torch.no_grad():
    z = torch.from_numpy(latents)[None]
    compare(
        "pixels", one_file.decode(latents, model.vae), pipe.vae.decode(pipe.vae.denormalize(z))[0]
    )

# %% [markdown]
# ## All of it
#
# `paint` is the whole pipeline in six lines. Here are twenty steps with another seed, for a Chinese
# prompt:

# %%
show.source(one_file.paint)

# %%
pixels = one_file.paint(chinese, model, seed=3)
reference = pipe(chinese, " ", num_inference_steps=20, seed=3)[0]
show.grid(
    [Image.fromarray(pixels), reference],
    ["one file, NumPy", "the package, PyTorch"],
    "Two pictures that look the same: a red circle left of a blue star on white, with AB12 below",
)

# %%
import io

off = np.abs(pixels.astype(int) - np.asarray(reference))
assert off.max() <= 1 and (off > 0).mean() < 1e-3
read_back = Image.open(io.BytesIO(one_file.png(pixels)))
assert np.array_equal(np.asarray(read_back), pixels)
print("at most one grey level apart, in fewer than one number of a thousand: ok")
print("the file's own PNG reads back to the same pixels: ok")

# %% [markdown]
# ## What the file leaves out
#
# It leaves out everything that is not the forward pass of text to image: batches and their padding
# masks, the image encoder and the vision tower, checks and error messages, bf16 arithmetic, GPUs,
# streaming from disk, LoRA, training. Its names and layout are those of the official folder, but
# float32 copies of 28.8 billion parameters need 115 GB of memory, so read the official model with
# the package.
#
# ## Where this comes from
#
# * The file format: [safetensors](https://huggingface.co/docs/safetensors), section *Format*.
# * Normal numbers from uniform ones: Box and Muller,
#   [A note on the generation of random normal deviates](https://doi.org/10.1214/aoms/1177706645),
#   1958. The generator: Matsumoto and Nishimura,
#   [Mersenne Twister](https://doi.org/10.1145/272991.272995), 1998.
# * Groups of sixteen: *normal_fill* in PyTorch's
#   [DistributionTemplates.h](https://github.com/pytorch/pytorch/blob/main/aten/src/ATen/native/cpu/DistributionTemplates.h).
# * Everything else: the chapters named in the table above, with their references.
#
# ## Estimate first
#
# **1.** How many times does `predict_velocity` run for the command at the top of the page?
#
# <details><summary>Answer</summary>
#
# 40 times: twenty steps, and guidance needs two predictions for each.
#
# </details>
#
# **2.** How many uniform numbers does the noise of a pocket picture take, and in how many groups?
#
# <details><summary>Answer</summary>
#
# 16 channels of 16 × 16 latents are 4,096 numbers. Each normal number takes one uniform number, so
# the generator delivers 4,096, in 256 groups of sixteen.
#
# </details>
#
# **3.** Which shares of the pocket model's numbers do transformer, text encoder and VAE have?
#
# <details><summary>Answer</summary>
#
# 67 %, 10 % and 22 %, as stored. In the official model it is 71 %, 29 % and less than half a per
# cent. The files also hold what a still picture never uses: two of three taps in time, and the
# encoder.
#
# </details>


# %%
def numbers(tree):
    if isinstance(tree, dict):
        return sum(map(numbers, tree.values()))
    return tree.size


counts = {
    name: numbers(getattr(model, name).weights) for name in ("transformer", "text_encoder", "vae")
}
assert noise.size == 256 * 16
for name, count in counts.items():
    print(f"{name:13} {count:>10,} numbers, {count / sum(counts.values()):.0%}")

# %% [markdown]
# ## What production code does differently
#
# * It never builds the table of attention scores. Flash attention computes the softmax block by
#   block, so that memory grows with S and not with its square.
# * It fuses normalisation and modulation into one kernel, and three projections into one matrix.
# * It keeps weights in bf16 or fewer bits and converts them inside the matrix product.
# * It encodes the text once and keeps the states: the same prompt with another seed skips the text
#   encoder.
# * Its convolutions choose among several algorithms by size; `einsum` over windows copies each
#   pixel nine times.
#
# ## Try this
#
# * Delete the rescaling in `guide` and paint at scale 8.
# * Replace `rotate_pairs` with `rotate_halves` in `joint_attention`. Which bug of
#   [chapter 11](11_gallery_of_wrong_answers.ipynb) do you see?
# * Add image to image: you need the VAE's encoder, about 25 lines.
# * Translate the file to a language that you like. The tests in `tests/course` name the first stage
#   at which a port differs.
#
# Capstone: `one_file.py` is the capstone's eight files in NumPy. Once `make grade` says that yours
# are equal, compare the two, function by function.
#
# Next: [95 · What Qwen-Image-2.1 changed](95_what_qwen_image_2_1_changed.ipynb), the successor.
