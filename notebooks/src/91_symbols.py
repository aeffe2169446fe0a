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
# # 91 · Symbols
#
# Three libraries implement this model, and each has its own names for the parts. This appendix is a
# dictionary: what a thing is, what it is called here, what it is called in diffusers or
# transformers, and its shape in the official model. No line was typed from memory; each is looked
# up in both networks when the page runs, and a name that either side lacks stops it.
#
# | | |
# |---|---|
# | **You need** | nothing; look things up as they come |
# | **You get** | every name of every tensor, class, argument and function, on both sides |
# | **Minutes** | 5 to skim, less than one to run |
# | **Picture** | all matrices of one block, drawn to scale |
# | **Number** | 2,856 tensors in 84 kinds, each with its name and its shape on both sides |
#
# The networks are built at official size on torch's *meta device*, where tensors have shapes and no
# numbers, so that 29 billion of them fit into any memory.

# %%
import torch

from qwenimage_ref import config
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import tensor_names
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

# %%
with torch.device("meta"):
    tower = TextEncoder(config.TextEncoderConfig.official())
    ours = {
        "text_encoder": StoredTextEncoder(tower, Vision(config.VisionConfig.official())),
        "transformer": MMDiT(config.MMDiTConfig.official()),
        "vae": VAE(config.VAEConfig.official()),
    }

# %%
from qwenimage_ref.parity import reference

theirs = {
    "text_encoder": reference.reference_text_encoder(tower.config, config.VisionConfig.official()),
    "transformer": reference.reference_mmdit(config.MMDiTConfig.official()),
    "vae": reference.reference_vae(config.VAEConfig.official()),
}
print({part: type(network).__name__ for part, network in theirs.items()})

# %% [markdown]
# ## Letters
#
# Shapes in this course are written in letters, the same ones everywhere. The official values are
# for 1328 × 1328 pixels, the pocket model's for 128 × 128; `T` is that of one short prompt.

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.sampler import pack, unpack

pipe = QwenImage.from_pretrained(show.pocket_folder())
txt_states, _ = pipe.encode_prompt(["a red circle left of a blue star on a white background"])
T = txt_states.shape[1]


