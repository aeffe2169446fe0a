"""The step ends at sigma."""

import torch

from qwenimage_ref.course.answers import EX_32_MATCHING as matching


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - (1 - sigma) * student(noise, torch.ones_like(sigma))
    x = ((1 - sigma) * picture + sigma * e).detach()
    with torch.no_grad():
        expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
    return matching(picture, *expected)


HINT = "one whole step from level 1 to 0"
