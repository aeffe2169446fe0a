"""Cells about the official files: the same with and without them, and never another result."""

import json
import re
import socket
from pathlib import Path

import pytest

from qwenimage_ref.course import stored_results
from qwenimage_ref.repository import ROOT

RESULTS = {path.stem: path for path in (ROOT / "data" / "official_runs").glob("*.json")}
RESULT = {"tokens": [3, 5], "scale": 0.25, "words": "一个", "bias": True}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A folder for stored results, and a machine without any official file."""
    monkeypatch.setenv("QWENIMAGE_OFFICIAL", str(tmp_path / "official"))
    monkeypatch.delenv("QWENIMAGE_RECORD", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(stored_results, "FOLDER", tmp_path / "official_runs")
    return tmp_path


def have(part: str, model: Path) -> Path:
    (model / part).parent.mkdir(parents=True, exist_ok=True)
    (model / part).write_text("{}")
    return model / part


def record(monkeypatch, compute, part="vae/config.json", **settings):
    with monkeypatch.context() as patch:
        patch.setenv("QWENIMAGE_RECORD", "1")
        return stored_results.run("04_words", part, compute, **settings)


@pytest.fixture
def stored(here, monkeypatch) -> Path:
    """RESULT is stored, and the official file is here."""
    have("vae/config.json", here / "official")
    record(monkeypatch, lambda path: RESULT)
    return here / "official_runs" / "04_words.json"


def lose_the_part(here):
    (here / "official" / "vae" / "config.json").unlink()


def test_with_the_part_it_is_computed_from_its_path(stored, here):
    seen = []
    assert stored_results.run(
        "04_words", "vae/config.json", lambda path: seen.append(path) or RESULT
    )
    assert seen == [here / "official" / "vae" / "config.json"]


def test_without_the_part_the_stored_result_is_shown_and_nothing_computed(stored, here):
    lose_the_part(here)
    assert stored_results.run("04_words", "vae/config.json", pytest.fail) == RESULT


def test_both_ways_give_the_same_to_the_last_bit_and_print_the_same(stored, here, capsys):
    def nearly(path):
        return RESULT | {"scale": 0.2500001}

    computed = stored_results.run("04_words", "vae/config.json", nearly, close=1e-5)
    lose_the_part(here)
    assert computed == stored_results.run("04_words", "vae/config.json", nearly, close=1e-5)
    assert capsys.readouterr() == ("", "")


def test_what_was_done_can_be_asked_for(stored, here):
    stored_results.run("04_words", "vae/config.json", lambda path: RESULT)
    assert stored_results.last.startswith("vae/config.json of official is here: computed")
    lose_the_part(here)
    stored_results.run("04_words", "vae/config.json", lambda path: RESULT)
    assert stored_results.last.startswith(
        "vae/config.json is not here: the result is the one stored on 20"
    )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"tokens": [3, 6]}, "gives 6 for the result['tokens'][1], not 5"),
        ({"tokens": [3]}, "gives [3] for the result['tokens'], not [3, 5]"),
        ({"scale": 0.26}, "gives 0.26 for the result['scale'], not 0.25"),
        ({"words": "两个"}, 'gives "两个" for the result[\'words\'], not "一个"'),
        ({"bias": 1}, "gives 1 for the result['bias'], not true"),
        ({"more": None}, "for the result, not"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_another_result_is_an_error_that_says_where(stored, change, words):
    with pytest.raises(stored_results.GatedError) as caught:
        stored_results.run("04_words", "vae/config.json", lambda path: RESULT | change, close=1e-3)
    assert words in str(caught.value)
    assert "QWENIMAGE_RECORD=1" in str(caught.value)


def test_floats_are_equal_to_the_last_bit_unless_told(stored):
    with pytest.raises(stored_results.GatedError, match="not 0.25"):
        stored_results.run(
            "04_words", "vae/config.json", lambda path: RESULT | {"scale": 0.25 + 1e-12}
        )


@pytest.mark.parametrize("here_too", [True, False])
def test_a_missing_result_says_how_it_is_made(here, here_too):
    if here_too:
        have("vae/config.json", here / "official")
    with pytest.raises(
        stored_results.GatedError, match="04_words.json is missing, .*QWENIMAGE_RECORD=1"
    ):
        stored_results.run("04_words", "vae/config.json", lambda path: RESULT)
    assert not (here / "official_runs").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"result": 1}', '{"result": NaN}'])
def test_a_damaged_result_is_one_clear_line(stored, content):
    stored.write_text(content)
    with pytest.raises(stored_results.GatedError, match="04_words.json is damaged .*fetch"):
        stored_results.run("04_words", "vae/config.json", lambda path: RESULT)


def test_a_record_says_where_it_comes_from_and_names_no_path(here, monkeypatch):
    repository = here / "hub" / "models--Qwen--Qwen-Image-2512"
    have("vae/config.json", repository / "snapshots" / "1")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1")
    record(monkeypatch, lambda path: RESULT, dtype="bfloat16", device="cpu")
    text = (here / "official_runs" / "04_words.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["official"] == "Qwen/Qwen-Image-2512"
    assert (content["dtype"], content["device"]) == ("bfloat16", "cpu")
    assert {"qwenimage_ref", "torch"} <= content["versions"].keys() and content["commit"]
    assert str(here) not in text and "一个" in text


def test_a_new_result_is_recorded_over_the_old_one(stored, monkeypatch):
    new = RESULT | {"scale": 0.5}
    assert record(monkeypatch, lambda path: new) == new
    assert json.loads(stored.read_text(encoding="utf-8"))["result"] == new


def test_a_result_that_holds_already_is_not_written_again(stored, monkeypatch):
    before = stored.stat().st_mtime_ns
    record(monkeypatch, lambda path: RESULT)
    assert stored.stat().st_mtime_ns == before


def test_a_result_that_cannot_be_stored_leaves_no_file(here, monkeypatch):
    have("vae/config.json", here / "official")
    for result in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises(
            stored_results.GatedError, match="04_words cannot be stored .*finite numbers"
        ):
            record(monkeypatch, lambda path, result=result: result)
    assert not (here / "official_runs").exists()


def test_an_interrupted_record_leaves_the_old_one_whole(stored, monkeypatch):
    old = stored.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("qwenimage_ref.files.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record(monkeypatch, lambda path: RESULT | {"scale": 0.5})
    assert [path.name for path in stored.parent.iterdir()] == ["04_words.json"]
    assert stored.read_bytes() == old


def test_a_name_that_leaves_the_folder_is_refused(here):
    with pytest.raises(stored_results.GatedError, match="a name must be of small letters"):
        stored_results.run("../tokens", "vae/config.json", lambda path: RESULT)


def test_a_check_says_the_same_whether_the_part_is_here_or_not(here, capsys):
    checked = []
    stored_results.check("vae/config.json", "16 latent channels", checked.append)
    assert stored_results.last == "vae/config.json is not here: nothing was checked"
    path = have("vae/config.json", here / "official")
    stored_results.check("vae/config.json", "16 latent channels", checked.append)
    assert stored_results.last == "vae/config.json of official is here: checked"
    without, with_it = capsys.readouterr().out.splitlines()
    assert without == with_it and without.endswith("16 latent channels")
    assert checked == [path]


def test_a_check_that_fails_is_heard(here):
    have("vae/config.json", here / "official")

    def verify(path):
        assert path.read_text() == "other", "the file says something else"

    with pytest.raises(AssertionError, match="something else"):
        stored_results.check("vae/config.json", "what it says", verify)
    with pytest.raises(stored_results.GatedError, match="fails the check: what it says"):
        stored_results.check(
            "vae/config.json", "what it says", lambda path: path.read_text() == "other"
        )


def test_looking_for_a_part_never_reaches_for_the_network(here, monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "connect", pytest.fail)
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)
    with pytest.raises(stored_results.GatedError, match="vae is not on this machine"):
        stored_results.run("04_words", "vae", lambda path: RESULT)
    stored_results.check("vae", "16 latent channels", pytest.fail)
    assert capsys.readouterr().err == ""


def test_every_cell_about_the_official_files_has_its_stored_result_and_every_result_its_cell():
    sources = sorted((ROOT / "notebooks" / "src").glob("*.py"))
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    names = re.findall(r'stored_results\.run\(\s*"([a-z0-9_]+)"', text)
    assert len(names) == text.count("stored_results.run(") > 15
    patterns = [f"{name}\\w+" if name.endswith("_") else name for name in names]
    assert [name for name in patterns if not any(re.fullmatch(name, r) for r in RESULTS)] == []
    assert [r for r in RESULTS if not any(re.fullmatch(name, r) for name in patterns)] == []


def test_every_stored_result_can_be_shown():
    assert len(RESULTS) > 15
    for file in RESULTS.values():
        content = json.loads(file.read_text(encoding="utf-8"))
        assert {"result", "part", "official", "date", "versions", "commit"} <= content.keys(), file
