"""The loss in place of its derivative."""

import torch


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -torch.nn.functional.logsigmoid(-beta / 2 * lead)


HINT = "not its derivative"
