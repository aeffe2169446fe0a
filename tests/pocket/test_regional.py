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
    answers = binding.measure(own, binding.posters(3), binding.REGIONS)
    assert [each["of"] for each in answers] == [2, 3, 4]


def test_without_regions_the_prompt_of_the_whole_is_all_that_is_seen(pipe, tmp_path, monkeypatch):
    own, branches = QwenImage.from_pretrained(POCKET), []
    encode = own.encode_prompts
    monkeypatch.setattr(
        own, "encode_prompts", lambda prompts: branches.append(prompts) or encode(prompts)
    )
    lesson = dataclasses.replace(regional.WHOLE, recipe=LESSON.recipe)
    regional.train(own, tmp_path, lesson, quiet=True)
    posters = [lesson.poster(number) for number in range(4)]
    assert [poster.placed for poster in posters] == [LESSON.poster(n).placed for n in range(4)]
    wanted = [[[poster.prompt for poster in posters[i : i + 2]]] for i in (0, 2)]
    assert branches == wanted


def test_two_shapes_have_a_caption_as_the_base_knows_it():
    for seed in range(40):
        poster = crowded(seed, 2)
        (x, y, _), (a, b, _) = poster.placed.spots
        first, second = (text for text, _ in poster.regions)
        relation = poster.related.removeprefix(f"{first} ").split(f" {second} on a ")[0]
        assert {"left of": x < a, "right of": x > a, "above": y < b, "below": y > b}[relation]
        apart = abs(x - a) > abs(y - b)
        assert apart == (relation in ("left of", "right of"))
    with pytest.raises(ValueError, match="shapes must be two, got 3; use the prompt"):
        _ = crowded(0, 3).related


def test_each_way_has_its_prompt_its_regions_and_its_lora(tmp_path, monkeypatch):
    own, seen = QwenImage.from_pretrained(POCKET), []
    lora.inject(own.transformer, lora.TARGETS["DiffSynth"], 1)
    lora.save(own.transformer, tmp_path / "some.safetensors")
    monkeypatch.setattr(binding.QwenImage, "from_pretrained", lambda folder: own)
    lora.adapters(own.transformer)[0].remove()

    def noted(self, prompt, negative, regions=None, **options):
        seen.append((prompt, bool(regions), bool(lora.adapters(self.transformer))))
        return [Image.fromarray(paint(crowded(0).placed))]

    monkeypatch.setattr(QwenImage, "__call__", noted)
    file = f"{tmp_path / 'some.safetensors'}"
    arguments = [file, file, "--count", "3", "--to", f"{tmp_path / 'record.json'}"]
    assert binding.main(arguments) == 0
    two, three, four = binding.posters(3)
    prompts = [each.prompt for each in (two, three, four)]
    assert seen == [
        *((prompt, False, False) for prompt in prompts),
        (two.related, False, False),
        *((prompt, False, True) for prompt in prompts),
        *((prompt, True, True) for prompt in prompts * 2),
    ]
    tables = binding.recorded(tmp_path / "record.json")
    assert {name: len(rows) for name, rows in tables.items()} == {
        binding.ALONE: 3, binding.KNOWN: 1, binding.WHOLE: 3, binding.REGIONS: 3, binding.MOVED: 3,
    }  # fmt: skip


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
