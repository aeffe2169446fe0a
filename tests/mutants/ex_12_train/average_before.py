"""Follows before the step."""

import torch


def answer(weights, optimisers, set_rates, loss_at, steps, keep):
    average = [weight.detach().clone() for weight in weights]
    losses = []
    for step in range(steps):
        set_rates(step)
        loss = loss_at(step)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for slow, weight in zip(average, weights):
            slow.lerp_(weight.detach(), 1 - keep)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    return losses, average


HINT = "as they were before the step"
