"""Folders of edit models: their class, their vision tower, their structure, forged and checked."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from helpers.editing import EDIT, EDIT_PLUS, edit_folder, picture
from helpers.tiny_model import TINY

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.checkpoint import CheckpointError, fingerprint, index_json
from qwenimage_ref.checkpoint.config_files import _processor_config, json_text
from qwenimage_ref.checkpoint.forge import MODELS, forge
from qwenimage_ref.checkpoint.model_folder import empty_networks
from qwenimage_ref.checkpoint.verify import verify
from qwenimage_ref.mmdit import MMDiT

PREDICTED_2511 = "034f003b74493730e1c595b2e23232e99d9e28bcef3b4c10c56d1b53eee4b435"
SIZES = {"sample_size": 64, "reading_size": 64}


def tiny(pipeline=EDIT_PLUS, zero_cond_t=False):
    return replace(
        TINY, transformer=replace(TINY.transformer, zero_cond_t=zero_cond_t), pipeline=pipeline
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Edit-2511."""
    folder = tmp_path_factory.mktemp("edit") / "m"
    forge(folder, tiny(zero_cond_t=True))
    (folder / "recommended.json").write_text(json.dumps(SIZES))
    return folder


# -- structure ------------------------------------------------------------------------------------


def test_weights_that_are_to_be_read_are_not_drawn_before(folder, monkeypatch):
    for name in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, name, None)  # cannot be called
    networks = empty_networks(folder)
    assert {p.device.type for net in networks.values() for p in net.parameters()} == {"meta"}


def index(model: str, shard_bytes: int) -> bytes:
    with torch.device("meta"):
        network = MMDiT(MODELS[model].transformer)
    assert fingerprint(network) == "0319a1cb19835fb510907dd3367c95ff"
    return index_json(network, shard_bytes, dtype=torch.bfloat16)


@pytest.mark.parametrize("model", ["edit", "edit-2509"])
def test_the_transformer_of_the_first_edit_models_has_the_index_of_qwen_image(model):
    content = index(model, 5 * 10**9)
    assert hashlib.sha256(content).hexdigest() == (
        "adeb4aa7230a3940cdfb4f6d7be4131a13cd5275d612fb9f8be90ede8d965b29"
    )


def test_the_transformer_of_edit_2511_has_the_predicted_index_of_five_shards():
    """Its own sha256 is not published; the sizes of its shards, which it implies, are."""
    content = index("edit-2511", 10**10)
    assert len(content) == 198_887
    assert hashlib.sha256(content).hexdigest() == PREDICTED_2511


def test_the_image_processor_is_configured_as_that_of_edit_2511_byte_for_byte():
    content = json_text(_processor_config(MODELS["edit-2511"].vision)).encode()
    assert (len(content), hashlib.sha256(content).hexdigest()[:8]) == (826, "e98b8151")


def test_the_config_of_edit_2511_has_its_one_key_more(folder):
    config = json.loads((folder / "transformer" / "config.json").read_text("utf-8"))
    assert config["zero_cond_t"] is True
    assert MODELS["edit-2511"].transformer.zero_cond_t
    assert not MODELS["edit-2509"].transformer.zero_cond_t


# -- loading --------------------------------------------------------------------------------------


def test_the_vision_tower_is_loaded_for_an_edit_model_alone(folder, tmp_path):
    forge(tmp_path / "text", TINY)
    assert QwenImage.from_pretrained(tmp_path / "text").vision is None
    assert "vision" not in empty_networks(tmp_path / "text")
    loaded = QwenImage.from_pretrained(folder)
    assert loaded.vision.patch_embed.proj.weight.device.type == "cpu"
    assert loaded.transformer.config.zero_cond_t


def test_a_streamed_edit_model_keeps_its_towers_on_disk_and_paints_the_same(folder):
    options = {"image": picture(70, 50), "num_inference_steps": 2, "seed": 1}
    resident = QwenImage.from_pretrained(folder, dtype=torch.bfloat16)
    streamed = QwenImage.from_pretrained(folder, stream=True)
    assert getattr(streamed.vision.blocks, "streamed", False)
    same = (pipe("a", " ", **options)[0].tobytes() for pipe in (resident, streamed))
    assert len(set(same)) == 1


def test_the_text_encoder_of_a_single_file_serves_for_its_vision_tower(folder):
    file = folder / "text_encoder" / "model.safetensors"
    options = {"image": picture(70, 50), "num_inference_steps": 2, "seed": 1}
    usual = QwenImage.from_pretrained(folder)("a", " ", **options)[0]
    single = QwenImage.from_pretrained(folder, text_encoder=file)("a", " ", **options)[0]
    assert single.tobytes() == usual.tobytes()


@pytest.mark.parametrize("pipeline", [EDIT, "QwenImagePipeline"])
def test_time_zero_for_pictures_is_refused_where_the_template_would_be_wrong(tmp_path, pipeline):
    forge(tmp_path / "m", tiny(pipeline, zero_cond_t=True))
    with pytest.raises(CheckpointError, match="zero_cond_t must come with QwenImageEditPlusPipel"):
        QwenImage.from_pretrained(tmp_path / "m")
    assert any("zero_cond_t must come with" in line for line in verify(tmp_path / "m").findings)


def test_a_vision_tower_of_another_width_is_refused(tmp_path):
    wide = replace(tiny(), vision=replace(TINY.vision, out_hidden_size=64))
    forge(tmp_path / "m", wide)
    with pytest.raises(CheckpointError, match="out_hidden_size must be the text encoder's hidden"):
        QwenImage.from_pretrained(tmp_path / "m")


# -- commands -------------------------------------------------------------------------------------


def test_a_forged_edit_folder_is_whole(folder):
    assert verify(folder).ok, verify(folder).findings


@pytest.mark.parametrize("pipeline, changes", [(EDIT, {}), (EDIT_PLUS, {"zero_cond_t": True})])
def test_an_edit_folder_is_validated_stage_by_stage(tmp_path, capsys, pipeline, changes):
    folder, record = edit_folder(tmp_path / "m", pipeline, **changes), tmp_path / "validate.json"
    assert cli.main(["validate", str(folder), "--record", str(record)]) == 0, capsys.readouterr()


def test_the_forge_command_knows_the_edit_models(monkeypatch, tmp_path, capsys):
    from qwenimage_ref.checkpoint import forge as module

    seen = []
    monkeypatch.setattr(
        module, "forge", lambda folder, configs, *_, **__: seen.append(configs) or 0
    )
    assert cli.main(["forge", str(tmp_path / "m"), "--model", "edit-2511", "--blocks", "2"]) == 0
    (configs,) = seen
    assert configs.pipeline == EDIT_PLUS and configs.transformer.zero_cond_t
    assert configs.transformer.num_layers == configs.text_encoder.num_hidden_layers == 2
