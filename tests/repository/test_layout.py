"""The house rules of the package that can be read off its files: who imports whom, and sizes."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "qwenimage_ref"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

FLOORS = [  # one room a floor; a module imports from its own room and from those below
    {
        "extras",
        "files",
        "limits",
        "repository",
        "provenance",
        "pictures",
        "png_settings",
        "prompt_rewriting",
        "psd",
        "tar_shards",
    },
    {
        "config_checks",
        "config",
        "bpe",
        "bpe_training",
        "tokenizer_files",
        "tokenizer",
        "rope",
        "sampler",
    },
    {"text_encoder", "captioner", "vision", "vae", "mmdit", "controlnet"},
    {"conditions"},
    {"checkpoint"},
    {"adapt"},
    {"formats"},
    {"load"},
    {"tasks"},
    {"pipeline"},
    {"controlled"},
    {"train"},
    {"posters"},
    {"curation"},
    {"pocket"},
    {"evaluate"},
    {"parity"},
    {"course"},
    {"serve"},
    {"cli"},
]
NETWORKS = {"text_encoder", "vision", "vae", "mmdit"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("module", FILES)


def imports(module: str) -> set[str]:
    """Absolute names of all that the module imports, inside functions too."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            # `from . import draw` names a module, `from .draw import poster` a thing in one
            inside = {f"{base}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= inside or {base}
    return found


def own_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in FILES and name != PACKAGE.name}


def room(module: str) -> str:
    """The first name under the package: a file of the ground rooms, or a folder."""
    return module.split(".")[1] if "." in module else ""


def floor(module: str) -> int:
    levels = [level for level, rooms in enumerate(FLOORS) if room(module) in rooms]
    assert levels, f"{module} has no floor; give it one in FLOORS"
    return levels[0]


modules_in_rooms = pytest.mark.parametrize("module", [name for name in FILES if room(name)])


@modules_in_rooms
def test_a_module_imports_nothing_from_a_floor_above(module):
    above = {name for name in own_imports(module) if floor(name) > floor(module)}
    assert above == set()


def test_no_two_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({name: own_imports(name) - {name} for name in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name in FILES if room(name) in NETWORKS])
def test_a_network_stands_on_config_and_rope_alone(module):
    assert {room(name) for name in own_imports(module)} <= {"config", "rope"}


MODEL_PATH = "config bpe tokenizer text_encoder vae rope mmdit sampler pipeline".split()
MACHINE = [*MODEL_PATH, "vision"]  # the ten files that are the model
# what is done to a model from outside, and no file of the model may speak of
OUTSIDE = {"train", "adapt", "formats"}
OUTSIDE_WORDS = re.compile(r"lora|quanti[sz]|fp8|gguf|stream(ed|ing)", re.IGNORECASE)


def loaded_by(statement: str) -> list[Path]:
    """The files of the package that a fresh process has loaded after a statement."""
    lines = "import sys; print(*(getattr(m, '__file__', 0) or 0 for m in sys.modules.values()))"
    command = [sys.executable, "-c", f"{statement}; {lines}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [path for path in map(Path, output.split()) if path.is_relative_to(PACKAGE)]


def lines_of(paths) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_importing_the_pipeline_loads_the_model_and_little_else():
    paths = loaded_by("import qwenimage_ref.pipeline")
    assert PACKAGE / "mmdit.py" in paths
    assert len([path for path in paths if path.name != "__init__.py"]) <= 12, sorted(paths)
    assert lines_of(paths) <= 2_300


def names_in(path: Path) -> set[str]:
    """Every name that the code of a file uses; words in docstrings and comments do not count."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for field in ("id", "attr", "arg", "name", "module"):
            name = getattr(node, field, None)
            names |= {name} if isinstance(name, str) else set()
    return names


@pytest.mark.parametrize("room_", MACHINE)
def test_a_file_of_the_model_knows_nothing_of_what_is_done_to_it_from_outside(room_):
    module = f"{PACKAGE.name}.{room_}"
    assert {room(name) for name in own_imports(module)}.isdisjoint(OUTSIDE)
    assert [name for name in names_in(FILES[module]) if OUTSIDE_WORDS.search(name)] == []


def test_the_way_from_prompt_to_picture_is_short_enough_to_be_read_at_once():
    assert lines_of(FILES[f"{PACKAGE.name}.{name}"] for name in MODEL_PATH) <= 1_560


# distributions whose import has another name
IMPORT_NAMES = {
    "pillow": "PIL", "pyyaml": "yaml", "markdown-it-py": "markdown_it", "scikit-image": "skimage"
}  # fmt: skip
EXTRAS_OF_ROOM = {
    "course": ("notebooks", "dev", "docs"),
    "parity": ("parity",),
    "tasks": ("control",),
    "serve": ("serve",),
    "curation": ("ray",),
}


@every_module
def test_a_module_imports_only_what_its_room_may_depend_on(module):
    lines = list(PROJECT["dependencies"])
    for extra in EXTRAS_OF_ROOM.get(room(module), ()):
        lines += PROJECT["optional-dependencies"][extra]
    names = [canonicalize_name(Requirement(line).name) for line in lines]
    allowed = {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}
    used = {name.split(".")[0] for name in imports(module)}
    assert used - sys.stdlib_module_names - {PACKAGE.name} <= allowed


@every_module
def test_a_file_can_be_read_in_one_sitting(module):
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= 320


@every_module
def test_a_module_names_no_path_outside_the_repository(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    parts = {part for text in texts if isinstance(text, str) for part in text.split("/")}
    assert not {"..", "home", "root", "work", "Users"} & parts
