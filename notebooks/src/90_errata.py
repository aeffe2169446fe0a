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
# # 90 · Errata
#
# A popular model is described often, and descriptions copy from one another. This page collects
# what circulates about Qwen-Image in model pages, reviews, architecture notes and training guides,
# and sets the facts beside it. No authors are named: most errors were made in good faith, and many
# of them by people who explained other things well.
#
# | | |
# |---|---|
# | **You need** | the terms of [chapter 00](00_a_picture_in_sixty_seconds.ipynb) |
# | **You get** | numbers you can quote, and the habit of asking for a source |
# | **Minutes** | 20 to read, less than one to run |
# | **Picture** | claims, divided by the facts |
# | **Number** | 28,849,460,275 parameters in all, counted from the configurations |
#
# The last column of each table gives the source. *Here* means that the next cell computes the fact
# from the official configurations, the package or the pocket model. *Report* is the [Qwen-Image
# Technical Report](https://arxiv.org/abs/2508.02324).
#
# ## How large
#
# | claim | fact | source |
# |---|---|---|
# | 27 billion parameters, with "7B" | 28.85 billion: the "7B" text encoder stores 8.29 | here |
# | the bf16 model has about 30 GB | 40.86 GB, the transformer alone | here |
# | 38 GB or 40.8 GB for everything | 57.7 GB for everything | here |
# | in fp8 about 15 GB | 20.43 GB at one byte each | here |
# | text encoder in fp8 about 7 GB | 8.29 at least; 9.38 if embedding and head stay in bf16 | here |
# | VAE: 83 M parameters | 126.9 M stored, of which a still picture meets 44.6 M | here |
# | VAE: 500 MB | 254 MB as released, in bf16 | here |
# | full precision on 24 GB | the transformer alone has 40.86 GB | here |
# | INT4 in 14 GB | the weights alone, at half a byte, have 14.4 | here |
# | a few-step LoRA has 5 GB | rank 64: 1.70 GB in fp32, 0.85 in bf16 | here |

# %%
import numpy as np
import torch

from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

with torch.device("meta"):  # shapes without memory
    dit, vae = MMDiT(MMDiTConfig.official()), VAE(VAEConfig.official())
    reader, eyes = TextEncoder(TextEncoderConfig.official()), Vision(VisionConfig.official())

# %%
import math

from qwenimage_ref.checkpoint.stored_form import stored_form


def stored(part):
    return sum(math.prod(shape) for shape in stored_form(part).values())


table = reader.config.vocab_size * reader.config.hidden_size  # embedding; the head is as large
counted = {
    "transformer": stored(dit),
    "text encoder": stored(reader) + stored(eyes) + table,
    "VAE": stored(vae),
}
for name, count in counted.items():
    print(f"{name:13} {count:>15,}")
everything = sum(counted.values())
assert everything == 28_849_460_275 and round(2 * everything / 1e9, 1) == 57.7
print(f"{'everything':13} {everything:>15,}")

# %% [markdown]
# In bf16 each parameter takes two bytes. The published sizes of the released files agree, apart
# from their headers.

# %%
from qwenimage_ref.checkpoint.published_hashes import QWEN_IMAGE_2512

files = {name: size or 0 for name, (size, _) in QWEN_IMAGE_2512.items()}
weights = sum(size for name, size in files.items() if name.endswith(".safetensors"))
assert 0 < weights - 2 * everything < 1e6, "headers have less than a megabyte"
print("2 bytes times the count: the published sizes, within a megabyte: ok")

# %%
from qwenimage_ref.course.figures import errata

alive = sum(parameter.numel() for parameter in vae.parameters())
lora = errata.lora_numbers(width=dit.config.inner_dim, rank=64, blocks=60)
claims = {  # claimed, true
    "all parameters, billions": (27.1, everything / 1e9),
    "transformer in bf16, GB": (30, 2 * counted["transformer"] / 1e9),
    "transformer in fp8, GB": (15, counted["transformer"] / 1e9),
    "text encoder in fp8, GB": (7, (counted["text encoder"] + 2 * table) / 1e9),
    "VAE, millions": (83, counted["VAE"] / 1e6),
    "VAE, MB": (500, 2 * counted["VAE"] / 1e6),
    "full precision, GB": (24, 2 * counted["transformer"] / 1e9),
    "few-step LoRA, GB": (5, 4 * lora / 1e9),
    "gain of 4 steps over 20": (5, 20 * 2 / 4),
}
errata.ratios(
    claims,
    "Nine claims on a logarithmic axis of claimed over true: from a half, for the gain of four "
    "steps, over the weights at two thirds to three quarters, to twice for the VAE's file and "
    "three times for the LoRA's",
)

