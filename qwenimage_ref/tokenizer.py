"""Text to token ids and back: byte-level BPE in the official folder layout, and the chat templates.

Source: Qwen2Tokenizer (transformers) and the templates of the Qwen-Image pipelines (diffusers),
both Apache-2.0.
"""

import functools
import heapq
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import regex

# --- templates: `{}` is the slot of the prompt. Byte-exact, the released models saw these strings.

T2I = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture,"
    " quantity, text, spatial relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
EDIT_PLUS = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size,"
    " texture, objects, background), then explain how the user's text instruction should alter or"
    " modify the image. Generate a new image that meets the user's requirements while maintaining"
    " consistency with the original input where appropriate.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"  # where the image states go
EDIT = EDIT_PLUS.replace("{}", PICTURE + "{}")  # one image
EDIT_PLUS_PICTURE = "Picture {}: " + PICTURE  # for each of several images, counted from 1

MAX_PROMPT_TOKENS = 1024  # of prompt and suffix together; what is beyond them is cut off

# --- the alphabet and the splitting rule

ADDED_TOKENS = (  # in the order of their ids, which follow the last id of the vocabulary
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
    "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
_SPECIAL = ADDED_TOKENS[:14]  # upstream leaves these out when it decodes for a reader
_PAD, _EOS = "<|endoftext|>", "<|im_end|>"

# careful: first match wins, so the order of the alternatives is part of the rule
_WORDS = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # letters, with one character before them, usually a space
    r"|\p{N}"  # digits never group
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"  # whitespace, but the last space belongs to the word after it
    r"|\s+"
)


def _alphabet() -> list[str]:
    """The printable stand-in of each byte, in the order of the official ids 0 to 255.

    Files of vocabularies are text, so a byte that would not show (a space, half of a Chinese
    character) is written as a letter from U+0100 on.
    """
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    stand_in = {byte: chr(byte) for byte in shown}
    stand_in.update({byte: chr(256 + i) for i, byte in enumerate(hidden)})
    return [stand_in[byte] for byte in shown + hidden]


_ALPHABET = _alphabet()
_BYTE_OF = {
    letter: ord(letter) if ord(letter) < 256 else hidden
    for letter, hidden in zip(
        _ALPHABET, [0] * 188 + [*range(33), *range(127, 161), 173], strict=True
    )
}
_LETTER_OF = {byte: letter for letter, byte in _BYTE_OF.items()}


class TokenizerError(ValueError):
    """A tokenizer folder or a text that cannot be used; one line with the remedy."""


