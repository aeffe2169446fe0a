"""Our networks at official width beside the reference: differences and seconds.

python -m qwenimage_ref.parity.bench.full_width

prints a table and writes data/measurements/parity.json.
"""

import json
import statistics
import time
from dataclasses import replace

import torch

from ...config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from ...mmdit import MMDiT
from ...provenance import provenance
from ...repository import MEASUREMENTS, in_a_clone
from ...text_encoder import TextEncoder
from ...vae import VAE
from ...vision import Vision
from ..record import run_ours
from ..reference import (
    copy_weights,
    random_weights,
    reference_mmdit,
    reference_text_encoder,
    reference_vae,
    reference_vision,
    run,
)
from ..tolerances import within
from ..trace import difference

FILE = MEASUREMENTS / "parity.json"
ROUNDS = 5  # alternating runs of both; the median is reported
TINY_VISION = VisionConfig(
    depth=1, hidden_size=32, num_heads=2, intermediate_size=64, fullatt_block_indexes=(0,)
)


def noise(*shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def cases():
    """Yields name, name of its tolerance, our network, the reference, and inputs.

    Only one pair is alive at a time.
    """
    mmdit = replace(MMDiTConfig.official(), num_layers=1)
    with torch.device("meta"):
        ours = MMDiT(mmdit)
    theirs = copy_weights(random_weights(ours, 0), reference_mmdit(mmdit))
    inputs = dict(img=noise(1, 256, 64), txt=noise(1, 64, 3584), sigma=torch.tensor([0.7]))
    inputs |= {"grids": [(1, 16, 16)]}
    yield "MMDiT, one block, 256 + 64 tokens", "mmdit", ours, theirs, inputs

    text = replace(TextEncoderConfig.official(), num_hidden_layers=1, vocab_size=101)
    with torch.device("meta"):
        ours = TextEncoder(text)
    theirs = reference_text_encoder(text, TINY_VISION)
    copy_weights(random_weights(ours, 0), theirs, unused=("visual.", "lm_head."))
    ids = torch.arange(64).unsqueeze(0)
    yield "text tower, one layer, 64 tokens", "text_encoder", ours, theirs, {"ids": ids}

    vision = replace(VisionConfig.official(), depth=2, fullatt_block_indexes=(1,))
    with torch.device("meta"):
        ours = Vision(vision)
    theirs = copy_weights(random_weights(ours, 0), reference_vision(vision))
    patches = {"patches": noise(14 * 18, 1176), "grids": [(1, 14, 18)]}
    yield "vision tower, two blocks, 252 patches", "vision", ours, theirs, patches

    with torch.device("meta"):
        ours = VAE(VAEConfig.official())
    theirs = copy_weights(random_weights(ours, 0), reference_vae(VAEConfig.official()))
    img = noise(1, 3, 128, 128).clamp(-1, 1)
    yield "VAE, encode 128x128", "vae", ours, theirs, {"img": img}
    yield "VAE, decode 128x128", "vae", ours, theirs, {"z": noise(1, 16, 16, 16)}


@torch.no_grad()
def compare(ours, theirs, inputs) -> dict:
    """-> largest difference over the largest value, median seconds of both, and their ratio"""
    seconds = {run_ours: [], run: []}
    outputs = [run_ours(ours, inputs), run(theirs, inputs)]  # the warm-up, too
    if isinstance(outputs[0], tuple):  # the VAE's mean and log-variance
        outputs = [torch.cat(output) for output in outputs]
    relative = difference(*outputs)[1]
    for _ in range(ROUNDS):
        for call, network in ((run_ours, ours), (run, theirs)):
            start = time.perf_counter()
            call(network, inputs)
            seconds[call].append(time.perf_counter() - start)
    a, b = (statistics.median(seconds[call]) for call in (run_ours, run))
    return {"relative": float(f"{relative:.2g}"), "ours_s": a, "reference_s": b, "ratio": a / b}


@in_a_clone
def main() -> None:
    rows = {}
    for name, tolerance, ours, theirs, inputs in cases():
        row = rows[name] = compare(ours, theirs, inputs)
        verdict = "ok" if row["relative"] <= within(tolerance) else "OUT OF TOLERANCE"
        row |= {key: round(row[key], 3) for key in ("ours_s", "reference_s", "ratio")}
        times = f"{row['ours_s']:6.2f} s {row['reference_s']:6.2f} s {row['ratio']:5.2f}x"
        print(f"{name:38} {row['relative']:8.1e} {times}  {verdict}", flush=True)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    result = {"rows": rows} | provenance("diffusers", "transformers")
    FILE.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
