"""The student runs without a gradient."""

import torch

from qwenimage_ref.course.answers import EX_32_MATCHING as matching


def answer(student, fake, teacher, noise, e, sigma):
    with torch.no_grad():
        picture = noise - student(noise, torch.ones_like(sigma))
        x = (1 - sigma) * picture + sigma * e
        expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
    return matching(picture, *expected)


HINT = "no gradient comes back"