class Tokenizer:
    """Byte-level BPE: a word becomes bytes, and neighbours are merged by the rank of their pair.

    `vocab` maps a token in printable letters to its id, `merges` are pairs of tokens from the
    first to the last learned, `added` maps the tokens that are found verbatim in a text.
    """

    _CACHE_WORDS, _CACHE_LENGTH = 50_000, 64  # words kept, and the longest kept, in letters

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], added: dict[str, int]):
        self.vocab, self.merges, self.added = vocab, merges, added
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._token_of = {id: token for token, id in vocab.items()}
        self._added_of = {id: token for token, id in added.items()}
        self._added_pattern = _added_pattern(added)
        self._cache: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """Ids in use, added tokens included."""
        return len(self.vocab) + len(self.added)

    def encode(self, text: str) -> list[int]:
        """Text -> ids. Added tokens inside the text are recognised, nothing is put around it."""
        ids = []
        for i, part in enumerate(self._added_pattern.split(text)):
            if i % 2:  # every second part is what the pattern found
                ids.append(self.added[part])
            else:
                for word in _words(part):
                    ids += self._encode_word(word)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Ids -> text, added tokens included. Bytes that are not UTF-8 become U+FFFD."""
        data = b""
        for id in map(int, ids):
            if id in self._added_of:
                data += self._added_of[id].encode()
            elif id in self._token_of:
                data += bytes(_BYTE_OF[letter] for letter in self._token_of[id])
            else:
                raise TokenizerError(f"id {id} is not one of the tokenizer's {len(self)} ids")
        return data.decode("utf-8", errors="replace")

    def encode_prompt(self, prompt: str) -> list[int]:
        """Prompt -> ids of the whole text-to-image template, at most 1024 after the prefix.

        Template and prompt are one string: a prompt that starts with a newline fuses with the
        newline before the slot, so ids of the parts cannot be put together.
        """
        return self.encode(T2I.format(prompt))[: self.prefix_length + MAX_PROMPT_TOKENS]

    @functools.cached_property
    def prefix_length(self) -> int:
        """Tokens of the text-to-image template before its slot, whose states are dropped: 34."""
        return len(self.encode(T2I.partition("{}")[0]))

    @property
    def pad_id(self) -> int:
        """Fills the shorter rows of a batch, on the right."""
        return self.added[_PAD]

    def _encode_word(self, word: str) -> list[int]:
        if word in self._cache:
            return self._cache[word]
        ids = [self.vocab[token] for token in merge(list(word), self._ranks)]
        if len(word) <= self._CACHE_LENGTH:
            if len(self._cache) >= self._CACHE_WORDS:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    # --- training

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, min_count: int = 2) -> "Tokenizer":
        """Learn merges until `vocab_size` ids (256 bytes and 22 added tokens included) are used.

        Stops early when no pair occurs `min_count` times. A text that must become few tokens,
        such as the template, is given often. The same texts give the same tokenizer.
        """
        fewest = len(_ALPHABET) + len(ADDED_TOKENS)
        if vocab_size < fewest:
            raise TokenizerError(f"vocab_size {vocab_size} is less than {fewest}: bytes and added")
        vocab = {letter: id for id, letter in enumerate(_ALPHABET)}
        merges = []
        for pair in _learn(_count_words(texts), min_count):
            if len(vocab) == vocab_size - len(ADDED_TOKENS):
                break
            merges.append(pair)
            vocab.setdefault("".join(pair), len(vocab))  # two pairs may make the same token
        added = {token: len(vocab) + i for i, token in enumerate(ADDED_TOKENS)}
        return cls(vocab, merges, added)

    # --- files

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read vocab.json, merges.txt and added_tokens.json, or raise TokenizerError."""
        folder = Path(folder)
        vocab = _read_ids(folder / "vocab.json")
        added = _read_ids(folder / "added_tokens.json")
        lines = _read(folder / "merges.txt").split("\n")
        merges = [tuple(line.split(" ")) for line in lines if line and not _is_comment(line)]
        for pair in merges:
            if len(pair) != 2 or not {*pair, "".join(pair)} <= vocab.keys():
                raise TokenizerError(
                    f"{folder / 'merges.txt'}: {' '.join(pair)!r} does not join two tokens of"
                    " vocab.json into a third; fetch both files again"
                )
        if missing := [letter for letter in _ALPHABET if letter not in vocab]:
            raise TokenizerError(
                f"{folder / 'vocab.json'} lacks {len(missing)} of the 256 bytes; fetch it again"
            )
        return cls(vocab, merges, added)

    def save(self, folder: str | Path) -> None:
        """Write the official files, which transformers' Qwen2Tokenizer reads too."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in self.merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
        _write_json(folder / "vocab.json", self.vocab)
        _write_json(folder / "added_tokens.json", self.added)
        flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
        others = [token for token in _SPECIAL if token in self.added and token != _PAD]
        names = {
            "additional_special_tokens": others,
            "eos_token": {"content": _EOS, **flags},
            "pad_token": {"content": _PAD, **flags},
        }
        _write_json(folder / "special_tokens_map.json", names)
        config = {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(id): {"content": token, **flags, "special": token in _SPECIAL}
                for token, id in self.added.items()
            },
            "additional_special_tokens": others,
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": _EOS,
            "errors": "replace",
            "extra_special_tokens": {},
            "model_max_length": 131072,
            "pad_token": _PAD,
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        }
        _write_json(folder / "tokenizer_config.json", config)


def merge(tokens: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge neighbours, the pair of lowest rank first and leftmost first, until no pair has one.

    The tokens are a linked list and the candidates a heap, so a word of n letters takes
    O(n log n): a megabyte of one letter is a matter of seconds.
    """
    end = len(tokens)
    tokens = [*tokens, None]  # the end has no rank with anything, and tokens[-1] is the end too
    following = [*range(1, end + 1), end]
    previous = [*range(-1, end)]

    def candidate(i):
        rank = ranks.get((tokens[i], tokens[following[i]]))
        return [] if rank is None else [(rank, i)]

    heap = [entry for i in range(end) for entry in candidate(i)]
    heapq.heapify(heap)
    while heap:
        rank, i = heapq.heappop(heap)
        j = following[i]
        if ranks.get((tokens[i], tokens[j])) != rank:
            continue  # one of the two has been merged into another neighbour since
        tokens[i], tokens[j] = tokens[i] + tokens[j], None
        following[i] = following[j]
        previous[following[j]] = i
        for entry in candidate(previous[i]) + candidate(i):
            heapq.heappush(heap, entry)
    return [token for token in tokens if token is not None]


