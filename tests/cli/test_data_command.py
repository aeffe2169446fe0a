"""`qwenimage data`: three steps, then training on what they wrote; one line for wrong options."""

import pytest
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.posters.draw import second_poster
from qwenimage_ref.repository import POCKET


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        _, pixels, caption = second_poster(seed, size=(96, 96))
        Image.fromarray(pixels).save(folder / f"{seed}.png")
        (folder / f"{seed}.txt").write_text(caption, encoding="utf-8")
    (folder / "3.png").write_bytes(b"broken")
    return folder


def test_from_pictures_to_a_trained_adapter(pictures, tmp_path, capsys):
    shards, filtered, encoded = (str(tmp_path / name) for name in ("shards", "filtered", "encoded"))
    commands = [
        f"data pack --data {pictures} --to {shards} --per-shard 2",
        f"data filter --shards {shards} --to {filtered} --limits posters --agreement posters",
        f"data encode --shards {shards} --decided {filtered} --to {encoded} --max-pixels 9216",
        f"train lora --prepared {encoded} --steps 2 --rank 2 --batch 2 --runs {tmp_path}/run "
        f"--to {tmp_path}/lora.safetensors",
    ]
    for command in commands:
        assert cli.main(command.split()) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert "4 examples in 2 shards" in output
    assert "stage 1, Initial Pre-training Data Curation" in output and "3 stay" in output
    assert (tmp_path / "lora.safetensors").is_file()


@pytest.mark.parametrize(
    "words, line",
    [
        ("pack --data . --to x --per-shard 0", "--per-shard must be at least 1, got 0"),
        ("filter --shards . --to x --workers 0", "--workers must be at least 1, got 0"),
        ("filter --shards . --to x --balance 0.5", "--balance must be at least 1, got 0.5"),
        ("filter --shards . --to x --agreement no:such", "--agreement must be posters or MODULE"),
        ("filter --shards none --to x", "shards must be in a folder, got none"),
        (
            "encode --shards . --decided . --to x --max-pixels 9",
            "--max-pixels must be at least",
        ),
    ],
)
def test_a_wrong_option_is_one_line(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", *words.split()]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_packing_goes_into_a_new_folder(pictures, capsys):
    assert cli.main(["data", "pack", "--data", str(pictures), "--to", str(pictures)]) == 2
    assert "--to must be new or empty" in capsys.readouterr().err


def test_a_base_that_is_not_there_is_one_line(tmp_path, capsys):
    words = ["--shards", str(tmp_path), "--decided", str(tmp_path), "--to", str(tmp_path / "to")]
    assert cli.main(["data", "encode", *words, "--weights", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and POCKET.is_dir()
