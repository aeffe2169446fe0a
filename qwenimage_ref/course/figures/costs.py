"""What a picture costs in operations, bytes and seconds, estimated from the sizes alone.

An operation is a multiplication or an addition, as torch's FlopCounterMode counts; only matrix
products and convolutions are counted, because the rest takes next to none. Bytes are those of the
weights in bf16, which are fetched once a pass.
"""

import json
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from ...config import MMDiTConfig, TextEncoderConfig, VAEConfig
from ...mmdit import MMDiT
from ...text_encoder import TextEncoder
from ...vae import VAE
from ..show import data_file

SIZES = (  # width, height: those that the official README recommends
    (1328, 1328), (1664, 928), (928, 1664), (1472, 1104), (1104, 1472), (1584, 1056), (1056, 1584),
)  # fmt: skip
TOKEN = 16  # pixels along one side of an image token
DROPPED = 34  # tokens of the template; the text encoder reads them, then they are dropped
BF16 = 2  # bytes of a number


@dataclass(frozen=True)
class Work:
    """Operations, and bytes of weights that have to be fetched."""

    flops: int
    bytes: int

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> "Work":
        return Work(self.flops * times, self.bytes * times)


@dataclass(frozen=True)
class Machine:
    """What does the work: operations a second, bytes a second from where the weights lie."""

    name: str
    flops: float
    bandwidth: float

    def seconds(self, work: Work) -> float:
        """Whichever takes longer: weights can be fetched while others are multiplied."""
        return max(work.flops / self.flops, work.bytes / self.bandwidth)


# the data sheet of NVIDIA's H100 SXM: dense bf16 and its memory; no program reaches either
DATA_SHEET = Machine("an H100 at its data sheet's peak", 989e12, 3.35e12)


def image_tokens(width: int, height: int) -> int:
    return (width // TOKEN) * (height // TOKEN)


def block_flops(D: int, I: int, T: int) -> dict[str, int]:  # noqa: E741
    """One MMDiT block of width D over I image and T text tokens"""
    S = I + T
    return {
        "matrices": 24 * S * D**2,  # q, k, v, out: 4 matrices of D x D; MLP: 2 of D x 4D
        "attention": 4 * S**2 * D,  # scores and weighted sum
        "modulation": 24 * D**2,  # two streams, D to 6D, once and not for each token
    }


def pass_flops(config: MMDiTConfig, I: int, T: int) -> int:  # noqa: E741
    """The whole MMDiT once"""
    D = config.inner_dim
    blocks = config.num_layers * sum(block_flops(D, I, T).values())
    ends = 2 * D * (2 * I * config.in_channels + T * config.joint_attention_dim)
    return blocks + ends + 2 * D * (256 + D) + 4 * D**2  # time embedding, final norm


def text_encoder_flops(config: TextEncoderConfig, T: int) -> int:
    """The language tower over T tokens, those that are dropped afterwards included"""
    D, narrow = config.hidden_size, config.num_key_value_heads * config.head_dim
    matrices = 2 * D * D + 2 * D * narrow + 3 * D * config.intermediate_size
    return config.num_hidden_layers * (2 * T * matrices + 4 * T * T * D)


def decode_flops(config: VAEConfig, width: int, height: int) -> int:
    """Latents to pixels: convolutions, and one attention where the picture is smallest"""
    rows, cols = height // config.scale, width // config.scale
    dims = [config.base_dim * m for m in config.dim_mult[::-1]]
    first, spots = dims[0], rows * cols

    def conv(dim_in: int, dim_out: int, kernel: int = 3) -> int:
        return 2 * dim_in * dim_out * kernel**2 * rows * cols

    total = conv(config.z_dim, config.z_dim, 1) + conv(config.z_dim, first)
    total += 4 * conv(first, first) + conv(first, 4 * first, 1) + 4 * spots**2 * first
    dim = first
    for level, dim_out in enumerate(dims):
        total += conv(dim, dim_out) + (conv(dim, dim_out, 1) if dim != dim_out else 0)
        total += (2 * config.num_res_blocks + 1) * conv(dim_out, dim_out)
        dim = dim_out
        if level < len(dims) - 1:
            # careful: UpConv slides four kernels of 2x2 over one window more than there are pixels
            total += 2 * dim * 2 * dim * 4 * (rows + 1) * (cols + 1)
            rows, cols, dim = 2 * rows, 2 * cols, dim // 2
    return total + conv(dim, config.input_channels)


def counted(call) -> int:
    """Operations of a call, counted by torch while it runs; on the meta device nothing is run"""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@cache
def weights() -> dict[str, int]:
    """Numbers that text to image reads, by part"""
    with torch.device("meta"):
        vae = VAE(VAEConfig())
        parts = {
            "text encoder": [TextEncoder(TextEncoderConfig())],
            "MMDiT": [MMDiT(MMDiTConfig())],
            "VAE decoder": [vae.decoder, vae.post_quant_conv],
        }
    return {name: sum(map(numbers, modules)) for name, modules in parts.items()}


def numbers(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def picture(
    size: tuple[int, int], steps: int = 50, guided: bool = True, text: int = 64, negative: int = 6
) -> dict[str, Work]:
    """What one official picture costs, by part; `text` and `negative`: tokens that are kept"""
    I, T = image_tokens(*size), (text, negative) if guided else (text,)  # noqa: E741
    size_of = {name: BF16 * count for name, count in weights().items()}
    encoded = sum(text_encoder_flops(TextEncoderConfig(), DROPPED + t) for t in T)
    step = sum(pass_flops(MMDiTConfig(), I, t) for t in T)
    return {
        "text encoder": Work(encoded, len(T) * size_of["text encoder"]),
        "MMDiT": Work(step, len(T) * size_of["MMDiT"]) * steps,
        "VAE decoder": Work(decode_flops(VAEConfig(), *size), size_of["VAE decoder"]),
    }


def measured() -> Machine:
    """Two processor cores with the weights on disk, from data/measurements/streaming.json"""
    cold = record("streaming")["cold"]
    blocks, tasks = cold["blocks"], cold["tasks"]
    work = blocks * sum(block_flops(MMDiTConfig().inner_dim, 256, 20).values())
    read, waited = tasks["pass"]["read_gb"] * 1e9, tasks["pass"]["seconds"]
    return Machine(
        "two processor cores, weights on disk", work / tasks["compute"]["seconds"], read / waited
    )


def record(name: str) -> dict:
    """A stored measurement, data/measurements/NAME.json"""
    return json.loads(data_file(f"measurements/{name}.json").read_text(encoding="utf-8"))


def bench(what: str) -> float:
    """Seconds on one thread that data/measurements/bench.json has for `what`"""
    rows = {row["what"]: row["ours"] for row in record("bench")["rows"]}
    if what not in rows:
        raise KeyError(f"what must be one of {'; '.join(rows)}, got {what!r}")
    return rows[what]


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use, to two digits"""
    for unit, length in (("days", 86400), ("hours", 3600), ("min", 60), ("s", 0.5)):
        if seconds >= 2 * length:
            return f"{float(f'{seconds / max(length, 1):.2g}'):g} {unit}"
    return f"{float(f'{1000 * seconds:.2g}'):g} ms"
