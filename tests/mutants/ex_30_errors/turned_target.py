"""The target points to the data."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (data - noise)).pow(2).mean(1)

    return error(winner), error(loser)


HINT = "points the other way"
