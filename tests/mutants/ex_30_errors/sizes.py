"""Sizes in place of squares."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (noise - data)).abs().mean(1)

    return error(winner), error(loser)


HINT = "sizes of the errors"
