"""fp8 checkpoints: which weights are packed, and by what they are multiplied, in four dialects.

    dialect                  known by                              the scale of NAME.weight

    ComfyUI plain            none of the below                     none: the weight is the number
    ComfyUI scaled           a tensor scaled_fp8                   NAME.scale_weight, one number
    ComfyUI mixed precision  _quantization_metadata, or a tensor   NAME.weight_scale, one number
                             NAME.comfy_quant for each layer
    musubi                   neither, but scales                   NAME.scale_weight: one number,
                                                                   (out, 1) or (out, in / 64, 1)

A weight is the float8 number times its scale, in whichever dialect. Some of the files also say by
what the layer's input is to be divided for a product in float8 (scale_input, input_scale).
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from ..checkpoint.packed_linear import strip_prefix
from ..checkpoint.stored_form import SPELLED, other_forms, other_keys
from ..files import CheckpointError, Place, find_tensors, open_file, parse_json, shorten

PLAIN, SCALED = "ComfyUI plain", "ComfyUI scaled"
MIXED, MUSUBI = "ComfyUI mixed precision", "musubi"
ENDINGS = {  # of the scale of a weight, and of that of its input
    PLAIN: (),
    SCALED: (".scale_weight", ".scale_input"),
    MIXED: (".weight_scale", ".input_scale"),
    MUSUBI: (".scale_weight", ".scale_input"),
}
FP8 = "float8_e4m3fn"
MARK, TOLD, METADATA = "scaled_fp8", ".comfy_quant", "_quantization_metadata"
EDIT_2511 = "__index_timestep_zero__"  # an empty tensor in files of that model
OTHER_KEYS = {".weight_scale_2": "nvfp4", ".pre_quant_scale": "smoothed before it was quantised"}
OTHER_TYPES = {"F8_E5M2": "float8_e5m2", "F8_E8M0": "mxfp8", "I8": "int8"}


@dataclass(frozen=True)
class Layout:
    """What fp8 files hold. Names are keys without a prefix that the files put before them all."""

    dialect: str
    where: dict[str, Place]  # {name: place}
    keys: dict[str, str]  # {name: key in the file}
    packed: set[str]  # layers whose weight is fp8
    scales: dict[str, str]  # {layer: name of its weight's scale}
    inputs: dict[str, str]  # {layer: name of its input's scale}
    exact: set[str]  # layers whose input the file wants left as it is, not rounded to fp8


def read_layout(source, wanted: dict[str, tuple], edit_2511: bool = False) -> Layout:
    """A file, folder or list of files -> what they hold of a network that stores `wanted`.

    wanted: {official key: shape}. Raises CheckpointError, one line, unless every key is understood,
    none is missing and all have their shapes.
    """
    places = find_tensors(source)
    try:
        names = strip_prefix(places)
        where = {name: places[key] for name, key in names.items()}
        told = _told(where, names)
        _demand_known_formats(where, told)
        dialect = _dialect(where, told)
        if EDIT_2511 in where and not edit_2511:
            raise ValueError(
                "is of Qwen-Image-Edit-2511 and the model is not; give that model's config.json"
            )
        return _layout(dialect, where, names, told, wanted)
    except (CheckpointError, ValueError) as error:
        name = source if isinstance(source, (str, Path)) else shorten(map(str, source))
        raise CheckpointError(f"{name}: {error}") from None


def _layout(dialect, where, names, told, wanted) -> Layout:
    tensors = {name: place for name, place in where.items() if not _is_aside(name, dialect)}
    known = {  # for the comparison of keys and shapes, fp8 is as good as bf16
        name: replace(place, dtype="BF16") if place.dtype == "F8_E4M3" else place
        for name, place in tensors.items()
    }
    for problem in [*other_keys(wanted, known), *other_forms(wanted, known)]:
        raise ValueError(problem)
    fp8 = {name for name, place in tensors.items() if place.dtype == "F8_E4M3"}
    packed = {name.removesuffix(".weight") for name in fp8 if len(wanted[name]) == 2}
    scales, inputs = ({}, {}) if dialect == PLAIN else (_ending(where, e) for e in ENDINGS[dialect])
    if dialect != PLAIN:
        _demand_scales(packed, scales, fp8)
    if dialect == MIXED and (other := sorted(packed ^ told.keys())):
        raise ValueError(f"what it says of {shorten(other)} is not what it holds; fetch it again")
    for layer, name in scales.items():
        _demand_form(name, where[name], allowed_scales(wanted[f"{layer}.weight"]))
    for layer, name in inputs.items():
        if layer not in packed:
            raise ValueError(f"{name} belongs to no fp8 weight; fetch it again")
        _demand_form(name, where[name], [(), (1,)])
    exact = {layer for layer, said in told.items() if said.get("full_precision_matrix_mult")}
    if MARK in where and where[MARK].shape == (2,):
        exact = set(packed)
    return Layout(dialect, where, names, packed, scales, inputs, exact)


def allowed_scales(shape: tuple[int, int]) -> list[tuple]:
    """The shapes that the scale of a weight may have: one number, one a row, one for 64 inputs"""
    out, in_ = shape
    return [(), (1,), (out, 1), *([(out, in_ // 64, 1)] if in_ % 64 == 0 else [])]


def _is_aside(name: str, dialect: str) -> bool:
    """Is it beside the network's own tensors, and understood?"""
    endings = ENDINGS[dialect] + ((TOLD,) if dialect == MIXED else ())
    return name == EDIT_2511 or (name == MARK and dialect == SCALED) or name.endswith(endings)


