"""The reference is left out."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    return -F.logsigmoid(-beta / 2 * (winner - loser)).mean()


HINT = "begin at ln 2"
