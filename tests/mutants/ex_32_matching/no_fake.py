"""Pulled to the teacher's picture."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = (picture - (picture - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "leaves the fake"
