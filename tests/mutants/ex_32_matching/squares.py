"""Scaled by squares."""


def answer(picture, fake, teacher):
    size = (picture - teacher).pow(2).mean(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "scaled by squares"
