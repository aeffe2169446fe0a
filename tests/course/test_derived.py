"""What depends on the pocket's weights belongs to those that are stored, or is listed as stale."""

import importlib
import json
import re
import shlex

import pytest

from qwenimage_ref import QwenImage
from qwenimage_ref.course.publish import derive
from qwenimage_ref.course.publish.trained_apart import APART, stale
from qwenimage_ref.evaluate import rewarded
from qwenimage_ref.evaluate.survey import terms_of
from qwenimage_ref.pocket.variants import VARIANTS, open_variant
from qwenimage_ref.repository import MEASUREMENTS, POCKET

DIGESTS = re.compile(r"[0-9a-f]{12}( [0-9a-f]{12}){2}")


def recorded() -> dict[str, str]:
    """Record -> the weights that it names, of all that name some"""
    weights = {}
    for file in sorted(MEASUREMENTS.glob("*.json")):
        named = json.loads(file.read_text(encoding="utf-8")).get("weights")
        if isinstance(named, str) and DIGESTS.fullmatch(named):
            weights[file.name.removesuffix(".json")] = named
    return weights


RECORDED = recorded()
OWN = {name: apart for name, apart in APART.items() if apart.base}  # of other weights
KEPT = {name: apart for name, apart in OWN.items() if apart.variant}
COMMANDS = [command for apart in APART.values() for command in apart.commands]


def weights_of(pipe) -> str:
    return terms_of(pipe, 0)["weights"]


@pytest.fixture(scope="module")
def weights() -> str:
    return weights_of(QwenImage.from_pretrained(POCKET))


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in OWN])
def test_a_record_was_measured_on_the_weights_that_are_stored(weights, name):
    assert RECORDED[name] == weights


@pytest.mark.parametrize("name", OWN)
def test_what_has_weights_of_its_own_was_trained_from_these_weights(weights, name):
    assert OWN[name].base == weights != RECORDED[name]


@pytest.mark.parametrize("name", KEPT)
def test_a_variant_is_the_measured_one(name):
    assert RECORDED[name] == weights_of(open_variant(KEPT[name].variant))


def test_every_record_is_made_again_or_listed():
    modules = [*derive.COMMANDS, *derive.ANEW, rewarded]
    again = {module.RECORD.stem for module in modules if hasattr(module, "RECORD")}
    forgotten = {
        name for name in RECORDED
        if not {name, name.rpartition("_")[0]} & again and name not in APART
    }  # fmt: skip
    assert forgotten == set() and not again & APART.keys() and len(RECORDED) >= 20


def test_every_variant_has_a_command_that_writes_it():
    words = {word for command in COMMANDS for word in shlex.split(command)[1:]}
    kept = {apart.variant for apart in KEPT.values()}
    for file in VARIANTS.iterdir():
        assert f"data/variants/{file.name}" in words or file.name in kept
    assert all(f" keep {name} " in " ".join(COMMANDS) for name in kept)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists_and_knows_its_options(command, capsys):
    program, *words = shlex.split(command)
    if program == "cp":
        source, target = words
        kind = source.removeprefix("runs/controls/").removesuffix(".safetensors")
        assert f"qwenimage_ref.pocket.controls {kind}" in " ".join(COMMANDS)
        assert target == f"data/variants/control_{kind.replace('-', '_')}.safetensors"
        return
    assert words[0] == "-m"
    with pytest.raises(SystemExit) as end:
        importlib.import_module(words[1]).main([*words[2:], "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert all(word in text for word in words[2:] if word.startswith("--"))


def test_nothing_is_stale_now_and_with_other_weights_everything_is(weights):
    assert stale(weights) == []
    lines = stale("0" * 12)
    assert [line.strip() for line in lines if line.startswith(" ")] == COMMANDS
    names = [line for line in lines if not line.startswith(" ")]
    assert len(names) == len(APART)
    assert all(f"/{name}.json belongs to" in line for name, line in zip(APART, names))


def test_a_record_that_is_missing_is_stale(weights, monkeypatch, tmp_path):
    monkeypatch.setattr("qwenimage_ref.course.publish.trained_apart.MEASUREMENTS", tmp_path)
    names = [line for line in stale(weights) if not line.startswith(" ")]
    assert len(names) == len(APART) - len(OWN)
