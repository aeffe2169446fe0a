"""Checkers of the exercises: they name the mistake and keep the answer to themselves."""

from .chapter_00 import START_00, ex_00_word
from .chapter_01 import ex_01_block
from .chapter_02 import PROMPTS_02, ex_02_dear, ex_02_merge
from .chapter_03 import ex_03_drop, ex_03_gqa
from .chapter_04 import ex_04_stats, ex_04_taps
from .chapter_05 import ex_05_odd, ex_05_rotate
from .chapter_06 import ex_06_mask, ex_06_modulation
from .chapter_07 import ex_07_tensor
from .chapter_08 import ex_08_guide, ex_08_mu, ex_08_stretch
from .chapter_09 import ex_09_img2img
from .chapter_10 import ex_10_lora, ex_10_still
from .chapter_11 import ex_11_diagnose
from .chapter_12 import ex_12_sigma
from .chapter_13 import ex_13_fooled
from .chapter_20 import ex_20_lightning, ex_20_loss
from .chapter_21 import ex_21_fp8, ex_21_q4
from .chapter_22 import ex_22_worse
from .common import NotYet

__all__ = [
    "NotYet",
    "PROMPTS_02",
    "START_00",
    "ex_00_word",
    "ex_01_block",
    "ex_02_dear",
    "ex_02_merge",
    "ex_03_drop",
    "ex_03_gqa",
    "ex_04_stats",
    "ex_04_taps",
    "ex_05_odd",
    "ex_05_rotate",
    "ex_06_mask",
    "ex_06_modulation",
    "ex_07_tensor",
    "ex_08_guide",
    "ex_08_mu",
    "ex_08_stretch",
    "ex_09_img2img",
    "ex_10_lora",
    "ex_10_still",
    "ex_11_diagnose",
    "ex_12_sigma",
    "ex_13_fooled",
    "ex_20_lightning",
    "ex_20_loss",
    "ex_21_fp8",
    "ex_21_q4",
    "ex_22_worse",
]
