"""Chapter 09: text to image."""

import torch
import torch.nn.functional as F

from ..answers import EX_09_IMG2IMG
from .common import exercise, need
from .parts import ex_09_noise, ex_09_pixels, ex_09_states  # noqa: F401
from .whole_pipeline import ex_09_paint  # noqa: F401


class _VAE:
    """Stands in for the pipeline's: its raw latents are far from mean 0 and deviation 1."""

    def encode(self, img):
        """(1, 3, H, W) -> (1, 3, h, w), (1, 3, h, w)"""
        mean = F.avg_pool2d(img, 8)
        return mean, torch.full_like(mean, -9.0)

    def normalize(self, z):
        """(1, 3, h, w) -> (1, 3, h, w)"""
        return 2 * z + torch.tensor([0.5, -0.7, 1.5]).view(1, 3, 1, 1)

    def denormalize(self, z):
        """(1, 3, h, w) -> (1, 3, h, w)"""
        return (z - torch.tensor([0.5, -0.7, 1.5]).view(1, 3, 1, 1)) / 2


class _Stage:
    """Stands in for a pipeline: writes down what it is asked to denoise."""

    def __init__(self):
        self.vae, self.asked = _VAE(), []

    def denoise(
        self, latents, levels, cond, uncond=None, true_cfg_scale=4.0, keep=None, callback=None
    ):
        """(1, 3, h, w), (steps + 1,) -> (1, 3, h, w)"""
        self.asked.append((latents, torch.as_tensor(levels), cond, uncond))
        return latents - 100


@exercise
def ex_09_img2img(image_to_image) -> str:
    """Image to image on a stage that keeps what reaches the loop, at six strengths."""
    generator = torch.Generator().manual_seed(9)
    img = torch.rand(1, 3, 40, 24, generator=generator) * 2 - 1
    noise = torch.randn(1, 3, 5, 3, generator=generator)
    cond, uncond = ("states of the prompt", None), ("states of the negative prompt", None)
    for steps, strength in ((10, 0.7), (20, 0.6), (5, 0.3), (10, 0.8), (10, 0.9), (4, 1.0)):
        levels = torch.linspace(1, 0, steps + 1) ** 0.5
        stage, right = _Stage(), _Stage()
        answer = image_to_image(stage, img, noise, levels, strength, cond, uncond)
        EX_09_IMG2IMG(right, img, noise, levels, strength, cond, uncond)
        need(len(stage.asked) == 1, "let `pipe.denoise` take the steps, in one call")
        x, left, *states = stage.asked[0]
        _levels(left, right.asked[0][1], levels, strength)
        need(
            states == [cond, uncond],
            "the loop needs the states of the prompt and then those of the negative prompt",
        )
        _start(x, right.asked[0][0], _VAE(), img, noise, left, strength)
        need(
            isinstance(answer, torch.Tensor) and torch.equal(answer, x - 100),
            "give back what the loop returned",
        )
    return "under noise as deep as the strength says, and painted from there"


def _levels(left, right, levels, strength: float) -> None:
    """Whether the loop was given the right end of the schedule."""
    steps, taken, due = len(levels) - 1, len(left) - 1, len(right) - 1
    of = f"strength {strength} of {steps} steps:"
    need(taken > 0 and left[-1] == levels[-1], f"{of} painting has to go on down to sigma 0")
    need(
        taken < steps or due == steps,
        f"{of} yours takes all of them; skip those above the level you begin at",
    )
    skipped = steps - due
    need(
        taken != skipped or skipped == due,
        f"{of} yours takes {taken}; a larger strength has to take more of them",
    )
    whole = abs(steps * strength - round(steps * strength)) < 1e-9
    need(
        taken != due + 1 or not whole,
        f"{of} yours takes one too many: 1 - {strength} is {1 - strength!r} in floating point, and "
        "a product a hair below an integer is cut to the one before; subtract from the "
        "number of steps instead",
    )
    need(
        taken == due,
        f"{of} {due} should be taken, and yours takes {taken}; where the number of steps to skip "
        "is no integer, skip one less rather than one more",
    )
    need(torch.equal(left, right), f"{of} right in number, but they are not the schedule's last")


def _start(x, right, vae, img, noise, left, strength: float) -> None:
    """Whether the latents at the start are the picture under the right noise."""
    need(
        isinstance(x, torch.Tensor) and x.shape == right.shape,
        f"the loop wants latents, here {tuple(right.shape)}; is the picture encoded?",
    )
    raw, sigma = vae.encode(img)[0], left[0]
    clean = vae.normalize(raw)

    def mixed(data, level):
        return (1 - level) * data + level * noise

    mistakes = (
        (clean, "there is no noise in it, though the level says that there is"),
        (clean + sigma * noise, "the noise is added, but the picture keeps its full weight: mix"),
        (clean + noise, "the noise is added in full: mix picture and noise"),
        (noise, "only the noise is left at the start; where is the picture?"),
        (mixed(raw, sigma), "the latents are raw: the network works on normalised ones"),
        (mixed(vae.denormalize(raw), sigma), "the latents are normalised the wrong way round"),
        (vae.normalize(mixed(raw, sigma)), "normalise the picture before the noise comes in"),
        (sigma * clean + (1 - sigma) * noise, "at a high sigma there is much noise, not little"),
        (mixed(clean, left[1]), "the noise fits the next level, not the one the loop begins at"),
        (
            mixed(clean, strength),
            "the strength is no noise level: look up how deep the noise is at the first step taken",
        ),
    )
    for wrong, hint in mistakes:
        need(not torch.allclose(x, wrong, atol=1e-5) or torch.allclose(right, wrong), hint)
    need(
        torch.allclose(x, right, atol=1e-5),
        "the start is not the picture and the noise, mixed for the level of the first step taken",
    )