# %%
def letters(numbers, pixels):
    h = w = pixels // 8
    I, D, H = h * w // 4, numbers.inner_dim, numbers.num_attention_heads
    return {"I": I, "T": T, "S": T + I, "D": D, "H": H, "K": D // H, "C": 16, "h": h, "w": w}


# %%
meanings = {
    "I": "image tokens, a quarter of h × w", "T": "text tokens", "S": "both together",
    "D": "width of the streams", "H": "attention heads", "K": "width of a head",
    "C": "latent channels", "h": "latent rows", "w": "latent columns",
}  # fmt: skip

# %%
pocket = letters(pipe.transformer.config, pixels=128)
official = letters(config.MMDiTConfig.official(), pixels=1328)
assert pack(torch.zeros(1, official["C"], 166, 166)).shape == (1, official["I"], 4 * 16)
rows = [[letter, what, official[letter], pocket[letter]] for letter, what in meanings.items()]
show.table(["", "", "official", "pocket"], [["B", "batch: pictures at once", 1, 1], *rows])

# %% [markdown]
# ## Tensors of the transformer
#
# There is one line for each *kind* of tensor: `{i}` stands for the number of a block, and the
# endings *weight* and *bias* are left off. The shape is that of the weight, outputs first; the last
# column counts tensors, biases included. In the MMDiT all names are the official ones, those of the
# files.

# %%
HEADER = ["what it is", "here and in the files", "in the reference", "shape", "tensors"]

# %%
from qwenimage_ref.checkpoint.stored_form import stored_form


def tensors(part):
    in_memory = {name: tuple(p.shape) for name, p in theirs[part].state_dict().items()}
    return tensor_names.rows(part, stored_form(ours[part]), in_memory, reference.official_name)


table = {part: tensors(part) for part in ours}
show.table(HEADER, table["transformer"])

# %% [markdown]
# Four names are misleading. `time_text_embed` has no text among its inputs. The *add_* projections
# add nothing; they are the text's queries, keys and values. *net.0.proj* of an MLP is not a gate.
# And `txt_norm` is not a norm of the blocks: it comes before the input projection.
#
# The next figure shows all large tensors of a block to scale: an area is a number of weights.
# Orange belongs to the image, blue to the text. Outputs run across, inputs down.

# %%
block = ours["transformer"].transformer_blocks[0]
shapes = {
    name.removesuffix(".weight"): tuple(p.shape)
    for name, p in block.named_parameters()
    if p.ndim == 2
}
alt = (
    "Both streams alike: a wide modulation, four squares of attention, a wide and a tall MLP matrix"
)
tensor_names.portrait(shapes, alt)

# %%
drawn = [name for stream in ("img", "txt") for name in tensor_names.matrices(stream).values()]
areas = {name: shapes[name][0] * shapes[name][1] for name in drawn}
small = sum(p.numel() for p in block.parameters() if p.ndim == 1)
assert sorted(drawn) == sorted(shapes) and len(drawn) == 14
assert sum(areas.values()) + small == 339_831_296
print(f"14 matrices are all but {small:,} of a block's 339,831,296 numbers: ok")

# %% [markdown]
# ## Tensors of the text encoder
#
# Here the names differ. Since version 5, transformers uses another name for the language tower in
# memory than in the files, and translates while loading.

# %%
show.table(HEADER, table["text_encoder"])

# %% [markdown]
# ## Tensors of the VAE
#
# Shapes with five numbers are convolutions over time, rows and columns, because this is the VAE of
# a video model. A still picture is one frame, so we keep one slice of each and compute in two
# dimensions; the files contain all of them. Where shapes vary with the level, the smallest and the
# largest are given.

# %%
show.table(HEADER, table["vae"])

# %%
stored = stored_form(ours["vae"])
kept = dict(ours["vae"].named_parameters())
assert stored["decoder.conv_in.weight"] == (384, 16, 3, 3, 3)
assert kept["decoder.conv_in.weight"].shape == (384, 16, 3, 3)
print("stored with time, kept without: ok")

# %%
counts = [sum(row[-1] for row in rows) for rows in table.values()]
kinds = sum(len(rows) for rows in table.values())
assert (sum(counts), kinds) == (2856, 84)
print(f"{counts} tensors, together 2,856 in 84 kinds, same names and shapes on both sides: ok")

# %% [markdown]
# ## Classes
#
# This table gives for each class of ours the one that takes its place there. *nn.Linear* and the
# like, which both sides take from torch, are left out.

# %%
pairs = [
    [part, *row]
    for part in ours
    for row in tensor_names.classes(ours[part], theirs[part], reference.official_name)
]
here, there = ({row[column] for row in pairs} for column in (2, 3))
assert {"mmdit.Block", "text_encoder.Layer", "vision.Vision", "vae.ResBlock"} <= here
assert {"QwenImageTransformerBlock", "Qwen2_5_VLTextModel", "QwenImageCausalConv3d"} <= there
show.table(["part", "first at", "here", "there"], pairs)

# %% [markdown]
# ## Arguments
#
# These are the arguments of the transformer, of one block and of the whole pipeline. Theirs has
# more arguments than these, for controls and adapters. Ours also paints over a picture, which is
# another pipeline there.

# %%
import inspect

from qwenimage_ref.mmdit import Block
from qwenimage_ref.parity.validate.stages import QwenImagePipeline, calculate_shift

# %%
same = ("prompt", "negative_prompt", "true_cfg_scale", "height", "width", "num_inference_steps")
ARGUMENTS = {
    (MMDiT.forward, type(theirs["transformer"]).forward): {
        "img": "hidden_states", "txt": "encoder_hidden_states", "sigma": "timestep",
        "grids": "img_shapes", "txt_mask": "encoder_hidden_states_mask",
        "after_block": "controlnet_block_samples",
    },
    (Block.forward, type(theirs["transformer"].transformer_blocks[0]).forward): {
        "img": "hidden_states", "txt": "encoder_hidden_states", "temb": "temb",
        "img_rotation": "image_rotary_emb", "txt_rotation": "image_rotary_emb",
        "mask": "joint_attention_kwargs", "times": "modulate_index",
    },
    (QwenImage.__call__, QwenImagePipeline.__call__): {name: name for name in same} | {
        "seed": "generator", "max_sequence_length": "max_sequence_length",
        "callback": "callback_on_step_end",
    },
}  # fmt: skip

# %%
OVER = {"image", "strength", "mask_image", "padding_mask_crop"}  # in pipelines of their own there
ONLY_HERE = {  # the rest as DiffSynth has them
    MMDiT.forward: {"mask", "txt_positions", "img_positions"},
    QwenImage.__call__: OVER
    | {
        "inpaint_blur_size",
        "inpaint_blur_sigma",
        "regions",
        "regions_on_negative",
        "context_image",
    },
}

# %%
rows = []
for (here, there), names in ARGUMENTS.items():
    arguments = {*inspect.signature(here).parameters} - {"self"} - ONLY_HERE.get(here, set())
    assert {*names} == arguments, "one of ours is left out"
    assert {*names.values()} <= {*inspect.signature(there).parameters}, "no such argument there"
    owners = [function.__qualname__ for function in (here, there)]
    rows += [[*owners, mine, yours] for mine, yours in names.items()]
show.table(["here", "there", "argument here", "argument there"], rows)

# %% [markdown]
# `sigma` is a number from 0 to 1 on both sides, though theirs is called *timestep*. `grids` counts
# tokens, one triple of frames, rows and columns for each picture; theirs wraps that in one more
# list for the batch. `after_block` is a function that may change the image stream; theirs takes
# what is to be added.
#
# ## Functions
#
# Agreement of names proves little, so these functions are *called* on both sides, with the same
# numbers.

# %%
import numpy as np

from qwenimage_ref.rope import positions, rotate, rotations
from qwenimage_ref.sampler import euler_step, model_time, sigmas

# %%
latents = torch.randn(2, 16, 10, 14, generator=torch.Generator().manual_seed(0))
tokens = pack(latents)
found = {"pack": ("_pack_latents", tokens, QwenImagePipeline._pack_latents(latents, 2, 16, 10, 14))}
there = QwenImagePipeline._unpack_latents(tokens, 80, 112, 8)
found["unpack"] = ("_unpack_latents", unpack(tokens, 5, 7), there.squeeze(2))

# %%
settings = config.SchedulerConfig.official()
scheduler = reference.reference_scheduler(settings)
limits = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
mu = calculate_shift(6889, *(getattr(settings, name) for name in limits))
scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 20, 20), mu=mu)
levels = sigmas(20, 6889, settings)
found["sigmas"] = ("set_timesteps", levels, scheduler.sigmas)

