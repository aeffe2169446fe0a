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
# # 04 · Pictures to latents and back
#
# The transformer of chapter 00 never sees a pixel. It works on **latents**, a much smaller array of
# numbers that represents the picture, and a second network turns them into pixels at the end. That
# network was built for video. This page takes it apart and keeps the third of it that a single
# picture needs.
#
# | | |
# |---|---|
# | **You need** | [chapter 00](00_a_picture_in_sixty_seconds.ipynb); convolutions |
# | **You get** | the VAE, its shapes, its dead weights, its latents, and what noise does to them |
# | **Minutes** | 35 to read, 35 to write, less than one to run |
# | **Picture** | poster, reconstruction and difference; the 16 channels between them |
# | **Number** | our 2-D rewrite equals the 3-D video VAE to 1e-5; 44,599,603 numbers are in use |
#
# Why not work on pixels directly? A picture of 1328 × 1328 has 5.3 million numbers, and most of
# them hardly differ from their neighbours. Its latents have a twelfth as many numbers and leave out
# only details that are hard to see. Because the transformer runs dozens of times on a picture, a
# smaller input makes every one of those runs cheaper.

# %%
import torch
import torch.nn.functional as F
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import latent_channels as course
from qwenimage_ref.posters import draw as world

torch.set_grad_enabled(False)
torch.manual_seed(0)
pipe = QwenImage.from_pretrained(show.pocket_folder())
vae = pipe.vae

# %% [markdown]
# We start from twelve posters, drawn by a program rather than by the model, as numbers from -1
# (black) to 1 (white):

# %%
scenes = [world.sample_scene(number) for number in range(12)]
posters = [Image.fromarray(world.draw(scene, number)) for number, scene in enumerate(scenes)]
img = course.from_pictures(posters)  # (B, 3, H, W)
print(tuple(img.shape), f"from {img.min():.2f} to {img.max():.2f}")

# %% [markdown]
# ## There and back
#
# A **VAE** (variational autoencoder) is a pair of networks: `encode` compresses a picture into
# latents and `decode` turns latents back into pixels. The two are trained together to lose as
# little as possible on the way.
#
# `encode` returns two tensors, because it describes a normal distribution for each latent rather
# than a single value: `mean` is its centre and `logvar` the logarithm of its variance. During
# training the latents are sampled from this distribution, so `decode` has to cope with every point
# near the mean. As a result, a small change of the latents means a small change in the picture. On
# this page we use the mean.
#
# The loss of such a training run is the distance between picture and reconstruction, plus a small
# multiple of the Kullback-Leibler divergence of each distribution from the standard normal one
# ([Kingma and Welling](https://arxiv.org/abs/1312.6114), appendix B). Without this second term, the
# distributions could shrink to points that lie far apart:
#
# $$\text{KL} = \frac{1}{2} \sum_i \left(\text{mean}_i^2 + e^{\text{logvar}_i}
# - \text{logvar}_i - 1\right)$$
#
# Qwen-Image kept the encoder of Wan and fine-tuned only the decoder, with a reconstruction loss and
# a *perceptual* loss, which is a distance between the features that another network extracts from
# the two pictures. An adversarial loss was dropped, because at this quality it no longer helped
# ([report](https://arxiv.org/abs/2508.02324), section 2).

# %%
mean, logvar = vae.encode(img)
back = vae.decode(mean)
width = (logvar / 2).exp()  # the standard deviation of each latent
assert mean.shape == (12, 16, 16, 16) and back.shape == img.shape
assert width.mean() < 0.05 * mean.std()
print("latents", tuple(mean.shape), "; deviations are under a twentieth of their spread: ok")

# %%
chosen = [0, 2, 11]
difference = (8 * (back - img).abs() - 1).clamp(-1, 1)  # 0 becomes black
triptych = [course.to_pictures(x[chosen]) for x in (img, back, difference)]
show.grid(
    [column[row] for row in range(3) for column in triptych],
    ["poster", "there and back", "difference × 8"] * 3,
    alt="Three posters, each beside its reconstruction, which looks the same, and the difference, "
    "eight times enlarged: black, but for thin lines along the edges of shapes and letters",
    columns=3,
    scale=1,
)

# %% [markdown]
# The losses are at the edges. The usual measure of their size is the **peak signal-to-noise ratio**
# (PSNR), which compares the mean squared error with the largest possible value, on a logarithmic
# scale in decibels. With colours from 0 to 1:
#
# $$\text{PSNR} = -10 \log_{10} \text{mean}\,(a - b)^2$$
#
# An error of a tenth of the range is 20 dB, and an error of a hundredth is 40 dB.


