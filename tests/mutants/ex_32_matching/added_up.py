"""Added up over pictures."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum() / 2


HINT = "average over them"
