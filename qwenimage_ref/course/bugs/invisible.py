"""Bugs that no picture shows, or hardly: the scene is painted as asked for."""

from .plant import Bug, Change

PARITY = "tests/parity/test_parity.py::test_one_picture_agrees_with_diffusers"
NORMS = (
    "    img_q, img_k = self.norm_q(img_q), self.norm_k(img_k)\n"
    "    txt_q, txt_k = self.norm_added_q(txt_q), self.norm_added_k(txt_k)\n"
)
ROTATIONS = (
    "    img_q, img_k = rotate(img_q, img_rotation), rotate(img_k, img_rotation)\n"
    "    txt_q, txt_k = rotate(txt_q, txt_rotation), rotate(txt_k, txt_rotation)\n"
)

UNSEEN = (
    Bug(
        "norm after rotation",
        "queries and keys are rotated first and normalised then",
        (Change("mmdit.JointAttention.forward", NORMS + ROTATIONS, ROTATIONS + NORMS),),
        26,
        PARITY,
        shows=False,
    ),
    Bug(
        "exact GELU",
        "erf in place of the tanh formula",
        (Change("mmdit.GELUProjection.forward", ', approximate="tanh"', ""),),
        77,
        PARITY,
        shows=False,
    ),
    Bug(
        "no rescale",
        "guidance makes the velocity longer, and nothing takes it back",
        (Change("sampler.guide", "combined * length", "combined"),),
        31,
        "tests/model/test_sampler.py::test_guidance_keeps_the_length_of_every_token",
        shows=False,
    ),
    Bug(
        "rescale over tokens",
        "the length is taken along the tokens, not along the channels of each",
        (
            Change(
                "sampler.guide",
                "cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1,",
                "cond.norm(dim=1, keepdim=True) / combined.norm(dim=1,",
            ),
        ),
        38,
        "tests/model/test_sampler.py::test_guidance_of_one_token_does_not_depend_on_the_others",
        shows=False,
    ),
    Bug(
        "no shift",
        "the noise levels fall evenly, whatever the size of the picture",
        (Change("sampler.sigmas", "        s = shift / (shift + (1 / s - 1))\n", ""),),
        42,
        "tests/model/test_sampler.py::test_sigmas_are_the_published_ones",
        shows=False,
    ),
    Bug(
        "no stretch",
        "the last level before 0 is wherever the shift has left it, not 0.02",
        (
            Change(
                "sampler.sigmas",
                "    if config.shift_terminal:\n"
                "        done = 1 - s\n"
                "        s = 1 - done / (done[-1] / (1 - config.shift_terminal))\n",
                "",
            ),
        ),
        40,
        "tests/model/test_sampler.py::test_the_last_sigma_before_zero_is_the_terminal_one",
        shows=False,
    ),
    Bug(
        "noise in bfloat16",
        "the noise is drawn in another type and has its first three digits",
        (
            Change(
                "sampler.draw",
                "dtype=dtype)",
                "dtype=torch.bfloat16).to(dtype)",
            ),
        ),
        73,
        "tests/model/test_pipeline.py::test_the_noise_of_a_seed_is_upstream_s",
        shows=False,
    ),
    Bug(
        "noise in float64",
        "the noise is drawn in another type and is other noise",
        (
            Change(
                "sampler.draw",
                "dtype=dtype)",
                "dtype=torch.float64).to(dtype)",
            ),
        ),
        24,
        "tests/model/test_pipeline.py::test_the_noise_of_a_seed_is_upstream_s",
        shows=False,
    ),
)

# no bug: the same sums in another order, to see how much the last bits do
BY_HAND = Bug(
    "attention by hand",
    "softmax written out in place of torch's own attention",
    (
        Change(
            "mmdit.JointAttention.forward",
            "F.scaled_dot_product_attention(q, k, v, attn_mask=mask)",
            "(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v",
        ),
    ),
    float("inf"),
    PARITY,
    shows=False,
)
