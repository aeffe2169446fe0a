"""An editor whose vision tower and VAE are given pictures of their own."""

import numpy as np
import pytest
import torch
from helpers.editing import EDIT, INSTRUCTION, edit_folder, picture

from qwenimage_ref import QwenImage
from qwenimage_ref.conditions import edit_prefix
from qwenimage_ref.evaluate import edit_paths
from qwenimage_ref.rope import positions


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    return QwenImage.from_pretrained(edit_folder(tmp_path_factory.mktemp("edit") / "m", EDIT))


@pytest.fixture(autouse=True)
def two_steps(monkeypatch):
    monkeypatch.setattr(edit_paths, "STEPS", 2)


SOURCE, OTHER = picture(96, 96), picture(96, 96, seed=1)


def painted(editor, vision, vae, **options):
    both = edit_paths.paint(editor, INSTRUCTION, vision, vae, (96, 96), seed=5, **options)
    return np.asarray(both, dtype=int)


def test_with_one_picture_on_both_paths_it_is_the_pipelines(editor):
    (usual,) = editor(INSTRUCTION, " ", image=SOURCE, num_inference_steps=2, seed=5)
    assert np.abs(painted(editor, [SOURCE], [SOURCE]) - np.asarray(usual, dtype=int)).max() <= 1


@pytest.mark.parametrize("vision, vae", [([], [SOURCE]), ([SOURCE], []), ([], [])])
def test_a_path_that_is_cut_changes_the_picture(editor, vision, vae):
    whole = painted(editor, [SOURCE], [SOURCE])
    assert np.abs(painted(editor, vision, vae) - whole).max() > 4


@pytest.mark.parametrize("path, given", [("vision", ([SOURCE], [])), ("vae", ([], [SOURCE]))])
def test_an_editor_of_one_path_is_given_pictures_there_alone(editor, path, given):
    alone = edit_paths.on_one_path(editor, path)
    (picture,) = alone(INSTRUCTION, " ", 4.0, 96, 96, 2, 5, image=[SOURCE])
    assert np.array_equal(picture, painted(editor, *given))


def test_each_path_gets_its_own_picture(editor):
    pairs = ([SOURCE], [SOURCE]), ([OTHER], [SOURCE]), ([SOURCE], [OTHER])
    whole, seen, kept = (painted(editor, *pair) for pair in pairs)
    assert (seen != whole).any()  # little, since this vision tower is untrained
    assert np.abs(kept - whole).max() > 4


def test_a_prompt_without_a_picture_has_no_image_tokens(editor):
    (txt,) = edit_paths.text_states(editor, (INSTRUCTION,), [])
    tokenizer = editor.tokenizer
    end = "<|im_end|>\n<|im_start|>assistant\n"
    assert txt.shape[1] == len(tokenizer.encode(INSTRUCTION + end))
    (with_picture,) = edit_paths.text_states(editor, (INSTRUCTION,), [SOURCE])
    assert with_picture.shape[1] > txt.shape[1] and edit_prefix(tokenizer) > 0


def test_usual_positions_change_nothing_and_moved_ones_do(editor):
    whole = painted(editor, [SOURCE], [SOURCE])
    assert np.array_equal(
        painted(editor, [SOURCE], [SOURCE], positions=lambda grids: positions(grids, 1)[0]), whole
    )

    def moved(grids):
        return positions(grids, 1)[0] + torch.tensor([0, 0, 1]) * (
            positions(grids, 1)[0][:, :1] > 0
        )

    assert np.abs(painted(editor, [SOURCE], [SOURCE], positions=moved) - whole).max() > 4
