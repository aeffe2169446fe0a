"""One way from files into a network: `Weights` place its tensors, `fill` puts them in."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ..files import CheckpointError, shorten
from .headers import Place, find_tensors, read_tensor
from .packed_linear import PackedLinear, put
from .stored_form import FLOATS, other_forms, other_keys, stored_form


@dataclass
class Weights:
    """Where each tensor of a network lies, under its official name.

    A format that packs numbers derives from it: it says which linear layers stay packed (`packed`,
    `layer`, `packed_tensors`) and how everything else is unpacked (`numbers`).
    """

    source: str  # the file or folder, as errors name it
    places: dict[str, Place]  # {official name: place}
    layout: str = "official names"
    zero_cond_t: bool | None = None  # what the files say of it; None: nothing
    packed: dict[str, dict[str, Place]] = field(default_factory=dict)
    # {linear layer that stays packed: {parameter of its packed form: place}}
    types: ClassVar[Collection[str]] = FLOATS  # that `numbers` reads

    def numbers(self, name: str) -> torch.Tensor:
        """The tensor of an official name, unpacked"""
        return read_tensor(self.places[name])

    def scaled(self, name: str) -> bool:
        """Whether a tensor that does not stay packed is more than a cast away from its numbers"""
        return False

    def layer(self, name: str, linear: nn.Linear) -> PackedLinear:
        """The packed layer, without weights, for the place of this linear layer"""
        raise NotImplementedError(f"{type(self).__name__} packs nothing")

    def packed_tensors(self, name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """{parameter: tensor} of a layer that stays packed. Raises CheckpointError."""
        return {part: read_tensor(place) for part, place in self.packed[name].items()}

    def check_streamed(self, name: str) -> None:
        """Check what little of a packed layer can be read without its weight.

        The weight of a streamed layer stays on disk, and `packed_tensors` never sees it. Raises
        CheckpointError.
        """

    def damaged(self, name: str) -> CheckpointError:
        place = self.places[name]
        return CheckpointError(
            f"{place.file}: {name} holds NaN or infinity; the file is damaged, fetch it again"
        )


@torch.no_grad()
def fill(
    network: nn.Module,
    weights: Weights,
    dtype: torch.dtype | None = None,
    device="cpu",
    left: Iterable[str] = (),
) -> None:
    """Fill a network, on the meta device or not, with the tensors that `weights` place.

    Strict: every stored tensor of the network must have its place and its shape, and no other may
    be there. dtype None keeps what the files hold. left: prefixes of parameters that keep what they
    have, because somebody else reads them. Raises CheckpointError; the network is then unchanged.
    """
    left, form = tuple(left), stored_form(network)
    _demand_plain(network, weights)
    # headers first: a wrong shape is refused before gigabytes are read
    where = weights.places
    for problem in [*other_keys(form, where), *other_forms(form, where, weights.types)]:
        raise CheckpointError(f"{weights.source}: {problem}")
    owners, state = dict(network.named_modules()), {}
    layers = {name: weights.layer(name, owners[name]) for name in weights.packed}
    for key in form:
        path, _, name = key.rpartition(".")
        if key.startswith(left) or name not in owners[path]._parameters:
            continue  # the latter is stored for other libraries: the VAE's convolutions over time
        if path in layers and name == "weight":
            parts = weights.packed_tensors(path, dtype)
            state |= {f"{path}.{part}": tensor.to(device) for part, tensor in parts.items()}
        else:
            state[key] = _numbers(weights, key, owners[path], dtype).to(device)
    for name, layer in layers.items():
        put(network, name, layer)
    network.load_state_dict(state, strict=not left, assign=True)


def _numbers(weights: Weights, key: str, owner: nn.Module, dtype: torch.dtype | None):
    tensor = weights.numbers(key)
    if hasattr(owner, "from_stored"):
        tensor = owner.from_stored(key.rpartition(".")[2], tensor)
    cast = tensor.to(dtype or tensor.dtype).contiguous()
    if not is_finite(cast):
        if not is_finite(tensor):
            raise weights.damaged(key)
        file = weights.places[key].file
        raise CheckpointError(f"{file}: {key} is too large for {dtype}; use bfloat16")
    return cast


def is_finite(numbers: torch.Tensor) -> bool:
    if numbers.dtype == torch.float8_e4m3fn:  # torch has no isfinite for it
        return not numbers.isnan().any()
    if numbers.itemsize == 1 or not numbers.numel():
        return bool(numbers.isfinite().all())
    # NaN is the least and the largest of all; a tenth of the time of isfinite().all()
    return bool(torch.stack(numbers.aminmax()).isfinite().all())


def _demand_plain(network: nn.Module, weights: Weights) -> None:
    """Raises CheckpointError for a network that is not as it was built, or has hooks to lose."""
    for name, module in network.named_modules():
        if isinstance(module, PackedLinear) or getattr(module, "streamed", False):
            raise CheckpointError(
                f"{weights.source}: the network's {name} is quantised or streamed; load the files "
                "into a new network"
            )
    for name in weights.packed:
        if network.get_submodule(name)._forward_hooks:
            raise CheckpointError(
                f"{weights.source}: {name} has a LoRA, which packing would lose; load the files "
                "into a new network, then load the LoRA"
            )


def open_official(source, unused: Iterable[str] = ()) -> Weights:
    """A folder, a file or a list of files under official names -> where their tensors lie

    unused: prefixes of tensors that are left out. Raises CheckpointError.
    """
    unused = tuple(unused)
    places = {k: place for k, place in find_tensors(source).items() if not k.startswith(unused)}
    return Weights(name_of(source), places)


def name_of(source) -> str:
    """A folder, a file or a list of files, as an error names it"""
    single = isinstance(source, (str, Path))
    return str(source) if single else shorten(Path(file).name for file in source)
