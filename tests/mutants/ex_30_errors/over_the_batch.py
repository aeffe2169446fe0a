"""One error for all pairs."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (noise - data)).pow(2).mean()

    return error(winner), error(loser)


HINT = "one error a pair"
