"""The pairs are averaged before the logarithm."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = ((winner - loser) - (ref_winner - ref_loser)).mean()
    return -F.logsigmoid(-beta / 2 * lead)


HINT = "average the pairs first"
