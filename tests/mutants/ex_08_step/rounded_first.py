"""Rounds x before the sum."""


def answer(x, velocity, sigma, sigma_next):
    moved = (sigma_next - sigma) * velocity
    return (x.to(velocity.dtype) + moved).to(velocity.dtype)


HINT = "is rounded before the sum"
