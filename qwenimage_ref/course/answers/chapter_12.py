"""Chapter 12: train your own."""

import torch


def EX_12_SIGMA(kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform as it is; a squashed normal; the same moved towards noise, as the sampler does."""
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)


SPOILERS = {"ex_12_sigma": {"sigmoid", "rand", "randn"}}
