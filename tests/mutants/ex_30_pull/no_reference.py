"""The reference is left out."""

import torch


def answer(winner, loser, ref_winner, ref_loser, beta):
    return beta / 2 * torch.sigmoid(beta / 2 * (winner - loser))


HINT = "left out"
