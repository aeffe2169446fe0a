"""Beta is not halved."""

import torch.nn.functional as F


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.logsigmoid(-beta * lead).mean()


HINT = "halves it"
