"""Notebook 00 as a reader meets it: in JupyterLab, in a real browser, with a hand on a slider."""

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

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "00_a_picture_in_sixty_seconds.ipynb"
LAST_WORDS = "40 runs; 4096 numbers in the latents: ok"  # what the last code cell prints
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

pytestmark = [pytest.mark.browser, pytest.mark.timeout(280)]


def missing(what: str):
    """On a reader's machine the test may be left out; where it must run, that is a failure."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what}; the browser test was not run")


@pytest.fixture
def browser():
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        missing("there is no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable, args=QUIET + root)


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab over a copy of the notebook, with settings of its own."""
    course = tmp_path / "course"
    course.mkdir()
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, course)  # Lab saves what it has run
    for name, content in SETTINGS.items():
        file = tmp_path / "settings" / f"{name}.jupyterlab-settings"
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
    env = os.environ | {key: str(tmp_path / name) for key, name in folders.items()}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={course}"),
        "--expose-app-in-browser",
    ]
    log = tmp_path / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=out, stderr=out)
        try:
            wait_until_up(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, log)
            yield f"http://127.0.0.1:{port}/lab/tree/{NOTEBOOK}?reset&token={TOKEN}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def wait_until_up(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


def run_all(page) -> None:
    # careful: commands given before the kernel is idle do nothing
    page.wait_for_function(KERNEL_IDLE, timeout=90_000)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    page.get_by_text(LAST_WORDS).wait_for(timeout=180_000)


def test_the_first_notebook_runs_in_a_browser_and_its_slider_repaints(browser, lab):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(lab)
    run_all(page)

    outputs = page.evaluate(OUTPUTS)
    kinds = {output["output_type"] for output in outputs}
    assert "error" not in kinds, [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    painted = sum("image/png" in output.get("data", {}) for output in outputs)
    assert page.locator(".jp-RenderedImage img").count() == painted >= 5

    picture = page.locator(".widget-image")
    words = page.locator(".widget-label", has_text="20 steps, guidance 4")
    before = picture.get_attribute("src"), words.inner_text()
    assert before[1].startswith("seed 0,")
    handle = page.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    handle.press("ArrowRight")
    page.locator(".widget-label", has_text="seed 1, 20 steps, guidance 4").wait_for(timeout=60_000)
    assert picture.get_attribute("src") != before[0]
    assert complaints == []
    if folder := os.environ.get("SCREENSHOTS"):  # to look at what the browser shows
        photograph(page, Path(folder))


def photograph(page, folder: Path) -> None:
    """One picture of each cell with what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, cell in enumerate(page.locator(".jp-Notebook .jp-Cell").all()):
        cell.scroll_into_view_if_needed()
        cell.screenshot(path=folder / f"{i:02}.png")
