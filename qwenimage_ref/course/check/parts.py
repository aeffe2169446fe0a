"""Chapter 09, steps to a pipeline: text states, noise, and pixels."""

from types import SimpleNamespace

import torch

from ...sampler import pack, unpack
from ..answers import EX_09_NOISE, EX_09_PIXELS, EX_09_STATES
from .common import exercise, need, need_all, need_none
from .stand_ins import VAE, Parts, numbers


def near(a, b) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


# ---- text states


def _is_mask(mask) -> bool:
    return isinstance(mask, torch.Tensor) and mask.dtype == torch.bool


def _states_from(seen, first: int, zeroed: bool = True):
    """The states with other ones dropped, or with those of padding left as they are."""
    states = Parts().text_encoder(seen.right_ids, seen.real)
    return (states * seen.real.unsqueeze(-1) if zeroed else states)[:, first:]


STATES = (  # what must hold of the states of several prompts
    (lambda seen: len(seen.calls) > 0, "the text encoder is never called"),
    (
        lambda seen: (
            len(seen.calls) == 1 and isinstance(seen.ids, torch.Tensor) and seen.ids.dim() == 2
        ),
        "give the text encoder all prompts in one call, as ids of shape (B, n)",
    ),
    (
        lambda seen: not torch.equal(seen.ids, seen.right_ids[:, seen.start :]),
        "the template's beginning is dropped before the text encoder runs; the prompt attends to "
        "it, so drop its states afterwards",
    ),
    (
        lambda seen: seen.ids.shape[1] == seen.right_ids.shape[1],
        lambda seen: (
            f"the longest prompt has {seen.right_ids.shape[1]} ids with its template, and "
            f"your rows have {seen.ids.shape[1]}"
        ),
    ),
    (
        lambda seen: torch.equal(seen.ids[seen.real], seen.right_ids[seen.real]),
        "the ids of a shorter prompt do not begin its row; padding comes behind them",
    ),
    (
        lambda seen: torch.equal(seen.ids, seen.right_ids),
        "a row is filled up with `pad_id` of the tokenizer, and yours with another id",
    ),
    (
        lambda seen: isinstance(seen.states, torch.Tensor) and seen.states.dim() == 3,
        "the states are a tensor of shape (B, T, Dt)",
    ),
    (
        lambda seen: seen.states.shape[1] != seen.right_ids.shape[1],
        "the states of the template's beginning are still there; drop `prefix_length` of them",
    ),
    (
        lambda seen: not near(seen.states, _states_from(seen, 0)[:, : seen.right.shape[1]]),
        "as many states are dropped as should be, but from the end; drop the first",
    ),
    (
        lambda seen: seen.states.shape == seen.right.shape,
        lambda seen: (
            f"the states should have shape {tuple(seen.right.shape)}, and yours have "
            f"{tuple(seen.states.shape)}"
        ),
    ),
    (
        lambda seen: not near(seen.states, _states_from(seen, seen.start, zeroed=False)),
        "the states of padding should be 0, and yours are what the encoder made of them",
    ),
    (
        lambda seen: near(seen.states, seen.right),
        "the states are not right; did the encoder get the mask, true where a token is real?",
    ),
    (
        lambda seen: _is_mask(seen.mask),
        "some prompts are shorter, so give a mask of truth values beside the states",
    ),
    (
        lambda seen: seen.mask.shape == seen.states.shape[:2],
        "the mask is as long as the states: drop the template's beginning from it, too",
    ),
    (
        lambda seen: not torch.equal(seen.mask, ~seen.real[:, seen.start :]),
        "the mask is the wrong way round: true means that a token is real",
    ),
    (lambda seen: torch.equal(seen.mask, seen.real[:, seen.start :]), "the mask is not right"),
)


@exercise
def ex_09_states(my_states) -> str:
    """my_states(parts, prompts): text states without the template's beginning, and their mask."""
    for prompts, start, pad in (
        *((["a star", "two blue rings"], 3, 1), (["red", "", "a gray square", "green"], 5, 2)),
        (["ring"], 4, 3),
    ):
        parts, right = Parts(start, pad), Parts(start, pad)
        given = my_states(parts, prompts)
        need(
            isinstance(given, (tuple, list)) and len(given) == 2,
            "give two things: the states, and the mask or None",
        )
        states, mask = EX_09_STATES(right, prompts)
        lengths = torch.tensor([[len(parts.tokenizer.encode_prompt(one))] for one in prompts])
        seen = SimpleNamespace(
            **{"states": given[0], "mask": given[1], "right": states},
            **{"calls": parts.text_encoder.calls, "right_ids": right.text_encoder.calls[0]},
            **{"real": torch.arange(lengths.max()) < lengths, "start": start},
        )
        seen.ids = seen.calls[0] if seen.calls else None
        need_all(seen, STATES if len(prompts) > 1 else STATES[:2])
        need(
            mask is not None or given[1] is None,
            "nothing is padded here, so the mask is None; attention is faster without one",
        )
        need(near(given[0], states), "the states of a single prompt are not right")
    return "padded, read together, and the template's beginning dropped"


# ---- noise


