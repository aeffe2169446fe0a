"""One training run: resumed exactly after a kill, logged line by line, averaged over time."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

LOG_EVERY = 50  # steps


@dataclass(frozen=True)
class Recipe:
    """How one network is trained. `lr` rises over `warmup` steps, holds, then falls to zero."""

    steps: int
    batch: int  # pictures a step
    lr: float  # the largest learning rate
    warmup: int = 100  # steps
    decay_from: float = 0.5  # share of the steps after which the rate falls (a half cosine)
    betas: tuple[float, float] = (0.9, 0.98)
    muon_lr: float = 0.0  # the largest rate of the matrices that Muon trains, if there are any
    weight_decay: float = 0.0
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.999  # of the averaged weights, a step
    seed: int = 0

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
        return torch.Generator().manual_seed((self.seed * 1009 + number) * 10_000_019 + step)


class Run:
    """Weights, their average and the optimisers' moments, kept in one safetensors file.

    The parameters named in `matrices` are trained by Muon, which makes every update orthogonal,
    the rest by AdamW. `origin` names what else the run depends on, data for one: a state is taken
    up again only by the same recipe and origin.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, folder: str | Path, matrices=(), origin: str = ""
    ):
        self.model, self.recipe, self.folder = model, recipe, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        # what a state must have in common with the run that takes it up again
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
        if self.state_file.exists():
            self._restore()

    @property
    def state_file(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def log_file(self) -> Path:
        return self.folder / "log.jsonl"

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
        step; `loss_at` is then given their numbers, counted on and on.
        """
        until = self.recipe.steps if until is None else until
        saved, started, losses = time.monotonic(), time.monotonic(), []
        with tqdm(
            total=self.recipe.steps, initial=self.step, unit="step", mininterval=5, disable=quiet
        ) as bar:
            while self.step < until:
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
                losses.append(loss)
                bar.update()
                if self.step % LOG_EVERY == 0 or self.step == until:
                    line = {"step": self.step, "loss": sum(losses) / len(losses), "lr": lr}
                    line |= {"grad_norm": norm.item(), "seconds": time.monotonic() - started}
                    if measure and (self.step % measure_every == 0 or self.step == until):
                        with self.averaged():
                            line |= measure()
                    self._log(line)
                    bar.set_postfix(loss=f"{line['loss']:.4f}")
                    losses = []
                if time.monotonic() - saved > save_seconds:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def averaged(self):
        """Context in which the model holds the averaged weights."""
        return _Swapped(self.weights, self.average)

    def use_average(self) -> None:
        """Leave the averaged weights in the model for good: what is trained is finished."""
        with torch.no_grad():
            for weight, average in zip(self.weights, self.average):
                weight.copy_(average)

    def save(self) -> None:
        """Write the state whole: a kill while writing leaves the previous file in place."""
        tensors = {"step": torch.tensor(self.step)}
        for name, weight, average in zip(self.names, self.weights, self.average):
            tensors |= {f"weight.{name}": weight.detach(), f"average.{name}": average}
            for optimiser in self.optimisers:
                for key, value in optimiser.state.get(weight, {}).items():
                    tensors[f"{key}.{name}"] = value
        partial = self.state_file.with_suffix(".partial")
        tensors = {key: value.contiguous() for key, value in tensors.items()}
        save_file(tensors, partial, metadata=self.terms)
        os.replace(partial, self.state_file)

    def _restore(self) -> None:
        try:
            tensors = load_file(self.state_file)
            with safe_open(self.state_file, framework="pt") as file:
                terms = file.metadata()
        except SafetensorError as error:
            raise ValueError(
                f"{self.state_file} is damaged ({error}); remove it to begin anew"
            ) from None
        held = {key: tensor.shape for key, tensor in tensors.items() if key.startswith("weight.")}
        if held != {f"weight.{name}": w.shape for name, w in zip(self.names, self.weights)}:
            raise ValueError(f"{self.state_file} is of another network; use another folder")
        if terms != self.terms:
            raise ValueError(
                f"{self.state_file} was trained by another recipe, or on another VAE's latents; "
                "use another folder, or remove this one"
            )
        self.step = int(tensors.pop("step"))
        with torch.no_grad():
            for name, weight, average in zip(self.names, self.weights, self.average):
                weight.copy_(tensors[f"weight.{name}"])
                average.copy_(tensors[f"average.{name}"])
                for optimiser in self.optimisers:
                    if any(weight is p for p in optimiser.param_groups[0]["params"]):
                        optimiser.state[weight] = _moments(weight, name, tensors)
        if self.log_file.exists():
            self._rewind_log()

    def _rewind_log(self) -> None:
        """Drop the lines written after the state was saved: those steps are run again."""
        kept = []
        for line in self.log_file.read_text().splitlines():
            with contextlib.suppress(ValueError):  # a kill may cut the last line
                kept += [line] if json.loads(line)["step"] <= self.step else []
        partial = self.log_file.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept))
        os.replace(partial, self.log_file)

    def _log(self, line: dict) -> None:
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        with self.log_file.open("a") as file:
            file.write(json.dumps(rounded) + "\n")


def _moments(weight, name: str, tensors: dict) -> dict:
    """What an optimiser knew of one parameter; nothing for one that never had a gradient."""
    kept = {}
    for key in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer"):
        if f"{key}.{name}" in tensors:
            value = tensors[f"{key}.{name}"]
            # careful: moments keep the memory format of the weight they belong to
            kept[key] = value if key == "step" else torch.empty_like(weight).copy_(value)
    return kept


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
