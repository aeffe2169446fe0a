"""Folders of pictures with captions: what is read, at which size, and how the rest is named."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from qwenimage_ref.train import captions, dataset
from qwenimage_ref.train.captions import TABLES, DataError
from qwenimage_ref.train.dataset import bucket, fitted, read_folder, weights_id

TEXT_ALONE = SimpleNamespace(form=None)  # a pipeline of which nothing else is needed


def picture(folder, name, size=(40, 32), colour="red", **options):
    Image.new("RGB", size, colour).save(folder / name, **options)


def problems_of(folder) -> list[str]:
    """The problems of a folder, to which one good example is added."""
    picture(folder, "good.png")
    (folder / "good.txt").write_text("good")
    examples, problems = read_folder(folder, skip=True)
    assert [e.caption for e in examples] == ["good"]
    assert all(line.isprintable() and len(line) < 300 for line in problems)
    return problems


# -- text files beside pictures -------------------------------------------------------------------


def test_captions_stand_beside_their_pictures(tmp_path):
    for name in "ab":
        picture(tmp_path, f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f" caption {name}\n")
    (tmp_path / "notes.md").write_text("no picture")
    examples, problems = read_folder(tmp_path)
    assert [e.caption for e in examples] == ["caption a", "caption b"] and problems == []


@pytest.mark.parametrize(
    "suffix, format",
    [
        (".png", "PNG"), (".jpg", "JPEG"), (".jpeg", "JPEG"), (".jfif", "JPEG"), (".WEBP", "WEBP"),
        (".webp", "WEBP"), (".bmp", "BMP"), (".tif", "TIFF"), (".tiff", "TIFF"),
    ],
)  # fmt: skip
def test_every_format_that_is_read_is_read_under_each_of_its_names(tmp_path, suffix, format):
    picture(tmp_path, f"a{suffix}", format=format)
    (tmp_path / "a.txt").write_text("a")
    assert [e.picture.name for e in read_folder(tmp_path)[0]] == [f"a{suffix}"]


@pytest.mark.parametrize("name", ["b.avif", "b.gif", "b.heic", "b.unheard-of", "b.JP2"])
def test_a_picture_of_another_kind_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"pixels")
    (tmp_path / "b.txt").write_text("a red square")
    (line,) = problems_of(tmp_path)
    assert line.startswith(f"{name} is of a kind that is not read; convert it to one of PNG, JPEG")


@pytest.mark.parametrize("name", ["b.gif", "b.GIF"])
def test_a_picture_of_another_kind_is_named_without_a_caption_too(tmp_path, name):
    (tmp_path / name).write_bytes(b"pixels")
    assert len(problems_of(tmp_path)) == 1


def test_every_kind_of_picture_that_is_not_read_is_named(tmp_path):
    suffixes = (
        "gif avif heic heif jxl jp2 j2k tga psd dds svg ico eps ppm pgm exr hdr dng cr2 cr3 nef "
        "arw raw"
    ).split()
    for suffix in suffixes:
        (tmp_path / f"a.{suffix}").write_bytes(b"pixels")
    named = [line.split()[0] for line in problems_of(tmp_path)]
    assert sorted(named) == sorted(f"a.{suffix}" for suffix in suffixes)


def test_hidden_files_beside_the_pictures_are_no_examples(tmp_path):
    for name in ("._good.png", "._good.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert problems_of(tmp_path) == []


def test_a_byte_order_mark_is_no_part_of_a_caption(tmp_path):
    picture(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("a red circle", encoding="utf-8-sig")
    assert read_folder(tmp_path)[0][0].caption == "a red circle"


def test_a_caption_in_another_encoding_is_named(tmp_path):
    picture(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("a red circle", encoding="utf-16")
    (line,) = problems_of(tmp_path)
    assert line.startswith("a.txt cannot be read ('utf-8' codec")


def test_a_caption_without_an_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(captions, "LONGEST_CAPTION", 10)
    picture(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("a" * 10)
    assert read_folder(tmp_path)[0][0].caption == "a" * 10
    (tmp_path / "a.txt").write_text("a" * 11)
    assert problems_of(tmp_path) == ["a.txt cannot be read (it is longer than 10 bytes)"]


@pytest.mark.parametrize("name", ["a.png", "a.txt", *TABLES])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    if name != "a.png":
        picture(tmp_path, "a.png")
    if name == "a.png":
        (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match="must be a regular file"):
        read_folder(tmp_path)


# -- what cannot be used --------------------------------------------------------------------------


def spoiled(folder):
    """A folder with one good example and one of each fault that names a file."""
    picture(folder, "good.png")
    (folder / "good.txt").write_text("good")
    picture(folder, "silent.png")
    picture(folder, "empty.png")
    (folder / "empty.txt").write_text(" \n")
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:60])
    (folder / "broken.txt").write_text("broken")
    picture(folder, "tiny.png", (40, 9))
    (folder / "tiny.txt").write_text("tiny")
    return folder


def test_what_cannot_be_used_is_named_and_left_out_only_on_request(tmp_path):
    with pytest.raises(DataError, match="4 of 5 examples cannot be used") as failure:
        read_folder(spoiled(tmp_path))
    assert "--skip-bad" in str(failure.value) and "\n" not in str(failure.value)
    examples, problems = read_folder(tmp_path, skip=True)
    assert [e.caption for e in examples] == ["good"]
    words = ("silent.png has no caption", "empty.png has an empty caption",
             "broken.png cannot be used", "tiny.png is 40x9 pixels")  # fmt: skip
    assert all(any(problem.startswith(word) for problem in problems) for word in words)


def test_a_picture_of_one_token_is_the_smallest_that_can_be_used(tmp_path):
    for side in (15, 16):
        picture(tmp_path, f"{side}.png", (40, side))
        (tmp_path / f"{side}.txt").write_text("narrow")
    examples, (problem,) = read_folder(tmp_path, skip=True)
    assert [example.picture.name for example in examples] == ["16.png"]
    assert problem == "15.png is 40x15 pixels, the smallest side is 16"


def test_a_folder_with_nothing_in_it_or_with_two_tables_is_refused(tmp_path):
    with pytest.raises(DataError, match="must hold a picture with a caption, got none"):
        read_folder(tmp_path)
    for name in TABLES:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match="holds both"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="must be in a folder, got .*none; check the path"):
        read_folder(tmp_path / "none")


# -- sizes and weights ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, pixels, wanted",
    [
        ((128, 128), 128 * 128, (128, 128)),
        ((1280, 1280), 128 * 128, (128, 128)),
        ((100, 50), 128 * 128, (96, 48)),  # never enlarged
        ((1920, 1080), 1024 * 1024, (1344, 768)),
        ((4000, 20), 128 * 128, (1808, 16)),
        ((17, 16), 1024 * 1024, (16, 16)),
        ((31, 31), 128 * 128, (16, 16)),
        ((40_000, 120), 1024 * 1024, (18_688, 48)),  # shrunk below 64 pixels
        ((1000, 64), 1024 * 1024, (960, 64)),  # not below
        ((1000, 1000), 900 * 900, (896, 896)),  # multiples of 64 from 896 on
    ],
)
def test_a_picture_is_trained_at_a_size_near_its_own(size, pixels, wanted):
    assert bucket(*size, pixels) == wanted


def test_a_picture_is_cut_at_the_middle(tmp_path):
    wide = Image.new("RGB", (96, 32), "red")
    wide.paste("blue", (32, 0, 64, 32))
    wide.save(tmp_path / "a.png")
    cut = fitted(tmp_path / "a.png", 96 * 32)
    assert cut.size == (96, 32) and cut.getpixel((48, 16)) == (0, 0, 255)


def test_the_id_of_weights_depends_on_files_and_not_on_their_order(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text(name)
    first, listing = weights_id(tmp_path), Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *a: sorted(listing(*a), reverse=True))
    assert weights_id(tmp_path) == first
    (tmp_path / "empty").mkdir()
    assert weights_id(tmp_path) == first
    (tmp_path / "b").write_text("changed")
    assert weights_id(tmp_path) != first


def test_a_picture_is_encoded_once_and_a_damaged_encoding_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "states_of", lambda pipe, caption: torch.ones(2, 3))
    monkeypatch.setattr(
        dataset, "_encode", lambda *_: {"latents": torch.ones(16, 2, 2), "txt": torch.ones(2, 3)}
    )
    picture(tmp_path, "a.png")
    example = dataset.Example(tmp_path / "a.png", "a")
    folder = dataset.RunFolder(tmp_path / "runs")
    first = dataset.encode(TEXT_ALONE, [example], folder, 256)
    monkeypatch.setattr(dataset, "_encode", None)
    again = dataset.encode(TEXT_ALONE, [example], folder, 256)
    assert torch.equal(first[0][0].latents, again[0][0].latents)
    files = sorted((tmp_path / "runs" / "encoded").iterdir())
    assert len(files) == 2 and not (tmp_path / "runs" / "unfinished").exists()
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged .*; delete it and it will be rebuilt"):
        dataset.encode(TEXT_ALONE, [example], folder, 256)


def test_the_bar_of_a_long_encoding_says_what_is_done_and_counts_pictures(
    tmp_path, monkeypatch, capsys
):
    bar, tensors = dataset.tqdm, {"latents": torch.ones(2), "txt": torch.ones(2)}
    monkeypatch.setattr(dataset, "tqdm", lambda *all, **named: bar(*all, **named | {"delay": 0}))
    monkeypatch.setattr(dataset, "states_of", lambda pipe, caption: torch.ones(2, 3))
    monkeypatch.setattr(dataset, "_encode", lambda *_: tensors)
    picture(tmp_path, "a.png")
    folder = dataset.RunFolder(tmp_path / "runs")
    dataset.encode(TEXT_ALONE, [dataset.Example(tmp_path / "a.png", "a")] * 3, folder, 256)
    bar_of_words = capsys.readouterr().err
    assert "encoding: 100%" in bar_of_words and "3/3" in bar_of_words
    assert "picture" in bar_of_words


def test_pictures_that_are_encoded_at_once_show_no_bar(tmp_path, monkeypatch, capsys):
    tensors = {"latents": torch.ones(16, 2, 2), "txt": torch.ones(2, 3)}
    monkeypatch.setattr(dataset, "states_of", lambda pipe, caption: torch.ones(2, 3))
    monkeypatch.setattr(dataset, "_encode", lambda *_: tensors)
    # the bar's clock stands still, however slow the machine is
    monkeypatch.setattr(time, "time", lambda: 0.0)
    picture(tmp_path, "a.png")
    example = dataset.Example(tmp_path / "a.png", "a")
    dataset.encode(TEXT_ALONE, [example], dataset.RunFolder(tmp_path / "runs"), 256)
    assert capsys.readouterr().err == ""


def test_a_picture_is_encoded_in_the_type_of_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "states_of", lambda pipe, caption: torch.ones(2, 3))
    seen, mean = [], torch.ones(1, 16, 2, 2)
    pipe = vae_that_returns(mean)
    pipe.vae.encode, pipe.dtype = lambda img: seen.append(img) or (mean, None), torch.bfloat16
    picture(tmp_path, "a.png")
    dataset._encode(pipe, dataset.Example(tmp_path / "a.png", "a"), 256)
    assert [(img.dtype, img.shape) for img in seen] == [(torch.bfloat16, (1, 3, 16, 16))]


def vae_that_returns(mean: torch.Tensor):
    """A pipeline of which only the VAE is there."""
    vae = SimpleNamespace(encode=lambda img: (mean, mean + 100), normalize=lambda latents: -latents)
    return SimpleNamespace(vae=vae, device="cpu", dtype=torch.float32)


def test_latents_are_the_normalised_mean_of_the_posterior(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "states_of", lambda pipe, caption: torch.ones(2, 3))
    picture(tmp_path, "a.png")
    example, mean = dataset.Example(tmp_path / "a.png", "a"), torch.randn(1, 16, 2, 2)
    assert torch.equal(dataset._encode(vae_that_returns(mean), example, 256)["latents"], -mean[0])
    with pytest.raises(FloatingPointError, match="a.png: its latents hold NaN"):
        dataset._encode(vae_that_returns(mean * torch.nan), example, 256)


# -- examples of one batch


def test_examples_of_a_batch_have_sizes_pictures_regions_and_controls_in_common():
    latents, txt = torch.ones(16, 4, 6), torch.ones(5, 8)
    img, seen = torch.ones(6, 64), torch.ones(1, 6, dtype=torch.bool)
    plain = dataset.Encoded(latents, txt)
    assert plain.group == (16, 4, 6) == dataset.Encoded(latents, torch.ones(9, 8)).group
    pictured = dataset.Encoded(latents, txt, img=img, grids=[[1, 2, 3]])
    assert pictured.group == (16, 4, 6, ((1, 2, 3),), 1, (), 0)
    assert pictured.group == dataset.Encoded(latents, txt[:2], img=img, grids=[[1, 2, 3]]).group
    regional = dataset.Encoded(latents, txt, seen=seen, lengths=[2])
    assert regional.group == (16, 4, 6, (), 1, (2, 5), 0)
    controlled = dataset.Encoded(latents, txt, control=torch.ones(17, 4, 6))
    assert controlled.group == (16, 4, 6, (), 1, (), 17)


def test_kept_whole_numbers_come_back_as_numbers_and_tensors_as_tensors():
    assert dataset._value(torch.tensor([[1, 2, 3]])) == [[1, 2, 3]]
    assert dataset._value(torch.tensor(4)) == 4
    assert isinstance(dataset._value(torch.ones(2)), torch.Tensor)
