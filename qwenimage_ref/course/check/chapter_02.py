"""Chapter 02: tokens."""

import random

from ...bpe import merge as package_merge
from ...bpe_training import learn
from .common import exercise, need

PROMPTS_02 = (  # twelve characters each
    "a large ring",
    "blue diamond",
    "ZYXWVUTSRQPO",
    "3.1415926535",
    "éèêëáàâäóòôö",
    "红色圆形在蓝色星形上方文",
    "一只猫坐在窗边看着外面雪",
    "🐱🐶🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵",
)


AB, BC, AA, AB_C = ("a", "b"), ("b", "c"), ("a", "a"), ("ab", "c")
EIGHT = (AB, ("c", "d"), ("e", "f"), ("g", "h"), ("ab", "cd"), ("ef", "gh"))
LONG = "".join(chr(letter) for letter in range(0x100, 0x13D))  # 61 letters, joined from the left
CHAIN = tuple((LONG[:end], LONG[end]) for end in range(1, len(LONG)))
MERGES = (  # a word, the pairs by rank, its tokens, and the hint for any others
    ("xyz", (AB,), [*"xyz"], "no pair is known in 'xyz', so its letters stay as they are"),
    ("", (AB,), [], "an empty word has no tokens"),
    ("ab", (AB,), ["ab"], "'ab' is the pair a, b itself, and it stays in two"),
    ("xab", (AB,), ["x", "ab"], "the pair at the very end of 'xab' was not seen"),
    (
        *("abc", (BC, AB), ["a", "bc"]),
        "in 'abc' with b, c learned first that pair joins, although a, b stands further left: "
        "the rank decides, not the place, and a low rank comes first",
    ),
    (
        *("abxab", (AB,), ["ab", "x", "ab"]),
        "in 'abxab' the pair stands twice, and only one of them was joined",
    ),
    (
        *("abc", (AB, AB_C), ["abc"]),
        "in 'abc' a, b joins and makes a new pair, ab, c, which is known: look again after a merge",
    ),
    (
        *("aaa", (AA,), ["aa", "a"]),
        "of 'aaa' the left two join, the third is left over: pairs that overlap go left to right",
    ),
    (
        *("abcd", (("c", "d"), AB, ("ab", "cd"), BC), ["abcd"]),
        "in 'abcd' c, d joins, then a, b, then the two that were made; yours stops before or takes "
        "another way",
    ),
    (
        *("cabab", (("c", "a"), AB), ["ca", "b", "ab"]),
        "in 'cabab' c, a joins first; 'ca' only ends in a, so 'ca', 'b' is not the pair a, b: "
        "compare whole tokens, not their spelling",
    ),
    (
        *(("ab", "c", "a", "bc"), (("a", "bc"),), ["ab", "c", "abc"]),
        "the tokens ab, c spell the same as the pair a, bc, and yet they are another pair: compare "
        "both tokens, not what they spell together",
    ),
    (
        *("abcdefgh", (*EIGHT, ("abcd", "efgh")), ["abcdefgh"]),
        "'abcdefgh' joins seven times, to one token; yours stops before: go on for as long as any "
        "two neighbours are a known pair",
    ),
    (
        *(LONG, CHAIN, [LONG]),
        "a word of 61 letters joins sixty times, to one token; no number of merges is enough for "
        "every word",
    ),
    (
        *(("xy", "z", "d", "x", "yz", "d"), (("xyz", "d"), ("xy", "z"), ("x", "yz"))),
        ["xyzd", "xyzd"],
        "a pair that was joined may come up again after another merge; join it again",
    ),
)


@exercise
def ex_02_merge(merge) -> str:
    """A word in letters and the ranks of pairs -> its tokens."""
    for word, pairs, tokens, hint in MERGES:
        need(_merged(merge, word, pairs) == tokens, hint)
    _compare(merge)
    return "tokens as the model was trained with"


def _merged(merge, letters, pairs) -> list:
    """The answer, which must be a list of the same letters."""
    tokens = [*letters]
    answer = merge(tokens, {pair: rank for rank, pair in enumerate(pairs)})
    need(isinstance(answer, list), f"give a list of tokens, not {answer!r}")
    word, joined = "".join(letters), "".join(map(str, answer))
    need(
        joined == word,
        f"of the letters {word!r} there came back {joined!r}: something got lost or doubled",
    )
    return answer


def _compare(merge) -> None:
    """With the package's on words of three letters, by merges learned from other such words."""
    rng = random.Random(2)

    def words(count, longest):
        return ["".join(rng.choices("abc", k=rng.randint(1, longest))) for _ in range(count)]

    pairs = [pair for pair, _ in zip(learn({word: 1 for word in words(60, 9)}, 1), range(40))]
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    for word in words(60, 14):
        need(
            merge([*word], ranks) == package_merge(word, ranks),
            f"right for the short words, not for {word!r} with forty pairs; does every merge start "
            "from the best pair of all that stand there now?",
        )


