"""The plain distance of the means."""

import torch


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def answer(a, b):
    A, B = a.T.cov(), b.T.cov()
    means = (a.mean(0) - b.mean(0)).norm()
    mixed = torch.linalg.eigvalsh(root(A) @ B @ root(A)).clamp(min=0).sqrt().sum()
    return means + A.trace() + B.trace() - 2 * mixed


HINT = "has to be squared"
