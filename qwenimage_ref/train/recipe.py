"""How a network is trained: steps, rates, seed."""

import math
from dataclasses import dataclass

import torch


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