# %%
import math


def psnr_in_a_loop(a, b):
    squares = [((x - y) / 2) ** 2 for x, y in zip(a.flatten().tolist(), b.flatten().tolist())]
    return -10 * math.log10(sum(squares) / len(squares))


at_once = -10 * ((img[:1] - back[:1]) / 2).pow(2).mean().log10().item()
assert abs(psnr_in_a_loop(img[:1], back[:1]) - at_once) < 1e-3
assert abs(course.psnr(img[:1], back[:1]) - at_once) < 1e-3
each = [course.psnr(img[i : i + 1], back[i : i + 1]) for i in range(12)]
assert min(each) > 30
print("loop, line and function agree; every poster above 30 dB: ok")

# %% [markdown]
# The [report](https://arxiv.org/abs/2508.02324) gives 33.4 dB for the official VAE on photographs
# and 36.6 dB on pictures full of text (Table 2), the best of all that it compares. Wan 2.1, which
# has the same architecture, reaches 31.3 and 26.8 there: before the decoder was tuned, text was the
# harder of the two, and tuning gained almost 10 dB on it. Our posters, with flat colours and few
# letters, are easy in comparison.
#
# ## Sixteen channels
#
# The latents of one poster are 16 squares of 16 × 16 numbers, one square for each channel. Each
# place in them covers 8 × 8 pixels of three colours, so 192 numbers become 16. In the figure,
# orange is above zero and blue below.

# %%
z = vae.normalize(mean)  # to mean 0 and deviation 1 in each channel; explained below
course.channels(
    z[0],
    alt="Sixteen squares: in most of them the triangle and the diamond of the first poster can be "
    "recognised, in some also the letters; each channel gives them other values",
)

# %%
black, red = z[0, :, 3, 8], z[0, :, 9, 8]  # a place inside of each shape
print(world.caption(scenes[0]))
assert (z[0].std((1, 2)) > 0.05).all() and (black - red).abs().max() > 1
print("no channel is flat, and the two shapes differ in some by more than 1: ok")

# %% [markdown]
# No single channel *is* a colour or an edge; these are encoded by all channels together. To see
# what one of them contributes, multiply it by a factor and decode:

# %%
mixer = course.ChannelSliders(vae, z[:1])
mixer

# %%
whole = mixer.picture.value
mixer.channel.value = 10
assert mixer.picture.value != whole
mixer.factor.value = 1
assert mixer.picture.value == whole
mixer.factor.value = 0  # without it again, so that another channel shows another picture
print("without channel 10 another picture; times 1 the old one: ok")

# %% [markdown]
# In print, here is the result of setting each channel to zero in turn, with its PSNR against the
# full reconstruction:

# %%
without = [vae.decode(vae.denormalize(course.scaled(z[:1], c, 0))) for c in range(16)]
lost = [course.psnr(x, back[:1]) for x in without]
show.grid(
    course.to_pictures(torch.cat(without)),
    [f"without {c}: {db:.0f} dB" for c, db in enumerate(lost)],
    alt="Sixteen decoded posters, each without one channel: most hardly differ, but without "
    "channel 10 the triangle is green and the diamond purple; shapes keep their place",
    columns=8,
    scale=1,
)

# %%
assert max(lost) - min(lost) > 10
least, most = lost.index(max(lost)), lost.index(min(lost))
print(f"most is lost with channel {most}, least with channel {least}, 10 dB and more apart: ok")

# %% [markdown]
# Shapes stay where they are, because every place in the latents corresponds to a place in the
# picture. Colours change, because each one is spread over several channels.
#
# ## A preview that costs nothing
#
# Although each colour is spread over many channels, the mapping is largely *linear*, so one small
# matrix recovers most of a colour from the 16 numbers. Programs use such a matrix to show a picture
# in progress without running the decoder. We fit one by least squares on 32 other posters, try it
# on ours, and measure below how much of the colours it explains.

# %%
others = [
    Image.fromarray(world.draw(world.sample_scene(number), number)) for number in range(100, 132)
]
other_img = course.from_pictures(others)
other_z = vae.normalize(vae.encode(other_img)[0])
factors, bias = course.rgb_fit(other_z, other_img)
print("factors", tuple(factors.shape), "bias", tuple(bias.shape))

# %%
previews = course.preview(z[8:], factors, bias)
large = [small.resize((128, 128), Image.Resampling.NEAREST) for small in previews]
show.grid(
    posters[8:] + large,
    [f"poster {i}" for i in range(8, 12)] + ["preview, 16 × 16"] * 4,
    alt="Four posters, and below them their previews of 16 by 16 squares: the right "
    "places, colours that differ, pink turned brown, no sharp edge",
    scale=1,
)

