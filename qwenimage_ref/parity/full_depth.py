"""All blocks at full width without weight files: how errors grow from block to block.

Every tensor comes from a generator seeded by its official name, so that any block can be built
alone and in any order. Our block and diffusers' are built, run and dropped one after the other, so
there is never more than one block in memory.

python -m qwenimage_ref.parity.full_depth [--blocks N] [--tokens 64+24]
    prints a line for each block; with all sixty, writes data/measurements/depth.json
"""

import argparse
import json
import math
import re
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import nn

from ..config import MMDiTConfig
from ..files import whole_file
from ..mmdit import Block, MMDiT
from ..provenance import provenance
from ..repository import MEASUREMENTS, in_a_clone
from .reference import copy_weights, reference_mmdit
from .tolerances import within
from .trace import difference

FILE = MEASUREMENTS / "depth.json"
SHOWN = ("float32 free", "float32 last bit", "bf16 free", "bf16 ours from float32")
SIGMA = 0.75  # exact in bf16
WEIGHTS = (
    "normal, seeded by the crc32 of the official name; matrices scaled by 1/sqrt(inputs), biases "
    "0.2, norms 1 +- 0.2, then rounded to bf16 as the released ones are: gates of about 0.3 let "
    "every block change the streams, and no tensor can be left out unnoticed"
)


class Streams(NamedTuple):
    """The two residual streams of one run, (B, I, D) and (B, T, D)."""

    img: torch.Tensor
    txt: torch.Tensor


# -- weights --------------------------------------------------------------------------------------


def fill_by_name(tensor: torch.Tensor, name: str) -> None:
    """Fill a float32 tensor with random numbers seeded by its official name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if tensor.ndim == 1:
        tensor.normal_(std=0.2, generator=generator).add_(0 if name.endswith("bias") else 1)
    else:
        tensor.normal_(std=tensor.shape[1] ** -0.5, generator=generator)
    # rounded, so that bf16 and float32 runs have equal weights and differ by arithmetic alone
    tensor.copy_(tensor.bfloat16())


def seeded(kind: type, *arguments, prefix: str = "") -> nn.Module:
    """A network `kind(*arguments)` with weights seeded by official names, prefix + name."""
    with torch.device("meta"):
        network = kind(*arguments)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            fill_by_name(parameter, prefix + name)
    return network.eval()


def reference_block(block: Block, config: MMDiTConfig) -> nn.Module:
    """diffusers' block with the weights of ours, in shared memory."""
    theirs = reference_mmdit(replace(config, num_layers=1)).transformer_blocks[0]
    return copy_weights(block, theirs)


# -- running --------------------------------------------------------------------------------------


@dataclass
class FreeRuns:
    """Our run and diffusers' from the same start in the same type, each on its own numbers."""

    ours: Streams
    theirs: Streams
    shared: tuple  # the arguments that all blocks share: temb, rotations, no mask, no times

    def step(self, block: Block, config: MMDiTConfig) -> tuple[dict, dict]:
        """Run both through one block -> errors between the runs, and errors of this block alone"""
        forced = Streams(*block(*self.theirs, *self.shared))  # our block on the reference's input
        self.ours = Streams(*block(*self.ours, *self.shared))
        temb, img_rotation, txt_rotation, *_ = self.shared
        txt, img = reference_block(block, config)(
            hidden_states=self.theirs.img,
            encoder_hidden_states=self.theirs.txt,
            encoder_hidden_states_mask=None,
            temb=temb.squeeze(1),
            image_rotary_emb=(img_rotation, txt_rotation),
        )
        self.theirs = Streams(img, txt)
        return errors(self.ours, self.theirs), errors(forced, self.theirs)


@torch.no_grad()
def walk(config: MMDiTConfig, image_tokens: int, text_tokens: int) -> Iterator[dict]:
    """Yields a row for each block: errors by comparison and stream, and the size of the streams

    "free" compares two runs that share their start only; "forced" is one block of ours on the
    reference's input. "last bit" is our own float32 run with other last bits before every block,
    which bounds a correct implementation whose kernels sum in another order.
    """
    ends = seeded(MMDiT, replace(config, num_layers=0))  # the layers before and after the blocks
    img = noise(image_tokens, config.in_channels)
    txt = noise(text_tokens, config.joint_attention_dim)
    full = start(ends, img, txt)
    half = start(ends.bfloat16(), img, txt)
    nudged = full.ours
    sizes = config.inner_dim, config.num_attention_heads
    for i in range(config.num_layers):
        block = seeded(Block, *sizes, prefix=f"transformer_blocks.{i}.")
        row = {"block": i}
        nudged = Streams(*block(*(nudge(x, seed=i) for x in nudged), *full.shared))
        row["float32 free"], row["float32 forced"] = full.step(block, config)
        row["bf16 free"], row["bf16 forced"] = half.step(block.bfloat16(), config)
        del block  # careful: before the next one is built, else two would be in memory
        row["float32 last bit"] = errors(nudged, full.ours)
        row["bf16 ours from float32"] = errors(half.ours, full.theirs)
        row["bf16 theirs from float32"] = errors(half.theirs, full.theirs)
        yield row | {"size": {name: size(x) for name, x in full.theirs._asdict().items()}}


