"""Layers in one Photoshop file, as designers exchange them; GIMP and Krita open it, too."""

from pathlib import Path

from PIL import Image

from .files import whole_file

TOGETHER = "layers.psd"  # name of such a file beside its layers


def save_psd(layers: list[Image.Image], file: str | Path) -> None:
    """Write layers in RGBA of one size, the lowest first; whole or not at all

    Their names are "layer 1" and so on. Programs that know no layers show all of them on each
    other.
    """
    from psd_tools import PSDImage  # careful: not at the top, it takes half a second

    document = PSDImage.frompil(recompose(layers))
    for number, layer in enumerate(layers, start=1):
        document.create_pixel_layer(layer, name=f"layer {number}")
    with whole_file(file) as partial:
        document.save(partial)


def recompose(layers: list[Image.Image]) -> Image.Image:
    """Layers in RGBA, the lowest first -> the picture that they show on each other, in RGBA"""
    picture = layers[0]
    for layer in layers[1:]:
        picture = Image.alpha_composite(picture, layer)
    return picture
