"""The further columns of an example (columns.py) as training needs them: what the pipeline would
give the transformer beside the caption, encoded once.

The tasks of the pipeline encode here, too, so that an adapter is trained on what it will be given.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..conditions import EditForm, LayeredForm
from ..limits import TOKEN
from ..pictures import is_opaque, open_picture, to_input
from ..tasks.control import control_latents
from ..tasks.edit import (
    check_request,
    edit_texts,
    encoded_copies,
    picture_tokens,
    read_copies,
    read_pictures,
)
from ..tasks.inpaint import grey_mask
from ..tasks.layers import check_mask
from ..tasks.regions import checked_regions, context_prompt, encoded_regions
from .captions import DataError
from .columns import CONTROL, CONTROL_MASK, Columns

LANCZOS, NEAREST = Image.Resampling.LANCZOS, Image.Resampling.NEAREST
REGIONS = {"eligen_entity_prompts", "eligen_entity_masks"}
CONTROLS = {CONTROL, CONTROL_MASK}
FORMS = {  # kind of model: what it is called, the columns that it needs, and those that it may have
    type(None): ("a text-to-image model", set(), {"context_image"} | REGIONS | CONTROLS),
    EditForm: ("an edit model", {"edit_image"}, REGIONS | CONTROLS),
    LayeredForm: ("a layered model", {"layers", "layer_input_image"}, {"context_image"}),
}
COLUMN_OF = {"layers": "a list in the column image"}


# -- checks ---------------------------------------------------------------------------------------


def check(pipe, examples: list) -> None:
    """Raises DataError, one line, for the first example that the pipeline cannot be trained on."""
    kind, needed, allowed = FORMS[type(pipe.form)]
    for example in examples:
        names = set(example.columns.names)
        try:
            if missing := sorted(needed - names):
                name = COLUMN_OF.get(missing[-1], missing[-1])
                raise ValueError(
                    f"an example must have {name} for {kind}, got none; add it to the table"
                )
            if extra := sorted(names - needed - allowed):
                name = COLUMN_OF.get(extra[-1], extra[-1])
                raise ValueError(
                    f"an example must be without {name} for {kind}; take the weights it is for"
                )
            _check_values(pipe, example)
        except ValueError as error:
            raise DataError(f"{example.picture}: {error}") from None


def _check_values(pipe, example) -> None:
    columns = example.columns
    if columns.edit_image:
        check_request(pipe, [[example.caption]], columns.edit_image)
    if len(columns.layers) > 1 and columns.context_image:
        raise ValueError(
            "an example must be without context_image where it has more than one layer"
        )
    if columns.layers and columns.context_image:
        check_mask(open_picture(columns.context_image, alpha=True))
    # the whole picture comes first, and the lowest layer may be opaque
    for layer in columns.layers[2:]:
        if is_opaque(open_picture(layer, alpha=True)):
            raise ValueError(
                "an example must have transparency in every layer above the lowest, got none in "
                f"{layer}; save it in RGBA"
            )
    if columns.eligen_entity_prompts:
        checked_regions(_regions(columns), [example.caption])
    if mask := columns.blockwise_controlnet_inpaint_mask:
        size = open_picture(columns.blockwise_controlnet_image).size
        grey_mask(open_picture(mask), size)


def _regions(columns: Columns) -> list[tuple[str, Image.Image]]:
    masks = [open_picture(path) for path in columns.eligen_entity_masks]
    return list(zip(columns.eligen_entity_prompts, masks))


# -- pictures -------------------------------------------------------------------------------------


def fit(picture: Image.Image, size: tuple[int, int], resampling=LANCZOS) -> Image.Image:
    """A picture at that size: scaled until it covers it, then cut at the middle"""
    return ImageOps.fit(picture, size, resampling)


def layer_latents(pipe, layers: tuple[Path, ...], size: tuple[int, int]) -> Tensor:
    """Latents of the whole picture and its layers, above each other as (1, C, frames * h, w)"""
    latents = []
    for path in layers:  # one by one: an encoder's memory is that of a single picture
        img = to_input([fit(open_picture(path, alpha=True), size)]).to(pipe.device, pipe.dtype)
        latents.append(pipe.vae.normalize(pipe.vae.encode(img)[0]))
    return torch.cat(latents, dim=2)


# -- conditions -----------------------------------------------------------------------------------


@torch.no_grad()
def conditions(
    pipe, caption: str, columns: Columns, size: tuple[int, int], keep: Callable
) -> dict[str, Tensor]:
    """-> txt and the other fields of Encoded, as tensors

    size: width and height of the target. keep(file, what, compute) returns the tensors that
    `compute` returns, computed once for each file.
    """
    target = (1, size[1] // TOKEN, size[0] // TOKEN)
    if columns.edit_image:
        values = _edited(pipe, caption, columns.edit_image, keep)
    elif columns.layers:
        values = {"txt": _text(pipe, caption)} | _layered(pipe, columns, size)
    elif columns.context_image:
        values = {"txt": _text(pipe, context_prompt(caption))}
        values |= _followed(pipe, [fit(open_picture(columns.context_image), size)])
    else:
        values = {"txt": _text(pipe, caption)}
    if columns.eligen_entity_prompts:
        grids = [target, *values.get("grids", torch.empty(0)).tolist()]
        values |= _in_regions(pipe, columns, size, grids, values["txt"])
    if columns.blockwise_controlnet_image:
        values["control"] = _control(pipe, columns, size)
    return values


def _text(pipe, caption: str) -> Tensor:
    return pipe.encode_prompt([caption])[0][0]


def _edited(pipe, caption: str, files: tuple[Path, ...], keep: Callable) -> dict[str, Tensor]:
    """The caption with its pictures, as edit models are given both"""
    pictures = [open_picture(file) for file in files]
    copies = encoded_copies(pipe, pictures)
    tokens, states, read_grids = [], [], []
    for file, copy, read in zip(files, copies, read_copies(pipe, pictures, copies)):

        def encoded(copy=copy) -> dict:
            return {"img": picture_tokens(pipe, copy)[0]}

        def seen(read=read) -> dict:
            states, (grid,) = read_pictures(pipe, [read])
            return {"states": states, "grid": torch.tensor(grid)}

        tokens.append(keep(file, f"tokens at {copy.size}", encoded)["img"])
        looked = keep(file, f"vision states at {read.size}", seen)
        states.append(looked["states"])
        read_grids.append(tuple(looked["grid"].tolist()))
    groups = [[caption], [" "]]
    txt, empty = edit_texts(pipe, groups, torch.cat(states).to(pipe.device), read_grids)
    return {
        "txt": txt[0], "empty": empty[0], "img": torch.cat(tokens), "grids": _grids(copies),
    }  # fmt: skip


def _layered(pipe, columns: Columns, size: tuple[int, int]) -> dict[str, Tensor]:
    """The picture that is taken apart, behind the mask that shows where"""
    files = [each for each in (columns.context_image, columns.layer_input_image) if each]
    pictures = [fit(open_picture(file, alpha=True), size) for file in files]
    return _followed(pipe, pictures) | {"frames": torch.tensor(len(columns.layers))}


def _followed(pipe, pictures: list[Image.Image]) -> dict[str, Tensor]:
    img = [picture_tokens(pipe, picture)[0] for picture in pictures]
    return {"img": torch.cat(img), "grids": _grids(pictures)}


def _grids(pictures: list[Image.Image]) -> Tensor:
    return torch.tensor([(1, each.height // TOKEN, each.width // TOKEN) for each in pictures])


def _in_regions(pipe, columns: Columns, size, grids: list, txt: Tensor) -> dict[str, Tensor]:
    """Texts of regions before the caption's"""
    regions = [(text, fit(mask.convert("L"), size, NEAREST)) for text, mask in _regions(columns)]
    seen, texts = encoded_regions(pipe, regions, grids)
    texts = [text[0] for text in texts]
    lengths = torch.tensor([len(text) for text in texts])
    return {"txt": torch.cat([*texts, txt]), "seen": seen, "lengths": lengths}


def _control(pipe, columns: Columns, size: tuple[int, int]) -> Tensor:
    """What a blockwise network reads: (C, h, w), with a mask one channel more"""
    picture = fit(open_picture(columns.blockwise_controlnet_image), size)
    mask = columns.blockwise_controlnet_inpaint_mask
    mask = mask and fit(open_picture(mask).convert("L"), size)
    return control_latents(pipe, picture, mask)[0]
