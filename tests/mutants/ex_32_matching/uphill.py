"""Fake and teacher are exchanged."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = (picture - (teacher - fake) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "uphill"
