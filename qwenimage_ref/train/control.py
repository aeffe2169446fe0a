"""Training a blockwise control network: flow matching, with nothing trained but the network.

The transformer is frozen, but the gradient passes through all of its blocks, which takes memory as
for a LoRA. The network's own weights and activations, which are not recomputed, come on top of it:
37 GB at official size (`qwenimage train memory`). A new network adds nothing: its output layers are
zero, and a rate of 1e-3, a hundred times that of full training, does no harm.
"""

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

MASK_CHANNELS = 4  # numbers of a token: one for each of its four latents


def new_network(mmdit: MMDiT, seed: int = 0, mask: bool = False) -> BlockwiseControlNet:
    """A float32 network for this transformer that adds nothing, on its device

    mask: one for inpainting, which reads a mask beside the picture.
    """
    config = mmdit.config
    with torch.random.fork_rng(devices=[]):  # input layers are drawn as torch draws them
        torch.manual_seed(seed)
        network = BlockwiseControlNet(
            BlockwiseConfig(
                config.num_layers, config.inner_dim, config.in_channels, MASK_CHANNELS * mask
            )
        )
    return network.to(mmdit.proj_out.weight.device)


class Steered(nn.Module):
    """In place of the MMDiT in a loss: the same call, controlled by the pictures of its batch"""

    def __init__(self, mmdit: MMDiT, network: BlockwiseControlNet):
        super().__init__()
        self.mmdit, self.network = mmdit, network
        self.tokens: torch.Tensor | None = None  # (B, I, 64 or 68), set before each call

    @property
    def proj_out(self) -> nn.Module:
        return self.mmdit.proj_out

    def forward(self, *call):
        """As `MMDiT.forward`"""
        run = Controlled(self.mmdit, [Applied(self.network, self.tokens)], steps=1)
        return run.many([Call(*call)])[0]


def loss_of(
    mmdit: MMDiT,
    network: BlockwiseControlNet,
    examples: list[Encoded],
    pictures: list[torch.Tensor | None],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: lora.Flow,
) -> Callable[[int], torch.Tensor]:
    """-> a function from the number of a batch to its loss, as Run.fit needs it

    pictures: the control picture of each example, as latents (C, h, w) of the same size, with a
    mask of what is painted anew (C + 1, h, w). Raises ValueError where one is another.
    """
    channels = network.config.control_channels // 4  # a token is four latents
    for example, picture in zip(examples, pictures, strict=True):
        _check(example.latents.shape, picture, channels)
    batches = lora.Batches([example.group for example in examples], recipe.batch, recipe)
    steered = Steered(mmdit, network)
    loss_at = lora.loss_of(steered, examples, empty, recipe, settings)

    def controlled_loss_at(number: int) -> torch.Tensor:
        chosen = torch.stack([pictures[i] for i in batches[number]])
        steered.tokens = pack(chosen).to(network.img_in.weight)
        return loss_at(number)

    return controlled_loss_at


def _check(size: torch.Size, picture: torch.Tensor | None, channels: int) -> None:
    """Raises ValueError for a control picture that the network cannot read beside its picture."""
    if picture is None:
        raise ValueError("every example must have a control picture, got one without; prepare it")
    if len(picture) != channels:
        raise ValueError(
            f"a control picture must have {channels} channels for this network, got {len(picture)}"
            "; masks must stand beside all control pictures, or beside none"
        )
    if picture.shape[1:] != size[1:]:
        raise ValueError(
            f"a control picture must have the size of its picture, {size[2]}x{size[1]} "
            f"latents, got {picture.shape[2]}x{picture.shape[1]}; crop it alike"
        )


def has_masks(examples: list[Encoded], pictures: list[torch.Tensor | None]) -> bool:
    """Whether control pictures are for an inpainting network: by the first one"""
    return pictures[0] is not None and len(pictures[0]) > len(examples[0].latents)


def train(
    mmdit: MMDiT,
    examples: list[Encoded],
    pictures: list[torch.Tensor | None],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: lora.Flow,
    folder: str | Path | RunFolder,
    origin: str = "",
    network: BlockwiseControlNet | None = None,
    **fit,
) -> Run:
    """Train a network to the recipe's end -> the finished run, to be continued like a LoRA's

    network None: a new one, for pictures with a mask where the first one has one.
    """
    mmdit.requires_grad_(False)
    if network is None:
        network = new_network(mmdit, recipe.seed, has_masks(examples, pictures))
    loss_at = loss_of(mmdit, network, examples, pictures, empty, recipe, settings)
    origin = lora.origin_of(examples, origin, pictures)
    run = Run(
        network.requires_grad_(True), recipe, folder, origin=origin, settings=asdict(settings)
    )
    run.fit(loss_at, accumulate=settings.accumulate, **fit)
    return run
