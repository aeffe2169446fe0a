"""ComfyUI's mixed-precision files: each layer in a format of its own, unpacked when it is used.

The formats are in comfy_layouts.py; layers in float8 with one scale are read by fp8.py.
"""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import torch
from torch import nn

from ..checkpoint.fill import is_finite
from ..checkpoint.headers import DTYPES, Place, Places, read_tensor
from ..checkpoint.packed_linear import BLOCKS, PackedLinear
from ..checkpoint.stored_form import stored_form
from ..files import CheckpointError, shorten
from .comfy_layouts import FORMATS, Form, form_of
from .fp8 import Fp8Weights, fp8_weights
from .fp8_dialects import FORMAT, read_formats

LARGEST = 1e34  # product of all scales of a layer: the weight is then a number in bfloat16
UNUSED = ".input_scale"  # for products in the packed type, which are not made here


class ComfyLinear(PackedLinear):
    """(..., in) -> (..., out), as nn.Linear; the weight and its scales stay as the file holds them.

    Made empty, on the meta device. parts: {name of a parameter: where it lies}.
    """

    def __init__(self, linear: nn.Linear, form: Form, parts: dict[str, Place]):
        super().__init__(linear.in_features, linear.out_features, linear.bias)
        self.form, self.parts = form, tuple(parts)
        for name, place in parts.items():
            empty = torch.empty(place.shape, dtype=DTYPES[place.dtype], device="meta")
            self.register_parameter(name, nn.Parameter(empty, requires_grad=False))

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        return self.form.unpack({name: getattr(self, name) for name in self.parts}, dtype)

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, {self.form.format}"


@dataclass
class ComfyWeights(Fp8Weights):
    """Linear layers of blocks stay packed, each in its format; the rest is unpacked."""

    forms: dict[str, Form] = field(default_factory=dict)  # {layer in one of FORMATS: its form}
    parts: dict[str, dict[str, Place]] = field(default_factory=dict)  # {such a layer: its tensors}
    types: ClassVar = {*Fp8Weights.types, *FORMATS}

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        return (
            f"{self.source}: {self.layout}, {kinds}; {len(self.packed)} linear layers stay packed"
        )

    @property
    def kinds(self) -> dict[str, int]:
        """{format: how many layers are in it}, the most frequent first"""
        return dict(Counter(form.format for form in self.forms.values()).most_common())

    def numbers(self, name: str) -> torch.Tensor:
        layer = name.removesuffix(".weight")
        if layer == name or layer not in self.forms:
            return super().numbers(name)
        return self.forms[layer].unpack(self.packed_tensors(layer, torch.float32))

    def scaled(self, name: str) -> bool:
        layer = name.removesuffix(".weight")
        return (layer in self.forms and layer not in self.packed) or super().scaled(name)

    def layer(self, name: str, linear: nn.Linear) -> PackedLinear:
        if name not in self.forms:
            return super().layer(name, linear)
        return ComfyLinear(linear, self.forms[name], self.parts[name])

    def packed_tensors(self, name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        if name not in self.forms:
            return super().packed_tensors(name, dtype)
        weight = read_tensor(self.parts[name]["weight"])
        if weight.is_floating_point() and not is_finite(weight):
            raise self.damaged(f"{name}.weight")
        return {"weight": weight} | self.scales_of(name)

    def check_streamed(self, name: str) -> None:
        if name in self.forms:
            self.scales_of(name)
        else:
            super().check_streamed(name)

    def scales_of(self, layer: str) -> dict[str, torch.Tensor]:
        """{part: tensor} of all parts but the weight. Raises CheckpointError for bad scales."""
        places = {part: p for part, p in self.parts[layer].items() if part != "weight"}
        tensors = {part: read_tensor(place) for part, place in places.items()}
        bound = 1.0
        for part, tensor in tensors.items():
            numbers = self.forms[layer].scale(part, tensor)
            bound *= numbers.abs().max().item()
            if not numbers.isfinite().all() or (part.startswith("weight_s") and numbers.min() < 0):
                bound = torch.inf
        if not bound < LARGEST:
            file = next(iter(places.values())).file
            raise CheckpointError(
                f"{file}: the scales of {layer} must be finite and not below zero, their product "
                f"below {LARGEST:.0e}; the file is damaged, fetch it again"
            )
        return tensors


def comfy_weights(
    source: str, places: Places, names: dict[str, str], network: nn.Module, fast: bool = False
) -> Fp8Weights:
    """Quantised files -> where the tensors of a network lie. Raises CheckpointError, one line.

    Of any dialect of fp8, or in ComfyUI's formats layer by layer. names: {official name: name in
    the files}. fast: see Fp8Linear.
    """
    shapes = stored_form(network)
    try:
        stated = read_formats(places, names, shapes)
        forms = {
            layer: _form(layer, entry, shapes)
            for layer, entry in stated.items()
            if entry["format"] in FORMATS
        }
        parts = {layer: _parts(layer, form, places, names) for layer, form in forms.items()}
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None
    taken = {f"{layer}.{part}" for layer, of in parts.items() for part in of}
    taken |= {f"{layer}{ending}" for layer in forms for ending in (FORMAT, UNUSED)}
    rest = {name: key for name, key in names.items() if name not in taken}
    base = fp8_weights(source, places, rest, network, fast, apart=set(forms))
    if not forms:
        return base
    values = {entry.name: getattr(base, entry.name) for entry in fields(base)}
    weights = ComfyWeights(**values, forms=forms, parts=parts)
    for layer, form in forms.items():
        place = parts[layer]["weight"]
        weights.places[f"{layer}.weight"] = replace(place, dtype=form.format, shape=form.shape)
        if layer.startswith(BLOCKS):
            weights.packed[layer] = parts[layer]
    return weights


def _form(layer: str, entry: dict, shapes: dict[str, tuple]) -> Form:
    shape = shapes[f"{layer}.weight"]
    if len(shape) != 2:
        raise ValueError(f"{shorten([layer])} must be a matrix in {entry['format']}, got {shape}")
    try:
        return form_of(entry, shape)
    except ValueError as error:
        raise ValueError(f"{shorten([layer])}: {error}") from None


def _parts(layer: str, form: Form, places: Places, names: dict[str, str]) -> dict[str, Place]:
    """{part: place} of one layer. Raises ValueError unless they are those of its form."""
    parts = {}
    for part, (types, allowed) in FORMATS[form.format].parts(form).items():
        name = f"{layer}.{part}"
        if name not in names:
            if None in allowed:
                continue
            raise ValueError(f"{shorten([name])} is missing; the file is not whole, fetch it again")
        place = places[names[name]]
        if place.dtype not in types or place.shape not in allowed:
            wanted = " or ".join(str(list(shape)) for shape in allowed if shape is not None)
            raise ValueError(
                f"{shorten([name])} must be {' or '.join(types)} {wanted} in {form.format}, "
                f"got {place.dtype} {list(place.shape)}; is config.json of this model?"
            )
        parts[part] = place
    return parts
