"""What chapter 07 draws: streams through depth, holders of bytes, a file's bytes, early exits."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.checkpoint.model_folder import stored_networks
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import through_the_stack

PICTURES = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 90, 250)]


def colours(shown) -> set[tuple]:
    picture = Image.open(io.BytesIO(shown.data)).convert("RGB")
    return {colour for _, colour in picture.getcolors(picture.width * picture.height)}


def near(found: set[tuple], name: str) -> bool:
    wanted = np.array([int(show.PALETTE[name][i : i + 2], 16) for i in (1, 3, 5)])
    return any(np.abs(np.array(colour) - wanted).max() <= 12 for colour in found)


def test_every_stored_tensor_has_one_group_and_no_byte_is_lost():
    forms = {
        part: {key: 2 for key in stored_form(network)}
        for part, network in stored_networks(show.pocket_folder()).items()
    }
    sizes = through_the_stack.bytes_by_group(forms)
    assert sum(sizes.values()) == 2 * sum(len(form) for form in forms.values())
    assert min(sizes.values()) > 0, "a holder that holds nothing"


@pytest.mark.parametrize(
    "part, key, name",
    [
        ("transformer", "transformer_blocks.7.txt_mlp.net.2.weight", "MLPs"),
        ("transformer", "transformer_blocks.7.img_mod.1.bias", "modulation"),
        ("transformer", "transformer_blocks.7.attn.norm_q.weight", "attention"),
        ("transformer", "proj_out.weight", "input and output layers"),
        ("text_encoder", "model.layers.3.mlp.up_proj.weight", "text layers"),
        ("text_encoder", "lm_head.weight", "token embeddings"),
        ("text_encoder", "visual.blocks.0.mlp.up_proj.weight", "vision tower"),
        ("vae", "decoder.conv_in.bias", "VAE"),
    ],
)
def test_a_tensor_is_in_the_group_that_it_belongs_to(part, key, name):
    assert through_the_stack.group(part, key) == name


def test_a_tensor_of_no_known_part_is_refused():
    with pytest.raises(ValueError, match="visuals.weight of text_encoder must belong to a group"):
        through_the_stack.group("text_encoder", "visuals.weight")


def test_bars_show_a_large_group_in_its_colour():
    sizes = {name: 0 for name, *_ in through_the_stack.GROUPS} | {"VAE": 3, "MLPs": 1}
    shown = through_the_stack.shares_by_group({"one": sizes}, "a bar of orange and green")
    assert near(colours(shown), "image") and near(colours(shown), "joint")
    assert plt.get_fignums() == []


def test_both_streams_are_drawn_in_their_colours():
    panels = {"left": {"img": [1, 2], "txt": [2, 1]}, "right": {"img": [3] * 60, "txt": [1] * 60}}
    shown = through_the_stack.stream_sizes(panels, "two panels with two lines each")
    assert near(colours(shown), "image") and near(colours(shown), "text")


def test_every_region_of_a_file_has_its_colour_and_a_row_has_sixteen_bytes():
    short = through_the_stack.file_bytes(b"ab", {"all": (0, 2, "text")}, "two bytes of a file")
    long = through_the_stack.file_bytes(bytes(33), {"all": (0, 33, "text")}, "33 bytes of a file")
    heights = [Image.open(io.BytesIO(shown.data)).height for shown in (short, long)]
    assert heights[1] > heights[0] + 80, "three rows are higher than one"
    both = through_the_stack.file_bytes(
        b"ab", {"a": (0, 1, "wrong"), "b": (1, 2, "image")}, "two colours"
    )
    assert len(colours(both)) > len(colours(short))


def test_the_exit_slider_shows_the_picture_and_the_error_of_its_depth():
    exits = through_the_stack.DepthSlider(PICTURES, [1.5, 0.5, 0.25])
    assert exits.picture.value == show.png(PICTURES[2])
    exits.blocks.value = 1
    assert exits.picture.value == show.png(PICTURES[1])
    assert exits.words.value == "after 1 blocks the velocity is off by 0.50"


def test_pictures_and_errors_of_other_numbers_are_refused():
    with pytest.raises(ValueError, match="as many, got 3 and 2"):
        through_the_stack.DepthSlider(PICTURES, [1, 2])


def test_where_no_widget_can_be_the_exit_slider_is_words():
    assert "slider for the number of blocks" in repr(
        through_the_stack.DepthSlider(PICTURES, [1, 2, 3])
    )
