"""Students of one step: what each is taught with, and that every way ends in an adapter."""

import dataclasses

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.pocket import lightning, students
from qwenimage_ref.pocket import train as painter
from qwenimage_ref.pocket.students import LESSON, STUDENTS, Class
from qwenimage_ref.repository import POCKET
from qwenimage_ref.train.distill import noise_of

FEW = dataclasses.replace(
    LESSON, posters=2, recipe=dataclasses.replace(LESSON.recipe, steps=5, batch=2, warmup=1)
)


@pytest.fixture
def pipe(monkeypatch):
    for module in (lightning, painter):
        monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(lightning, "TEACHER_STEPS", 2)
    return QwenImage.from_pretrained(POCKET)


@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_ends_as_one_adapter_that_has_learned(name, pipe, tmp_path):
    adapter = students.train(pipe, name, tmp_path, FEW, quiet=True)
    assert lora.adapters(pipe.transformer) == [adapter]
    # the last block's text goes nowhere, so its layers learn nothing
    assert all(
        pair.lora_B.any() for name, pair in adapter.named_pairs().items() if "img_mlp" in name
    )
    assert {pair.lora_A.shape[0] for pair in adapter.pairs.values()} == {students.RANK}


def test_the_noise_of_a_taught_picture_is_the_one_that_the_teacher_began_with(pipe, tmp_path):
    taught = Class(pipe, FEW, tmp_path).taught(quiet=True)
    noise = torch.cat([noise_of(each, torch.float32) for each in taught])
    with torch.no_grad():
        painted = lightning.Teacher(pipe, FEW).paint(noise, [FEW.prompt(0), FEW.prompt(1)])
    assert torch.equal(painted, torch.stack([each.latents for each in taught]))


def test_all_pictures_of_the_lesson_are_square_and_fill_their_chunks():
    assert {LESSON.size(number) for number in range(0, LESSON.posters, 16)} == {(128, 128)}
    assert LESSON.posters % lightning.CHUNK == 0
