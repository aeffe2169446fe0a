"""Text to token ids and back, in the official folder layout, and the chat templates.

Source: Qwen2Tokenizer of transformers and the Qwen-Image pipelines of diffusers.
"""

import functools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import regex

from . import bpe
from .bpe import TokenizerError

# template of text to image; `{}` is the slot. Byte-exact: the released models saw this string.
T2I = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture,"
    " quantity, text, spatial relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)

MAX_PROMPT_TOKENS = 1024  # tokens of prompt and template tail; longer prompts are truncated

ADDED_TOKENS = (  # matched verbatim in any text; their ids follow the vocabulary in this order
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
    "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
SPECIAL_TOKENS = ADDED_TOKENS[:14]  # transformers leaves these out when it decodes for people
_PAD, _START, _END = ADDED_TOKENS[:3]


class Tokenizer:
    """Ids of the tokens, and the order in which pairs of tokens merge.

    `vocab` maps each token, written in the letters of `bpe.LETTER_OF`, to its id; `merges` are the
    pairs from the first learned to the last; `added` are matched verbatim, before all else.
    """

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], added: dict[str, int]):
        self.vocab, self.merges, self.added = vocab, merges, added
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._bytes_of = {id: bpe.to_bytes(token) for token, id in vocab.items()}
        self._bytes_of |= {id: token.encode() for token, id in added.items()}
        self._added_pattern = _either(added)
        self._cache: dict[str, list[int]] = {}  # most words of a prompt recur

    def __len__(self) -> int:
        """Ids in use, added tokens included."""
        return len(self.vocab) + len(self.added)

    @functools.cached_property
    def largest_id(self) -> int:
        """The embedding must have at least one row more."""
        return max(*self.vocab.values(), *self.added.values())

    def encode(self, text: str) -> list[int]:
        """Text -> ids. Added tokens inside the text are recognised; nothing is put around it."""
        ids = []
        for i, part in enumerate(self._added_pattern.split(text)):
            if i % 2:  # every second part matched the pattern
                ids.append(self.added[part])
            else:
                for word in _words(part):
                    ids += self._encode_word(word)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Ids -> text, added tokens included. Bytes that are not UTF-8 become U+FFFD."""
        try:
            return b"".join(self._bytes_of[int(id)] for id in ids).decode("utf-8", "replace")
        except KeyError as error:
            raise TokenizerError(
                f"every id must be one of the tokenizer's {len(self)}, got {error}"
            ) from None

    def encode_prompt(self, prompt: str) -> list[int]:
        """Prompt -> ids of the text-to-image template around it, cut to 34 + 1024.

        Template and prompt are encoded as one string: a newline at the start of a prompt fuses with
        the one before the slot, so the ids of the parts cannot be concatenated.
        """
        return self.encode(T2I.replace("{}", prompt))[: self.prefix_length + MAX_PROMPT_TOKENS]

    @functools.cached_property
    def prefix_length(self) -> int:
        """Tokens before the slot of the T2I template, whose states are dropped: officially 34."""
        return len(self.encode(T2I.partition("{}")[0]))

    @property
    def pad_id(self) -> int:
        """Fills the shorter rows of a batch, on the right."""
        return self.added[_PAD]

    def _encode_word(self, word: str) -> list[int]:
        if word in self._cache:
            return self._cache[word]
        ids = [self.vocab[token] for token in bpe.merge(bpe.to_letters(word), self._ranks)]
        if len(word) <= 32:  # both limits keep the cache at a few megabytes, whatever is encoded
            if len(self._cache) >= 20_000:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, min_count: int = 2) -> "Tokenizer":
        """Learn merges until `vocab_size` ids are used, 256 bytes and 22 added tokens included.

        Stops early when no pair of tokens occurs `min_count` times. The order of the texts does
        not matter. Give a text often if it must become few tokens: with the T2I template among the
        texts as often as the captions, its words are tokens and `prefix_length` is 34, which
        diffusers takes for granted.
        """
        from .bpe_training import learn

        room = vocab_size - len(ADDED_TOKENS)
        vocab = {letter: id for id, letter in enumerate(bpe.LETTER_OF.values())}
        if room < len(vocab):
            fewest = len(vocab) + len(ADDED_TOKENS)
            raise TokenizerError(
                f"vocab_size must be at least {fewest}, bytes and added tokens, got {vocab_size}"
            )
        merges = []
        for pair in learn(_count_words(texts), min_count):
            if len(vocab) == room:
                break
            merges.append(pair)
            vocab.setdefault("".join(pair), len(vocab))  # two pairs may make the same token
        added = {token: len(vocab) + i for i, token in enumerate(ADDED_TOKENS)}
        return cls(vocab, merges, added)

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read vocab.json and merges.txt, or tokenizer.json in their place, and the added tokens.

        Raises TokenizerError where a file is missing, damaged or at odds with another.
        """
        from .tokenizer_files import read

        return cls(*read(Path(folder), needed=(_PAD, _START, _END)))

    def save(self, folder: str | Path) -> None:
        """Write the five official files, which Qwen2Tokenizer of transformers reads too.

        All of them take their names together, once every one is written. Raises TokenizerError
        where the folder cannot be written; the files that were there before are then unchanged.
        """
        from .tokenizer_files import write

        write(Path(folder), self.vocab, self.merges, self.added, SPECIAL_TOKENS)


def _either(tokens: Iterable[str]) -> regex.Pattern:
    """Matches any of the tokens, the longest first; as a group, so that `split` keeps them."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return regex.compile(f"({'|'.join(map(regex.escape, longest_first))})")


def _words(text: str) -> list[str]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TokenizerError(
            f"the text must be valid Unicode, got U+{code:04X}, half a character; remove it"
        ) from None
    return bpe.split_words(text)


def _count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word, written in letters, occurs outside of added tokens."""
    added_pattern, counts = _either(ADDED_TOKENS), Counter()
    for text, times in Counter(texts).items():
        for part in added_pattern.split(text)[::2]:
            for word in _words(part):
                counts[bpe.to_letters(word)] += times
    return counts
