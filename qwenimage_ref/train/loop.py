"""One training run: continued exactly after a kill, logged line by line, averaged over time."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from .muon import Muon
from .recipe import Recipe
from .run_folder import RunError, RunFolder
from .state import damaged, demand_like, read_state, write_tensors

__all__ = ["Recipe", "Run"]

LOG_EVERY = 50  # steps
EXPLODED = 1e4  # a loss from which no run comes back; untrained networks have about 2
# what a batch gives: its loss, None to leave it out, and with it, if at all, numbers for the log
Loss = torch.Tensor | tuple[torch.Tensor | None, dict[str, float]]
MOMENTS = {  # what each optimiser keeps of a parameter
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
    Muon: ("momentum_buffer",),
}


class Run:
    """Weights, their average and the optimisers' moments, kept in one safetensors file.

    The parameters named in `matrices` are trained by Muon, which makes every update orthogonal,
    the rest by AdamW. `settings` and `origin` name what else the run depends on, data for one: a
    state is continued only by the same recipe, settings and origin. Raises RunError for any other
    state and for a damaged one.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        folder: str | Path | RunFolder,
        matrices=(),
        origin: str = "",
        settings: dict | None = None,
    ):
        self.model, self.recipe, self.step = model, recipe, 0
        self.files = folder if isinstance(folder, RunFolder) else RunFolder(folder)
        # what a state must have in common with the run that continues it
        self.terms = {"recipe": json.dumps(asdict(recipe)), "origin": origin}
        if settings is not None:
            self.terms["settings"] = json.dumps(settings)
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
            muon = Muon(chosen, **decay)
            self.optimisers[muon] = recipe.muon_lr
        self._saved = None  # the step of the state on disk
        if self.files.state.exists():
            self._restore()
            self._saved = self.step
        self._state_seen = self.files.state_stamp()

    @property
    def state_file(self) -> Path:
        return self.files.state

    @property
    def log_file(self) -> Path:
        return self.files.log

    def fit(
        self,
        loss_at: Callable[[int], Loss],
        until: int | None = None,
        save_seconds: float = 300,
        measure: Callable[[], dict] | None = None,
        measure_every: int = 500,
        quiet: bool = False,
        accumulate: int = 1,
        together: int = 1,
    ) -> None:
        """Train to step `until` (default: the recipe's end).

        `loss_at(step)` must depend on the step and the weights alone; `measure()` returns numbers
        for the log, taken with the averaged weights. accumulate: batches whose gradients are
        averaged into one step; `loss_at` is then given their numbers, which run on from step to
        step. together: so many steps share what is drawn with the weights before them, and no state
        is saved among them. Raises RunError where another process trains in the folder, and
        FloatingPointError, before it does harm, for a gradient or a weight that is not finite, and
        for a loss above 10,000.
        """
        until = self.recipe.steps if until is None else until
        if until % together:
            raise ValueError(f"steps must be a multiple of {together}, got {until}")
        with self.files.locked():
            self._demand_newest_state()
            self.files.rewind_log(self.step)
            saved, started, lines = time.monotonic(), time.monotonic(), []
            bar = tqdm(
                total=self.recipe.steps, initial=self.step, unit="step", mininterval=5,
                disable=quiet,
            )  # fmt: skip
            with bar:
                while self.step < until:
                    lines.append(self._take_step(loss_at, accumulate))
                    bar.update()
                    last = self.step == until
                    due = measure is not None and (last or self.step % measure_every == 0)
                    if due or last or self.step % LOG_EVERY == 0:
                        line = _summary(lines) | {"seconds": time.monotonic() - started}
                        self.files.append_log(line | (self._measured(measure) if due else {}))
                        bar.set_postfix(loss=f"{line['loss']:.4f}")
                        lines = []
                    if self.step % together == 0 and self._due(saved, save_seconds):
                        self.save()
                        saved = time.monotonic()
            self.save()

    def _due(self, saved: float, save_seconds: float) -> bool:
        return time.monotonic() - saved > save_seconds

    def _measured(self, measure: Callable[[], dict]) -> dict:
        with self.averaged():
            return measure()

    def _take_step(self, loss_at: Callable[[int], Loss], accumulate: int) -> dict:
        """One update of weights and average -> step, loss, rate and norm of the gradient"""
        lr = self.recipe.lr_at(self.step)
        for optimiser, peak in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.recipe.lr_at(self.step, peak)
        loss, numbers = self._backward(
            loss_at, range(self.step * accumulate, (self.step + 1) * accumulate)
        )
        norm = self._clip()
        if not torch.isfinite(norm):
            raise self._diverged("the gradient is not finite", lr)
        if abs(loss) > EXPLODED:
            raise self._diverged(f"the loss is {loss:.3g}", lr)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        # early on the average follows closely, so that it forgets the initial weights
        keep = min(self.recipe.ema, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.weights], 1 - keep)
        self.step += 1
        return {"step": self.step, "loss": loss, "lr": lr, "grad_norm": norm.item()} | numbers

    def _backward(self, loss_at: Callable[[int], Loss], batches: range) -> tuple[float, dict]:
        """Gradients of the batches, averaged -> the mean of their losses, and of other numbers

        A batch that is left out counts as one of loss and gradient zero.
        """
        loss, numbers = 0.0, {}
        for number in batches:
            result = loss_at(number)
            share, more = result if isinstance(result, tuple) else (result, {})
            if share is not None:
                share = share / len(batches)
                share.backward()
                loss += share.item()
            for key, value in more.items():
                numbers.setdefault(key, []).append(value)
        return loss, {key: sum(values) / len(values) for key, values in numbers.items()}

    def _clip(self) -> torch.Tensor:
        """Shorten a gradient that is too long; returns its norm before."""
        return nn.utils.clip_grad_norm_(self.weights, self.recipe.clip)

    def _finite(self) -> bool:
        return all(torch.isfinite(weight).all() for weight in self.weights)

    def _diverged(self, what: str, lr: float) -> FloatingPointError:
        kept = "no state was saved" if self._saved is None else f"step {self._saved} is kept"
        return FloatingPointError(
            f"step {self.step}: {what}; lower the rate {lr} ({kept} in {self.files.path})"
        )

    def averaged(self):
        """Context in which the model holds the averaged weights."""
        return _Swapped(self.weights, self.average)

    def use_average(self) -> None:
        """Leave the averaged weights in the model for good: what is trained is finished."""
        with torch.no_grad():
            for weight, average in zip(self.weights, self.average):
                weight.copy_(average)

    def save(self) -> None:
        """Write the state whole: a kill or a full disk leaves the previous file in place. And the
        log as a table.

        Raises FloatingPointError for weights that are not finite; the previous file stays, too.
        """
        if not self._finite():
            raise self._diverged("a weight is not finite", self.recipe.lr_at(self.step))
        self._write()
        self._saved = self.step
        self._state_seen = self.files.state_stamp()
        self.files.write_csv()

    def _write(self) -> None:
        write_tensors(self.files, self.files.state, self._tensors(), self.terms)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All that a state holds: the step; of each weight its average and moments"""
        tensors = {"step": torch.tensor(self.step)}
        for name, weight, average in zip(self.names, self.weights, self.average):
            tensors |= {f"weight.{name}": weight, f"average.{name}": average}
            for optimiser in self.optimisers:
                for key, value in optimiser.state.get(weight, {}).items():
                    tensors[f"{key}.{name}"] = value
        return tensors

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


def _summary(lines: list[dict]) -> dict:
    """The last step's line, with the means of loss and of an objective's numbers over all lines"""
    means = {key for line in lines for key in line} - {"step", "lr", "grad_norm"}
    values = {key: [line[key] for line in lines if key in line] for key in sorted(means)}
    return lines[-1] | {key: sum(each) / len(each) for key, each in values.items()}


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
