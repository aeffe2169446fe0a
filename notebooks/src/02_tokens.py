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
# # 02 · Tokens
#
# A transformer computes with numbers, so a prompt first has to become a sequence of integers. This
# page builds that conversion from the bytes up, in English and in Chinese, and ends with the ids
# that the official model was trained on.
#
# | | |
# |---|---|
# | **You need** | [chapter 00](00_a_picture_in_sixty_seconds.ipynb); strings, lists, dictionaries |
# | **You get** | a tokenizer whose every id you could find by hand, and its training |
# | **Minutes** | 30 to read, 45 to write, a few seconds to run |
# | **Picture** | the merge tree of a word; token strips, English and Chinese |
# | **Number** | 21 of 21 golden prompts give the official ids; 34 tokens are dropped |

# %% [markdown]
# ## Why not letters, why not words?
#
# A *token* is a piece of text with a number, its **id**. How large should the pieces be? With
# single letters the sequences would be five times as long, and long sequences are expensive,
# because attention compares every pair of tokens. With whole words the vocabulary would never be
# complete: *chalkboards* would be unknown if only *chalkboard* was listed. The usual solution lies
# in between. A frequent word is one token, a rare one is split into pieces, and in the worst case
# into single **bytes**. There are only 256 of those, so no text is ever unknown.
#
# ![Block diagram: a prompt of characters goes into the template, is cut at added tokens and into
# words, each word becomes one letter for each byte, letters are merged into tokens, and ids go into
# the text encoder, whose first 34 states are dropped](figures/tokens.svg)
#
# ## Step 1: bytes
#
# A computer stores text as bytes, usually in the encoding UTF-8. English letters take one byte
# each, accented ones two, Chinese characters three and most emoji four.

# %%
for character in ("a", "é", "红", "🐱"):
    data = character.encode("utf-8")
    print(character, len(data), "bytes:", data.hex(" "))

# %% [markdown]
# One preparation comes first. The letter *é* can be stored in two ways, as one character or as an
# *e* followed by an accent. Both look the same, so they should also become the same tokens.
# Unicode's normal form **NFC** uses the single character, and the tokenizer applies it before
# anything else.

# %%
import unicodedata

one, two = "caf\u00e9", "cafe\u0301"
assert one != two and unicodedata.normalize("NFC", two) == one
print(f"{len(one)} and {len(two)} characters, after NFC both are {len(one)}: ok")

# %% [markdown]
# ## Step 2: letters for bytes
#
# Vocabularies are kept in text files, but some bytes cannot be printed: a space, a newline, a third
# of a Chinese character. Each byte is therefore written as a printable letter. Bytes that are
# printable characters stand for themselves, and the others get letters from `U+0100` on. This is
# why published vocabularies are full of `Ġ`, which stands for a space.

# %%
from qwenimage_ref import bpe

themselves = [byte for byte, letter in bpe.LETTER_OF.items() if ord(letter) == byte]
assert (len(bpe.LETTER_OF), len(themselves)) == (256, 188)
for text in ("a ring", "红", "\n"):
    print(repr(text), "is written", bpe.to_letters(text))
    assert bpe.to_bytes(bpe.to_letters(text)).decode() == text

# %% [markdown]
# ## Step 3: cut into words
#
# Next, a regular expression cuts the prompt into *words*, and no token ever crosses such a cut. At
# each place the first alternative that fits is taken:
#
# | it takes | for example |
# |---|---|
# | an English ending after an apostrophe | `'s` |
# | letters, with one character before them, usually the space | ` blue` |
# | **one** digit | `7` |
# | punctuation, with a space before it and newlines after it | `!?` |
# | white space; a last space is left for letters or punctuation that follow | |

# %%
words = bpe.split_words("It's 2 cats,  12 caf\u00e9s!\n\n红色圆形")
assert "".join(words) == "It's 2 cats,  12 caf\u00e9s!\n\n红色圆形"
print(words)

# %% [markdown]
# A space belongs to the word *after* it, so *cats* at the beginning of a prompt and *cats* after a
# space are different tokens. Each digit is a word of its own and takes no space with it; the space
# before *2* is a separate word. A Chinese sentence without punctuation is one single "word",
# because Chinese is written without spaces.

