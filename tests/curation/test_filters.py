"""The filters: each finds the defect that it is for, and lets whole posters pass."""

from dataclasses import replace

import pytest
from PIL import Image

from qwenimage_ref.curation.filters import (
    FILTERS,
    LIMITS,
    POSTERS,
    STAGES,
    TOGETHER,
    caption_numbers,
    failing,
    numbers_of,
    reason,
    stage_of,
)
from qwenimage_ref.evaluate import defects
from qwenimage_ref.posters.draw import second_poster
from qwenimage_ref.posters.reward import reward

CAPTION = "a red star on a white background"


def agreement(picture: Image.Image, caption: str) -> float:
    return reward([picture], caption)[0]


def numbers(seed: int, defect: str | None = None) -> dict:
    """What is measured on a poster with that defect"""
    _, pixels, caption = second_poster(seed, unseen=None)
    picture = Image.fromarray(pixels)
    if defect is None:
        return numbers_of(defects.encoded(picture), caption, agreement)
    rng = defects.random.Random(seed)
    return numbers_of(*defects.DEFECTS[defect](picture, caption, rng), agreement)


def test_whole_posters_pass():
    assert [seed for seed in range(20) if failing(numbers(seed), POSTERS)] == []


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_is_planted_for_it(name):
    caught = [name in failing(numbers(seed, name), POSTERS) for seed in range(6)]
    assert sum(caught) >= 5


def test_every_defect_but_a_duplicate_has_its_filter():
    assert set(defects.DEFECTS) - {"duplicate"} == set(FILTERS)


def test_the_reason_is_the_first_filter_in_the_order_of_the_stages():
    stages = [each.stage for each in FILTERS.values()]
    assert stages == sorted(stages)
    whole = numbers(0)
    assert reason(whole, POSTERS) is None
    assert reason(whole | {"watermark": 1.0, "texture": 99.0}, POSTERS) == "texture"


def test_every_stage_but_the_last_removes_something():
    removing = {stage_of(name) for name in [*FILTERS, *TOGETHER]}
    assert removing == set(STAGES) - {7}


def test_of_a_broken_file_only_the_caption_is_known():
    broken = numbers_of(b"no picture", CAPTION)
    assert broken["broken"] and failing(broken, POSTERS) == ["broken"]
    assert "clarity" not in broken


def test_a_blank_picture_fails_for_its_entropy_alone():
    blank = Image.new("RGB", (128, 128), "white")
    assert failing(numbers_of(defects.encoded(blank), CAPTION), POSTERS) == ["entropy"]


@pytest.mark.parametrize(
    "limit, value, name",
    [
        ("side", 129, "size"),
        ("resolution", 129, "resolution"),
        ("ratio", 0.9, "size"),
        ("clarity", 1.1, "clarity"),
        ("darkest", -1.0, "luma"),
        ("lightest", 256.0, "luma"),
        ("saturation", -1.0, "saturation"),
        ("entropy", 9.0, "entropy"),
        ("texture", -1.0, "texture"),
        ("words", 1, "caption"),
        ("agreement", 1.1, "agreement"),
        ("density", -1.0, "dense text"),
        ("watermark", -1.0, "watermark"),
    ],
)
def test_a_limit_belongs_to_its_filter(limit, value, name):
    _, pixels, caption = second_poster(7, size=(128, 128))
    whole = numbers_of(defects.encoded(Image.fromarray(pixels)), caption, agreement)
    assert name in failing(whole, replace(POSTERS, **{limit: value}))


def test_the_limits_for_any_picture_are_stated():
    assert LIMITS["any"].resolution == 640 and LIMITS["posters"] is POSTERS


def test_few_small_characters_are_part_of_a_word():
    small = {"characters": 5, "height": 4.0}
    assert failing(numbers(0) | small, POSTERS) == []
    assert failing(numbers(0) | small | {"characters": 6}, POSTERS) == ["small characters"]


@pytest.mark.parametrize("caption", [*defects.REFUSALS, "", " . "])
def test_a_caption_that_says_nothing_is_invalid(caption):
    assert not caption_numbers(caption)["valid"]


@pytest.mark.parametrize("caption", [CAPTION, "一个大的红色圆形", "a photo of 3 dogs", "DSC"])
def test_a_caption_that_says_something_is_valid(caption):
    assert caption_numbers(caption)["valid"]


def test_a_chinese_character_counts_as_a_word():
    assert caption_numbers("白色背景上，a red 圆")["words"] == 8


def test_an_agreement_that_cannot_be_measured_removes_nothing():
    def refuses(picture, caption):
        raise ValueError("no poster")

    row = numbers_of(defects.encoded(Image.new("RGB", (50, 50))), CAPTION, refuses)
    assert row["agreement"] is None and "agreement" not in failing(row, POSTERS)


def test_a_picture_that_its_exif_turns_is_found():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = defects.encoded(Image.new("RGB", (96, 128)), "JPEG", exif=exif)
    assert numbers_of(content, CAPTION)["orientation"] == 6


def test_half_of_the_posters_are_planted_and_the_same_again():
    kinds = [defects.planted(seed)[2] for seed in range(60)]
    assert 20 <= kinds.count(None) <= 40
    assert defects.planted(5) == defects.planted(5)
