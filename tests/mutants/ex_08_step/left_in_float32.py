"""Gives float32."""


def answer(x, velocity, sigma, sigma_next):
    moved = (sigma_next - sigma) * velocity
    return x.float() + moved


HINT = "yours is in float32"
