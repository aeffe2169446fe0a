"""The history of the page: pictures and layers with their settings, the newest first."""

import os

import pytest
from helpers.layering import layered_folder, transparent
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.cli import layers as layers_command
from qwenimage_ref.cli import loading
from qwenimage_ref.png_settings import settings_chunk
from qwenimage_ref.serve import look
from qwenimage_ref.serve.history import History
from qwenimage_ref.serve.jobs import DONE, FAILED, Job


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "pictures")


def stored(file, age: int, **options) -> None:
    """A picture with settings, written so many seconds ago"""
    file.parent.mkdir(exist_ok=True)
    Image.new("RGBA", (8, 8)).save(file, pnginfo=settings_chunk({"options": options}))
    dated(file, age)


def dated(file, age: int) -> None:
    os.utime(file, (10**9 - age, 10**9 - age))


def with_layers(folder, count: int, age: int, **options) -> None:
    for number in range(1, count + 1):
        stored(folder / f"layer_{number}.png", age, **options)
    (folder / "layers.psd").touch()
    dated(folder / "layers.psd", age)


def test_pictures_and_layers_stand_in_the_order_of_their_time(history):
    top = history.folder
    stored(top / "old.png", 3, prompt="a star", seed=1)
    with_layers(top / "apart", 11, 2, prompt="two rings", seed=2)
    stored(top / "one" / "layer.png", 1, extract="the word", seed=3)
    shown = history.newest()
    assert [(each.prompt, each.seed) for each in shown] == [
        ("the word", "3"), ("two rings", "2"), ("a star", "1"),
    ]  # fmt: skip
    assert shown[0].names == ("one/layer.png",) and shown[2].names == ("old.png",)
    assert shown[1].names == tuple(f"apart/layer_{number}.png" for number in range(1, 12))


def test_layers_that_are_still_being_written_are_not_shown_and_then_all_are(history):
    folder = history.folder / "apart"
    stored(folder / "layer_1.png", 1, prompt="two rings", seed=2)
    assert history.newest() == []
    with_layers(folder, 2, 0, prompt="two rings", seed=2)
    (shown,) = history.newest()
    assert len(shown.names) == 2


def test_what_was_uploaded_and_what_has_no_settings_is_left_out(history):
    stored(history.folder / "inputs" / "abc.png", 0, prompt="painted elsewhere")
    Image.new("RGB", (8, 8)).save(history.folder / "plain.png")
    (history.folder / "psd").mkdir()
    (history.folder / "psd" / "layers.psd").touch()
    with_layers(history.folder / "silent", 1, 0)
    assert history.newest() == []


def test_layers_lie_in_a_square_and_each_leads_to_its_file(history):
    with_layers(history.folder / "a & b", 5, 0, prompt="<i>two</i> rings", seed=2)
    shown = look.of_history(history.newest())
    assert "repeat(3, 1fr)" in shown and "&lt;i&gt;two&lt;/i&gt; rings" in shown
    for number in range(1, 6):
        assert f'href="pictures/a%20%26%20b/layer_{number}.png"' in shown


def test_a_job_of_layers_is_shown_and_its_line_repeats_it(history, tmp_path, capsys):
    weights = layered_folder(tmp_path / "weights")
    transparent(70, 50).save(tmp_path / "clear.png")
    output = history.new("")
    words = ["--steps=2", "--cfg=1", "--layers=2", "--prompt=spots", str(tmp_path / "clear.png")]
    options = layers_command.parse([f"--weights={weights}", f"--to={output}", *words])
    files = layers_command.make(options, loading.load)
    job = Job(1, "layers", words, output, state=DONE, files=files)
    (shown,) = history.newest()
    assert shown.prompt == "spots" and len(shown.names) == 2
    line = f"qwenimage layers --again {shown.names[0]} --to FOLDER"
    html = look.of_job(job, 0, {"prompt": None, "seed": 0})
    assert f"<code>{line}</code>" in html and "layers.psd</a>" in html
    again = history.folder / "again"
    file = str(history.folder / shown.names[0])
    assert cli.main(["layers", "--again", file, "--to", str(again)]) == 0
    assert len(history.newest()) == 2
    for name in ("layer_1.png", "layer_2.png", "layers.psd"):
        assert (again / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.parametrize("state", [DONE, FAILED])
def test_a_message_names_files_as_the_history_does_not_by_where_it_lies(tmp_path, state):
    sentence = f"{tmp_path / 'inputs' / 'a.png'} has no transparency"
    files = [tmp_path / "1" / "layer_1.png"]
    job = Job(0, "layers", [], tmp_path / "1", 0, state, 0, 0, files, [sentence], sentence)
    html = look.of_job(job, 0, {"prompt": "", "seed": 0})
    assert str(tmp_path) not in html and f"inputs{os.sep}a.png has no transparency" in html
