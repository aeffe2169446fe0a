"""Three ways to control the pocket model by edges, trained alike: who follows a picture best?

    python -m qwenimage_ref.pocket.controls KIND     union, blockwise or in-context; resumes

`union` is InstantX's kind: a copy of the first blocks that runs beside the MMDiT. `blockwise` is
DiffSynth's: two linear layers behind each block. `in-context` changes no architecture: the tokens
of the edges stand behind the target's, and a LoRA teaches what they mean. All see the same posters,
edges, noise and number of steps; the painter itself is frozen.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..adapt import lora
from ..adapt.control import Applied, Controlled
from ..checkpoint.write import save_file
from ..controlnet import ControlNet, ControlNetConfig
from ..mmdit import Call, MMDiT
from ..pipeline import QwenImage
from ..posters.draw import place
from ..posters.scene import SQUARE, Mixture, Scene
from ..posters.understanding import edges
from ..repository import POCKET, ROOT, in_a_clone
from ..sampler import pack
from ..tasks.regions import context_prompt
from ..train.control import new_network
from ..train.flow import sample_sigma
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from ..train.state import digest
from .curriculum import Phase
from .train import CAPTION_DROPOUT, SIGMA_SHIFT, Latents

RECIPE = Recipe(steps=800, batch=32, lr=1e-3, decay_from=0.3, ema=0.99)
LESSON = Phase(RECIPE, 5_000_000, posters=16_384, mixture=Mixture(sizes=(SQUARE,), words=0.6))
COPIED = 2  # blocks of the MMDiT in the union network, a quarter of them; officially 5 of 60
RANK = 16  # rank of the LoRA in context; officially 64


def edges_of(scene: Scene, seed: int) -> np.ndarray:
    """Scene and seed of a poster -> (H, W, 3) uint8, its contours"""
    return edges(place(scene, seed))


def copied_network(mmdit: MMDiT, blocks: int = COPIED) -> ControlNet:
    """A union network that adds nothing: the MMDiT's first blocks, and zero where it comes out"""
    own = {"num_layers": blocks, "extra_condition_channels": 0}
    network = ControlNet(ControlNetConfig.from_dict(mmdit.config.to_dict() | own))
    state = mmdit.state_dict()
    network.load_state_dict({k: state.get(k, v) for k, v in network.state_dict().items()})
    return network


@dataclass
class Kind:
    """A way of control: what is trained, and how it is called in place of the MMDiT"""

    trained: nn.Module
    velocity: Callable  # img (B, I, 64), edges (B, I, 64), txt, mask, sigma, grid -> (B, I, 64)
    worded: Callable[[str], str] = str  # a caption -> its prompt


def _beside(mmdit: MMDiT, network) -> Kind:
    def velocity(img, control, txt, mask, sigma, grid):
        run = Controlled(mmdit, [Applied(network, control)], steps=1)
        return run.many([Call(img, txt, sigma, [grid], mask)])[0]

    return Kind(network, velocity)


def _in_context(mmdit: MMDiT) -> Kind:
    def velocity(img, control, txt, mask, sigma, grid):
        return mmdit(torch.cat([img, control], dim=1), txt, sigma, [grid, grid], mask)

    adapter = lora.inject(mmdit, lora.TARGETS["DiffSynth"], RANK)
    return Kind(adapter, velocity, context_prompt)


KINDS: dict[str, Callable[[MMDiT], Kind]] = {
    "union": lambda mmdit: _beside(mmdit, copied_network(mmdit)),
    "blockwise": lambda mmdit: _beside(mmdit, new_network(mmdit)),
    "in-context": _in_context,
}


def train(pipe: QwenImage, name: str, folder: Path, lesson: Phase = LESSON, **fit) -> nn.Module:
    """Train one kind on the pipeline's frozen painter -> the network, or the LoRA on the MMDiT"""
    recipe, vae = lesson.recipe, digest(pipe.vae)
    origin = " ".join([vae, digest(pipe.transformer), name, repr(lesson)])
    pipe.transformer.requires_grad_(False)
    kind = KINDS[name](pipe.transformer)
    run = Run(kind.trained.requires_grad_(True), recipe, folder / name, origin=origin)
    data = Latents(pipe.vae, lesson, folder / f"latents-{vae}")
    shown = Latents(pipe.vae, lesson, folder / f"edges-{vae}", edges_of)

    def loss_at(step):
        rng, count = recipe.generator(step), recipe.batch
        numbers = range(step * count, (step + 1) * count)
        drop = torch.rand(count, generator=rng) < CAPTION_DROPOUT
        captions = [" " if drop[i] else lesson.prompt(n) for i, n in enumerate(numbers)]
        with torch.no_grad():
            txt, mask = pipe.encode_prompt([kind.worded(caption) for caption in captions])
        places = [lesson.place(n) for n in numbers]
        latents, control = data[places], shown[places]
        noise = torch.randn(latents.shape, generator=rng)
        sigma = sample_sigma(count, SIGMA_SHIFT, rng)
        level, grid = sigma.view(-1, 1, 1, 1), (1, latents.shape[2] // 2, latents.shape[3] // 2)
        noisy = pack((1 - level) * latents + level * noise)
        with mixed():
            velocity = kind.velocity(noisy, pack(control), txt, mask, sigma, grid)
        return (velocity.float() - pack(noise - latents)).pow(2).mean()

    run.fit(loss_at, **fit)
    run.use_average()
    return kind.trained.requires_grad_(False)


def save(pipe: QwenImage, trained: nn.Module, file: Path) -> None:
    """The network, or the LoRA on the MMDiT, as one file in bf16"""
    if isinstance(trained, lora.LoRA):
        trained.to(torch.bfloat16)
        lora.save(pipe.transformer, file)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: each.bfloat16() for name, each in trained.state_dict().items()}, file)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.controls")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "controls", metavar="FOLDER")
    parser.add_argument("--to", type=Path, metavar="FILE", help="default RUNS/KIND.safetensors")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.base)
    trained = train(pipe, options.kind, options.runs)
    save(pipe, trained, options.to or options.runs / f"{options.kind}.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
