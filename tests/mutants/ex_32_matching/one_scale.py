"""One scale for all pictures."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean()
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "one scale for all"
