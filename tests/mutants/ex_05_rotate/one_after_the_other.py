"""Makes the second number from the new first one."""


def answer(x, angle):
    y = x.clone()
    c, s = angle.cos(), angle.sin()
    y[:, 0::2] = y[:, 0::2] * c - y[:, 1::2] * s
    y[:, 1::2] = y[:, 0::2] * s + y[:, 1::2] * c
    return y


HINT = "made from both old ones"