def _ending(where: dict, ending: str) -> dict[str, str]:
    return {name.removesuffix(ending): name for name in where if name.endswith(ending)}


def _dialect(where: dict, told: dict) -> str:
    if not any(place.dtype == "F8_E4M3" for place in where.values()):
        raise ValueError(f"it holds no weights in {FP8}, so it is no fp8 file")
    if told:
        return MIXED
    if MARK in where:
        if where[MARK].dtype not in ("F8_E4M3", "F32"):  # float32 is how the first ones said it
            raise ValueError(f"its {MARK} is {where[MARK].dtype}; only {FP8} is read here")
        return SCALED
    return MUSUBI if any(name.endswith(".scale_weight") for name in where) else PLAIN


def _told(where: dict[str, Place], names: dict[str, str]) -> dict[str, dict]:
    """{layer: what the file says of it}, from its metadata and from tensors that hold JSON"""
    told = {}
    for file in sorted({place.file for place in where.values()}):
        if said := (open_file(file).metadata() or {}).get(METADATA):
            try:
                layers = parse_json(said.encode())["layers"]
                told |= {name: layers[key] for name, key in strip_prefix(layers).items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"its {METADATA} cannot be read ({error})") from None
    with reader(where, names) as read:
        for layer, name in _ending(where, TOLD).items():
            try:
                told[layer] = parse_json(bytes(read(name).tolist()))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{name} cannot be read ({error})") from None
    for layer, said in told.items():
        if not isinstance(said, dict) or not isinstance(said.get("format"), str):
            raise ValueError(f"it does not say in which format {shorten([layer])} is")
    return told


@contextlib.contextmanager
def reader(where: dict[str, Place], keys: dict[str, str]):
    """Yields a function that reads the tensor of a name; the files are open as long as the block"""
    with contextlib.ExitStack() as stack:
        files = {place.file for place in where.values()}
        opened = {file: stack.enter_context(open_file(file)) for file in sorted(files)}
        yield lambda name: opened[where[name].file].get_tensor(keys[name])


def _demand_known_formats(where: dict[str, Place], told: dict[str, dict]) -> None:
    found = {layer: said["format"] for layer, said in told.items() if said["format"] != FP8}
    for name, place in where.items():
        for ending, kind in OTHER_KEYS.items():
            if name.endswith(ending):
                found.setdefault(name, kind)
        if place.dtype in OTHER_TYPES:
            found.setdefault(name, OTHER_TYPES[place.dtype])
    if found:
        name, kind = next(iter(found.items()))
        raise ValueError(
            f"{shorten([name])} is {shorten([kind])}, which is not read here; of the 8-bit formats "
            f"{FP8} is, with one scale a tensor, a row or a block"
        )


def _demand_scales(packed: set[str], scales: dict[str, str], fp8: set[str]) -> None:
    if lacking := sorted(packed - scales.keys()):
        raise ValueError(
            f"{len(lacking)} fp8 weights have no scale ({shorten(lacking)}); the file is not whole"
        )
    if idle := sorted(scales.keys() - packed):
        raise ValueError(f"{shorten([scales[layer] for layer in idle])} belongs to no fp8 weight")
    if bare := sorted(fp8 - {f"{layer}.weight" for layer in packed}):
        raise ValueError(f"{shorten(bare)} is fp8 and has no scale; the file is not whole")


def _demand_form(name: str, place: Place, shapes: list[tuple]) -> None:
    if place.shape not in shapes or place.dtype not in SPELLED.values():
        allowed = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(
            f"{name} is {place.dtype} {list(place.shape)}; a scale is a float of shape {allowed}"
        )
