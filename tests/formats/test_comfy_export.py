"""`qwenimage export --to comfy`: the names, shapes and bytes that ComfyUI's own classes take."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.small_net import assert_equal, on_meta, tensors_of
from safetensors.torch import load_file

from qwenimage_ref import cli
from qwenimage_ref.checkpoint.headers import read_header
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder, empty_network
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import ZERO_COND_T
from qwenimage_ref.formats.comfy_export import comfy_places, export, files_of, fits
from qwenimage_ref.formats.single_file import wan_names
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.repository import POCKET
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

FACTS = json.loads((Path(__file__).parents[1] / "golden" / "comfy_names.json").read_text())
PARTS = {"transformer": "diffusion_model", "text_encoder": "text_encoder", "vae": "vae"}
LATER = re.compile(r"(transformer_blocks|model\.layers|visual\.blocks)\.[1-9]\d*\.")
every_part = pytest.mark.parametrize("part", PARTS)


def official(part: str) -> dict[str, tuple]:
    """{name that is written: shape} for the released model, of blocks and layers the first alone"""
    if part == "vae":
        vae = on_meta(VAE, VAEConfig())
        form = stored_form(vae)
        return {wan: form[key] for key, wan in wan_names(vae).items()}
    if part == "transformer":
        form = stored_form(on_meta(MMDiT, replace(MMDiTConfig(), num_layers=1)))
    else:
        language = on_meta(TextEncoder, replace(TextEncoderConfig(), num_hidden_layers=1))
        with torch.device("meta"):
            form = stored_form(StoredTextEncoder(language, on_meta(Vision, VisionConfig())))
    return {k: v for k, v in form.items() if not LATER.match(k) and k != "lm_head.weight"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return dict(zip(PARTS, export(POCKET, folder)))


@every_part
def test_the_released_model_has_comfyui_s_names_and_shapes(part):
    expected = {name: tuple(shape) for name, shape in FACTS[PARTS[part]].items()}
    assert official(part) == expected


@every_part
def test_the_pocket_model_s_files_have_the_same_names(exported, part):
    # careful: a pocket model has fewer layers, so names are compared without their numbers
    def bare(names) -> set[str]:
        return {re.sub(r"(layers|blocks)\.\d+\.", r"\1.0.", name) for name in names}

    written = read_header(exported[part])
    assert bare(written) == bare(FACTS[PARTS[part]])
    assert all(mark in written for mark in FACTS["marks"][PARTS[part]])
    assert not any(mark in written for mark in FACTS["never"].get(PARTS[part], []))


@every_part
def test_what_is_written_loads_to_the_same_numbers(exported, part):
    ours, again = (empty_network(POCKET, part) for _ in range(2))
    load_weights(ours, POCKET / part, torch.float32)
    load_weights(again, exported[part], torch.float32)
    assert_equal(tensors_of(again), tensors_of(ours))


def test_the_vision_tower_lies_in_the_text_encoder_s_file(exported):
    ours, again = (empty_network(POCKET, "vision") for _ in range(2))
    load_weights(ours, POCKET / "text_encoder", torch.float32)
    load_weights(again, exported["text_encoder"], torch.float32)
    assert_equal(tensors_of(again), tensors_of(ours))
    assert "lm_head.weight" not in read_header(exported["text_encoder"])


def test_the_safetensors_library_reads_the_files(exported):
    for file in exported.values():
        assert all(tensor.dtype == torch.bfloat16 for tensor in load_file(file).values())


@pytest.fixture
def weights(tmp_path):
    """A copy of the pocket folder that a test may change"""
    return shutil.copytree(POCKET, tmp_path / "weights")


def change(file: Path, **values) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_edit_2511_is_marked_as_comfyui_marks_it(weights):
    change(weights / "transformer" / "config.json", zero_cond_t=True)
    assert comfy_places(weights, "transformer")[ZERO_COND_T].shape == (0,)
    assert ZERO_COND_T not in comfy_places(POCKET, "transformer")


def test_each_model_of_the_family_has_a_file_of_its_own(weights):
    change(weights / "model_index.json", _class_name="QwenImageEditPlusPipeline")
    assert files_of(weights)["transformer"] == "diffusion_models/qwen_image_edit_plus.safetensors"
    assert files_of(POCKET)["transformer"] == "diffusion_models/qwen_image.safetensors"


def test_a_folder_that_is_not_whole_is_one_line_and_nothing_is_written(weights, tmp_path):
    (weights / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        export(weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_ends_at_the_total(tmp_path):
    seen = []
    export(POCKET, tmp_path, lambda *counts: seen.append(counts))
    done, total = seen[-1]
    assert done == total > 30_000_000 and [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_the_command_names_the_files_and_says_that_comfyui_has_one_size(tmp_path, capsys):
    out = tmp_path / "models"
    assert cli.main(["export", "--to", "comfy", str(POCKET), "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(out / path) for path in files_of(POCKET).values()]
    assert "ComfyUI loads models of the released widths only" in shown.err and not fits(POCKET)


@pytest.mark.parametrize(
    "words, line",
    [
        (["--to", "comfy", "no/where"], "no/where is neither a folder nor a model"),
        (["--to", "other"], "invalid choice: 'other'"),
        ([], "the following arguments are required: --to"),
    ],
)
def test_what_cannot_be_exported_is_one_line(tmp_path, capsys, words, line):
    assert cli.main(["export", *words, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert line in error and "\n" not in error
