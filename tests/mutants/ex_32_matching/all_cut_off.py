"""Everything is cut off."""


def answer(picture, fake, teacher):
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = picture - (fake - teacher) / size
    return (picture - target).detach().pow(2).sum(dim=1).mean() / 2


HINT = "no gradient comes back"