LESSONS = (  # how often words occur, most pairs, the right ones, and the hint for any others
    (
        *({"ab": 1, "cd": 3}, 1, [("c", "d")]),
        "'ab' occurs once and 'cd' three times, but yours takes them for equally frequent: a pair "
        "counts as often as its word occurs",
    ),
    ({}, 3, [], "without a single word there is nothing to learn: an empty list"),
    ({"a": 9}, 3, [], "a word of one letter has no pair: pairs lie inside words"),
    ({"ab": 3, "xyz": 1}, 9, [AB], "a pair that occurs once is not worth a token: stop before it"),
    ({"ab": 3, "cd": 2}, 9, [AB, ("c", "d")], "a pair that occurs twice is still learned"),
    (
        *({"abxaby": 1}, 9, [AB]),
        "in 'abxaby' the pair a, b occurs twice, although there is a single word: count its places",
    ),
    (
        *({"yz": 2, "ab": 2, "mn": 2}, 3, [AB, ("m", "n"), ("y", "z")]),
        "of equally frequent pairs yours takes another one than the smallest tuple",
    ),
    (
        *({"abc": 3}, 2, [AB, AB_C]),
        "in 'abc' a, b is learned first, and then there is no pair b, c any more: count again in "
        "the merged words",
    ),
    (
        *({"aaa": 2, "bc": 3}, 1, [AA]),
        "'aaa' has two pairs of neighbours, and they count even where they overlap",
    ),
    (
        *({"aaa": 3}, 2, [AA, ("aa", "a")]),
        "'aaa' becomes aa, a: the overlapping pair is gone after the merge",
    ),
    (
        *({"abab": 2}, 3, [AB, ("ab", "ab")]),
        "in 'abab' the pair a, b is merged at both of its places in one round",
    ),
    (
        *({"ab": 3, "abq": 3, "pqr": 4}, 4, [AB, ("p", "q"), ("pq", "r"), ("ab", "q")]),
        "a pair is merged in all words in which it occurs, not in one of them",
    ),
    (
        *({"cab": 4, "ab": 6, "ca": 9}, 3, [("c", "a"), AB, ("ca", "b")]),
        "'cab' became ca, b; its last two letters still look like a, b, and are none: compare "
        "whole tokens",
    ),
    (
        *({"bb": 20, "ab": 8, "abb": 2, "aba": 2}, 3, [("b", "b"), AB, ("a", "bb")]),
        "tuples are compared token by token: a, bb is smaller than ab, a, although 'aba' comes "
        "before 'abb'",
    ),
    ({"ab": 2}, 0, [], "no pair was asked for, and yours gives one"),
)


@exercise
def ex_02_learn(learn_merges) -> str:
    """learn_merges({word: times}, most) -> the pairs, the first learned first"""
    for counts, most, pairs, hint in LESSONS:
        given = learn_merges(dict(counts), most)
        need(isinstance(given, list), f"give a list of pairs, not {given!r}")
        need(
            all(isinstance(pair, tuple) and [*map(type, pair)] == [str, str] for pair in given),
            "each entry of the list is a pair, a tuple of the two tokens that are merged, such as "
            "('a', 'b')",
        )
        need(
            len(given) <= most,
            f"at most {most} pairs were asked for, and yours gives {len(given)}",
        )
        need(given == pairs, hint)
    rng = random.Random(3)
    for letters, longest, most in (("abc", 9, 40), ("ab", 14, 25), ("abcdefg", 6, 60)):
        words = ["".join(rng.choices(letters, k=rng.randint(1, longest))) for _ in range(70)]
        counts = {word: rng.randint(1, 4) for word in words}
        right = [pair for pair, _ in zip(learn(counts, 2), range(most))]
        given = learn_merges(counts, most)
        rank = next((n for n, pair in enumerate(right) if [pair] != given[n : n + 1]), len(right))
        need(
            given == right,
            f"right for the short lists; for {len(counts)} random words of {letters!r} the first "
            f"{rank} pairs are right, and then another one follows",
        )
    return "the list that a tokenizer is"


@exercise
def ex_02_dear(prompt) -> str:
    """Which of PROMPTS_02 costs the pocket tokenizer most tokens."""
    need(isinstance(prompt, str), "the answer is one of the prompts, a string in quotes")
    hints = {
        0: "those are words the tokenizer has seen: about one token each",
        1: "those are words the tokenizer has seen: about one token each",
        2: "rare in a caption, but a capital is one byte, so it is one token at the most",
        3: "digits never join, so one token each: many for a number, but each is only one byte",
        4: "two bytes each, and no merge for them: another prompt costs more",
        5: "three bytes each, but the captions were full of these words",
        6: "three bytes each, and hardly a merge for them: close, but another costs more",
    }
    need(
        prompt in PROMPTS_02,
        "that is none of the prompts; copy one of them, or write PROMPTS_02[number]",
    )
    place = PROMPTS_02.index(prompt)
    need(place not in hints, hints.get(place, ""))
    return "what counts is bytes that were never learned together"
