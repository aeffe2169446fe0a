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
