"""Notebooks as a reader meets them: in JupyterLab, in a real browser, with a hand on a slider.

One is run from top to bottom; of the others the cells that their sliders need, for `make test` and
`make test-slow` compare every output of every notebook.
"""

import ast
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from helpers import speed

from qwenimage_ref.course.publish import slides

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ("00", "05", "08", "26")  # that have sliders
WHOLE = "05"  # the quickest of them
TOKEN = "reader"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = [  # a test browser calls nobody
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
]
SETTINGS = {
    # every cell in the page at once, so that outputs can be counted
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
KERNEL_IDLE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.sessionContext?.session?.kernel?.status === "idle";
}"""
OUTPUTS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code")
    .flatMap(cell => cell.model.outputs.toJSON())"""
OPENED = """async name => {
    const { commands, shell } = window.jupyterapp;
    if (shell.currentWidget?.context?.path !== name)
        await commands.execute("docmanager:open", { path: name });
}"""
IN_FRONT = "name => window.jupyterapp?.shell.currentWidget?.context?.path === name"
RUN = """async places => {
    const { commands, shell } = window.jupyterapp, { content } = shell.currentWidget;
    await commands.execute("notebook:clear-all-cell-outputs");
    content.deselectAll();
    for (const place of places) {
        content.activeCellIndex = place;
        commands.execute("notebook:run-cell");
    }
}"""
# a cell has no number before it has run, and none is run after one that fails
ALL_RUN_OR_ONE_FAILED = """places => {
    const { widgets } = window.jupyterapp.shell.currentWidget.content;
    const cells = places.map(place => widgets[place]);
    const outputs = cells.flatMap(cell => cell.model.outputs.toJSON());
    return cells.every(cell => cell.model.executionCount !== null)
        || outputs.some(output => output.output_type === "error");
}"""
CLOSED = """async () => {
    const { commands, shell } = window.jupyterapp;
    await shell.currentWidget.sessionContext.shutdown();
    await shell.currentWidget.context.save();  // or Lab asks whether to save
    await commands.execute("application:close");
}"""
# the box of sliders holds the picture and the words below it
MOVED = """([box, src, words]) =>
    box.querySelector(":scope > .widget-image").src !== src
    && box.querySelector(":scope > .widget-label").innerText !== words"""

pytestmark = pytest.mark.browser
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


def milliseconds(seconds: float) -> float:
    """How long the browser waits before it gives up, as playwright counts."""
    return 1000 * speed.wall_seconds(seconds)


def missing(what: str):
    """On a reader's machine the test may be left out; where it must run, that is a failure."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what}; the browser test was not run")


def notebook(chapter: str) -> Path:
    found = sorted((ROOT / "notebooks").glob(f"{chapter}_*.ipynb"))
    assert found, f"chapter {chapter} is not built; run make notebooks"
    return found[0]


@pytest.fixture(scope="module")
def browser():
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        missing("there is no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=executable, args=QUIET + root, timeout=milliseconds(30)
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab over copies of the notebooks, with settings of its own."""
    home = tmp_path_factory.mktemp("lab")
    course = home / "course"
    course.mkdir()
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(file, course)  # Lab saves what it has run
    shutil.copytree(ROOT / "notebooks" / "figures", course / "figures")
    for name, content in SETTINGS.items():
        file = home / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    env = os.environ | {key: str(home / name) for key, name in folders.items()}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={course}"),
        "--expose-app-in-browser",
    ]
    log = home / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=env, cwd=home, stdout=out, stderr=out)
        try:
            wait_until_up(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, log)
            yield f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={TOKEN}"
        finally:
            server.terminate()
            server.wait(timeout=speed.wall_seconds(20))


