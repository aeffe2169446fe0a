"""Chapter 30: preference."""

import torch
import torch.nn.functional as F


def EX_30_LOSS(winner, loser, ref_winner, ref_loser, beta: float):
    """How much farther the policy is ahead with the winner than the reference, as a loss."""
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.logsigmoid(-beta / 2 * lead).mean()


def EX_30_ERRORS(velocity_of, winner, loser, noise, sigma):
    """Both lie under one noise at one sigma."""
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (noise - data)).pow(2).mean(1)

    return error(winner), error(loser)


def EX_30_PULL(winner, loser, ref_winner, ref_loser, beta: float):
    """Strong where the policy still prefers the loser, weak where it is far ahead."""
    lead = (winner - loser) - (ref_winner - ref_loser)
    return beta / 2 * torch.sigmoid(beta / 2 * lead)


SPOILERS = {
    "ex_30_loss": {"logsigmoid"},
    "ex_30_errors": {"pow", "stack"},
    "ex_30_pull": {"sigmoid"},
}
