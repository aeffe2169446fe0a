"""The logarithm is missing."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.sigmoid(-beta / 2 * lead).mean()


HINT = "logarithm is missing"
