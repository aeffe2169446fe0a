"""`qwenimage paint` on edit folders: the task is chosen by the folder; one line for what does not
go together, before any weights are read."""

import pytest
import torch
from helpers.editing import EDIT, EDIT_PLUS, INSTRUCTION, POCKET, edit_folder, picture
from PIL import Image
from safetensors.torch import save_file

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.adapt import lora

QUICK = ("--steps", "2", "--cfg", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("edit")
    names = {
        "edit": (EDIT, {}),
        "2509": (EDIT_PLUS, {}),
        "2511": (EDIT_PLUS, {"zero_cond_t": True}),
    }
    for name, (pipeline, changes) in names.items():
        edit_folder(top / name, pipeline, **changes)
    return {name: top / name for name in names} | {"text": POCKET}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, size in (("a", (131, 77)), ("b", (64, 90)), ("thin", (10_000, 1))):
        picture(*size).save(folder / f"{name}.png")
    return folder


def paint(folder, files, out, capsys, *words):
    """-> status, what was said on stderr"""
    words = [str(files / f"{word[1:]}.png") if word.startswith("@") else word for word in words]
    command = ["paint", INSTRUCTION, "--weights", str(folder), "-o", str(out), *QUICK, *words]
    status = cli.main(command)
    return status, capsys.readouterr().err


@pytest.mark.parametrize("name, pictures", [("edit", "a"), ("2509", "ab"), ("2511", "ab")])
def test_the_folder_chooses_the_task(folders, files, tmp_path, capsys, name, pictures):
    words = [word for letter in pictures for word in ("--image", f"@{letter}")]
    out = tmp_path / "out.png"
    assert paint(folders[name], files, out, capsys, *words)[0] == 0
    images = [Image.open(files / f"{letter}.png") for letter in pictures]
    pipe = QwenImage.from_pretrained(folders[name])
    expected = pipe(INSTRUCTION, image=images, num_inference_steps=2, true_cfg_scale=1, seed=0)[0]
    assert Image.open(out).tobytes() == expected.tobytes()


def test_a_size_by_the_rule_of_32_is_noted_where_it_changes_proportions(
    folders, files, tmp_path, capsys
):
    picture(176, 96).save(tmp_path / "wide.png")
    out = tmp_path / "out.png"
    status, said = paint(folders["edit"], files, out, capsys, "--image", str(tmp_path / "wide.png"))
    assert status == 0 and Image.open(out).size == (128, 64)
    assert "a picture of 176x96 is stretched by 8% to 128x64" in said
    words = ("--image", str(tmp_path / "wide.png"), "--size", "160x96")
    assert "stretched" not in paint(folders["edit"], files, out, capsys, *words)[1]


def test_lowres_fix_keeps_the_size_of_the_picture(folders, files, tmp_path, capsys):
    words = ("--image", "@b", "--size", "96x96")
    for name, more in (("usual", ()), ("fix", ("--lowres-fix",))):
        out = tmp_path / f"{name}.png"
        assert paint(folders["2509"], files, out, capsys, *words, *more)[0] == 0
    assert Image.open(out).tobytes() != Image.open(tmp_path / "usual.png").tobytes()


def test_the_lora_of_lowres_fix_loads_whole_under_the_names_that_diffsynth_writes(
    folders, files, tmp_path, capsys
):
    mmdit = QwenImage.from_pretrained(folders["edit"]).transformer
    adapter = lora.inject(mmdit, lora.TARGETS["DiffSynth"], rank=32)
    tensors = {}
    for name, pair in adapter.pairs.items():
        tensors[f"{name}.lora_A.default.weight"] = pair.lora_A.detach().clone()
        tensors[f"{name}.lora_B.default.weight"] = torch.full_like(pair.lora_B, 0.01)
    save_file(tensors, tmp_path / "model.safetensors")
    words = ("--image", "@b", "--lowres-fix", "--lora", str(tmp_path / "model.safetensors"))
    painted = tmp_path / "with.png", tmp_path / "without.png"
    status, error = paint(folders["edit"], files, painted[0], capsys, *words)
    assert status == 0 and f"DiffSynth, {len(adapter.pairs)} of " in error and "rank 32" in error
    assert paint(folders["edit"], files, painted[1], capsys, *words[:3])[0] == 0
    assert Image.open(painted[0]).tobytes() != Image.open(painted[1]).tobytes()


@pytest.mark.parametrize(
    "name, words, line",
    [
        ("edit", (), "must be given a picture, it is an edit model; add --image FILE"),
        ("text", ("--image", "@a", "--image", "@b"), "--image must be given once to a text-to-im"),
        ("text", ("--lowres-fix",), "--lowres-fix must go with the weights of an edit model"),
        ("edit", ("--image", "@a", "--strength", "0.5"), "--strength must go with --mask FILE"),
        ("edit", ("--image", "@a", "--image", "@b"), "1 picture for this model, got 2"),
        ("2509", ("--image", "@a") * 4, "1 to 3 pictures for this model, got 4"),
        ("2509", ("--image", "@thin"), "must be at most 200 times as long as it is wide"),
    ],
)
def test_what_does_not_go_together_is_one_line(folders, files, tmp_path, capsys, name, words, line):
    status, error = paint(folders[name], files, tmp_path / "out.png", capsys, *words)
    assert status == 2 and line in error and error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name, said", [("edit", True), ("text", False)])
def test_info_says_how_an_edit_model_is_used(folders, capsys, name, said):
    assert cli.main(["info", str(folders[name])]) == 0
    shown = capsys.readouterr().out
    assert ("--image FILE" in shown) == said and ("vision" in shown) == said