# %%
assert (alive, lora) == (44_599_603, 424_673_280)
ratio = {name: claimed / true for name, (claimed, true) in claims.items()}
assert all(not 0.9 < value < 1.05 for name, value in ratio.items() if "all" not in name)
assert round(everything / 2e9, 1) == 14.4
for name, (claimed, true) in claims.items():
    print(f"{name:26} claimed {claimed:5.4g}   true {true:6.4g}")

# %% [markdown]
# ## What is inside
#
# | claim | fact | source |
# |---|---|---|
# | a T5 text encoder | Qwen2.5-VL, a language model that sees; no T5 anywhere | here |
# | the MLPs are gated | linear, GELU, linear: a gate would need twice the rows | here |
# | 16 output channels | 16 · 2 · 2 = 64 numbers a token | here |
# | "Multi-Scale RoPE" | *Multimodal Scalable* RoPE | [report, section 2.4][r1] |
# | RoPE turns half of each head | all: its sections count *pairs*, in both networks | here |
# | 16 numbers of a head are for text, 112 for space | text uses all of them equally | here |
# | axis 0 is the batch, or time | it is the number of the picture | here |
# | text is joined diagonally | end to end; only its *positions* are diagonal | here |
# | depth, width, heads are not disclosed | all of them are in `transformer/config.json` | here |
# | two decoders, against grids of dots | one for images, one for video, unreleased | [report][r1] |
# | FLUX 29.41 dB, Wan 31.04 | FLUX 32.84, Wan 31.29, Qwen-Image 33.42 | [report, Table 2][r1] |
# | lists of tensors begin with the blocks | `txt_norm` and `txt_in` come before them | here |
# | the attention heads are the image's | image and text share each of them | here |
# | special tokens control style | 22 added tokens, none for style | here |
# | 152 thousand tokens | 151,665; the table is padded to 152,064 rows | here |
#
# [r1]: https://arxiv.org/abs/2508.02324

# %%
import json

from qwenimage_ref.course import stored_results


def classes(path):
    index = json.loads(path.read_text())
    return {part: index[part][1] for part in ("text_encoder", "tokenizer", "transformer", "vae")}


# %%
names = stored_results.run("90_classes", "model_index.json", classes)
assert names["text_encoder"] == "Qwen2_5_VLForConditionalGeneration"
assert not any("T5" in name for name in names.values())
print("model_index.json:", ", ".join(names.values()))

# %%
block, config = dit.transformer_blocks[0], dit.config
up, down = block.img_mlp.net[0].proj.weight.shape, block.img_mlp.net[2].weight.shape
assert tuple(up) == (4 * 3072, 3072) and tuple(down) == (3072, 4 * 3072)
assert len(dit.proj_out.weight) == 64 == config.out_channels * config.patch_size**2
assert sum(config.axes_dims_rope) == 128 == config.attention_head_dim
assert 2 * sum(reader.config.mrope_section) == 128 == reader.config.head_dim
print(f"MLP {tuple(up)} and back; {len(dit.proj_out.weight)} numbers out; all 128 of a head turn")
print(f"{config.num_layers} blocks, {config.num_attention_heads} heads, width {config.inner_dim}")

# %%
from qwenimage_ref.rope import positions

img, txt = positions([(1, 4, 6), (1, 2, 2)], 3)  # two pictures, three tokens of text
assert (txt[:, 0] == txt[:, 1]).all() and (txt[:, 0] == txt[:, 2]).all()
assert {*img[:24, 0].tolist()} == {0} and {*img[24:, 0].tolist()} == {1}
print("text on three equal axes; picture 0 and picture 1 on the first axis: ok")

# %%
import inspect

from qwenimage_ref.mmdit import JointAttention