# %%
assert words[:5] == ["It", "'s", " ", "2", " cats"] and words[-1] == "红色圆形"
print("a space goes with the next letters, digits never group: ok")

# %% [markdown]
# ## Step 4: merge
#
# A word is now a sequence of letters, one for each byte. **Byte-pair encoding** merges neighbours,
# according to a list of pairs that was learned once and then frozen. The position of a pair in that
# list is its **rank**: the pair of rank 0 was learned first. This is the rule:
#
# > Among all neighbouring pairs in the word, take the one with the lowest rank and merge it
# > wherever it occurs, from left to right. Repeat this until none of the pairs is in the list.
#
# Here is the rule at work on one word. `merge_trees.history` in the package applies it and records
# each state. The tokenizer is that of the pocket model, which runs the same code as the official
# one with a much smaller vocabulary.

# %%
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import merge_trees
from qwenimage_ref.tokenizer import Tokenizer

pocket = Tokenizer.load(show.pocket_folder() / "tokenizer")
ranks = {pair: rank for rank, pair in enumerate(pocket.merges)}
for rank, state in merge_trees.history(" background", ranks):
    print("start  " if rank is None else f"rank {rank:2}", *map(merge_trees.letters, state))

# %% [markdown]
# The next figure shows the same as a tree, with the bytes at the top, one merge in each row and its
# rank beside it. On the right is the Chinese word for *background*, 背景, with the *official*
# merges. It has two characters of three bytes each; the bytes are merged into characters first, and
# then the characters into the word.
#
# The official tokenizer is not part of this repository. `stored_results.run` computes with it if it
# is on your machine, and returns a stored result otherwise; where both exist they have to agree.

# %%
import functools

from qwenimage_ref.course import stored_results


@functools.cache
def official(path):
    return Tokenizer.load(path)


def chinese_tree(path):
    merges = official(path).merges
    return merge_trees.grow("背景", {pair: rank for rank, pair in enumerate(merges)})


# %%
grown = {
    '" background", pocket': merge_trees.grow(" background", ranks),
    "the same in Chinese, official": stored_results.run("02_tree", "tokenizer", chinese_tree),
}
merge_trees.picture(
    grown,
    alt="Two merge trees. The letters of ' background' join in ten merges, the space and the b "
    "first, then ackground, then both. Six bytes join in five merges: twice three, then all.",
)

# %%
english, chinese = grown.values()
assert len(english) == len(chinese) == 1, "each ends as one token"
assert len(merge_trees.merges(english[0])) == 10 and len(merge_trees.merges(chinese[0])) == 5
assert bpe.to_bytes(merge_trees.letters(chinese[0])).decode() == "背景"
print("11 bytes in 10 merges, 6 bytes in 5 merges, one token each: ok")

# %% [markdown]
# ## Where the list comes from
#
# The list is learned by counting. Cut a large amount of text into words and bytes, give rank 0 to
# the most frequent pair, merge it everywhere, and count again. Here the first pair of 300 poster
# captions is found by hand and by `learn`.

# %%
import itertools
from collections import Counter

from qwenimage_ref.bpe_training import learn
from qwenimage_ref.posters.draw import caption, sample_scene

captions = [caption(sample_scene(i), ("en", "zh")[i % 2], i) for i in range(300)]
counts = Counter(bpe.to_letters(word) for text in captions for word in bpe.split_words(text))

pairs = Counter()
for word, times in counts.items():
    for pair in itertools.pairwise(word):
        pairs[pair] += times
(first, times), (second, less) = pairs.most_common(2)
assert times > less and next(learn(counts, min_count=2)) == first
print(f"{first} occurs {times} times: the first merge of these captions")
print("as bytes:", bpe.to_bytes("".join(first)).hex(" "))

# %% [markdown]
# These two bytes are not a character: 上 (*above*), 一 (*one*), 中 (*middle*) and others begin with
# `e4 b8`, and counting takes no account of characters. (The pocket tokenizer's own rank 0 is a
# space and a *t*, because its training text contained more than captions, as you will see below.)

