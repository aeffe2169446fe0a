"""Time zero measured: what an editor believes under noise, its four arms, and the record."""

import json

import numpy as np
import pytest
import torch
from helpers.editing import EDIT_PLUS, edit_folder

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import edit_time_zero, editing
from qwenimage_ref.evaluate.edit_time_zero import ARMS, LEVELS, believed, colour_errors, one_arm
from qwenimage_ref.pictures import to_input
from qwenimage_ref.sampler import pack


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("editors")
    flags = {"without": False, "with": True}
    return [edit_folder(folder / name, EDIT_PLUS, zero_cond_t=flag) for name, flag in flags.items()]


@pytest.fixture
def editor(folders):
    return QwenImage.from_pretrained(folders[1])


@pytest.fixture(autouse=True)
def two_steps(monkeypatch):
    monkeypatch.setattr(editing, "STEPS", 2)


(ASKED,) = editing.instructions(1)


def test_a_network_that_knows_the_noise_believes_in_the_wanted_poster(editor, monkeypatch):
    z = editor.vae.normalize(editor.vae.encode(to_input([ASKED.wanted]))[0])
    true = pack(editor.noise(1, *ASKED.wanted.shape[:2], 3) - z)
    monkeypatch.setattr(editor.transformer, "many", lambda calls: [true])
    copy = np.asarray(editor.to_pictures(z)[0], dtype=int)
    posters = believed(editor, ASKED, 3)
    assert len(posters) == len(LEVELS)
    assert all(np.abs(poster - copy).max() <= 1 for poster in posters)


def test_an_error_is_that_of_the_pixels_that_stay_or_change(editor, monkeypatch):
    source = ASKED.pictures[0]
    monkeypatch.setattr(edit_time_zero, "believed", lambda *_: [source] * len(LEVELS))
    errors = colour_errors(editor, [ASKED])
    changed = (source != ASKED.wanted).any(axis=2)
    off = np.abs(source.astype(int) - ASKED.wanted)[changed].mean()
    assert errors["stays"] == [[0.0] * len(LEVELS)] and off > 20
    assert errors["changes"] == [[pytest.approx(off, abs=1e-3)] * len(LEVELS)]


def test_an_arm_is_run_with_its_own_flag_and_leaves_the_editor_as_it_was(editor, monkeypatch):
    seen = []

    def answers(pipe, wanted):
        seen.append(pipe.transformer.config.zero_cond_t)
        return {"both": "1"}

    monkeypatch.setattr(edit_time_zero, "answers", answers)
    own = editor.transformer.config
    arms = [one_arm(editor, [ASKED], flag) for flag in (True, False)]
    assert seen == [True, False] and editor.transformer.config is own
    with_, without = (torch.tensor(arm["errors"]["stays"]) for arm in arms)
    assert (with_ - without).abs().max() > 0.1  # the flag changes what the network says


def test_the_record_has_all_arms_and_refuses_editors_in_the_wrong_order(
    folders, tmp_path, monkeypatch
):
    def one_arm(pipe, wanted, flag):
        trained = pipe.transformer.config.zero_cond_t
        errors = [[1.0 + 2 * trained + flag] * len(LEVELS)] * len(wanted)
        return {"errors": {"stays": errors}, "answers": {"both": "01"[flag] * len(wanted)}}

    monkeypatch.setattr(edit_time_zero, "one_arm", one_arm)
    file = tmp_path / "record.json"
    edit_time_zero.main([*map(str, folders), "--count", "8", "--to", str(file)])
    rows = json.loads(file.read_text())["rows"]
    assert [row["colour error"]["stays"][0]["mean"] for row in rows.values()] == [1, 4, 3, 2]
    assert [row["minus the first"]["stays"]["mean"] for row in rows.values()] == [0, 3, 2, 1]
    assert [row["shares"]["both"]["right"] for row in rows.values()] == [0, 8, 0, 8]
    assert [row["both, minus the first"]["difference"] for row in rows.values()] == [0, 1, 0, 1]
    assert list(rows) == list(ARMS) and not file.with_suffix(".progress").exists()
    with pytest.raises(ValueError, match="without and with zero_cond_t, in this order"):
        edit_time_zero.measure(folders[::-1], 8, file)


def test_a_count_too_small_is_one_line(folders, capsys):
    assert edit_time_zero.main([*map(str, folders), "--count", "7"]) == 2
    assert capsys.readouterr().err == "--count must be at least 8, got 7\n"
