"""One training run: continued exactly after a kill, logged line by line, averaged over time."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from .run_folder import RunError, RunFolder
from .state import damaged, demand_like, read_state, write_tensors

LOG_EVERY = 50  # steps
MOMENTS = {  # what each optimiser keeps of a parameter
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.Muon: ("momentum_buffer",),
}


@dataclass(frozen=True)
class Recipe:
    """How one network is trained. `lr` rises over `warmup` steps, holds, then falls to zero.

    Raises ValueError, one line that begins with the field's name, for impossible numbers.
    """

    steps: int
    batch: int  # pictures a step
    lr: float  # the largest learning rate
    warmup: int = 100  # steps
    decay_from: float = 0.5  # share of the steps after which the rate falls (a half cosine)
    betas: tuple[float, float] = (0.9, 0.98)
    muon_lr: float = 0.0  # the largest rate of the matrices that Muon trains, if there are any
    weight_decay: float = 0.0
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights in each step
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        for name in ("warmup", "decay_from", "muon_lr", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, got {self.ema}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0 to 2**63 - 1, got {self.seed}")

    def lr_at(self, step: int, peak: float | None = None) -> float:
        """Learning rate of a step, counted from 0; `peak` stands in for the largest one, `lr`."""
        start = self.decay_from * self.steps
        done = max(0.0, (step - start) / max(1.0, self.steps - start))
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        peak = self.lr if peak is None else peak
        return peak * rise * 0.5 * (1 + math.cos(math.pi * done))

    def generator(self, step: int, stream: str = "") -> torch.Generator:
        """Random numbers that depend on seed and step alone: nothing to save or restore."""
        number = sum(ord(c) * 31**i for i, c in enumerate(stream)) % 1009
        mixed = (self.seed * 1009 + number) * 10_000_019 + step
        return torch.Generator().manual_seed(mixed % 2**64)


class Run:
    """Weights, their average and the optimisers' moments, kept in one safetensors file.

    The parameters named in `matrices` are trained by Muon, which makes every update orthogonal,
    the rest by AdamW. `origin` names what else the run depends on, data for one: a state is
    continued only by the same recipe and origin. Raises RunError for any other state and for a
    damaged one.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        folder: str | Path | RunFolder,
        matrices=(),
        origin: str = "",
    ):
        self.model, self.recipe, self.step = model, recipe, 0
        self.files = folder if isinstance(folder, RunFolder) else RunFolder(folder)
        # what a state must have in common with the run that continues it
        self.terms = {"recipe": json.dumps(asdict(recipe)), "origin": origin}
        self.names = [name for name, _ in model.named_parameters()]
        self.weights = [p for p in model.parameters()]
        self.average = [p.detach().clone() for p in self.weights]
        by_name = dict(model.named_parameters())
        others = [p for name, p in by_name.items() if name not in matrices]
        decay = {"weight_decay": recipe.weight_decay}
        self.optimisers = {
            torch.optim.AdamW(others, recipe.lr, recipe.betas, fused=True, **decay): recipe.lr
        }
        if matrices:
            chosen = [by_name[name] for name in matrices]
            # scaled so that an update is as large as AdamW's would be at the same rate
            muon = torch.optim.Muon(chosen, adjust_lr_fn="match_rms_adamw", **decay)
            self.optimisers[muon] = recipe.muon_lr
        if self.files.state.exists():
            self._restore()
        self._state_seen = self.files.state_stamp()

    @property
    def state_file(self) -> Path:
        return self.files.state

    @property
    def log_file(self) -> Path:
        return self.files.log

    def fit(
        self,
        loss_at: Callable[[int], torch.Tensor],
        until: int | None = None,
        save_seconds: float = 300,
        measure: Callable[[], dict] | None = None,
        measure_every: int = 500,
        quiet: bool = False,
        accumulate: int = 1,
    ) -> None:
        """Train to step `until` (default: the recipe's end).

        `loss_at(step)` must depend on the step alone; `measure()` returns numbers for the log,
        taken with the averaged weights. accumulate: batches whose gradients are averaged into one
        step; `loss_at` is then given their numbers, which run on from step to step. Raises RunError
        where another process trains in the folder, and FloatingPointError for a gradient that is
        not finite.
        """
        until = self.recipe.steps if until is None else until
        with self.files.locked():
            self._demand_newest_state()
            self.files.rewind_log(self.step)
            saved, started, losses = time.monotonic(), time.monotonic(), []
            bar = tqdm(
                total=self.recipe.steps, initial=self.step, unit="step", mininterval=5,
                disable=quiet,
            )  # fmt: skip
            with bar:
                while self.step < until:
                    line = self._take_step(loss_at, accumulate)
                    losses.append(line["loss"])
                    bar.update()
                    last = self.step == until
                    due = measure is not None and (last or self.step % measure_every == 0)
                    if due or last or self.step % LOG_EVERY == 0:
                        line["loss"] = sum(losses) / len(losses)
                        line["seconds"] = time.monotonic() - started
                        line |= self._measured(measure) if due else {}
                        self.files.append_log(line)
                        bar.set_postfix(loss=f"{line['loss']:.4f}")
                        losses = []
                    if time.monotonic() - saved > save_seconds:
                        self.save()
                        saved = time.monotonic()
            self.save()

    def _measured(self, measure: Callable[[], dict]) -> dict:
        with self.averaged():
            return measure()

    def _take_step(self, loss_at: Callable[[int], torch.Tensor], accumulate: int) -> dict:
        """One update of weights and average -> step, loss, rate and norm of the gradient"""
        lr = self.recipe.lr_at(self.step)
        for optimiser, peak in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.recipe.lr_at(self.step, peak)
        loss = 0.0
        for part in range(self.step * accumulate, (self.step + 1) * accumulate):
            share = loss_at(part) / accumulate
            share.backward()
            loss += share.item()
        norm = nn.utils.clip_grad_norm_(self.weights, self.recipe.clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {self.step}: the gradient is not finite; lower the rate {lr}"
            )
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        # early on the average follows closely, so that it forgets the initial weights
        keep = min(self.recipe.ema, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.weights], 1 - keep)
        self.step += 1
        return {"step": self.step, "loss": loss, "lr": lr, "grad_norm": norm.item()}

    def averaged(self):
        """Context in which the model holds the averaged weights."""
        return _Swapped(self.weights, self.average)

    def use_average(self) -> None:
        """Leave the averaged weights in the model for good: what is trained is finished."""
        with torch.no_grad():
            for weight, average in zip(self.weights, self.average):
                weight.copy_(average)

    def save(self) -> None:
        """Write the state whole: a kill or a full disk leaves the previous file in place."""
        tensors = {"step": torch.tensor(self.step)}
        for name, weight, average in zip(self.names, self.weights, self.average):
            tensors |= {f"weight.{name}": weight, f"average.{name}": average}
            for optimiser in self.optimisers:
                for key, value in optimiser.state.get(weight, {}).items():
                    tensors[f"{key}.{name}"] = value
        write_tensors(self.files, self.files.state, tensors, self.terms)
        self._state_seen = self.files.state_stamp()

    def _demand_newest_state(self) -> None:
        """Another process may have trained between this run's construction and its lock."""
        if self.files.state_stamp() != self._state_seen:
            raise RunError(
                f"{self.files.state} was written by another run since this one began; start again"
            )

    @torch.no_grad()
    def _restore(self) -> None:
        file = self.files.state
        tensors = read_state(file, self.terms)
        shapes = {key: t.shape for key, t in tensors.items() if key.startswith("weight.")}
        if shapes != {f"weight.{name}": w.shape for name, w in zip(self.names, self.weights)}:
            raise RunError(f"{file} is of another network; use another folder")
        demand_like(file, tensors, self._like(tensors))
        self.step = int(tensors["step"])
        if not 0 <= self.step <= self.recipe.steps:
            raise damaged(file, f"step {self.step} is not in 0 to {self.recipe.steps}")
        for name, weight, average in zip(self.names, self.weights, self.average):
            weight.copy_(tensors[f"weight.{name}"])
            average.copy_(tensors[f"average.{name}"])
        for optimiser, weight, keys in self._stored_moments(tensors):
            moments = {key: tensors[stored] for key, stored in keys.items()}
            count = float(moments.get("step", 1))
            if not (1 <= count <= self.step and count.is_integer()):
                raise damaged(file, f"an optimiser took {count:g} of {self.step} steps")
            # careful: moments keep the memory format of the weight they belong to
            like = {key: value if key == "step" else weight for key, value in moments.items()}
            optimiser.state[weight] = {
                key: torch.empty_like(like[key], device=weight.device).copy_(value)
                for key, value in moments.items()
            }

    def _like(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """For each key that a state must hold, a tensor of its shape and type."""
        like = {"step": torch.tensor(0)}
        for name, weight in zip(self.names, self.weights):
            like |= {f"weight.{name}": weight, f"average.{name}": weight}
        for _, weight, keys in self._stored_moments(tensors):
            for key, stored in keys.items():
                like[stored] = torch.zeros(()) if key == "step" else weight
        return like

    def _stored_moments(self, tensors: dict[str, torch.Tensor]):
        """Yields (optimiser, weight, {its moment: key in the state}), if it ever had a gradient."""
        names = dict(zip(self.weights, self.names))
        for optimiser in self.optimisers:
            for weight in optimiser.param_groups[0]["params"]:
                keys = {moment: f"{moment}.{names[weight]}" for moment in MOMENTS[type(optimiser)]}
                if tensors.keys() & keys.values():
                    yield optimiser, weight, keys


class _Swapped:
    """While entered, `weights` hold the values of `others`, and the other way round."""

    def __init__(self, weights, others):
        self.weights, self.others = weights, others

    def __enter__(self):
        with torch.no_grad():
            for weight, other in zip(self.weights, self.others):
                value = weight.clone()
                weight.copy_(other)
                other.copy_(value)

    def __exit__(self, *_):
        self.__enter__()
