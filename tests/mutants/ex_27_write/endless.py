"""Ends are ignored."""


def answer(scores_of, ids, most, ends, penalty):
    ids, written = list(ids), []
    while len(written) < most:
        scores = scores_of(ids).clone()
        for id in {*ids}:
            scores[id] = scores[id] * penalty if scores[id] < 0 else scores[id] / penalty
        written.append(scores.argmax().item())
        ids.append(written[-1])
    return written


HINT = "goes on behind an end"
