"""The process that paints for the page: one pipeline for all jobs, and no job leaves a trace."""

import argparse
import io
import json

import pytest
from helpers.editing import EDIT_PLUS, edit_folder, picture
from helpers.layering import layered_folder
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.cli import loading, worker
from qwenimage_ref.posters.scene import SIZES
from qwenimage_ref.repository import DATA

LORA = DATA / "lora" / "lightning_4_steps.safetensors"
WORDS = ["--size=64x64", "--steps=2", "--seed=4"]
PROMPT = ["--", "a red circle"]


def options_of(*words: str) -> argparse.Namespace:
    return loading.parse(loading.add_arguments, list(words))


def worker_of(*fixed: str) -> worker.Worker:
    made = worker.Worker(list(fixed), io.StringIO())
    made.pipe = loading.base(options_of(*fixed))
    return made


@pytest.fixture(scope="module")
def pocket():
    return worker_of()


def job(made: worker.Worker, output, *arguments: str, task="paint", number=1) -> dict:
    made.job = number
    return made.outcome({"task": task, "arguments": list(arguments), "output": str(output)})


def said(made: worker.Worker) -> list[dict]:
    return [json.loads(line) for line in made.answers.getvalue().splitlines()]


def test_a_job_paints_what_the_command_paints(pocket, tmp_path):
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    outcome = job(pocket, first, *WORDS, *PROMPT)
    assert cli.main(["paint", *WORDS, "-o", str(second), *PROMPT]) == 0
    assert outcome["done"] == [str(first)] and "never trained at 64x64" in outcome["notes"][0]
    assert first.read_bytes() == second.read_bytes()


def test_a_lora_and_its_schedule_are_gone_with_their_job(pocket, tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(3)]
    outcomes = [
        job(pocket, files[0], *WORDS, *PROMPT),
        job(pocket, files[1], *WORDS, f"--lora={LORA}", "--lightning", *PROMPT),
        job(pocket, files[2], *WORDS, *PROMPT),
    ]
    assert any("lightning_4_steps" in note for note in outcomes[1]["notes"])
    assert files[0].read_bytes() == files[2].read_bytes()
    assert Image.open(files[0]).tobytes() != Image.open(files[1]).tobytes()


def test_progress_is_said_at_every_step(pocket, tmp_path):
    pocket.answers = io.StringIO()
    job(pocket, tmp_path / "x.png", *WORDS, *PROMPT, number=7)
    assert said(pocket) == [{"job": 7, "step": step, "steps": 2} for step in range(3)]


def test_a_job_that_is_no_longer_wanted_writes_nothing(pocket, tmp_path):
    pocket.unwanted.add(9)
    assert job(pocket, tmp_path / "x.png", *WORDS, *PROMPT, number=9) == {"cancelled": True}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--seed=many", *PROMPT], "invalid int value: 'many'"),
        (["--size=100x100", *PROMPT], "must be a positive multiple of 16"),
        (["--image=none.png", *PROMPT], "--image must be a file that exists"),
        (["--lora=none.safetensors", *PROMPT], "--lora must be a file that exists"),
    ],
)
def test_a_job_that_cannot_be_painted_is_one_line_and_the_next_one_is(
    pocket, tmp_path, arguments, line
):
    error = job(pocket, tmp_path / "x.png", *arguments)["error"]
    assert line in error and "\n" not in error
    assert "done" in job(pocket, tmp_path / "x.png", *WORDS, *PROMPT)


def test_the_server_hears_what_the_weights_can_do(tmp_path):
    kinds = {
        "pocket": worker.abilities(options_of()),
        "edit": worker.abilities(
            options_of(f"--weights={edit_folder(tmp_path / 'edit', EDIT_PLUS)}")
        ),
        "layers": worker.abilities(options_of(f"--weights={layered_folder(tmp_path / 'layers')}")),
    }
    pocket = kinds["pocket"]
    assert (pocket["kind"], pocket["pocket"]) == ("text", True)
    assert {*SIZES} == {*pocket["sizes"]}
    assert [kinds[name]["kind"] for name in kinds] == ["text", "edit", "layers"]
    assert [kinds[name]["pictures"] for name in kinds] == [1, 3, 1]


def test_an_edit_model_edits(tmp_path):
    folder = edit_folder(tmp_path / "edit", EDIT_PLUS)
    picture(96, 64).save(tmp_path / "a.png")
    images = [f"--image={tmp_path / 'a.png'}"] * 2
    outcome = job(
        worker_of(f"--weights={folder}"), tmp_path / "x.png", "--steps=2", *images, *PROMPT
    )
    assert outcome["done"] == [str(tmp_path / "x.png")]


def test_a_layered_model_takes_a_picture_apart(tmp_path):
    folder = layered_folder(tmp_path / "layers")
    picture(96, 64).save(tmp_path / "a.png")
    words = ["--steps=2", "--layers=2", "--prompt=spots", "--", str(tmp_path / "a.png")]
    made = worker_of(f"--weights={folder}")
    names = ["layer_1.png", "layer_2.png", "layers.psd"]
    outcome = job(made, tmp_path / "out", *words, task="layers")
    assert outcome["done"] == [str(tmp_path / "out" / name) for name in names]
