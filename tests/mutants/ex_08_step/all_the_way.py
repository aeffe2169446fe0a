"""Steps to sigma 0."""


def answer(x, velocity, sigma, sigma_next):
    moved = -sigma * velocity
    return (x.float() + moved).to(velocity.dtype)


HINT = "goes all the way to sigma 0"
