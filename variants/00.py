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
# # 00 · A picture in sixty seconds: second variants
#
# ## One word, the other way up
#
# ★☆☆☆☆ · 3 minutes
#
# Start from *a green ring above a pink square on a gray background*. Change **one word** so that
# the two shapes trade places, each keeping its colour.

# %% tags=["solution"] exercise="ex_00_word"
### BEGIN SOLUTION
my_prompt = "a green ring below a pink square on a gray background"
### END SOLUTION

# %% tags=["test"] points=1
assert isinstance(my_prompt, str)
### BEGIN HIDDEN TESTS
start = "a green ring above a pink square on a gray background".split()
words = my_prompt.split()
assert len(words) == len(start), "as many words as before"
changed = [i for i, (old, new) in enumerate(zip(start, words)) if old != new]
assert changed == [3] and words[3] == "below"
### END HIDDEN TESTS
