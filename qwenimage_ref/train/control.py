"""Training a blockwise control network: flow matching, with nothing trained but the network.

The transformer is frozen, but the gradient passes through all of its blocks, so that memory is
close to that of a LoRA. A new network adds nothing: its output layers are zero, and a rate of 1e-3,
a hundred times that of full training, does no harm.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ..adapt.control import Applied, BlockwiseConfig, BlockwiseControlNet, Controlled
from ..mmdit import Call, MMDiT
from ..sampler import pack
from . import lora
from .dataset import Encoded
from .loop import Recipe, Run
from .run_folder import RunFolder


def new_network(mmdit: MMDiT, seed: int = 0) -> BlockwiseControlNet:
    """A float32 network for this transformer that adds nothing, on its device"""
    config = mmdit.config
    with torch.random.fork_rng(devices=[]):  # input layers are drawn as torch draws them
        torch.manual_seed(seed)
        network = BlockwiseControlNet(
            BlockwiseConfig(config.num_layers, config.inner_dim, config.in_channels)
        )
    return network.to(mmdit.proj_out.weight.device)


class Steered(nn.Module):
    """In place of the MMDiT in a loss: the same call, controlled by the pictures of its batch"""

    def __init__(self, mmdit: MMDiT, network: BlockwiseControlNet):
        super().__init__()
        self.mmdit, self.network = mmdit, network
        self.tokens: torch.Tensor | None = None  # (B, I, 64), set before each call

    @property
    def proj_out(self) -> nn.Module:
        return self.mmdit.proj_out

    def forward(self, img, txt, sigma, grids, txt_mask=None):
        """As `MMDiT.forward`"""
        run = Controlled(self.mmdit, [Applied(self.network, self.tokens)], steps=1)
        return run.many([Call(img, txt, sigma, grids, txt_mask)])[0]


def loss_of(
    mmdit: MMDiT,
    network: BlockwiseControlNet,
    examples: list[Encoded],
    pictures: list[torch.Tensor],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: lora.Flow,
) -> Callable[[int], torch.Tensor]:
    """-> a function from the number of a batch to its loss, as Run.fit needs it

    pictures: the control picture of each example, as latents (C, h, w) of the same size. Raises
    ValueError where one has another size.
    """
    sizes = [tuple(example.latents.shape) for example in examples]
    for size, picture in zip(sizes, pictures, strict=True):
        if tuple(picture.shape) != size:
            raise ValueError(
                f"a control picture must have the size of its picture, {size[2]}x{size[1]} "
                f"latents, got {picture.shape[2]}x{picture.shape[1]}; crop it alike"
            )
    batches, steered = lora.Batches(sizes, recipe.batch, recipe), Steered(mmdit, network)
    loss_at = lora.loss_of(steered, examples, empty, recipe, settings)

    def controlled_loss_at(number: int) -> torch.Tensor:
        chosen = torch.stack([pictures[i] for i in batches[number]])
        steered.tokens = pack(chosen).to(network.img_in.weight)
        return loss_at(number)

    return controlled_loss_at


def train(
    mmdit: MMDiT,
    examples: list[Encoded],
    pictures: list[torch.Tensor],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: lora.Flow,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train a new network to the recipe's end -> the finished run, to be continued like a LoRA's"""
    mmdit.requires_grad_(False)
    network = new_network(mmdit, recipe.seed)
    origin = json.dumps([origin, [tuple(example.latents.shape) for example in examples]])
    run = Run(network, recipe, folder, origin=origin, settings=asdict(settings))
    loss_at = loss_of(mmdit, network, examples, pictures, empty, recipe, settings)
    run.fit(loss_at, accumulate=settings.accumulate, **fit)
    return run
