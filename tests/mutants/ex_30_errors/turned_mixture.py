"""Data and noise have changed places."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = level * data + (1 - level) * noise
        return (velocity_of(x, sigma) - (noise - data)).pow(2).mean(1)

    return error(winner), error(loser)


HINT = "changed places"
