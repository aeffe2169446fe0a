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
# # 09 · Text to image: second variants
#
# ## States, one prompt at a time
#
# ★★★☆☆ · 20 minutes
#
# Write `my_states(parts, prompts, most)`. Every prompt is encoded alone, without a mask; the states
# of the template's beginning are dropped and at most `most` of the others kept, the first ones.
# Give the states of all prompts in one tensor (B, T, Dt), filled up with 0 behind the shorter ones,
# and how many each prompt has, a tensor (B,) of whole numbers.


# %% tags=["solution"] exercise="ex_09_states"
def my_states(parts, prompts, most):
    """B prompts -> (B, T, Dt), (B,)"""
    ### BEGIN SOLUTION
    import torch

    each = []
    for prompt in prompts:
        ids = torch.tensor([parts.tokenizer.encode_prompt(prompt)])
        states = parts.text_encoder(ids, None)[0, parts.tokenizer.prefix_length :]
        each.append(states[:most])
    lengths = torch.tensor([len(states) for states in each])
    return torch.nn.utils.rnn.pad_sequence(each, batch_first=True), lengths
    ### END SOLUTION


# %% tags=["test"] points=3
from types import SimpleNamespace

import torch

words = SimpleNamespace(prefix_length=2, encode_prompt=lambda text: [7, 8, *map(ord, text), 9])
seen = []


def text_encoder(ids, mask):
    seen.append((ids, mask))
    return ids.unsqueeze(-1) * torch.tensor([1.0, 10.0])


parts = SimpleNamespace(tokenizer=words, text_encoder=text_encoder)
assert my_states(parts, ["ab", "c"], 9)[0].shape == (2, 3, 2)
### BEGIN HIDDEN TESTS
states, lengths = my_states(parts, ["ab", "c"], 9)
assert lengths.tolist() == [3, 2]
assert torch.equal(states[0, :, 0], torch.tensor([97.0, 98, 9]))
assert torch.equal(states[1, :, 1], torch.tensor([990.0, 90, 0]))
states, lengths = my_states(parts, ["abcd", "", "xy"], 2)
assert lengths.tolist() == [2, 1, 2]
assert torch.equal(states[..., 0], torch.tensor([[97.0, 98], [9, 0], [120, 121]]))
assert all(ids.shape[0] == 1 and mask is None for ids, mask in seen)
### END HIDDEN TESTS

# %% [markdown]
# ## Noise for a batch of one seed
#
# ★★☆☆☆ · 10 minutes
#
# Some programs give a whole batch a single seed. Write `my_noise(seed, count, height, width)`: the
# noise of `count` pictures, drawn one after the other from one generator, packed (B, I, 64). The
# first picture is then the same for every `count`.


# %% tags=["solution"] exercise="ex_09_noise"
def my_noise(seed, count, height, width):
    """-> (B, I, 64)"""
    ### BEGIN SOLUTION
    import torch

    from qwenimage_ref.sampler import pack

    generator = torch.Generator().manual_seed(seed)
    return pack(torch.randn(count, 16, height // 8, width // 8, generator=generator))
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

assert my_noise(0, 2, 64, 48).shape == (2, 12, 64)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(5)
right = [torch.randn(1, 16, 4, 6, generator=generator) for _ in range(3)]
for count in (1, 3):
    tokens = my_noise(5, count, 32, 48)
    for picture, latents in zip(tokens, right):
        patch = latents[0, :, 2:4, 4:6].flatten()  # second row, third column
        assert torch.equal(picture[1 * 3 + 2], patch)
assert not torch.equal(my_noise(5, 1, 32, 48), my_noise(6, 1, 32, 48))
### END HIDDEN TESTS

# %% [markdown]
# ## From pixels to tokens
#
# ★★★☆☆ · 15 minutes
#
# Write `my_tokens(vae, pixels)`, for pixels (B, H, W, 3) from 0 to 1: the tokens (B, I, 4C) of the
# latents' mean, normalised. `vae.encode(img)` wants colours first and from -1 to 1, and gives mean
# and log-variance. Pack without the package: a token holds its patch in the order (c, dy, dx).


# %% tags=["solution"] exercise="ex_09_pixels"
def my_tokens(vae, pixels):
    """(B, H, W, 3) -> (B, I, 4C)"""
    ### BEGIN SOLUTION
    latents = vae.normalize(vae.encode(2 * pixels.permute(0, 3, 1, 2) - 1)[0])
    B, C, h, w = latents.shape
    patches = latents.view(B, C, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(B, h * w // 4, 4 * C)
    ### END SOLUTION


# %% tags=["test"] points=3
from types import SimpleNamespace

import torch

vae = SimpleNamespace(encode=lambda img: (img[..., ::8, ::8], None), normalize=lambda z: 3 * z)
pixels = torch.rand(2, 32, 48, 3, generator=torch.Generator().manual_seed(0))
assert my_tokens(vae, pixels).shape == (2, 6, 12)
### BEGIN HIDDEN TESTS
tokens, latents = my_tokens(vae, pixels), 3 * (2 * pixels[:, ::8, ::8] - 1).permute(0, 3, 1, 2)
for row in range(2):
    for col in range(3):
        patch = latents[:, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].flatten(1)
        assert torch.allclose(tokens[:, 3 * row + col], patch, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## From a noise level
#
# ★★★☆☆ · 15 minutes
#
# Write `image_to_image(pipe, img, noise, levels, highest, cond, uncond)`: encode and normalise the
# picture, begin at the first of the `levels` that is at most `highest`, and denoise from there.
# `pipe.vae.encode(img)` gives mean and log-variance, `pipe.denoise(x, levels, cond, uncond)` the
# latents.


# %% tags=["solution"] exercise="ex_09_img2img"
def image_to_image(pipe, img, noise, levels, highest, cond, uncond):
    """(1, 3, H, W), (1, C, h, w), (steps + 1,) -> (1, C, h, w)"""
    ### BEGIN SOLUTION
    first = next(i for i, level in enumerate(levels) if level <= highest)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)
    ### END SOLUTION


# %% tags=["test"] points=3
from types import SimpleNamespace

import torch

vae = SimpleNamespace(encode=lambda img: (img * 2, None), normalize=lambda z: z - 1)
pipe = SimpleNamespace(vae=vae, denoise=lambda x, levels, cond, uncond: (x, levels, cond, uncond))
levels = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
img, noise = torch.full((1, 3, 2, 2), 3.0), torch.full((1, 3, 2, 2), -7.0)
image_to_image(pipe, img, noise, levels, 0.6, "cond", "uncond")
### BEGIN HIDDEN TESTS
for highest, first in ((0.6, 2), (0.5, 2), (1.0, 0), (0.79, 2), (0.1, 4)):
    x, left, cond, uncond = image_to_image(pipe, img, noise, levels, highest, "cond", "uncond")
    assert torch.equal(left, levels[first:]), f"highest {highest}"
    right = (1 - levels[first]) * 5.0 - levels[first] * 7.0
    assert torch.allclose(x, right.expand_as(x)) and (cond, uncond) == ("cond", "uncond")
### END HIDDEN TESTS
