"""The numbers of the networks: official presets, and config.json files as they circulate."""

import dataclasses
import json

import pytest

from qwenimage_ref.config import (
    ConfigError,
    MMDiTConfig,
    SchedulerConfig,
    TextEncoderConfig,
    VAEConfig,
    VisionConfig,
)

EVERY = [MMDiTConfig, VAEConfig, TextEncoderConfig, VisionConfig, SchedulerConfig]
# transformer/config.json of Qwen-Image-2512, with a stale key of the first release
TRANSFORMER_2512 = {
    "_class_name": "QwenImageTransformer2DModel",
    "_diffusers_version": "0.36.0.dev0",
    "attention_head_dim": 128,
    "axes_dims_rope": [16, 56, 56],
    "guidance_embeds": False,
    "in_channels": 64,
    "joint_attention_dim": 3584,
    "num_attention_heads": 24,
    "num_layers": 60,
    "out_channels": 16,
    "patch_size": 2,
    "pooled_projection_dim": 768,
}


def written(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_the_official_file_gives_the_official_numbers(tmp_path):
    assert MMDiTConfig.from_json(written(tmp_path, TRANSFORMER_2512)) == MMDiTConfig.official()
    assert MMDiTConfig.official().inner_dim == 3072


def test_the_vae_makes_one_latent_of_eight_by_eight_pixels():
    assert VAEConfig.official().scale == 8


@pytest.mark.parametrize("config", EVERY)
def test_an_empty_file_gives_the_official_numbers(tmp_path, config):
    assert config.from_json(written(tmp_path, {})) == config.official()


@pytest.mark.parametrize("config", EVERY)
def test_what_is_written_is_read_back(tmp_path, config):
    config.official().to_json(tmp_path / "config.json", _class_name="Anything")
    assert config.from_json(tmp_path / "config.json") == config.official()
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "Anything"


@pytest.mark.parametrize("config", EVERY)
def test_a_config_cannot_be_changed(config):
    field = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config.official(), field, 1)


@pytest.mark.parametrize(
    "file",
    [
        {
            "hidden_size": 192,
            "num_attention_heads": 4,
            "rope_scaling": {"mrope_section": [8, 8, 8]},
        },
        {
            "hidden_size": 192,
            "num_attention_heads": 4,
            "rope_parameters": {"mrope_section": [8, 8, 8], "rope_theta": 1e6},
        },
        {
            "hidden_size": 3584,
            "image_token_id": 151655,
            "text_config": {
                "hidden_size": 192,
                "num_attention_heads": 4,
                "image_token_id": None,
                "rope_scaling": {"type": "mrope", "mrope_section": [8, 8, 8]},
            },
        },
    ],
    ids=["flat", "transformers 5", "nested"],
)
def test_every_spelling_of_the_text_config_is_read(tmp_path, file):
    config = TextEncoderConfig.from_json(written(tmp_path, file))
    assert (config.hidden_size, config.mrope_section) == (192, (8, 8, 8))
    assert (config.rope_theta, config.image_token_id) == (1e6, 151655)


@pytest.mark.parametrize("terminal, read", [(0.02, 0.02), (None, 0.0), (False, 0.0)])
def test_null_and_false_both_mean_no_terminal_stretch(tmp_path, terminal, read):
    file = written(tmp_path, {"shift_terminal": terminal})
    assert SchedulerConfig.from_json(file).shift_terminal == read


