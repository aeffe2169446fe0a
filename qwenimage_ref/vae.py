"""The still-image VAE: 8x8 pixels to one latent of 16 channels, and back.

The official file holds a video VAE. Its convolutions are causal in time, so a single frame meets
only the last of three temporal taps (the others see zero padding): here every one of them is a
2-D convolution. `checkpoint` takes the tap on load and puts it back on save, by the stored
shapes that `Tap`, `Norm` and `UnusedTimeConv` declare.

Two things make it fast and change no number but the last digits: the channels of a pixel lie side
by side in memory (`channels_last`), and enlarging convolves before it repeats pixels (`UpConv`).
"""

import torch
import torch.nn.functional as F
from torch import nn

from .config import VAEConfig

STRIP = 64  # rows of a picture that are normalised at a time


def channels_last(x):
    """(B, C, h, w) -> (B, C, h, w), a pixel's channels side by side in memory, fast to convolve"""
    # careful: on Apple's GPUs torch has convolved such tensors wrongly, so there nothing is done
    return x if x.is_mps else x.contiguous(memory_format=torch.channels_last)


class Tap(nn.Conv2d):
    """The last temporal tap of a causal 3-D convolution, stored as (out, in, k, k, k)."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int):
        super().__init__(dim_in, dim_out, kernel, padding=kernel // 2)

    def stored(self) -> dict:
        out, dim_in, k, _ = self.weight.shape
        return {"weight": (out, dim_in, k, k, k), "bias": (out,)}

    @staticmethod
    def from_stored(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:, :, -1] if name == "weight" else tensor

    @staticmethod
    def to_stored(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name == "bias":
            return tensor
        dead = torch.zeros_like(tensor).unsqueeze(2).repeat(1, 1, tensor.shape[-1] - 1, 1, 1)
        return torch.cat([dead, tensor.unsqueeze(2)], dim=2)


class UnusedTimeConv(nn.Module):
    """A convolution over time that one frame never runs: only its place in the file."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.shapes = {"weight": (dim_out, dim_in, 3, 1, 1), "bias": (dim_out,)}

    def stored(self) -> dict:
        return self.shapes