joined = "torch.cat([txt_q, img_q], dim=1)"  # along the tokens, for all heads at once
assert joined in inspect.getsource(JointAttention.forward)
early = [name for name in stored_form(dit) if name.startswith("txt_")]
assert early == ["txt_norm.weight", "txt_in.weight", "txt_in.bias"]
print("text and image, end to end:", joined)

# %%
from qwenimage_ref.tokenizer import Tokenizer


def vocabulary(path):
    tokenizer = Tokenizer.load(path)
    return {"words": len(tokenizer.vocab), "added": sorted(tokenizer.added)}


# %%
found = stored_results.run("90_vocabulary", "tokenizer", vocabulary)
assert found["words"] + len(found["added"]) == 151_665 < reader.config.vocab_size == 152_064
assert not any("style" in token for token in found["added"])
print(*found["added"])

# %% [markdown]
# ## How it is sampled
#
# | claim | fact | source |
# |---|---|---|
# | the target is data - noise | the weights predict noise - data | here |
# | guidance 4.5 is optimal | 4.0, in code and examples | here |
# | "guidance_scale" turns guidance on | inert; `true_cfg_scale` and a negative prompt do | here |
# | the example runs with guidance | without a negative prompt it does not | here |
# | `mu` is a line from 0 to 8192 tokens | from 256 to 8192, then an exponential | here |
# | "a linear shift of 2.205" | e to the `mu` at 1664 × 928 only; 2.303 at 1328 × 1328 | here |
# | Karras levels, or AuraFlow's with 3.1 | a shift by size, then a stretch to 0.02 | here |
# | 4 steps instead of 20 are five times faster | 4 runs instead of 20 × 2: ten times | here |
# | "aspect_ratio" sets the shape | there is no such argument, only height and width | here |
# | a training framework's defaults are official | 30 steps, no rescale, negative "" | [code][s] |
#
# [s]: https://github.com/modelscope/DiffSynth-Studio/blob/main/diffsynth/pipelines/qwen_image.py

# %% [markdown]
# The sign comes first, on a picture. Half way, at step 4 of 8, the pocket model predicts a
# velocity. If it is noise - data, then `latents - sigma * velocity` is the clean estimate at that
# step. If the claim were true, `latents + sigma * velocity` would be.

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.course import show

pipe = QwenImage.from_pretrained(show.pocket_folder())
guesses = {}


def guess(step, sigma, latents, velocity):
    if step == 4:
        guesses["noise - data"] = pipe.to_pictures(latents - sigma * velocity)[0]
        guesses["data - noise"] = pipe.to_pictures(latents + sigma * velocity)[0]


prompt = 'a red star left of a blue circle on a beige background with the text "HI"'
final = pipe(prompt, " ", num_inference_steps=8, seed=0, callback=guess)[0]
show.grid(
    [guesses["noise - data"], guesses["data - noise"], final],
    ["guess, if noise - data", "guess, if data - noise", "final picture"],
    "The first guess resembles the final poster with star, circle and word; the second is noise",
)

# %%
apart = {name: show.difference(picture, final) for name, picture in guesses.items()}
assert 5 * apart["noise - data"] < apart["data - noise"]
print("noise - data guesses the final picture, five times nearer than the other: ok")

# %% [markdown]
# The arguments of diffusers' pipeline, and their defaults, are read from its signature. The package
# reaches it through `qwenimage_ref.parity`, the one place that imports it.

# %%
from qwenimage_ref.parity.validate import stages

arguments = inspect.signature(stages.QwenImagePipeline.__call__).parameters
assert "aspect_ratio" not in arguments and {"height", "width"} <= arguments.keys()
wanted = ("true_cfg_scale", "negative_prompt", "guidance_scale", "num_inference_steps")
for name in (*wanted, "max_sequence_length"):
    print(f"{name:20} {arguments[name].default}")
assert not config.guidance_embeds, "no weight would listen to guidance_scale"

# %% [markdown]
# The file of the released scheduler determines the noise levels:

# %%
OTHER = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas")
USED = ("time_shift_type", "base_image_seq_len", "max_image_seq_len", "shift_terminal")


def levels_of(path):
    file = json.loads(path.read_text())
    return {name: file[name] for name in (*OTHER, *USED)}


