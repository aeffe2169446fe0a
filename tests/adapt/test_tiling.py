"""Large pictures in tiles: diffusers' numbers, memory, and when tiles are chosen."""

import warnings
from pathlib import Path

import pytest
import torch
from helpers.live_memory import LiveMemory

from qwenimage_ref import QwenImage, limits
from qwenimage_ref.adapt import tiling
from qwenimage_ref.adapt.tiling import TILE, TiledVAE
from qwenimage_ref.checkpoint import fingerprint
from qwenimage_ref.config import VAEConfig
from qwenimage_ref.limits import tiled_bytes
from qwenimage_ref.parity.reference import copy_weights, random_weights, reference_vae
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import assert_agreement
from qwenimage_ref.vae import STRIP, VAE

POCKET = Path(__file__).parents[2] / "data" / "pocket"
CONFIG = VAEConfig(base_dim=8)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def vae():
    return random_weights(VAE(CONFIG), 1)


@pytest.fixture(scope="module")
def reference(vae):
    theirs = copy_weights(vae, reference_vae(CONFIG))
    theirs.enable_tiling()
    return theirs


# -- diffusers' numbers ---------------------------------------------------------------------------

# three columns, the last of less than a fade; two rows, the second just as thin; two of both
SIZES = [(64, 416), (264, 72), (272, 280)]


@pytest.mark.parametrize("height, width", SIZES)
def test_a_picture_decoded_in_tiles_is_diffusers(vae, reference, height, width):
    z = noise(1, 16, height // 8, width // 8)
    with torch.no_grad():
        theirs = reference.decode(z.unsqueeze(2), return_dict=False)[0].squeeze(2).clamp(-1, 1)
        ours = TiledVAE(vae).decode(z)
    assert (ours - theirs).abs().max().item() <= within("vae")  # white is 1


@pytest.mark.parametrize("height, width", SIZES)
def test_a_picture_encoded_in_tiles_is_diffusers(vae, reference, height, width):
    img = noise(1, 3, height, width).clamp(-1, 1)
    assert_agreement(TiledVAE(vae), reference, {"img": img}, "vae")


def test_a_transparent_picture_in_tiles_is_diffusers():
    config = VAEConfig(base_dim=8, input_channels=4)
    vae = random_weights(VAE(config), 2)
    theirs = copy_weights(vae, reference_vae(config))
    theirs.enable_tiling()
    z, img = noise(1, 16, 9, 50), noise(1, 4, 72, 400).clamp(-1, 1)
    with torch.no_grad():
        expected = theirs.decode(z.unsqueeze(2), return_dict=False)[0].squeeze(2).clamp(-1, 1)
        ours = TiledVAE(vae).decode(z)
    assert ours.shape == (1, 4, 72, 400)
    assert (ours - expected).abs().max() <= within("vae")
    assert_agreement(TiledVAE(vae), theirs, {"img": img}, "vae")


def test_a_picture_that_fits_into_a_tile_is_computed_as_a_whole(vae):
    z, img = noise(1, 16, 32, 24), noise(1, 3, 256, 192)
    with torch.no_grad():
        assert torch.equal(TiledVAE(vae).decode(z), vae.decode(z))
        pairs = zip(TiledVAE(vae).encode(img), vae.encode(img))
        assert all(torch.equal(a, b) for a, b in pairs)


def test_each_picture_of_a_batch_is_the_one_that_it_is_alone(vae):
    tiled, z, img = TiledVAE(vae), noise(2, 16, 8, 40), noise(2, 3, 64, 320)
    with torch.no_grad():
        alone = [torch.cat([tiled.decode(each) for each in z.split(1)])]
        alone += map(torch.cat, zip(*(tiled.encode(each) for each in img.split(1))))
        together = [tiled.decode(z), *tiled.encode(img)]
    assert all(torch.equal(a, b) for a, b in zip(together, alone))


def test_what_is_decoded_stays_between_black_and_white(vae):
    with torch.no_grad():
        img = TiledVAE(vae).decode(20 * noise(1, 16, 8, 40))
    assert img.min() == -1 and img.max() == 1


def test_in_bf16_a_fade_is_rounded_once():
    before, tile = noise(1, 3, 8, 90).bfloat16(), noise(1, 3, 8, 40, seed=1).bfloat16()
    exact = tile.float()
    tiling.fade(before.float(), exact, 64, dim=3)
    tiling.fade(before, tile, 64, dim=3)
    assert torch.equal(tile, exact.bfloat16())


# -- the network ----------------------------------------------------------------------------------


def test_a_tiled_vae_is_the_same_network(vae):
    tiled = TiledVAE(vae)
    assert fingerprint(tiled) == fingerprint(vae)
    pairs = zip(tiled.parameters(), vae.parameters())
    assert all(a is b for a, b in pairs)


def test_a_side_that_is_no_multiple_of_eight_is_refused_before_any_tile(vae):
    with pytest.raises(ValueError, match="300x260.* multiples of 8"):
        TiledVAE(vae).encode(noise(1, 3, 260, 300))


# -- memory ---------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("height, width", [(64, 1024), (576, 64), (448, 576), (64, 2560)])
def test_the_tensors_of_a_tiled_picture_are_at_most_the_estimate_and_most_of_it(vae, height, width):
    latents = noise(1, 16, height // 8, width // 8)
    decoder = QwenImage(None, None, None, TiledVAE(vae), None)
    with LiveMemory() as live:
        decoder.to_pictures(latents)
    needed = tiled_bytes(1, height, width, TILE, STRIP, CONFIG, torch.float32)
    assert 0.6 <= live.peak / needed <= 1


# -- the choice -----------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    return QwenImage.from_pretrained(POCKET)


def leave_free(monkeypatch, size: float) -> None:
    monkeypatch.setattr(limits, "free_memory", lambda device: size)


def test_where_memory_suffices_a_loaded_pipeline_decodes_the_whole(pipe):
    z = noise(1, 16, 8, 40)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(pipe.vae.decode(z), VAE.decode(pipe.vae, z))


def test_where_memory_does_not_suffice_it_decodes_tiles_and_says_so(pipe, monkeypatch):
    z = noise(1, 16, 8, 40)
    leave_free(monkeypatch, 2e6)
    with torch.no_grad(), pytest.warns(UserWarning, match="1 of 320x64 pixels would not .* tiles"):
        tiles = pipe.vae.decode(z)
    assert torch.equal(tiles, TiledVAE(pipe.vae).decode(z))
    assert not torch.equal(tiles, VAE.decode(pipe.vae, z))


def test_a_size_that_only_tiles_can_decode_is_painted(pipe, monkeypatch):
    leave_free(monkeypatch, 2.2 * pipe_bytes(pipe, 768))
    pipe.check_picture(1, 768, 768)


def test_a_size_that_not_even_tiles_can_decode_is_refused(pipe, monkeypatch):
    leave_free(monkeypatch, 1.8 * pipe_bytes(pipe, 768))
    with pytest.raises(ValueError, match="1 of 768x768 pixels must fit .* use smaller sides"):
        pipe.check_picture(1, 768, 768)


def pipe_bytes(pipe, side: int) -> int:
    tiles = tiled_bytes(1, side, side, TILE, STRIP, pipe.vae.config, pipe.dtype)
    block = limits.block_bytes((side // 16) ** 2, pipe.transformer.config, pipe.dtype)
    whole = limits.decoder_bytes(side, side, STRIP, pipe.vae.config, pipe.dtype)
    assert whole > 1.5 * max(tiles, block)
    return max(tiles, block)
