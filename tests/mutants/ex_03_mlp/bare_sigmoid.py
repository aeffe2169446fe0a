"""A gated linear unit as it was first."""


def answer(y, gate, up, down):
    g, u = y @ gate.T, y @ up.T
    return (g.sigmoid() * u) @ down.T


HINT = "a bare sigmoid"
