"""The sign is turned."""

import torch


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -beta / 2 * torch.sigmoid(beta / 2 * lead)


HINT = "the sign"
