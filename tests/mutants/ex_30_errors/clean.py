"""The network is shown the data."""


def answer(velocity_of, winner, loser, noise, sigma):
    def error(data):
        x = data
        return (velocity_of(x, sigma) - (noise - data)).pow(2).mean(1)

    return error(winner), error(loser)


HINT = "clean pictures"
