"""A pocket EliGen in miniature: posters of many shapes, training by boxes, and who judges."""

import dataclasses

import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.evaluate import binding
from qwenimage_ref.pocket import regional
from qwenimage_ref.posters.crowded import crowded, judge, moved
from qwenimage_ref.posters.draw import paint
from qwenimage_ref.repository import POCKET
from qwenimage_ref.tasks.regions import checked_regions, in_regions
from qwenimage_ref.train.loop import Recipe

LESSON = dataclasses.replace(regional.LESSON, recipe=Recipe(steps=2, batch=2, lr=1e-3, warmup=1))


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


def test_the_reader_finds_every_shape_of_a_crowded_poster_in_its_box():
    for seed in range(24):
        poster = crowded(seed, 2 + seed % 3)
        count = len(poster.placed.shapes)
        assert judge(poster, paint(poster.placed)) == {
            "bound": count, "right": count, "count": True, "of": count,
        }  # fmt: skip
        assert all(0 <= x <= 127 for box in poster.boxes for x in box)


def test_shapes_elsewhere_are_right_but_not_bound_and_swapped_colours_are_neither():
    poster = crowded(5, 4)
    elsewhere = judge(poster, paint(moved(poster, 1).placed))
    assert elsewhere["right"] == 4 and elsewhere["bound"] < 4
    shapes = poster.placed.shapes
    swapped = tuple(
        dataclasses.replace(shape, colour=shapes[i - 1].colour) for i, shape in enumerate(shapes)
    )
    seen = judge(poster, paint(dataclasses.replace(poster.placed, shapes=swapped)))
    assert seen["right"] < 4 and seen["bound"] == 0 and seen["count"]
    fewer = dataclasses.replace(poster.placed, shapes=shapes[:3], spots=poster.placed.spots[:3])
    assert judge(poster, paint(fewer)) == {"bound": 3, "right": 3, "count": False, "of": 4}


def test_prompts_name_the_shapes_and_masks_are_their_boxes():
    poster = crowded(2, 3)
    assert poster.prompt.count(" and ") == 1 and poster.prompt.endswith(" background")
    for (text, mask), (left, top, right, bottom) in zip(poster.regions, poster.boxes):
        assert text in poster.prompt
        assert mask.getbbox() == (left, top, right + 1, bottom + 1)


@torch.no_grad()
def test_training_sees_what_the_pipeline_sees(pipe):
    posters = [crowded(i, 3) for i in range(3)]
    batch = regional.branch_of(pipe, posters, 8, 8)
    rng = torch.Generator().manual_seed(0)
    x, sigma = torch.randn(3, 64, 64, generator=rng), torch.full((3,), 0.4)
    together = pipe.transformer(*batch.call(x, sigma, (1, 8, 8)))
    for i, poster in enumerate(posters):
        alone = pipe.encode_prompts([[poster.prompt]])
        regions = checked_regions(poster.regions, [poster.prompt])
        (branch,) = in_regions(pipe, alone, (1, 128, 128), regions, False)
        single = pipe.transformer(*branch.call(x[i : i + 1], sigma[i : i + 1], (1, 8, 8)))
        torch.testing.assert_close(together[i : i + 1], single, rtol=0, atol=2e-4)


def test_a_run_continues_to_the_bit_and_the_pipeline_takes_its_lora(tmp_path, monkeypatch):
    for folder, stop in (("whole", None), ("halves", 1), ("halves", None)):
        own = QwenImage.from_pretrained(POCKET)
        regional.train(own, tmp_path / folder, LESSON, quiet=True, until=stop)
        lora.save(own.transformer, tmp_path / f"{folder}.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    assert whole == (tmp_path / "halves.safetensors").read_bytes()
    monkeypatch.setattr(binding, "STEPS", 2)
    answers = binding.measure(own, binding.posters(3), True)
    assert [each["of"] for each in answers] == [2, 3, 4]


def test_shares_are_of_shapes_and_of_posters():
    answers = [
        {"bound": 2, "right": 2, "count": True, "of": 2},
        {"bound": 1, "right": 2, "count": False, "of": 2},
        {"bound": 0, "right": 1, "count": True, "of": 3},
        {"bound": 4, "right": 4, "count": True, "of": 4},
    ]
    two, three, four = binding.rows(answers)
    assert (two["right"]["right"], two["bound"]["right"], two["bound"]["of"]) == (4, 3, 4)
    assert (two["all"]["right"], two["all"]["of"], three["all"]["right"]) == (1, 2, 0)
    assert four["bound"]["share"] == 1.0
    assert isinstance(Image.fromarray(paint(crowded(0).placed)), Image.Image)