# %% [markdown]
# ## Exercise: the merge loop
#
# ★★★☆☆ · 15 minutes
#
# Write `merge(tokens, ranks)`. `tokens` is a list of letters, such as `["x", "a", "b"]`; `ranks`
# gives the rank of each known pair, such as `{("a", "b"): 0}`. Return the list of tokens that the
# rule above ends with. You will know it works when the checker says so and your loop gives the ids
# of 300 captions.


# %% tags=["exercise"]
def merge(tokens, ranks):
    """The tokens that a word ends as; `tokens` itself stays as it is."""
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

merge = answers.unless_solved(merge, answers.EX_02_MERGE)
check.ex_02_merge(merge)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# There are two tasks, one inside the other: find the best pair in the current list, and make a new
# list in which that pair is merged. Repeat until no pair is found.
#
# </details>
#
# <details><summary>A hint</summary>
#
# For the second task, walk with an index. Where the pair begins at the index, append the merged
# token and move on by two, else append one token and move on by one. What happens in *aaa*?
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
#     copy the list
#     repeat:
#         collect the neighbouring pairs that have a rank
#         if there are none, return the list
#         best: the pair with the lowest rank
#         new list; walk from the left:
#             if the pair here is the best one: append it joined, continue two places later
#             else: append the token, continue one place later
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def merge(tokens, ranks):
#     tokens = list(tokens)
#     while True:
#         pairs = [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]
#         if not pairs:
#             return tokens
#         best = min(pairs, key=ranks.get)
#         merged, i = [], 0
#         while i < len(tokens):
#             if tuple(tokens[i : i + 2]) == best:
#                 merged.append(tokens[i] + tokens[i + 1])
#                 i += 2
#             else:
#                 merged.append(tokens[i])
#                 i += 1
#         tokens = merged
# ```
#
# </details>

# %% [markdown]
# Your loop scans the whole word for every merge. The package's `bpe.merge` keeps the candidate
# pairs in a heap instead, so that a megabyte of a single letter, pasted by a user, does not bring
# the program to a halt. `pocket.encode` adds the steps before merging. All three give the same ids:


# %%
def encode_by_hand(text):
    ids = []
    for word in bpe.split_words(text):
        ids += [pocket.vocab[token] for token in merge([*bpe.to_letters(word)], ranks)]
    return ids


for text in captions:
    heap = [
        pocket.vocab[token]
        for word in bpe.split_words(text)
        for token in bpe.merge(bpe.to_letters(word), ranks)
    ]
    assert encode_by_hand(text) == heap == pocket.encode(text)
print("your loop, the heap and encode give the same ids for 300 captions: ok")

# %%
show.source(Tokenizer.encode, Tokenizer._encode_word)

# %% [markdown]
# *Added tokens* are an exception to all of this. They are 22 strings such as `<|im_end|>`, which
# are searched for before anything else and become one id each; they mark the parts of a
# conversation. A user who types one of them into a prompt gets the same id as the template does.
#
# ## Exercise: learn the list
#
# ★★★★☆ · 25 minutes
#
# Write `learn_merges(counts, most)`, the training of a tokenizer. `counts` says how often each
# word, written in letters, occurs, such as `{"aba": 3, "b": 7}`. Return a list of at most `most`
# pairs of tokens, in the order in which they are learned. In every round, count all neighbouring
# pairs, each as often as its word occurs; *aaa* has the pair a, a twice. Take the most frequent
# pair, and of equally frequent ones the smallest as Python compares tuples. Merge it everywhere by
# the rule above, and count again. Stop early when no pair occurs at least twice. Your `merge` may
# be used. You will know it works when the checker says so and your list is the package's.