# %%
from qwenimage_ref.parity.validate.public_numbers import (
    latents_and_colours,
    published_fit,
    share_explained,
)

seen = latents_and_colours(vae, img)
ours, official = share_explained(*seen, factors, bias), share_explained(*seen, *published_fit())
assert ours > 0.75 and official < 0.2
print("our fit explains over 75 % of the colours' variance, the official VAE's next to none: ok")

# %% [markdown]
# The second fit is a published one, made for the official VAE, where it explains 96 % (the file in
# `tests/golden` names its source). Here it is worthless, because two VAEs that are trained
# separately give their channels different meanings, even in the same architecture. Latents can only
# be decoded by the VAE that produced them.
#
# ## A video VAE seen through one frame
#
# The official file holds a *video* VAE, in the architecture of Wan 2.1. The report gives the reason
# in its section on the VAE: the encoder can then also serve videos later, so it was left unchanged
# and only the decoder was trained further, on pictures.
#
# Its convolutions are three-dimensional: a weight is `(out, in, 3, 3, 3)`, three **taps** in time,
# each a 3 × 3 kernel. They are **causal**, which means that a frame may depend on earlier frames
# but never on later ones. For that, two empty frames are padded in front and none behind. By hand:


# %%
def causal_in_a_loop(film, weight):
    """(in, frames, H, W), (out, in, 3, 3, 3) -> (out, frames, H, W)"""
    frames = [torch.zeros_like(film[:, 0])] * 2 + list(film.unbind(1))
    out = []
    for t in range(film.shape[1]):
        taps = [F.conv2d(frames[t + tap], weight[:, :, tap], padding=1) for tap in range(3)]
        out.append(sum(taps))
    return torch.stack(out, 1)


def causal_at_once(film, weight):
    return F.conv3d(F.pad(film, (1, 1, 1, 1, 2, 0)), weight)  # pads columns, rows, time


film, weight = torch.randn(4, 6, 9, 10), torch.randn(5, 4, 3, 3, 3)
assert torch.allclose(causal_in_a_loop(film, weight), causal_at_once(film, weight), atol=1e-4)
print("a film of six frames, the same by loop and by conv3d: ok")

# %% [markdown]
# A drawing of which tap meets which frame shows how much of this is wasted on a single picture.
# Dashed frames are empty:

# %%
import matplotlib.pyplot as plt

C = show.PALETTE
fig, axes = plt.subplots(1, 2, figsize=(9, 2.3), layout="constrained", width_ratios=(5, 3))
for ax, count, title in zip(axes, (3, 1), ("the third frame of a film", "a single picture")):
    for at in range(-2, count):
        empty = at < 0
        style = {"ls": "--" if empty else "-", "ec": C["noise"] if empty else C["image"]}
        ax.add_patch(plt.Rectangle((at, 0), 0.8, 0.8, fc="none", lw=2, **style))
        ax.text(
            at + 0.4, 0.4, "0" if empty else f"frame {at}", ha="center", va="center", fontsize=9
        )
    for tap in range(3):
        at = count - 3 + tap
        colour = C["noise"] if at < 0 else C["joint"]
        ax.text(at + 0.4, 1.25, f"tap {tap}", ha="center", color=colour, weight="bold")
        arrow = {"arrowstyle": "->", "color": colour, "lw": 2}
        ax.annotate("", (at + 0.4, 0.82), (at + 0.4, 1.2), arrowprops=arrow)
    ax.set(xlim=(-2.1, count), ylim=(-0.1, 1.6), title=title)
    ax.axis("off")
show.figure(
    fig,
    alt="Left, three taps on frames 0, 1 and 2 of a film; right, a single picture: taps 0 and 1 "
    "meet empty frames, only tap 2 meets the picture",
)

# %%
single = film[:, :1]
for tap in range(3):
    changed = weight.clone()
    changed[:, :, tap] += 1
    gap = (causal_at_once(single, changed) - causal_at_once(single, weight)).abs().max()
    print(f"tap {tap} changed: the picture {'changes' if gap else 'stays'}")
    assert bool(gap) == (tap == 2)

# %% [markdown]
# ## Exercise: which tap is in use?
#
# ★★☆☆☆ · 5 minutes
#
# Write `flatten(kernel)`: from a stored weight `(out, in, t, k, k)` to the weight `(out, in, k, k)`
# that gives the same on one picture with a 2-D convolution. `t` is 3 or 1. You will know it works
# when the checker says so, and your function turns the video VAE's first layer into ours.


