"""The bounded ratio alone."""


def answer(log_p, old_log_p, advantage, clip):
    ratio = (log_p - old_log_p).exp().clamp(1 - clip, 1 + clip)
    return -(ratio * advantage).mean()


HINT = "have become worse"
