"""Damaged headers, JSON and bytes, at random from a seed, and a count of how many are refused."""

import contextlib
import copy
import json
import random
import struct
from pathlib import Path

import pytest

from helpers.speed import at_most, own_garbage
from qwenimage_ref.checkpoint import CheckpointError
from qwenimage_ref.config import ConfigError
from qwenimage_ref.tokenizer import TokenizerError

STEM = "diffusion_pytorch_model"
SHARD = f"{STEM}-00002-of-00003.safetensors"
MUTANTS = 1000  # of each test
SECONDS, ROOM = 0.5, 500_000_000

# what a hostile hand puts in place of any value
VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 64, 65, 10**6, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30,
    10**400, 0.5, -0.0, 1e300, float("nan"), float("inf"),
    "", "F32", "F16", "BF16", "I64", "U8", "f32", "\ud800", "\x00", "\u202e", "ｆｉｒｓｔ",
    "a" * 100_000, "..", "../x.safetensors", "/etc/passwd", "other.safetensors", SHARD,
    ".safetensors", "model.bin", "a/b.safetensors", "C:\\x.safetensors", "ⅹ.safetensors",
    "a" * 300 + ".safetensors", {"dtype": "F32"}, {"": ""}, {},
    [], [[]], [0, 60], [60, 0], [-1, -1], [0, 2**64], [1] * 10_000, [2**62] * 70,
)  # fmt: skip
BYTES = b'"{}[],:0123456789.-+eE\\/ abFBIu\xff\0\xc3'


def spots(tree, found=None) -> list:
    """Every (container, key) below a JSON value."""
    found = [] if found is None else found
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], (dict, list)):
            spots(tree[key], found)
    return found


def rewritten(content: bytes, chance: random.Random) -> bytes:
    """JSON in which values are replaced, exchanged, renamed, taken away, doubled or nested."""
    tree = json.loads(content)
    for _ in range(chance.randint(1, 2)):
        places = spots(tree)
        if not places:
            break
        at, key = chance.choice(places)
        kind = chance.choice(["value", "value", "value", "exchange", "rename", "remove", "nest"])
        if kind == "value":
            at[key] = copy.deepcopy(chance.choice(VALUES))
        elif kind == "exchange":
            other, there = chance.choice(places)
            at[key], other[there] = copy.deepcopy(other[there]), copy.deepcopy(at[key])
        elif kind == "rename" and isinstance(at, dict):
            at[str(chance.choice(VALUES))] = at.pop(key)
        elif kind == "remove":
            del at[key]
        elif kind == "nest":
            at[key] = [at[key]]
    text = json.dumps(tree, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.1:  # the same key again, with another value
        text = text.replace("{", '{"num_layers": 1, "first.bias": {}, "num_layers": 2, ', 1)
    if chance.random() < 0.05:
        text = text.replace(":", ":" + "[" * chance.choice([1, 900, 50_000]), 1)
    if chance.random() < 0.05:
        text = text.replace("1", "1" * chance.choice([5, 20, 5000]), 1)
    return text.encode("utf-8", "surrogatepass")


def scratched(content: bytes, chance: random.Random) -> bytes:
    """Bits turned, bytes replaced, exchanged, cut off, taken out, doubled or added."""
    changed = bytearray(content)
    at = chance.randrange(len(changed))
    kind = chance.choice(["bit", "bit", "bytes", "exchange", "cut", "hole", "again", "longer"])
    if kind == "bit":
        changed[at] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice(BYTES)
    elif kind == "exchange":
        other = chance.randrange(len(changed))
        changed[at], changed[other] = changed[other], changed[at]
    elif kind == "cut":
        del changed[at:]
    elif kind == "hole":
        del changed[at : at + chance.randint(1, 9)]
    elif kind == "again":
        changed[at:at] = changed[at : at + chance.randint(1, 40)]
    else:
        changed += chance.randbytes(chance.randint(1, 100))
    return bytes(changed)


def mutated(content: bytes, chance: random.Random) -> bytes:
    return chance.choice([rewritten, scratched])(content, chance)


def mutated_file(content: bytes, chance: random.Random) -> bytes:
    """A .safetensors file with another header, another length of it, or other bytes after it."""
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    header, tensors = content[8:begin], content[begin:]
    kind = chance.choice(["header", "header", "header", "length", "tensors"])
    if kind == "header":
        header = mutated(header.rstrip(b" "), chance)
        header += b" " * (-len(header) % 8)
        return struct.pack("<Q", len(header)) + header + tensors
    if kind == "length":
        length = chance.choice([0, 1, begin, len(content), 2**31, 2**63, 2**64 - 1, begin - 9])
        return struct.pack("<Q", length) + content[8:]
    return scratched(content[:begin], chance) + tensors[: chance.choice([len(tensors), 0, 60, -1])]


@contextlib.contextmanager
def little_memory():
    """Whatever asks for more than ROOM bytes of addresses fails."""
    resource = pytest.importorskip("resource", reason="only Unix can limit memory")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("only Linux says how much memory is taken")
    taken = int(statm.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def count_refused(seed: int, file: Path, mutate, attempt, count: int = MUTANTS) -> int:
    """Write each mutant in the place of `file` and try it; how many were refused."""
    chance, refused, good = random.Random(seed), 0, file.read_bytes()
    with own_garbage(), little_memory():
        for number in range(count):
            content = mutate(good, chance)
            file.unlink()  # to write over a file costs ten times as much as to make another
            file.write_bytes(content)
            try:
                with at_most(SECONDS):
                    attempt()
            except (CheckpointError, ConfigError, TokenizerError) as error:
                message = str(error)
                assert message.isprintable() and len(message) < 900, f"mutant {number}: {message}"
                refused += 1
            except Exception as error:
                raise AssertionError(f"mutant {number}, {content[:300]!r}: {error!r}") from error
    print(f"{file.name}: {count} mutants, {refused} refused, {count - refused} harmless")
    return refused
