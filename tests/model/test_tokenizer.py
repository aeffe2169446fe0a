"""Tokenizer: training, files and ids, the ids against transformers and the golden file."""

import functools
import hashlib
import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from helpers import speed

from qwenimage_ref import bpe, conditions, tokenizer
from qwenimage_ref.checkpoint import locate
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.posters import draw
from qwenimage_ref.tokenizer import Tokenizer, TokenizerError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tokens.json").read_text("utf-8"))
FILES = ("vocab.json", "merges.txt", "added_tokens.json")
CONFIG = "tokenizer_config.json"
PUBLISHED_SHA256 = {  # first digits, of the files of Qwen-Image-2512
    "vocab.json": "87a257b04b17642a",
    "merges.txt": "8831e4f1a0444713",
    "added_tokens.json": "58b54bbe36fc752f",
    "special_tokens_map.json": "76862e765266b85a",
    "tokenizer_config.json": "0a04a9d7d4a62b28",
}
HARD_TEXTS = (
    "",
    " ",
    "\nhello \r\n\r\n  there\t\tx \n",
    "a coffee shop, “通义千问” 😊 👨‍👩‍👧‍👦 costs $2.50!",
    "IT'S it'sabc we'Ve 'ſ don\u2019t",
    "<|im_end|>a<|im_start|><|image_pad|> <tool_call></tool_call><|im_end",
    "Cafe\u0301 e\u0302\u0323 \u0301 ﬁ ™ ① ＡＢ１２",
    "١٢٣ ½ ² Ⅷ 12345",
    "a\xa0b\u200bc\u3000d\u2028e\x1c\x1d\x85\x00f",
    "{curly} {{double}} {0} %s",
)


def captions(count: int) -> list[str]:
    return [
        draw.caption(draw.sample_scene(i), "zh" if i % 3 == 0 else "en", i) for i in range(count)
    ]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train(captions(500) + [tokenizer.T2I] * 500, 1000)


@pytest.fixture
def saved(trained, tmp_path) -> Path:
    trained.save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


@functools.cache
def official_folder() -> Path | None:
    return locate.find("tokenizer/vocab.json") and locate.find("tokenizer")


@functools.cache
def load_official() -> Tokenizer:
    return Tokenizer.load(official_folder())


needs_official = pytest.mark.skipif(
    official_folder() is None,
    reason="not checked: ids of the official vocabulary; it is in neither $QWENIMAGE_OFFICIAL nor "
    "the Hugging Face cache",
)


def reference(folder: Path):
    """transformers' tokenizer, as diffusers loads it for a pipeline."""
    from transformers import Qwen2Tokenizer

    return Qwen2Tokenizer.from_pretrained(folder)


def random_texts(count: int) -> list[str]:
    """Texts of assigned code points from all of Unicode, with everyday ones in between."""
    assigned = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    everyday = "etaoin 'sLL \n\r\t  .,!12\u0301\u0323漢字"
    rng = random.Random(7)
    return [
        "".join(rng.choice(rng.choice((assigned, everyday))) for _ in range(rng.randint(1, 40)))
        for _ in range(count)
    ]


# --- templates


@pytest.mark.parametrize("name", ["t2i", "edit", "edit_plus"])
def test_templates_are_byte_exact(name):
    module = tokenizer if name == "t2i" else conditions
    assert getattr(module, name.upper()) == GOLDEN["templates"][name]


def test_edit_plus_puts_each_picture_before_the_prompt():
    pictures = "".join(conditions.EDIT_PLUS_PICTURE.format(i) for i in (1, 2))
    text = GOLDEN["cases"]["edit_plus_two_pictures_unexpanded"]["text"]
    before, after = conditions.EDIT_PLUS.split("{}")
    assert text.startswith(before + pictures) and text.endswith(after)


# --- training


def test_the_prefix_of_a_trained_tokenizer_is_34_tokens(trained):
    """diffusers drops 34 states, whatever the tokenizer."""
    assert trained.prefix_length == 34
    assert len(trained.encode_prompt("")) == 34 + 5


def test_the_prefix_is_longer_where_the_template_was_not_learned():
    assert Tokenizer.train(["a red circle"] * 9, 400).prefix_length > 34


