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

# %% [markdown]
# ## Rare parts first
#
# ★★★★☆ · 25 minutes
#
# WordPiece learns its pieces by counting, too, but prefers pairs whose parts hardly occur
# elsewhere. Write `learn_scored(counts, most)`. `counts` says how often each word occurs, such as
# `{"aba": 3, "b": 7}`; at the beginning every word is a list of its letters. In every round, the
# score of a pair of neighbours is the number of its occurrences, divided by the number of
# occurrences of its first token and by that of its second. Merge the pair of the largest score, of
# several the smallest as Python compares tuples, at all of its places from left to right, and count
# again. Pairs that occur once are never merged. Return the list of at most `most` pairs, the first
# merged first.


# %% tags=["solution"] exercise="ex_02_learn"
def learn_scored(counts, most):
    """The pairs in the order in which they are merged; `counts` stays as it is."""
    ### BEGIN SOLUTION
    from collections import Counter
    from fractions import Fraction

    tokens_of, pairs = {word: [*word] for word in counts}, []
    while len(pairs) < most:
        single, double = Counter(), Counter()
        for word, tokens in tokens_of.items():
            for token in tokens:
                single[token] += counts[word]
            for pair in zip(tokens, tokens[1:]):
                double[pair] += counts[word]
        score = {
            (a, b): Fraction(times, single[a] * single[b])
            for (a, b), times in double.items()
            if times > 1
        }
        if not score:
            break
        best = min(score, key=lambda pair: (-score[pair], pair))
        pairs.append(best)
        for word, tokens in tokens_of.items():
            merged = []
            while tokens:
                size = 2 if tuple(tokens[:2]) == best else 1
                merged.append("".join(tokens[:size]))
                tokens = tokens[size:]
            tokens_of[word] = merged
    return pairs
    ### END SOLUTION


# %% tags=["test"] points=4
assert learn_scored({"ab": 5, "xy": 2}, 1) == [("x", "y")]
### BEGIN HIDDEN TESTS
counts = {"abc": 6, "ab": 4, "xbc": 2, "a": 5, "c": 9, "qz": 1}
assert learn_scored(counts, 3) == [("x", "b"), ("a", "b"), ("xb", "c")]
assert learn_scored({"ab": 2, "cd": 2, "qz": 1}, 9) == [("a", "b"), ("c", "d")]
assert learn_scored({"abab": 2}, 9) == [("a", "b"), ("ab", "ab")]
assert learn_scored({"abx": 3, "aby": 3, "a": 90}, 2) == [("b", "x"), ("b", "y")]
assert learn_scored({}, 3) == [] and learn_scored({"ab": 7}, 0) == []
assert counts == {"abc": 6, "ab": 4, "xbc": 2, "a": 5, "c": 9, "qz": 1}, "counts stay as they are"
### END HIDDEN TESTS
