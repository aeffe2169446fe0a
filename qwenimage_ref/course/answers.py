"""Answers to the exercises, so that a notebook runs through before they are solved.

Spoilers: solve first, the checkers in check.py say what is still wrong.
"""


def unless_solved(mine, answer):
    """`mine`, or `answer` while `mine` is still the stub: `...`, or raising NotImplementedError."""
    code = getattr(mine, "__code__", None)
    stub = mine is ... or (code is not None and "NotImplementedError" in code.co_names)
    if stub:
        print("not solved yet: the stored answer stands in")
    return answer if stub else mine


EX_00_WORD = "a red circle right of a blue star on a white background"

# words that no hint may contain, because they are the answer
SPOILERS = {"ex_00_word": {"right"}}
