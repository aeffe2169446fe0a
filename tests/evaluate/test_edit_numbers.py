"""What the number in an instruction is worth under noise."""

import json

import pytest
import torch
from helpers.editing import EDIT, EDIT_PLUS, edit_folder

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import edit_numbers
from qwenimage_ref.evaluate.edit_numbers import KINDS, LEVELS, errors, instructions, row


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return edit_folder(tmp_path_factory.mktemp("editor") / "plus", EDIT_PLUS)


def test_every_kind_for_two_pictures_is_asked_and_exchanging_the_numbers_changes_every_prompt():
    wanted = instructions(3 * len(KINDS))
    assert {each.kind for each in wanted} == set(KINDS) and len(KINDS) == 3
    assert all(len(each.pictures) == 2 for each in wanted)
    for each in wanted:
        other = each.prompt.translate(edit_numbers.EXCHANGED)
        assert other != each.prompt and sorted(other) == sorted(each.prompt)


def test_an_editor_that_reads_the_numbers_errs_more_where_they_are_exchanged(folder, monkeypatch):
    pipe, wanted = QwenImage.from_pretrained(folder), instructions(4)

    def under_noise(pipe, asked, seed, levels):
        true = torch.full((1, 4, 64), 2.0)
        for level in levels:
            yield None, true + (0 if asked.prompt == wanted[seed].prompt else level), true

    monkeypatch.setattr(edit_numbers, "under_noise", under_noise)
    found = row(errors(pipe, wanted))
    assert [each["mean"] for each in found["error"]] == [0] * len(LEVELS)
    worth = [each["mean"] for each in found["number's worth"]]
    assert worth == pytest.approx([level**2 for level in LEVELS], abs=1e-3)


def test_the_record_has_a_row_for_each_editor_and_an_editor_of_one_picture_is_refused(
    folder, tmp_path, capsys, monkeypatch
):
    def errors(pipe, wanted):
        each = [[0.25] * len(LEVELS)] * len(wanted)
        return {"own": each, "exchanged": [[0.75] * len(LEVELS)] * len(wanted)}

    monkeypatch.setattr(edit_numbers, "errors", errors)
    file = tmp_path / "record.json"
    names = [f"{name}={folder}" for name in ("first", "second")]
    assert edit_numbers.main([*names, "--count", "8", "--to", str(file)]) == 0
    record = json.loads(file.read_text())
    first, second = record["rows"].values()
    assert first == second and len(first["error"]) == len(record["levels"]) == len(LEVELS)
    assert {each["mean"] for each in first["error"]} == {0.25}
    assert {each["mean"] for each in first["number's worth"]} == {0.5}
    capsys.readouterr()
    one = edit_folder(tmp_path / "one", EDIT)
    with pytest.raises(ValueError, match="must hold an editor of several pictures"):
        edit_numbers.measure({"one": one}, 8, file)
    assert edit_numbers.main([str(folder), "--to", str(file)]) == 2
    assert edit_numbers.main([*names, "--count", "7"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "editors must be NAME=FOLDER", "--count must be at least 8, got 7"
    ]  # fmt: skip
