"""The house style that can be read off the sources: functions, names, comments, links."""

import ast
import io
import re
import shlex
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from qwenimage_ref import cli

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "qwenimage_ref"
FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
LONGEST = 40  # lines of a function without its docstring
VAGUE = {"told", "found", "made", "held", "said"}  # names that do not say what they hold
# words that no comment begins with: it would lean on the code before it
NO_NOUNS = (
    *("of", "from", "by", "as", "so", "to", "which", "whose", "and", "or", "because", "tried"),
    *("its", "their", "theirs", "it", "they", "is", "are", "has", "not", "also", "else"),
)
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    return lines - (function.body[0].end_lineno - function.body[0].lineno + 1)


def long_functions(name: str) -> set[tuple[str, str]]:
    functions = (node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef))
    return {(name, function.name) for function in functions if length(function) > LONGEST}


def assigned_names(name: str) -> set[str]:
    """Variables, arguments and attributes that a file assigns."""
    names = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


def comments(name: str) -> list[str]:
    """The comments of a file, without the lines that continue one."""
    text = FILES[name].read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    placed = [(t.start, t.string) for t in tokens if t.type == tokenize.COMMENT]
    places = {start for start, _ in placed}
    return [text for (row, column), text in placed if (row - 1, column) not in places]


def test_a_function_fits_on_a_screen():
    assert set().union(*map(long_functions, FILES)) == set()


def test_a_variable_is_named_for_what_it_holds():
    vague = {name: assigned_names(name) & VAGUE for name in FILES}
    assert {name: names for name, names in vague.items() if names} == {}


def test_a_comment_begins_with_a_noun():
    pattern = re.compile(rf"# ?({'|'.join(NO_NOUNS)})\b", re.IGNORECASE)
    without = {name: list(filter(pattern.match, comments(name))) for name in FILES}
    assert {name: each for name, each in without.items() if each} == {}


# -- documents ------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if not target.startswith("https://"):
            assert not path or (ROOT / path).exists(), target
            assert not anchor or path or anchor in anchors(text), target


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_module_that_a_document_names_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for module in re.findall(r"\bqwenimage_ref\.[a-z_.]*[a-z_]", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def commands() -> list[list[str]]:
    """The words after `qwenimage` in every command of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`(?:\.venv/bin/)?qwenimage ([^`]+)`", text)
    lines = re.findall(r"^(?:\.venv/bin/)?qwenimage (.+)$", text, re.M)
    return [shlex.split(command, comments=True) for command in quoted + lines]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_option_in_a_command_of_the_readme_exists(words, capsys):
    within = words[0] in ("train", "data") or words[:2] in (["eval", "geneval"], ["eval", "vae"])
    named = [
        *words[: 2 if within else 1],
        *(["suite"] if words[0] == "eval" and not within else []),
    ]
    with pytest.raises(SystemExit) as exit:
        cli.main([*named, "--help"])
    assert exit.value.code == 0
    options = {word for word in words if word.startswith("-")}
    assert options <= set(re.findall(r"(?<![\w-])-{1,2}[\w-]+", capsys.readouterr().out))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_in_a_document_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY:(.*)", makefile, re.M)[1].split())
    named = re.findall(r"(?:`|^|-> )make\s([a-z-]+)", text, re.M)
    assert named and set(named) <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_row_of_a_table_stands_on_one_line(document):
    """A broken row ends the table, and its rest becomes a paragraph."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("|") and not line.endswith("|")] == []


def test_the_readme_shows_the_ten_files_of_the_model_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## The package") : text.index("The rest, from the bottom up")]
    model = "config bpe tokenizer text_encoder vision vae rope mmdit sampler pipeline"
    assert re.findall(r"\(qwenimage_ref/(\w+)\.py\)", table) == model.split()


def test_the_readme_names_every_room_of_the_package():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(re.findall(r"\(qwenimage_ref/(\w+)\)", text))


# -- habits of a public project -------------------------------------------------------------------


def locked(package: str) -> str:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pairs}[package]


def test_the_hooks_before_a_commit_run_the_locked_ruff():
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert hooks["rev"] == f"v{locked('ruff')}"
    assert {hook["id"] for hook in hooks["hooks"]} == {"ruff-check", "ruff-format"}


def workflow() -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))


def test_the_workflow_runs_ci_on_macos_and_on_linux_with_every_python():
    jobs = workflow()["jobs"]["test"]
    assert [step["run"] for step in jobs["steps"] if "run" in step] == [".ci/run"]
    rows = jobs["strategy"]["matrix"]["include"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    pythons = {c.rpartition(" ")[2] for c in project["classifiers"] if c.startswith(prefix)}
    assert {row["python"] for row in rows if row["os"].startswith("ubuntu")} == pythons
    assert any(row["os"].startswith("macos") for row in rows)


def test_the_workflow_may_only_read_and_pins_its_actions():
    assert workflow()["permissions"] == {"contents": "read"}
    actions = [s["uses"] for s in workflow()["jobs"]["test"]["steps"] if "uses" in s]
    assert actions and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in actions)


@pytest.mark.parametrize("form", ["bug", "wrong_statement", "validate_report"])
def test_an_issue_form_has_a_name_and_asks_for_what_it_needs(form):
    path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml"
    fields = yaml.safe_load(path.read_text("utf-8"))
    assert fields["name"] and fields["description"]
    assert any(field.get("validations", {}).get("required") for field in fields["body"])


def test_the_changelog_has_the_version_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{project['version']}]" in text and "## [Unreleased]" in text