# %%
found = stored_results.run("90_scheduler", "scheduler/scheduler_config.json", levels_of)
assert not any(found[name] for name in OTHER)
for name in USED:
    print(f"{name:20} {found[name]}")

# %%
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.sampler import sigmas

scheduler = SchedulerConfig.official()
sizes = {"512 x 512": 1024, "1024 x 1024": 4096, "1664 x 928": 6032, "1328 x 1328": 6889}
slope = (0.9 - 0.5) / (8192 - 256)
for name, tokens in sizes.items():
    mu, claimed = 0.5 + slope * (tokens - 256), errata.linear_mu(tokens)
    assert claimed > mu and abs(sigmas(2, tokens, scheduler)[1].item() - 0.02) < 1e-6
    print(f"{name:12} mu {mu:.4f}, claimed {claimed:.4f}   e to the mu {math.exp(mu):.3f}")

# %%
from qwenimage_ref.course import charts

tokens = range(256, 8193, 256)
series = {
    "e to the mu": [(n, math.exp(0.5 + slope * (n - 256))) for n in tokens],
    "the formula that circulates, taken for the shift": [(n, errata.linear_mu(n)) for n in tokens],
}
charts.curves(
    [{"series": series, "x": "image tokens", "y": "shift"}],
    "Two rising lines over the number of image tokens: the true shift from 1.65 to 2.46, far above "
    "the one of the formula that circulates, from 0.51 to 0.9",
)

# %%
few, guided = 4 * 1, 20 * 2  # a guided step takes two runs, a few-step model needs no guidance
assert guided / few == 10
low, high = series["e to the mu"][0][1], series["e to the mu"][-1][1]
assert 1.64 < low < 1.66 and 2.45 < high < 2.47
print("40 runs of the transformer against 4; the true shift goes from 1.65 to 2.46: ok")

# %% [markdown]
# A shift under 1 would do the opposite of what the shift is for, which is to spend steps in the
# noise and not near the picture.
#
# ## Prompts and sizes
#
# | claim | fact | source |
# |---|---|---|
# | at most 512 tokens | 512 is the default, 1024 the most | here |
# | the system prompt, as the report prints it | the shipped one has another order | here |
# | pictures up to 2048 × 2048 | no official size is above 1.8 million pixels | here |
# | 1664 × 928 is largest, 68 % above 1024 × 1024 | 47 % above; 1328 × 1328 is 68 % | here |
# | "2512" is a resolution | it is December 2025 | [model card][m1] |
# | 2512 takes a reference image | text to image only; edit models take images | [model card][m1] |
# | add "Ultra HD, 4K" for 2512 | its prompt tool does not add such words | [repository][q1] |
# | the T2I negative prompt of 2512 is short | the official one has 42 tokens | [model card][m1] |
# | Edit-2509 runs in the first edit pipeline | in "Plus"; another template | [diffusers][d1] |
# | the union ControlNet does lineart, inpainting | canny, soft edge, depth, pose | [its card][c1] |
#
# [m1]: https://huggingface.co/Qwen/Qwen-Image-2512
# [q1]: https://github.com/QwenLM/Qwen-Image
# [d1]: https://huggingface.co/docs/diffusers/main/en/api/pipelines/qwenimage
# [c1]: https://huggingface.co/InstantX/Qwen-Image-ControlNet-Union

# %%
area = 1024 * 1024
official_sizes = [(1328, 1328), (1664, 928), (1472, 1104), (1584, 1056)]  # and upright
largest = max(official_sizes, key=math.prod)
assert largest == (1328, 1328) and math.prod(largest) < 1.8e6 < 2048 * 2048
for width, height in official_sizes:
    print(f"{width} x {height}: {100 * (width * height / area - 1):.0f} % above 1024 x 1024")

# %%
from qwenimage_ref import tokenizer

order = [word.strip() for word in tokenizer.T2I.partition("detailing the ")[2].split(",")]
assert order[:6] == ["color", "shape", "size", "texture", "quantity", "text"]
assert tokenizer.MAX_PROMPT_TOKENS == 1024 and arguments["max_sequence_length"].default == 512
print("shipped:", ", ".join(order[:6]), "...")

