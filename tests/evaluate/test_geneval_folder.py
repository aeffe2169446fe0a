"""Pictures for GenEval's own scorer: its layout, resumed after a stop, refused in one line."""

import json
import re

import pytest
from PIL import Image

from qwenimage_ref.cli import main
from qwenimage_ref.evaluate import geneval_folder

# lines of GenEval's evaluation_metadata.jsonl
PROMPTS = [
    {"tag": "single_object", "include": [{"class": "bench", "count": 1}],
     "prompt": "a photo of a bench"},
    {"tag": "position", "include": [{"class": "dog", "count": 1},
     {"class": "cat", "count": 1, "position": ["right of", 0]}],
     "prompt": "a photo of a cat right of a dog"},
]  # fmt: skip
SETTINGS = {"steps": 2, "cfg": 4.0, "negative": " ", "width": 16, "height": 16, "seed": 7}


class Painter:
    """Paints the seed as a grey; after `stop` pictures it is interrupted."""

    def __init__(self, stop=None):
        self.calls, self.stop = [], stop

    def __call__(self, prompts, seed, height, width, **_):
        if self.stop is not None and len(self.calls) >= self.stop:
            raise KeyboardInterrupt
        self.calls.append((prompts, seed))
        return [Image.new("RGB", (width, height), (n, n, n)) for n in seed]


def paint(to, painter, samples=2, **options):
    geneval_folder.prepare(to, PROMPTS, SETTINGS)
    return geneval_folder.paint(painter, PROMPTS, to, samples, SETTINGS, quiet=True, **options)


def read_as_the_scorer_does(folder):
    """What main() of GenEval's evaluate_images.py reads of a folder: metadata and pictures."""
    seen = {}
    for subfolder in folder.iterdir():
        if subfolder.is_dir() and subfolder.name.isdigit():
            metadata = json.loads((subfolder / "metadata.jsonl").read_text())
            names = [p.name for p in (subfolder / "samples").iterdir()]
            assert all(re.match(r"\d+\.png", name) for name in names)
            seen[int(subfolder.name)] = metadata, sorted(names)
    return seen


def test_the_folder_is_what_the_scorer_reads(tmp_path):
    assert paint(tmp_path, Painter()) == 4
    names = ["0000.png", "0001.png"]
    assert read_as_the_scorer_does(tmp_path) == {i: (m, names) for i, m in enumerate(PROMPTS)}
    assert (tmp_path / "00001" / "samples" / "0001.png").is_file()


def test_every_sample_starts_from_a_seed_of_its_own(tmp_path):
    painter = Painter()
    paint(tmp_path, painter)
    assert painter.calls == [([m["prompt"]], [seed]) for m in PROMPTS for seed in (7, 8)]


def test_samples_of_one_prompt_can_be_painted_together(tmp_path):
    painter = Painter()
    paint(tmp_path, painter, samples=3, batch=2)
    prompts = [metadata["prompt"] for metadata in PROMPTS]
    assert [seeds for _, seeds in painter.calls] == [[7, 8], [9]] * 2
    assert [asked[0] for asked, _ in painter.calls] == [p for p in prompts for _ in range(2)]


def test_a_run_that_was_stopped_continues_with_the_same_pictures(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        paint(tmp_path / "stopped", Painter(stop=3))
    assert paint(tmp_path / "stopped", Painter()) == 1
    paint(tmp_path / "whole", Painter())
    files = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*.*")}
    assert files == {
        p.relative_to(tmp_path / "stopped") for p in (tmp_path / "stopped").rglob("*.*")
    }
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (
            tmp_path / "stopped" / file
        ).read_bytes()


def test_more_samples_can_be_asked_for_later(tmp_path):
    paint(tmp_path, Painter())
    assert paint(tmp_path, Painter(), samples=3) == 2


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    class Full:
        def save(self, file, format):
            file.write_bytes(b"half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        paint(tmp_path, lambda prompts, **_: [Full() for _ in prompts])
    assert all(names == [] for _, names in read_as_the_scorer_does(tmp_path).values())


@pytest.mark.parametrize(
    "prompts, settings, complaint",
    [
        (PROMPTS[:1], SETTINGS, "other prompts"),
        (PROMPTS, SETTINGS | {"steps": 3}, "steps 2, not 3"),
        (PROMPTS, SETTINGS | {"seed": 8}, "seed 7, not 8"),
    ],
)
def test_a_folder_of_other_pictures_is_refused(tmp_path, prompts, settings, complaint):
    geneval_folder.prepare(tmp_path, PROMPTS, SETTINGS)
    with pytest.raises(ValueError, match=complaint):
        geneval_folder.prepare(tmp_path, prompts, settings)


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="has no settings.json; choose another"):
        geneval_folder.prepare(tmp_path, PROMPTS, SETTINGS)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder"):
        geneval_folder.prepare(tmp_path / "file", PROMPTS, SETTINGS)


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("", "line 2 must be a JSON object with tag, prompt and include"),
        ("{", "line 2 must be a JSON object"),
        ("[1]", "line 2 must be a JSON object"),
        ('{"tag": "colors", "include": []}', "line 2 must be a JSON object"),
        ('{"tag": "colors", "include": [], "prompt": 3}', "line 2 must be a JSON object"),
        (
            '{"tag": "colors", "include": [], "prompt": " "}',
            "line 2 must have a prompt, got an empty one",
        ),
    ],
)
def test_a_line_that_is_no_metadata_is_named(tmp_path, line, complaint):
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join([json.dumps(PROMPTS[0]), line, json.dumps(PROMPTS[1])]))
    with pytest.raises(geneval_folder.PromptsError, match=complaint):
        geneval_folder.read_prompts(file)


def write_prompts(folder):
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(metadata) + "\n" for metadata in PROMPTS))
    return file


def test_the_command_paints_and_continues(tmp_path, capsys):
    options = ["--prompts", str(write_prompts(tmp_path)), "--to", str(tmp_path / "to")]
    options += ["--samples", "1", "--steps", "2"]
    assert main(["eval", "geneval", *options]) == 0
    assert "2 pictures, 2 painted now" in capsys.readouterr().out
    (tmp_path / "to" / "00000" / "samples" / "0000.png").unlink()
    assert main(["eval", "geneval", *options]) == 0
    assert "2 pictures, 1 painted now" in capsys.readouterr().out
    assert main(["eval", "geneval", *options, "--cfg", "2"]) == 2
    assert "with cfg 4.0, not 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--prompts", "FILE"], "--prompts must go with --to"),
        (["--prompts", "nowhere.jsonl", "--to", "TO"], "--prompts must be a file that exists"),
        (
            ["--prompts", "FILE", "--to", "TO", "--samples", "0"],
            "--samples must be at least 1, got 0",
        ),
        (["--prompts", "FILE", "--to", "TO", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--prompts", "FILE", "--to", "TO", "--seed", str(2**64 - 1)], "--seed must leave room"),
        (["--prompts", "FILE", "--to", "TO", "--size", "big"], "--size must be WIDTHxHEIGHT"),
        (["--prompts", "FILE", "--to", "TO", "--size", "20x20"], "multiple of 16"),
        (["--prompts", "FILE", "--to", "TO", "--captions", "3"], "--captions is for the pocket"),
    ],
)
def test_what_cannot_be_painted_is_said_in_one_line(tmp_path, options, complaint, capsys):
    places = {"FILE": str(write_prompts(tmp_path)), "TO": str(tmp_path / "to")}
    assert main(["eval", "geneval", *(places.get(o, o) for o in options)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qwenimage: ") and complaint in line
    assert not (tmp_path / "to").exists()
