"""The whole depth at full width without a file of weights: how errors grow from block to block.

Every tensor is drawn from a generator seeded by its official name, so any block can be made alone,
in any order. Block after block ours and diffusers' are built, run and dropped: memory for one.

python -m qwenimage_ref.parity.full_depth [--blocks N] [--tokens 64+24]
    a line for each block; of all sixty, data/measurements/depth.json is written
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
SIGMA = 0.75  # of the one call; a number that bf16 holds exactly
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


def draw_(tensor: torch.Tensor, name: str) -> None:
    """Fill a float32 tensor with the numbers that belong to its official name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if tensor.ndim == 1:
        tensor.normal_(std=0.2, generator=generator).add_(0 if name.endswith("bias") else 1)
    else:
        tensor.normal_(std=tensor.shape[1] ** -0.5, generator=generator)
    # the same weights in both types, so that only arithmetic parts a bf16 run from a float32 run
    tensor.copy_(tensor.bfloat16())


def drawn(kind: type, *numbers, prefix: str = "") -> nn.Module:
    """A network of class `kind` with the tensors that belong to its official names."""
    with torch.device("meta"):
        network = kind(*numbers)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            draw_(parameter, prefix + name)
    return network.eval()


def twin_of(block: Block, config: MMDiTConfig) -> nn.Module:
    """diffusers' block that holds the memory of ours."""
    twin = reference_mmdit(replace(config, num_layers=1)).transformer_blocks[0]
    return copy_weights(block, twin)


# -- running --------------------------------------------------------------------------------------


@dataclass
class Race:
    """Our blocks and diffusers', both running free from one start in one type of number."""

    ours: Streams
    theirs: Streams
    shared: tuple  # what all blocks share: temb, the rotations, no mask, no times

    def step(self, block: Block, config: MMDiTConfig) -> tuple[dict, dict]:
        """Both through one block -> how far apart they are, and how far this block puts them"""
        forced = Streams(*block(*self.theirs, *self.shared))  # fed what the reference is fed
        self.ours = Streams(*block(*self.ours, *self.shared))
        temb, img_rotation, txt_rotation, *_ = self.shared
        txt, img = twin_of(block, config)(
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
    """Yields what each block leaves: errors by comparison and stream, and the streams' size

    "free" runs start together and are never joined again; "forced" is one block of ours, fed what
    the reference is fed. "last bit" is our own float32 run with other last bits before every
    block: so far may a correct implementation be whose kernels sum in another order.
    """
    door = drawn(MMDiT, replace(config, num_layers=0))
    img = noise(image_tokens, config.in_channels)
    txt = noise(text_tokens, config.joint_attention_dim)
    full = enter(door, img, txt)
    half = enter(door.bfloat16(), img, txt)
    nudged = full.ours
    sizes = config.inner_dim, config.num_attention_heads
    for i in range(config.num_layers):
        block = drawn(Block, *sizes, prefix=f"transformer_blocks.{i}.")
        row = {"block": i}
        nudged = Streams(*block(*(nudge(x, seed=i) for x in nudged), *full.shared))
        row["float32 free"], row["float32 forced"] = full.step(block, config)
        row["bf16 free"], row["bf16 forced"] = half.step(block.bfloat16(), config)
        del block  # careful: before the next is drawn, or two would be in memory
        row["float32 last bit"] = errors(nudged, full.ours)
        row["bf16 ours from float32"] = errors(half.ours, full.theirs)
        row["bf16 theirs from float32"] = errors(half.theirs, full.theirs)
        yield row | {"size": {name: size(x) for name, x in full.theirs._asdict().items()}}


def enter(door: MMDiT, img, txt) -> Race:
    """The start of both runs, in the door's type: what our layers before the blocks make of it."""
    dtype, image_tokens = door.proj_out.weight.dtype, img.shape[1]
    rows = next(n for n in range(math.isqrt(image_tokens), 0, -1) if image_tokens % n == 0)
    grids = [(1, rows, image_tokens // rows)]
    img, txt, shared = door.embed(img.to(dtype), txt.to(dtype), torch.tensor([SIGMA]), grids)
    return Race(Streams(img, txt), Streams(img, txt), shared)


def nudge(x, seed: int):
    """Every number moved to its next neighbour, up or down at random."""
    return torch.nextafter(x, noise(*x.shape[1:], seed=seed))


def noise(*shape, seed: int = 0) -> torch.Tensor:
    """(1, *shape), numbers that bf16 holds exactly: both types start from the same inputs."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, *shape), generator=generator).bfloat16().float()


# -- numbers --------------------------------------------------------------------------------------


def errors(a: Streams, b: Streams) -> dict:
    """Of each stream: largest absolute error, that over the largest value, and rms over rms."""
    found = {}
    for name in Streams._fields:
        x, y = getattr(a, name), getattr(b, name)
        largest, relative = difference(x, y)
        rms = size(x.double() - y.double())["rms"] / size(y)["rms"]
        found[name] = {"max": largest, "relative": relative, "rms": rms}
    return found


def size(x: torch.Tensor) -> dict:
    return {"rms": x.double().pow(2).mean().sqrt().item(), "max": x.abs().max().item()}


def parting(rows: list[dict]) -> dict | None:
    """The first row whose block, fed the reference's own input, is out of tolerance."""
    for row in rows:
        for kind, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
            found = row[f"{kind} forced"].values()
            # careful: NaN is not <= anything
            if not all(error["relative"] <= within("block", dtype) for error in found):
                return row
    return None


# -- the command ----------------------------------------------------------------------------------


def table(rows: list[dict]) -> dict:
    """Rows of blocks -> {comparison: {stream: {number: its value behind each block}}}"""
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
    """The most memory that this process has had in hand."""
    import resource  # not at the top: Windows has none

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@in_a_clone
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=60, metavar="N", help="fewer: no record")
    parser.add_argument("--tokens", default="64+24", metavar="I+T", help="of image and text")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[1-9]\d*\+[1-9]\d*", arguments.tokens):
        parser.error(f"--tokens {arguments.tokens}: give two numbers, 64+24 for one")
    if arguments.blocks < 1:
        parser.error(f"--blocks {arguments.blocks}: there must be one at least")
    image_tokens, text_tokens = map(int, arguments.tokens.split("+"))
    config = replace(MMDiTConfig.official(), num_layers=arguments.blocks)
    begin, rows = time.process_time(), []
    for row in walk(config, image_tokens, text_tokens):
        rows.append(row)
        shown = [f"{kind} {row[kind]['img']['rms']:.1e}" for kind in SHOWN]
        print(f"block {row['block']:2}, image stream: {', '.join(shown)}", flush=True)
    if found := parting(rows):
        raise SystemExit(
            f"block {found['block']} is out of tolerance, float32 {found['float32 forced']}, "
            f"bf16 {found['bf16 forced']}"
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
