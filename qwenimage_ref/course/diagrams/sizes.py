"""The sizes in the drawings: of the official model, and of the pocket model from its own files."""

from dataclasses import dataclass
from functools import cache

from ...config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from ..show import pocket_folder

TOKEN = 16  # pixels along one side of an image token


@dataclass(frozen=True)
class Sizes:
    """The four configs of a model, and the side of its square pictures in pixels."""

    text: TextEncoderConfig
    vision: VisionConfig
    transformer: MMDiTConfig
    vae: VAEConfig
    side: int

    @property
    def image_tokens(self) -> int:
        return (self.side // TOKEN) ** 2


@cache
def official() -> Sizes:
    return Sizes(TextEncoderConfig(), VisionConfig(), MMDiTConfig(), VAEConfig(), 1328)


@cache
def pocket() -> Sizes:
    folder = pocket_folder()
    tower = folder / "text_encoder" / "config.json"
    return Sizes(
        TextEncoderConfig.from_json(tower),
        VisionConfig.from_json(tower),
        MMDiTConfig.from_json(folder / "transformer" / "config.json"),
        VAEConfig.from_json(folder / "vae" / "config.json"),
        128,
    )


# what the letters of all drawings stand for, and how to find it
LETTERS = {
    "I": ("image tokens", lambda sizes: sizes.image_tokens),
    "D": ("width of both streams", lambda sizes: sizes.transformer.inner_dim),
    "H": ("heads", lambda sizes: sizes.transformer.num_attention_heads),
    "K": ("width of a head", lambda sizes: sizes.transformer.attention_head_dim),
    "L": ("blocks", lambda sizes: sizes.transformer.num_layers),
    "Dt": ("width of the text states", lambda sizes: sizes.transformer.joint_attention_dim),
    "h, w": ("rows, columns of latents", lambda sizes: sizes.side // 8),
    "H, W": ("rows, columns of pixels", lambda sizes: sizes.side),
    "T": ("text tokens of the prompt", lambda sizes: ""),
}


def rows(*letters: str, **others) -> list[tuple]:
    """Rows of a legend. letters: of LETTERS. others: letter=(words, function of Sizes)"""
    meanings = {letter: LETTERS[letter] for letter in letters} | others
    big, small = official(), pocket()
    return [(letter, words, size(big), size(small)) for letter, (words, size) in meanings.items()]
