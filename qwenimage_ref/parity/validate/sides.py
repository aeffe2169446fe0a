"""Two networks of one checkpoint side by side, built from its files a layer at a time.

Never more than one layer of each is in memory, so the official model fits into a few gigabytes.
The reference runs its own forward: a `StandIn` in the place of its layers notes what they are told,
and later answers with what the last of them returned.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from torch import nn
from transformers import Qwen2_5_VLConfig

from ...checkpoint import load_into
from ...checkpoint.headers import find_tensors, open_file
from ...checkpoint.model_folder import STEMS
from ...config import MMDiTConfig, TextEncoderConfig, VAEConfig
from ...files import CheckpointError, shorten
from ...mmdit import Block, MMDiT
from ...text_encoder import Layer, TextEncoder
from ...vae import VAE
from ..record import official_name, run_ours
from ..reference import (
    build_text_encoder,
    reference_mmdit,
    reference_vae,
    told_to_block,
    told_to_layer,
)
from ..trace import Row, Trace, difference, trace

UNUSED = ("visual.", "lm_head.")  # stored beside the language tower, read by no text-to-image call
EMBEDDING = "model.embed_tokens.weight"

# -- files ----------------------------------------------------------------------------------------


class Tensors:
    """The tensors in the folder of one part, read when they are asked for."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        self.folder, self.dtype, self.device = folder, dtype, device
        self.places = find_tensors(folder)

    def stored(self, keys: list[str]) -> dict[str, torch.Tensor]:
        """As the files hold them. The memory is the files': only what is touched is ever read."""
        with contextlib.ExitStack() as stack:
            used = {self.places[key].file for key in keys}
            files = {file: stack.enter_context(open_file(file)) for file in used}
            return {key: files[self.places[key].file].get_tensor(key) for key in keys}

    def fill(self, network: nn.Module, prefix: str = "") -> nn.Module:
        """Give a network its tensors by official name, but for those that are UNUSED."""
        names = {prefix + official_name(name): name for name in network.state_dict()}
        names = {key: name for key, name in names.items() if not key.startswith(UNUSED)}
        tensors = {}
        for key, tensor in self.stored(list(names)).items():
            # the embedding stays in the file: a few of its rows are looked up, then cast
            dtype = tensor.dtype if key == EMBEDDING else self.dtype
            tensors[names[key]] = tensor.to(self.device, dtype)
        network.load_state_dict(tensors, strict=False, assign=True)
        return network.eval()


@dataclass(frozen=True)
class Sides:
    """Where our weights lie, where the reference's, and how both are to compute."""

    ours: Path
    theirs: Path  # usually the same folder
    dtype: torch.dtype
    device: torch.device

    def demand_one_form(self) -> None:
        """Raises CheckpointError unless both folders hold tensors of the same names and shapes."""
        for part in STEMS:
            ours, theirs = (
                {key: place.shape for key, place in side.places.items()}
                for side in self.tensors(part)
            )
            if other := sorted(key for key, _ in ours.items() ^ theirs.items()):
                raise CheckpointError(
                    f"{self.theirs / part} and {self.ours / part} hold tensors of other names or "
                    f"shapes ({shorten(other)}); compare two copies of one model"
                )

    def tensors(self, part: str) -> tuple[Tensors, Tensors]:
        """Ours and the reference's of "text_encoder", "transformer" or "vae"."""
        return tuple(
            Tensors(top / part, self.dtype, self.device) for top in (self.ours, self.theirs)
        )

    def differing(self, part: str, module: str) -> list[str]:
        """The tensors of an official module that the two folders hold differently."""
        if self.ours == self.theirs:
            return []
        ours, theirs = self.tensors(part)
        keys = [key for key in ours.places if key.startswith(f"{module}.")]
        mine, other = ours.stored(keys), theirs.stored(keys)
        return [key for key in keys if not torch.equal(mine[key], other[key])]


# -- pairs ----------------------------------------------------------------------------------------


