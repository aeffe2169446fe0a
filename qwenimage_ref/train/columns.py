"""What a row of a table says besides a picture and its caption, in the columns of DiffSynth-Studio:

edit_image             the pictures that an edit model is given; a name, or a list of names
context_image          what In-Context-Control follows, or the mask of Layered-Control-V2
eligen_entity_prompts  prompts of regions, a list
eligen_entity_masks    their masks, a list of names
image                  for a layered model a list: the whole picture, then its layers from below
layer_input_image      the picture that a layered model takes apart
layer_num              the number of those layers, if it is stated
blockwise_controlnet_image, blockwise_controlnet_inpaint_mask   what a control network reads

Lists stand in JSON tables as they are, and in a field of a CSV table as JSON.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from ..files import shorten
from ..pictures import open_picture
from .captions import PICTURE_COLUMNS, inside, listed_in

CONTROL, CONTROL_MASK = "blockwise_controlnet_image", "blockwise_controlnet_inpaint_mask"
MOST_STRETCH = 0.02  # share by which proportions may differ: sides are whole pixels


@dataclass(frozen=True)
class Columns:
    """The columns of one example, under their names; empty where it has none of them"""

    edit_image: tuple[Path, ...] = ()
    context_image: Path | None = None
    eligen_entity_prompts: tuple[str, ...] = ()
    eligen_entity_masks: tuple[Path, ...] = ()
    layers: tuple[Path, ...] = ()  # those that column image lists, the whole picture first
    layer_input_image: Path | None = None
    blockwise_controlnet_image: Path | None = None
    blockwise_controlnet_inpaint_mask: Path | None = None

    @property
    def names(self) -> list[str]:
        """The columns that are there"""
        return [field.name for field in fields(self) if getattr(self, field.name)]

    @property
    def pictures(self) -> list[Path]:
        """All pictures that are named"""
        named = []
        for name in self.names:
            value = getattr(self, name)
            named += value if isinstance(value, tuple) else [value]
        return [each for each in named if isinstance(each, Path)]


def columns_of(folder: Path, row: dict) -> Columns:
    """A row -> its columns. Raises ValueError, which goes on from the name of the row's picture."""
    paths = {}
    for name in ("edit_image", "eligen_entity_masks"):
        paths[name] = tuple(_path(folder, name, each) for each in listed_in(row.get(name)))
    for name in ("context_image", "layer_input_image", CONTROL, CONTROL_MASK):
        paths[name] = _path(folder, name, row[name]) if row.get(name) else None
    image = next((row[key] for key in PICTURE_COLUMNS if row.get(key)), None)
    many = isinstance(image, list) or len(listed_in(image)) > 1
    columns = Columns(
        **paths,
        eligen_entity_prompts=tuple(_texts(row.get("eligen_entity_prompts"))),
        layers=tuple(_path(folder, "image", each) for each in listed_in(image)) if many else (),
    )
    _check_pairs(columns, row.get("layer_num"))
    return columns


def _path(folder: Path, name: str, value) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError(f"has the {name} {shorten([value])}, which is no name of a file")
    try:
        return inside(folder, value)
    except ValueError as error:
        raise ValueError(f"has the {name} {shorten([value])}, which {error}") from None


def _texts(value) -> list[str]:
    texts = listed_in(value)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"has the eligen_entity_prompts {shorten([text])}, which is no text")
    return [text.strip() for text in texts]


def _check_pairs(columns: Columns, layer_num) -> None:
    """Raises ValueError for columns that need another one, or of another number."""
    prompts, masks = len(columns.eligen_entity_prompts), len(columns.eligen_entity_masks)
    if prompts != masks:
        raise ValueError(f"has {prompts} eligen_entity_prompts and {masks} eligen_entity_masks")
    if bool(columns.layers) != (columns.layer_input_image is not None):
        raise ValueError(
            "must have both a list of pictures and a layer_input_image, or neither of them"
        )
    if columns.blockwise_controlnet_inpaint_mask and not columns.blockwise_controlnet_image:
        raise ValueError(f"has a {CONTROL_MASK} and no {CONTROL}")
    if layer_num not in (None, "") and str(layer_num) != str(len(columns.layers) - 1):
        raise ValueError(
            f"has the layer_num {shorten([layer_num])} and {max(len(columns.layers) - 1, 0)} "
            "pictures of layers behind the whole one"
        )


def check_shapes(picture: Path, columns: Columns) -> None:
    """Raises ValueError for a picture that does not lie on its example's, which is at `picture`.

    Pictures of another size are scaled, and cut in the same place; their proportions must be those
    of the example. The pictures of an edit model are free.
    """
    width, height = open_picture(picture).size
    for path in columns.pictures:
        if path in columns.edit_image:
            continue
        wide, high = open_picture(path).size
        if abs(wide / high * height / width - 1) > MOST_STRETCH:
            raise ValueError(
                f"is {width}x{height} pixels and {path.name}, which belongs to it, {wide}x{high}; "
                "crop it alike"
            )
