"""Files and folders that an option names: a wrong one is one line with its remedy, at once."""

import os
from pathlib import Path

import pytest
from PIL import Image

from qwenimage_ref import QwenImage, cli

POCKET = Path(__file__).parents[2] / "data" / "pocket"
PROMPT = "a red circle on a white background"
PAINT = ["paint", PROMPT]
LORA = ["train", "lora", "--data", "pictures"]
TRAIN = ["train", "pocket"]
GENEVAL = ["eval", "geneval", "--prompts", "prompts.jsonl", "--size", "64x64", "--to"]
VALIDATE = ["validate", str(POCKET)]
PICTURE = [*VALIDATE, "--caption", "a circle", "--image"]
METADATA = '{"tag": "single_object", "prompt": "a bench", "include": []}\n'

INPUTS = [
    [*PAINT, "--transformer"],
    [*PAINT, "--vae"],
    [*PAINT, "--text-encoder"],
    [*PAINT, "--lora"],
    [*PAINT, "--image"],
    [*PAINT, "--image", "pictures/a.png", "--mask"],
    ["eval", "geneval", "--to", "new", "--prompts"],
    PICTURE,
]
OUTPUTS = [
    [*PAINT, "-o"],
    [*LORA, "--to"],
    ["eval", "suite", "--record"],
    ["eval", "geneval", "--record"],
    ["eval", "vae", "--pictures", "pictures", "--record"],
    [*VALIDATE, "--record"],
    ["bench", "--quick", "--record"],
]
FOLDERS = [[*LORA, "--runs"], [*TRAIN, "--runs"], GENEVAL, ["forge", "--blocks", "1"]]


def option(command: list[str]) -> str:
    return command[-1] if command[-1].startswith("-") else command[0]


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command that must end with status 2 -> its last line, without the program's name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64), "red").save("pictures/a.png")
    (tmp_path / "pictures" / "a.txt").write_text("a red square")
    (tmp_path / "prompts.jsonl").write_text(METADATA)
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")

    def run(*arguments) -> str:
        assert cli.main(list(arguments)) == 2
        lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("qwenimage: ")]
        assert all(line.startswith("qwenimage: note: ") for line in lines[:-1])
        return lines[-1].removeprefix("qwenimage: ")

    return run


@pytest.mark.parametrize("command", INPUTS, ids=option)
def test_a_pipe_in_place_of_a_file_is_refused_and_not_called_missing(refused, command):
    line = refused(*command, "pipe")
    assert "must be a regular file" in line and "missing" not in line and "exist" not in line


@pytest.mark.parametrize("command", INPUTS, ids=option)
def test_a_file_that_is_not_there_is_named_with_a_remedy(refused, command):
    line = refused(*command, "none.png")
    assert "none.png" in line and any(remedy in line for remedy in ("check the path", "downloaded"))


@pytest.mark.parametrize("command", INPUTS[4:], ids=option)
def test_a_folder_in_place_of_a_file_is_named_with_a_remedy(refused, command):
    assert f"{command[-1]} must be a file, got the folder pictures; name a file in it" == refused(
        *command, "pictures"
    )


@pytest.mark.parametrize("command", OUTPUTS, ids=lambda command: " ".join(command[:2]))
def test_an_output_in_no_folder_is_named_with_a_remedy(refused, command):
    line = refused(*command, "none/new.safetensors" if "--to" in command else "none/new.png")
    assert f"{command[-1]} must be in a folder that exists" in line and "make none first" in line


@pytest.mark.parametrize("command", OUTPUTS, ids=lambda command: " ".join(command[:2]))
def test_an_output_that_is_a_folder_is_named_with_a_remedy(refused, command, tmp_path):
    name = "folder.safetensors" if "--to" in command else "folder.png"
    (tmp_path / name).mkdir()
    line = refused(*command, name)
    assert f"{command[-1]} must be a file, got the folder {name}; try {name}/" in line


@pytest.mark.parametrize("command", OUTPUTS, ids=lambda command: " ".join(command[:2]))
def test_an_output_that_cannot_be_written_is_named_with_a_remedy(refused, command):
    name = "x" * 250 + (".safetensors" if "--to" in command else ".png")
    line = refused(*command, name)
    assert f"{command[-1]} must be writable" in line and line.endswith("; choose another")


@pytest.mark.parametrize("place", ["file", "file/inside", "pipe", "/proc/new", "x" * 300])
@pytest.mark.parametrize("command", FOLDERS, ids=option)
def test_a_folder_that_cannot_be_made_is_named_with_a_remedy(refused, command, place, monkeypatch):
    def load(*_, **__):
        raise AssertionError("the folder must be tried before anything is loaded")

    monkeypatch.setattr(QwenImage, "from_pretrained", load)
    line = refused(*command, place)
    assert place in line and " must " in line and line.endswith("choose another")


@pytest.mark.parametrize("place", ["file/inside", "/proc/new"])
def test_a_model_that_could_not_be_written_is_not_trained(refused, place):
    line = refused(*TRAIN, "--runs", "runs", "--to", place)
    assert f"--to must be a folder that can be written to, got {Path(place).parent}" in line