# %% tags=["exercise"]
def flatten(kernel):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

flatten = answers.unless_solved(flatten, answers.EX_04_TAPS)
check.ex_04_taps(flatten)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Look at the drawing on the right. Time is the third axis of the weight.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Do not sum the taps: the frames before the picture are empty, not copies of it. A weight with `t`
# = 1 has its only tap in the same position, if you count from the end.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# take the last entry of axis 2; keep the other axes
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def flatten(kernel):
#     return kernel[:, :, -1]
# ```
#
# </details>

# %% [markdown]
# Now we apply it to the video VAE of the library diffusers, loaded with our weights in the form in
# which files store them. Does your function turn its layers into ours?

# %%
from qwenimage_ref.parity import reference
from qwenimage_ref.parity.tolerances import within

twin = reference.copy_weights(vae, reference.reference_vae(vae.config))
stored = twin.state_dict()
for name in ("encoder.conv_in.weight", "decoder.conv_out.weight", "quant_conv.weight"):
    assert torch.equal(flatten(stored[name]), vae.get_parameter(name))
    print(f"{name:23} {tuple(stored[name].shape)} -> {tuple(vae.get_parameter(name).shape)}")

# %% [markdown]
# Our file has zeros in its dead taps, which would make the next test too easy, since a file may
# hold any numbers there. We fill them with noise first; the result of the video VAE must not
# change:

# %%
noisy = {
    name: torch.cat([torch.randn_like(tensor[:, :, :-1]), tensor[:, :, -1:]], 2)
    for name, tensor in stored.items()
    if tensor.dim() == 5 and tensor.shape[2] == 3
}
twin.load_state_dict(noisy, strict=False, assign=True)
theirs = reference.run(twin, {"img": img[:1]})[0], reference.run(twin, {"z": mean[:1]})
for ours, other in zip((mean[:1], back[:1]), theirs):
    assert (ours - other).abs().max() <= within("vae") * other.abs().max()
print(f"{len(noisy)} weights with noise in their dead taps, encoded and decoded as by our 2-D VAE:")
print(f"relative difference under {within('vae'):.0e}: ok")

# %% [markdown]
# The four `time_conv` layers among them shrink or stretch *time*, and on one frame they do not run
# at all. How much of the official file, then, is used on a picture? `stored_form` lists the tensors
# in the file, and our classes hold those that are needed.

# %%
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import VAEConfig
from qwenimage_ref.vae import VAE, Tap

with torch.device("meta"):  # shapes without memory
    big = VAE(VAEConfig())
held = {name: math.prod(shape) for name, shape in stored_form(big).items()}
needed = {name: p.numel() for name, p in big.named_parameters()}
assert (len(held), sum(held.values())) == (194, 126_892_531)
assert sum(needed.values()) == 44_599_603
print(f"stored {sum(held.values()):,}, in use {sum(needed.values()):,}")

# %%
rows = {}
for part in ("encoder", "decoder"):
    used = sum(n for name, n in needed.items() if name.startswith(part))
    time = sum(n for name, n in held.items() if name.startswith(part) and "time_conv" in name)
    taps = sum(n for name, n in held.items() if name.startswith(part)) - used - time
    rows[part] = {"in use": used, "dead taps": taps, "time_conv": time}
fig, ax = plt.subplots(figsize=(8, 1.7))
left = [0, 0]
for kind, colour in (("in use", "joint"), ("dead taps", "noise"), ("time_conv", "accent")):
    widths = [row[kind] / 1e6 for row in rows.values()]
    ax.barh([0, 1], widths, left=left, color=C[colour], label=kind)
    left = [a + b for a, b in zip(left, widths)]
ax.set_yticks([0, 1], list(rows))
ax.set(xlabel="million numbers")
ax.invert_yaxis()
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
ax.spines[["top", "right"]].set_visible(False)
show.figure(fig, alt="Encoder 54 million, decoder 73 million; about a third of each is in use")

# %%
assert [row["in use"] for row in rows.values()] == [19_306_592, 25_291_683]
dead = sum(row["dead taps"] for row in rows.values())
assert dead == 79_968_384 and sum(row["time_conv"] for row in rows.values()) == 2_324_544
print(
    {
        part: f"{row['in use'] / 1e6:.1f} of {sum(row.values()) / 1e6:.1f}"
        for part, row in rows.items()
    }
)

