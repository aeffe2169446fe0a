"""Changes x."""


def answer(x, velocity, sigma, sigma_next):
    moved = (sigma_next - sigma) * velocity
    return x.add_(moved).to(velocity.dtype)


HINT = "changes its argument x itself"
