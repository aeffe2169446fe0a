"""Divided by the size and not by its root."""

import torch


def answer(weight, size):
    four = torch.ones(4, 4) - 2 * torch.eye(4).flip(0)
    matrix = four
    while len(matrix) < size:
        matrix = torch.kron(matrix, four)
    groups = weight.reshape(len(weight), -1, size)
    return (groups @ matrix / size).reshape(weight.shape)


HINT = "have shrunk"
