"""The two checkpoints that a validation compares, and the tensors in their files."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ...checkpoint.headers import find_tensors, open_file
from ...checkpoint.model_folder import STEMS
from ...files import CheckpointError, shorten
from ..record import official_name

UNUSED = ("visual.", "lm_head.")  # stored beside the language tower; the first on its own
EMBEDDING = "model.embed_tokens.weight"


class Tensors:
    """The tensors in the folder of one part, read on demand."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        self.folder, self.dtype, self.device = folder, dtype, device
        self.places = find_tensors(folder)

    def stored(self, keys: list[str]) -> dict[str, torch.Tensor]:
        """{key: tensor} as stored. Each tensor is mapped from its file and read when accessed."""
        with contextlib.ExitStack() as stack:
            used = {self.places[key].file for key in keys}
            files = {file: stack.enter_context(open_file(file)) for file in used}
            return {key: files[self.places[key].file].get_tensor(key) for key in keys}

    def fill(self, network: nn.Module, prefix: str = "") -> nn.Module:
        """Load a network's tensors by official name. Returns the network.

        prefix: the official name of the network inside the part, with a dot at the end; without
        one, UNUSED tensors are left out.
        """
        name_of_key = {prefix + official_name(name): name for name in network.state_dict()}
        keys = [key for key in name_of_key if prefix or not key.startswith(UNUSED)]
        tensors = {}
        for key, tensor in self.stored(keys).items():
            # the embedding keeps its type and stays mapped: only the rows looked up are cast
            dtype = tensor.dtype if key == EMBEDDING else self.dtype
            tensors[name_of_key[key]] = tensor.to(self.device, dtype)
        network.load_state_dict(tensors, strict=False, assign=True)
        return network.eval()


@dataclass(frozen=True)
class Checkpoints:
    """The folder of our weights, that of the reference's, and the type and device of both."""

    ours: Path
    theirs: Path  # usually the same folder
    dtype: torch.dtype
    device: torch.device

    def demand_same_layout(self) -> None:
        """Raises CheckpointError unless both folders hold tensors of the same names and shapes."""
        for part in STEMS:
            ours, theirs = (
                {key: place.shape for key, place in tensors.places.items()}
                for tensors in self.tensors(part)
            )
            if other := sorted({key for key, _ in ours.items() ^ theirs.items()}):
                raise CheckpointError(
                    f"{self.theirs / part} and {self.ours / part} must hold tensors of the same "
                    f"names and shapes, but differ in {shorten(other)}; compare two copies of one "
                    "model"
                )

    def tensors(self, part: str) -> tuple[Tensors, Tensors]:
        """Our and the reference's tensors of "text_encoder", "transformer" or "vae"."""
        return tuple(
            Tensors(top / part, self.dtype, self.device) for top in (self.ours, self.theirs)
        )

    def differing(self, part: str, module: str) -> list[str]:
        """The names of the tensors of an official module that differ between the two folders."""
        if self.ours == self.theirs:
            return []
        ours, theirs = self.tensors(part)
        keys = [key for key in ours.places if key.startswith(f"{module}.")]
        our_tensors, their_tensors = ours.stored(keys), theirs.stored(keys)
        return [key for key in keys if not torch.equal(our_tensors[key], their_tensors[key])]