def test_training_does_not_depend_on_the_order_of_the_texts(trained):
    texts = captions(500) + [tokenizer.T2I] * 500
    random.Random(1).shuffle(texts)
    again = Tokenizer.train(texts, 1000)
    assert (again.vocab, again.merges, again.added) == (
        trained.vocab,
        trained.merges,
        trained.added,
    )


def test_training_does_not_depend_on_pythons_hashes():
    code = (
        "from qwenimage_ref.tokenizer import *\n"
        "texts = [f'a{i % 7} bc{i % 5}de 红色{i % 3}圆形 abcab cabca' for i in range(50)]\n"
        "print(Tokenizer.train(texts, 400).merges)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(runs[0]) > 200


def test_training_uses_exactly_the_ids_it_may():
    small = Tokenizer.train(captions(200), 330)
    assert len(small) == 330 and len(small.merges) == 330 - 256 - 22


def test_training_stops_when_no_pair_is_frequent_enough():
    texts = ["abab"] * 5 + ["xy"]
    assert Tokenizer.train(texts, 1000).merges == [("a", "b"), ("ab", "ab")]
    assert ("x", "y") in Tokenizer.train([*texts, "xy"], 1000).merges  # twice are enough
    assert ("x", "y") in Tokenizer.train(texts, 1000, min_count=1).merges
    assert Tokenizer.train(texts, 1000, min_count=11).merges == []


def test_added_tokens_follow_the_vocabulary_in_the_official_order(trained):
    ids = [trained.added[token] for token in tokenizer.ADDED_TOKENS]
    assert ids == list(range(len(trained.vocab), len(trained)))


def test_around_a_vocabulary_of_official_size_the_official_files_are_written(tmp_path):
    tokens = [*bpe.LETTER_OF.values(), *map("word{}".format, range(151_643 - 256))]
    added = {token: len(tokens) + i for i, token in enumerate(tokenizer.ADDED_TOKENS)}
    Tokenizer({token: i for i, token in enumerate(tokens)}, [], added).save(tmp_path)
    for name in ("added_tokens.json", "special_tokens_map.json", CONFIG):
        content = (tmp_path / name).read_bytes()
        assert hashlib.sha256(content).hexdigest().startswith(PUBLISHED_SHA256[name]), name


def test_training_learns_nothing_inside_added_tokens():
    assert Tokenizer.train(["<|im_start|><tool_call>"] * 9, 1000).merges == []


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(TokenizerError, match="at least 278, .*, got 277"):
        Tokenizer.train(["a"], 277)


# --- encoding


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_decoding_gives_back_the_normalised_text(trained, text):
    assert trained.decode(trained.encode(text)) == unicodedata.normalize("NFC", text)


def test_added_tokens_typed_by_the_user_are_recognised(trained):
    start, end = trained.added["<|im_start|>"], trained.added["<|im_end|>"]
    assert trained.encode("<|im_end|><|im_start|>") == [end, start]


def test_of_two_added_tokens_the_longer_is_found():
    plain = Tokenizer.train([], 278)
    both = Tokenizer(plain.vocab, [], {**plain.added, "<|im": 300, "<|im_start|>s": 301})
    assert both.encode("<|im_start|>s") == [301]
    assert both.encode("<|im_start|>") == [plain.added["<|im_start|>"]]
    assert both.encode("<|im") == [300]


def test_a_leading_newline_fuses_with_the_one_before_the_slot():
    tok = Tokenizer.train([tokenizer.T2I] * 9 + ["\n\n"] * 9, 1000)
    assert len(tok.encode_prompt("\na")) == len(tok.encode_prompt("a"))
    assert tok.encode_prompt("\na")[33] != tok.encode_prompt("a")[33]


def test_a_long_prompt_keeps_its_first_1024_tokens(trained):
    ids = trained.encode_prompt("1" * 5000)
    assert len(ids) == 34 + 1024 and ids[34:] == trained.encode("1") * 1024


def test_braces_in_a_prompt_are_text(trained):
    ids = trained.encode_prompt("{} {0}")
    assert trained.decode(ids[34:-5]) == "{} {0}"


def test_the_memory_for_words_stays_small():
    tok = Tokenizer.train([], 278)
    for i in range(0x4E00, 0x4E00 + 20_900):
        tok.encode(chr(i))
    tok.encode("x" * 100_000)
    assert 0 < len(tok._cache) <= 20_000
    assert max(map(len, tok._cache)) <= 32


def test_words_of_up_to_32_characters_are_remembered():
    tok = Tokenizer.train([], 278)
    for length in (32, 33):
        tok.encode("x" * length)
    assert list(tok._cache) == ["x" * 32]


@pytest.mark.parametrize("words, left", [(19_999, 20_000), (20_000, 1)])
def test_twenty_thousand_words_are_remembered_before_all_are_forgotten(words, left):
    tok = Tokenizer.train([], 278)
    tok._cache = dict.fromkeys(map(str, range(words)))
    tok.encode("new")
    assert len(tok._cache) == left and "new" in tok._cache


def test_half_a_character_is_refused(trained):
    with pytest.raises(TokenizerError, match=r"U\+D83D"):
        trained.encode("smile \ud83d")


def test_an_id_that_is_not_used_is_refused(trained):
    with pytest.raises(TokenizerError, match="one of the tokenizer's .*, got 999999"):
        trained.decode([1, 999_999])


@pytest.mark.parametrize(
    "text, normalised",
    [
        ("a" * 300_000, "a" * 300_000),
        (" " * 300_000, " " * 300_000),
        ("a" + "\u0300\u0323" * 100_000, "ạ" + "\u0323" * 99_999 + "\u0300" * 100_000),
        ("\u0f73\u0300" * 100_000, "".join(c * 100_000 for c in "\u0f71\u0f72\u0300")),
    ],
    ids=["letters", "spaces", "accents", "vowel signs"],
)
def test_hostile_text_takes_no_quadratic_time(text, normalised):
    tok = Tokenizer.train(["a" * 64, " " * 64, "\u0323" * 64], 1000)  # long runs do merge
    with speed.at_most(30):  # a second or two; the quadratic ways need from a minute to days
        ids = tok.encode(text)
    assert tok.decode(ids) == normalised


# --- files


def test_a_saved_tokenizer_loads_as_it_was(trained, saved):
    again = Tokenizer.load(saved)
    assert again.vocab == trained.vocab and again.added == trained.added
    assert again.merges == trained.merges


def test_transformers_reads_a_saved_tokenizer_and_gives_the_same_ids(trained, saved):
    theirs = reference(saved)
    prompts = [*captions(60), *HARD_TEXTS, *random_texts(300)]
    for prompt in prompts:
        ids = theirs(tokenizer.T2I.format(prompt)).input_ids
        assert trained.encode_prompt(prompt) == ids, prompt
        assert trained.decode(ids) == theirs.decode(ids), prompt
    assert theirs.pad_token_id == trained.pad_id and theirs.padding_side == "right"
    assert len(theirs) == len(trained)


def test_the_single_file_of_transformers_is_read_too(trained, saved, tmp_path):
    reference(saved).save_pretrained(tmp_path / "single")
    assert not (tmp_path / "single" / "vocab.json").exists()
    again = Tokenizer.load(tmp_path / "single")
    assert (again.vocab, again.merges, again.added) == (
        trained.vocab,
        trained.merges,
        trained.added,
    )


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved, name):
    (saved / CONFIG).unlink()  # it repeats the added tokens
    (saved / name).unlink()
    assert str(saved / name) in problem(saved)