# %% tags=["exercise"]
def learn_merges(counts, most):
    """A list of pairs, the first learned first; `counts` itself stays as it is."""
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
learn_merges = answers.unless_solved(learn_merges, answers.EX_02_LEARN)
check.ex_02_learn(learn_merges)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Keep for each word the list of tokens that it consists of by now. At the beginning these are its
# letters.
#
# </details>
#
# <details><summary>A hint</summary>
#
# What does `merge` do if the best pair is the only one that has a rank? `itertools.pairwise` gives
# the neighbours in a list, and a `Counter` begins at zero for every pair.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
#     tokens of each word: its letters
#     repeat until there are enough pairs:
#         count: for each word, add its number to each of its neighbouring pairs
#         best: the pair with the largest count; of several, the smallest tuple
#         if there is none, or its count is one: stop
#         note the best pair
#         merge it in the tokens of every word
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def learn_merges(counts, most):
#     tokens_of = {word: [*word] for word in counts}
#     pairs = []
#     while len(pairs) < most:
#         times = Counter()
#         for word, tokens in tokens_of.items():
#             for pair in itertools.pairwise(tokens):
#                 times[pair] += counts[word]
#         best = min(times, key=lambda pair: (-times[pair], pair), default=None)
#         if best is None or times[best] < 2:
#             break
#         pairs.append(best)
#         tokens_of = {word: merge(tokens, {best: 0}) for word, tokens in tokens_of.items()}
#     return pairs
# ```
#
# </details>
#
# Your function counts every pair again for every merge. The package's `learn` only recounts the
# words that contain the merged pair, which matters when there are 151,387 merges. How many are
# needed? We learn 300 from our captions and use the first few of them on forty new ones, which have
# the same scenes in both languages.

# %%
mine = learn_merges(counts, 300)
assert mine == list(itertools.islice(learn(counts, min_count=2), 300))

languages = {"English": "en", "Chinese": "zh"}
fresh = {
    name: [caption(sample_scene(i), language, i) for i in range(1000, 1040)]
    for name, language in languages.items()
}


def mean_length(texts, merges):
    known = {pair: rank for rank, pair in enumerate(merges)}
    words = [bpe.to_letters(word) for text in texts for word in bpe.split_words(text)]
    return sum(len(bpe.merge(word, known)) for word in words) / len(texts)


sizes = (0, 10, 20, 30, 50, 100, 150, 200, 250, 300)
series = {
    name: [(size, mean_length(texts, mine[:size])) for size in sizes]
    for name, texts in fresh.items()
}

# %%
from qwenimage_ref.course import charts

charts.curves(
    [{"series": series, "x": "merges learned", "y": "tokens of a caption"}],
    alt="Two falling curves over the number of merges: English from 68 to 16 tokens of a caption, "
    "Chinese from 62 to 8, both steep at first",
)

# %%
ends = {name: (points[0][1], points[-1][1]) for name, points in series.items()}
for name, (start, end) in ends.items():
    print(f"{name}: {start:.1f} bytes become {end:.1f} tokens")
assert all(b[1] < a[1] for points in series.values() for a, b in itertools.pairwise(points))
for start, *_, hundred, _, _, _, end in series.values():
    assert start[1] - hundred[1] > 2 * (hundred[1] - end[1]) and hundred[0] == 100
assert ends["Chinese"][1] < ends["English"][1] / 2
print("the first hundred merges save more than twice what the next two hundred do: ok")

# %% [markdown]
# The first merges save most, because they are the most frequent ones. Chinese ends with fewer
# tokens: where no space ends a word, whole phrases can be merged.
#
# ## Strips
#
# Here is one scene in both languages, cut by both tokenizers. Each cell is a byte, shown as a
# letter or, where it is none, as two hex digits. Cells of one colour are one token, and the number
# below is its id. A line under the cells joins the bytes of one Chinese character.

# %%
from qwenimage_ref.course.figures import token_strips

scene = sample_scene(2)
by_language = {"English": caption(scene, "en", 2), "Chinese": caption(scene, "zh", 2)}
real = stored_results.run(
    "02_strips",
    "tokenizer",
    lambda path: {
        name: token_strips.pieces(official(path), text) for name, text in by_language.items()
    },
)
rows = {}
for name, text in by_language.items():
    rows[f"{name}, pocket"] = token_strips.pieces(pocket, text)
    rows[f"{name}, official"] = real[name]

# %%
token_strips.picture(
    rows,
    alt="Four rows of byte cells coloured by token. In English both tokenizers cut at words. In "
    "Chinese the official one cuts at characters and words; the pocket one at phrases. The "
    "cells of the official rows: " + str(token_strips.Strip(real["English"])),
)

