"""Losers first."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (noise - data)).pow(2).mean(1)

    return error(loser), error(winner)


HINT = "the other way round"
