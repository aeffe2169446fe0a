"""Lowers the scores that it is given, in place."""


def answer(scores_of, ids, most, ends, penalty):
    ids, written = list(ids), []
    while len(written) < most and not (written and written[-1] in ends):
        scores = scores_of(ids)
        for id in {*ids}:
            scores[id] = scores[id] * penalty if scores[id] < 0 else scores[id] / penalty
        written.append(scores.argmax().item())
        ids.append(written[-1])
    return written


HINT = "changes the scores that it is given"