def wait_until_up(address: str, server: subprocess.Popen, log: Path) -> None:
    give_up = time.monotonic() + speed.wall_seconds(60)
    while time.monotonic() < give_up:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(address, timeout=speed.wall_seconds(5)):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def opened_lab(browser, lab):
    """JupyterLab at the first chapter, loaded once; `complaints` are those of its script."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(milliseconds(30))
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(lab.format(notebook(CHAPTERS[0]).name))
    page.wait_for_function(IN_FRONT, arg=notebook(CHAPTERS[0]).name, timeout=milliseconds(60))
    yield page
    page.close()


@pytest.fixture
def page(opened_lab, chapter):
    """The chapter, open, and its cells just run that are to be run"""
    name, places = notebook(chapter).name, to_run(chapter)
    opened_lab.evaluate(OPENED, name)
    opened_lab.wait_for_function(IN_FRONT, arg=name)
    # careful: commands given before the kernel is idle do nothing
    opened_lab.wait_for_function(KERNEL_IDLE, timeout=milliseconds(90))
    opened_lab.evaluate(RUN, places)
    opened_lab.wait_for_function(ALL_RUN_OR_ONE_FAILED, arg=places, timeout=milliseconds(180))
    yield opened_lab
    opened_lab.evaluate(CLOSED)


def to_run(chapter: str) -> list[int]:
    """Places of the code cells that are run, among all cells of the notebook"""
    places = [place for place, cell in enumerate(cells(chapter)) if cell["cell_type"] == "code"]
    return places if chapter == WHOLE else needed(chapter, places)


def needed(chapter: str, places: list[int]) -> list[int]:
    """Places of the first cell that shows sliders, and of those that define what it needs"""
    sources = {place: "".join(cells(chapter)[place]["source"]) for place in places}
    shown = next(place for place in places if "sliders" in shown_text(cells(chapter)[place]))
    chosen, names = [shown], used_and_defined(sources[shown])[0]
    for place in reversed([place for place in places if place < shown]):
        used, defined = used_and_defined(sources[place])
        if names & defined:
            chosen, names = [place, *chosen], names | used
    return chosen


def shown_text(cell: dict) -> str:
    """Of an output that the file can only describe, as it does sliders"""
    shown = [output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join(map("".join, shown))


def used_and_defined(source: str) -> tuple[set[str], set[str]]:
    used, defined = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, ast.alias):
            defined.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
    return used, defined


@every_chapter
def test_a_notebook_runs_in_a_browser_and_its_slider_changes_the_picture(page, chapter):
    outputs = page.evaluate(OUTPUTS)
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert errors == []
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    painted = sum("image/png" in output.get("data", {}) for output in outputs)
    assert page.locator(".jp-RenderedImage img").count() == painted
    if chapter == WHOLE:
        assert last_words(outputs) == last_words(stored_outputs(chapter)) and painted >= 2

    box = page.locator(".widget-vbox:has(> .widget-image)").first
    picture, words = box.locator("> .widget-image"), box.locator("> .widget-label")
    before = picture.get_attribute("src"), words.inner_text()
    handle = box.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    handle.press("ArrowRight")
    page.wait_for_function(MOVED, arg=[box.element_handle(), *before], timeout=milliseconds(60))
    assert picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 100
    assert page.complaints == []
    if folder := os.environ.get("SCREENSHOTS"):  # to look at what the browser shows
        photograph(page, Path(folder) / chapter)


def cells(chapter: str) -> list[dict]:
    return json.loads(notebook(chapter).read_text(encoding="utf-8"))["cells"]


def stored_outputs(chapter: str) -> list[dict]:
    return [output for cell in cells(chapter) for output in cell.get("outputs", ())]


def last_words(outputs: list[dict]) -> str:
    """What is printed last of all, of which the file keeps a list of lines and Lab a text."""
    printed = [output["text"] for output in outputs if output["output_type"] == "stream"]
    return "".join(printed[-1])


def photograph(page, folder: Path) -> None:
    """One picture of each cell with what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, cell in enumerate(page.locator(".jp-Notebook .jp-Cell").all()):
        cell.scroll_into_view_if_needed()
        cell.screenshot(path=folder / f"{i:02}.png")


def test_slides_turn_by_the_arrow_keys_fit_the_screen_and_fetch_nothing(browser, tmp_path):
    content = nbformat.read(notebook("08"), as_version=4)
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    deck = tmp_path / "deck.html"
    pixel = '<svg width="900" height="500"></svg>'  # a picture's place
    deck.write_text(slides.deck(content, lambda i: pixel), encoding="utf-8")
    page.goto(deck.as_uri())
    sizes = "[...document.querySelectorAll('section')].map(s => s.scrollHeight - s.clientHeight)"
    assert max(page.evaluate(sizes)) <= 2
    page.keyboard.press("ArrowRight")
    page.wait_for_function("Math.round(scrollY / innerHeight) === 1", timeout=milliseconds(10))
    assert fetched == [deck.as_uri()]
    page.close()
