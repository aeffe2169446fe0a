"""Beta has no part."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.logsigmoid(-lead / 2).mean()


HINT = "has no part"