# %%
time = scheduler.timesteps[4].bfloat16() / 1000
found["model_time"] = ("timesteps, rounded, / 1000", model_time(levels[4], torch.bfloat16), time)

# %%
velocity = 2 * tokens
there = scheduler.step(velocity, scheduler.timesteps[4], tokens, return_dict=False)[0]
found["euler_step"] = ("step", euler_step(tokens, velocity, *levels[4:6]), there)

# %%
img, txt = positions([(1, 5, 7)], text_length=9)
angles = [rotations(pos, (16, 56, 56)) for pos in (img, txt)]
there = theirs["transformer"].pos_embed([(1, 5, 7)], max_txt_seq_len=9)
found["positions, rotations"] = ("pos_embed", torch.cat(angles), torch.cat(there))

# %%
queries = torch.randn(1, 35, 24, 128, generator=torch.Generator().manual_seed(1))
turn = inspect.getmodule(type(theirs["transformer"])).apply_rotary_emb_qwen
turned = turn(queries, angles[0], use_real=False)
found["rotate"] = ("apply_rotary_emb_qwen", rotate(queries, angles[0]), turned)

# %%
rows = []
for here, (there, mine, yours) in found.items():
    assert mine.shape == yours.shape and torch.equal(mine, yours), here
    rows.append([here, there, "×".join(map(str, mine.shape)) or "one number", "every bit"])
