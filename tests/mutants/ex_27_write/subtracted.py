"""Subtracted."""


def answer(scores_of, ids, most, ends, penalty):
    ids, written = list(ids), []
    while len(written) < most and not (written and written[-1] in ends):
        scores = scores_of(ids).clone()
        for id in {*ids}:
            scores[id] = scores[id] - (penalty - 1)
        written.append(scores.argmax().item())
        ids.append(written[-1])
    return written


HINT = "it is a factor"
