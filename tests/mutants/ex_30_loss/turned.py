"""Worse winners are rewarded."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.logsigmoid(beta / 2 * lead).mean()


HINT = "an error is worse"
