"""The table of symbols finds every tensor's concept, and whatever is not the same on both sides."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from qwenimage_ref.checkpoint.model_folder import stored_networks
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import tensor_names
from qwenimage_ref.mmdit import Block

VAE = {f"{name}.weight": (2, 3) for name in tensor_names.TENSORS["vae"].values()}


def as_stored(name: str) -> str:
    return name


def in_one_more_room(name: str) -> str:
    return name.removeprefix("room.")


@pytest.mark.parametrize("part", tensor_names.TENSORS)
def test_every_kind_of_tensor_has_one_concept_and_every_concept_a_tensor(part):
    form = stored_form(stored_networks(show.pocket_folder())[part])
    rows = tensor_names.rows(part, form, form, as_stored)
    assert len(rows) == len(tensor_names.kinds(form))
    assert sum(row[-1] for row in rows) == len(form)


def test_the_number_of_a_block_makes_no_kind_and_a_place_inside_it_does():
    named = "transformer_blocks.{}.img_mlp.net.{}.weight"
    assert tensor_names.kind(named.format(3, 2)) == tensor_names.kind(named.format(41, 2))
    assert tensor_names.kind(named.format(3, 2)) == "transformer_blocks.{i}.img_mlp.net.2"


def test_a_kind_has_its_weights_shapes_once_and_no_biases():
    shapes = {"blocks.0.a.weight": (2, 3), "blocks.0.a.bias": (2,), "blocks.1.a.weight": (2, 3)}
    assert tensor_names.kinds(shapes) == {"blocks.{i}.a": [(2, 3)]}


def test_another_name_in_the_references_memory_is_told():
    theirs = {f"room.{name}": shape for name, shape in VAE.items()}
    row = tensor_names.rows("vae", VAE, theirs, in_one_more_room)[0]
    assert row == ["pixels to channels", "`encoder.conv_in`", "`room.encoder.conv_in`", "2×3", 1]


def test_shapes_that_vary_are_told_by_the_smallest_and_the_largest():
    name = "encoder.down_blocks.{}.conv1.weight"
    shapes = {name.format(i): (size,) for i, size in enumerate((64, 32, 96))}
    stored = {key: shape for key, shape in VAE.items() if "down_blocks.{i}.conv1." not in key}
    rows = tensor_names.rows("vae", stored | shapes, stored | shapes, as_stored)
    assert [row[3:] for row in rows if row[0] == "encoder: first convolution"] == [["32 to 96", 3]]


@pytest.mark.parametrize(
    "ours, theirs, complaint",
    [
        ({"new.weight": (1,)}, {}, "new.weight is only ours"),
        ({}, {"new.weight": (1,)}, "new.weight is only the reference's"),
        ({"new.weight": (1,)}, {"new.weight": (2,)}, r"new.weight is \(1,\) here and \(2,\) there"),
        ({"new.weight": (1,)}, {"new.weight": (1,)}, "new lacks a concept"),
    ],
)
def test_what_is_not_the_same_on_both_sides_is_named(ours, theirs, complaint):
    with pytest.raises(ValueError, match=complaint):
        tensor_names.rows("vae", VAE | ours, VAE | theirs, as_stored)


def test_a_concept_without_a_tensor_is_named():
    less = {key: shape for key, shape in VAE.items() if not key.startswith("quant_conv.")}
    with pytest.raises(ValueError, match="quant_conv lacks a tensor"):
        tensor_names.rows("vae", less, less, as_stored)


def test_a_class_is_paired_with_what_stands_in_its_place():
    ours, theirs = Block(8, 2), nn.Module()
    theirs.room = nn.Module()
    theirs.room.attn, theirs.room.img_mod = nn.Bilinear(1, 1, 1), nn.Identity()
    pairs = tensor_names.classes(ours, theirs, in_one_more_room)
    assert ["`attn`", "mmdit.JointAttention", "Bilinear"] in pairs
    assert ["`img_mod`", "mmdit.Modulation", "Identity"] in pairs
    assert "mmdit.MLP" not in {row[1] for row in pairs}, "theirs has no MLP here"


def test_the_portrait_shows_every_matrix_of_a_block():
    with torch.device("meta"):
        block = Block(48, 2)
    matrices = {n.removesuffix(".weight") for n, p in block.named_parameters() if p.ndim == 2}
    drawn = [name for stream in ("img", "txt") for name in tensor_names.matrices(stream).values()]
    assert sorted(drawn) == sorted(matrices)


def test_the_portrait_is_drawn_to_scale():
    shapes = {name: (9, 9) for s in ("img", "txt") for name in tensor_names.matrices(s).values()}

    def ink(shapes):
        picture = Image.open(
            io.BytesIO(tensor_names.portrait(shapes, "all matrices").data)
        ).convert("L")
        return (np.asarray(picture) < 240).sum()

    assert ink(shapes | {"img_mod.1": (54, 9)}) > 1.2 * ink(shapes)
