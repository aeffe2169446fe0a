"""Regression on the teacher's clean point."""

import torch


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, torch.ones_like(sigma))
    x = ((1 - sigma) * picture + sigma * e).detach()
    with torch.no_grad():
        fake(x, sigma)
        clean = x - sigma * teacher(x, sigma)
    return (picture - clean).pow(2).sum(dim=1).mean() / 2


HINT = "not the one of the matching loss"
