"""Runs over several processes: every weight divided, or an adapter on a divided base."""

from collections.abc import Callable
from dataclasses import asdict

import torch

from ...adapt import lora
from ...mmdit import MMDiT
from ..loop import Loss, Run
from ..lora import Examples, Flow, Settings, Share, loss_of, origin_of
from ..recipe import Recipe
from ..state import damaged, demand_terms
from . import checkpoints
from .checkpoints import LedFolder, StepsFolder
from .processes import Processes


class _Shared(Run):
    """What both have in common: one process decides when to save, one reports what went wrong."""

    @property
    def processes(self) -> Processes:
        return self.files.processes

    def _due(self, saved: float, save_seconds: float) -> bool:
        return self.processes.leaders(super()._due(saved, save_seconds))

    def _backward(self, loss_at: Callable[[int], Loss], batches: range) -> tuple[float, dict]:
        loss, numbers = super()._backward(loss_at, batches)
        return self.processes.mean(loss), numbers

    def _diverged(self, what: str, lr: float) -> BaseException:
        error = super()._diverged(what, lr)  # in all processes at once: all see the same norm
        return error if self.processes.leads else SystemExit(2)


class DividedRun(_Shared):
    """Every weight, its average and moments divided among the processes; `checkpoints` keeps them.

    Continued by any number of processes.
    """

    files: StepsFolder

    def _clip(self) -> torch.Tensor:
        return super()._clip().full_tensor()

    def _finite(self) -> bool:
        own = (weight.to_local() for weight in self.weights)
        return self.processes.all(all(torch.isfinite(share).all() for share in own))

    def _write(self) -> None:
        tensors = self._tensors()
        del tensors["step"]
        counts = {key: int(tensors.pop(key)) for key in list(tensors) if key.startswith("step.")}
        checkpoints.write(self.files, self.step, tensors, counts, self.terms)

    @torch.no_grad()
    def _restore(self) -> None:
        file = self.files.state
        with self.processes.together():
            content = checkpoints.read_index(file)
            demand_terms(file, content["terms"], self.terms)
            if content["step"] > self.recipe.steps:
                raise damaged(file, f"its step is above {self.recipe.steps}")
        self.step = content["step"]
        (optimiser,) = self.optimisers
        for name, weight in zip(self.names, self.weights):
            if f"step.{name}" in content["counts"]:
                count = torch.tensor(float(content["counts"][f"step.{name}"]))
                moments = {key: torch.zeros_like(weight) for key in ("exp_avg", "exp_avg_sq")}
                optimiser.state[weight] = {"step": count.to(weight.device), **moments}
        like = {k: v for k, v in self._tensors().items() if k.partition(".")[0] != "step"}
        tensors = {key: tensor.detach() for key, tensor in like.items()}
        checkpoints.read(file, tensors, self.processes)


class AdapterRun(_Shared):
    """An adapter of which every process has all, and one writes the same file as without sharing.

    The base is divided; the adapter is small. Its gradients are averaged in one message.
    """

    files: LedFolder

    def _clip(self) -> torch.Tensor:
        self.processes.average([w.grad for w in self.weights if w.grad is not None])
        return super()._clip()

    def _write(self) -> None:
        with self.processes.together():
            if self.processes.leads:
                super()._write()

    def _restore(self) -> None:
        with self.processes.together():
            super()._restore()


def demand_divisible(recipe: Recipe, processes: Processes) -> None:
    """Raises ValueError unless each process has as many pictures of a batch as any other."""
    if recipe.batch % processes.size:
        raise ValueError(
            f"batch must be a multiple of the {processes.size} processes, got {recipe.batch}; "
            f"try {-(-recipe.batch // processes.size) * processes.size}"
        )


def train_whole(
    mmdit: MMDiT,
    examples: Examples,
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Flow,
    files: StepsFolder,
    origin: str = "",
    **fit,
) -> DividedRun:
    """Train every weight of a divided MMDiT by flow matching -> the finished run

    The same numbers as of one process, but for the order in which sums are rounded.
    """
    mmdit.requires_grad_(True)
    run = DividedRun(mmdit, recipe, files, **_terms(examples, settings, origin))
    return _fit(run, mmdit, examples, empty, settings, fit)


def train_adapter(
    mmdit: MMDiT,
    examples: Examples,
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Settings,
    files: LedFolder,
    origin: str = "",
    **fit,
) -> AdapterRun:
    """Train a new adapter on a divided MMDiT by flow matching -> the finished run"""
    targets = lora.TARGETS[settings.targets]
    adapter = lora.inject(mmdit, targets, settings.rank, settings.alpha, recipe.seed)
    run = AdapterRun(adapter, recipe, files, **_terms(examples, settings, origin))
    return _fit(run, mmdit, examples, empty, settings, fit)


def _terms(examples: Examples, settings: Flow, origin: str) -> dict:
    return {"origin": origin_of(examples, origin), "settings": asdict(settings)}


def _fit(run: _Shared, mmdit: MMDiT, examples, empty, settings: Flow, fit: dict) -> Run:
    processes = run.processes
    with processes.together():
        demand_divisible(run.recipe, processes)
        share = Share(processes.rank, processes.size)
        loss_at = loss_of(mmdit, examples, empty, run.recipe, settings, share)
    quiet = fit.pop("quiet", False) or not processes.leads
    run.fit(loss_at, accumulate=settings.accumulate, quiet=quiet, **fit)
    return run
