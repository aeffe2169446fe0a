"""The losses are added up."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.logsigmoid(-beta / 2 * lead).sum()


HINT = "added up"