# %% [markdown]
# The report's Table 2 writes it as 54/73 million, 19/25 million on images. (`quant_conv` and
# `post_quant_conv`, between the two, are 1,328 more.) This is all the code that it takes to load
# such a weight and to write it back:

# %%
show.source(Tap)

# %% [markdown]
# ## From pixels to latents, level by level
#
# Here are the shapes of a poster on its way through the encoder. The sides are halved three times,
# while the number of channels increases.
#
# ![Block diagram of encoder and decoder side by side: convolutions and residual blocks, three
# times half as large and back, attention at the coarsest level only](figures/vae.svg)

# %%
shapes = []


def note(name):
    return lambda module, inputs, output: shapes.append((name, tuple(output.shape[1:])))


watched = {f"encoder.down_blocks.{i}": block for i, block in enumerate(vae.encoder.down_blocks)}
watched |= {"encoder.mid_block": vae.encoder.mid_block, "quant_conv": vae.quant_conv}
watched |= {f"decoder.up_blocks.{i}": block for i, block in enumerate(vae.decoder.up_blocks)}
hooks = [module.register_forward_hook(note(name)) for name, module in watched.items()]
vae.decode(vae.encode(img[:1])[0])
for hook in hooks:
    hook.remove()
kinds = {name: type(module).__name__ for name, module in watched.items()}
show.table(["module", "kind", "C, h, w"], [[name, kinds[name], shape] for name, shape in shapes])

# %% [markdown]
# The last step before the latents, `quant_conv`, gives 32 channels: 16 for the mean and 16 for the
# log-variance. A `ResBlock` applies norm, SiLU and convolution twice, with a shortcut around them.
# In the middle, and only there, every place attends to every other, with the attention of [chapter
# 03](03_a_language_model_as_a_reader.ipynb), but with one head and no mask. Two details are easy to
# get wrong. The first is the norm, which divides the channel vector at each place by its length and
# adds no epsilon under the root:

# %%
from qwenimage_ref.vae import Norm

norm = vae.encoder.down_blocks[0].norm1
x = torch.randn(1, len(norm.gamma), 3, 5)
by_hand = torch.empty_like(x)
for row in range(3):
    for column in range(5):
        place = x[0, :, row, column]
        length = place.pow(2).sum().sqrt()
        by_hand[0, :, row, column] = place / length * len(place) ** 0.5 * norm.gamma[:, 0, 0]
assert torch.allclose(by_hand, norm(x), atol=1e-5)
show.source(Norm._scaled)

# %% [markdown]
# The second is that halving pads on the right and below only, so that the 3 × 3 windows, with a
# stride of two, start at the first pixel and end one beyond the last:

# %%
down = vae.encoder.down_blocks[2].resample[1]
x = torch.randn(1, down.in_channels, 6, 8)
right = F.conv2d(F.pad(x, (0, 1, 0, 1)), down.weight, down.bias, stride=2)
around = F.conv2d(x, down.weight, down.bias, stride=2, padding=1)
assert torch.allclose(right, vae.encoder.down_blocks[2](x), atol=1e-5)
assert right.shape == around.shape and not torch.allclose(right, around, atol=1e-2)
print("padding all around gives the same shape and other numbers: ok")

# %% [markdown]
# ## Twice as large
#
# In the other direction, the decoder repeats every number in a square of 2 × 2 and convolves the
# result with a 3 × 3 kernel. Many of these products have the same factor. In one dimension, a row
# $a, b, c$ becomes $a, a, b, b, c, c$, and the kernel $k_0, k_1, k_2$ gives at the two places of
# $b$
#
# $$k_0\, a + (k_1 + k_2)\, b \qquad \text{and} \qquad (k_0 + k_1)\, b + k_2\, c$$
#
# Once the weights are added up, two products are enough where there were three. In two dimensions,
# the square of four numbers takes 16 products instead of 36.
#
# ## Exercise: twice as large with half of the work
#
# ★★★★☆ · 25 minutes
#
# Write `enlarge(x, weight, bias)`, from `x` `(B, C, h, w)`, `weight` `(out, C, 3, 3)` and `bias`
# `(out,)` to `(B, out, 2h, 2w)`: what the convolution of the repeated picture gives, with zeros
# around its edges. Make four kernels of 2 × 2, convolve the small picture with each of them, and
# put each result where it belongs. You will know it works when the checker agrees for several
# sizes, odd ones among them, and has counted no more than these 16 products.


