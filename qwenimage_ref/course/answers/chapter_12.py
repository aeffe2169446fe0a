"""Chapter 12: train your own."""

import torch


def EX_12_SIGMA(kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform as it is; a squashed normal; the same moved towards noise, as the sampler does."""
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)


def EX_12_LOSS(velocity_of, data, noise, sigma):
    """A function (B, C, h, w), (B,) -> (B, C, h, w), two (B, C, h, w), (B,) -> () the loss"""
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (velocity_of(x, sigma) - (noise - data)).pow(2).mean()


def EX_12_TRAIN(weights, optimisers, set_rates, loss_at, steps, keep):
    """Trains the weights in place -> the losses as numbers, and the average of the weights"""
    average = [weight.detach().clone() for weight in weights]
    losses = []
    for step in range(steps):
        set_rates(step)
        loss = loss_at(step)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        for slow, weight in zip(average, weights):
            slow.lerp_(weight.detach(), 1 - keep)
    return losses, average


SPOILERS = {
    "ex_12_sigma": {"sigmoid", "rand", "randn"},
    "ex_12_loss": {"view", "velocity_of"},
    "ex_12_train": {"zero_grad", "clip_grad_norm_", "lerp_", "clone"},
}