# %% [markdown]
# ## How it was trained
#
# These cannot be computed from outside. The table gives what the report says, and where.
#
# | claim | fact | source |
# |---|---|---|
# | trained at 256, 512, 1024, then 2512 pixels | 256, 640, 1328 | [report, pre-training][r2] |
# | 95 % photographs, 5 % other | nature 55 %, design 27, people 13, text 5 | [report, data][r2] |
# | seven stages under many names | first filtering to "balanced multi-scale" | [report, data][r2] |
# | the encoder of the VAE was trained | frozen; the image decoder was tuned | [report, VAE][r2] |
# | preference losses with either sign | equations 3 to 8; see below | [report, post-training][r2] |
# | the arena includes Chinese text | such prompts were left out | [report, evaluation][r2] |
# | learning rate, batch size, "1.4 T tokens" | not in the report | - |
# | fp8 keeps 98 % of quality, few-step 95 % | no source found | - |
# | the few-step LoRA of August serves every release | each has its own file | [repository][l2] |
#
# [r2]: https://arxiv.org/abs/2508.02324
# [l2]: https://github.com/ModelTC/Qwen-Image-Lightning
#
# The report uses two conventions for time. In Equation 1, t = 1 is data; in Equations 6 to 8, t = 1
# is noise. Mixing the two produces a wrong sign somewhere. The effect of one wrong sign can be
# computed where the data are single numbers, with mean 1.5 and standard deviation 0.4, because then
# the exact velocity has a formula.

# %%
MEAN, SPREAD = 1.5, 0.4


def exact_velocity(x, sigma):
    """noise - data, on average, where x = (1 - sigma) data + sigma noise"""
    variance = ((1 - sigma) * SPREAD) ** 2 + sigma**2
    surprise = (x - (1 - sigma) * MEAN) / variance
    return sigma * surprise - MEAN - (1 - sigma) * SPREAD**2 * surprise


def sample(sign, levels):
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + sign * (sigma_next - sigma) * exact_velocity(x, sigma)
    return x.mean().item(), x.std().item()


# %%
levels = torch.linspace(1, 0, 201)
(mean, spread), (lost, _) = sample(+1, levels), sample(-1, levels)
assert abs(mean - MEAN) < 0.02 and abs(spread - SPREAD) < 0.02 and abs(lost - MEAN) > 1
print("with the weights' sign: mean 1.5, spread 0.4, within 0.02; with the other, 1 or more off")

# %% [markdown]
# Reinforcement learning needs a sampler with noise in it. Equations 6 to 8 give one, in the
# convention of [Flow-GRPO](https://arxiv.org/abs/2505.05470), where t = 1 is noise; they add half a
# variance times the score to the velocity. In Equation 1's convention the score is -(x - t v) / (1
# - t), and a sampler derived from it keeps mean and standard deviation. With Equation 1's time and
# velocity put into the printed formula as they are, it does not, and more steps make it worse.

# %%
NOISE = 0.7  # level of the noise that is added


def as_derived(x, v, t, first):
    """The variance and the drift of one step, from the score in Equation 1's convention"""
    variance = NOISE**2 * (1 - t) / max(t, first)
    return variance, v - variance / 2 * (x - t * v) / (1 - t)


def as_printed(x, v, t, first):
    """Equations 6 to 8 with Equation 1's time and velocity"""
    variance = NOISE**2 * t / (1 - t)
    return variance, v + NOISE**2 / (2 * (1 - t)) * (x + (1 - t) * v)


# %%
def sample_with_noise(step, steps):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, generator=generator)
    for i in range(steps):
        t, dt = i / steps, 1 / steps
        variance, drift = step(x, -exact_velocity(x, 1 - t), t, first=dt)
        x = x + drift * dt + (variance * dt) ** 0.5 * torch.randn(len(x), generator=generator)
    return x.mean().item(), x.std().item()


# %%
for steps in (50, 200):
    mean, spread = sample_with_noise(as_derived, steps)
    assert abs(mean - MEAN) < 0.02 and abs(spread - SPREAD) < 0.02
    lost, wide = sample_with_noise(as_printed, steps)
    assert lost > 3 and wide > 2
    print(f"{steps:3} steps: {mean:.1f} and {spread:.1f}; as printed {lost:.1f} and {wide:.1f}")

