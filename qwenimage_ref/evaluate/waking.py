"""The first steps of a new control network: which of its layers move, and when?

    python -m qwenimage_ref.evaluate.waking     writes data/measurements/waking.json

Layers that begin as zeros hide others from the gradient. For each step the loss is written down,
and for each part of the network the length of its gradient and of its weights.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..pictures import to_input
from ..pipeline import QwenImage
from ..pocket import controls
from ..pocket.train import SIGMA_SHIFT
from ..posters.captions import caption
from ..posters.draw import paint, place
from ..posters.scene import sample
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..sampler import pack
from ..train.flow import sample_sigma
from .survey import terms_of

RECORD = MEASUREMENTS / "waking.json"
PARTS = {  # names in a network's weights, from the picture to what is added
    "blockwise": ("img_in", "input_proj", "output_proj"),
    "union": ("controlnet_x_embedder", "transformer_blocks", "controlnet_blocks"),
}
RATE = 1e-3
FIRST_SEED = 60_000_000  # number of the first poster


@dataclass(frozen=True)
class Posters:
    """Some posters, their edges and captions, encoded"""

    latents: Tensor  # (N, 16, h, w)
    edges: Tensor  # (N, 16, h, w)
    txt: Tensor  # (N, T, Dt)
    mask: Tensor | None  # (N, T)

    def batch(self, count: int, rng: torch.Generator) -> "Posters":
        """Some of them, drawn at random"""
        chosen = torch.randperm(len(self.latents), generator=rng)[:count]
        mask = None if self.mask is None else self.mask[chosen]
        return Posters(self.latents[chosen], self.edges[chosen], self.txt[chosen], mask)


@torch.no_grad()
def posters(pipe: QwenImage, count: int) -> Posters:
    """The first `count` posters, encoded"""
    scenes = [sample(FIRST_SEED + i, controls.LESSON.mixture) for i in range(count)]
    placed = [place(scene, FIRST_SEED + i) for i, scene in enumerate(scenes)]
    shown = [paint(each) for each in placed]
    lines = [controls.edges_of(scene, FIRST_SEED + i) for i, scene in enumerate(scenes)]
    latents, edges = (
        pipe.vae.normalize(pipe.vae.encode(to_input(pictures))[0]) for pictures in (shown, lines)
    )
    return Posters(latents, edges, *pipe.encode_prompt([caption(scene) for scene in scenes]))


def watched(pipe: QwenImage, kind: str, steps: int, batch: int, data: Posters) -> dict:
    """Train a new network for some steps -> loss, and gradient and weights of each part, by step

    kind: of PARTS. AdamW, with neither clipping nor warmup, so that gradients are seen as they are.
    """
    own = controls.KINDS[kind](pipe.transformer)
    network = own.trained.requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    rng, losses = torch.Generator().manual_seed(0), []
    lengths = {part: {"gradient": [], "weights": []} for part in PARTS[kind]}
    for _ in range(steps):
        shown = data.batch(batch, rng)
        noise = torch.randn(shown.latents.shape, generator=rng)
        sigma = sample_sigma(batch, SIGMA_SHIFT, rng)
        level, grid = sigma.view(-1, 1, 1, 1), (1, *(side // 2 for side in noise.shape[2:]))
        noisy = pack((1 - level) * shown.latents + level * noise)
        control = pack(shown.edges)
        velocity = own.velocity(noisy, control, shown.txt, shown.mask, sigma, grid)
        loss = (velocity - pack(noise - shown.latents)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        losses.append(_rounded(loss.item()))
        for part, row in lengths.items():
            weights = [weight for name, weight in network.named_parameters() if part in name]
            row["gradient"].append(_length([w.grad for w in weights if w.grad is not None]))
            row["weights"].append(_length(weights))
        optimiser.step()
    return {"loss": losses} | lengths


def _length(tensors: list[Tensor]) -> float:
    return _rounded(sum(tensor.detach().square().sum().item() for tensor in tensors) ** 0.5)


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.waking")
    parser.add_argument("--steps", type=int, default=100, metavar="N")
    parser.add_argument("--batch", type=int, default=8, metavar="N")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="posters")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(POCKET)
    pipe.transformer.requires_grad_(False)
    data = posters(pipe, options.count)
    rows = {kind: watched(pipe, kind, options.steps, options.batch, data) for kind in PARTS}
    write_record(terms_of(pipe, options.count) | {"batch": options.batch} | rows, options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