class StandIn(nn.Module):
    """In the place of all layers of a network."""

    def __init__(self, told: Callable, answer: Callable):
        super().__init__()
        self.understand, self.answer = told, answer
        self.told: dict = {}  # what the layers were told last, as the arguments of our layer
        self.streams: tuple | None = None  # what to answer; None: what came in

    def forward(self, *args, **kwargs):
        self.told = self.understand(*args, **kwargs)
        return self.answer(*(self.streams or self.told.values()))


class OnCall(nn.Module):
    """A layer that is filled from its files each time it is called."""

    def __init__(self, tensors: Tensors, twin: nn.Module, prefix: str):
        super().__init__()
        # careful: not as a child, or the twin would be part of the network
        self.fill = lambda: tensors.fill(twin.to("meta"), prefix)

    def forward(self, *args, **kwargs):
        return self.fill()(*args, **kwargs)


@dataclass(frozen=True)
class Pair:
    """Both networks with a StandIn for their layers, and one layer of each to fill anew."""

    ours: nn.Module
    theirs: nn.Module
    stand_ins: tuple[StandIn, StandIn]
    tensors: tuple[Tensors, Tensors]
    twins: tuple[nn.Module, nn.Module]
    layers: str  # the official name of the list of layers
    depth: int
    streams: int  # how many of the things that a layer is told come out of it, changed

    def layer(self, i: int) -> tuple[nn.Module, nn.Module]:
        """Layer number i of both; those that were given before are empty from now on."""
        for twin in self.twins:
            twin.to("meta")  # careful: before anything is read, or two layers are in memory
        pairs = zip(self.tensors, self.twins)
        return tuple(tensors.fill(twin, f"{self.layers}.{i}.") for tensors, twin in pairs)


def text_pair(sides: Sides) -> Pair:
    config = TextEncoderConfig.from_json(sides.ours / "text_encoder" / "config.json")
    told = Qwen2_5_VLConfig.from_pretrained(sides.theirs / "text_encoder", local_files_only=True)
    told.text_config.num_hidden_layers = 1
    with torch.device("meta"):
        ours, layer = TextEncoder(replace(config, num_hidden_layers=0)), Layer(config)
    theirs = build_text_encoder(told)
    language = theirs.model.language_model
    twin = language.layers[0]
    names = ("x", "cos", "sin")
    stand_ins = (
        StandIn(lambda *told: dict(zip(names, told)), lambda x, *_: x),
        StandIn(told_to_layer, lambda x, *_: x),
    )
    ours.model.layers, language.layers = (nn.ModuleList([one]) for one in stand_ins)
    language.rotary_emb.to(sides.device)
    tensors = sides.tensors("text_encoder")
    tensors[0].fill(ours)
    tensors[1].fill(theirs)
    for embedding in (ours.model.embed_tokens, language.embed_tokens):
        embedding.register_forward_hook(lambda module, ids, rows: rows.to(sides.dtype))
    depth = config.num_hidden_layers
    return Pair(ours, theirs, stand_ins, tensors, (layer, twin), "model.layers", depth, 1)


def stack_pair(sides: Sides) -> Pair:
    config = MMDiTConfig.from_json(sides.ours / "transformer" / "config.json")
    numbers = QwenImageTransformer2DModel.load_config(sides.theirs / "transformer")
    with torch.device("meta"):
        ours = MMDiT(replace(config, num_layers=0))
        block = Block(config.inner_dim, config.num_attention_heads)
    theirs = reference_mmdit(numbers | {"num_layers": 1})
    twin = theirs.transformer_blocks[0]
    names = ("img", "txt", "temb", "img_rotation", "txt_rotation")
    stand_ins = (
        StandIn(lambda *told: dict(zip(names, told)), lambda img, txt, *_: (img, txt)),
        StandIn(told_to_block, lambda img, txt, *_: (txt, img)),  # careful: they return text first
    )
    ours.transformer_blocks, theirs.transformer_blocks = (nn.ModuleList([s]) for s in stand_ins)
    tensors = sides.tensors("transformer")
    tensors[0].fill(ours)
    tensors[1].fill(theirs)
    depth = config.num_layers
    return Pair(ours, theirs, stand_ins, tensors, (block, twin), "transformer_blocks", depth, 2)


