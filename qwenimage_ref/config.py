"""The numbers of each network, under the keys of the official config.json files."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

from .files import read_json, shorten, whole_file

# A damaged file may ask for a billion layers. These limits leave room for far more than was ever
# released, and whatever passes them is made without weights in a second or two.
LARGEST = 65_536  # of a whole number that MOST does not name
MOST = {
    "num_layers": 128, "num_hidden_layers": 128, "depth": 128,  # officially 60, 28 and 32
    "num_res_blocks": 16, "spatial_merge_size": 16, "temporal_patch_size": 16, "patch_size": 256,
    "vocab_size": 2**20, "image_token_id": 2**20, "max_image_seq_len": 2**20,
}  # fmt: skip
ZERO_ALLOWED = {"image_token_id", "fullatt_block_indexes", "axes_dims_rope", "mrope_section"}
LARGEST_FLOAT = 1e12
LONGEST_LIST = 256


class ConfigError(ValueError):
    """A config.json that cannot describe the network it is meant for."""


def _checked(key: str, value, kind: type):
    """The value, if it is of that kind and of a size that makes sense."""
    found = shorten([repr(value)])
    if kind in (bool, str):
        if not isinstance(value, kind):
            raise ConfigError(
                f"{key} must be {'true or false' if kind is bool else 'a text'}, found {found}"
            )
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{key} must be a number, found {found}")
    if kind is float:
        if not abs(value) <= LARGEST_FLOAT:
            raise ConfigError(f"{key} must be within {LARGEST_FLOAT:.0e}, found {found}")
        return value
    least, most = int(key not in ZERO_ALLOWED), MOST.get(key, LARGEST)
    if not isinstance(value, int):
        raise ConfigError(f"{key} must be a whole number, found {found}")
    if not least <= value <= most:
        raise ConfigError(f"{key} must be {least} to {most:,}, found {found}")
    return value


class _Config:
    """Reading and writing of the official config.json files, shared by all configs."""

    @classmethod
    def official(cls):
        """The numbers of Qwen-Image (20B) as released; they are the defaults of every field."""
        return cls()

    @classmethod
    def from_dict(cls, numbers: dict):
        """Known keys are taken, unknown ones ignored, missing ones have the official default."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        taken = {key: value for key, value in numbers.items() if key in fields}
        for key, value in taken.items():
            if isinstance(fields[key].default, tuple):
                if not isinstance(value, (list, tuple)) or len(value) > LONGEST_LIST:
                    raise ConfigError(f"{key} must be a list of at most {LONGEST_LIST}")
                kind = type(fields[key].default[0])
                taken[key] = tuple(_checked(key, entry, kind) for entry in value)
            else:
                taken[key] = _checked(key, value, fields[key].type)
        return cls(**taken)

    @classmethod
    def from_json(cls, path: str | Path):
        """Read an official config.json. Raises ConfigError with its name if it is unusable."""
        try:
            numbers = read_json(path)
            if not isinstance(numbers, dict):
                raise ConfigError("expected a JSON object")
            return cls.from_dict(numbers)
        except FileNotFoundError:
            raise ConfigError(f"{path} is missing; is the folder completely downloaded?") from None
        except (OSError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
            raise ConfigError(f"{path}: {error}") from None

    def to_dict(self) -> dict:
        """Every field under its official key, tuples as lists."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    def to_json(self, path: str | Path, **extra) -> None:
        """Write a config.json; `extra` holds keys that only other libraries read."""
        text = json.dumps({**extra, **self.to_dict()}, indent=2, sort_keys=True) + "\n"
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class MMDiTConfig(_Config):
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
        if self.inner_dim > LARGEST:
            raise ConfigError(
                f"num_attention_heads {self.num_attention_heads} times attention_head_dim "
                f"{self.attention_head_dim} must be at most {LARGEST:,}"
            )
        if sum(self.axes_dims_rope) != self.attention_head_dim:
            raise ConfigError(
                f"axes_dims_rope {self.axes_dims_rope} must add up to attention_head_dim "
                f"{self.attention_head_dim}"
            )
        if len(self.axes_dims_rope) != 3 or any(dims % 2 for dims in self.axes_dims_rope):
            raise ConfigError(f"axes_dims_rope {self.axes_dims_rope} must be three even numbers")
        if self.in_channels != self.out_channels * self.patch_size**2:
            raise ConfigError(
                f"in_channels {self.in_channels} is not out_channels {self.out_channels} "
                f"times patch_size**2 {self.patch_size**2}"
            )
        if self.guidance_embeds:
            raise ConfigError(
                "guidance_embeds is true; no released Qwen-Image model has that layer"
            )

    @property
    def inner_dim(self) -> int:
        """D, the width of both streams."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True)
class VAEConfig(_Config):
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
        if not len(self.latents_mean) == len(self.latents_std) == self.z_dim:
            raise ConfigError(f"latents_mean and latents_std must have z_dim {self.z_dim} entries")
        if min(self.latents_std) <= 0:
            raise ConfigError(f"latents_std {min(self.latents_std)} must be above 0")
        if not 1 <= len(self.dim_mult) <= 8 or self.base_dim * max(self.dim_mult) > LARGEST:
            raise ConfigError(
                f"base_dim {self.base_dim} times dim_mult {shorten(self.dim_mult)} must be one to "
                f"eight widths of at most {LARGEST:,}"
            )
        if len(self.temperal_downsample) != len(self.dim_mult) - 1:
            raise ConfigError("temperal_downsample must be one shorter than dim_mult")

    @property
    def scale(self) -> int:
        """Pixels along one side of a latent: 8."""
        return 2 ** (len(self.dim_mult) - 1)


@dataclass(frozen=True)
class TextEncoderConfig(_Config):
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
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.num_attention_heads} "
                "heads evenly"
            )
        if len(self.mrope_section) != 3 or 2 * sum(self.mrope_section) != self.head_dim:
            raise ConfigError(
                f"mrope_section {self.mrope_section} must add up to half of the head width "
                f"{self.head_dim}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"{self.num_attention_heads} query heads cannot share "
                f"{self.num_key_value_heads} key-value heads evenly"
            )

    @property
    def head_dim(self) -> int:
        """K, the width of one head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, numbers: dict):
        nested = numbers.get("text_config") or {}
        numbers = {**numbers, **{key: value for key, value in nested.items() if value is not None}}
        # careful: three spellings are in circulation for the same two rope numbers
        rope = numbers.get("rope_parameters") or numbers.get("rope_scaling") or {}
        for key in ("mrope_section", "rope_theta"):
            if key in rope:
                numbers[key] = rope[key]
        return super().from_dict(numbers)


@dataclass(frozen=True)
class VisionConfig(_Config):
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
        if self.window_size < self.patch_size * self.spatial_merge_size:
            raise ConfigError(
                f"window_size {self.window_size} holds no token of patch_size {self.patch_size} "
                f"times spatial_merge_size {self.spatial_merge_size} pixels"
            )

    @classmethod
    def from_dict(cls, numbers: dict):
        if "vision_config" not in numbers and "num_hidden_layers" in numbers:
            raise ConfigError("there is no vision_config; this model reads no pictures")
        return super().from_dict(numbers.get("vision_config") or numbers)


@dataclass(frozen=True)
class SchedulerConfig(_Config):
    """scheduler/scheduler_config.json"""

    base_image_seq_len: int = 256  # image tokens at which mu is base_shift
    max_image_seq_len: int = 8192  # image tokens at which mu is max_shift
    base_shift: float = 0.5
    max_shift: float = 0.9
    shift_terminal: float = 0.02  # the last sigma before 0; false or null: no stretch
    time_shift_type: str = "exponential"  # "linear" in Layered
    num_train_timesteps: int = 1000

    @classmethod
    def lightning(cls):
        """Of the Lightning models: a shift of 3 at every size, and no terminal stretch."""
        return cls(base_shift=math.log(3), max_shift=math.log(3), shift_terminal=0.0)

    @classmethod
    def from_dict(cls, numbers: dict):
        if not numbers.get("use_dynamic_shifting", True):
            raise ConfigError("use_dynamic_shifting is false; Qwen-Image always shifts by size")
        if "shift_terminal" in numbers:
            # careful: Lightning files say null and Layered false; both mean "no terminal stretch"
            numbers = {**numbers, "shift_terminal": numbers["shift_terminal"] or 0.0}
        return super().from_dict(numbers)

    def __post_init__(self):
        if self.time_shift_type not in ("exponential", "linear"):
            raise ConfigError(
                f"time_shift_type {self.time_shift_type!r} is not exponential or linear"
            )
        if not (0 < self.base_shift <= 10 and 0 < self.max_shift <= 10):
            raise ConfigError(
                f"base_shift {self.base_shift} and max_shift {self.max_shift} must be above 0 and "
                "at most 10"
            )
        if not 0 <= self.shift_terminal < 1:
            raise ConfigError(f"shift_terminal {self.shift_terminal} must be at least 0, below 1")
        if self.max_image_seq_len <= self.base_image_seq_len:
            raise ConfigError(
                f"max_image_seq_len {self.max_image_seq_len} must be larger than "
                f"base_image_seq_len {self.base_image_seq_len}"
            )
