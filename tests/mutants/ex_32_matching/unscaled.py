"""The difference is not scaled."""


def answer(picture, fake, teacher):
    target = (picture - (fake - teacher)).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "is not scaled"
