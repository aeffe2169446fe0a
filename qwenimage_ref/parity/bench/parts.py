"""`qwenimage bench`: time, memory and error of our parts beside diffusers' and transformers'.

Times are processor seconds of one thread, the median of alternating runs (ours, theirs, ours, ...),
so that other programs disturb both alike. Both networks have the same random weights and inputs,
all of them exact in bf16, so that the float32 result is the exact value of the bf16 result.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers import AutoTokenizer

from ...checkpoint import locate
from ...config import MMDiTConfig, VAEConfig, VisionConfig
from ...mmdit import MMDiT
from ...repository import POCKET, ROOT
from ...tokenizer import Tokenizer
from ...vae import VAE
from ..record import run_ours
from ..reference import copy_weights, random_weights, reference_mmdit, reference_vae, run
from ..tolerances import within
from ..trace import difference
from . import data
from .fresh_process import can_measure_memory, fresh_process, measure_call, measure_import
from .objectives_tasks import Sizes
from .sharded import AGAIN, KEPT, pictures_a_second

FASTER = {"decode": 3.2, "encode": 3.0}  # smallest speed-up over diffusers' VAE
SMALLER = 2.0  # smallest ratio of peak memory, theirs over ours, of a call of the VAE
TWICE = 1.6  # smallest speed-up by a second process on a second core
FLAT = 0.8  # smallest ratio of peak memory, few pictures over ten times as many
BLOCK = 1 / 1.05  # smallest speed-up of a block, which consists of the same matrix products


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    rounds: int  # alternating runs of both
    vae: VAEConfig
    sides: tuple[int, ...]  # pixels of the VAE's square pictures
    calls: tuple[tuple[str, str], ...]  # (direction, type) of the calls whose memory is measured
    mmdit: MMDiTConfig  # with one block
    grid: tuple[int, int, int]  # image tokens: frames, rows, columns
    vision: VisionConfig
    read_side: int  # pixels of the vision tower's square picture
    wide: Sizes  # DPO and GRPO on one block as wide as mmdit
    pocket: Sizes  # DPO and GRPO on the pocket model
    text_tokens: int = 64
    picture_steps: int = 20  # steps of the pocket model's picture
    pair: bool = False  # whether two processes train the pocket model
    posters: tuple[int, ...] = ()  # how many the data pipeline filters, the fewest first


FULL = Plan(
    rounds=5,
    vae=VAEConfig.official(),
    sides=(256, 512),
    calls=tuple((d, t) for d in ("decode", "encode") for t in ("float32", "bfloat16")),
    mmdit=replace(MMDiTConfig.official(), num_layers=1),
    grid=(1, 16, 16),
    # one block in four sees the whole picture; officially it is one in eight of 32
    vision=replace(VisionConfig.official(), depth=4, fullatt_block_indexes=(3,)),
    read_side=1008,  # a megapixel
    wide=Sizes(pairs=1, group=2, steps=2, batch=1, grid=(1, 16, 16), text_tokens=64),
    # sizes of evaluate/preferred.py, rewarded.py and pocket/students.py: 128x128 pixels
    pocket=Sizes(pairs=16, group=8, steps=6, batch=16, grid=(1, 8, 8), text_tokens=24),
    pair=True,
    posters=(2_000, 20_000),
)
QUICK = Plan(
    rounds=1,
    vae=VAEConfig(base_dim=16),
    sides=(64, 96),
    calls=(("decode", "float32"),),
    mmdit=replace(
        FULL.mmdit, num_attention_heads=2, attention_head_dim=32, axes_dims_rope=(8, 12, 12)
    ),
    grid=(1, 4, 6),
    vision=replace(
        FULL.vision,
        depth=2,
        hidden_size=64,
        num_heads=2,
        intermediate_size=96,
        out_hidden_size=64,
        fullatt_block_indexes=(1,),
    ),
    read_side=112,
    wide=Sizes(pairs=2, group=3, steps=2, batch=1, grid=(1, 4, 6), text_tokens=7),
    pocket=Sizes(pairs=1, group=2, steps=2, batch=2, grid=(1, 8, 8), text_tokens=24),
    text_tokens=7,
    picture_steps=2,
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    unit: str  # s, MB or tokens/s
    ours: float
    reference: float
    target: float | None = None  # smallest gain
    # In float32 the largest difference over the reference's largest value; in bf16 the root mean
    # square distance to the float32 result over its norm, for which the reference's is allowed.
    error: float | None = None
    allowed: float | None = None

    @property
    def gain(self) -> float:
        """How many times faster or smaller ours is."""
        a, b = self.ours, self.reference
        return a / b if self.unit.endswith("/s") else b / a

    @property
    def missed(self) -> list[str]:
        """Why the row fails its target or its bound; empty if it does not."""
        reasons = []
        if self.target is not None and not self.gain >= self.target:
            reasons.append(f"{self.gain:.2f}x, wanted {self.target:.2f}x")
        if self.error is not None and not self.error <= self.allowed:
            reasons.append(f"off by {self.error:.1e}, allowed {self.allowed:.1e}")
        return reasons

    def __str__(self):
        target = "" if self.target is None else f">= {self.target:.2f}x"
        error = "" if self.error is None else f"{self.error:.1e} <= {self.allowed:.1e}"
        judged = self.target is not None or self.error is not None
        verdict = f"MISSED: {'; '.join(self.missed)}" if self.missed else "ok" if judged else ""
        figures = f"{_number(self.ours)} {_number(self.reference)} {self.unit:8}"
        line = f"{self.what:44} {figures} {self.gain:6.2f}x {target:8} {error:18} {verdict}"
        return line.rstrip()


HEAD = f"{'':44} {'ours':>9} {'reference':>9} {'':8} {'better':>7} {'target':8} {'error':18}"


def _number(value: float) -> str:
    return f"{value:9,.0f}" if value >= 100 else f"{value:9.3g}"


# -- time and error -------------------------------------------------------------------------------


def alternate(calls: list[Callable], rounds: int) -> tuple[list[float], list]:
    """-> median processor seconds of each call, and what each returned in the first round"""
    seconds, results = [[] for _ in calls], {}
    for _ in range(rounds):
        for i, call in enumerate(calls):
            start = time.process_time()
            result = call()
            seconds[i].append(time.process_time() - start)
            results.setdefault(i, result)
    return [statistics.median(each) for each in seconds], list(results.values())


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Root mean square of a - b over that of b."""
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def pairs_of(network, config, reference) -> dict:
    """{dtype: (ours, theirs)} with the same weights in both types, all of them exact in bf16"""
    with torch.device("meta"):
        ours = network(config)
    rounded = random_weights(ours, 0).bfloat16()
    both = {torch.float32: copy.deepcopy(rounded).float(), torch.bfloat16: rounded}
    return {dtype: (ours, copy_weights(ours, reference(config))) for dtype, ours in both.items()}


