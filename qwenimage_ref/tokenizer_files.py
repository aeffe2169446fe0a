"""The files of a tokenizer folder: read and checked, or written all together.

Qwen2Tokenizer of transformers keeps the vocabulary and merges in vocab.json and merges.txt, later
versions both in tokenizer.json. Added tokens are in added_tokens.json or tokenizer.json, and again,
sometimes only, in tokenizer_config.json.
"""

import contextlib
import json
import os
from pathlib import Path

from .bpe import BYTE_OF, TokenizerError
from .files import interrupts_wait, parse_json, partial_file, read_bytes, shorten

MOST_IDS = 2**20  # officially 151,665; ids and merges beyond this are damage
MOST_ADDED, LONGEST_ADDED = 10_000, 1_000  # every text is searched for each of them
CONFIG = "tokenizer_config.json"


# --- reading


def read(folder: Path, needed: tuple[str, ...]) -> tuple[dict, list, dict]:
    """A folder -> vocabulary, merges, added tokens; the added tokens must include `needed`

    Raises TokenizerError where a file is missing, damaged or at odds with another.
    """
    single = folder / "tokenizer.json"
    if single.exists() and not (folder / "vocab.json").exists():
        vocab, merges, added = _read_single(single)
        added = _joined(added, _added_of_config(folder / CONFIG), folder)
    else:
        merges = _read_merges(folder / "merges.txt")
        vocab = _read_json(folder / "vocab.json")
        added = _read_added(folder)
    try:
        _check(vocab, merges, added, needed)
    except ValueError as error:
        raise TokenizerError(f"{folder}: {error}; fetch the tokenizer's files again") from None
    return vocab, merges, added


def _read_merges(path: Path) -> list[tuple[str, ...]]:
    try:
        lines = _content(path).decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} must be UTF-8, got {error}; fetch it again") from None
    if lines.count("\n") > MOST_IDS:
        raise TokenizerError(f"{path} must have at most {MOST_IDS:,} lines; fetch it again")
    version, *pairs = lines.split("\n")
    if not version.startswith("#version"):
        raise TokenizerError(f"{path} must begin with #version; fetch it again")
    return [tuple(pair.split(" ", 2)) for pair in pairs]


def _read_single(path: Path) -> tuple[dict, list, dict]:
    """Vocabulary, merges and added tokens of a tokenizer.json"""
    content = _read_json(path)
    try:
        pairs = content["model"]["merges"]  # "a b" in older files, ["a", "b"] in newer ones
        merges = [tuple(pair.split(" ", 2) if isinstance(pair, str) else pair) for pair in pairs]
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        return content["model"]["vocab"], merges, added
    except (KeyError, TypeError):
        raise TokenizerError(f"{path} must hold a BPE tokenizer; fetch it again") from None


def _read_added(folder: Path) -> dict:
    """Added tokens of added_tokens.json, tokenizer_config.json or both"""
    path = folder / "added_tokens.json"
    config = _added_of_config(folder / CONFIG)
    if config and not path.exists():
        return config
    return _joined(_read_json(path), config, folder)


