"""Ten thousand damaged headers, index files and configs: refused in one line, or harmless.

Each mutant ends in a CheckpointError or ConfigError, or what is loaded is equal to the last bit;
none takes half a second of the processor or half a gigabyte of addresses.
"""

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.mutations import MUTANTS, SHARD, STEM, count_refused, mutated, mutated_file
from helpers.small_net import assert_equal, network, on_meta, tensors_of

from qwenimage_ref.checkpoint import CheckpointError, load_into, save
from qwenimage_ref.checkpoint.model_folder import read_model_index
from qwenimage_ref.config import (
    ConfigError,
    MMDiTConfig,
    SchedulerConfig,
    TextEncoderConfig,
    VAEConfig,
    VisionConfig,
)
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.sampler import sigmas
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.tokenizer import Tokenizer
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

# the folder's face has a function of this name
saving = importlib.import_module("qwenimage_ref.checkpoint.save")

POCKET = Path(__file__).parents[2] / "data" / "pocket"
PARTS = {  # of the folder: how many of each thousand mutants
    "model_index.json": 100,
    "scheduler/scheduler_config.json": 150,
    "text_encoder/config.json": 300,
    "tokenizer/added_tokens.json": 50,
    "transformer/config.json": 250,
    "vae/config.json": 150,
}


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_damaged_headers_are_refused_or_hold_the_same_weights(tmp_path, seed):
    save(network(), tmp_path)
    file = tmp_path / f"{STEM}.safetensors"
    refused = count_refused(seed, file, mutated_file, loading(tmp_path))
    assert refused > 0.6 * MUTANTS  # most changes do harm; the rest fall on spaces and metadata


@pytest.mark.parametrize("seed", range(4, 7))
def test_a_thousand_damaged_indexes_are_refused_or_find_the_same_weights(
    tmp_path, monkeypatch, seed
):
    monkeypatch.setattr(saving, "SHARD_BYTES", 64)
    save(network(), tmp_path)
    (tmp_path / "other.safetensors").write_bytes((tmp_path / SHARD).read_bytes())
    file = tmp_path / f"{STEM}.safetensors.index.json"
    refused = count_refused(seed, file, mutated, loading(tmp_path))
    assert refused > 0.6 * MUTANTS


def loading(folder: Path):
    """A function that loads the folder and demands: the good weights, or none at all."""
    net, expected = network(seed=9), tensors_of(network())
    before = tensors_of(net)

    def attempt():
        try:
            load_into(net, folder)
            assert_equal(tensors_of(net), expected)
            net.load_state_dict(before)
        except CheckpointError:
            assert_equal(tensors_of(net), before)
            raise

    return attempt


def describing(file: Path):
    """A function that reads one small file and makes, without weights, what it describes."""
    kinds = KINDS.get(file.parent.name, {})
    good = {config: config.from_json(file) for config in kinds}
    if kinds:  # only the keys that are read here: most are for other libraries
        numbers = {config.__name__: described.to_dict() for config, described in good.items()}
        pictures = {"vision_config": numbers.pop("VisionConfig", {})}
        file.write_text(json.dumps(pictures | numbers.popitem()[1]))

    def attempt():
        if file.name == "model_index.json":
            read_model_index(file.parent)
        if file.parent.name == "tokenizer":
            Tokenizer.load(file.parent)
        for config, kind in kinds.items():
            described = config.from_json(file)
            if described != good[config]:
                kind(described)

    return attempt


def on_meta_with_one_layer(kind):
    """Every width as described; the number of layers has a limit in the config."""

    def make(config):
        layers = {"num_layers", "num_hidden_layers", "depth"} & set(vars(config))
        on_meta(kind, replace(config, **dict.fromkeys(layers, 1)))

    return make


def falling_levels(config: SchedulerConfig):
    try:
        assert torch.isfinite(sigmas(20, 64, config)).all()
    except ValueError as error:  # each number is in bounds, and yet the levels do not fall
        raise ConfigError(error) from None


KINDS = {
    "scheduler": {SchedulerConfig: falling_levels},
    "text_encoder": {
        TextEncoderConfig: on_meta_with_one_layer(TextEncoder),
        VisionConfig: on_meta_with_one_layer(Vision),
    },
    "transformer": {MMDiTConfig: on_meta_with_one_layer(MMDiT)},
    "vae": {VAEConfig: on_meta_with_one_layer(VAE)},
}


@pytest.mark.parametrize("seed", range(7, 10))
def test_a_thousand_damaged_configs_are_refused_or_describe_a_network(tmp_path, seed):
    shutil.copytree(POCKET, tmp_path / "pocket", ignore=shutil.ignore_patterns("*.safetensors"))
    refused = 0
    for name, share in PARTS.items():
        file = tmp_path / "pocket" / name
        refused += count_refused(seed, file, mutated, describing(file), share)
    assert refused > 0.3 * MUTANTS  # many other sizes are possible
