"""A pocket image to LoRA: one look at a poster in some style writes the LoRA of that style.

A style is a palette: one paper and one colour of all shapes, whatever the captions say.

    python -m qwenimage_ref.pocket.stylist     resumes where it was stopped

The picture's vector is made of Gram matrices of its latents: how often two channels are large
together, at one place and at neighbouring ones, wherever on the picture that is. The network has
the official structure. In training the adapter that it writes is attached as it is in the pipeline,
and its gradient is handed on to the network.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from ..adapt import image_to_lora
from ..adapt.image_to_lora import ImageToLoRA, ImageToLoRAConfig, Matrices
from ..adapt.lora import LoRA
from ..checkpoint.write import save_file
from ..config import MMDiTConfig
from ..files import whole_file
from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters.styles import Style, sample_style, styled_poster
from ..repository import POCKET, ROOT, in_a_clone
from ..train.dmd2 import with_slope
from ..train.flow import flow_step, sample_sigma
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from ..train.state import digest
from .train import SIGMA_SHIFT

RANK, COMPRESS = 2, 16
NEIGHBOURS = ((0, 0), (1, 0), (0, 1))  # rows and columns from one place to the other


@dataclass(frozen=True)
class StyleLesson:
    """Each step has a style of its own: one poster to look at, and others to paint in it."""

    # rate: with 2e-3 the loss rose from 0.34 to 2.2 between steps 50 and 100 and stayed above 1.4
    recipe: Recipe = Recipe(steps=1500, batch=8, lr=2e-4, warmup=50, decay_from=0.3, ema=0.98)
    first: int = 0

    def style(self, step: int) -> Style:
        return sample_style(self.first + step)

    def posters(self, step: int) -> tuple[list, list[str]]:
        """-> pictures (H, W, 3) uint8 and their captions; the first is the one to look at

        The captions are those of the plain posters, and name the plain colours and paper.
        """
        count, style = self.recipe.batch + 1, self.style(step)
        seeds = range((self.first + step) * count, (self.first + step + 1) * count)
        drawn = [styled_poster(style, seed) for seed in seeds]
        return [picture for _, picture, _ in drawn], [text for *_, text in drawn]


LESSON = StyleLesson()


def config_for(transformer: MMDiTConfig) -> ImageToLoRAConfig:
    """The numbers of the network that writes for a transformer of these numbers"""
    length = len(vector_of(torch.zeros(transformer.out_channels, 2, 2)))
    return ImageToLoRAConfig(
        transformer.num_layers, transformer.inner_dim, length, COMPRESS, RANK, residual_length=0
    )


def vector_of(latents: torch.Tensor) -> torch.Tensor:
    """(C, h, w) -> (3 (C + 1)(C + 2) / 2,): Gram matrices at one place and at neighbouring ones

    A channel of ones beside the others adds their means.
    """
    _, h, w = latents.shape
    channels = torch.cat([latents, torch.ones(1, h, w).to(latents)])
    upper = torch.triu_indices(len(channels), len(channels))
    parts = []
    for down, right in NEIGHBOURS:
        here = channels[:, : h - down, : w - right].flatten(1)
        there = channels[:, down:, right:].flatten(1)
        gram = here @ there.T / here.shape[1]
        parts.append(((gram + gram.T) / 2)[upper[0], upper[1]])
    return torch.cat(parts)


@torch.no_grad()
def look(pipe: QwenImage, picture) -> torch.Tensor:
    """A picture, PIL or (H, W, 3) uint8 -> its vector"""
    img = to_input([picture]).to(pipe.device, pipe.dtype)
    return vector_of(pipe.vae.normalize(pipe.vae.encode(img)[0])[0])


def attach(pipe: QwenImage, network: ImageToLoRA, pictures: list[Image.Image]) -> LoRA:
    """Pictures of one style -> its LoRA on the pipeline's transformer; ranks add up"""
    with torch.no_grad():
        written = [network(look(pipe, picture)) for picture in pictures]
    return image_to_lora.attach(pipe.transformer, image_to_lora.joined(written))


def through(adapter: LoRA, matrices: Matrices, loss_of) -> torch.Tensor:
    """The loss of a network with a written adapter, whose gradient reaches the one that wrote it

    loss_of() -> (), with the adapter in place.
    """
    pairs, wrote = adapter.named_pairs(), []
    with torch.no_grad():
        for name, pair in pairs.items():
            for weight, value in zip((pair.lora_A, pair.lora_B), matrices[name]):
                weight.copy_(value)
                wrote.append((weight, value))
    loss = loss_of()
    # careful: the last block's text output is used by nothing, and has no gradient
    slopes = torch.autograd.grad(loss, [weight for weight, _ in wrote], allow_unused=True)
    loss = loss.detach()
    for (_, value), slope in zip(wrote, slopes):
        if slope is not None:
            loss = with_slope(loss, value, slope)
    return loss


def train(pipe: QwenImage, folder: Path, lesson: StyleLesson = LESSON, **fit) -> ImageToLoRA:
    """Train a network on the pipeline's frozen MMDiT -> the network, with averaged weights"""
    recipe, mmdit = lesson.recipe, pipe.transformer.requires_grad_(False)
    network = new_network(config_for(mmdit.config), recipe.seed)
    with torch.no_grad():
        adapter = image_to_lora.attach(mmdit, network(torch.zeros(network.config.in_dim)))
    run = Run(network, recipe, folder, origin=f"{digest(pipe.vae)} {digest(mmdit)} {lesson!r}")

    def loss_at(step: int) -> torch.Tensor:
        rng, (pictures, captions) = recipe.generator(step), lesson.posters(step)
        with torch.no_grad():
            latents = pipe.vae.normalize(pipe.vae.encode(to_input(pictures))[0])
            txt, mask = pipe.encode_prompt(captions[1:])
        noise = torch.randn(latents[1:].shape, generator=rng)
        sigma = sample_sigma(recipe.batch, SIGMA_SHIFT, rng)

        def loss_of():
            with mixed():
                return flow_step(mmdit, latents[1:], noise, sigma, txt, mask)

        return through(adapter, network(vector_of(latents[0])), loss_of)

    run.fit(loss_at, **fit)
    run.use_average()
    adapter.remove()
    return network.requires_grad_(False)


def new_network(config: ImageToLoRAConfig, seed: int) -> ImageToLoRA:
    """An untrained network whose adapters add nothing; its weights are those of the seed."""
    network, generator = ImageToLoRA(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            bound = parameter.shape[1] ** -0.5
            parameter.uniform_(-bound, bound, generator=generator)
    network.initialise()
    return network


def save(network: ImageToLoRA, file: Path) -> None:
    """Write the network in bf16, with the official names."""
    tensors = {name: weight.bfloat16() for name, weight in network.state_dict().items()}
    with whole_file(file) as partial:
        save_file(tensors, partial)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.stylist")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "stylist", metavar="FOLDER")
    parser.add_argument("--to", type=Path, metavar="FILE", help="default RUNS/stylist.safetensors")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.base)
    save(train(pipe, options.runs), options.to or options.runs / "stylist.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
