"""Fake and teacher are asked at level 1."""

import torch

from qwenimage_ref.course.answers import EX_32_MATCHING as matching


def answer(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, torch.ones_like(sigma))
    x = ((1 - sigma) * picture + sigma * e).detach()
    with torch.no_grad():
        expected = [x - sigma * velocity(x, torch.ones_like(sigma)) for velocity in (fake, teacher)]
    return matching(picture, *expected)


HINT = "the level of what they are shown"
