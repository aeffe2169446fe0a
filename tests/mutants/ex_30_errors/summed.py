"""Squares are added up."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (noise - data)).pow(2).sum(1)

    return error(winner), error(loser)


HINT = "added up"
