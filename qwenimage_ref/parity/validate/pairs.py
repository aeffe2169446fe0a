"""Our networks and the reference's, built from two checkpoints without their layers.

No more than one layer of each is in memory at a time, so the official model fits into a few
gigabytes. The reference runs its own forward pass with a `LayerProbe` in place of its layers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from torch import nn
from transformers import Qwen2_5_VLConfig

from ...checkpoint import load_into
from ...config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from ...mmdit import Block, MMDiT
from ...text_encoder import Layer, TextEncoder
from ...vae import VAE
from ...vision import Vision
from ..reference import (
    block_arguments,
    build_text_encoder,
    layer_arguments,
    reference_mmdit,
    reference_vae,
)
from .checkpoints import Checkpoints, Tensors


class LayerProbe(nn.Module):
    """Stands in place of all layers of a network: records their arguments, returns given streams.

    to_ours: takes the arguments of a layer and names them as the arguments of our layer.
    to_output: takes the streams and returns them as the network's layers do.
    """

    def __init__(self, to_ours: Callable[..., dict], to_output: Callable):
        super().__init__()
        self.to_ours, self.to_output = to_ours, to_output
        self.arguments: dict = {}  # arguments of the last call
        self.streams: tuple | None = None  # states to return; None: the ones that came in

    def forward(self, *args, **kwargs):
        self.arguments = self.to_ours(*args, **kwargs)
        return self.to_output(*(self.streams or self.arguments.values()))


class LoadedOnCall(nn.Module):
    """A layer whose weights are read from the files each time it is called.

    layer: one module that all layers of the network share.
    """

    def __init__(self, tensors: Tensors, layer: nn.Module, prefix: str):
        super().__init__()
        # careful: in a closure, because as a submodule it would be part of the network
        self.load = lambda: tensors.fill(layer.to("meta"), prefix)

    def forward(self, *args, **kwargs):
        return self.load()(*args, **kwargs)


@dataclass(frozen=True)
class Pair:
    """Our network and the reference's with probes for their layers, and one layer of each."""

    ours: nn.Module
    theirs: nn.Module
    probes: tuple[LayerProbe, LayerProbe]
    tensors: tuple[Tensors, Tensors]
    layers: tuple[nn.Module, nn.Module]  # loaded again for every layer number
    path: str  # official name of the list of layers
    depth: int
    streams: int  # how many arguments of a layer are residual streams, which it returns

    def layer(self, i: int) -> tuple[nn.Module, nn.Module]:
        """Layer i of both. The same two modules hold all layers in turn."""
        for layer in self.layers:
            layer.to("meta")  # careful: before reading, else two layers would be in memory
        pairs = zip(self.tensors, self.layers)
        return tuple(tensors.fill(layer, f"{self.path}.{i}.") for tensors, layer in pairs)


def text_pair(checkpoints: Checkpoints) -> Pair:
    """Both language towers."""
    config = TextEncoderConfig.from_json(checkpoints.ours / "text_encoder" / "config.json")
    folder = checkpoints.theirs / "text_encoder"
    their_config = Qwen2_5_VLConfig.from_pretrained(folder, local_files_only=True)
    their_config.text_config.num_hidden_layers = 1
    with torch.device("meta"):
        ours, our_layer = TextEncoder(replace(config, num_hidden_layers=0)), Layer(config)
    theirs = build_text_encoder(their_config)
    language = theirs.model.language_model
    layers = our_layer, language.layers[0]
    names = ("x", "cos", "sin")
    probes = (
        LayerProbe(lambda *arguments: dict(zip(names, arguments)), lambda x, *_: x),
        LayerProbe(layer_arguments, lambda x, *_: x),
    )
    ours.model.layers, language.layers = (nn.ModuleList([probe]) for probe in probes)
    language.rotary_emb.to(checkpoints.device)
    tensors = checkpoints.tensors("text_encoder")
    tensors[0].fill(ours)
    tensors[1].fill(theirs)
    for embedding in (ours.model.embed_tokens, language.embed_tokens):
        embedding.register_forward_hook(lambda module, ids, rows: rows.to(checkpoints.dtype))
    return Pair(
        ours, theirs, probes, tensors, layers, "model.layers", config.num_hidden_layers, streams=1
    )


def stack_pair(checkpoints: Checkpoints) -> Pair:
    """Both transformers."""
    config = MMDiTConfig.from_json(checkpoints.ours / "transformer" / "config.json")
    numbers = QwenImageTransformer2DModel.load_config(checkpoints.theirs / "transformer")
    with torch.device("meta"):
        ours = MMDiT(replace(config, num_layers=0))
        block = Block(config.inner_dim, config.num_attention_heads)
    theirs = reference_mmdit(numbers | {"num_layers": 1})
    layers = block, theirs.transformer_blocks[0]
    probes = (
        LayerProbe(_our_block_arguments, lambda img, txt, *_: (img, txt)),
        # careful: diffusers' blocks return the text first
        LayerProbe(block_arguments, lambda img, txt, *_: (txt, img)),
    )
    ours.transformer_blocks, theirs.transformer_blocks = (
        nn.ModuleList([probe]) for probe in probes
    )
    tensors = checkpoints.tensors("transformer")
    tensors[0].fill(ours)
    tensors[1].fill(theirs)
    return Pair(
        ours, theirs, probes, tensors, layers, "transformer_blocks", config.num_layers, streams=2
    )


def _our_block_arguments(*arguments) -> dict:
    names = ("img", "txt", "temb", "img_rotation", "txt_rotation", "mask", "times")
    return {name: given for name, given in zip(names, arguments) if given is not None}


def vision_towers(checkpoints: Checkpoints) -> tuple[Callable, Callable]:
    """Functions that load our vision tower, and the reference's: two do not fit side by side"""
    tensors = checkpoints.tensors("text_encoder")

    def ours() -> nn.Module:
        with torch.device("meta"):
            tower = Vision(VisionConfig.from_json(tensors[0].folder / "config.json"))
        return tensors[0].fill(tower, "visual.")

    def theirs() -> nn.Module:
        config = Qwen2_5_VLConfig.from_pretrained(tensors[1].folder, local_files_only=True)
        config.text_config.num_hidden_layers = 1
        tower = build_text_encoder(config).model.visual
        tower.rotary_pos_emb.to(checkpoints.device)
        return tensors[1].fill(tower, "visual.")

    return ours, theirs


def their_whole_stack(checkpoints: Checkpoints) -> nn.Module:
    """The reference's transformer with all its blocks, each loaded when it is called."""
    pair = stack_pair(checkpoints)
    prefixes = [f"{pair.path}.{i}." for i in range(pair.depth)]
    blocks = [LoadedOnCall(pair.tensors[1], pair.layers[1], prefix) for prefix in prefixes]
    pair.theirs.transformer_blocks = nn.ModuleList(blocks)
    return pair.theirs


def vae_pair(checkpoints: Checkpoints) -> tuple[VAE, AutoencoderKLQwenImage]:
    """Both VAEs, whole."""
    with torch.device("meta"):
        ours = VAE(VAEConfig.from_json(checkpoints.ours / "vae" / "config.json"))
    load_into(ours, checkpoints.ours / "vae", checkpoints.dtype)
    theirs = reference_vae(AutoencoderKLQwenImage.load_config(checkpoints.theirs / "vae"))
    _, tensors = checkpoints.tensors("vae")
    return ours.to(checkpoints.device).eval(), tensors.fill(theirs)
