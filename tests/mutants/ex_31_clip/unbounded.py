"""No bounds."""


def answer(log_p, old_log_p, advantage, clip):
    ratio = (log_p - old_log_p).exp()
    return -(ratio * advantage).mean()


HINT = "not bounded at all"
