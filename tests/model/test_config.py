"""The numbers of the networks: official presets, and config.json files as they circulate."""

import dataclasses
import inspect
import json
import math
import os

import pytest
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageTransformer2DModel,
)
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

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


def test_the_official_transformer_is_the_default_of_diffusers():
    theirs = inspect.signature(QwenImageTransformer2DModel.__init__).parameters
    for name, ours in dataclasses.asdict(MMDiTConfig.official()).items():
        assert ours == theirs[name].default, name


def test_the_official_vision_tower_has_the_numbers_of_its_published_config():
    config = VisionConfig.official()
    assert (config.depth, config.hidden_size, config.num_heads) == (32, 1280, 16)
    assert (config.intermediate_size, config.out_hidden_size) == (3420, 3584)
    assert (config.patch_size, config.temporal_patch_size, config.spatial_merge_size) == (14, 2, 2)
    assert config.fullatt_block_indexes == (7, 15, 23, 31)


def test_the_official_schedule_has_the_numbers_of_its_published_config():
    """The other keys of that file are those of the class's defaults."""
    theirs = inspect.signature(FlowMatchEulerDiscreteScheduler.__init__).parameters
    published = {
        "base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 8192, "max_shift": 0.9,
        "num_train_timesteps": 1000, "shift": 1.0, "shift_terminal": 0.02,
        "time_shift_type": "exponential", "use_dynamic_shifting": True,
    }  # fmt: skip
    assert dataclasses.asdict(SchedulerConfig.official()) == published
    assert published.keys() <= theirs.keys()


def test_the_vae_makes_one_latent_of_eight_by_eight_pixels():
    assert VAEConfig.official().scale == 8


def test_the_official_vae_is_the_default_of_diffusers():
    theirs = inspect.signature(AutoencoderKLQwenImage.__init__).parameters
    for name, ours in dataclasses.asdict(VAEConfig.official()).items():
        expected = theirs[name].default
        assert ours == (tuple(expected) if isinstance(expected, list) else expected), name


def test_an_official_window_of_the_vision_tower_is_112_pixels_wide():
    assert VisionConfig.official().window_size == Qwen2_5_VLVisionConfig().window_size == 112


def test_the_official_text_encoder_has_the_numbers_of_its_published_config():
    config = TextEncoderConfig.official()
    assert (config.num_hidden_layers, config.hidden_size) == (28, 3584)
    assert (config.num_attention_heads, config.num_key_value_heads) == (28, 4)
    assert (config.intermediate_size, config.vocab_size) == (18944, 152064)
    assert (config.rms_norm_eps, config.rope_theta) == (1e-6, 1e6)
    assert (config.mrope_section, config.image_token_id) == ((16, 24, 24), 151655)


def test_lightning_has_one_shift_at_every_size_and_no_terminal_stretch():
    config = SchedulerConfig.lightning()
    assert config.base_shift == config.max_shift == math.log(3)
    assert config.shift_terminal == 0


@pytest.mark.parametrize("config", EVERY)
def test_an_empty_file_gives_the_official_numbers(tmp_path, config):
    assert config.from_json(written(tmp_path, {})) == config.official()


@pytest.mark.parametrize("config", EVERY)
def test_what_is_written_is_read_back(tmp_path, config):
    config.official().to_json(tmp_path / "config.json", _diffusers_version="Anything")
    assert config.from_json(tmp_path / "config.json") == config.official()
    assert json.loads((tmp_path / "config.json").read_text())["_diffusers_version"] == "Anything"


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


def test_a_vision_config_is_read_beside_a_flat_language_config(tmp_path):
    file = written(tmp_path, {"num_hidden_layers": 28, "vision_config": {"depth": 5}})
    assert VisionConfig.from_json(file).depth == 5


@pytest.mark.parametrize("terminal, read", [(0.02, 0.02), (None, 0.0), (False, 0.0)])
def test_null_and_false_both_mean_no_terminal_stretch(tmp_path, terminal, read):
    file = written(tmp_path, {"shift_terminal": terminal})
    assert SchedulerConfig.from_json(file).shift_terminal == read


