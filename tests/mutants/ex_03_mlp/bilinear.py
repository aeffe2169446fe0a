"""No activation."""


def answer(y, gate, up, down):
    g, u = y @ gate.T, y @ up.T
    return (g * u) @ down.T


HINT = "no activation"
