"""Eight hundred damaged tokenizer folders: refused in one line, or a tokenizer that works."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.mutations import count_refused, mutated, scratched

from qwenimage_ref import tokenizer
from qwenimage_ref.tokenizer import Tokenizer, TokenizerError

TEXT = "a red circle <|im_start|> 字 \n\n"
MOST_ROWS = 2**20  # no embedding has more
SINGLE = "tokenizer.json"


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train([TEXT, tokenizer.T2I] * 3, 320)


def working(folder: Path):
    """A function that loads the folder and, if it is not refused, uses every part of it."""

    def attempt():
        loaded = Tokenizer.load(folder)
        ids = loaded.encode(TEXT)
        assert loaded.decode(ids) == TEXT
        assert 0 <= min(ids) and loaded.largest_id < MOST_ROWS
        loaded.encode_prompt("x")
        assert loaded.pad_id >= 0

    return attempt


def changed_lines(content: bytes, chance) -> bytes:
    """Lines of merges.txt exchanged, doubled, emptied, joined or spoiled, or bytes scratched."""
    if chance.random() < 0.3:
        return scratched(content, chance)
    lines = content.split(b"\n")
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    spoiled = chance.choice([lines[other], b"", b"a", b"a b c", b" ", b"\xff", "字 字".encode()])
    lines[at] = chance.choice([spoiled, lines[at] + spoiled, lines[at] + b" " + spoiled])
    return b"\n".join(lines)


@pytest.mark.parametrize(
    "name, mutate, count, share",
    [
        ("vocab.json", mutated, 200, 0.8),
        ("merges.txt", changed_lines, 200, 0.6),
        ("added_tokens.json", mutated, 150, 0.8),
        ("tokenizer_config.json", mutated, 100, 0.1),  # most of it is for transformers
        (SINGLE, mutated, 150, 0.7),
    ],
)
def test_a_damaged_tokenizer_is_refused_or_works(trained, tmp_path, name, mutate, count, share):
    trained.save(tmp_path)
    if name == SINGLE:
        added = [{"id": id, "content": token} for token, id in trained.added.items()]
        model = {"type": "BPE", "vocab": trained.vocab, "merges": trained.merges}
        (tmp_path / SINGLE).write_text(json.dumps({"model": model, "added_tokens": added}))
        (tmp_path / "vocab.json").unlink()
    assert count_refused(7, tmp_path / name, mutate, working(tmp_path), count) > share * count


def test_a_tokenizer_of_a_larger_model_does_not_fit_the_embedding(trained):
    """Each id is possible, and yet the text encoder has no row for the largest."""
    from qwenimage_ref.checkpoint import CheckpointError
    from qwenimage_ref.checkpoint.model_folder import demand_one_model
    from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig

    far = Tokenizer(trained.vocab, trained.merges, trained.added | {"<|far|>": 152_064})
    configs = {"text_encoder": TextEncoderConfig.official(), "transformer": MMDiTConfig.official()}
    networks = {part: SimpleNamespace(config=config) for part, config in configs.items()}
    demand_one_model(Path("m"), networks, trained)
    with pytest.raises(CheckpointError, match="below the text encoder's 152,064 rows, got 152,064"):
        demand_one_model(Path("m"), networks, far)


def test_impossible_tokenizers_end_in_a_tokenizer_error_alone(trained, tmp_path):
    trained.save(tmp_path)
    for content in (None, [], 7, "x", {"a": None}, {"a": [1]}, {"a": 1.5}, {"a": True}):
        (tmp_path / "vocab.json").write_text(json.dumps(content))
        with pytest.raises(TokenizerError, match="fetch"):
            Tokenizer.load(tmp_path)
