"""The target is not cut off from the picture."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = picture - (fake - teacher) / size
    return (picture - target).pow(2).sum(dim=1).mean() / 2


HINT = "neither of them is trained"
