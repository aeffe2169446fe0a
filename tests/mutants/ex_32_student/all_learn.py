"""Gradients flow into the fake through the fake's point."""

import torch


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, torch.ones_like(sigma))
    x = (1 - sigma) * picture + sigma * e
    first, second = (x - sigma * velocity(x, sigma) for velocity in (fake, teacher))
    return (picture * (first - second)).sum(dim=1).mean()


HINT = "only the student is trained"
