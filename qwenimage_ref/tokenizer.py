"""Text to token ids and back, in the official folder layout, and the chat templates.

Source: Qwen2Tokenizer of transformers and the Qwen-Image pipelines of diffusers.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import regex

from qwenimage_ref import bpe
from qwenimage_ref.files import read_json

# --- templates: `{}` is the slot of the prompt. Byte-exact: the released models saw these strings.

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
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"  # where the states of an image go
EDIT = EDIT_PLUS.replace("{}", PICTURE + "{}")  # of the first edit model: one image
EDIT_PLUS_PICTURE = "Picture {}: " + PICTURE  # before the prompt, for each image from 1 on

MAX_PROMPT_TOKENS = 1024  # of the prompt and what follows it; more is cut off at the end

ADDED_TOKENS = (  # found verbatim in any text; their ids follow the vocabulary in this order
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
    "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
_PAD, _START, _END = ADDED_TOKENS[:3]


class TokenizerError(ValueError):
    """Files or a text that cannot be used; one line with the remedy."""


class Tokenizer:
    """Ids of the tokens, and the order in which pairs of tokens merge.

    `vocab` gives the id of each token, written in the letters of `bpe.LETTER_OF`; `merges` are
    the pairs from the first learned to the last; `added` are found verbatim, before all else.
    """

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], added: dict[str, int]):
        self.vocab, self.merges, self.added = vocab, merges, added
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._bytes_of = {id: bpe.to_bytes(token) for token, id in vocab.items()}
        self._bytes_of |= {id: token.encode() for token, id in added.items()}
        self._added_pattern = _either(added)
        self._cache: dict[str, list[int]] = {}  # words come again and again

    def __len__(self) -> int:
        """Ids in use, added tokens included."""
        return len(self.vocab) + len(self.added)

    def encode(self, text: str) -> list[int]:
        """Text -> ids. Added tokens inside the text are recognised; nothing is put around it."""
        ids = []
        for i, part in enumerate(self._added_pattern.split(text)):
            if i % 2:  # every second part is one that the pattern found
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
            raise TokenizerError(f"id {error} is none of the tokenizer's {len(self)}") from None

    def encode_prompt(self, prompt: str) -> list[int]:
        """Prompt -> ids of the text-to-image template around it, cut to 34 + 1024.

        Template and prompt are one string: a newline at the start of a prompt fuses with the one
        before the slot, so the ids of the parts cannot be put together.
        """
        return self.encode(T2I.replace("{}", prompt))[: self.prefix_length + MAX_PROMPT_TOKENS]

    @functools.cached_property
    def prefix_length(self) -> int:
        """Tokens before the slot of the T2I template, whose states are dropped: officially 34."""
        return len(self.encode(T2I.partition("{}")[0]))

    @property
    def pad_id(self) -> int:
        """Fills up the shorter rows of a batch, on the right."""
        return self.added[_PAD]

    def _encode_word(self, word: str) -> list[int]:
        if word in self._cache:
            return self._cache[word]
        ids = [self.vocab[token] for token in bpe.merge(bpe.to_letters(word), self._ranks)]
        if len(word) <= 32:  # with the next line: a few megabytes at most, whatever is encoded
            if len(self._cache) >= 20_000:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, min_count: int = 2) -> "Tokenizer":
        """Learn merges until `vocab_size` ids are used, 256 bytes and 22 added tokens included.

        Stops early when no pair of tokens occurs `min_count` times. The same texts in any order
        give the same tokenizer. A text that must become few tokens is given often: with the T2I
        template among the texts as often as the captions, its words are tokens and
        `prefix_length` is 34, which diffusers takes for granted.
        """
        room = vocab_size - len(ADDED_TOKENS)
        vocab = {letter: id for id, letter in enumerate(bpe.LETTER_OF.values())}
        if room < len(vocab):
            fewest = len(vocab) + len(ADDED_TOKENS)
            raise TokenizerError(f"vocab_size is {vocab_size}, but bytes and added take {fewest}")
        merges = []
        for pair in bpe.learn(_count_words(texts), min_count):
            if len(vocab) == room:
                break
            merges.append(pair)
            vocab.setdefault("".join(pair), len(vocab))  # two pairs may make the same token
        added = {token: len(vocab) + i for i, token in enumerate(ADDED_TOKENS)}
        return cls(vocab, merges, added)

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read vocab.json, merges.txt and added_tokens.json, or a tokenizer.json in their place.

        Raises TokenizerError where a file is missing, cut off or at odds with another.
        """
        folder = Path(folder)
        single = folder / "tokenizer.json"
        if single.exists() and not (folder / "vocab.json").exists():
            parts = _read_single(single)  # what transformers 5 writes
        else:
            version, *lines = _read_text(folder / "merges.txt").removesuffix("\n").split("\n")
            merges = [tuple(line.split(" ")) for line in lines]
            if not version.startswith("#version"):
                raise TokenizerError(f"{folder / 'merges.txt'} has no #version; fetch it again")
            added = _read_json(folder / "added_tokens.json")
            parts = _read_json(folder / "vocab.json"), merges, added
        if problem := _problem(*parts):
            raise TokenizerError(f"{folder}: {problem}; fetch the tokenizer's files again")
        return cls(*parts)

    def save(self, folder: str | Path) -> None:
        """Write the five official files, which Qwen2Tokenizer of transformers reads too."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["#version: 0.2", *map(" ".join, self.merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
        _write_json(folder / "vocab.json", self.vocab)
        _write_json(folder / "added_tokens.json", self.added)
        for name, content in _files_for_transformers(self.added).items():
            _write_json(folder / name, content)


def _either(tokens: Iterable[str]) -> regex.Pattern:
    """Finds any of the tokens, the longest first; as a group, so that `split` keeps them."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return regex.compile(f"({'|'.join(map(regex.escape, longest_first))})")