# %% [markdown]
# ## Where programs differ
#
# The same weights and the same seed give different pictures in different programs. Only the last
# row is a matter of taste; in all others the network was trained with one convention. *Official* is
# what the authors' pipeline in [diffusers][d3] does, and this package with it. ComfyUI's rows are
# from its [model.py][c3] and [qwen_vl.py][v3], at the commits in the links; later versions may
# differ.
#
# | program | what it does | official | gap |
# |---|---|---|---|
# | ComfyUI | an odd grid has its extra row on the positive side | negative side | large |
# | ComfyUI | text starts off the target | off the largest picture, behind all layers | 0.1 |
# | ComfyUI | no rescaling without the [CFGNorm][n3] node | always | 0.5 to 2 levels |
# | ComfyUI | bilinear resize for the vision tower | bicubic | 0.6 levels |
# | diffusers, transformers 5 | pictures in the prompt count on in a line | in two axes | 0.4 |
# | diffusers | layers of several pictures, cut one too late | by their number | see [27][n27] |
# | any other order | image to image: noise, then the VAE's sample | reversed | 0.6 to 10 levels |
#
# The gaps are computed below, as levels of 255 between pictures or as the relative change of a
# tensor.
#
# [n27]: 27_layers.ipynb
# [d3]: https://github.com/huggingface/diffusers/tree/main/src/diffusers/pipelines/qwenimage
# [c3]: https://github.com/comfyanonymous/ComfyUI/blob/01f4512bf804c9ff2489a6c1558340e58efc2d72/comfy/ldm/qwen_image/model.py
# [v3]: https://github.com/comfyanonymous/ComfyUI/blob/0ac742688c55546c82a9968033c0efdfa0876c1e/comfy/text_encoders/qwen_vl.py
# [n3]: https://github.com/comfyanonymous/ComfyUI/blob/master/comfy_extras/nodes_cfg.py
#
# Odd grids are common: 1328 × 1328, the largest official size, has 83 × 83 tokens.

# %%
from dataclasses import replace


