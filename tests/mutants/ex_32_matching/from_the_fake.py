"""Scaled by the distance from the fake's picture."""


def answer(picture, fake, teacher):
    size = (picture - fake).abs().mean(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "not from the fake's"