def _words(text: str) -> list[str]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TokenizerError(f"the text holds U+{code:04X}, half a character; remove it") from None
    return bpe.split_words(text)


def _count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word, written in letters, occurs outside of added tokens."""
    added_pattern, counts = _either(ADDED_TOKENS), Counter()
    for text, times in Counter(texts).items():
        for part in added_pattern.split(text)[::2]:
            for word in _words(part):
                counts[bpe.to_letters(word)] += times
    return counts


# --- files


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing; fetch the whole tokenizer folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read ({error}); fetch it again") from None


def _read_json(path: Path) -> dict:
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing; fetch the whole tokenizer folder") from None
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} is not whole JSON ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} does not hold a JSON object; fetch it again")
    return content


def _read_single(path: Path) -> tuple[dict, list, dict]:
    """Vocabulary, merges and added tokens of a tokenizer.json."""
    content = _read_json(path)
    try:
        pairs = content["model"]["merges"]  # "a b" in older files, ["a", "b"] in newer ones
        merges = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in pairs]
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        return content["model"]["vocab"], merges, added
    except (KeyError, TypeError) as error:
        raise TokenizerError(f"{path} is not a BPE tokenizer ({error!r}); fetch it again") from None


def _problem(vocab: dict, merges: list, added: dict) -> str | None:
    """What makes the three unusable together, or None."""
    ids = [*vocab.values(), *added.values()]
    if not all(type(id) is int for id in ids):
        return "an id is not a whole number"
    if len(set(ids)) < len(ids):
        return "two tokens have the same id"
    if missing := bpe.BYTE_OF.keys() - vocab.keys():
        return f"the vocabulary lacks {len(missing)} of the 256 bytes"
    if missing := {_PAD, _START, _END} - added.keys():
        return f"the added tokens lack {min(missing)}"
    if len(added) > 10_000 or max(map(len, added)) > 1_000:
        return "the added tokens are too many or too long to look for in every text"
    if halves := [token for token in added if token.encode(errors="ignore").decode() != token]:
        return f"the added token {halves[0]!r} holds half a character"
    made = set()
    for pair in merges:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= vocab.keys():
            return f"the merge {' '.join(pair)!r} does not join two known tokens into a third"
        made.add("".join(pair))
    if len(made) < len(vocab) - 256:
        return f"{len(made)} merges are here, {len(vocab) - 256} needed"
    return None


def _files_for_transformers(added: dict[str, int]) -> dict[str, dict]:
    """Contents of the two files that say the same as ours in transformers' words."""
    special = ADDED_TOKENS[:14]  # which transformers leaves out when it decodes for a reader
    additional = [token for token in special[1:] if token in added]
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    decoder = {
        str(id): {"content": token, **flags, "special": token in special}
        for token, id in added.items()
    }
    names = {
        "additional_special_tokens": additional,
        "eos_token": {"content": _END, **flags},
        "pad_token": {"content": _PAD, **flags},
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": additional,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": _END,
        "errors": "replace",
        "extra_special_tokens": {},
        "model_max_length": 131072,
        "pad_token": _PAD,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    return {"special_tokens_map.json": names, "tokenizer_config.json": config}


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8", newline="\n")
