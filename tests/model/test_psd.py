"""Layers in a Photoshop file, read back by psd-tools and by Pillow."""

import numpy as np
import pytest
from helpers.layering import transparent
from PIL import Image
from psd_tools import PSDImage

from qwenimage_ref.psd import recompose, save_psd


@pytest.fixture
def layers():
    opaque = transparent(61, 47, seed=9)
    opaque.putalpha(255)
    return [opaque, transparent(61, 47), Image.new("RGBA", (61, 47), (0, 0, 0, 0))]


def test_every_layer_is_read_back_pixel_by_pixel_from_the_lowest(layers, tmp_path):
    save_psd(layers, tmp_path / "layers.psd")
    document = PSDImage.open(tmp_path / "layers.psd")
    assert [layer.name for layer in document] == ["layer 1", "layer 2", "layer 3"]
    assert document.size == (61, 47)
    for layer, original in zip(document, layers):
        assert layer.topil().mode == "RGBA" and layer.visible
        assert np.array_equal(np.asarray(layer.topil()), np.asarray(original))


def test_a_program_without_layers_sees_all_of_them_on_each_other(layers, tmp_path):
    save_psd(layers, tmp_path / "layers.psd")
    with Image.open(tmp_path / "layers.psd") as flat:
        assert np.array_equal(np.asarray(flat.convert("RGBA")), np.asarray(recompose(layers)))


def test_layers_on_each_other_are_the_picture():
    low = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    middle, top = (Image.new("RGBA", (2, 1), (0, 0, 0, 0)) for _ in range(2))
    middle.putpixel((0, 0), (200, 100, 0, 255))
    top.putpixel((0, 0), (0, 0, 0, 128))
    result = recompose([low, middle, top])
    assert result.getpixel((1, 0)) == (255, 255, 255, 255)
    assert np.allclose(result.getpixel((0, 0)), (100, 50, 0, 255), atol=1)
