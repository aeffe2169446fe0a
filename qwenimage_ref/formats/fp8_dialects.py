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

import math
from collections.abc import Collection
from dataclasses import dataclass

from ..checkpoint.headers import Place, Places, read_tensor
from ..checkpoint.stored_form import FLOATS
from ..files import parse_json, shorten

PLAIN, SCALED = "ComfyUI plain", "ComfyUI scaled"
MIXED, MUSUBI = "ComfyUI mixed precision", "musubi"
ENDINGS = {  # name endings of the scales of a weight and of its input
    PLAIN: (),
    SCALED: (".scale_weight", ".scale_input"),
    MIXED: (".weight_scale", ".input_scale"),
    MUSUBI: (".scale_weight", ".scale_input"),
}
FP8 = "float8_e4m3fn"
FP8_TYPES = {"F8_E4M3": FP8, "F8_E5M2": "float8_e5m2"}  # spellings of headers and of ComfyUI
MARK, FORMAT, METADATA = "scaled_fp8", ".comfy_quant", "_quantization_metadata"
LONGEST_FORMAT = 1000  # bytes of JSON in a .comfy_quant tensor; real ones have under 100
OTHER_KEYS = {".weight_scale_2": "nvfp4", ".pre_quant_scale": "smoothed before it was quantised"}
OTHER_TYPES = {"F8_E8M0": "mxfp8", "I8": "int8"}


@dataclass(frozen=True)
class Layout:
    """The tensors of fp8 files and their scales, under official names."""

    dialect: str
    tensors: dict[str, Place]  # {name: place} of the network's own tensors
    packed: set[str]  # layers whose weight is fp8
    scales: dict[str, Place]  # {layer: place of its weight's scale}
    inputs: dict[str, Place]  # {layer: place of its input's scale}
    exact: set[str]  # layers whose input the file wants left as it is, not rounded to fp8


def read_layout(
    places: Places, names: dict[str, str], form: dict[str, tuple], apart: Collection[str] = ()
) -> Layout:
    """The tensors of fp8 files -> which are packed, and by what they are multiplied.

    names: {official name: name in the file}. form: {official name: shape} of what the network
    stores; keys and shapes are compared by `fill`. apart: layers that are in another format of
    ComfyUI's, and not among the names. Raises ValueError or CheckpointError, one line, unless every
    scale belongs to a weight and every format is known.
    """
    where = {name: places[key] for name, key in names.items()}
    stated = read_formats(places, names, form)
    formats = {layer: fields for layer, fields in stated.items() if layer not in apart}
    _demand_known_formats(where, formats)
    dialect = MIXED if apart else _dialect(where, formats)
    tensors = {name: place for name, place in where.items() if not _is_aside(name, dialect)}
    fp8 = {name for name, place in tensors.items() if place.dtype in FP8_TYPES}
    packed = {name.removesuffix(".weight") for name in fp8 if len(form.get(name, ())) == 2}
    scales, inputs = {}, {}
    if dialect != PLAIN:
        scales, inputs = (_ending(where, end) for end in ENDINGS[dialect])
        _demand_scales(packed, scales, fp8)
    if dialect == MIXED and (other := sorted(packed ^ formats.keys())):
        raise ValueError(f"what it says of {shorten(other)} is not what it holds; fetch it again")
    for layer, name in scales.items():
        _demand_form(name, where[name], allowed_scales(form[f"{layer}.weight"]))
    for layer, name in inputs.items():
        if layer not in packed:
            raise ValueError(f"{shorten([name])} belongs to no fp8 weight; fetch it again")
        _demand_form(name, where[name], [(), (1,)])
    exact = {layer for layer, fields in formats.items() if fields.get("full_precision_matrix_mult")}
    if MARK in where and where[MARK].shape == (2,):
        exact = set(packed)
    scales, inputs = ({layer: where[n] for layer, n in of.items()} for of in (scales, inputs))
    return Layout(dialect, tensors, packed, scales, inputs, exact)


def allowed_scales(shape: tuple[int, int]) -> list[tuple]:
    """The shapes that the scale of a weight may have: one number, one a row, one for 64 inputs"""
    out, in_ = shape
    return [(), (1,), (out, 1), *([(out, in_ // 64, 1)] if in_ % 64 == 0 else [])]


def _is_aside(name: str, dialect: str) -> bool:
    """Whether it is no tensor of the network, but one that the dialect puts beside them"""
    endings = ENDINGS[dialect] + ((FORMAT,) if dialect == MIXED else ())
    return (name == MARK and dialect == SCALED) or name.endswith(endings)


def _ending(where: dict, ending: str) -> dict[str, str]:
    return {name.removesuffix(ending): name for name in where if name.endswith(ending)}


def _dialect(where: dict, formats: dict) -> str:
    if not any(place.dtype in FP8_TYPES for place in where.values()):
        raise ValueError(f"it holds no weights in {FP8}, so it is no fp8 file")
    if formats:
        return MIXED
    if MARK in where:
        if where[MARK].dtype not in (*FP8_TYPES, "F32"):  # float32 is how the first ones said it
            raise ValueError(f"its {MARK} is {where[MARK].dtype}; only {FP8} is read here")
        return SCALED
    return MUSUBI if any(name.endswith(".scale_weight") for name in where) else PLAIN


def read_formats(places: Places, names: dict[str, str], form: dict) -> dict[str, dict]:
    """{layer: what the files say of it}, from their metadata and from tensors that hold JSON

    Raises ValueError.
    """
    where = {name: places[key] for name, key in names.items()}
    official = {key.removesuffix(".weight"): n.removesuffix(".weight") for n, key in names.items()}
    formats = {}
    if text := places.metadata.get(METADATA):
        try:
            layers = parse_json(text.encode())["layers"]
            formats |= {official.get(key, key): fields for key, fields in layers.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"its {METADATA} cannot be read ({error})") from None
    for layer, name in _ending(where, FORMAT).items():
        try:
            if where[name].dtype != "U8" or math.prod(where[name].shape) > LONGEST_FORMAT:
                raise ValueError(f"it must be U8, at most {LONGEST_FORMAT} bytes")
            formats[layer] = parse_json(bytes(read_tensor(where[name]).tolist()))
        except ValueError as error:
            raise ValueError(f"{shorten([name])} cannot be read ({error})") from None
    for layer, fields in formats.items():
        if not isinstance(fields, dict) or not isinstance(fields.get("format"), str):
            raise ValueError(f"it does not say in which format {shorten([layer])} is")
    return {layer: fields for layer, fields in formats.items() if f"{layer}.weight" in form}


def _demand_known_formats(where: dict[str, Place], formats: dict[str, dict]) -> None:
    others = {
        layer: fields["format"]
        for layer, fields in formats.items()
        if fields["format"] not in FP8_TYPES.values()
    }
    for name, place in where.items():
        for ending, kind in OTHER_KEYS.items():
            if name.endswith(ending):
                others.setdefault(name, kind)
        if place.dtype in OTHER_TYPES:
            others.setdefault(name, OTHER_TYPES[place.dtype])
    if others:
        name, kind = next(iter(others.items()))
        raise ValueError(
            f"{shorten([name])} is {shorten([kind])}, which is not read here; {FP8} and "
            "float8_e5m2 are, and the int8_tensorwise, mxfp8, nvfp4 and asym_w4a8_int8 of ComfyUI, "
            "where a comfy_quant beside the layer says so"
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
    if place.shape not in shapes or place.dtype not in FLOATS:
        allowed = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(
            f"{name} is {place.dtype} {list(place.shape)}; a scale is a float of shape {allowed}"
        )
