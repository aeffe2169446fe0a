"""The product of two roots."""

import torch


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def answer(a, b):
    A, B = a.T.cov(), b.T.cov()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return means + (A + B - 2 * root(A) @ root(B)).trace()


HINT = "do not commute"
