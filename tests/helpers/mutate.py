"""Change one thing in a file and see whether a test fails: `make mutate FILE=... N=... SEED=...`

Each mutant is tried in a forked process that has imported torch and the reference libraries but
none of our own modules. There the changed source stands in for the file when it is imported; the
file itself is never written, so the working tree may be used meanwhile. What a test starts as a
process of its own sees the unchanged file.

The table is data/measurements/mutation.json. A survivor that means the same as the original gets
its reason there by hand, as "same": "why"; it is then left out of the rate.
"""

import argparse
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from .code_mutants import Mutant, mutants_of
from .speed import cpu_seconds, wall_seconds

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "data" / "measurements" / "mutation.json"
SECONDS = 180  # of processor time; the tests of a room take up to a minute
# where a file's own tests are not all of its room's, quick ones first
TESTS = {
    "bpe.py": "model/test_bpe.py model/test_tokenizer*.py",
    "tokenizer.py": "model/test_tokenizer*.py model/test_config.py",
    "tokenizer_files.py": "model/test_tokenizer*.py",
    "config.py": "model/test_config.py checkpoint/test_damage.py",
    "config_checks.py": "model/test_config.py checkpoint/test_damage.py",
    "conditions.py": "model/test_conditions.py model/test_pipeline.py",
    "rope.py": "model/test_rope.py parity/test_parity.py",
    "sampler.py": "model/test_sampler.py",
    "mmdit.py": "model/test_norms.py parity/test_parity.py model/test_shapes.py "
    "model/test_devices.py",
    "text_encoder.py": "model/test_text_encoder.py model/test_norms.py parity/test_parity.py "
    "model/test_shapes.py model/test_pipeline.py",
    "vision.py": "model/test_vision*.py",
    "vae.py": "model/test_norms.py model/test_vae.py model/test_shapes.py parity/test_parity.py",
    "pipeline.py": "model/test_prompts.py model/test_pipeline.py model/test_memory.py "
    "adapt/test_streaming.py",
    "files.py": "checkpoint",
    "load.py": "model/test_pipeline.py formats adapt/test_streaming.py",
    "adapt/streaming.py": "adapt/test_read_ahead.py adapt/test_streaming.py",
    "adapt/lora.py": "adapt/test_lora*.py",
    "formats/fp8.py": "formats/test_fp8*.py model/test_shapes.py",
    "formats/gguf.py": "formats/test_gguf*.py",
    "formats/gguf_blocks.py": "formats/test_gguf*.py",
    "formats/gguf_container.py": "formats/test_gguf*.py",
    "formats/single_file.py": "formats/test_single_file.py",
    "train/captions.py": "train/test_captions.py train/test_dataset.py",
    "train/dataset.py": "train/test_dataset.py train/test_pictures.py train/test_train_lora.py",
    "train/flow.py": "train/test_flow.py train/test_train_lora.py",
    "train/loop.py": "train/test_loop.py train/test_state.py",
}


def tests_of(file: Path) -> list[str]:
    """The tests that are run for a file of the package: by the table, or its room's folder."""
    name = file.relative_to(ROOT / "qwenimage_ref").as_posix()
    listed = TESTS.get(name, name.split("/")[0] if "/" in name else "model").split()
    return [
        path.relative_to(ROOT).as_posix()
        for pattern in listed
        for path in sorted((ROOT / "tests").glob(pattern))
    ]


def in_place_of(file: Path, source: str) -> None:
    """From now on `file` is imported as if it held `source`."""
    read = importlib.machinery.SourceFileLoader.get_data
    cached = importlib.machinery.SourceFileLoader.path_stats

    def get_data(self, path):
        return source.encode() if path == str(file) else read(self, path)

    def path_stats(self, path):
        if path == str(file):
            raise OSError("the cached bytecode is of the unchanged source")
        return cached(self, path)

    importlib.machinery.SourceFileLoader.get_data = get_data
    importlib.machinery.SourceFileLoader.path_stats = path_stats


def _child(file: Path, source: str, tests: list[str]) -> None:
    """Run the tests on the changed source; the process ends with pytest's status."""
    import pytest

    os.setsid()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    limit = int(cpu_seconds(SECONDS))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    in_place_of(file, source)
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # notebooks' plugins take a second to load
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", *tests]))


def fails(file: Path, source: str, tests: list[str]) -> bool:
    """Whether a test fails, crashes or hangs when `file` holds `source`."""
    child = os.fork()
    if child == 0:
        try:
            _child(file, source, tests)
        finally:
            os._exit(3)
    give_up = time.monotonic() + wall_seconds(SECONDS)
    while time.monotonic() < give_up:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def sample(source: str, count: int, seed: int) -> list[Mutant]:
    """`count` mutants drawn without replacement, in the order of the text; all, if fewer exist."""
    every = mutants_of(source)
    return sorted(random.Random(seed).sample(every, min(count, len(every))))


def survivors(file: Path, chosen: list[Mutant], tests: list[str]) -> list[Mutant]:
    """The mutants that no test notices."""
    source = file.read_text(encoding="utf-8")
    alive = []
    for number, mutant in enumerate(chosen, 1):
        killed = fails(file, mutant.applied(source), tests)
        change = f"{mutant.before!r} -> {mutant.after!r}"
        print(f"{number}/{len(chosen)} {'killed' if killed else 'SURVIVED'} "
              f"line {mutant.line}: {change}", flush=True)  # fmt: skip
        if not killed:
            alive.append(mutant)
    return alive


def record(name: str, seed: int, drawn: int, alive: list[Mutant]) -> dict:
    """Put one file's result into the table, with the reasons that were given before."""
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"files": {}}
    before = table["files"].get(name, {}).get("survivors", [])
    reasons = {(s["before"], s["after"]): s["same"] for s in before if "same" in s}
    listed = [{"line": m.line, "before": m.before, "after": m.after} for m in alive]
    for row in listed:
        if reason := reasons.get((row["before"], row["after"])):
            row["same"] = reason
    table["files"][name] = {"seed": seed, "drawn": drawn, "survivors": listed}
    table["files"] = dict(sorted(table["files"].items()))
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return table["files"][name]


def rate(row: dict) -> tuple[int, int]:
    """Killed mutants and those that mean something else than the original."""
    same = sum("same" in survivor for survivor in row["survivors"])
    return row["drawn"] - len(row["survivors"]), row["drawn"] - same


def _import_libraries() -> None:
    """What every child would import again; our own modules come after the fork."""
    import gguf  # noqa: F401
    import torch
    from diffusers import QwenImagePipeline  # noqa: F401
    from diffusers.models import transformers  # noqa: F401

    torch.set_num_threads(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate")
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    file = options.file.resolve()
    source, tests = file.read_text(encoding="utf-8"), tests_of(file)
    _import_libraries()
    if fails(file, source, tests):
        print(f"{' '.join(tests)} must pass on the unchanged file; run them first", file=sys.stderr)
        return 2
    chosen = sample(source, options.count, options.seed)
    name = file.relative_to(ROOT).as_posix()
    row = record(name, options.seed, len(chosen), survivors(file, chosen, tests))
    print("{}: {} of {} killed".format(name, *rate(row)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