@pytest.mark.parametrize(
    "config, content, message",
    [
        (MMDiTConfig, "{", "config.json: "),
        (MMDiTConfig, "[1]", r"must be a JSON object, got \[1\]"),
        (MMDiTConfig, {"num_layers": "sixty"}, "num_layers must be a number, got 'sixty'"),
        (MMDiTConfig, {"num_layers": 60.5}, "num_layers must be a whole number, got 60.5"),
        (TextEncoderConfig, {"num_attention_heads": 0}, "must be 1 to 65,536, got 0"),
        (TextEncoderConfig, {"text_config": [1]}, r"text_config must be a JSON object, got \[1\]"),
        (TextEncoderConfig, {"rope_scaling": 7}, "rope_scaling must be a JSON object, got 7"),
        (VisionConfig, {"vision_config": "big"}, "vision_config must be a JSON object, got 'big'"),
        (TextEncoderConfig, "[" * 100_000, "nested too deeply"),
        (VisionConfig, {"num_hidden_layers": 28}, "vision_config must be there"),
        (MMDiTConfig, {"axes_dims_rope": [16, 56, 55]}, "must be attention_head_dim 128, got .16,"),
        (MMDiTConfig, {"in_channels": 16}, "must be out_channels 16 times .* 4, got 16"),
        (MMDiTConfig, {"guidance_embeds": True}, "no released Qwen-Image model has that layer"),
        (VAEConfig, {"z_dim": 4}, "length of latents_mean must be z_dim 4, got 16"),
        (VAEConfig, {"dim_mult": [1, 2]}, "must be one entry shorter than dim_mult"),
        (TextEncoderConfig, {"mrope_section": [1, 2, 3]}, "half of the head width, 64, got .1, 2"),
        (
            TextEncoderConfig,
            {"num_key_value_heads": 3},
            "multiple of num_key_value_heads 3, got 28",
        ),
        (SchedulerConfig, {"time_shift_type": "cubic"}, "be exponential or linear, got 'cubic'"),
        (SchedulerConfig, {"max_image_seq_len": 256}, "must be above base_image_seq_len 256"),
        (SchedulerConfig, {"base_shift": 65}, "base_shift must be above 0 and at most 10, got 65"),
        (SchedulerConfig, {"shift": 0}, "shift must be above 0 and at most 100, got 0"),
        (SchedulerConfig, {"shift_terminal": 1}, "must be at least 0 and below 1, got 1"),
        (MMDiTConfig, {"num_layers": 10**9}, "num_layers must be 1 to 128, got 1000000000"),
        (MMDiTConfig, {"num_layers": 0}, "num_layers must be 1 to 128, got 0"),
        (MMDiTConfig, {"num_layers": True}, "num_layers must be a number, got True"),
        (MMDiTConfig, '{"num_layers": 1' + "0" * 5000 + "}", "config.json: "),
        (MMDiTConfig, '{"num_layers": 2, "num_layers": 60}', "a key is there twice"),
        (MMDiTConfig, {"zero_cond_t": "yes"}, "zero_cond_t must be true or false, got 'yes'"),
        (MMDiTConfig, {"axes_dims_rope": 128}, "axes_dims_rope must be a list of at most 256"),
        (MMDiTConfig, {"axes_dims_rope": [1] * 10**6}, "must be a list of at most 256"),
        (MMDiTConfig, {"axes_dims_rope": [17, 55, 56]}, "must be three even numbers"),
        (MMDiTConfig, {"num_attention_heads": 65_536}, "must be at most 65,536"),
        (VAEConfig, '{"latents_mean": [NaN]}', "NaN is not JSON"),
        (VAEConfig, {"latents_std": [0.0] * 16}, "latents_std must be above 0, got .0.0"),
        (VAEConfig, {"base_dim": 60_000}, "widths of at most 65,536"),
        (TextEncoderConfig, '{"rope_theta": 1e999}', "rope_theta must be within 1e\\+12"),
        (TextEncoderConfig, {"num_attention_heads": 27}, "multiple of num_attention_heads 27"),
        (VisionConfig, {"window_size": 27}, "spatial_merge_size, 28 pixels, got 27"),
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
    with pytest.raises(ConfigError, match="config.json: it must be a regular file, not a folder"):
        VAEConfig.from_json(tmp_path / "config.json")


def test_a_file_of_a_gigabyte_is_refused_unread(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(10**9)  # takes no room on the disk
    with pytest.raises(ConfigError, match="longer than 16,000,000 bytes"):
        VAEConfig.from_json(tmp_path / "config.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="config.json is missing; is the folder completely"):
        VAEConfig.from_json(tmp_path / "config.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="it must be a regular file"):
        VAEConfig.from_json(tmp_path / "config.json")


# --- schedules that are not ours


@pytest.mark.parametrize(
    "change, message",
    [
        ({"_class_name": "UniPCMultistepScheduler"}, "_class_name must be FlowMatchEulerDiscrete"),
        ({"use_karras_sigmas": True}, "use_karras_sigmas must be false, got True"),
        ({"use_exponential_sigmas": True}, "use_exponential_sigmas must be false, got True"),
        ({"use_beta_sigmas": True}, "use_beta_sigmas must be false, got True"),
        ({"invert_sigmas": 1}, "invert_sigmas must be false, got 1"),
        ({"stochastic_sampling": "no"}, "stochastic_sampling must be false, got 'no'"),
    ],
)
def test_another_solver_or_spacing_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        SchedulerConfig.from_json(written(tmp_path, change))
