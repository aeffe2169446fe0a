"""Rounds once, at the end."""


def answer(x, velocity, sigma, sigma_next):
    moved = (sigma_next - sigma) * velocity.float()
    return (x.float() + moved).to(velocity.dtype)


HINT = "the product is in bfloat16, too"
