"""Training in float32 and in bfloat16: processor seconds of its parts, on this machine's CPU.

python -m qwenimage_ref.evaluate.training_precision     two minutes of one core

Forward and backward of the pocket VAE and of the transformer, in autocast for bfloat16, and a step
with the transformer's matrices of our Muon and of torch's. Both kinds of numbers take turns, so
that other programs disturb them alike.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from ..pipeline import QwenImage
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..train.flow import flow_step
from ..train.muon import Muon
from .survey import digest

RECORD = MEASUREMENTS / "training_precision.json"
ROUNDS = 3  # the fastest counts
NUMBERS = {"float32": False, "bfloat16": True}
SIDE, TOKENS, BATCH = 64, 32, 4  # pixels of a crop, tokens of a prompt, examples


def parts_of(pipe: QwenImage) -> dict:
    """{part: what is timed, given whether it computes in bfloat16}"""
    rng = torch.Generator().manual_seed(0)
    vae = pipe.vae.requires_grad_(True).to(memory_format=torch.channels_last)
    mmdit, config = pipe.transformer.requires_grad_(True), pipe.transformer.config
    crops = torch.randn(BATCH, 3, SIDE, SIDE, generator=rng)
    data, noise = torch.randn(2, BATCH, config.out_channels, 16, 16, generator=rng)
    txt = torch.randn(BATCH, TOKENS, config.joint_attention_dim, generator=rng)
    mask, sigma = torch.ones(BATCH, TOKENS, dtype=torch.bool), torch.rand(BATCH, generator=rng)

    def through_vae(bf16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            painted = vae.decode(vae.encode(crops)[0])
        painted.float().pow(2).mean().backward()

    def through_transformer(bf16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = flow_step(mmdit, data, noise, sigma, txt, mask)
        loss.backward()

    matrices = [p for n, p in mmdit.named_parameters() if p.ndim == 2 and "_blocks." in n]
    steps = {
        False: Muon(matrices, lr=0.0),
        True: torch.optim.Muon(matrices, lr=0.0, adjust_lr_fn="match_rms_adamw"),
    }

    def step(bf16: bool) -> None:
        steps[bf16].step()  # with the gradients of the pass before

    return {"VAE": through_vae, "transformer": through_transformer, "Muon": step}


def measure(pipe: QwenImage, rounds: int = ROUNDS) -> dict:
    """-> {"weights", "rounds", "seconds": {part: {"float32", "bfloat16"}}, "gains"}"""
    weights = " ".join(map(digest, (pipe.transformer, pipe.vae)))
    seconds = {}
    for part, run in parts_of(pipe).items():
        taken = {name: [] for name in NUMBERS}
        for _ in range(rounds):
            for name, bf16 in NUMBERS.items():
                start = time.process_time()
                run(bf16)
                taken[name].append(time.process_time() - start)
        seconds[part] = {name: round(min(each), 4) for name, each in taken.items()}
    gains = {part: round(row["bfloat16"] / row["float32"], 2) for part, row in seconds.items()}
    return {"weights": weights, "rounds": rounds, "seconds": seconds, "gains": gains}


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.training_precision")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    record = measure(QwenImage.from_pretrained(POCKET))
    write_record(record, options.to)
    for part, gain in record["gains"].items():
        print(f"{part}: bfloat16 takes {gain:g} times as long as float32")
    return 0


if __name__ == "__main__":
    sys.exit(main())