# %%
lengths = {name: len(row) for name, row in rows.items()}
assert lengths["English, pocket"] == lengths["English, official"] == 11
assert lengths["Chinese, pocket"] < lengths["Chinese, official"]
for name, count in lengths.items():
    print(f"{name:18} {count:2} tokens")
print(f"{len(by_language['English']) / 11:.1f} letters a token in English")

# %% [markdown]
# In the third row, phrases that occur in many captions are single tokens, for example 薄荷色背景上
# (*on a mint background*), because the pocket tokenizer was trained on little else than captions.
# Below are the Chinese tokens as your browser writes them.

# %%
token_strips.Strip(rows["Chinese, pocket"])

# %%
token_strips.Strip(real["Chinese"])

# %% [markdown]
# A cut may even lie inside a character. In 文字“文”, *the word 文*, the second 文 is split after
# its first byte, which is joined to the quotation mark before it; `<96 87>` marks bytes that are
# not a whole character. This is not an error. Tokens are made of bytes, and the model never sees
# characters.

# %%
torn = token_strips.pieces(pocket, "文字“文”")
assert any(token_strips.shown(piece).startswith("<") for piece in torn)
token_strips.Strip(torn)

# %% [markdown]
# ## Type something
#
# This field shows the strip of the pocket tokenizer while you type. Try a cat, a number, your name
# or an emoji.

# %%
typing = token_strips.TokenField(pocket, "a blue circle")
typing

# %%
at_home = typing.strip.value
typing.text.value = "a blue cat"
assert typing.count.value == "10 characters, 10 bytes, 5 tokens" and typing.strip.value != at_home
typing.text.value = "a blue circle"
assert typing.strip.value == at_home
print("another text, another strip; the same text, the same strip: ok")

# %% [markdown]
# The same in print. A word that was in the captions is one token, and any other is split into
# pieces.

# %%
texts = ("a blue circle", "a blue cat", "a red 42", "Qwen-Image", "caf\u00e9")
typed = {text: token_strips.pieces(pocket, text) for text in texts}
token_strips.picture(
    typed,
    alt="Five rows of cells: a blue circle is three tokens, a blue cat five, a red 42 five, "
    "Qwen-Image six, and café is one token for each of its five bytes.",
)

# %%
assert [len(row) for row in typed.values()][:3] == [3, 5, 5]
for text, row in typed.items():
    print(token_strips.summary(text, row), "|", token_strips.Strip(row))

# %% [markdown]
# ## Exercise: the most expensive prompt
#
# ★☆☆☆☆ · 3 minutes
#
# Each of these prompts has twelve characters. Which one takes the most tokens with the pocket
# tokenizer? Decide before you count, and think of bytes and of what was in the captions. You will
# know it works when the checker agrees and the table below shows why.

# %%
for number, prompt in enumerate(check.PROMPTS_02):
    print(number, prompt)

# %% tags=["exercise"]
most_expensive = ...  # check.PROMPTS_02[number]

# %% jupyter={"source_hidden": true}
most_expensive = answers.unless_solved(most_expensive, answers.EX_02_DEAR)
check.ex_02_dear(most_expensive)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Where nothing merges, a character costs as many tokens as it has bytes.
#
# </details>
#
# <details><summary>A hint</summary>
#
# How many bytes did the four characters at the top of this page have? Which of them were never in a
# caption?
#
# </details>
#
# <details><summary>The solution</summary>
#
# Number 7 takes 48 tokens, because none of its twelve times four bytes ever occurred in a caption.
# The cat at the window has 36 bytes, and a few of its characters share a pair of bytes with the
# captions.
#
# </details>

# %%
prices = stored_results.run(
    "02_prices", "tokenizer", lambda path: [len(official(path).encode(p)) for p in check.PROMPTS_02]
)
rows = [
    [prompt, len(prompt.encode()), len(pocket.encode(prompt)), price]
    for prompt, price in zip(check.PROMPTS_02, prices)
]
assert max(rows, key=lambda row: row[2])[0] == most_expensive
assert {len(prompt) for prompt in check.PROMPTS_02} == {12}
show.table(["prompt", "bytes", "tokens, pocket", "tokens, official"], rows)

