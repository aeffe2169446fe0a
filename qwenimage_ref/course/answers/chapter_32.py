"""Chapter 32: distillation."""


def EX_32_SCORE(x, velocity, sigma):
    """Minus the noise that is expected in x, over its level."""
    noise = x + (1 - sigma) * velocity
    return -noise / sigma


def EX_32_MATCHING(picture, fake, teacher):
    """Half a squared distance whose gradient is the scaled difference, and nothing else."""
    size = (picture - teacher).abs().mean(dim=1, keepdim=True)
    target = (picture - (fake - teacher) / size).detach()
    return (picture - target).pow(2).sum(dim=1).mean() / 2


def EX_32_STUDENT(student, fake, teacher, noise, e, sigma):
    """One step, noise on top, two opinions, and their difference as the gradient."""
    import torch

    picture = noise - student(noise, torch.ones_like(sigma))
    x = (1 - sigma) * picture + sigma * e
    with torch.no_grad():
        expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
    return EX_32_MATCHING(picture, *expected)


SPOILERS = {
    "ex_32_score": {"(1 - sigma)", "/ sigma"},
    "ex_32_matching": {"detach", "keepdim"},
    "ex_32_student": {"ones_like", "no_grad"},
}