def their_whole_stack(sides: Sides) -> nn.Module:
    """The reference's transformer with all its blocks, each filled when it is called."""
    pair = stack_pair(sides)
    prefixes = [f"{pair.layers}.{i}." for i in range(pair.depth)]
    blocks = [OnCall(pair.tensors[1], pair.twins[1], prefix) for prefix in prefixes]
    pair.theirs.transformer_blocks = nn.ModuleList(blocks)
    return pair.theirs


def vae_pair(sides: Sides) -> tuple[VAE, AutoencoderKLQwenImage]:
    with torch.device("meta"):
        ours = VAE(VAEConfig.from_json(sides.ours / "vae" / "config.json"))
    load_into(ours, sides.ours / "vae", sides.dtype)
    theirs = reference_vae(AutoencoderKLQwenImage.load_config(sides.theirs / "vae"))
    return ours.to(sides.device).eval(), sides.tensors("vae")[1].fill(theirs)


# -- walking --------------------------------------------------------------------------------------


class Walk:
    """Both networks of a pair on several inputs: each layer is built once and serves all of them.

    Every layer of ours is fed what the reference's is fed. Beside that our network runs free, on
    its own numbers from start to end.
    """

    def __init__(self, pair: Pair, calls: list[dict], tolerance: float):
        self.pair, self.calls, self.tolerance = pair, calls, tolerance
        self.told: list[dict] = []  # of each call: what the reference tells all its layers
        self.theirs: list[dict] = []  # of each call: the streams after the reference's last layer
        self.ours: list[dict] = []  # the same after ours, running free

    def enter(self) -> list[Trace]:
        """What comes before the layers: modules, and what the layers are told."""
        traces = []
        for inputs in self.calls:
            found = trace(self.pair.ours, self.pair.theirs, inputs, self.tolerance)
            mine, told = (stand_in.told for stand_in in self.pair.stand_ins)
            rows = [
                Row(name, tuple(told[name].shape), *difference(mine[name], told[name]))
                for name in told
            ]
            traces.append(replace(found, rows=[*found.rows[: self._middle(found)], *rows]))
            streams = list(told)[: self.pair.streams]
            self.ours.append({name: mine[name] for name in streams})
            self.theirs.append({name: told.pop(name) for name in streams})
            self.told.append(told)
        return traces

    def step(self, i: int) -> list[Trace]:
        """Layer number i."""
        ours, theirs = self.pair.layer(i)
        traces = []
        for told, mine, streams in zip(self.told, self.ours, self.theirs):
            found = trace(ours, theirs, streams | told, self.tolerance)
            forced, answer = (dict(zip(streams, tensors)) for tensors in found.outputs)
            # as long as our numbers are the reference's to the bit, one run is both
            if all(torch.equal(mine[name], streams[name]) for name in streams):
                mine.update(forced)
            else:
                free = ours(**mine, **told)
                mine.update(zip(mine, free if self.pair.streams > 1 else [free]))
            streams.update(answer)
            traces.append(found)
        return traces

    def leave(self) -> tuple[list[Trace], list[tuple[torch.Tensor, torch.Tensor]]]:
        """What comes after them; and what both networks return for each input, ours running free"""
        traces, outputs = [], []
        ours, theirs = self.pair.stand_ins
        for inputs, mine, streams in zip(self.calls, self.ours, self.theirs):
            ours.streams = theirs.streams = tuple(streams.values())
            found = trace(self.pair.ours, self.pair.theirs, inputs, self.tolerance)
            traces.append(replace(found, rows=found.rows[self._middle(found) + 1 :]))
            ours.streams = tuple(mine.values())
            outputs.append((run_ours(self.pair.ours, inputs), found.outputs[1][0]))
        return traces, outputs

    def _middle(self, found: Trace) -> int:
        """Where in a trace the layers stand."""
        return [row.name for row in found.rows].index(f"{self.pair.layers}.0")