def test_added_tokens_may_be_in_the_config_alone(trained, saved):
    (saved / "added_tokens.json").unlink()
    assert Tokenizer.load(saved).added == trained.added


def test_added_tokens_of_the_config_complete_those_of_the_single_file(trained, saved, tmp_path):
    single = tmp_path / "single"
    reference(saved).save_pretrained(single)
    content = json.loads((single / "tokenizer.json").read_text("utf-8"))
    content["added_tokens"] = content["added_tokens"][:3]
    (single / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    (single / CONFIG).write_bytes((saved / CONFIG).read_bytes())
    assert Tokenizer.load(single).added == trained.added


def test_added_tokens_without_a_needed_one_are_refused(saved):
    (saved / CONFIG).unlink()
    added = json.loads((saved / "added_tokens.json").read_text("utf-8"))
    del added["<|im_end|>"]
    (saved / "added_tokens.json").write_text(json.dumps(added), "utf-8")
    assert "the added tokens must include <|im_end|>" in problem(saved)


@pytest.mark.parametrize(
    "tokens", [[], 7, {"x": {"content": "a"}}, {"1_0": {"content": "a"}}, {"700": "a"}, {"700": {}}]
)
def test_added_tokens_of_the_config_that_make_no_sense_are_refused(saved, tokens):
    (saved / CONFIG).write_text(json.dumps({"added_tokens_decoder": tokens or {"-1": {}}}))
    assert "added_tokens_decoder must map ids to tokens" in problem(saved)


@pytest.mark.parametrize("name", FILES)
def test_half_a_file_is_refused(saved, name):
    whole = (saved / name).read_text("utf-8")
    (saved / name).write_text(whole[: len(whole) // 2], "utf-8")
    assert str(saved) in problem(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_pointer_in_place_of_a_file_is_refused(saved, name):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (saved / name).write_text(pointer, "utf-8")
    assert str(saved / name) in problem(saved)


def test_bytes_that_are_no_text_are_refused(saved):
    (saved / "merges.txt").write_bytes(b"#version: 0.2\n\xff\xfe")
    assert str(saved / "merges.txt") in problem(saved)


def test_merges_cut_off_at_the_end_of_a_line_are_counted(saved, trained):
    lines = (saved / "merges.txt").read_text("utf-8").splitlines(keepends=True)
    (saved / "merges.txt").write_text("".join(lines[:-10]), "utf-8")
    count = len(trained.merges)
    assert f"{count} merges must be here, got {count - 10}" in problem(saved)


@pytest.mark.parametrize(
    "name, change, line",
    [
        ("vocab.json", {"b": 64}, "two have the same"),
        ("vocab.json", {"b": "65"}, "every id must be a whole number"),
        ("vocab.json", {"b": -7}, "every id must be 0 to 1,048,575, got -7"),
        ("vocab.json", {"b": 10**9}, "every id must be 0 to 1,048,575, got 1000000000"),
        ("vocab.json", {"Ġ": None}, "must hold all 256 bytes, 1 are missing"),
        ("vocab.json", {"字": 9999}, "in the letters of the 256 bytes, got 字"),
        ("added_tokens.json", {"<|im_end|>": 5}, "<|im_end|> must have one id in all files"),
        ("added_tokens.json", {"": 9999}, "must have 1 to 1,000 characters"),
    ],
)
def test_files_at_odds_are_refused(saved, name, change, line):
    content = {**json.loads((saved / name).read_text("utf-8")), **change}
    content = {token: id for token, id in content.items() if id is not None}
    (saved / name).write_text(json.dumps(content), "utf-8")
    assert line in problem(saved)


def test_a_single_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram", "vocab": []}}')
    assert str(tmp_path / "tokenizer.json") in problem(tmp_path)


@pytest.mark.parametrize("merge", ["a b c", "ab", "a zz", ""])
def test_a_merge_that_joins_no_two_tokens_is_refused(saved, merge):
    with (saved / "merges.txt").open("a", encoding="utf-8") as file:
        file.write(merge + "\n")
    assert "every merge must join two known tokens into a third" in problem(saved)


def test_merges_without_end_are_refused_unsplit(saved):
    (saved / "merges.txt").write_text("#version: 0.2\n" + "a b\n" * (2**20 + 1), "utf-8")
    assert "must have at most 1,048,576 lines" in problem(saved)


def test_a_vocabulary_without_end_is_refused_unparsed(saved):
    (saved / "vocab.json").write_text('{"":0' + ',"":0' * (2**21 + 1) + "}", "utf-8")
    assert "must have at most 1,048,576 entries" in problem(saved)


def test_a_file_of_forty_megabytes_is_refused_unread(saved):
    with (saved / "merges.txt").open("r+b") as file:
        file.truncate(40_000_000)
    assert "longer than 16,000,000 bytes" in problem(saved)


def problem(folder: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.load(folder)
    line = str(caught.value)
    assert line.isprintable() and len(line) < 900 and "fetch" in line
    return line


# --- saving: all files or none


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interrupted_save_leaves_every_file_as_it_was(saved, monkeypatch):
    before, other = snapshot(saved), Tokenizer.train(["ab"] * 9, 300)
    write_text = Path.write_text

    def interrupted(path, *arguments, **keywords):
        write_text(path, *arguments, **keywords)
        if "special_tokens_map" in path.name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        other.save(saved)
    assert snapshot(saved) == before


def test_a_full_disk_is_one_line_and_leaves_every_file_as_it_was(saved, monkeypatch):
    before, other = snapshot(saved), Tokenizer.train(["ab"] * 9, 300)

    def full(path, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TokenizerError, match="cannot write to .*No space left.*make room there"):
        other.save(saved)
    assert snapshot(saved) == before


@pytest.mark.parametrize("done", range(5))
def test_a_save_that_is_killed_while_files_take_their_names_is_no_tokenizer(
    saved, monkeypatch, done
):
    """Of two tokenizers of one size a mixture would have no other fault."""
    replace, count = os.replace, iter(range(5))

    def killed(*arguments):
        if next(count) == done:
            raise MemoryError
        replace(*arguments)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(MemoryError):
        Tokenizer.train(["ab"] * 9, 300).save(saved)
    assert "vocab.json is missing" in problem(saved)


def test_a_single_file_of_an_earlier_tokenizer_does_not_outlive_a_save(trained, saved):
    (saved / "tokenizer.json").write_text("{}")
    trained.save(saved)
    assert not (saved / "tokenizer.json").exists()


# --- the official vocabulary


@needs_official
@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_golden_ids(name):
    case, tok = GOLDEN["cases"][name], load_official()
    if "text" in case:  # an edit template, already filled in
        assert tok.encode(case["text"]) == case["ids"]
        return
    prompt = case["prompt"]
    if isinstance(prompt, dict):
        prompt = prompt["repeat"] * prompt["times"]
    ids = tok.encode_prompt(prompt)
    assert tok.encode(prompt) == case["raw_ids"]
    assert ids == case["t2i_full_ids"]
    counts = [len(case["raw_ids"]), len(ids), len(ids[tok.prefix_length :])]
    assert counts == [case[key] for key in ("n_raw", "n_t2i_full", "n_after_drop34")]


@needs_official
def test_golden_batch_is_padded_on_the_right():
    batch, tok = GOLDEN["batch_padding"], load_official()
    rows = [tok.encode_prompt(prompt) for prompt in batch["prompts"]]
    longest = max(map(len, rows))
    padded = [row + [tok.pad_id] * (longest - len(row)) for row in rows]
    assert padded == batch["input_ids"]


@needs_official
def test_official_sizes():
    tok = load_official()
    assert len(tok) == 151_665 and tok.pad_id == 151_643
    dropped = {
        "t2i": tok.prefix_length,
        "edit": len(tok.encode(conditions.EDIT.partition(conditions.PICTURE)[0])),
        "edit_plus": len(tok.encode(conditions.EDIT_PLUS.partition("{}")[0])),
    }
    assert dropped == GOLDEN["drop_idx"]


@needs_official
def test_three_thousand_random_texts_give_the_ids_of_transformers():
    theirs, tok = reference(official_folder()), load_official()
    texts = [*random_texts(3000), *HARD_TEXTS]
    expected = theirs(texts).input_ids
    wrong = [ascii(text) for text, ids in zip(texts, expected) if tok.encode(text) != ids]
    assert len(wrong) <= within("tokens"), wrong[:3]
    back = [
        ascii(text) for text, ids in zip(texts, expected) if tok.decode(ids) != theirs.decode(ids)
    ]
    assert back == []


@needs_official
def test_saving_gives_the_published_files_byte_for_byte(tmp_path):
    load_official().save(tmp_path)
    for name, start in PUBLISHED_SHA256.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest().startswith(start), name
