"""Condition pictures before any network runs: sizes, the text around a prompt, places of tokens."""

import json
from pathlib import Path

import pytest
import torch

from qwenimage_ref.conditions import (
    FORM_OF_CLASS,
    PAD,
    edit_ids,
    edit_prefix,
    places_in_text,
    size_of_area,
)
from qwenimage_ref.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
SIZES = json.loads((ROOT / "tests" / "golden" / "edit_sizes.json").read_text("utf-8"))
GOLDEN = json.loads((ROOT / "tests" / "golden" / "tokens.json").read_text("utf-8"))
EDIT = FORM_OF_CLASS["QwenImageEditPipeline"]
EDIT_PLUS = FORM_OF_CLASS["QwenImageEditPlusPipeline"]
PAD_ID = 9


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(ROOT / "data" / "pocket" / "tokenizer")


# -- sizes


@pytest.mark.parametrize("side", ["1024", "384"])
@pytest.mark.parametrize("row", SIZES, ids=lambda row: "{}x{}".format(*row["picture"]))
def test_the_size_is_the_one_that_exact_arithmetic_gives(row, side):
    """The table was computed with sixty decimal digits; 4225x4096 and 4489x4096 are halves."""
    assert list(size_of_area(*row["picture"], int(side) ** 2)) == row[side]


@pytest.mark.parametrize("picture, size", [((1920, 1080), (1376, 768)), ((500, 333), (1248, 832))])
def test_the_size_is_the_one_that_is_published(picture, size):
    assert size_of_area(*picture, 1024**2) == size


def test_sides_are_multiples_of_32_unless_others_are_asked_for():
    assert size_of_area(176, 96, 128**2) == (160, 96)
    assert size_of_area(176, 96, 128**2, multiple=16) == (176, 96)


# -- text


def test_one_token_of_the_template_stands_for_each_token_of_a_picture(tokenizer):
    ids = edit_ids(tokenizer, EDIT, "make it red", [3])
    text = GOLDEN["templates"]["edit"].replace("{}", "make it red").replace(PAD, PAD * 3)
    assert tokenizer.decode(ids) == text


def test_the_pictures_of_edit_plus_are_numbered_before_the_prompt(tokenizer):
    ids = edit_ids(tokenizer, EDIT_PLUS, "swap {}", [2, 1])
    pictures = f"Picture 1: <|vision_start|>{PAD * 2}<|vision_end|>"
    pictures += f"Picture 2: <|vision_start|>{PAD}<|vision_end|>"
    before, after = GOLDEN["templates"]["edit_plus"].split("{}")
    assert tokenizer.decode(ids) == f"{before}{pictures}swap {{}}{after}"


def test_a_long_edit_prompt_keeps_its_end(tokenizer):
    ids = edit_ids(tokenizer, EDIT, "red " * 2_000, [1])
    assert tokenizer.decode(ids).endswith("red <|im_end|>\n<|im_start|>assistant\n")


def test_both_edit_templates_drop_what_is_before_their_slot(tokenizer):
    start = edit_prefix(tokenizer)
    for form, first in ((EDIT, "<|vision_start|>"), (EDIT_PLUS, "Picture 1: <|vision_start|>")):
        kept = edit_ids(tokenizer, form, "x", [1])[start:]
        assert tokenizer.decode(kept).startswith(f"{first}{PAD}")


def test_a_prompt_that_holds_the_token_of_a_picture_is_refused(tokenizer):
    with pytest.raises(ValueError, match="must not contain <|image_pad|>, which stands for a pict"):
        edit_ids(tokenizer, EDIT, f"a {PAD} here", [1])


# -- places


def test_a_picture_stands_still_in_time_and_the_text_goes_on_behind_its_longer_side():
    ids = torch.tensor([1, 2, 3, 4, *[PAD_ID] * 35, 5])
    time, row, col = places_in_text(ids, [(5, 7)], PAD_ID)[:, 0]
    assert time[4:39].unique().tolist() == [4]
    assert (row[4].item(), row[38].item()) == (4, 8) and (col[4].item(), col[38].item()) == (4, 10)
    assert [axis[-1].item() for axis in (time, row, col)] == [11, 11, 11]


def test_two_pictures_follow_each_other_in_reading_order():
    ids = torch.tensor([1, *[PAD_ID] * 6, 2, *[PAD_ID] * 2])
    time, row, col = places_in_text(ids, [(2, 3), (2, 1)], PAD_ID)[:, 0].tolist()
    assert time == [0, 1, 1, 1, 1, 1, 1, 4, 5, 5]
    assert row == [0, 1, 1, 1, 2, 2, 2, 4, 5, 6]
    assert col == [0, 1, 2, 3, 1, 2, 3, 4, 5, 5]


def test_the_places_are_those_of_transformers_where_it_knows_the_type_of_each_token():
    from qwenimage_ref.config import TextEncoderConfig, VisionConfig
    from qwenimage_ref.parity.reference import reference_text_encoder

    text = TextEncoderConfig(
        num_hidden_layers=1, hidden_size=8, num_attention_heads=1, num_key_value_heads=1,
        intermediate_size=8, vocab_size=16, mrope_section=(2, 1, 1), image_token_id=PAD_ID,
    )  # fmt: skip
    vision = VisionConfig(depth=1, hidden_size=8, num_heads=1, out_hidden_size=8)
    theirs = reference_text_encoder(text, vision).model
    grids = [(5, 7), (1, 4), (3, 2)]
    pictures = [[PAD_ID] * rows * cols for rows, cols in grids]
    ids = torch.tensor([1, *pictures[0], 2, 3, *pictures[1], 4, *pictures[2], 5])
    expected, _ = theirs.get_rope_index(
        input_ids=ids[None],
        mm_token_type_ids=(ids == PAD_ID).int()[None],
        image_grid_thw=torch.tensor([[1, 2 * rows, 2 * cols] for rows, cols in grids]),
    )
    assert torch.equal(places_in_text(ids, grids, PAD_ID), expected)
