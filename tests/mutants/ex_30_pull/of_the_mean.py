"""The derivative of the mean."""

import torch


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return beta / 2 * torch.sigmoid(beta / 2 * lead) / len(lead)


HINT = "the mean over the pairs"
