"""A logarithm of what has become 0."""


def answer(winner, loser, ref_winner, ref_loser, beta):
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -(1 / (1 + (beta / 2 * lead).exp())).log().mean()


HINT = "is infinite"
