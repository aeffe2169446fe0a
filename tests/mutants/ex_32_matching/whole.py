"""The half is forgotten."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean()


HINT = "twice as steep"
