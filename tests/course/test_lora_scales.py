"""What chapter 10 stands on: the heart and its reader, the slider, spellings, still layers."""

import numpy as np
import pytest
import torch
from helpers.nets import SMALL, filled, model
from PIL import Image

from qwenimage_ref.adapt import lora
from qwenimage_ref.course import answers
from qwenimage_ref.course.figures import lora_scales
from qwenimage_ref.posters import draw as world
from qwenimage_ref.posters import heart
from qwenimage_ref.train.flow import flow_step

TRAIN, HELD = heart.scenes()


class Hearts:
    """Stands in for a pipeline: a heart where the adapter is on, else a circle."""

    def __init__(self, adapter):
        self.adapter, self.calls = adapter, 0

    def __call__(self, prompts, negative_prompt, true_cfg_scale, num_inference_steps, seed):
        self.calls += 1
        circle = world.Scene("white", (world.Shape("circle", "red"),), "large")
        on = self.adapter.scale > 0
        pictures = [heart.draw(TRAIN[0], s) if on else world.draw(circle, s) for s in seed]
        return [Image.fromarray(picture) for picture in pictures]


@pytest.fixture
def adapter():
    return filled(lora.inject(model(), lora.TARGETS["musubi"], rank=2, alpha=4))


def test_every_drawn_heart_is_found():
    found = {heart.recognised(heart.draw(scene, i)) for i, scene in enumerate(TRAIN + HELD)}
    assert found == {"heart"}


@pytest.mark.parametrize("layout", world.PLACES)
@pytest.mark.parametrize("name", world.SHAPES)
def test_a_shape_that_the_model_knows_is_found_and_is_no_heart(name, layout):
    scene = world.Scene("beige", (world.Shape(name, "blue"),), layout)
    assert heart.recognised(world.draw(scene, 3)) == name


def test_what_is_no_shape_has_no_name():
    paper = np.full((128, 128, 3), 250, np.uint8)
    assert heart.recognised(paper) is None
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert heart.recognised(noise) is None
    blot = paper.copy()
    blot[30:50, 20:110], blot[30:110, 20:30] = 20, 20
    assert heart.recognised(blot) is None


def test_nothing_that_is_asked_for_was_a_lesson():
    def pairs(scenes):
        return {(scene.shapes[0].colour, scene.background) for scene in scenes}

    assert len(TRAIN) == 32 and len(HELD) == 10
    assert not pairs(TRAIN) & pairs(HELD)
    assert len({(scene.shapes[0].colour, scene.layout) for scene in TRAIN}) == 32


def test_no_caption_of_the_posters_world_has_a_heart():
    assert heart.NAME not in world.SHAPES
    assert heart.prompt(HELD[0]) == "a large green heart on a sky background"


def test_a_scale_is_kept_only_while_pictures_are_painted(adapter):
    pipe, adapter.scale = Hearts(adapter), 0.25
    (picture,) = lora_scales.paint_at(pipe, adapter, 1, ["words"], [0])
    assert heart.recognised(picture) == "heart" and adapter.scale == 0.25


def test_the_slider_shows_each_scale_and_paints_it_once(adapter):
    pipe = Hearts(adapter)
    slider = lora_scales.ScaleSlider(pipe, adapter, ["one", "two"], seeds=(0, 1))
    at_zero = slider.picture.value
    assert slider.words.value == "scale 0: circle, circle"
    slider.scale.value = 1
    assert slider.words.value == "scale 1: heart, heart" and slider.picture.value != at_zero
    slider.scale.value = 0
    assert slider.picture.value == at_zero and pipe.calls == 2
    assert repr(slider).startswith("a slider for the scale of a LoRA")


def test_a_sheet_holds_the_pictures_row_by_row():
    colours = ["red", "green", "blue"]
    sheet = lora_scales.sheet([Image.new("RGB", (4, 6), colour) for colour in colours], columns=2)
    assert sheet.size == (4 + 8 + 4, 6 + 8 + 6)
    assert [sheet.getpixel(at) for at in ((0, 0), (12, 0), (0, 14))] == [
        (255, 0, 0), (0, 128, 0), (0, 0, 255)
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", lora_scales.DIALECTS)
def test_a_spelling_is_loaded_with_equal_changes(dialect, adapter, tmp_path):
    report = lora.load(model(), lora_scales.write(adapter, dialect, tmp_path, times=8))
    assert report.dialect == dialect
    for name, pair in report.adapter.named_pairs().items():
        torch.testing.assert_close(pair.delta(), adapter.named_pairs()[name].delta())


def test_layers_of_several_alphas_are_not_written_as_one(adapter, tmp_path):
    next(iter(adapter.pairs.values())).alpha = 1.0
    with pytest.raises(ValueError, match="the layers must have one alpha .*got 2"):
        lora_scales.write(adapter, "Lightning", tmp_path)


def test_the_layers_that_stand_still_are_those_without_a_gradient(adapter):
    mmdit = model()
    adapter = filled(lora.inject(mmdit, "*", rank=2))
    generator = torch.Generator().manual_seed(0)
    data, noise = (torch.randn(2, 16, 4, 6, generator=generator) for _ in range(2))
    txt = torch.randn(2, 5, SMALL.joint_attention_dim, generator=generator)
    flow_step(mmdit, data, noise, torch.tensor([0.3, 0.6]), txt).backward()
    for name, pair in adapter.named_pairs().items():
        moved = pair.lora_B.grad is not None and bool(pair.lora_B.grad.any())
        assert moved != answers.EX_10_STILL(name, SMALL.num_layers), name