# %% [markdown]
# The last column is worth a look, too. With 151,387 merges the official tokenizer has tokens for
# frequent words of many languages, but it never merges digits.
#
# ## The template around the prompt
#
# The text encoder is a language model that was trained to chat. It receives your prompt inside a
# *template*: a system prompt with an instruction, then your words, then the beginning of an answer
# that is never generated. The template is fixed, byte for byte, because the transformer was trained
# with it.

# %%
from qwenimage_ref import conditions, tokenizer

before, after = tokenizer.T2I.split("{}")
print(before + "...your prompt..." + after)

# %% [markdown]
# The text encoder's forward pass gives one vector for each token, its *state*. The states of
# everything *before* your words are discarded afterwards ([chapter
# 03](03_a_language_model_as_a_reader.ipynb) shows why they cannot be left out earlier). How many
# are there? Counting words does not give the answer:

# %%
prefix = stored_results.run(
    "02_prefix", "tokenizer", lambda path: token_strips.pieces(official(path), before)
)
print(len(before.split()), "words between spaces")
print(len(bpe.split_words(before)), "words, as the regular expression cuts")
print(len(prefix), "tokens, official;", len(pocket.encode(before)), "in the pocket")
assert len(prefix) == len(pocket.encode(before)) == pocket.prefix_length == 34

# %%
token_strips.Strip(prefix)

# %% [markdown]
# Commas and newlines are tokens of their own, and `<|im_start|>` is a single one, so only a
# tokenizer can count. The official code contains the number 34 as a constant, which is right for
# this template and this vocabulary; the package counts (`prefix_length`). The pocket tokenizer
# arrives at 34 as well, because its training text contained the template often enough.
#
# Edit models, which change a given picture, have a longer template and drop 64 tokens. The words of
# that one were not in the pocket tokenizer's training text, and so its count is a different one:

# %%
edit = conditions.EDIT_PLUS.split("{}")[0]
longer = stored_results.run(
    "02_edit_prefix", "tokenizer", lambda path: len(official(path).encode(edit))
)
assert longer == 64 and len(pocket.encode(edit)) == 166
print(f"edit template: {longer} tokens in the official vocabulary, 166 in the pocket's: ok")

# %% [markdown]
# What remains is your prompt and the five tokens after it. Their states depend on the whole prompt,
# because they come last, and the model was trained with them, so they must not be cut off.

# %%
for prompt in ("", " ", "a cat"):
    ids = pocket.encode_prompt(prompt)
    print(f"{prompt!r:8} {len(ids)} ids, {len(ids) - 34} kept")
assert len(pocket.encode_prompt("")) - 34 == len(pocket.encode(after)) == 5

# %% [markdown]
# There is one more trap. Template and prompt are encoded as **one** string. If a prompt begins with
# a newline, it is merged with the newline before it, and a token of your prompt ends up among the
# 34:


# %%
def fused(path):
    own = official(path)
    return {"together": own.encode(before + "\nhello"), "apart": own.encode("\nhello")}


ids = stored_results.run("02_newline", "tokenizer", fused)
usual, _ = prefix[33]  # id and bytes of the last of the 34
assert ids["together"][34:] == ids["apart"][1:] and ids["together"][33] != usual
print(f"apart {len(ids['apart'])} tokens, together only {len(ids['together']) - 34} after the cut")

# %% [markdown]
# ## The official ids
#
# Does all of this agree with the official tokenizer? The repository contains *golden* ids, those
# that the official code gives for 21 difficult prompts, alone and inside the template.

# %%
import json

golden = json.loads((show.ROOT / "tests/golden/tokens.json").read_text(encoding="utf-8"))["cases"]
golden = {name: case for name, case in golden.items() if "raw_ids" in case}
long = golden["very_long"]["prompt"]  # kept short in the file
golden["very_long"]["prompt"] = long["repeat"] * long["times"]


def agreeing(path):
    """Names of the golden prompts whose ids, alone and in the template, are the golden ones."""
    own = official(path)
    return [
        name
        for name, case in golden.items()
        if own.encode(case["prompt"]) == case["raw_ids"]
        and own.encode_prompt(case["prompt"]) == case["t2i_full_ids"]
    ]


