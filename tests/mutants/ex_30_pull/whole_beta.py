"""Beta is not halved outside."""

import torch


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return beta * torch.sigmoid(beta / 2 * lead)


HINT = "half of beta"