@pytest.mark.parametrize(
    "config, content, message",
    [
        (MMDiTConfig, "{", "config.json: "),
        (MMDiTConfig, "[1]", "expected a JSON object"),
        (MMDiTConfig, {"num_layers": "sixty"}, "num_layers must be a number, found 'sixty'"),
        (MMDiTConfig, {"num_layers": 60.5}, "num_layers must be a whole number, found 60.5"),
        (TextEncoderConfig, {"num_attention_heads": 0}, "config.json: "),
        (TextEncoderConfig, {"text_config": [1]}, "config.json: "),
        (TextEncoderConfig, "[" * 100_000, "config.json: "),
        (VisionConfig, {"num_hidden_layers": 28}, "there is no vision_config"),
        (MMDiTConfig, {"axes_dims_rope": [16, 56, 55]}, "must add up to attention_head_dim 128"),
        (MMDiTConfig, {"in_channels": 16}, "in_channels 16 is not out_channels 16"),
        (MMDiTConfig, {"guidance_embeds": True}, "no released Qwen-Image model has that layer"),
        (VAEConfig, {"z_dim": 4}, "must have z_dim 4 entries"),
        (VAEConfig, {"dim_mult": [1, 2]}, "must be one shorter than dim_mult"),
        (TextEncoderConfig, {"mrope_section": [1, 2, 3]}, "must add up to half of the head width"),
        (TextEncoderConfig, {"num_key_value_heads": 3}, "cannot share 3 key-value heads evenly"),
        (SchedulerConfig, {"use_dynamic_shifting": False}, "use_dynamic_shifting is false"),
        (SchedulerConfig, {"time_shift_type": "cubic"}, "'cubic' is not exponential or linear"),
        (SchedulerConfig, {"max_image_seq_len": 256}, "must be larger than base_image_seq_len"),
        (SchedulerConfig, {"base_shift": 65}, "must be above 0 and at most 10"),
        (SchedulerConfig, {"shift_terminal": 1}, "must be at least 0, below 1"),
        (MMDiTConfig, {"num_layers": 10**9}, "num_layers must be 1 to 128, found 1000000000"),
        (MMDiTConfig, {"num_layers": 0}, "num_layers must be 1 to 128, found 0"),
        (MMDiTConfig, {"num_layers": True}, "num_layers must be a number, found True"),
        (MMDiTConfig, '{"num_layers": 1' + "0" * 5000 + "}", "config.json: "),
        (MMDiTConfig, '{"num_layers": 2, "num_layers": 60}', "a key is there twice"),
        (MMDiTConfig, {"zero_cond_t": "yes"}, "zero_cond_t must be true or false, found 'yes'"),
        (MMDiTConfig, {"axes_dims_rope": 128}, "axes_dims_rope must be a list of at most 256"),
        (MMDiTConfig, {"axes_dims_rope": [1] * 10**6}, "must be a list of at most 256"),
        (MMDiTConfig, {"axes_dims_rope": [17, 55, 56]}, "must be three even numbers"),
        (MMDiTConfig, {"num_attention_heads": 65_536}, "must be at most 65,536"),
        (VAEConfig, '{"latents_mean": [NaN]}', "NaN is not JSON"),
        (VAEConfig, {"latents_std": [0.0] * 16}, "latents_std 0.0 must be above 0"),
        (VAEConfig, {"base_dim": 60_000}, "widths of at most 65,536"),
        (TextEncoderConfig, '{"rope_theta": 1e999}', "rope_theta must be within 1e\\+12"),
        (TextEncoderConfig, {"num_attention_heads": 27}, "cannot be cut into 27 heads evenly"),
        (VisionConfig, {"window_size": 27}, "holds no token of patch_size 14"),
    ],
)
def test_an_unusable_file_is_one_line_with_its_name(tmp_path, config, content, message):
    with pytest.raises(ConfigError, match=message) as error:
        config.from_json(written(tmp_path, content))
    assert "config.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "config, key",
    [(MMDiTConfig, "num_layers"), (TextEncoderConfig, "hidden_size"), (VisionConfig, "depth")],
)
def test_a_value_of_a_million_letters_does_not_flood_the_terminal(tmp_path, config, key):
    with pytest.raises(ConfigError) as error:
        config.from_json(written(tmp_path, {key: "\x1b[2J" * 200_000}))
    assert len(str(error.value)) < 500 and str(error.value).isprintable()


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="config.json: .*directory"):
        VAEConfig.from_json(tmp_path / "config.json")


def test_a_file_of_a_gigabyte_is_refused_unread(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(10**9)  # takes no room on the disk
    with pytest.raises(ConfigError, match="longer than 16,000,000 bytes"):
        VAEConfig.from_json(tmp_path / "config.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="config.json is missing; is the folder completely"):
        VAEConfig.from_json(tmp_path / "config.json")
