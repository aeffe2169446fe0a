"""Cuts the graph between the steps, to save memory."""

HINT = "cut off between them"


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x.detach() + (sigma_next - sigma) * student(x.detach(), sigma)
    return (x - target).pow(2).mean()
