"""Gives the product."""

import torch


def answer(A, B, alpha, rank):
    u, values, vh = torch.linalg.svd(alpha / len(A) * B @ A, full_matrices=False)
    return (u * values)[:, :rank] @ vh[:rank]


HINT = "give two matrices"
