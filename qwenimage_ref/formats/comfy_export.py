"""A folder of weights as the three single files that ComfyUI loads, under its names.

    diffusion_models/qwen_image.safetensors      official names, and a mark in Edit-2511
    text_encoders/qwen_2.5_vl_7b.safetensors     official names without lm_head
    vae/qwen_image_vae.safetensors               the names of the video model Wan

The folders are those of ComfyUI's `models`. Bytes are copied as they lie, a piece at a time, so
that weights of 58 GB need next to no memory. tests/golden/comfy_names.json has the names and shapes
of ComfyUI's own classes.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from ..checkpoint.fill import Weights
from ..checkpoint.headers import DTYPES, Place, find_tensors, read_into
from ..checkpoint.model_folder import empty_network, read_class
from ..checkpoint.stored_form import other_forms, other_keys, stored_form
from ..checkpoint.write import SPELLED, header
from ..files import CheckpointError, whole_file
from . import ZERO_COND_T
from .single_file import VISUAL, open_weights, wan_names

NAME_OF_CLASS = {
    "QwenImagePipeline": "qwen_image",
    "QwenImageEditPipeline": "qwen_image_edit",
    "QwenImageEditPlusPipeline": "qwen_image_edit_plus",
    "QwenImageLayeredPipeline": "qwen_image_layered",
}
# widths that ComfyUI's classes have in their code, whatever a file holds
WIDTHS = {"transformer": ("inner_dim", 3072), "text_encoder": ("hidden_size", 3584)}
PIECE = 1 << 24  # bytes that are copied at a time

Progress = Callable[[int, int], None]


def files_of(folder: Path) -> dict[str, str]:
    """{part: path of its file below ComfyUI's `models`}"""
    name = NAME_OF_CLASS[read_class(folder)]
    vae = "qwen_image_layered_vae" if name.endswith("layered") else "qwen_image_vae"
    return {
        "transformer": f"diffusion_models/{name}.safetensors",
        "text_encoder": "text_encoders/qwen_2.5_vl_7b.safetensors",
        "vae": f"vae/{vae}.safetensors",
    }


def fits(folder: Path) -> bool:
    """Whether the networks have the widths for which ComfyUI's classes are written"""
    return all(
        getattr(empty_network(folder, part).config, field) == width
        for part, (field, width) in WIDTHS.items()
    )


def export(folder: Path, to: Path, progress: Progress = lambda done, total: None) -> list[Path]:
    """Write the three files below `to`, each whole or not at all -> their paths

    progress(done, total) counts bytes. Raises CheckpointError, one line, before anything is written
    where a part is not whole, quantised or of another network; OSError where the disk is full.
    """
    parts = {part: comfy_places(folder, part) for part in files_of(folder)}
    total = sum(place.stop - place.start for part in parts.values() for place in part.values())
    done, written = 0, []
    for part, path in files_of(folder).items():
        file = to / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as partial, partial.open("wb") as opened:
            for count in _copy(parts[part], opened):
                done += count
                progress(done, total)
        written.append(file)
    return written


def comfy_places(folder: Path, part: str) -> dict[str, Place]:
    """One part of a folder -> {ComfyUI's name of each tensor: where it lies}"""
    network = empty_network(folder, part)
    places = dict(_whole(folder / part, network).places)
    if part == "vae":
        return {wan: places[official] for official, wan in wan_names(network).items()}
    if part == "text_encoder" and any(VISUAL in key for key in find_tensors(folder / part)):
        vision = _whole(folder / part, empty_network(folder, "vision"))
        places |= {f"{VISUAL}{name}": place for name, place in vision.places.items()}
    if part == "transformer" and network.config.zero_cond_t:
        first = next(iter(places.values()))
        places[ZERO_COND_T] = Place(first.file, "F32", (0,), first.start, first.start)
    return places


def _whole(source: Path, network) -> Weights:
    """Where the tensors of a network lie. Raises CheckpointError unless all are plain numbers."""
    weights, form = open_weights(source, network), stored_form(network)
    wrong = other_keys(form, weights.places) or other_forms(form, weights.places)
    if type(weights) is not Weights:
        wrong = ["it is quantised; export the folder that it was made from"]
    if wrong:
        raise CheckpointError(f"{source} cannot be exported: {wrong[0]}")
    return weights


def _copy(places: dict[str, Place], opened):
    """Write a .safetensors file; yields how many bytes each piece had"""
    order = list(SPELLED)
    keys = sorted(places, key=lambda key: (order.index(DTYPES[places[key].dtype]), key))
    entries = [(key, DTYPES[places[key].dtype], places[key].shape) for key in keys]
    opened.write(header(entries, {"format": "pt"})[0])
    for place in (places[key] for key in keys):
        for start in range(place.start, place.stop, PIECE):
            piece = torch.empty(min(PIECE, place.stop - start), dtype=torch.uint8)
            read_into(place.file, start, piece)
            opened.write(piece.numpy().data)
            yield len(piece)
