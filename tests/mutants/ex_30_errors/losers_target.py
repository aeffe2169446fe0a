"""The loser is compared with the winner's target."""


def answer(velocity_of, winner, loser, noise, sigma):
    level = sigma[:, None]

    def error(data):
        x = (1 - level) * data + level * noise
        return (velocity_of(x, sigma) - (noise - winner)).pow(2).mean(1)

    return error(winner), error(loser)


HINT = "has its own"
