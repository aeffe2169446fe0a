"""Takes roots of single numbers."""


def answer(a, b):
    A, B = a.T.cov(), b.T.cov()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return means + (A + B - 2 * (A @ B).clamp(min=0).sqrt()).trace()


HINT = "roots of single numbers"
