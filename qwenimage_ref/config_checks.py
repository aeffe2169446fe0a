"""What all configs share: reading and writing config.json, and limits on every number."""

import dataclasses
import json
import reprlib
from pathlib import Path

# A damaged file may ask for a billion layers. These limits leave room for far more than was ever
# released, and a network at the limit is still built without weights in a second or two.
LARGEST = 65_536  # upper bound of integers that LARGEST_OF does not list
LARGEST_OF = {
    "num_layers": 128, "num_hidden_layers": 128, "depth": 128,  # officially 60, 28 and 32
    "num_res_blocks": 16, "spatial_merge_size": 16, "temporal_patch_size": 16, "patch_size": 256,
    "vocab_size": 2**20, "image_token_id": 2**20, "max_image_seq_len": 2**20,
}  # fmt: skip
ZERO_ALLOWED = {
    "image_token_id", "fullatt_block_indexes", "axes_dims_rope", "mrope_section",
    "extra_condition_channels",
}  # fmt: skip
LARGEST_FLOAT = 1e12
LONGEST_LIST = 256
SCHEDULER = "FlowMatchEulerDiscreteScheduler"  # diffusers' name for what sampler.py computes
OTHER_SCHEDULES = (  # settings of that class that sampler.py does not compute
    "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas",
    "stochastic_sampling",
)  # fmt: skip


class ConfigError(ValueError):
    """A config.json that cannot describe the network it belongs to; one line."""


def demand(condition: bool, key: str, rule: str, got) -> None:
    """Raises ConfigError, "key must be rule, got ...", unless the condition holds."""
    if not condition:
        # bounded and printable, whatever the file holds
        raise ConfigError(f"{key} must be {rule}, got {reprlib.repr(got)}")


def checked(key: str, value, kind: type):
    """The value, if it is of that kind and within the limits. Raises ConfigError."""
    if kind in (bool, str):
        rule = "true or false" if kind is bool else "a string"
        demand(isinstance(value, kind), key, rule, value)
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    demand(number, key, "a number", value)
    if kind is float:
        demand(abs(value) <= LARGEST_FLOAT, key, f"within {LARGEST_FLOAT:.0e}", value)
        return value
    demand(isinstance(value, int), key, "a whole number", value)
    least, most = int(key not in ZERO_ALLOWED), LARGEST_OF.get(key, LARGEST)
    demand(least <= value <= most, key, f"{least} to {most:,}", value)
    return value


def section(numbers: dict, key: str) -> dict:
    """A nested object of a config.json; empty where it is absent or null."""
    value = numbers.get(key) or {}
    demand(isinstance(value, dict), key, "a JSON object", value)
    return value