# %% tags=["exercise"]
def enlarge(x, weight, bias):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
enlarge = answers.unless_solved(enlarge, answers.EX_04_ENLARGE)
check.ex_04_enlarge(enlarge)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Solve it for rows first: which two kernels of shape `(out, C, 2, 3)` does a weight become? Columns
# are then the same once more.
#
# </details>
#
# <details><summary>A hint</summary>
#
# With one row and one column of zeros on every side of `x`, all four convolutions run on windows of
# the same size, `(h + 1, w + 1)`, that begin at the first or second row and column. An assignment
# to every second row and column, `large[:, :, 0::2, 1::2] = ...`, interleaves the results.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# along an axis of three weights:
#     for even places: first weight; sum of second and third
#     for odd places: sum of first and second; third weight
# x with a border of zeros
# for even and odd rows, for even and odd columns:
#     kernel <- weight, added up along the rows, then along the columns
#     window <- from the border on for even places, one further for odd ones
#     every second row and column of the result <- window convolved with kernel, plus bias
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def enlarge(x, weight, bias):
#     def even_and_odd(kernel, axis):
#         first, middle, last = kernel.unbind(axis)
#         pairs = (first, middle + last), (first + middle, last)
#         return [torch.stack(pair, axis) for pair in pairs]
#
#     h, w = x.shape[2:]
#     large = x.new_empty(len(x), len(bias), 2 * h, 2 * w)
#     bordered = F.pad(x, (1, 1, 1, 1))
#     for row, half in enumerate(even_and_odd(weight, 2)):
#         for column, kernel in enumerate(even_and_odd(half, 3)):
#             window = bordered[:, :, row : row + h + 1, column : column + w + 1]
#             large[:, :, row::2, column::2] = F.conv2d(window, kernel, bias)
#     return large
# ```
#
# </details>
#
# The package's `UpConv` does the same with one convolution that has four times as many output
# channels. Here is your function in its place, in all three levels of the decoder:

# %%
from qwenimage_ref.course.figures import costs


def products(function, *arguments):
    return costs.counted(lambda: function(*arguments))


# %%
for block in vae.decoder.up_blocks[:3]:
    up = block.upsamplers[0].resample[1]
    x, plain = torch.randn(1, up.in_channels, 30, 22), up.plain
    mine = enlarge(x, up.weight, up.bias)
    for other in (up(x), plain(x)):
        assert torch.allclose(mine, other, atol=1e-4)
    ratio = products(plain, x) / products(enlarge, x, up.weight, up.bias)
    print(f"{up.in_channels} to {up.out_channels} channels: {ratio:g} times fewer products: ok")

# %% [markdown]
# ## The scale that the transformer works in
#
# Raw latents have a different range in each channel. The transformer receives them mixed with noise
# of mean 0 and standard deviation 1, so they have to be brought to that scale first. The config of
# every VAE holds both numbers for each channel. Here are ours, and the official ones, read from the
# official file:

# %%
from qwenimage_ref.course import stored_results


def statistics(path):
    config = VAEConfig.from_json(path)
    return {"mean": list(config.latents_mean), "std": list(config.latents_std)}


listed = stored_results.run("04_latent_statistics", "vae/config.json", statistics)
assert tuple(listed["mean"]) == VAEConfig().latents_mean
show.table(
    ["channel", *range(16)],
    [
        ["official mean", *(f"{m:.2f}" for m in listed["mean"])],
        ["official std", *(f"{s:.2f}" for s in listed["std"])],
        ["pocket mean", *(f"{m:.2f}" for m in vae.config.latents_mean)],
        ["pocket std", *(f"{s:.2f}" for s in vae.config.latents_std)],
    ],
)

# %% [markdown]
# ## Exercise: the right way round
#
# ★★☆☆☆ · 5 minutes
#
# Write `normalise(z, mean, std)` for raw latents `z` of shape `(B, C, h, w)`, with `mean` and `std`
# of shape `(C,)`, such that every channel has mean 0 and deviation 1 afterwards. You will know it
# works when the checker says so. Take care with the axes: our latents are 16 × 16 with 16 channels,
# so statistics along the wrong axis raise no error.


# %% tags=["exercise"]
def normalise(z, mean, std):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
normalise = answers.unless_solved(normalise, answers.EX_04_STATS)
check.ex_04_stats(normalise)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A number with mean 5 and deviation 2: how does it become one with mean 0 and deviation 1? Which
# comes first?
#
# </details>
#
# <details><summary>A hint</summary>
#
# PyTorch aligns shapes from the right, so `(C,)` is aligned with the columns `w`. Two more axes of
# length one, on the right of `C`, move it to the right place.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# mean, std = as (C, 1, 1)
# subtract the mean, then divide by std
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def normalise(z, mean, std):
#     return (z - mean[:, None, None]) / std[:, None, None]
# ```
#
# </details>

