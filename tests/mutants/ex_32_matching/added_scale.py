"""The scale is a sum."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().sum(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "too flat"
