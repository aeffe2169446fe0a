"""The student's own noise comes on top."""

import torch

from qwenimage_ref.course.answers import EX_32_MATCHING as matching


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, torch.ones_like(sigma))
    x = ((1 - sigma) * picture + sigma * noise).detach()
    with torch.no_grad():
        expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
    return matching(picture, *expected)


HINT = "is a new one"
