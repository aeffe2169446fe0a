"""The capstone: what a blank lacks and keeps, and that grading names a mistake where it is."""

import ast
import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import qwenimage_ref.mmdit
from qwenimage_ref.course.publish import capstone
from qwenimage_ref.course.publish.capstone import FILES, PACKAGE, CapstoneError
from qwenimage_ref.course.publish.learners_package import MODULES, learners_package
from qwenimage_ref.parity.grade import cases, ours, parts, pieces, run
from qwenimage_ref.repository import POCKET, ROOT

EQUAL = {"equal", "equal, to the last bit"}


@pytest.fixture(scope="module")
def blank(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("capstone") / "blank"
    capstone.write_blank(folder)
    return folder


@pytest.fixture
def solved(tmp_path) -> Path:
    """A learner's folder in which everything is right."""
    (tmp_path / PACKAGE).mkdir()
    for module in FILES:
        shutil.copy(ROOT / PACKAGE / f"{module}.py", tmp_path / PACKAGE)
    return tmp_path


def plant(folder: Path, module: str, right: str, wrong: str) -> None:
    path = folder / PACKAGE / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{right!r} is {text.count(right)} times in {module}.py"
    path.write_text(text.replace(right, wrong), encoding="utf-8")


def graded(folder: Path, only: str = "") -> dict[str, str]:
    """Part -> finding, computed in this process, which is faster: nothing here misbehaves."""
    names = run.chosen(only)
    given = {name: run.given(name, POCKET) for name in names}
    with learners_package(folder) as package:
        ours = importlib.import_module(f"{PACKAGE}.parity.grade.ours")
        answers = list(ours.answers(package, POCKET, given, names))
    return {name: run.row(name, one, POCKET).finding for name, one in zip(names, answers)}


# ---- the blank


@pytest.mark.parametrize("module", FILES)
def test_what_stays_in_a_blank_is_in_the_package(module):
    text = (ROOT / PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert FILES[module] <= capstone.functions(text).keys()


@pytest.mark.parametrize("module", FILES)
def test_a_blank_keeps_signatures_and_docstrings_and_no_body(module, blank):
    ours = (ROOT / PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    theirs = (blank / PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    left, found = capstone.to_write(module, ours), capstone.functions(theirs)
    assert found.keys() == capstone.functions(ours).keys()
    for name, node in left.items():
        assert ast.dump(found[name].args) == ast.dump(node.args)
        documented = ast.get_docstring(node)
        assert ast.get_docstring(found[name]) == documented
        assert len(found[name].body) == 1 + (documented is not None)
        assert ast.unparse(found[name].body[-1]) == capstone.EMPTY


def test_a_comment_that_begins_a_body_goes_with_it():
    text = "def rotate(x):\n    # careful: pairs\n    return x\n\n\ny = 1\n"
    empty = "def rotate(x):\n    raise NotImplementedError\n\n\ny = 1\n"
    assert capstone.blanked("rope", text) == empty


def test_the_networks_of_a_blank_have_every_official_name(blank):
    def names() -> list[dict]:
        from qwenimage_ref import mmdit, text_encoder, vae

        found = []
        for module, network in ((mmdit, "MMDiT"), (text_encoder, "TextEncoder"), (vae, "VAE")):
            config = getattr(module, f"{network}Config").official()
            with torch.device("meta"):
                built = getattr(module, network)(config)
            found.append({name: tuple(p.shape) for name, p in built.named_parameters()})
        return found

    ours = names()
    with learners_package(blank):
        assert names() == ours


def test_a_blank_lists_what_is_to_be_written(blank):
    text = (blank / "README.md").read_text(encoding="utf-8")
    assert "| `rope.py` | 05 |" in text and "`JointAttention.forward`" in text
    assert "`JointAttention.__init__`" not in text
    assert not (blank / PACKAGE / "course").exists(), "answers stay where the course is"


def test_every_file_of_the_capstone_has_its_chapter():
    stems = [path.stem for path in (ROOT / "notebooks" / "src").glob("*.py")]
    assert capstone.CHAPTERS.keys() == FILES.keys()
    assert {*capstone.CHAPTERS.values()} <= {stem[:2] for stem in stems}


def test_a_blank_is_never_written_over_somebodys_work(blank):
    path = blank / PACKAGE / "rope.py"
    before = path.read_bytes()
    with pytest.raises(CapstoneError, match="may hold your work; name another"):
        capstone.write_blank(blank)
    assert path.read_bytes() == before


# ---- grading


def test_every_part_has_its_two_sides():
    assert parts.PARTS.keys() == {name for name in run.chosen()}
    for name, function in parts.PARTS.items():
        assert hasattr(ours, function), name
        assert len(run.comparisons(name, POCKET)) > 0
    assert cases.NETWORKS.keys() == {n for n, key in parts.PARTS.items() if key == "network"}


def test_the_modules_that_are_graded_are_those_that_a_blank_empties():
    assert list(FILES) == list(MODULES)


def test_of_a_blank_every_part_is_not_yet_written(blank):
    found = graded(blank)
    assert len(found) >= 20
    assert [part for part, said in found.items() if not said.startswith("not yet written: ")] == []
    assert found["mmdit: a picture of odd size"] == "not yet written: mmdit.MMDiT.forward"
    assert found["sampler: guidance"] == "not yet written: sampler.guide"


def test_of_the_package_every_part_is_equal():
    assert set(graded(ROOT).values()) <= EQUAL


def test_every_piece_is_a_function_that_is_left_to_the_learner():
    for name in pieces.PIECES:
        file, function = name.split(": ")
        text = (ROOT / PACKAGE / f"{file.replace(' ', '_')}.py").read_text(encoding="utf-8")
        assert function in capstone.to_write(file.replace(" ", "_"), text)


def test_a_single_function_is_graded_while_all_others_of_its_file_are_empty(blank, tmp_path):
    shutil.copytree(blank, tmp_path / "one")
    path = tmp_path / "one" / PACKAGE / "mmdit.py"
    head, sign, body = path.read_text(encoding="utf-8").partition("def layer_norm(x):")
    body = body.replace(capstone.EMPTY, "return F.layer_norm(x, x.shape[-1:], eps=1e-6)", 1)
    path.write_text(head + sign + body, encoding="utf-8")
    found = graded(tmp_path / "one", "mmdit: ")
    assert [name for name, said in found.items() if said in EQUAL] == ["mmdit: layer_norm"]


def test_a_value_that_differs_in_its_last_bits_is_equal_without_the_praise(solved):
    plant(solved, "mmdit", "(1 + scale) + shift", "(1 + scale) * (1 + 2e-7) + shift")
    assert graded(solved, "mmdit: modulate") == {"mmdit: modulate": "equal"}
    plant(solved, "mmdit", "(1 + 2e-7)", "(1 + 1e-5)")
    assert graded(solved, "mmdit: modulate")["mmdit: modulate"].startswith("parts from")


def test_points_and_milestones_count_what_is_equal():
    rows = [run.Row(name, name != "vae: the scale of latents", "") for name in run.PARTS]
    assert sum(row.points for row in rows) == sum(map(run.points, run.PARTS)) - 3
    assert len(run.milestones(rows)) == 6 and "vae" not in run.milestones(rows)


SOLUTION = re.compile(r"^# <details><summary>The solution.*?^# ```python\n(.*?)^# ```", re.M | re.S)
AS_FUNCTIONS = {  # part: chapter, function of the course, file, and how the file calls it
    "tokenizer: text to ids": (
        *("02", "merge", "bpe"),
        "def merge(word, ranks):\n    return _merge([*word], ranks)",
    ),
    "text encoder: Attention.forward": (
        *("03", "grouped_attention", "text_encoder"),
        "def _forward(self, x, cos, sin, mask=None):\n"
        "    q, k, v = map(self._heads, (self.q_proj(x), self.k_proj(x), self.v_proj(x)))\n"
        "    q, k = rotate_half(q, cos, sin), rotate_half(k, cos, sin)\n"
        "    out = _grouped_attention(q, k, v)\n"
        "    return self.o_proj(out.transpose(1, 2).flatten(2))\n"
        "Attention.forward = _forward",
    ),
    "vae: the scale of latents": (
        *("04", "normalise", "vae"),
        "VAE.normalize = lambda self, z: _normalise(z, *map(torch.flatten, self._statistics(z)))",
    ),
    "rope: pairs turned": (
        *("05", "turn", "rope"),
        "def rotate(x, rotation):\n"
        "    rows = [_turn(one, rotation.angle()) for one in x.transpose(1, 2).flatten(0, 1)]\n"
        "    return torch.stack(rows).unflatten(0, (len(x), -1)).transpose(1, 2)",
    ),
    "sampler: noise levels": (
        *("08", "my_stretch", "sampler"),
        "_sigmas = sigmas\n"
        "def sigmas(steps, tokens, config):\n"
        "    import dataclasses\n"
        "    if not config.shift_terminal:\n"
        "        return _sigmas(steps, tokens, config)\n"
        "    plain = _sigmas(steps, tokens, dataclasses.replace(config, shift_terminal=0.0))\n"
        "    return torch.cat([_my_stretch(plain[:-1], config.shift_terminal), plain[-1:]])",
    ),
    "sampler: Euler steps": ("08", "my_step", "sampler", "euler_step = _my_step"),
    "sampler: guidance": ("08", "my_guide", "sampler", "guide = _my_guide"),
    "pipeline: states of prompts": (
        *("09", "my_states", "pipeline"),
        "QwenImage.encode_prompt = lambda self, prompts: _my_states(self, prompts)",
    ),
    "pipeline: a picture from end to end": (
        *("09", "my_pixels", "pipeline"),
        "def _to_pictures(self, latents):\n"
        "    rows, cols = (side // 2 for side in latents.shape[2:])\n"
        "    pixels = _my_pixels(self.vae, pack(latents), rows, cols)\n"
        "    return [Image.fromarray(one) for one in (255 * pixels).round().byte().numpy()]\n"
        "QwenImage.to_pictures = torch.no_grad()(_to_pictures)",
    ),
}


@pytest.mark.parametrize("part", AS_FUNCTIONS)
def test_the_printed_solution_of_a_chapter_is_accepted_by_the_capstone(part, solved):
    chapter, name, file, call = AS_FUNCTIONS[part]
    (source,) = (ROOT / "notebooks" / "src").glob(f"{chapter}_*.py")
    blocks = [re.sub(r"^# ?", "", one, flags=re.M) for one in SOLUTION.findall(source.read_text())]
    (code,) = [one for one in blocks if f"def {name}(" in one]
    path = solved / PACKAGE / f"{file}.py"
    code = re.sub(rf"\b{name}\b", f"_{name}", code)
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{code}\n\n{call}\n", encoding="utf-8")
    assert graded(solved, part)[part] in EQUAL


BUGS = {
    "shift and scale of the modulation swapped": (
        *("mmdit", "layer_norm(x) * (1 + scale) + shift", "layer_norm(x) * (1 + shift) + scale"),
        *("mmdit: a picture of odd size", "at transformer_blocks.0.attn.to_q:"),
    ),
    "the text gated as the image": (
        *("mmdit", "txt = txt + txt_gate * txt_out", "txt = txt + img_gate * txt_out"),
        *("mmdit: a picture of odd size", "at transformer_blocks.0.txt_mlp.net.0.proj:"),
    ),
    "eps of the MMDiT's RMSNorm": (
        *("mmdit", "keepdim=True) + 1e-6)", "keepdim=True) + 1e-5)"),
        *("mmdit: quiet streams", "at txt_norm:"),
    ),
    "padding attended": (
        *("mmdit", "attn_mask=mask)", "attn_mask=None)"),
        *("mmdit: shorter prompts, padded", "at transformer_blocks.0.attn.to_out.0:"),
    ),
    "half-split pairs in the MMDiT": (
        "rope",
        "x.float().unflatten(-1, (-1, 2)))",
        "torch.stack(x.float().chunk(2, -1), -1).contiguous())",
        *("rope: pairs turned", "at the turned pairs:"),
    ),
    "the odd row on the positive side": (
        *("rope", "torch.arange(rows) - (rows - rows // 2)", "torch.arange(rows) - rows // 2"),
        *("rope: positions of grids", "at the picture of grids [(1, 5, 3)]:"),
    ),
    "eps of the text tower outside the root": (
        *("text_encoder", "keepdim=True) + self.eps)", "keepdim=True)) + self.eps"),
        *("text encoder: quiet states", "at model.layers.0.input_layernorm:"),
    ),
    "key-value heads dealt out in turn": (
        *("text_encoder", "k = k.repeat_interleave(self.group, dim=1)", "k = k.repeat(1, 3, 1, 1)"),
        *("text encoder: a prompt", "at model.layers.0.self_attn.o_proj:"),
    ),
    "statistics of the latents inverted": (
        *("vae", "return (z - mean) / std", "return (z - mean) * std"),
        *("vae: the scale of latents", "at latents_mean and latents_std, normalize:"),
    ),
    "no activation before the VAE's convolutions": (
        *("vae", "self.conv1(F.silu(self.norm1(x), inplace=True))", "self.conv1(self.norm1(x))"),
        *("vae: picture to latents", "at encoder.down_blocks.0.conv1:"),
    ),
    "no terminal stretch": (
        *("sampler", "if config.shift_terminal:\n        done", "if False:\n        done"),
        *("sampler: noise levels", "at the sigmas of 20 steps, 64 tokens:"),
    ),
    "guidance rescaled over the whole picture": (
        *(
            "sampler",
            "combined.norm(dim=-1, keepdim=True)",
            "combined.norm(dim=(1, 2), keepdim=True)",
        ),
        *("sampler: guidance", "at the guided velocity:"),
    ),
    "merges from the last learned": (
        *("bpe", "yield rank, i", "yield -rank, i"),
        *("tokenizer: text to ids", "at id"),
    ),
    "a prompt cut with its template": (
        *("tokenizer", ": self.prefix_length + MAX_PROMPT_TOKENS]", ": MAX_PROMPT_TOKENS]"),
        *("tokenizer: a prompt in its template", "at id 1024 of"),
    ),
    "another template": (
        *("tokenizer", "Describe the image by detailing", "Describe the picture by detailing"),
        *("tokenizer: a prompt in its template", "at "),
    ),
    "spaces between tokens": (
        *("tokenizer", 'b"".join(', 'b" ".join('),
        *("tokenizer: ids to text", "at 'a red circle left of a blue st', whose ids are decoded: "),
    ),
    "later tokens seen where a prompt is padded": (
        *("text_encoder", "((causal & mask[:, None, :].bool())", "(mask[:, None, :].bool()"),
        *("text encoder: shorter prompts, padded", "at model.layers.0.self_attn.o_proj:"),
    ),
    "no residual around the VAE's attention": (
        *("vae", "return x + self.proj(", "return self.proj("),
        *("vae: latents to picture", "at decoder.mid_block.attentions.0:"),
    ),
    "frequencies that end too low": (
        *("rope", "device=pos.device).float() / dim", "device=pos.device).float() / (dim - 2)"),
        *("rope: angles of positions", "at the angles of"),
    ),
    "condition pictures with the time of the noise": (
        *("mmdit", "torch.stack([sigma, torch.zeros_like(sigma)]", "torch.stack([sigma, sigma]"),
        *("mmdit: condition pictures", "at transformer_blocks.0.attn.to_q:"),
    ),
    "the other row of Layered": (
        *("mmdit", "addition_t_embedding.weight[0]", "addition_t_embedding.weight[1]"),
        *("mmdit: layers", "at time_text_embed:"),
    ),
    "channels last in a token": (
        "sampler",
        'rearrange(latents, "b c (h dy) (w dx) -> b (h w) (c dy dx)"',
        'rearrange(latents, "b c (h dy) (w dx) -> b (h w) (dy dx c)"',
        *("sampler: tokens of latents", "at pack:"),
    ),
    "a time of up to a thousand": (
        *("sampler", "(1000 * sigma).to(dtype) / 1000", "(1000 * sigma).to(dtype)"),
        *("sampler: the time that the network sees", "at the times in torch.float32:"),
    ),
    "the step along the velocity not rounded": (
        *(
            "sampler",
            "(sigma_next - sigma) * velocity)",
            "(sigma_next - sigma) * velocity.float())",
        ),
        *("sampler: Euler steps", "in torch.bfloat16:"),
    ),
    "one seed for all": (
        *("sampler", "[_generator(one) for one in seed]", "[_generator(seed[0]) for one in seed]"),
        *("pipeline: noise", "at the noise of seed [42, 1099511627776]:"),
    ),
    "guidance towards the negative prompt": (
        "pipeline",
        "(combine or guide)(velocity, *negative, true_cfg_scale)",
        "guide(*negative, velocity, true_cfg_scale)",
        *("pipeline: a picture from end to end", "/255 in the mean"),
    ),
    "one state of the template too many": (
        *(
            "pipeline",
            "start = self.tokenizer.prefix_length\n        tokens",
            "start = 33\n        tokens",
        ),
        *("pipeline: states of prompts", "at the states of 3 prompts: (3,"),
    ),
}


def test_every_part_is_failed_by_some_bug(blank):
    whole = {part for *_, part, _ in BUGS.values()}
    assert graded(blank).keys() == whole | pieces.PIECES.keys()


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_named_where_the_numbers_first_part(solved, bug):
    module, right, wrong, part, place = BUGS[bug]
    plant(solved, module, right, wrong)
    said = graded(solved, part)[part]
    assert said.startswith("parts from the reference ") and place in said


def test_code_that_stops_is_named_with_its_line(solved):
    plant(solved, "mmdit", "img = img + img_gate * img_out", "img = img + img_gate * txt_out")
    lines = (solved / PACKAGE / "mmdit.py").read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "img_gate * txt_out" in line)
    said = graded(solved, "mmdit: quiet")["mmdit: quiet streams"]
    assert said.startswith(f"stops at mmdit.py, line {number}, Block.forward: RuntimeError: ")


def test_a_file_of_the_learners_own_beside_the_others_is_found(solved):
    (solved / PACKAGE / "turning.py").write_text("def turned(pairs, by):\n    return pairs * by\n")
    plant(solved, "rope", "import torch\n", "import torch\n\nfrom .turning import turned\n")
    plant(solved, "rope", "pairs * rotation.unsqueeze(1)", "turned(pairs, rotation.unsqueeze(1))")
    assert set(graded(solved, "rope").values()) <= EQUAL


def test_every_module_of_the_model_path_comes_from_the_learners_folder(solved):
    own = {name: module for name, module in sys.modules.items() if name.startswith(PACKAGE)}
    with learners_package(solved) as package:
        for module in FILES:
            found = sys.modules[f"{PACKAGE}.{module}"]
            assert Path(found.__file__).parent == package == (solved / PACKAGE).resolve()
            assert found is not own.get(f"{PACKAGE}.{module}")
        rest = sys.modules[f"{PACKAGE}.config"]
        assert Path(rest.__file__) == ROOT / PACKAGE / "config.py"
    assert sys.modules[f"{PACKAGE}.mmdit"] is qwenimage_ref.mmdit
    assert [*solved.rglob("__pycache__")] == [], "nothing is left behind"


def test_a_module_from_elsewhere_is_not_graded(solved):
    with pytest.raises(CapstoneError, match="vae was loaded from .* not yours; not graded"):
        with learners_package(solved):
            sys.modules[f"{PACKAGE}.vae"].__file__ = str(ROOT / PACKAGE / "vae.py")


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (lambda package: shutil.rmtree(package), "write one with `make blank`"),
        (lambda package: (package / "vae.py").unlink(), "lacks vae.py; copy it from a new blank"),
        (
            lambda package: (package / "rope.py").write_text("import torch\ndef rotate(:\n"),
            r"rope.py cannot be imported, line 2: invalid syntax$",
        ),
        (
            lambda package: (package / "mmdit.py").write_text("from .config import Nothing\n"),
            r"mmdit.py cannot be imported, line 1: ImportError",
        ),
    ],
)
def test_a_folder_that_cannot_be_graded_says_why(solved, damage, complaint):
    damage(solved / PACKAGE)
    with pytest.raises(CapstoneError, match=complaint), learners_package(solved):
        pass
    assert sys.modules[f"{PACKAGE}.mmdit"] is qwenimage_ref.mmdit


def test_a_part_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="a part must be one of tokenizer, text.*, got 'unet'"):
        run.chosen("unet")