class Config:
    """Base of the frozen dataclasses in config.py: their fields are the keys of a config.json."""

    @classmethod
    def official(cls):
        """The numbers of Qwen-Image (20B) as released; they are the defaults of every field."""
        return cls()

    @classmethod
    def from_dict(cls, numbers: dict):
        """Known keys are read, unknown ones ignored, missing ones have the official default."""
        values = {}
        for field in dataclasses.fields(cls):
            if field.name not in numbers:
                continue
            value = numbers[field.name]
            if isinstance(field.default, tuple):
                short_list = isinstance(value, (list, tuple)) and len(value) <= LONGEST_LIST
                demand(short_list, field.name, f"a list of at most {LONGEST_LIST}", value)
                kind = type(field.default[0])
                value = tuple(checked(field.name, entry, kind) for entry in value)
            else:
                value = checked(field.name, value, field.type)
            values[field.name] = value
        return cls(**values)

    @classmethod
    def from_json(cls, path: str | Path):
        """Read an official config.json. Raises ConfigError with its name if it is unusable."""
        from .files import read_json

        try:
            numbers = read_json(path)
            demand(isinstance(numbers, dict), "the content", "a JSON object", numbers)
            return cls.from_dict(numbers)
        except FileNotFoundError:
            raise ConfigError(f"{path} is missing; is the folder completely downloaded?") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: {error}; correct it or fetch it again") from None

    def to_dict(self) -> dict:
        """Every field under its official key, tuples as lists."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    def to_json(self, path: str | Path, **extra) -> None:
        """Write a config.json; `extra` holds keys that only other libraries read."""
        from .files import whole_file

        text = json.dumps({**extra, **self.to_dict()}, indent=2, sort_keys=True) + "\n"
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


# --- numbers that must fit each other, one function a config


def check_transformer(config) -> None:
    heads, width, axes = (
        config.num_attention_heads,
        config.attention_head_dim,
        config.axes_dims_rope,
    )
    rule = f"at most {LARGEST:,}"
    demand(heads * width <= LARGEST, "num_attention_heads times attention_head_dim", rule, heads)
    three_even = len(axes) == 3 and not any(dims % 2 for dims in axes)
    demand(sum(axes) == width, "the sum of axes_dims_rope", f"attention_head_dim {width}", axes)
    demand(three_even, "axes_dims_rope", "three even numbers", axes)
    channels, patch = config.out_channels, config.patch_size**2
    rule = f"out_channels {channels} times patch_size**2 {patch}"
    demand(config.in_channels == channels * patch, "in_channels", rule, config.in_channels)
    rule = "false: no released Qwen-Image model has that layer"
    demand(not config.guidance_embeds, "guidance_embeds", rule, config.guidance_embeds)


def check_vae(config) -> None:
    for key in ("latents_mean", "latents_std"):
        count = len(getattr(config, key))
        demand(count == config.z_dim, f"the length of {key}", f"z_dim {config.z_dim}", count)
    demand(min(config.latents_std) > 0, "latents_std", "above 0", config.latents_std)
    levels = config.dim_mult
    fits = 1 <= len(levels) <= 8 and config.base_dim * max(levels) <= LARGEST
    rule = f"one to eight widths of at most {LARGEST:,}"
    demand(fits, f"base_dim {config.base_dim} times dim_mult", rule, levels)
    short, rule = config.temperal_downsample, "one entry shorter than dim_mult"
    demand(len(short) == len(levels) - 1, "temperal_downsample", rule, short)


def check_text_encoder(config) -> None:
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    rule = f"a multiple of num_attention_heads {heads}"
    demand(config.hidden_size % heads == 0, "hidden_size", rule, config.hidden_size)
    sections, half = config.mrope_section, config.head_dim / 2
    rule = f"three numbers that add up to half of the head width, {half:g}"
    demand(len(sections) == 3 and sum(sections) == half, "mrope_section", rule, sections)
    rule = f"a multiple of num_key_value_heads {shared}"
    demand(heads % shared == 0, "num_attention_heads", rule, heads)


def check_vision(config) -> None:
    token = config.patch_size * config.spatial_merge_size
    rule = f"at least patch_size times spatial_merge_size, {token} pixels"
    demand(config.window_size >= token, "window_size", rule, config.window_size)


def check_scheduler(config) -> None:
    kinds = ("exponential", "linear")
    rule = " or ".join(kinds)
    demand(config.time_shift_type in kinds, "time_shift_type", rule, config.time_shift_type)
    for key, most in (("base_shift", 10), ("max_shift", 10), ("shift", 100)):
        value = getattr(config, key)
        demand(0 < value <= most, key, f"above 0 and at most {most}", value)
    end, base = config.shift_terminal, config.base_image_seq_len
    demand(0 <= end < 1, "shift_terminal", "at least 0 and below 1", end)
    rule = f"above base_image_seq_len {base}"
    demand(config.max_image_seq_len > base, "max_image_seq_len", rule, config.max_image_seq_len)


def check_schedule_is_ours(numbers: dict) -> None:
    """Other solvers and spacings would paint other pictures; no release uses them."""
    kind = numbers.get("_class_name", SCHEDULER)
    demand(kind == SCHEDULER, "_class_name", SCHEDULER, kind)
    for key in OTHER_SCHEDULES:
        demand(not numbers.get(key), key, "false", numbers.get(key))
