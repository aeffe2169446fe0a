"""The loss of training from data, at the four levels."""

HINT = "trained from data"


def answer(student, noise, target, levels):
    losses = []
    for sigma in levels[:-1]:
        x = (1 - sigma) * target + sigma * noise
        losses.append((student(x, sigma) - (noise - target)).pow(2).mean())
    return sum(losses) / len(losses)