# %%
right = stored_results.run("02_golden", "tokenizer", agreeing)
assert right == [*golden] and len(right) == 21
for name in ("chinese", "digits", "leading_newline"):
    print(f"{name:16} {golden[name]['prompt'][:24]!r}: {golden[name]['raw_ids'][:6]} ...")
print(f"{len(right)} of {len(golden)} golden prompts: ok")

# %% [markdown]
# ## Estimate first
#
# **1.** How many tokens does the date `2025-12-31` cost?
#
# <details><summary>Answer</summary>
#
# Ten: every digit is a token, and so is each hyphen.
#
# </details>
#
# **2.** The official vocabulary has 151,643 ids without the added ones. 256 are bytes. How many
# merges are in the list?
#
# <details><summary>Answer</summary>
#
# 151,387. Each merge makes one new token, so every token beyond the bytes is there because its pair
# was frequent in the training text.
#
# </details>
#
# **3.** A prompt of 1,000 English words: how many of its words reach the transformer? (The pipeline
# keeps 512 tokens by default.)
#
# <details><summary>Answer</summary>
#
# Fewer than 512, because punctuation takes tokens, too: with a comma after every third word about
# 380. The end is cut off, and with it the five tokens after the prompt.
#
# </details>

# %%
sizes = stored_results.run(
    "02_vocabulary",
    "tokenizer",
    lambda path: [len(official(path).vocab), len(official(path).merges)],
)
assert sizes == [151_643, 151_387] and sizes[0] - 256 == sizes[1]
assert len(pocket.encode("2025-12-31")) == 10
long = pocket.encode_prompt("a red circle, " * 333)[34:][:512]
words = pocket.decode(long).split()
assert len(long) == 512 and 370 < len(words) < 390
print(
    f"10 tokens; {sizes[1]:,} merges; {len(words)} of 999 words with a comma after every third: ok"
)

# %% [markdown]
# ## What production code does differently
#
# * It runs a compiled tokenizer, Hugging Face's in Rust, which gives the same ids 1.6 times as fast
#   as this package's (data/measurements/bench.json); next to 50 steps of a transformer, neither
#   takes noticeable time.
# * It pads the prompts of a batch to one length with `<|endoftext|>` on the right; a *mask* says
#   which tokens are real (chapters 03 and [06](06_one_mmdit_block.ipynb)).
# * Edit models add a token for each small patch of the picture inside the template, and drop 64.
# * Some programs encode template and prompt separately, or always drop 34 tokens. The first goes
#   wrong when a prompt begins with a newline, the second with any other template.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * Byte pair encoding for words: [Sennrich et al. 2015](https://arxiv.org/abs/1508.07909), section
#   3.2. On bytes, with a rule that keeps letters and digits apart: [GPT-2, Radford et al.
#   2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf),
#   section 2.2.
# * This vocabulary: [Qwen2.5-VL, Bai et al. 2025](https://arxiv.org/abs/2502.13923), Table 1.
# * SD3 cuts a prompt three times: into at most 77 tokens for each of two CLIP encoders and again
#   for T5 ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), section 4).
# * FLUX.1 cuts it twice, into at most 77 tokens for CLIP and 512 for T5
#   ([util.py](https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py), *load_t5*
#   and *load_clip*). Neither puts a system prompt around it.
#
# </details>
#
# ## Try this
#
# * Go through `ranks` once, in order, and merge each pair wherever it occurs. The tokens are the
#   same. Why? (When was a pair learned, and when its parts?) And why is it not done like that?
# * Find a single character that costs twelve tokens. (Look for music in Unicode, and at NFC.)
# * Type `<|im_end|>` into the field. Should a program let users do that?
# * Train your own: `Tokenizer.train(captions, 400)`. Which words are tokens, which are not yet?
# * `THE CIRCLE` and `the circle`: how many tokens each? What does that tell you about shouting?
#
# Capstone: `bpe.py` and `tokenizer.py` can be written now: `make blank`, then
# `make grade PART=tokenizer`, 9 points.
#
# Next: [03 · A language model as a reader](03_a_language_model_as_a_reader.ipynb), what the ids
# become.
