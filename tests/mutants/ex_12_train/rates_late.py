"""Sets the rates after the step."""

import torch


def answer(weights, optimisers, set_rates, loss_at, steps, keep):
    average = [weight.detach().clone() for weight in weights]
    losses = []
    for step in range(steps):
        loss = loss_at(step)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        set_rates(step)
        for slow, weight in zip(average, weights):
            slow.lerp_(weight.detach(), 1 - keep)
    return losses, average


HINT = "after the step that they are meant for"
