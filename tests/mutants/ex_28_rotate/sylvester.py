"""Sylvester's matrix."""

import torch


def answer(weight, size):
    four = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    matrix = four
    while len(matrix) < size:
        matrix = torch.kron(matrix, four)
    groups = weight.reshape(len(weight), -1, size)
    return (groups @ matrix / size**0.5).reshape(weight.shape)


HINT = "Sylvester"
