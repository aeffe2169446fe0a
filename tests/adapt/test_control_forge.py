"""Forged control networks: official names, loaded by what loads real ones, the same bytes again."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref import cli
from qwenimage_ref.adapt import control_forge
from qwenimage_ref.adapt.control_files import load
from qwenimage_ref.adapt.control_forge import NETWORKS, empty_control, forge_control
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.repository import ROOT

SMALL = replace(TINY.transformer, num_layers=6)
OFFICIAL = {"union": 1_768_003_584, "inpainting": 2_117_287_424}  # parameters


@pytest.fixture(scope="module")
def mmdit():
    with torch.device("meta"):
        return MMDiT(SMALL)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_forged_network_is_loaded_like_a_real_one(mmdit, tmp_path, name):
    assert forge_control(tmp_path, name, SMALL) > 0
    net = load(tmp_path, mmdit)
    assert type(net) is type(empty_control(name, SMALL)) and net.config.num_layers >= 5
    assert (net.config.extra_condition_channels > 0) == name.startswith("inpaint")
    norms = [w for key, w in net.state_dict().items() if "rms" in key or "norm" in key]
    assert norms and all((each == 1).all() for each in norms)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_networks_have_the_published_number_of_parameters(name):
    network = empty_control(name, MMDiTConfig.official())
    assert sum(p.numel() for p in network.parameters()) == OFFICIAL[name]


def test_the_same_command_has_nothing_left_to_do_and_another_network_is_refused(tmp_path):
    forge_control(tmp_path, "canny", SMALL)
    assert forge_control(tmp_path, "canny", SMALL) == 0
    with pytest.raises(CheckpointError, match="was forged with other numbers"):
        forge_control(tmp_path, "union", SMALL)


def test_the_repository_is_no_place_for_it():
    with pytest.raises(CheckpointError, match="lies in the repository"):
        forge_control(ROOT / "forged", "canny", SMALL)


def test_the_command_forges_a_network_for_the_first_blocks(tmp_path, monkeypatch, capsys):
    chosen = []
    monkeypatch.setattr(control_forge, "forge_control", lambda *all, **_: chosen.append(all) or 7e9)
    words = ["forge", str(tmp_path / "net"), "--model", "union", "--blocks", "3"]
    assert cli.main(words) == 0 and "7.0 GB written" in capsys.readouterr().out
    (_, name, mmdit), *_ = chosen
    assert name == "union" and mmdit.num_layers == 3


def test_the_config_of_instantx_names_its_class(tmp_path):
    forge_control(tmp_path, "union", SMALL)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["_class_name"] == "QwenImageControlNetModel" and config["num_layers"] == 5
