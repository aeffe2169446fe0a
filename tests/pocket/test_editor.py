"""Training a pocket model to edit: its lessons, its batches, and the run in miniature."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from qwenimage_ref import QwenImage
from qwenimage_ref.conditions import PAD, edit_prefix
from qwenimage_ref.evaluate import editing
from qwenimage_ref.pictures import to_input
from qwenimage_ref.pocket import edit_lessons, editor
from qwenimage_ref.pocket.edit_lessons import EDIT_PLUS, LESSONS, Latents, batch, pictures
from qwenimage_ref.posters.understanding import KINDS
from qwenimage_ref.repository import POCKET
from qwenimage_ref.sampler import pack
from qwenimage_ref.tasks.edit import edit_branches, encoded_copies, picture_tokens
from qwenimage_ref.train.loop import Recipe

RECIPE = Recipe(steps=2, batch=2, lr=1e-3, muon_lr=2e-3, warmup=1)


def small(name: str, **changes):
    return dataclasses.replace(LESSONS[name], recipe=RECIPE, examples=8, **changes)


@pytest.fixture(autouse=True)
def few_latents(monkeypatch):
    monkeypatch.setattr(edit_lessons, "CHUNK", 8)


@pytest.fixture(scope="module", params=["edit", "edit-2509"])
def started(request, tmp_path_factory):
    """A lesson and an editor that has learned nothing"""
    folder = tmp_path_factory.mktemp("editor")
    lesson = small(request.param, questions=0.0, several=0.0, after="")
    return lesson, editor.new_editor(POCKET, folder / "start", lesson), folder


def test_a_batch_has_one_kind_of_instruction_and_as_many_pictures_each():
    lesson = LESSONS["edit-2509"]
    kinds = [lesson.kind(step) for step in range(lesson.batches)]
    assert {kinds.count(kind) for kind in set(kinds)}.isdisjoint({0}) and len(set(kinds)) == 4
    assert abs(kinds.count("edit") / len(kinds) - 0.5) < 0.1
    for step in range(8):
        numbers = range(step * lesson.recipe.batch, (step + 1) * lesson.recipe.batch)
        counts = {len(pictures(lesson.example(number))) for number in numbers}
        assert counts == {{"several 2": 2, "several 3": 3}.get(kinds[step], 1)}
    assert lesson.example(0) == lesson.example(lesson.examples)  # an epoch later


def test_kinds_of_instructions_and_noise_levels_are_the_lessons(started):
    lesson, pipe, folder = started
    names = ("word", "word", "move")
    asked = [dataclasses.replace(LESSONS["edit"], kinds=names).example(i) for i in range(64, 128)]
    kinds = [each.kind for each in asked if hasattr(each, "kind")]
    assert set(kinds) <= {*names, *KINDS} and kinds.count("word") > kinds.count("move") > 0
    two = dataclasses.replace(
        LESSONS["edit-2509"], several=1.0, questions=0.0, kinds_of_two=("background of 2",)
    )
    seen = {two.example(i * two.recipe.batch).kind for i in range(8)}
    assert seen == {"background of 2", "word of 2, background of 3"}
    levels = {}
    for shift in (2.0, 8.0):
        shifted = dataclasses.replace(lesson, shift=shift)
        latents = Latents(pipe, shifted, folder / "shifted")
        levels[shift] = batch(pipe, shifted, latents, 0).sigma
    odds = {shift: sigma / (1 - sigma) for shift, sigma in levels.items()}
    torch.testing.assert_close(odds[8.0], 4 * odds[2.0], rtol=1e-4, atol=0)


def test_no_lesson_has_an_instruction_that_is_measured_on():
    ends = [lesson.first + lesson.examples for lesson in LESSONS.values()]
    assert max(ends) < editing.FIRST_SEED


def test_the_folder_is_one_of_upstreams_class(started):
    lesson, pipe, folder = started
    index = json.loads((folder / "start" / "model_index.json").read_text())
    assert index["_class_name"] == lesson.pipeline
    assert pipe.form.most == (3 if lesson.pipeline == EDIT_PLUS else 1)
    assert pipe.vision.config == editor.VISION
    stored = load_file(folder / "start" / "transformer" / "diffusion_pytorch_model.safetensors")
    base = load_file(POCKET / "transformer" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(stored[name], tensor) for name, tensor in base.items())


def test_a_lesson_for_several_pictures_starts_from_the_editor_of_one(tmp_path):
    first = editor.new_editor(POCKET, tmp_path / "trained", small("edit"))
    pipe = editor.new_editor(tmp_path / "trained", tmp_path / "start", LESSONS["edit-2511"])
    assert (
        LESSONS["edit-2511"].after and pipe.form.most == 3 and pipe.transformer.config.zero_cond_t
    )
    for part in ("vision", "text_encoder", "transformer"):
        ours, theirs = getattr(pipe, part).state_dict(), getattr(first, part).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_training_sees_what_the_pipeline_sees(started):
    lesson, pipe, folder = started
    drawn = batch(pipe, lesson, Latents(pipe, lesson, folder / "latents"), 1)
    with torch.no_grad():
        states = pipe.vision(drawn.patches, drawn.patch_grids)
        txt = pipe.text_encoder(drawn.ids, None, drawn.places, states)
    prefix, drops = edit_prefix(pipe.tokenizer), 0
    for i, number in enumerate((2, 3)):
        asked = lesson.example(number)
        given = [Image.fromarray(each) for each in pictures(asked)]
        copies = encoded_copies(pipe, given)
        tokens = picture_tokens(pipe, copies[0])
        shape = (1, *asked.wanted.shape[:2])
        groups = [[asked.prompt], [" "]]
        kept = txt[i, prefix:][drawn.mask[i, prefix:]]
        found = [
            branch.txt[0] for branch in edit_branches(pipe, groups, given, copies, tokens, shape)
        ]
        drops += len(found[1]) == len(kept)  # of a dropped caption the pictures stay
        nearest = min(abs(kept - each).max().item() for each in found if len(each) == len(kept))
        assert nearest < 1e-4
        torch.testing.assert_close(pack(drawn.conditions[0])[i : i + 1], tokens, rtol=0, atol=0.05)
    assert drops < 2


def test_latents_are_those_of_the_wanted_poster_and_are_kept(started):
    lesson, pipe, folder = started
    latents = Latents(pipe, lesson, folder / "kept")
    wanted, picture = latents[1]
    with torch.no_grad():
        mean = pipe.vae.normalize(pipe.vae.encode(to_input([lesson.example(1).wanted]))[0])
    torch.testing.assert_close(wanted[None], mean, rtol=0, atol=0.05)  # kept in bfloat16
    assert not torch.equal(wanted, picture)
    again = Latents(None, lesson, folder / "kept")  # nothing is encoded a second time
    assert torch.equal(again[1][0], wanted)


@pytest.mark.parametrize("started", ["edit"], indirect=True)
def test_a_run_resumes_to_the_bit_and_all_three_networks_learn(started):
    lesson, whole, folder = started
    before = {name: tensor.clone() for name, tensor in editor.Editor(whole).state_dict().items()}
    halves = QwenImage.from_pretrained(folder / "start")
    editor.train(whole, lesson, folder / "whole", quiet=True)
    editor.train(halves, lesson, folder / "halves", quiet=True, until=1)
    halves = QwenImage.from_pretrained(folder / "start")
    editor.train(halves, lesson, folder / "halves", quiet=True)
    after, again = editor.Editor(whole).state_dict(), editor.Editor(halves).state_dict()
    assert all(torch.equal(after[name], again[name]) for name in after)
    for part in ("visual", "text_encoder", "transformer"):
        names = [name for name in after if name.startswith(part)]
        assert any(not torch.equal(after[name], before[name]) for name in names)


def test_an_arm_without_a_path_does_not_see_the_pictures_on_it(tmp_path):
    lesson = small("edit", questions=0.0)
    pipe = editor.new_editor(POCKET, tmp_path / "start", lesson)
    drawn = {}
    for paths in (("vision", "vae"), ("vision",), ("vae",)):
        arm = dataclasses.replace(lesson, paths=paths)
        drawn[paths] = batch(pipe, arm, Latents(pipe, arm, tmp_path / "latents"), 0)
    token = pipe.tokenizer.added[PAD]
    both, vision, vae = drawn.values()
    assert (both.ids == token).any() and (vision.ids == token).any()
    assert both.patches is not None and len(both.conditions) == 1
    assert torch.equal(vision.patches, both.patches) and not vision.conditions
    assert vae.patches is None and not (vae.ids == token).any() and len(vae.conditions) == 1
    losses = [
        editor.loss_of(editor.Editor(pipe), edit_prefix(pipe.tokenizer), each)
        for each in drawn.values()
    ]
    assert (
        len({loss.item() for loss in losses}) == 3 and np.isfinite([x.item() for x in losses]).all()
    )


def test_a_lesson_goes_on_with_the_weights_that_the_one_before_it_ended_with(
    tmp_path, monkeypatch, capsys
):
    further = small("edit-further", questions=0.0)
    monkeypatch.setitem(editor.LESSONS, "edit-further", further)
    with pytest.raises(SystemExit, match="1"):
        editor.main(["edit-further", "--runs", str(tmp_path)])
    assert "train 'edit' first" in capsys.readouterr().err
    before = editor.new_editor(POCKET, tmp_path / "edit" / "editor", small("edit"))
    started = []
    monkeypatch.setattr(editor, "train", lambda pipe, *_: started.append(pipe))
    editor.main(["edit-further", "--runs", str(tmp_path)])
    for part in ("vision", "text_encoder", "transformer"):
        ours, theirs = (getattr(pipe, part).state_dict() for pipe in (started[0], before))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
