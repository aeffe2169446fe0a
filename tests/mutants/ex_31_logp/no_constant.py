"""No constant."""


def answer(x_next, mean, deviation):
    distance = ((x_next - mean) / deviation).pow(2)
    return (-distance / 2 - deviation.log()).mean(1)


HINT = "constant of the normal distribution is missing"
