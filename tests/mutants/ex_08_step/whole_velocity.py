"""Adds the velocity."""


def answer(x, velocity, sigma, sigma_next):
    moved = velocity
    return (x.float() + moved).to(velocity.dtype)


HINT = "as long as the velocity"
