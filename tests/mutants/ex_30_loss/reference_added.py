"""The reference is added."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = winner - loser + ref_winner - ref_loser
    return -F.logsigmoid(-beta / 2 * lead).mean()


HINT = "is added"
