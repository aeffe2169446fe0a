"""A training that is measured seed by seed: its command, its resuming and its record."""

import json

import pytest

from qwenimage_ref.evaluate import seed_by_seed
from qwenimage_ref.provenance import write_record


@pytest.mark.parametrize("option", ["--captions", "--steps"])
def test_too_few_captions_or_steps_end_the_command_in_one_line(option, capsys):
    arguments = [option, "1"]
    assert seed_by_seed.command("preferred", None, 8, None, arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_log_keeps_five_digits(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps({"step": 2, "loss": 0.693147180}) + "\n")
    assert seed_by_seed.log_of(file) == [{"step": 2, "loss": 0.69315}]


def test_a_record_joins_the_trainings_of_its_seeds_each_of_which_is_measured_once(tmp_path, capsys):
    measured = []

    def survey(pipe, options, terms, file):
        measured.append(options.seed)
        if measured == [3, 5]:
            raise KeyboardInterrupt
        write_record(terms | {"right": options.seed / 10}, file)

    file = tmp_path / "record.json"
    arguments = ["--seeds", "3", "5", "--captions", "2", "--to", str(file)]
    with pytest.raises(KeyboardInterrupt):
        seed_by_seed.command("preferred", file, 8, survey, arguments)
    assert not file.exists()
    for _ in range(2):
        assert seed_by_seed.command("preferred", file, 8, survey, arguments) == 0
    assert measured == [3, 5, 5] and "measured on these weights" in capsys.readouterr().out
    record = json.loads(file.read_text())
    assert [each["right"] for each in record["seeds"]] == [0.3, 0.5]
    assert record["steps"] == 8 and "weights" in record and "weights" not in record["seeds"][0]
    assert [each.name for each in tmp_path.iterdir()] == ["record.json"]
