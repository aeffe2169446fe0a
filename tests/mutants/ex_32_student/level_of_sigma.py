"""The student is asked at sigma."""

import torch

from qwenimage_ref.course.answers import EX_32_MATCHING as matching


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, sigma)
    x = ((1 - sigma) * picture + sigma * e).detach()
    with torch.no_grad():
        expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
    return matching(picture, *expected)


HINT = "begins at level 1"
