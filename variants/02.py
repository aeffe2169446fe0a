# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Tokens: second variants
#
# ## The longest known piece first
#
# ★★★☆☆ · 15 minutes
#
# Another tokenizer, WordPiece, needs no ranks. It takes the longest piece of the vocabulary with
# which the word begins, then the longest with which the rest begins, and so on. Write `pieces(word,
# vocabulary)`, the list of pieces. A letter that begins no known piece becomes the piece `"?"`, and
# the next one is tried.

# %% tags=["solution"] exercise="ex_02_merge"
def pieces(word, vocabulary):
    """The pieces that a word ends as."""
    ### BEGIN SOLUTION
    found, start = [], 0
    while start < len(word):
        ends = [e for e in range(start + 1, len(word) + 1) if word[start:e] in vocabulary]
        found.append(word[start : ends[-1]] if ends else "?")
        start = ends[-1] if ends else start + 1
    return found
    ### END SOLUTION


# %% tags=["test"] points=3
assert pieces("chalkboard", {"chalk", "board"}) == ["chalk", "board"]
### BEGIN HIDDEN TESTS
words = {"a", "b", "ab", "abc", "cd", "d"}
assert pieces("abcd", words) == ["abc", "d"], "the longest piece, and no looking ahead"
assert pieces("xabx", words) == ["?", "ab", "?"]
assert pieces("", words) == []
assert pieces("aab", words) == ["a", "ab"]
assert pieces("cab", words) == ["?", "ab"]
assert words == {"a", "b", "ab", "abc", "cd", "d"}, "the vocabulary stays as it is"
### END HIDDEN TESTS
