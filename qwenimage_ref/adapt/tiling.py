"""Large pictures through the VAE tile by tile, in memory that hardly grows with the picture.

Tiles have 256 pixels a side and begin every 192 pixels. Where two of them overlap, the first fades
into the second in a straight line. A tile's attention sees that tile alone and its edges are
padded, so a tiled result differs a little from the whole one. Sizes and fading are those of
diffusers' `AutoencoderKLQwenImage.enable_tiling`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..limits import decoder_bytes, fits_memory, warn
from ..vae import STRIP, VAE

TILE = 256  # pixels along a side


class TiledVAE(VAE):
    """A VAE, with its own weights shared, that works tile by tile.

    always: on every picture that is longer than a tile; else only where the free memory would not
    hold the whole, which a warning says.
    """

    tile = TILE  # what the memory guard counts with

    def __init__(self, vae: VAE, always: bool = True):
        nn.Module.__init__(self)
        self.config, self.always = vae.config, always
        for name, network in vae.named_children():
            self.add_module(name, network)
        self.train(vae.training)

    def encode(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, C, h, w), (B, C, h, w), as `VAE.encode`"""
        B, _, H, W = img.shape
        scale = self.config.scale
        if H % scale or W % scale or not self._needs_tiles(B, H, W, img):
            return super().encode(img)
        moments = img.new_empty(B, 2 * self.config.z_dim, H // scale, W // scale)
        for picture, canvas in zip(img.split(1), moments.split(1)):
            blend(self._encode, picture, canvas, TILE, TILE // scale)
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W), as `VAE.decode`"""
        B, _, h, w = z.shape
        scale = self.config.scale
        if not self._needs_tiles(B, h * scale, w * scale, z):
            return super().decode(z)
        img = z.new_empty(B, self.config.input_channels, h * scale, w * scale)
        for latents, canvas in zip(z.split(1), img.split(1)):
            blend(self._decode, latents, canvas, TILE // scale, TILE)
        return img.clamp_(-1, 1)

    def _encode(self, img: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(img))

    def _decode(self, z: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(z))

    def _needs_tiles(self, count: int, height: int, width: int, x: Tensor) -> bool:
        if max(height, width) <= TILE or self.always:
            return max(height, width) > TILE
        needed = count * decoder_bytes(height, width, STRIP, self.config, x.dtype)
        if fits_memory(needed, x.device):
            return False
        warn(
            f"{count} of {width}x{height} pixels would not fit into memory at once; the VAE works "
            f"in tiles of {TILE}x{TILE}"
        )
        return True


def blend(call: Callable, x: Tensor, canvas: Tensor, side: int, side_out: int) -> None:
    """Fill `canvas` (B, D, H, W) with what `call` makes of the tiles of x (B, C, h, w)

    side: of a tile in x, side_out: in the canvas. Tiles begin every three quarters of a side.
    """
    step, step_out = side * 3 // 4, side_out * 3 // 4
    above: list[Tensor] = []
    for row, top in enumerate(range(0, x.shape[2], step)):
        tiles: list[Tensor] = []
        for column, left in enumerate(range(0, x.shape[3], step)):
            tile = call(x[:, :, top : top + side, left : left + side])
            # careful: from above first, then from the left, and from neighbours already faded
            if above:
                fade(above.pop(0), tile, side_out - step_out, dim=2)
            if tiles:
                fade(tiles[-1], tile, side_out - step_out, dim=3)
            tiles.append(tile)
            kept = tile[:, :, :step_out, :step_out]
            at_top, at_left = row * step_out, column * step_out
            bottom, right = at_top + kept.shape[2], at_left + kept.shape[3]
            canvas[:, :, at_top:bottom, at_left:right] = kept
        above = tiles


def fade(before: Tensor, tile: Tensor, overlap: int, dim: int) -> None:
    """Let the end of the tile before fade into the start of a tile, in place, along an axis."""
    length = min(before.shape[dim], tile.shape[dim], overlap)
    shape = [1, 1, 1, 1]
    shape[dim] = length
    share = (torch.arange(length, device=tile.device) / length).view(shape)
    start, end = tile.narrow(dim, 0, length), before.narrow(dim, -length, length)
    start.copy_(end * (1 - share) + start * share)