# %%
stats = [torch.tensor(values) for values in (vae.config.latents_mean, vae.config.latents_std)]
by_hand = normalise(mean, *stats)
assert torch.allclose(by_hand, vae.normalize(mean), atol=1e-5)
assert torch.allclose(vae.denormalize(by_hand), mean, atol=1e-5)
print("by hand and by the package; and denormalize leads back: ok")

# %% [markdown]
# One name invites a mistake here. The official code stores `1 / std` in a variable that it calls
# `latents_std`, and then *divides* by it, so the two reversals cancel. Copying only one of them
# gives this:

# %%
m, s = (values.view(1, 16, 1, 1) for values in stats)
ways = {
    "right": z * s + m,
    "divided by std": z / s + m,
    "mean forgotten": z * s,
    "wrong axis": z * stats[1] + stats[0],
    "not at all": z,
}
decoded = {name: vae.decode(raw[:1]) for name, raw in ways.items()}
show.grid(
    [course.to_pictures(x)[0] for x in decoded.values()],
    list(decoded),
    alt="The first poster decoded five times: right; with the deviation inverted; without "
    "the mean; with statistics along the columns; and with none: wrong colours, stripes",
    columns=5,
    scale=1,
)

# %%
fidelity = {name: course.psnr(x, img[:1]) for name, x in decoded.items()}
assert all(db < 25 < fidelity["right"] for name, db in fidelity.items() if name != "right")
print({name: round(db) for name, db in fidelity.items()})

# %% [markdown]
# Where the official weights are on the machine, the rewrite is checked on them as well:

# %%
from qwenimage_ref.checkpoint import load_into


def verify(file):
    ours = VAE(VAEConfig.from_json(file.parent / "config.json"))
    load_into(ours, file.parent, torch.float32)
    film = reference.copy_weights(ours.eval(), reference.reference_vae(ours.config))
    expected = reference.run(film, {"img": img[:1]})[0]
    assert (ours.encode(img[:1])[0] - expected).abs().max() <= within("vae") * expected.abs().max()
    assert share_explained(*latents_and_colours(ours, img), *published_fit()) > within("latent rgb")


file = "vae/diffusion_pytorch_model.safetensors"
stored_results.check(
    file, "it encodes a poster in 2-D as in 3-D, and the published preview fits it", verify
)

# %% [markdown]
# ## Latents under noise
#
# What does the transformer do with latents? It turns noise into them, step by step. How it does so
# is the subject of [chapter 08](08_the_shifted_sampler.ipynb), but three of its terms are needed
# earlier. Mix the normalised latents of a poster, the *data*, with noise:
#
# $$x = (1 - \sigma)\,\text{data} + \sigma\,\text{noise}$$
#
# As `sigma` goes from 0 to 1, `x` moves from the data to the noise along a **straight path**. The
# direction of the path, noise − data, is the **velocity**. Since it is the same everywhere on the
# path, a single step leads back: $\text{data} = x - \sigma\cdot\text{velocity}$.
#
# From `x` alone, though, the poster cannot be known, because paths from several posters pass there.
# A network that is trained with a squared error predicts the mean over all of them, the **mean
# velocity**, and the same step then ends at the **clean estimate**, the mean of the posters that
# are possible. If our twelve posters were the only ones, both could be computed exactly: each
# poster is weighted by the density of the noise that a path from it to `x` needs,
# $e^{-|\text{noise}|^2/2}$:


# %%
data = z.flatten(1)  # (12, 4096)
noise = torch.randn(4096, generator=torch.Generator().manual_seed(0))


def mean_velocity(x, sigma):
    needed = (x - (1 - sigma) * data) / sigma  # (12, 4096): the noise of each path through x
    weight = (-needed.pow(2).sum(1) / 2).softmax(0)  # (12,)
    return (weight[:, None] * (needed - data)).sum(0), weight


# %%
sigmas = (1, 0.98, 0.97, 0.96, 0.95, 0.5)
noisy = [(1 - sigma) * data[2] + sigma * noise for sigma in sigmas]
predicted = [mean_velocity(x, sigma) for x, sigma in zip(noisy, sigmas)]
clean = [x - sigma * v for x, sigma, (v, _) in zip(noisy, sigmas, predicted)]
both = torch.stack(noisy + clean).view(-1, 16, 16, 16)
show.grid(
    course.to_pictures(vae.decode(vae.denormalize(both))),
    [f"x at {sigma}" for sigma in sigmas] + [f"estimate at {sigma}" for sigma in sigmas],
    alt="Above, noise, in which a circle can be guessed at sigma 0.5 only; below, the clean "
    "estimates: a blot where all twelve posters overlap, a dark swirl, the circle from 0.96 on",
    columns=6,
    scale=1,
)