def positions_in_comfyui(grids, text_length):
    """The extra row on the positive side, and text off the target alone"""
    img = [
        torch.cartesian_prod(
            torch.tensor([n]), torch.arange(rows) - rows // 2, torch.arange(cols) - cols // 2
        )
        for n, (_, rows, cols) in enumerate(grids)
    ]
    start = max(grids[0][1] // 2, grids[0][2] // 2)
    return torch.cat(img), (start + torch.arange(text_length)).unsqueeze(1).repeat(1, 3)


# %%
def paint_elsewhere(prompt, height, width, seed):
    """A picture with those positions"""
    grid, branches = (1, height // 16, width // 16), pipe.encode_prompts([[prompt], [" "]])
    for i, branch in enumerate(branches):
        img, txt = positions_in_comfyui([grid], branch.txt.shape[1])
        branches[i] = replace(branch, img_positions=img, txt_positions=txt)
    levels = sigmas(20, math.prod(grid), pipe.scheduler)
    with torch.no_grad():
        latents = pipe.denoise(pipe.noise(1, height, width, seed), levels, *branches)
    return pipe.to_pictures(latents)[0]


# %%
prompt = "a red circle left of a blue star on a white background"
pairs, captions = [], []
for height, width in ((128, 128), (112, 144)):
    here = pipe(prompt, " ", height=height, width=width, num_inference_steps=20, seed=7)[0]
    pairs.append((here, paint_elsewhere(prompt, height, width, seed=7)))
show.grid(
    pairs[1],
    ["official positions", "extra row on the other side"],
    "Two pictures from one seed and one prompt, of 9 x 7 tokens: a red circle left of "
    "a blue star on both, on the second further to the left and higher",
)

# %%
even, odd = (show.difference(*pair) for pair in pairs)
assert 1328 // 16 == 83 and even == 0 and odd > 6
print("8 x 8 tokens: the same picture. 7 x 9 tokens: more than 6 levels of 255 apart: ok")
inked = (np.asarray(picture, float).min(axis=-1) < 128 for picture in pairs[1])
here, there = (np.argwhere(pixels).mean(axis=0) for pixels in inked)  # row and column
assert (here - there > 2).all()
print("the objects stand more than two pixels higher and further to the left: ok")

# %% [markdown]
# The network has learned from the positions where the edge of the picture is. Here all positions
# are one too large, and the objects move with them. They do not move by a whole token, because the
# pocket model was trained at seven sizes, whose edges lie at different positions.
#
# Where the text starts determines its distance from every token of the picture. The starts differ
# with references larger than the target, or with more layers than half a side has tokens. The next
# cells measure how far the velocity changes, relative to its length, on the pocket weights (which
# were trained on neither):

# %%
txt = pipe.encode_prompt([prompt])[0]


@torch.no_grad()
def moved_by_start(grids, layered=False):
    tokens = sum(map(math.prod, grids))
    img = torch.randn(1, tokens, 64, generator=torch.Generator().manual_seed(0))
    img_places, txt_places = positions(grids, txt.shape[1], layered)
    start = max(grids[0][1:]) // 2
    velocities = [
        pipe.transformer(img, txt, torch.tensor([0.7]), grids, None, None, None, places, img_places)
        for places in (txt_places, txt_places - txt_places[0] + start)
    ]
    return ((velocities[1] - velocities[0]).norm() / velocities[0].norm()).item()


# %%
same = moved_by_start([(1, 8, 8), (1, 8, 8)])
larger = moved_by_start([(1, 8, 8), (1, 16, 16)])
layers = moved_by_start([(7, 8, 8), (1, 8, 8)], layered=True)
assert same == 0 and larger > 0.05 and layers > 0.05
print(f"reference as large: 0; twice as wide: {larger:.2f}; seven layers of 8 x 8: {layers:.2f}")

# %% [markdown]
# This is guidance without its rescaling, with three seeds:

# %%
from qwenimage_ref.sampler import euler_step, pack, unpack


@torch.no_grad()
def paint_without_rescaling(prompt, seed):
    x, levels = pack(pipe.noise(1, 128, 128, seed)), sigmas(20, 64, pipe.scheduler)
    branches = pipe.encode_prompts([[prompt], [" "]])
    for sigma, sigma_next in zip(levels, levels[1:]):
        calls = [branch.call(x, sigma.unsqueeze(0), (1, 8, 8)) for branch in branches]
        cond, uncond = pipe.transformer.many(calls)
        x = euler_step(x, uncond + 4 * (cond - uncond), sigma, sigma_next)
    return pipe.to_pictures(unpack(x, 8, 8))[0]


# %%
apart = []
for seed in range(3):
    kept = pipe(prompt, " ", num_inference_steps=20, seed=seed)[0]
    apart.append(show.difference(paint_without_rescaling(prompt, seed), kept))
assert all(0.4 < levels_apart < 2.5 for levels_apart in apart)
print("levels of 255 apart:", ", ".join(f"{levels_apart:.1f}" for levels_apart in apart))

# %% [markdown]
# The vision tower's copy of a picture of 384 × 384 pixels is resized to multiples of 28:

# %%
import torch.nn.functional as F
from PIL import Image

from qwenimage_ref.vision import fit_size

picture = Image.open(show.data_file("pictures/showcase.png")).convert("RGB").resize((384, 384))
size = fit_size(384, 384)
bytes_ = torch.from_numpy(np.array(picture)).permute(2, 0, 1).unsqueeze(0)
official_copy = F.interpolate(bytes_, size, mode="bicubic", antialias=True).float()
other_copy = F.interpolate(bytes_.float(), size, mode="bilinear")
blur = (official_copy - other_copy).abs().mean().item()
assert size == (392, 392) and 0.2 < blur < 2
print(f"384 x 384 to 392 x 392: {blur:.1f} levels of 255 on average")

# %% [markdown]
# transformers 5 builds the positions of pictures inside a prompt only if it receives the type of
# each token, which diffusers' edit pipelines do not pass on ([issue
# 14194](https://github.com/huggingface/diffusers/issues/14194)). Without it, the tokens of a
# picture are numbered in a line, like text. Here this happens in the pocket's text encoder, with
# random image states:

# %%
from qwenimage_ref import conditions

form = conditions.FORM_OF_CLASS["QwenImageEditPlusPipeline"]
ids = torch.tensor(conditions.edit_ids(pipe.tokenizer, form, "make the circle green", [24]))
places = conditions.places_in_text(ids, [(6, 4)], pipe.tokenizer.added[conditions.PAD])
flat = torch.arange(len(ids)).expand(3, 1, -1)
image = torch.randn(24, 192, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    right, wrong = (pipe.text_encoder(ids[None], None, at, image) for at in (places, flat))
behind = conditions.edit_prefix(pipe.tokenizer)
off = ((wrong - right)[:, behind:].norm() / right[:, behind:].norm()).item()
assert places[0, 0, -1] == len(ids) - 1 - 24 + 6 and off > 0.2
print(f"text states that the transformer reads move by {off:.2f} of their length")

# %% [markdown]
# Image to image draws twice from one seed: a sample of the VAE's posterior, and the noise. Upstream
# and this package draw the sample first. The other order is just as valid, but gives another
# picture:

# %%
from qwenimage_ref.pictures import to_input
from qwenimage_ref.tasks.image_to_image import clean_and_noise, first_step, under_noise


@torch.no_grad()
def noise_first(picture, seed):
    generator = torch.Generator().manual_seed(seed)
    mean, logvar = pipe.vae.encode(to_input([picture]))
    noise, sample = (torch.randn(mean.shape, generator=generator) for _ in range(2))
    return pipe.vae.normalize(mean + (logvar / 2).exp() * sample), noise


# %%
@torch.no_grad()
def repaint(clean, noise, strength):
    levels = sigmas(20, 64, pipe.scheduler)[first_step(20, strength) :]
    branches = pipe.encode_prompts([["a green circle left of a blue star"], [" "]])
    return pipe.to_pictures(pipe.denoise(under_noise(clean, noise, levels[0]), levels, *branches))[
        0
    ]


# %%
original, gaps = pairs[0][0], []
for strength in (0.3, 0.6, 0.9):
    upstream = repaint(*clean_and_noise(pipe, [original], (1, 128, 128), 0), strength)
    gaps.append(show.difference(upstream, repaint(*noise_first(original, 0), strength)))
assert gaps[0] < gaps[-1] and gaps[-1] > 1
print("strengths 0.3, 0.6, 0.9:", ", ".join(f"{gap:.1f}" for gap in gaps), "levels of 255 apart")

# %% [markdown]
# ## Estimate first
#
# **1.** How many of the nine claims in the first picture are within 10 % of the truth?
#
# <details><summary>Answer</summary>
#
# One: 27.1 billion parameters instead of 28.85. It takes the text encoder's name, "7B", for its
# size.
#
# </details>
#
# **2.** Which share of all parameters is the transformer's?
#
# <details><summary>Answer</summary>
#
# 71 %. The text encoder has 29 %, the VAE less than half a per cent.
#
# </details>
#
# **3.** How many times does the transformer run for an official picture of 50 steps?
#
# <details><summary>Answer</summary>
#
# 100 times, because guidance runs it twice. Without a negative prompt it is 50, and the picture is
# different.
#
# </details>

# %%
near = [name for name, value in ratio.items() if 0.9 < value < 1.1]
shares = {name: 100 * count / everything for name, count in counted.items()}
assert near == ["all parameters, billions"] and round(shares["transformer"]) == 71
assert shares["VAE"] < 0.5 and 50 * 2 == 100
print("one claim near;", ", ".join(f"{name} {share:.1f} %" for name, share in shares.items()))

# %% [markdown]
# ## What production code does differently
#
# * It reads every number from the configuration file. Where a file lacks one, defaults take its
#   place, and they may be another model's: the fallback shift in diffusers' pipeline is FLUX's.
# * It changes. Padding was ignored up to diffusers 0.36; with transformers 5 the edit models'
#   picture positions came out flat. A statement about code needs a version.
# * Its model pages are often written before the last weights. Trust files more than pages, and
#   hashes more than files.
#
# ## Try this
#
# * Take a claim you have read elsewhere and write the cell that decides it.
# * How many GB would the transformer have with gated MLPs of the same width?
# * With which `mu` formula does a 256 × 256 picture differ most? Put both into `sigmas` and paint.
# * Look for a number on this page that is cited and not computed. Could it be computed?
#
# Capstone: nothing is left to write. When `make grade` gives all of the points, your files settle
# every claim of this page as the package does: paint its pictures with them.
#
# Next: [91 · Symbols](91_symbols.ipynb), what everything is called.
