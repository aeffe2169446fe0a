"""As long as the next level."""


def answer(x, velocity, sigma, sigma_next):
    moved = sigma_next * velocity
    return (x.float() + moved).to(velocity.dtype)


HINT = "the difference of the two levels"