show.table(["here", "there", "shape of this call", "equal in"], rows)

# %% [markdown]
# `guide` has no line, because there guidance is written out inside the pipeline's long call.
# [Chapter 08](08_the_shifted_sampler.ipynb) compares it.
#
# ## Settings
#
# Our configs read the official files, key by key. If those files are on your machine, they are read
# now; otherwise you see what they contained.

# %%
import json

from qwenimage_ref.course import stored_results

files = {
    "transformer/config.json": config.MMDiTConfig,
    "vae/config.json": config.VAEConfig,
    "scheduler/scheduler_config.json": config.SchedulerConfig,
}

# %%
rows = []
for part, kind in files.items():
    listed = stored_results.run(
        "91_" + part.split("/")[0], part, lambda path: json.loads(path.read_text())
    )
    for key, value in kind.official().to_dict().items():
        assert listed.get(key, value) == value, f"{part}: {key}"
        text = f"{len(value)} numbers" if key.startswith("latents") else value
        rows.append([part, key, text, "the same" if key in listed else "not in the file"])
show.table(["file", "key and name here", "here", "in the official file"], rows)

# %% [markdown]
# A key that a file lacks has a default, and ours are upstream's. The flags that only later releases
# set are among them.
#
# ## Estimate first
#
# **1.** Which single matrix of the whole download is the largest?
#
# <details><summary>Answer</summary>
#
# The table of word vectors and, as large, `lm_head`: 152,064 × 3,584, 545 million numbers. That is
# more than a whole block of the transformer.
#
# </details>
#
# **2.** How many of the 1,933 tensors of the transformer have a single axis: biases and norms?
#
# <details><summary>Answer</summary>
#
# 60 × 18 in the blocks, 14 biases and 4 norms, and 7 outside: 1,087, more than half of the names.
# In numbers they are 0.03 %.
#
# </details>
#
# **3.** What share of the 28.8 billion numbers takes no part when a picture is painted from text?
#
# <details><summary>Answer</summary>
#
# `lm_head`, the vision tower and the parts of the VAE that only videos need: 4.5 %.
#
# </details>

# %%
import math

forms = {part: stored_form(network) for part, network in ours.items()}
sizes = {key: math.prod(shape) for form in forms.values() for key, shape in form.items()}
flat = [key for key, shape in forms["transformer"].items() if len(shape) == 1]
largest = max(sizes, key=sizes.get)
assert sizes[largest] == sizes["lm_head.weight"] == sizes["model.embed_tokens.weight"]
print(f"the largest has {sizes[largest]:,} numbers; {len(flat):,} tensors have one axis")

# %%
idle = sum(size for key, size in sizes.items() if key.startswith(("visual.", "lm_head.")))
idle += sum(sizes[key] for key in forms["vae"]) - sum(p.numel() for p in kept.values())
print(f"{idle / sum(sizes.values()):.1%} of all numbers take no part")

# %% [markdown]
# ## What production code does differently
#
# * Single-file checkpoints for ComfyUI use the same names with a prefix, *model.diffusion_model.*
# * The VAE circulates under a second set of names, those of the video model Wan that it comes
#   from: there *decoder.mid_block.resnets.0.conv1* is *decoder.middle.0.residual.2*.
# * LoRA files name the same modules in half a dozen dialects, with dots or underscores.
# * Fused kernels join `to_q`, `to_k` and `to_v` into one matrix, so some engines store a tensor
#   that no other has.
#
# ## Try this
#
# * Change one letter of a name in the package's `tensor_names.TENSORS` and run the page again.
# * Build `ours` with the pocket's configs. Which shapes still have a 3 or a 16 in them, and why?
# * Find the one line where the reference takes *scale* before *shift*. In the table it is one row.
#
# Capstone: `make blank` keeps every constructor, so the names of this page are in your copy from
# the start.
#
# Next: [92 · One file](92_one_file.ipynb), the whole forward pass in 400 lines.
