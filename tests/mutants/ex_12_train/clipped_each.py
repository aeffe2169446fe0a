"""Clips each weight alone."""

import torch


def answer(weights, optimisers, set_rates, loss_at, steps, keep):
    average = [weight.detach().clone() for weight in weights]
    losses = []
    for step in range(steps):
        set_rates(step)
        loss = loss_at(step)
        loss.backward()
        losses.append(loss.item())
        for weight in weights:
            torch.nn.utils.clip_grad_norm_([weight], 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        for slow, weight in zip(average, weights):
            slow.lerp_(weight.detach(), 1 - keep)
    return losses, average


HINT = "or the direction changes"
