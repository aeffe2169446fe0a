"""Fake and teacher are exchanged."""

import torch


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, torch.ones_like(sigma))
    x = ((1 - sigma) * picture + sigma * e).detach()
    with torch.no_grad():
        expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
    first, second = expected
    size = (picture - second).abs().mean(dim=1, keepdim=True)
    target = (picture + (first - second) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "uphill"
