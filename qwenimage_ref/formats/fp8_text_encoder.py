"""fp8 files of the text encoder, as ComfyUI ships it: its linear layers stay packed.

The usual one holds 358 of them with a scale each: 7 in each of 28 layers of the language tower, and
162 of the vision tower, which are not read. A weight is the float8 number times its scale.
"""

from dataclasses import replace

import torch
from torch import nn

from ..adapt.streaming import DTYPES, stream_text_encoder
from ..checkpoint.packed_linear import put
from ..checkpoint.stored_form import SPELLED, other_forms, other_keys, stored_form
from ..files import CheckpointError, Place, shorten
from ..text_encoder import TextEncoder
from .fp8 import Fp8Linear, unpack_fp8
from .fp8_dialects import MARK, allowed_scales, reader

SCALES = (".scale_weight", ".weight_scale")  # of the older files and of the newer
# beside the tensors of the network: for products in fp8, and what follows from the types anyway
ASIDE = (*SCALES, ".scale_input", ".input_scale", ".comfy_quant")
ON_DISK = ("model.layers.", "model.embed_tokens.")  # what streaming leaves there


def load_fp8_tower(
    tower: TextEncoder,
    where: dict[str, Place],
    keys: dict[str, str],
    dtype: torch.dtype,
    stream: bool,
    device,
) -> None:
    """Fill a text tower on the meta device. where, keys: by official name, of the tower alone.

    stream: its layers and its embedding stay on disk. Raises CheckpointError; the tower is then
    unchanged.
    """
    wanted = stored_form(tower)
    scales = _scales(where, wanted)
    layers, state = _layers(tower, where, scales), {}
    fp8 = {key.removesuffix(".weight") for key in wanted if where[key].dtype == "F8_E4M3"}
    other = sorted(name for name in fp8 - layers.keys() if f"{name}.".startswith(ON_DISK))
    if stream and other:
        raise CheckpointError(f"{shorten(other)} is fp8 and cannot stay on disk; do not stream it")
    with reader(where, keys) as read:
        for key in wanted:
            if stream and key.startswith(ON_DISK):
                continue
            tensor, layer = _finite(read(key), key), key.removesuffix(".weight")
            scale = _finite(read(scales[layer]), scales[layer]) if layer in scales else None
            if scale is not None and not (scale > 0).all():
                raise CheckpointError(f"{scales[layer]} is not above zero; fetch the file again")
            if layer in layers and layer != key:
                state[key] = tensor.to(device, copy=True)
                state |= {} if scale is None else {f"{layer}.scale": scale.to(device, copy=True)}
            else:
                state[key] = unpack_fp8(tensor, scale, dtype).to(device, copy=True)
    for name, layer in layers.items():
        put(tower, name, layer)
    tower.load_state_dict(state, strict=not stream, assign=True)
    if stream:
        places = {key: place for key, place in where.items() if key in wanted}
        places |= {f"{name}.scale": where[scales[name]] for name in layers.keys() & scales.keys()}
        file = next(iter(where.values())).file
        stream_text_encoder(tower, file, dtype, device, where=places)


def _layers(tower: TextEncoder, where: dict[str, Place], scales: dict) -> dict[str, Fp8Linear]:
    """{name: empty packed layer} in place of each linear layer whose weight is fp8"""
    layers = {}
    for name, linear in tower.named_modules():
        if isinstance(linear, nn.Linear) and where[f"{name}.weight"].dtype == "F8_E4M3":
            place = where[scales[name]] if name in scales else None
            form = (None,) if place is None else (place.shape, DTYPES[place.dtype])
            layers[name] = Fp8Linear(linear, *form)
    return layers


def _scales(where: dict[str, Place], wanted: dict[str, tuple]) -> dict[str, str]:
    """{layer: name of its scale}. Raises CheckpointError unless all that is there is understood."""
    held = {
        name: replace(place, dtype="BF16") if place.dtype == "F8_E4M3" else place
        for name, place in where.items()
        if name != MARK and not name.endswith(ASIDE)
    }
    for problem in [*other_keys(wanted, held), *other_forms(wanted, held)]:
        raise CheckpointError(problem)
    fp8 = {name.removesuffix(".weight") for name in held if where[name].dtype == "F8_E4M3"}
    scales = {n.removesuffix(end): n for end in SCALES for n in where if n.endswith(end)}
    if (scales or MARK in where) and (other := sorted(fp8 ^ scales.keys())):
        raise CheckpointError(
            f"{len(other)} layers have fp8 numbers and no scale, or a scale and no such numbers "
            f"({shorten(other)}); the file is not whole"
        )
    for layer, name in scales.items():
        place, form = where[name], wanted.get(f"{layer}.weight", ())
        allowed = allowed_scales(form) if len(form) == 2 else [(), (1,)]
        if place.shape not in allowed or place.dtype not in SPELLED.values():
            raise CheckpointError(
                f"{name} is {place.dtype} {list(place.shape)}; a scale is a float of shape "
                f"{' or '.join(str(list(shape)) for shape in allowed)}"
            )
    return scales


def _finite(tensor: torch.Tensor, name: str) -> torch.Tensor:
    # careful: float8_e4m3fn has NaN and no infinity, and torch no isfinite for it
    fp8 = tensor.dtype == torch.float8_e4m3fn
    if tensor.isnan().any() or not (fp8 or tensor.isfinite().all()):
        raise CheckpointError(f"{name} holds NaN or infinity; the file is damaged, fetch it again")
    return tensor