def start(ends: MMDiT, img, txt) -> FreeRuns:
    """Both runs after our layers before the blocks, in the type of `ends`, an MMDiT of 0 blocks."""
    dtype, image_tokens = ends.proj_out.weight.dtype, img.shape[1]
    rows = next(n for n in range(math.isqrt(image_tokens), 0, -1) if image_tokens % n == 0)
    grids = [(1, rows, image_tokens // rows)]
    img, txt, shared = ends.embed(img.to(dtype), txt.to(dtype), torch.tensor([SIGMA]), grids)
    return FreeRuns(Streams(img, txt), Streams(img, txt), shared)


def nudge(x, seed: int):
    """Every number replaced by its next neighbour, up or down at random."""
    return torch.nextafter(x, noise(*x.shape[1:], seed=seed))


def noise(*shape, seed: int = 0) -> torch.Tensor:
    """(1, *shape) random numbers that are exact in bf16, so that both types have equal inputs."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, *shape), generator=generator).bfloat16().float()


# -- numbers --------------------------------------------------------------------------------------


def errors(a: Streams, b: Streams) -> dict:
    """{stream: {"max", "relative", "rms"}}: largest error, over the largest value, rms over rms"""
    result = {}
    for name in Streams._fields:
        x, y = getattr(a, name), getattr(b, name)
        largest, relative = difference(x, y)
        rms = size(x.double() - y.double())["rms"] / size(y)["rms"]
        result[name] = {"max": largest, "relative": relative, "rms": rms}
    return result


def size(x: torch.Tensor) -> dict:
    """Root mean square and largest absolute value."""
    return {"rms": x.double().pow(2).mean().sqrt().item(), "max": x.abs().max().item()}


def first_failure(rows: list[dict]) -> dict | None:
    """The first row whose block is out of tolerance on the reference's input, or None."""
    for row in rows:
        for kind, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
            streams = row[f"{kind} forced"].values()
            # careful: NaN is not <= anything
            if not all(error["relative"] <= within("block", dtype) for error in streams):
                return row
    return None


# -- the command ----------------------------------------------------------------------------------


def table(rows: list[dict]) -> dict:
    """Rows -> {comparison: {stream: {measure: [its value after each block]}}}"""
    return {
        kind: {
            stream: {
                number: [float(f"{row[kind][stream][number]:.3g}") for row in rows]
                for number in rows[0][kind][stream]
            }
            for stream in Streams._fields
        }
        for kind in rows[0]
        if kind != "block"
    }


def peak_bytes() -> int:
    """The peak memory of this process."""
    import resource  # an import inside, because Windows does not have it

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@in_a_clone
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--blocks", type=int, default=60, metavar="N", help="default 60; fewer write no record"
    )
    parser.add_argument("--tokens", default="64+24", metavar="I+T", help="image and text tokens")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[1-9]\d*\+[1-9]\d*", arguments.tokens):
        parser.error(f"--tokens must be two numbers such as 64+24, got {arguments.tokens}")
    if arguments.blocks < 1:
        parser.error(f"--blocks must be at least 1, got {arguments.blocks}")
    image_tokens, text_tokens = map(int, arguments.tokens.split("+"))
    config = replace(MMDiTConfig.official(), num_layers=arguments.blocks)
    begin, rows = time.process_time(), []
    for row in walk(config, image_tokens, text_tokens):
        rows.append(row)
        shown = [f"{kind} {row[kind]['img']['rms']:.1e}" for kind in SHOWN]
        print(f"block {row['block']:2}, image stream: {', '.join(shown)}", flush=True)
    if row := first_failure(rows):
        raise SystemExit(
            f"block {row['block']} is out of tolerance, float32 {row['float32 forced']}, "
            f"bf16 {row['bf16 forced']}"
        )
    if arguments.blocks != MMDiTConfig.official().num_layers:
        return
    record = {
        "tokens": {"image": image_tokens, "text": text_tokens},
        "sigma": SIGMA,
        "weights": WEIGHTS,
        "cpu_seconds": round(time.process_time() - begin),
        "peak_gb": round(peak_bytes() / 1e9, 2),
        **table(rows),
    }
    text = json.dumps(record | provenance("diffusers"), indent=1)
    text = re.sub(r"\s+(?=[\d\]])", " ", text)  # each list of sixty numbers on one line
    with whole_file(FILE) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {FILE.name}: {record['cpu_seconds']} s of one core, peak {record['peak_gb']} GB")


if __name__ == "__main__":
    main()
