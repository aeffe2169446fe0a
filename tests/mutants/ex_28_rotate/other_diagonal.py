"""Minus signs on the main diagonal."""

import torch


def answer(weight, size):
    four = torch.ones(4, 4) - 2 * torch.eye(4)
    matrix = four
    while len(matrix) < size:
        matrix = torch.kron(matrix, four)
    groups = weight.reshape(len(weight), -1, size)
    return (groups @ matrix / size**0.5).reshape(weight.shape)


HINT = "other diagonal"