def _drawn(seeds, shape):
    return torch.cat(
        [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def _one_generator(seeds, height, width):
    generator = torch.Generator().manual_seed(seeds[0])
    return pack(torch.randn(len(seeds), 16, height // 8, width // 8, generator=generator))


def _tokens(latents, order: tuple):
    """Latents in patches whose numbers stand in another order, (c, dy, dx) as axes."""
    B, _, h, w = latents.shape
    patches = latents.view(B, -1, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.permute(0, 1, 2, *(3 + axis for axis in order)).reshape(B, h * w // 4, -1)


NOISE = (  # wrong answers
    (
        _one_generator,
        "all pictures come from one generator; each seed has its own, so that a picture does not "
        "depend on its neighbours",
    ),
    (
        lambda seeds, height, width: EX_09_NOISE(seeds[:1] * len(seeds), height, width),
        "every picture has the noise of the first seed",
    ),
    (
        lambda seeds, height, width: EX_09_NOISE(seeds, width, height),
        "height and width are exchanged: rows come first",
    ),
    (
        lambda seeds, height, width: _tokens(
            _drawn(seeds, (1, 16, height // 8, width // 8)), (1, 2, 0)
        ),
        "the numbers of a token are in another order: channel by channel, and in each the patch",
    ),
    (
        lambda seeds, height, width: _drawn(seeds, (1, height * width // 256, 64)),
        "the noise is drawn as tokens; it is drawn as latents and packed, or the seed means "
        "another picture",
    ),
)


@exercise
def ex_09_noise(my_noise) -> str:
    """my_noise(seeds, height, width): packed noise, each picture from its own seed."""
    for seeds, height, width in (([3, 4], 96, 160), ([7], 128, 128), ([2, 0, 2], 32, 80)):
        before = torch.get_rng_state()
        given, right = my_noise(seeds, height, width), EX_09_NOISE(seeds, height, width)
        need(
            torch.equal(torch.get_rng_state(), before),
            "your function draws from torch's global generator, which others use as well",
        )
        need(isinstance(given, torch.Tensor), "give a tensor")
        need(
            given.dim() != 4,
            "that is the noise as latents; the transformer works on packed tokens",
        )
        need(
            given.shape == right.shape,
            f"{len(seeds)} pictures of {height} × {width} are tokens of shape "
            f"{tuple(right.shape)}, and yours have {tuple(given.shape)}",
        )
        if len(seeds) == 2:
            need_none(given, NOISE, near, seeds, height, width)
        need(near(given, right), "the noise is not that of these seeds")
    return "as many generators as pictures, and tokens of 64 numbers"


# ---- pixels


def _shown(vae, latents):
    return (vae.decode(latents) / 2 + 0.5).permute(0, 2, 3, 1)


PIXELS = (  # wrong answers
    (
        lambda vae, x, rows, cols: _shown(vae, unpack(x, rows, cols)),
        "the VAE decodes raw latents, and the loop worked on normalised ones",
    ),
    (
        lambda vae, x, rows, cols: _shown(vae, vae.normalize(unpack(x, rows, cols))),
        "the latents are normalised once more; they have to go the other way",
    ),
    (
        lambda vae, x, rows, cols: 2 * EX_09_PIXELS(vae, x, rows, cols) - 1,
        "the VAE's pixels lie between -1 and 1; yours should lie between 0 and 1",
    ),
    (
        lambda vae, x, rows, cols: 255 * EX_09_PIXELS(vae, x, rows, cols),
        "your pixels lie between 0 and 255; they should lie between 0 and 1",
    ),
    (
        lambda vae, x, rows, cols: EX_09_PIXELS(
            vae, x.unflatten(-1, (2, 2, -1)).permute(0, 1, 4, 2, 3).flatten(2), rows, cols
        ),
        "the numbers of a token are taken in another order: channel by channel, and in each the "
        "patch, row by row",
    ),
    (
        lambda vae, x, rows, cols: EX_09_PIXELS(
            vae, x.unflatten(-1, (-1, 2, 2)).transpose(-1, -2).flatten(2), rows, cols
        ),
        "rows and columns are exchanged inside of every patch",
    ),
)


@exercise
def ex_09_pixels(my_pixels) -> str:
    """my_pixels(vae, x, rows, cols): tokens to the pixels of a picture, from 0 to 1."""
    for batch, rows, cols, channels in ((2, 3, 5, 4), (1, 4, 2, 16), (3, 2, 2, 6)):
        vae, x = VAE(channels), numbers(batch, rows * cols, 4 * channels, seed=5)
        given, right = my_pixels(vae, x, rows, cols), EX_09_PIXELS(vae, x, rows, cols)
        need(isinstance(given, torch.Tensor), "give a tensor")
        need(
            given.shape != right.permute(0, 3, 1, 2).shape,
            "the colours of a pixel come last, as every picture file has them",
        )
        need(
            given.shape == right.shape,
            f"{rows} × {cols} tokens are pixels of shape {tuple(right.shape)}, and yours have "
            f"{tuple(given.shape)}",
        )
        need_none(given, PIXELS, near, vae, x, rows, cols)
        need(near(given, right), "the pixels are not right; compare with `unpack` first")
    return "unpacked, brought back to the VAE's scale, decoded"
