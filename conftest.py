"""What tests and notebooks share: an environment, limits that fit the machine, long files first."""

import gc
import os
import shutil
import tempfile

import pytest

# careful: read at import. One thread each, because two test processes share two cores; offline,
# because a test that needs the network fails on somebody's train.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# what is imported and collected stays: the collector would go through it again and again
gc.disable()

# seconds after which a notebook's cell, a starting kernel and an output on its way count as hung
CELL_SECONDS, KERNEL_SECONDS, OUTPUT_SECONDS = 120, 60, 5
ROOM = 1_000_000_000  # bytes for temporary files, which pass away with their tests


def choose_temporary_folder() -> None:
    """Memory takes the temporary files of a full disk; without room there either, the run ends."""
    usual = tempfile.gettempdir()
    for folder in (usual, "/dev/shm"):
        if os.path.isdir(folder) and shutil.disk_usage(folder).free >= ROOM:
            os.environ["TMPDIR"] = tempfile.tempdir = folder
            return
    pytest.exit(
        f"temporary files need {ROOM / 1e9:.0f} GB in {usual}, "
        f"{shutil.disk_usage(usual).free / 1e9:.1f} are free; set TMPDIR to another folder",
        returncode=pytest.ExitCode.USAGE_ERROR,
    )


def pytest_addoption(parser):
    parser.addoption("--durations-record", action="store_true", help="write tests/durations.json")


@pytest.hookimpl(tryfirst=True)  # pytest-timeout copies its setting when it is configured
def pytest_configure(config):
    from helpers import order, speed

    # workers inherit the folder and the measured speed through the environment
    worker = hasattr(config, "workerinput")
    if not worker:
        choose_temporary_folder()
    if config.option.timeout is None:
        config.option.timeout = speed.wall_seconds(float(config.getini("timeout")))
    config.option.nbval_cell_timeout = speed.wall_seconds(CELL_SECONDS)
    config.option.nbval_kernel_startup_timeout = speed.wall_seconds(KERNEL_SECONDS)
    config.option.loadscopereorder = False  # xdist would begin with the files of most tests
    if config.option.durations_record and not worker:
        config.pluginmanager.register(order.Recorder())


def pytest_collection_modifyitems(items):
    from helpers import order, speed

    order.long_files_first(items)
    for item in items:
        if hasattr(item, "output_timeout"):  # a cell's: nbval has no option for it
            item.output_timeout = speed.wall_seconds(OUTPUT_SECONDS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    gc.enable()
    gc.collect()
    gc.freeze()  # from here on, the collector looks only through what tests make