class Norm(nn.Module):
    """(B, C, h, w) -> (B, C, h, w): each position's channel vector scaled to length sqrt(C)."""

    def __init__(self, dim: int, stored_dims: int = 4):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, 1, 1))
        self.stored_dims = stored_dims  # careful: (C, 1, 1, 1) in the file, (C, 1, 1) in attention

    def stored(self) -> dict:
        return {"gamma": (len(self.gamma),) + (1,) * (self.stored_dims - 1)}

    @staticmethod
    def from_stored(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(-1, 1, 1)

    def to_stored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(self.stored()["gamma"])

    def forward(self, x):
        # strip by strip: of a bf16 picture, float32 copies of the whole would be most of the memory
        return torch.cat([self._scaled(strip) for strip in x.split(STRIP, dim=2)], dim=2)

    def _scaled(self, x):
        # float32 to the end: a bf16 sum of 384 squares is too coarse, and one rounding is nearer to
        # the exact numbers than upstream's three (of quotient, root and gamma)
        unit = F.normalize(x.float(), dim=1)
        return (unit * (self.gamma.float() * x.shape[1] ** 0.5)).to(x.dtype)


class ResBlock(nn.Module):
    """(B, C_in, h, w) -> (B, C_out, h, w)"""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.norm1 = Norm(dim_in)
        self.conv1 = Tap(dim_in, dim_out, 3)
        self.norm2 = Norm(dim_out)
        self.conv2 = Tap(dim_out, dim_out, 3)
        self.conv_shortcut = Tap(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()

    def forward(self, x):
        # in place: nothing else reads what a norm returns, and new memory takes time to fetch
        y = self.conv1(F.silu(self.norm1(x), inplace=True))
        y = self.conv2(F.silu(self.norm2(y), inplace=True))
        return y + self.conv_shortcut(x)


class Attention(nn.Module):
    """(B, C, h, w) -> (B, C, h, w): one head over all positions, at the coarsest level only."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = Norm(dim, stored_dims=3)
        self.to_qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        B, C, h, w = x.shape
        qkv = self.to_qkv(self.norm(x)).reshape(B, 1, 3 * C, h * w)
        q, k, v = qkv.transpose(2, 3).chunk(3, dim=-1)  # (B, 1, hw, C)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj(y.transpose(2, 3).reshape(B, C, h, w))


class MidBlock(nn.Module):
    """(B, C, h, w) -> (B, C, h, w)"""

    def __init__(self, dim: int):
        super().__init__()
        self.attentions = nn.ModuleList([Attention(dim)])
        self.resnets = nn.ModuleList([ResBlock(dim, dim), ResBlock(dim, dim)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Downsample(nn.Module):
    """(B, C, h, w) -> (B, C, h/2, w/2): padded right and below only, then stride 2."""

    def __init__(self, dim: int, in_time: bool):
        super().__init__()
        pad, conv = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, stride=2)
        self.resample = nn.Sequential(pad, conv)
        if in_time:
            self.time_conv = UnusedTimeConv(dim, dim)

    def forward(self, x):
        return self.resample(x)


class UpConv(nn.Conv2d):
    """(B, C, h, w) -> (B, C/2, 2h, 2w): every pixel four times, then a 3x3 convolution.

    Repeated, four neighbours become a square of 4x4. A 3x3 kernel on any of its four middle pixels
    stays inside, so it sees those four neighbours only, some of them several times. Hence each
    window of 2x2 small pixels makes 2x2 large ones, by four 2x2 kernels in which the weights that
    meet the same pixel are added up: 16 products instead of 36.
    """

    # [upper or lower middle pixel][upper or lower neighbour]: the kernel's rows that meet it
    MEET = (((1, 1, 0), (0, 0, 1)), ((1, 0, 0), (0, 1, 1)))

    def __init__(self, dim: int):
        super().__init__(dim, dim // 2, 3, padding=1)

    def plain(self, x):
        """(B, C, h, w) -> (B, C/2, 2h, 2w), by the definition"""
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest-exact"))

    def forward(self, x):
        meet = self.weight.new_tensor(self.MEET)
        kernels = torch.einsum("ayr,bxs,oirs->oabiyx", meet, meet, self.weight).flatten(0, 2)
        y = F.conv2d(x, kernels, self.bias.repeat_interleave(4), padding=1)  # (B, 2C, h+1, w+1)
        # windows reach one pixel over the edge; what they make there is no part of the picture
        return F.pixel_shuffle(y, 2)[:, :, 1:-1, 1:-1]


class Upsample(nn.Module):
    """(B, C, h, w) -> (B, C/2, 2h, 2w)"""

    def __init__(self, dim: int, in_time: bool):
        super().__init__()
        self.resample = nn.Sequential(nn.Identity(), UpConv(dim))  # the file's name: resample.1
        if in_time:
            self.time_conv = UnusedTimeConv(dim, 2 * dim)

    def forward(self, x):
        return self.resample(x)


class UpBlock(nn.Module):
    """(B, C_in, h, w) -> (B, C_out/2, 2h, 2w); the last one keeps C_out, h and w."""

    def __init__(self, dim_in: int, dim_out: int, depth: int, upsample: bool, in_time: bool):
        super().__init__()
        dims = [dim_in] + [dim_out] * depth
        self.resnets = nn.ModuleList(ResBlock(*pair) for pair in zip(dims, dims[1:]))
        self.upsamplers = nn.ModuleList([Upsample(dim_out, in_time)] if upsample else [])

    def forward(self, x):
        for layer in [*self.resnets, *self.upsamplers]:
            x = layer(x)
        return x


class Encoder(nn.Module):
    """(B, 3, H, W) -> (B, 2C, h, w)"""

    def __init__(self, config: VAEConfig):
        super().__init__()
        dims = [config.base_dim * m for m in (1, *config.dim_mult)]
        self.conv_in = Tap(config.input_channels, dims[0], 3)
        self.down_blocks = nn.ModuleList()  # careful: one flat list, unlike the decoder's
        for level, (dim_in, dim_out) in enumerate(zip(dims, dims[1:])):
            for i in range(config.num_res_blocks):
                self.down_blocks.append(ResBlock(dim_in if i == 0 else dim_out, dim_out))
            if level < len(config.temperal_downsample):
                self.down_blocks.append(Downsample(dim_out, config.temperal_downsample[level]))
        self.mid_block = MidBlock(dims[-1])
        self.norm_out = Norm(dims[-1])
        self.conv_out = Tap(dims[-1], 2 * config.z_dim, 3)

    def forward(self, img):
        x = self.conv_in(channels_last(img))
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(self.mid_block(x)), inplace=True))


class Decoder(nn.Module):
    """(B, C, h, w) -> (B, 3, H, W)"""

    def __init__(self, config: VAEConfig):
        super().__init__()
        dims = [config.base_dim * m for m in config.dim_mult[::-1]]
        in_time = config.temperal_downsample[::-1]
        self.conv_in = Tap(config.z_dim, dims[0], 3)
        self.mid_block = MidBlock(dims[0])
        self.up_blocks = nn.ModuleList()
        for level, dim in enumerate(dims):
            # an upsampler halves the channels, so every level but the first starts from half
            dim_in = dims[0] if level == 0 else dims[level - 1] // 2
            upsample = level < len(in_time)
            depth = config.num_res_blocks + 1
            self.up_blocks.append(
                UpBlock(dim_in, dim, depth, upsample, upsample and in_time[level])
            )
        self.norm_out = Norm(dims[-1])
        self.conv_out = Tap(dims[-1], config.input_channels, 3)

    def forward(self, z):
        x = self.mid_block(self.conv_in(channels_last(z)))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(x), inplace=True))


class VAE(nn.Module):
    """Pictures in [-1, 1] to latents and back (upstream: AutoencoderKLQwenImage, one frame)."""

    tile = None  # pixels along a side of what is computed at a time; None: all of a picture

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = Tap(2 * config.z_dim, 2 * config.z_dim, 1)
        self.post_quant_conv = Tap(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    def encode(self, img):
        """(B, 3, H, W) -> (B, C, h, w), (B, C, h, w)

        Pictures in [-1, 1], H and W multiples of 8 -> mean and log-variance of the posterior.
        The latents are raw: `normalize` brings them to the scale that the MMDiT works in.
        """
        B, _, H, W = img.shape
        if H % self.config.scale or W % self.config.scale:
            raise ValueError(f"picture of {W}x{H} pixels: sides must be multiples of 8")
        mean, logvar = self.quant_conv(self.encoder(img)).chunk(2, dim=1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z):
        """(B, C, h, w) -> (B, 3, H, W), raw latents to pictures clamped to [-1, 1]"""
        return self.decoder(self.post_quant_conv(z)).clamp(-1, 1)

    def normalize(self, z):
        """(B, C, h, w) -> (B, C, h, w), raw latents to about zero mean and unit variance"""
        mean, std = self._statistics(z)
        return (z - mean) / std

    def denormalize(self, z):
        """(B, C, h, w) -> (B, C, h, w), the inverse of `normalize`"""
        mean, std = self._statistics(z)
        # careful: upstream divides by the reciprocal; in bf16 a product differs in the last bit
        return z / (1.0 / std) + mean

    def _statistics(self, z):
        shape = (1, self.config.z_dim, 1, 1)
        mean = torch.tensor(self.config.latents_mean, dtype=z.dtype, device=z.device)
        std = torch.tensor(self.config.latents_std, dtype=z.dtype, device=z.device)
        return mean.view(shape), std.view(shape)
