"""Bugs that a picture shows, and the list of all of them, each as a change of a few lines."""

from .invisible import PARITY, UNSEEN
from .plant import Bug, Change

SPLIT_PAIRS = (
    "pairs = torch.complex(*x.float().chunk(2, dim=-1)) * rotation.unsqueeze(1)\n"
    "    return torch.cat([pairs.real, pairs.imag], dim=-1)"
)

TIME = (
    Bug(
        "velocity sign",
        "the step goes against the velocity. The report writes data - noise, the weights were "
        "trained on noise - data",
        (Change("sampler.euler_step", "(sigma_next - sigma)", "(sigma - sigma_next)"),),
        10,
        "tests/model/test_sampler.py::test_a_step_in_float32_is_plain",
    ),
    Bug(
        "time flipped",
        "noise reaches the network as clean and clean as noise, again as the report counts",
        (Change("sampler.model_time", "1000 * sigma)", "1000 * (1 - sigma))"),),
        18,
        "tests/model/test_sampler.py::test_the_float32_time_of_the_network_is_the_sigma_itself",
    ),
    Bug(
        "time never × 1000",
        "the waves of the time embedding hardly move, so every level looks like 0",
        (Change("mmdit.TimestepEmbedder.forward", "1000 * (sigma", "(sigma"),),
        18,
        PARITY,
    ),
    Bug(
        "time × 1000 twice",
        "the loop multiplies by 1000, and so does the network",
        (Change("sampler.model_time", " / 1000", ""),),
        16,
        "tests/model/test_sampler.py::test_the_float32_time_of_the_network_is_the_sigma_itself",
    ),
)

PLACE = (
    Bug(
        "half-split rotation",
        "dims k and k + K/2 turn as a pair, as in the language tower, instead of 2k and 2k + 1",
        (
            Change(
                "rope.rotate",
                "pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))\n"
                "    return torch.view_as_real(pairs * rotation.unsqueeze(1)).flatten(-2)",
                SPLIT_PAIRS,
            ),
        ),
        17,
        "tests/model/test_rope.py::test_neighbouring_dims_are_a_pair_and_turn_counter_clockwise",
    ),
    Bug(
        "grid not centred",
        "rows and columns count from 0 at the corner instead of from the middle",
        (
            Change(
                "rope.positions",
                "(rows) - (rows - rows // 2),\n            torch.arange(cols) - (cols - cols // 2)",
                "(rows),\n            torch.arange(cols)",
            ),
        ),
        16,
        "tests/model/test_rope.py::test_tokens_come_in_reading_order",
    ),
    Bug(
        "text starts at 0",
        "the prompt marches off from the middle of the picture instead of its corner",
        (
            Change(
                "rope.positions", "max(max(rows // 2, cols // 2) for _, rows, cols in grids)", "0"
            ),
        ),
        16,
        "tests/model/test_rope.py::test_text_starts_at_half_of_the_longer_side_rounded_down",
    ),
    Bug(
        "odd grid",
        "of seven rows four stand below the middle; it should be four above",
        (
            Change(
                "rope.positions",
                "(rows - rows // 2),\n            torch.arange(cols) - (cols - cols // 2)",
                "rows // 2,\n            torch.arange(cols) - cols // 2",
            ),
        ),
        18,
        "tests/model/test_rope.py::test_an_odd_size_has_its_extra_row_on_the_negative_side",
        size=112,
    ),
)

TEXT = (
    Bug(
        "cut at 35",
        "one state too many is dropped behind the template",
        (
            Change(
                "pipeline.QwenImage.encode_prompts",
                "start = self.tokenizer.prefix_length",
                "start = self.tokenizer.prefix_length + 1",
            ),
        ),
        23,
        "tests/model/test_pipeline.py::test_an_empty_prompt_keeps_the_five_tokens_after_the_slot",
    ),
    Bug(
        "padding attended",
        "the prompt is filled up to 256 states, and no mask says that most of them are nothing",
        (
            Change(
                "pipeline.QwenImage.encode_prompts",
                "encoded.append(Branch(states, None if mask.all() else mask))",
                "filled = torch.zeros(len(states), 256, states.shape[2])\n"
                "        filled[:, : states.shape[1]] = states\n"
                "        encoded.append(Branch(filled))",
            ),
        ),
        18,
        "tests/model/test_pipeline.py::test_a_single_prompt_is_never_padded",
    ),
    Bug(
        "padding counted",
        "the prompt's positions begin where 64 filled places in front of it would end",
        (
            Change(
                "rope.positions",
                "txt = torch.arange(start, start + text_length)",
                "txt = torch.arange(start + 64 - text_length, start + 64)",
            ),
        ),
        16,
        "tests/model/test_rope.py::test_text_starts_at_half_of_the_longer_side_rounded_down",
    ),
    Bug(
        "template cut first",
        "the language model never reads the template; it should, and only then be cut",
        (
            Change(
                "pipeline.QwenImage.encode_prompts",
                "calls = [(ids,",
                "tokens = [(ids[:, start:], mask[:, start:]) for ids, mask in tokens]\n"
                "    start, calls = 0, [(ids,",
            ),
        ),
        27,
        "tests/model/test_pipeline.py::test_text_states_are_those_of_diffusers",
        shows=False,
    ),
    Bug(
        "text norm skipped",
        "the text states enter the transformer without their RMSNorm",
        (Change("mmdit.MMDiT.embed", "self.txt_in(self.txt_norm(txt))", "self.txt_in(txt)"),),
        48,
        PARITY,
        shows=False,
    ),
)

LATENTS = (
    Bug(
        "shift before scale",
        "the final norm is read as (shift, scale), which is the order of the blocks",
        (Change("mmdit.FinalNorm.forward", "scale, shift =", "shift, scale ="),),
        18,
        PARITY,
    ),
    Bug(
        "packed p-p-c",
        "a token lists its four places first and the channels of each; the weights want channels "
        "first",
        (
            Change("sampler.pack", "(c dy dx)", "(dy dx c)"),
            Change("sampler.unpack", "(c dy dx)", "(dy dx c)"),
        ),
        16,
        "tests/model/test_sampler.py::test_channels_of_a_token_come_in_the_order_channel_row_column",
    ),
    Bug(
        "statistics inverted",
        "upstream has a variable latents_std that holds 1 / std and divides by it; who reads its "
        "name multiplies",
        (Change("vae.VAE.denormalize", "z / (1.0 / std)", "z * (1.0 / std)"),),
        23,
        "tests/model/test_pipeline.py::test_diffusers_paints_the_same_picture_from_the_same_folder",
    ),
    Bug(
        "frame axis averaged",
        "a kernel over three frames becomes one for a still by taking the mean, not the last tap",
        (Change("vae.Tap.from_stored", "tensor[:, :, -1]", "tensor.mean(2)"),),
        17,
        "tests/checkpoint/test_save_and_load.py::test_what_is_saved_is_loaded",
        reload=True,
    ),
)

BUGS = TIME + PLACE + TEXT + LATENTS + UNSEEN