def _added_pattern(added: Iterable[str]) -> regex.Pattern:
    """Finds the added tokens, the longest first; a text is split by it before anything else."""
    longest_first = sorted(added, key=len, reverse=True)
    return regex.compile("(" + ("|".join(map(regex.escape, longest_first)) or "(?!)") + ")")


def _words(text: str) -> Iterable[str]:
    """Words of a text in the printable letters of their bytes."""
    try:
        for word in _WORDS.findall(unicodedata.normalize("NFC", text)):
            yield "".join(_LETTER_OF[byte] for byte in word.encode("utf-8"))
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise TokenizerError(
            f"the text holds half a character, U+{ord(half):04X}; remove it"
        ) from None


def _count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs outside of added tokens."""
    pattern = _added_pattern(ADDED_TOKENS)
    counts = Counter()
    for text, times in Counter(texts).items():
        for part in pattern.split(text)[::2]:
            for word in _words(part):
                counts[word] += times
    return counts


def _learn(word_counts: dict[str, int], min_count: int) -> Iterable[tuple[str, str]]:
    """Pairs in the order they are learned: always the most frequent, ties in alphabetic order."""
    words = [(list(word), count) for word, count in word_counts.items()]
    pair_counts = Counter()
    words_with = defaultdict(set)  # pair -> indices of words that hold it, or once held it

    def tally(index, sign):
        tokens, count = words[index]
        for pair in zip(tokens, tokens[1:]):
            pair_counts[pair] += sign * count
            words_with[pair].add(index)

    for index in range(len(words)):
        tally(index, +1)
    while pair_counts:
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        if pair_counts[best] < min_count:
            return
        yield best
        for index in words_with.pop(best):
            tally(index, -1)
            words[index] = (merge(words[index][0], {best: 0}), words[index][1])
            tally(index, +1)
        pair_counts = +pair_counts  # forget the pairs that are gone


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing; fetch the whole tokenizer folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read ({error}); fetch it again") from None


def _read_ids(path: Path) -> dict[str, int]:
    """A JSON object of token -> id, each id once."""
    try:
        ids = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path} is not complete JSON ({error}); fetch it again") from None
    if not isinstance(ids, dict) or not all(type(id) is int for id in ids.values()):
        raise TokenizerError(f"{path} must map each token to its number; fetch it again")
    if len(set(ids.values())) < len(ids):
        raise TokenizerError(f"{path} gives one id to two tokens; fetch it again")
    return ids


def _is_comment(line: str) -> bool:
    return line.startswith("#version")


def _write_json(path: Path, value) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8", newline="\n")
