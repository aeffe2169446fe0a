"""The inner derivative is missing."""

import torch


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return torch.sigmoid(beta / 2 * lead)


HINT = "is missing"
