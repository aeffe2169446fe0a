"""The numbers of each network, under the keys of the official config.json files."""

import math
from dataclasses import dataclass

from . import config_checks
from .config_checks import Config, ConfigError, section


@dataclass(frozen=True)
class MMDiTConfig(Config):
    """transformer/config.json"""

    num_layers: int = 60  # dual-stream blocks
    num_attention_heads: int = 24  # H
    attention_head_dim: int = 128  # K; the width D is H * K
    joint_attention_dim: int = 3584  # width of the text states
    in_channels: int = 64  # a 2x2 patch of 16 latent channels
    out_channels: int = 16  # latent channels; proj_out emits patch_size**2 times as many
    patch_size: int = 2  # latent rows and columns in a token
    axes_dims_rope: tuple = (16, 56, 56)  # head dims that turn with frame, row, column
    guidance_embeds: bool = False  # true in no release
    zero_cond_t: bool = False  # Edit-2511: condition images see time 0
    use_additional_t_cond: bool = False  # Layered: one more learned row in the time embedding
    use_layer3d_rope: bool = False  # Layered: the condition image has frame -1

    def __post_init__(self):
        config_checks.check_transformer(self)

    @property
    def inner_dim(self) -> int:
        """D, the width of both streams."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True)
class VAEConfig(Config):
    """vae/config.json"""

    base_dim: int = 96  # channels at full resolution
    z_dim: int = 16  # C, latent channels
    dim_mult: tuple = (1, 2, 4, 4)  # channels of each level, times base_dim
    num_res_blocks: int = 2  # a level of the encoder; the decoder has one more
    temperal_downsample: tuple = (False, True, True)  # upstream's spelling; levels with a time_conv
    input_channels: int = 3  # 4 in Layered (RGBA)
    latents_mean: tuple = (
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    )  # fmt: skip
    latents_std: tuple = (
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    )  # fmt: skip

    def __post_init__(self):
        config_checks.check_vae(self)

    @property
    def scale(self) -> int:
        """Pixels along one side of a latent: 8."""
        return 2 ** (len(self.dim_mult) - 1)


@dataclass(frozen=True)
class TextEncoderConfig(Config):
    """text_encoder/config.json, the language tower (newer files nest it under text_config)"""

    num_hidden_layers: int = 28
    hidden_size: int = 3584  # D
    num_attention_heads: int = 28  # H, query heads
    num_key_value_heads: int = 4  # each serves H / 4 query heads
    intermediate_size: int = 18944  # width inside the gated MLP
    vocab_size: int = 152064  # rows of the embedding; the last 399 have no token
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6
    mrope_section: tuple = (16, 24, 24)  # frequency pairs that turn with time, row, column
    image_token_id: int = 151655  # <|image_pad|>: its places are filled by the vision tower

    def __post_init__(self):
        config_checks.check_text_encoder(self)

    @property
    def head_dim(self) -> int:
        """K, the width of one head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, numbers: dict):
        nested = section(numbers, "text_config").items()
        numbers = {**numbers, **{key: value for key, value in nested if value is not None}}
        # careful: three spellings are in circulation for the same two rope numbers
        rope = section(numbers, "rope_parameters") or section(numbers, "rope_scaling")
        for key in ("mrope_section", "rope_theta"):
            if key in rope:
                numbers[key] = rope[key]
        return super().from_dict(numbers)


@dataclass(frozen=True)
class VisionConfig(Config):
    """text_encoder/config.json, its vision_config: the tower that reads pictures for edit models"""

    depth: int = 32
    hidden_size: int = 1280
    num_heads: int = 16
    intermediate_size: int = 3420
    out_hidden_size: int = 3584  # width of the language tower
    patch_size: int = 14  # pixels
    temporal_patch_size: int = 2  # a still picture is shown twice
    spatial_merge_size: int = 2  # patches along one side of a language token
    window_size: int = 112  # pixels along one side of an attention window
    fullatt_block_indexes: tuple = (7, 15, 23, 31)  # blocks that see the whole picture

    def __post_init__(self):
        config_checks.check_vision(self)

    @classmethod
    def from_dict(cls, numbers: dict):
        if "vision_config" not in numbers and "num_hidden_layers" in numbers:
            raise ConfigError("vision_config must be there, got a model that reads no images")
        return super().from_dict(section(numbers, "vision_config") or numbers)


@dataclass(frozen=True)
class SchedulerConfig(Config):
    """scheduler/scheduler_config.json"""

    base_image_seq_len: int = 256  # image tokens at which mu is base_shift
    max_image_seq_len: int = 8192  # image tokens at which mu is max_shift
    base_shift: float = 0.5
    max_shift: float = 0.9
    shift_terminal: float = 0.02  # the last sigma before 0; false or null: no stretch
    time_shift_type: str = "exponential"  # "linear" in Layered
    num_train_timesteps: int = 1000
    use_dynamic_shifting: bool = True  # false: one shift at every image size
    shift: float = 1.0  # the one shift; read only where use_dynamic_shifting is false

    @classmethod
    def lightning(cls):
        """Of the Lightning models: a shift of 3 at every size, and no terminal stretch."""
        return cls(base_shift=math.log(3), max_shift=math.log(3), shift_terminal=0.0)

    @classmethod
    def from_dict(cls, numbers: dict):
        config_checks.check_schedule_is_ours(numbers)
        if "shift_terminal" in numbers:
            # careful: Lightning files say null and Layered false; both mean "no terminal stretch"
            numbers = {**numbers, "shift_terminal": numbers["shift_terminal"] or 0.0}
        return super().from_dict(numbers)

    def __post_init__(self):
        config_checks.check_scheduler(self)