# %%
share = [weight[2].item() for _, weight in predicted]
assert torch.allclose(clean[0], data.mean(0), atol=1e-3)
assert torch.allclose(clean[-1], data[2], atol=1e-3) and share == sorted(share)
print("weight of the right poster:", ", ".join(f"{one:.2f}" for one in share))
print("at sigma 1 the estimate is the mean of all twelve, at 0.5 it is the poster: ok")

# %% [markdown]
# With 4,096 numbers, a twentieth of the data is enough to tell twelve posters apart. Among millions
# of pictures, the estimate remains a mean over several of them for longer; a prompt, which
# restricts what is possible, narrows it from the first step on.
#
# ## Estimate first
#
# Say a number before you open the fold.
#
# **1.** How many numbers are the latents of a picture of 1328 × 1328, and how many times fewer than
# the picture's?
#
# <details><summary>Answer</summary>
#
# 16 × 166 × 166 = 440,896; twelve times fewer. The sides are eight times shorter, which leaves a
# sixty-fourth, and 3 channels become 16.
#
# </details>
#
# **2.** Each layer costs its number of weights times the number of places it runs on. What costs
# more in the decoder, the last level with 96 channels at full size, or the first with 384 at an
# eighth?
#
# <details><summary>Answer</summary>
#
# The last. A convolution has 16 times fewer weights there, and runs on 64 times as many places:
# four times the work. Most of the time goes into the last two levels.
#
# </details>
#
# **3.** How many of the official file's 126.9 million numbers would you have to store for pictures
# only, in per cent?
#
# <details><summary>Answer</summary>
#
# 35 %, a little more than a third: of three taps in time one is kept, and the halving and doubling
# convolutions and the attention, which were 2-D all along, are kept whole.
#
# </details>

# %%
places = (1328 // 8) ** 2
assert (16 * places, 3 * 1328**2 / (16 * places)) == (440_896, 12)
first, last = (9 * width**2 * area for width, area in ((384, places), (96, 64 * places)))
assert last == 4 * first
assert round(100 * sum(needed.values()) / sum(held.values())) == 35
print("440,896 and 12 times; 4 times; 35 %: ok")

# %% [markdown]
# ## What production code does differently
#
# * It keeps the 3-D convolutions and a cache for frames to come, because the same class decodes
#   videos. On a still picture, two thirds of the multiplications in these layers are then by zero,
#   unless the code skips them.
# * It decodes large pictures in overlapping tiles to save memory. The attention in the middle then
#   covers a tile instead of the whole picture, so the result differs a little.
# * For training, `mean` of every picture is computed once and stored. Image-to-image pipelines
#   sample from the distribution instead of taking its mean.
# * It convolves the repeated pixels; only our package adds up the weights first.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The VAE: [Kingma and Welling 2013](https://arxiv.org/abs/1312.6114), section 3 and appendix B.
#   Diffusion in its latents: [Rombach et al. 2021](https://arxiv.org/abs/2112.10752), section
#   3.1.
# * This architecture: [Wan, 2025](https://arxiv.org/abs/2503.20314), section on the VAE. What
#   Qwen-Image changed: [report](https://arxiv.org/abs/2508.02324), section 2 and Table 2.
# * SD3 went from 4 latent channels to 16 because this improves the reconstruction ([Esser et al.
#   2024](https://arxiv.org/abs/2403.03206), section 5.2.1).
# * FLUX.1 also has 16 channels, in a VAE for still images, and normalises all of them with one
#   shift and one scale, 0.1159 and 0.3611
#   ([util.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py)), where
#   Qwen-Image has a mean and a deviation for each channel.
#
# </details>
#
# ## Try this
#
# * Encode a picture that is not a poster, such as noise, or a photograph of yours whose sides are
#   multiples of 8. How many decibels are left, and what does the pocket VAE make of a face?
# * Move the widget's factor to -1. What is the opposite of a channel?
# * Shift the latents by one place with `z.roll(1, 3)` and decode. Then shift by half a place.
# * Mix the latents of two posters half and half and decode; then mix the pixels. How do the two
#   results differ?
# * Quantise `z` to 16 levels. At how many levels do you see a difference?
#
# Capstone: `vae.py` can be written now: `make grade PART=vae`, 18 points.
#
# Next: [05 · MSRoPE](05_msrope.ipynb), how positions get into attention.
