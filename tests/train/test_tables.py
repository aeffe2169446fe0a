"""Tables of comparisons and of taught pictures: what a row must hold, each fault in one line."""

import json

import pytest
from PIL import Image

from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.tables import COMPARISONS, TAUGHT, read_prompts, read_table


def folder_with(tmp_path, rows, columns=("winner", "loser", "image"), size=(32, 32)):
    for name in columns:
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metadata.jsonl").write_text(text)
    return tmp_path


GOOD = {"prompt": "a red circle", "winner": "winner.png", "loser": "loser.png"}
ROW_WITH_SEED = {"prompt": "a red circle", "image": "image.png", "seed": 7}


def test_a_table_of_comparisons_is_read(tmp_path):
    (row,) = read_table(folder_with(tmp_path, [GOOD]), COMPARISONS)
    assert row["prompt"] == "a red circle" and row["loser"].name == "loser.png"


def test_seeds_are_whole_numbers_in_either_kind_of_table(tmp_path):
    (row,) = read_table(folder_with(tmp_path, [ROW_WITH_SEED]), TAUGHT)
    assert row["seed"] == 7
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text("prompt,image,seed\na red circle,image.png,7\n")
    assert read_table(tmp_path, TAUGHT) == [row]


@pytest.mark.parametrize(
    "columns, row, complaint",
    [
        (COMPARISONS, GOOD | {"loser": None}, "row 1 has no loser"),
        (COMPARISONS, {k: v for k, v in GOOD.items() if k != "loser"}, "row 1 has no loser"),
        (COMPARISONS, GOOD | {"loser": "none.png"}, "row 1 names none.png, which is not there"),
        (COMPARISONS, GOOD | {"loser": "../x.png"}, "row 1 names a picture outside the folder"),
        (COMPARISONS, GOOD | {"prompt": " "}, "row 1 has a prompt that is no text"),
        (TAUGHT, ROW_WITH_SEED | {"seed": None}, "row 1 has no seed"),
        (
            TAUGHT,
            ROW_WITH_SEED | {"seed": "seven"},
            "row 1 has the seed seven, which is no whole number",
        ),
        (TAUGHT, ROW_WITH_SEED | {"seed": 1.5}, "row 1 has the seed 1.5, which is no whole number"),
        (TAUGHT, ROW_WITH_SEED | {"seed": -1}, "row 1 has the seed -1"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_in_one_line(tmp_path, columns, row, complaint):
    with pytest.raises(DataError) as refused:
        read_table(folder_with(tmp_path, [row]), columns)
    assert complaint in str(refused.value) and "\n" not in str(refused.value)


def test_winner_and_loser_must_be_of_one_size(tmp_path):
    folder = folder_with(tmp_path, [GOOD])
    Image.new("RGB", (48, 32)).save(folder / "loser.png")
    with pytest.raises(DataError, match="row 1 names pictures of different sizes"):
        read_table(folder, COMPARISONS)


def test_an_empty_folder_is_refused_with_what_it_must_hold(tmp_path):
    wanted = (
        "must hold metadata.jsonl or metadata.json or metadata.csv with the columns "
        "prompt, winner, loser"
    )
    with pytest.raises(DataError, match=f"{wanted}, got neither"):
        read_table(tmp_path, COMPARISONS)
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(DataError, match="got a table without a row"):
        read_table(tmp_path, COMPARISONS)


def test_prompts_are_the_lines_of_a_file_that_are_not_empty(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a red circle\n\n  a blue star \n")
    assert read_prompts(file) == ["a red circle", "a blue star"]


def test_a_file_without_a_prompt_is_refused(tmp_path):
    (tmp_path / "none.txt").write_text("\n")
    for name in ("none.txt", "missing.txt"):
        with pytest.raises(DataError, match="a prompt a line") as refused:
            read_prompts(tmp_path / name)
        assert "\n" not in str(refused.value)