def _added_of_config(path: Path) -> dict:
    """Token -> id in tokenizer_config.json; empty where there is none"""
    content = _read_json(path) if path.exists() else {}
    try:
        tokens = content.get("added_tokens_decoder") or {}  # {"151643": {"content": ...}, ...}
        return {token["content"]: _number(id) for id, token in tokens.items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise TokenizerError(
            f"{path}: added_tokens_decoder must map ids to tokens; fetch it again"
        ) from None


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise ValueError("an id must be digits")
    return int(digits)


def _joined(added: dict, config: dict, folder: Path) -> dict:
    both = added.keys() & config.keys()
    if differing := [token for token in both if added[token] != config[token]]:
        raise TokenizerError(
            f"{folder}: {shorten(sorted(differing))} must have one id in all files; fetch the "
            "tokenizer's files again"
        )
    return added | config


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing; fetch the whole tokenizer folder") from None
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read ({error}); fetch it again") from None


def _read_json(path: Path) -> dict:
    content = _content(path)
    # careful: counted before parsing, which takes 200 bytes an entry
    if content.count(b":") > 2 * MOST_IDS:
        raise TokenizerError(f"{path} must have at most {MOST_IDS:,} entries; fetch it again")
    try:
        content = parse_json(content)
    except ValueError as error:
        raise TokenizerError(f"{path} must be whole JSON ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} must hold a JSON object; fetch it again")
    return content


# --- checks: each raises ValueError


def _check(vocab, merges: list, added: dict, needed: tuple[str, ...]) -> None:
    _check_ids(vocab, added)
    if foreign := sorted(set().union(*vocab) - BYTE_OF.keys()):
        raise ValueError(
            f"tokens must be spelled in the letters of the 256 bytes, got {shorten(foreign)}"
        )
    if missing := BYTE_OF.keys() - vocab.keys():
        raise ValueError(f"the vocabulary must hold all 256 bytes, {len(missing)} are missing")
    if missing := set(needed) - added.keys():
        raise ValueError(f"the added tokens must include {min(missing)}")
    _check_added(added)
    _check_merges(vocab, merges)


def _check_ids(vocab, added: dict) -> None:
    if not isinstance(vocab, dict):
        raise ValueError("the vocabulary must map tokens to ids")
    ids = [*vocab.values(), *added.values()]
    if not all(type(id) is int for id in ids):
        raise ValueError("every id must be a whole number")
    if ids and not 0 <= min(ids) <= max(ids) < MOST_IDS:
        id = min(ids) if min(ids) < 0 else max(ids)
        raise ValueError(f"every id must be 0 to {MOST_IDS - 1:,}, got {shorten([id])}")
    if len(set(ids)) < len(ids):
        raise ValueError("every id must belong to one token, two have the same")


def _check_added(added: dict) -> None:
    if not all(isinstance(token, str) and 0 < len(token) <= LONGEST_ADDED for token in added):
        raise ValueError(f"every added token must have 1 to {LONGEST_ADDED:,} characters")
    if len(added) > MOST_ADDED:
        raise ValueError(f"there must be at most {MOST_ADDED:,} added tokens, got {len(added):,}")
    if halves := [t for t in added if t.encode(errors="ignore").decode() != t]:
        raise ValueError(f"every added token must be valid Unicode, got {shorten(halves)}")


def _check_merges(vocab: dict, merges: list) -> None:
    results = set()
    for pair in merges:
        known = len(pair) == 2 and all(isinstance(token, str) and token in vocab for token in pair)
        if not known or "".join(pair) not in vocab:
            raise ValueError(
                f"every merge must join two known tokens into a third, got {shorten(pair)}"
            )
        results.add("".join(pair))
    if len(results) < len(vocab) - len(BYTE_OF):
        raise ValueError(f"{len(vocab) - len(BYTE_OF)} merges must be here, got {len(results)}")


# --- writing


def write(folder: Path, vocab: dict, merges: list, added: dict, special: tuple[str, ...]) -> None:
    """Write the five official files, all or none; special: pad, start, end and others like them

    A tokenizer.json of an earlier tokenizer is removed: transformers would prefer it.
    """
    contents = {"vocab.json": vocab, "added_tokens.json": added}
    contents |= _for_transformers(added, special)
    texts = {name: _json_text(content) for name, content in contents.items()}
    texts["merges.txt"] = "\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            partials = {name: stack.enter_context(partial_file(folder / name)) for name in texts}
            for name, text in texts.items():
                partials[name].write_text(text, "utf-8", newline="\n")
            with interrupts_wait():
                _put_in_place(folder, partials)
    except OSError as error:
        raise TokenizerError(
            f"cannot write to {folder}: {error}; make room there or choose another folder"
        ) from None


def _put_in_place(folder: Path, partials: dict[str, Path]) -> None:
    # careful: vocab.json goes first and comes last; even if this process is killed in between,
    # files of two tokenizers never pass for one
    for name in ("tokenizer.json", "vocab.json"):
        (folder / name).unlink(missing_ok=True)
    for name in sorted(partials, key="vocab.json".__eq__):
        os.replace(partials[name], folder / name)


def _json_text(content: dict) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _for_transformers(added: dict[str, int], special: tuple[str, ...]) -> dict[str, dict]:
    """Contents of the two files that repeat the added tokens in transformers' words"""
    pad, _, end = special[:3]
    additional = [token for token in special[1:] if token in added]
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    decoder = {
        str(id): {"content": token, **flags, "special": token in special}
        for token, id in added.items()
    }
    names = {
        "additional_special_tokens": additional,
        "eos_token": {"content": end, **flags},
        "pad_token": {"content": pad, **flags},
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": additional,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": end,
        "errors": "replace",
        "extra_special_tokens": {},
        "model_max_length": 131072,
        "pad_token": pad,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    return {"special_tokens_map.json": names, CONFIG: config}
