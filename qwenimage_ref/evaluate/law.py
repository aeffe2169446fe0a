"""A law at pocket scale: the loss of four sizes of MMDiT against steps, data and compute.

    python -m qwenimage_ref.evaluate.law [--runs FOLDER]     hours; resumes

Each size has one long run at a constant rate. At every stop a branch leaves it, whose rate falls to
zero over the last fifth of its steps: a finished training of that length, of which only this fifth
is trained anew. Text tower and VAE are the painter's, frozen. The results go to
data/measurements/law.json.
"""

import argparse
import dataclasses
import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..files import whole_file
from ..mmdit import MMDiT
from ..pipeline import QwenImage
from ..pocket.curriculum import Phase
from ..pocket.train import (
    CAPTION_DROPOUT,
    POCKET_MMDIT,
    POCKET_TEXT,
    SIGMA_SHIFT,
    Latents,
    Painter,
)
from ..posters.captions import caption
from ..posters.scene import SQUARE, Mixture, sample
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, ROOT, in_a_clone
from ..train.flow import flow_errors, flow_step, sample_sigma
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from ..train.run_folder import RunFolder
from ..train.state import CHECKSUM, digest, read_tensors, write_tensors
from .intervals import interval
from .law_floor import floor
from .score import Trial, paint, read_back

RECORD = MEASUREMENTS / "law.json"
WIDTHS = {"2x48": (2, 1), "4x96": (4, 2), "6x144": (6, 3), "8x192": (8, 4)}  # blocks, heads of 48
STOPS = (250, 500, 1000, 2000)  # steps after which a branch is finished
LONGEST = {"8x192": 1000}  # the last branch: two thousand steps would take forty minutes more
DECAYED = 0.8  # share of a branch's steps that it has from the long run
POSTERS = {128: "4x96", 512: "4x96", 2048: "4x96"}  # trainings on few posters, and their size
FEW_STEPS = 1000  # length of those trainings
LEVELS = tuple((i + 0.5) / 8 for i in range(8))  # noise levels at which the loss is measured
FIRST_TRIAL = 70_000_000
PARTS = ("background", "count", "colours", "shapes", "layout", "scene")
MIXTURE = Mixture(sizes=(SQUARE,), words=0.75, chinese=0.0, lengths=(1, 2))


@dataclass(frozen=True)
class Law:
    """What is trained and measured; a test has smaller numbers."""

    phase: Phase = Phase(
        Recipe(STOPS[-1], 32, 1e-3, muon_lr=2e-3, decay_from=1.0, ema=0.98),
        71_000_000,
        posters=16_384,
        mixture=MIXTURE,
    )
    stops: tuple[int, ...] = STOPS
    longest: dict[str, int] = dataclasses.field(default_factory=lambda: LONGEST)
    few: dict[int, str] = dataclasses.field(default_factory=lambda: POSTERS)
    few_steps: int = FEW_STEPS
    measured: int = 512  # held-out posters on which the loss is measured
    captions: int = 120
    drawn: tuple[int, int] = (48, 64)  # captions for the floor, and posters of each

    def of(self, steps: int, decay_from: float, posters: int | None = None) -> Phase:
        """The lesson with another number of steps, and of posters"""
        recipe = dataclasses.replace(self.phase.recipe, steps=steps, decay_from=decay_from)
        return dataclasses.replace(self.phase, recipe=recipe, posters=posters or self.phase.posters)


def network(size: str, seed: int) -> MMDiT:
    """An untrained MMDiT of one of WIDTHS; its text states are those of the painter's tower"""
    blocks, heads = WIDTHS[size]
    config = dataclasses.replace(POCKET_MMDIT, num_layers=blocks, num_attention_heads=heads)
    return Painter(seed, (POCKET_TEXT, config)).transformer


def matrices(mmdit: MMDiT) -> list[str]:
    """Names of the matrices inside the blocks, which Muon trains."""
    return [
        name for name, parameter in mmdit.named_parameters()
        if parameter.ndim == 2 and "transformer_blocks." in name
    ]  # fmt: skip


