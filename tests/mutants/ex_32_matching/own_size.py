"""Divided by its own size."""


def answer(picture, fake, teacher):
    size = (fake - teacher).abs().mean(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "never becomes weaker"
