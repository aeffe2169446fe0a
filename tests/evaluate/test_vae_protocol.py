"""PSNR and SSIM of a VAE on a folder of pictures."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref.cli import main
from qwenimage_ref.evaluate import vae_protocol
from qwenimage_ref.evaluate.psnr_ssim import psnr, reconstruct, ssim

POCKET = Path(__file__).parents[2] / "data" / "pocket"


class Copyist(torch.nn.Module):
    """Stands in for a VAE; `error` is added to what it decodes, in [-1, 1]."""

    class config:
        scale, base_dim = 8, 8

    def __init__(self, error=0.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(error))

    def encode(self, img):
        return img, None

    def decode(self, z):
        return z + self.weight


def save(path, size=(40, 32), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    # away from black and white, where an error would be cut off
    pixels = np.random.default_rng(seed).integers(60, 190, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    for i in range(3):
        save(tmp_path / "pictures" / f"{i}.png", seed=i)
    return tmp_path / "pictures"


def test_a_constant_error_has_the_psnr_of_its_size(pictures):
    result = vae_protocol.measure(Copyist(0.1), pictures, 32, quiet=True)
    assert result["psnr"]["mean"] == pytest.approx(-20 * math.log10(0.05), abs=1e-3)
    assert result["psnr"]["of"] == len(result["pictures"]) == 3


def test_a_copy_that_is_equal_to_the_last_bit_has_a_finite_psnr(pictures):
    result = vae_protocol.measure(Copyist(), pictures, 32, quiet=True)
    assert result["psnr"]["mean"] == vae_protocol.LOSSLESS and result["ssim"]["mean"] == 1
    json.dumps(result, allow_nan=False)


def test_the_pocket_vae_is_measured_as_its_own_parts_measure_it(pictures):
    vae = vae_protocol.load_vae(POCKET)
    result = vae_protocol.measure(vae, pictures, 64, quiet=True)
    for name, row in result["pictures"].items():
        img = vae_protocol.prepared(pictures / name, 64, 8)
        again = reconstruct(vae, img)
        assert row["psnr"] == pytest.approx(psnr(again, img).item(), abs=1e-3)
        assert row["ssim"] == pytest.approx(ssim(again, img).item(), abs=1e-4)


def test_a_picture_is_cut_to_a_square_at_its_middle(tmp_path):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, 16:48] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert (vae_protocol.prepared(tmp_path / "wide.png", 32, 8) == 1).all()


def test_whole_pictures_keep_their_sizes_but_for_the_last_pixels(tmp_path):
    for size, kept in {(45, 34): (32, 40), (64, 48): (48, 64)}.items():
        file = save(tmp_path / "picture.png", size)
        assert vae_protocol.prepared(file, None, 8).shape == (1, 3, *kept)
    assert len(vae_protocol.measure(Copyist(), two_sizes(tmp_path), None, True)["pictures"]) == 2


def two_sizes(folder):
    save(folder / "two" / "a.png", (45, 34))
    save(folder / "two" / "b.jpg", (64, 48))
    return folder / "two"


def test_folders_below_are_searched_and_hidden_files_are_not(tmp_path):
    save(tmp_path / "b" / "c.png")
    save(tmp_path / "a.jpg")
    save(tmp_path / "._a.png")
    (tmp_path / "notes.txt").write_text("none")
    names = [str(p.relative_to(tmp_path)) for p in vae_protocol.picture_files(tmp_path)]
    assert names == ["a.jpg", "b/c.png"]


def test_a_picture_that_cannot_be_used_is_left_out_and_named(pictures):
    (pictures / "broken.png").write_bytes(b"\x89PNG")
    save(pictures / "tiny.png", (40, 9))
    result = vae_protocol.measure(Copyist(), pictures, None, quiet=True)
    assert len(result["pictures"]) == 3
    broken, tiny = result["left_out"]
    assert "broken.png" in broken and "tiny.png" in tiny and "too small" in tiny


def test_a_picture_that_does_not_fit_into_memory_is_left_out(pictures, monkeypatch):
    monkeypatch.setattr(vae_protocol, "needs", lambda vae, size: (10**18, torch.device("cpu")))
    with pytest.raises(ValueError, match="got 0 of 3 .*free memory"):
        vae_protocol.measure(Copyist(), pictures, None, quiet=True)


def test_a_vae_needs_no_other_part_of_its_model(tmp_path, pictures):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "vae").symlink_to(POCKET / "vae")
    command = ["eval", "vae", "--pictures", str(pictures), "--weights", str(tmp_path / "model")]
    assert main([*command, "--side", "32"]) == 0


def test_the_command_prints_the_table_and_records_what_it_says(tmp_path, pictures, capsys):
    (pictures / "broken.png").write_bytes(b"")
    command = ["eval", "vae", "--pictures", str(pictures), "--side", "32"]
    file = tmp_path / "vae.json"
    assert main([*command, "--record", str(file)]) == 0
    shown, stored = capsys.readouterr(), json.loads(file.read_text())
    assert vae_protocol.table(stored) == shown.out.strip("\n")
    assert "left out" in shown.err and "broken.png" in shown.err and " GB" in shown.err
    assert {"machine", "versions", "commit", "command"} <= stored.keys()


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--pictures", "nowhere"], "must be a folder of pictures, got nowhere"),
        (["--pictures", "EMPTY"], "--pictures must hold files ending in"),
        (["--pictures", "PICTURES", "--side", "20"], "--side must be a multiple of 8"),
        (["--pictures", "PICTURES", "--weights", "EMPTY"], "config.json is missing"),
        (
            ["--pictures", "PICTURES", "--record", "EMPTY"],
            "must be a file, got the folder",
        ),
        ([], "required: --pictures"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    tmp_path, pictures, options, complaint, capsys
):
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": str(tmp_path / "empty"), "PICTURES": str(pictures)}
    assert main(["eval", "vae", *(places.get(o, o) for o in options)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qwenimage: ") and complaint in line