class Laboratory:
    """The frozen networks, the posters' latents, and the runs in a folder."""

    def __init__(self, folder: Path, law: Law):
        self.folder, self.law = folder, law
        self.pipe = QwenImage.from_pretrained(POCKET)
        self.own = f"{digest(self.pipe.vae)} {digest(self.pipe.text_encoder)}"
        vae = digest(self.pipe.vae)
        self.latents = Latents(self.pipe.vae, law.phase, folder / f"latents-{vae}")
        after = law.phase.first + law.phase.posters  # posters on which nothing is trained
        unseen = dataclasses.replace(law.phase, first=after)
        self.unseen, self.unseen_latents = unseen, Latents(
            self.pipe.vae, unseen, folder / f"unseen-{vae}"
        )  # fmt: skip

    def run(self, size: str, phase: Phase, name: str) -> Run:
        """A run in its folder, continued from the state there if there is one"""
        mmdit = network(size, phase.recipe.seed).requires_grad_(True)
        origin = f"{self.own} {size} {self.law.phase.first} {phase.posters}"
        return Run(mmdit, phase.recipe, self.folder / name, matrices(mmdit), origin)

    def fit(self, run: Run, phase: Phase, until: int | None = None) -> None:
        """Train a run to a step, to its end by default"""
        count = phase.recipe.batch

        def loss_at(step):
            rng = phase.recipe.generator(step)
            numbers = range(step * count, (step + 1) * count)
            drop = torch.rand(count, generator=rng) < CAPTION_DROPOUT
            prompts = [" " if drop[i] else phase.prompt(n) for i, n in enumerate(numbers)]
            with torch.no_grad():
                txt, mask = self.pipe.encode_prompt(prompts)
            data = self.latents[[phase.place(n) for n in numbers]]
            noise = torch.randn(data.shape, generator=rng)
            sigma = sample_sigma(count, SIGMA_SHIFT, rng)
            with sdpa_kernel(SDPBackend.MATH), mixed():
                return flow_step(run.model, data, noise, sigma, txt, mask)

        run.fit(loss_at, until)

    def branch(self, trunk: Run, size: str, stop: int) -> Run:
        """A finished run of `stop` steps, whose first ones are those of the long run"""
        phase, name = self.law.of(stop, DECAYED), f"{size}-{stop}"
        folder = RunFolder(self.folder / name)
        if not folder.state.exists():
            self.fit(trunk, self.law.phase, int(DECAYED * stop))
            tensors, terms = read_tensors(trunk.state_file)
            terms = {k: v for k, v in terms.items() if k != CHECKSUM}
            terms["recipe"] = json.dumps(asdict(phase.recipe))
            write_tensors(folder, folder.state, tensors, terms)
        run = self.run(size, phase, name)
        self.fit(run, phase)
        return run

    @functools.cached_property
    def trials(self) -> list[Trial]:
        """Captions of scenes that no poster of these trainings shows"""
        trained, chosen = self.law.phase.scenes(), []
        for i in range(self.law.captions):
            tries = (sample(FIRST_TRIAL + 1000 * i + j, MIXTURE) for j in range(1000))
            scene = next(scene for scene in tries if scene not in trained)
            chosen.append(Trial(scene, "en", caption(scene, "en", edition=2), i))
        return chosen

    @torch.no_grad()
    def losses(self, mmdit: MMDiT) -> list[float]:
        """The loss on held-out posters at each of LEVELS"""
        sums, count = torch.zeros(len(LEVELS)), 64
        for start in range(0, self.law.measured, count):
            numbers = range(start, min(start + count, self.law.measured))
            txt, mask = self.pipe.encode_prompt([self.unseen.prompt(n) for n in numbers])
            data = self.unseen_latents[[self.unseen.place(n) for n in numbers]]
            noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(start))
            for i, level in enumerate(LEVELS):
                sigma = torch.full((len(data),), level)
                with mixed():
                    errors = flow_errors(mmdit, data, noise, sigma, txt, mask)
                sums[i] += errors.mean((1, 2)).sum()
        return [round(each, 5) for each in (sums / self.law.measured).tolist()]

    def measured(self, run: Run, name: str, size: str, posters: int) -> dict:
        """The row of a finished run, computed once"""
        file = self.folder / name / "row.json"
        if not file.exists():
            with run.averaged():
                row = self._row(run, size, posters)
            with whole_file(file) as partial:
                partial.write_text(json.dumps(row), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))

    def _row(self, run: Run, size: str, posters: int) -> dict:
        pipe = _with(self.pipe, run.model)
        scores = read_back(self.trials, paint(pipe, self.trials, quiet=True))
        worded = [s["word"] for s, trial in zip(scores, self.trials) if trial.scene.word]
        shares = {part: interval(sum(s[part] for s in scores), len(scores)) for part in PARTS}
        weights = sum(p.numel() for p in run.model.parameters())
        return {
            "size": size, "parameters": weights, "steps": run.step, "posters": posters,
            "losses": self.losses(run.model),
            "right": shares | {"word": interval(sum(worded), len(worded))},
        }  # fmt: skip


def _with(pipe: QwenImage, mmdit: MMDiT) -> QwenImage:
    return QwenImage(pipe.tokenizer, pipe.text_encoder, mmdit.eval(), pipe.vae, pipe.scheduler)


def measure(folder: Path, law: Law) -> dict:
    """Train and measure everything -> what the record holds"""
    lab, rows = Laboratory(folder, law), []
    for size in WIDTHS:
        trunk = lab.run(size, law.phase, size)
        for stop in (each for each in law.stops if each <= law.longest.get(size, each)):
            run = lab.branch(trunk, size, stop)
            rows.append(lab.measured(run, f"{size}-{stop}", size, law.phase.posters))
            print(json.dumps(rows[-1]), flush=True)
    for posters, size in law.few.items():
        phase, name = law.of(law.few_steps, DECAYED, posters), f"{size}-of-{posters}"
        run = lab.run(size, phase, name)
        lab.fit(run, phase)
        rows.append(lab.measured(run, name, size, posters))
        print(json.dumps(rows[-1]), flush=True)
    tokens = (SQUARE[0] // 16) * (SQUARE[1] // 16)
    return {
        "levels": LEVELS, "batch": law.phase.recipe.batch, "image_tokens": tokens,
        "captions": law.captions, "measured": law.measured,
        "recipe": asdict(law.phase.recipe), "rows": rows,
        "floor": floor(lab.pipe, lab.unseen, LEVELS, *law.drawn),
    }  # fmt: skip


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.law")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "law", metavar="FOLDER")
    write_record(measure(parser.parse_args(arguments).runs, Law()), RECORD)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