def noise(*shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()


def compare(what: str, pairs, inputs: dict, rounds: int, target: float, bound: str):
    """Yields a row for each dtype, of one network and its twin with the same inputs."""
    exact = None
    for dtype, (ours, theirs) in pairs.items():
        given = {k: v.to(dtype) if torch.is_tensor(v) else v for k, v in inputs.items()}
        calls = [partial(run_ours, ours, given), partial(run, theirs, given)]
        (a, b), results = alternate(calls, rounds)
        result, reference = map(_joined, results)
        if dtype == torch.float32:
            exact = reference
            error, allowed = difference(result, reference)[1], within(bound)
        else:
            error, allowed = distance(result, exact), distance(reference, exact)
        yield Row(f"{what}, {_name(dtype)}", "s", a, b, target, error, allowed)


def _joined(result) -> torch.Tensor:
    """A VAE's mean and log-variance as one tensor."""
    return torch.cat(result) if isinstance(result, tuple) else result


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def vae_rows(plan: Plan) -> Iterator[Row]:
    pairs = pairs_of(VAE, plan.vae, reference_vae)
    for side in plan.sides:
        inputs = {
            "decode": {"z": noise(1, plan.vae.z_dim, side // 8, side // 8)},
            "encode": {"img": noise(1, 3, side, side).clamp(-1, 1)},
        }
        for direction, arguments in inputs.items():
            what = f"VAE, {direction} {side}x{side}"
            yield from compare(what, pairs, arguments, plan.rounds, FASTER[direction], "vae")


def block_rows(plan: Plan) -> Iterator[Row]:
    config, (_, rows, cols) = plan.mmdit, plan.grid
    inputs = {
        "img": noise(1, rows * cols, config.in_channels),
        "txt": noise(1, plan.text_tokens, config.joint_attention_dim),
        "sigma": torch.tensor([0.6875]),
        "grids": [plan.grid],
    }
    what = f"MMDiT, one block, {rows * cols} + {plan.text_tokens} tokens"
    pairs = pairs_of(MMDiT, config, reference_mmdit)
    yield from compare(what, pairs, inputs, plan.rounds, BLOCK, "mmdit")


# -- the rest -------------------------------------------------------------------------------------


def tokenizer_rows(plan: Plan) -> Iterator[Row]:
    """Both tokenizers on this repository's README, which is longer than any prompt."""
    folder, name = locate.find("tokenizer"), "official"
    if folder is None:
        folder, name = POCKET / "tokenizer", "pocket"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    seconds = [[], []]
    for _ in range(plan.rounds):  # loaded again each time, because both cache words
        ours = Tokenizer.load(folder)
        theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        calls = [partial(ours.encode, text), partial(theirs, text, verbose=False)]
        once, (ids, expected) = alternate(calls, 1)
        for each, value in zip(seconds, once):
            each.append(value)
    expected = expected.input_ids
    a, b = (len(ids) / statistics.median(each) for each in seconds)
    wrong = sum(x != y for x, y in zip(ids, expected)) + abs(len(ids) - len(expected))
    what = f"tokenizer, {len(ids):,} tokens, {name} vocabulary"
    yield Row(what, "tokens/s", a, b, error=wrong, allowed=0)


def import_rows(plan: Plan) -> Iterator[Row]:
    pairs = [[measure_import(who) for who in ("ours", "reference")] for _ in range(plan.rounds)]
    figures = {"seconds": ("import of the pipeline", "s", 1)}
    if can_measure_memory():
        figures["bytes"] = "import of the pipeline, memory after it", "MB", 1e6
    for key, (what, unit, size) in figures.items():
        a, b = (statistics.median(each[key] / size for each in side) for side in zip(*pairs))
        yield Row(what, unit, a, b)


def memory_rows(plan: Plan) -> Iterator[Row]:
    for direction, dtype in plan.calls if can_measure_memory() else ():
        ours, theirs = (
            measure_call(who, direction, plan.sides, dtype, plan.vae.base_dim)
            for who in ("ours", "reference")
        )
        for i, side in enumerate(plan.sides):
            peaks = ours["peaks"][i] / 1e6, theirs["peaks"][i] / 1e6
            yield Row(f"VAE, {direction} {side}x{side}, {dtype}, peak", "MB", *peaks, SMALLER)
        weights = ours["weights"] / 1e6, theirs["weights"] / 1e6
        if direction == plan.calls[0][0]:
            yield Row(f"VAE, {dtype}, weights", "MB", *weights)


def process_rows(plan: Plan) -> Iterator[Row]:
    """Full training of the pocket model; "reference" is one process.

    The target holds for kept weights: gathering them twice a step is for networks of which a
    process cannot hold all.
    """
    if not plan.pair:
        return
    one = pictures_a_second(1)
    for weights, target in ((AGAIN, None), (KEPT, TWICE)):
        what = f"training, two processes beside one, weights {weights}"
        yield Row(what, "pictures/s", pictures_a_second(2, weights), one, target)


def data_rows(plan: Plan) -> Iterator[Row]:
    """The data pipeline; "reference" is its slowest stage with one worker, and fewer pictures."""
    if not plan.posters:
        return
    alone, together = (fresh_process(data.__name__, "rates", workers) for workers in "12")
    slowest = min(alone["filter"], alone["encode"])
    what = "data pipeline, two workers beside its slowest stage with one"
    yield Row(what, "pictures/s", together["both"], slowest, 1.0)
    few, many = (fresh_process(data.__name__, "memory", f"{count}")["MB"] for count in plan.posters)
    yield Row("filtering ten times as many pictures, peak", "MB", many, few, FLAT)
