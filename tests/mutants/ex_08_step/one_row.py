"""Flattens."""


def answer(x, velocity, sigma, sigma_next):
    moved = (sigma_next - sigma) * velocity
    return (x.float() + moved).to(velocity.dtype).flatten()


HINT = "give a tensor of the shape of x"
