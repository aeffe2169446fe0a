"""The `qwenimage` command: pictures, one clear line for every wrong input, nothing half-written."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import speed
from PIL import Image
from safetensors.torch import load_file, save_file

import qwenimage_ref
from qwenimage_ref import QwenImage, cli
from qwenimage_ref.cli import console

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "data" / "pocket"
PROMPT = "a red circle left of a blue star on a white background"
QUICK = ["--steps", "2"]


def run(capsys, *arguments) -> tuple[int, str]:
    """Exit status and what stands on stderr, progress bars left out."""
    status = cli.main([str(a) for a in arguments])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return status, "\n".join(line for line in lines if line and not line.startswith("painting:"))


@pytest.fixture
def weights(tmp_path):
    """A copy of the pocket folder that a test may damage."""
    copy = tmp_path / "weights"
    shutil.copytree(POCKET, copy)
    return copy


def test_the_command_of_the_readme_paints_within_ten_seconds(tmp_path):
    out = tmp_path / "out.png"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "qwenimage_ref.cli", "paint", PROMPT, "-o", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # processor seconds: beside other tests the clock on the wall measures those too
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == 0, done.stderr
    assert "painting: 100%" in done.stderr and "20/20" in done.stderr
    assert Image.open(out).size == (128, 128)
    assert np.asarray(Image.open(out)).std() > 10  # a picture, not one flat colour
    assert seconds <= speed.cpu_seconds(10)


def test_the_same_seed_writes_the_same_file(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        assert run(capsys, "paint", PROMPT, "-o", tmp_path / name, *QUICK) == (0, "")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("suffix, kind", [(".jpg", "JPEG"), (".webp", "WEBP")])
def test_the_name_s_ending_chooses_the_format(tmp_path, capsys, suffix, kind):
    out = tmp_path / f"out{suffix}"
    assert run(capsys, "paint", PROMPT, "-o", out, *QUICK)[0] == 0
    assert Image.open(out).format == kind


def test_a_new_picture_replaces_the_old_one_and_leaves_nothing_else(tmp_path, capsys):
    out = tmp_path / "out.png"
    out.write_text("old")
    assert run(capsys, "paint", PROMPT, "-o", out, *QUICK)[0] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]
    assert Image.open(out).size == (128, 128)


@pytest.mark.parametrize(
    "arguments, line",
    [
        ([""], "the prompt must say what to paint, got an empty one"),
        (["  \n"], "the prompt must say what to paint"),
        (["a" * 1_000_000], "at most 50,000 characters, got 1,000,000; shorten it"),
        (["x", "--size", "0x128"], "width must be a positive multiple of 16, got 0"),
        (["x", "--size=-16x128"], "width must be a positive multiple of 16, got -16"),
        (["x", "--size", "128x100"], "must be a positive multiple of 16, got 100; try 96"),
        (["x", "--size", "65536x65536"], "use smaller sides"),
        (["x", "--size", "big"], "--size must be WIDTHxHEIGHT, for example 128x128, got big"),
        (["x", "--steps", "0"], "use 2 or more"),
        (["x", "--steps", "1"], "use 2 or more"),
        (["x", "--steps", "10000000000000"], "from 1 to 1000, got 10000000000000"),
        (["x", "--weights", "~nobody-of-this-name/x"], "qwenimage: "),
        (["x", "--steps", "many"], "invalid int value: 'many'"),
        (["x", "--cfg", "nan"], "--cfg must be a finite number, got nan"),
        (["x", "--seed", "99999999999999999999"], "from 0 to 2**64 - 1, got 99999999999999999999"),
        (["x", "--weights", "no/where"], "no/where is neither a folder nor a model"),
        (["x", "--colour", "red"], "unrecognized arguments: --colour red"),
        ([], "the following arguments are required: prompt"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_two(tmp_path, capsys, arguments, line):
    out = tmp_path / "out.png"
    status, error = run(capsys, "paint", *arguments, "-o", out)
    assert status == 2
    assert line in error and error.startswith("qwenimage: ") and "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_found_before_loading(tmp_path, capsys, monkeypatch):
    loaded = []
    monkeypatch.setattr(QwenImage, "from_pretrained", lambda *a, **options: loaded.append(a))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for out, line in (
        (tmp_path / "no" / "out.png", "-o must be in a folder that exists"),
        (tmp_path / "file" / "out.png", "-o must be in a folder that exists"),
        (tmp_path / "folder.png", "-o must be a file, got the folder"),
        (tmp_path / "out.txt", "-o must end in one of .png"),
        (tmp_path / f"{'x' * 250}.png", "(File name too long); choose another"),
        (tmp_path / f"{'x' * 1000}.png", "(File name too long); choose another"),
    ):
        status, error = run(capsys, "paint", PROMPT, "-o", out)
        assert (status, "\n" in error) == (2, False) and line in error
        assert loaded == []


def test_a_folder_without_write_permission_is_named(tmp_path, capsys, monkeypatch):
    # the administrator may write anywhere, so the system's answer is given here
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)
    status, error = run(capsys, "paint", PROMPT, "-o", tmp_path / "out.png")
    assert status == 2 and "-o must be writable, got " in error and "(Permission denied)" in error


def test_a_console_without_the_letters_of_a_name_does_not_end_the_command(tmp_path):
    python = [sys.executable, "-X", "importtime"]  # lists on stderr what is imported
    command = [*python, "-m", "qwenimage_ref.cli", "paint", PROMPT, "--size", "16x16"]
    done = subprocess.run(
        [*command, *QUICK, "-o", "猫.png"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (tmp_path / "猫.png").is_file() and done.returncode == 0, done.stderr
    assert done.stdout.startswith(r"\u732b.png: 16x16, seed 0")
    # torch's compiler, which is not used, takes as long to import as torch
    assert " torch\n" in done.stderr and "torch._dynamo" not in done.stderr


def test_a_closed_console_does_not_undo_the_picture(tmp_path, capsys, monkeypatch):
    def closed(*_, **__):
        raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("builtins.print", closed)
    out = tmp_path / "out.png"
    assert cli.main(["paint", PROMPT, "--size", "16x16", *QUICK, "-o", str(out)]) == 0
    assert Image.open(out).size == (16, 16)


def test_a_reader_that_has_gone_ends_the_command_without_a_word():
    command = [sys.executable, "-m", "qwenimage_ref.cli", "info"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_named_with_the_file_and_the_remedy():
    error = OSError(errno.ENOSPC, "No space left on device", "out.png")
    assert console.reason(error) == "out.png: No space left on device; make room there"


def test_an_error_of_a_hundred_thousand_letters_is_a_short_line(capsys):
    status, error = run(capsys, "info", "x" * 100_000)
    assert status == 2 and len(error) < 1_100 and error.endswith("...")


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path, capsys, command):
    os.mkfifo(tmp_path / "pipe.safetensors")
    status, error = run(capsys, command, tmp_path / "pipe.safetensors")
    assert status == 2 and "is neither a folder nor a model" in error


def test_a_full_disk_leaves_no_picture(tmp_path, capsys, monkeypatch):
    def full(self, file, **_):
        Path(file).write_bytes(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    status, error = run(capsys, "paint", PROMPT, "-o", tmp_path / "out.png", *QUICK)
    assert status == 2 and "No space left on device" in error
    assert list(tmp_path.iterdir()) == []


def damaged(weights: Path, how: str) -> str:
    """Damage a folder of weights; returns what the error must say."""
    file = weights / "transformer" / "diffusion_pytorch_model.safetensors"
    if how == "file missing":
        file.unlink()
        return "holds no .safetensors file; is it downloaded?"
    if how == "cut short":
        file.write_bytes(file.read_bytes()[:-1000])
        return "is cut short or damaged"
    if how == "pickle":
        torch.save({"a": torch.zeros(1)}, file.with_suffix(".bin"))
        file.unlink()
        return "pickle files can run any code and are never opened"
    if how == "pickle with another name":
        file.unlink()
        torch.save({"a": torch.zeros(1)}, file)
        return "is cut short or damaged"
    if how == "shard missing":
        index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
        file.with_suffix(".safetensors.index.json").write_text(json.dumps(index))
        return "2 of 2 shards are missing: one.safetensors, two.safetensors; finish the download"
    if how == "config missing":
        (weights / "vae" / "config.json").unlink()
        return "is missing; is the folder completely downloaded?"
    if how == "config damaged":
        (weights / "transformer" / "config.json").write_text("{")
        return "transformer/config.json"
    if how == "tokenizer missing":
        (weights / "tokenizer" / "vocab.json").unlink()
        return "vocab.json is missing"
    tensors = load_file(file)
    if how == "NaN":
        tensors["img_in.weight"][0, 0] = float("nan")
        expected = "img_in.weight holds NaN or infinity; the file is damaged"
    if how == "wrong shape":
        tensors["img_in.weight"] = tensors["img_in.weight"][:, :-1].contiguous()
        expected = "wrong shapes: img_in.weight is [192, 63] instead of [192, 64]"
    if how == "tensor missing":
        del tensors["img_in.weight"]
        expected = "1 tensors are missing (img_in.weight)"
    save_file(tensors, file)
    return expected


@pytest.mark.parametrize(
    "how",
    [
        "file missing",
        "cut short",
        "pickle",
        "pickle with another name",
        "shard missing",
        "config missing",
        "config damaged",
        "tokenizer missing",
        "NaN",
        "wrong shape",
        "tensor missing",
    ],
)
def test_damaged_weights_are_one_line_and_status_two(weights, tmp_path, capsys, how):
    line = damaged(weights, how)
    out = tmp_path / "out.png"
    status, error = run(capsys, "paint", PROMPT, "--weights", weights, "-o", out)
    assert status == 2
    assert line in error and error.startswith("qwenimage: ") and "\n" not in error
    assert not out.exists()


def test_guidance_of_one_paints_without_a_negative_prompt(tmp_path, capsys):
    for name, cfg in (("one.png", "1"), ("four.png", "4")):
        assert run(capsys, "paint", PROMPT, "-o", tmp_path / name, "--cfg", cfg, *QUICK)[0] == 0
    one, other = (Image.open(tmp_path / f"{name}.png") for name in ("one", "four"))
    assert one.tobytes() != other.tobytes()


def test_info_names_the_parts_and_their_size(capsys):
    assert cli.main(["info", str(POCKET)]) == 0
    shown = capsys.readouterr().out
    assert "10,887,040 parameters in use" in shown and "sample_size: 128" in shown


def test_info_says_what_a_single_file_is(capsys):
    assert cli.main(["info", str(POCKET / "vae" / "diffusion_pytorch_model.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert "the VAE of Qwen-Image; official names" in shown
    assert "BF16" in shown and "numbers in 194 tensors" in shown and "paint --vae FILE" in shown


def test_parts_from_single_files_paint_the_picture_of_the_folder(weights, tmp_path, capsys):
    files = []
    for part in ("transformer", "vae", "text_encoder"):
        file = tmp_path / f"{part}.safetensors"
        next((weights / part).glob("*.safetensors")).rename(file)
        files += [f"--{part.replace('_', '-')}", file]
    few = ["--steps", "2", "--size", "64x64", "--quiet", "-o"]
    assert run(capsys, "paint", PROMPT, *few, tmp_path / "folder.png") == (0, "")
    single = ["--weights", weights, *files, *few, tmp_path / "single.png"]
    assert run(capsys, "paint", PROMPT, *single) == (0, "")
    # pixels, because a PNG file also says from which files it was painted
    painted = [Image.open(tmp_path / f"{name}.png").tobytes() for name in ("folder", "single")]
    assert painted[0] == painted[1]


def test_a_file_of_the_wrong_part_is_one_line_and_status_two(tmp_path, capsys):
    file, out = POCKET / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "out.png"
    status, error = run(capsys, "paint", PROMPT, "--transformer", file, "-o", out)
    assert status == 2 and not out.exists()
    assert error.endswith("not the transformer of a Qwen-Image model; it goes with --vae")


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"qwenimage {qwenimage_ref.__version__}\n"
