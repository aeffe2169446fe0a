"""Folders of layered models: their class, their two more tensors, forged, checked and streamed."""

import json
import math

import pytest
import torch
from helpers.layering import LAYERED, layered_folder, tiny_layered, transparent

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.captioner import Captioner
from qwenimage_ref.checkpoint import CheckpointError, fingerprint, index_json
from qwenimage_ref.checkpoint.forge import MODELS, first_blocks, forge
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.checkpoint.verify import verify
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.tasks.captions import caption
from qwenimage_ref.tasks.layers import decompose
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

OFFICIAL = MODELS["layered"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered") / "m"
    forge(folder, tiny_layered())
    (folder / "recommended.json").write_text(json.dumps({"sample_size": 64}))
    return folder


# -- structure ------------------------------------------------------------------------------------


def test_the_forged_numbers_are_those_of_the_published_structure():
    with torch.device("meta"):
        transformer, vae = MMDiT(OFFICIAL.transformer), VAE(OFFICIAL.vae)
    assert fingerprint(transformer) == "8dc8cda05de16c73afa755e2c1ce2839"
    assert fingerprint(vae) == "44b39ddc499e027cfb24f7878d7416b9"
    assert sum(p.numel() for p in transformer.parameters()) == 20_430_407_232


def test_the_whole_has_the_published_number_of_bytes_and_shards():
    with torch.device("meta"):
        text_encoder = StoredTextEncoder(
            TextEncoder(OFFICIAL.text_encoder), Vision(OFFICIAL.vision)
        )
        transformer, vae = MMDiT(OFFICIAL.transformer), VAE(OFFICIAL.vae)
    forms = map(stored_form, (text_encoder, transformer, vae))
    assert sum(2 * math.prod(shape) for form in forms for shape in form.values()) == 57_698_943_208
    index = json.loads(index_json(transformer, 10**10, dtype=torch.bfloat16))
    assert len(index["weight_map"]) == 1934 and len(set(index["weight_map"].values())) == 5


def test_configs_are_written_as_in_the_release(folder):
    names = "transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json"
    transformer, vae, schedule = (json.loads((folder / n).read_text("utf-8")) for n in names)
    assert transformer["use_layer3d_rope"] is transformer["use_additional_t_cond"] is True
    assert vae["input_channels"] == 4
    assert schedule["time_shift_type"] == "linear" and schedule["shift_terminal"] is False
    assert SchedulerConfig.from_json(folder / names[2]) == OFFICIAL.scheduler


def test_the_forge_command_knows_the_layered_model(monkeypatch, tmp_path):
    from qwenimage_ref.checkpoint import forge as module

    seen = []
    monkeypatch.setattr(
        module, "forge", lambda folder, configs, *_, **__: seen.append(configs) or 0
    )
    assert cli.main(["forge", str(tmp_path / "m"), "--model", "layered", "--blocks", "2"]) == 0
    assert seen == [first_blocks(2, "layered")]
    assert seen[0].transformer.num_layers == 2 and seen[0].pipeline == LAYERED


# -- loading --------------------------------------------------------------------------------------


def test_a_layered_folder_is_loaded_with_what_it_needs_to_write_captions(folder):
    pipe = QwenImage.from_pretrained(folder)
    assert isinstance(pipe.text_encoder, Captioner) and pipe.vision is not None
    assert pipe.text_encoder.lm_head.weight.abs().max() > 0


def test_a_streamed_layered_model_leaves_lm_head_on_disk_and_does_the_same(folder, monkeypatch):
    from qwenimage_ref.adapt import streaming
    from qwenimage_ref.tasks import captions

    monkeypatch.setattr(captions, "MOST_TOKENS", 6)
    monkeypatch.setattr(streaming, "STRIP", 100)  # rows: several strips, the last one shorter
    resident = QwenImage.from_pretrained(folder, dtype=torch.bfloat16)
    streamed = QwenImage.from_pretrained(folder, stream=True)
    assert not list(streamed.text_encoder.lm_head.parameters())
    img, pipes = transparent(70, 50), (resident, streamed)
    assert len({caption(pipe, img) for pipe in pipes}) == 1
    options = {"layers": 2, "num_inference_steps": 2, "seed": 1}
    (ours, theirs) = (decompose(pipe, img, "a", **options) for pipe in pipes)
    assert [layer.tobytes() for layer in ours] == [layer.tobytes() for layer in theirs]


@pytest.mark.parametrize(
    "configs, named",
    [
        (
            tiny_layered(transformer=False),
            "must have use_layer3d_rope true, use_additional_t_cond true",
        ),
        (tiny_layered(vae=3), "must have input_channels 4 in"),
        (tiny_layered(schedule="exponential"), "must have time_shift_type linear in"),
        (
            tiny_layered("QwenImagePipeline"),
            "must not have use_layer3d_rope true, .*, input_channels 4",
        ),
        (
            tiny_layered("QwenImageEditPipeline", transformer=False),
            "must not have input_channels 4 in",
        ),
    ],
    ids=["transformer", "vae", "scheduler", "text to image", "edit"],
)
def test_parts_of_different_models_are_refused(tmp_path, configs, named):
    forge(tmp_path / "m", configs)
    with pytest.raises(CheckpointError, match=named) as error:
        QwenImage.from_pretrained(tmp_path / "m")
    assert "\n" not in str(error.value)
    assert str(error.value) in verify(tmp_path / "m").findings


# -- commands -------------------------------------------------------------------------------------


def test_a_forged_layered_folder_is_whole(folder):
    assert verify(folder).ok, verify(folder).findings


def test_info_says_how_a_layered_model_is_used(folder, capsys):
    assert cli.main(["info", str(folder)]) == 0
    assert "used with: qwenimage layers PICTURE" in capsys.readouterr().out


def test_painting_with_a_layered_folder_is_one_line(folder, tmp_path, capsys):
    command = ["paint", "a", "--weights", str(folder), "-o", str(tmp_path / "out.png")]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "must be used to take pictures apart" in error and error.count("\n") == 1


def test_a_layered_folder_is_validated_stage_by_stage(tmp_path, capsys):
    folder, record = layered_folder(tmp_path / "m"), tmp_path / "validate.json"
    assert cli.main(["validate", str(folder), "--record", str(record)]) == 0, capsys.readouterr()
