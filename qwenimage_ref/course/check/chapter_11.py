"""Chapter 11: gallery of wrong answers."""

from ..answers import EX_11_DIAGNOSE
from ..bugs.quiz import CAUSES
from .common import exercise, need

LOOK_AT = (
    "the edges are where they belong, the colours are not; what treats each of the 16 latent "
    "channels by itself, after the last step?",
    "the paper is clean, but a shape is in pieces and the word has letters too many; it was "
    "painted well, so what was read?",
    "the paper has its colour, so the prompt has arrived; nothing knows where it belongs",
    "the outlines are there, and every cell of 16 pixels has the same dirt; what happens to each "
    "token alone, behind the last block?",
    "all is clean, and both shapes are there; only their places are exchanged. What counts places "
    "that hold nothing?",
)
UNLIKE = {  # (picture, cause that it resembles): what tells them apart
    (1, "frame axis averaged"): "that makes colours pale; these are strong, only not theirs",
    (1, "shift before scale"): "that leaves dirt in every cell of the paper; this paper is clean",
    (2, "padding counted"): "that leaves every shape whole; here one is in pieces",
    (3, "velocity sign"): "that ends in more noise than it began with; this paper is calm",
    (4, "packed p-p-c"): "that loses the outlines, too; here you can still see them",
    (4, "statistics inverted"): "that leaves the paper clean; this one has dirt in every cell",
    (5, "odd grid"): "this picture has 8 x 8 tokens; which grids does that bug need?",
    (5, "grid not centred"): "that loses or doubles a shape; here each is there once",
    (5, "text starts at 0"): "that loses or doubles a shape; here each is there once",
    (5, "cut at 35"): "that leaves the shapes where they belong; compare with the prompt",
}


@exercise
def ex_11_diagnose(causes) -> str:
    """The cause of each of the five sick pictures, in their order."""
    need(
        isinstance(causes, list | tuple) and all(isinstance(cause, str) for cause in causes),
        "the answer is a list of five names, each in quotes",
    )
    need(len(causes) == 5, f"{len(causes)} names for five pictures")
    for place, cause in enumerate(causes, 1):
        need(cause in CAUSES, f"number {place} is no name on the wall; mind the spelling")
    need(len(set(causes)) == 5, "the same cause twice; each picture has a cause of its own")
    wrong = [i for i, (one, other) in enumerate(zip(causes, EX_11_DIAGNOSE)) if one != other]
    if wrong:
        which = ", ".join(str(i + 1) for i in wrong)
        first = wrong[0] + 1
        hint = UNLIKE.get((first, causes[first - 1]), LOOK_AT[first - 1])
        need(False, f"{5 - len(wrong)} of 5 right, not yet: {which}. Picture {first}: {hint}")
    return "five pictures, five causes"
