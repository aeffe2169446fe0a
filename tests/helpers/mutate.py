"""Change one thing in a file and see whether a test fails: `make mutate FILE=... N=... SEED=...`

Each mutant is tried in a forked process that has imported torch and the reference libraries but
none of our own modules. There the changed source stands in for the file when it is imported; the
file itself is never written, so the working tree may be used meanwhile. What a test starts as a
process of its own sees the unchanged file. The tests that run the changed line come first, and the
first failure ends the attempt.

The table is data/measurements/mutation.json, a row for each file, seed and commit. A survivor that
means the same as the original gets its reason there by hand, as "same": "why"; it is then left out
of the rate.
"""

import argparse
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from . import speed
from .attempts import Limit, attempt
from .code_mutants import Mutant, mutants_of
from .covering import Order, Recorder, Watched
from .order import file_of

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "data" / "measurements" / "mutation.json"
SECONDS = 600  # of processor time, for the tests on the unchanged source
PATIENCE = 3  # times as long for a change, which may be slower and still end
SPARE = 20  # seconds to import and collect
# where a file's own tests are not all of its room's, quick ones first
TESTS = {
    "bpe.py": "model/test_bpe.py model/test_tokenizer*.py",
    "tokenizer.py": "model/test_tokenizer*.py model/test_config.py",
    "tokenizer_files.py": "model/test_tokenizer*.py",
    "config.py": "model/test_config.py checkpoint/test_damage.py",
    "config_checks.py": "model/test_config.py checkpoint/test_damage.py",
    "conditions.py": "model/test_condition*.py model/test_pipeline.py tasks/test_edit*.py",
    "rope.py": "model/test_rope.py parity/test_parity.py",
    "sampler.py": "model/test_sampler.py",
    "mmdit.py": "model/test_norms.py parity/test_parity.py model/test_shapes.py "
    "model/test_devices.py",
    "text_encoder.py": "model/test_text_encoder.py model/test_norms.py parity/test_parity.py "
    "model/test_shapes.py model/test_devices.py model/test_pipeline.py",
    "vision.py": "model/test_vision*.py model/test_devices.py",
    "vae.py": "model/test_norms.py model/test_vae.py model/test_shapes.py model/test_devices.py "
    "parity/test_parity.py",
    "pipeline.py": "model/test_prompts.py model/test_conditions.py model/test_pipeline.py "
    "model/test_memory.py model/test_devices.py adapt/test_streaming.py "
    "tasks/test_image_to_image.py tasks/test_inpaint.py tasks/test_regional_pictures.py",
    "files.py": "checkpoint",
    "load.py": "model/test_pipeline.py adapt/test_streaming*.py checkpoint/test_edit_folders.py "
    "checkpoint/test_layered_folders.py model/test_devices.py formats/test_fp8*.py "
    "formats/test_single_file*.py",
    "adapt/streaming.py": "adapt/test_read_ahead.py adapt/test_streaming*.py "
    "formats/test_fp8_streamed.py",
    "adapt/lora.py": "adapt/test_lora*.py",
    "adapt/lora_dialects.py": "adapt/test_lora_*.py",
    "adapt/lora_files.py": "adapt/test_lora*.py",
    "adapt/lora_layers.py": "adapt/test_lora*.py",
    "adapt/lora_settings.py": "adapt/test_lora_*.py",
    "checkpoint/fill.py": "checkpoint/test_fill.py checkpoint/test_save_and_load.py "
    "checkpoint/test_damage.py adapt/test_streaming.py formats/test_fp8*.py",
    "checkpoint/headers.py": "checkpoint/test_headers.py checkpoint/test_damage.py "
    "checkpoint/test_save_and_load.py checkpoint/test_verify.py",
    "checkpoint/shards.py": "checkpoint/test_shards.py checkpoint/test_stored_form.py "
    "checkpoint/test_save_and_load.py",
    "checkpoint/stored_form.py": "checkpoint/test_stored_form.py "
    "checkpoint/test_save_and_load.py checkpoint/test_damage.py",
    "checkpoint/verify.py": "checkpoint/test_ver*.py checkpoint/test_edit_folders.py",
    "formats/fp8.py": "formats/test_fp8*.py model/test_shapes.py",
    "formats/gguf.py": "formats/test_gguf*.py",
    "formats/gguf_blocks.py": "formats/test_gguf*.py",
    "formats/gguf_container.py": "formats/test_gguf*.py",
    "formats/single_file.py": "formats/test_single_file*.py",
    "train/captions.py": "train/test_captions.py train/test_dataset.py",
    "train/dataset.py": "train/test_dataset.py train/test_columns.py train/test_conditioning.py "
    "train/test_pictures.py train/test_train_lora.py",
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


class Saved(Recorder):
    """A recorder whose notes outlive the process that ran the tests."""

    def __init__(self, files: list[Path], place: Path):
        super().__init__([str(file) for file in files])
        self.place = place

    def pytest_sessionfinish(self):
        self.place.write_bytes(pickle.dumps(tuple(self.watched())))


def watch(files: list[Path], tests: list[str]) -> tuple[Watched, float] | None:
    """Which tests run which lines, and wall time over processor time; None if a test fails."""
    # watched lines are several times slower, which tests that limit their time must allow
    slower = str(10 * speed.cpu_seconds(1))
    limit = Limit(speed.cpu_seconds(SECONDS), speed.wall_seconds(SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        place, before = Path(folder) / "watched", os.environ[speed.CPU]
        os.environ[speed.CPU] = slower
        outcome = attempt({}, tests, limit, Saved(files, place))
        os.environ[speed.CPU] = before
        if outcome.failed:
            return None
        return Watched(*pickle.loads(place.read_bytes())), max(1, outcome.wall / outcome.cpu)


def limit_of(tests: list[str], watched: Watched, load: float) -> Limit:
    """How long some test files may take with a change, by what they took without."""
    each = watched.seconds.items()
    cpu = speed.cpu_seconds(SPARE) + PATIENCE * sum(s for name, s in each if file_of(name) in tests)
    return Limit(cpu, cpu * load * speed.SPARE)  # load that begins later is allowed for


def sample(source: str, count: int, seed: int) -> list[Mutant]:
    """`count` mutants drawn without replacement, in the order of the text; all, if fewer exist."""
    every = mutants_of(source)
    return sorted(random.Random(seed).sample(every, min(count, len(every))))


def survivors(file: Path, chosen: list[Mutant], watched: Watched, load: float) -> list[Mutant]:
    """The mutants that no test notices."""
    source, tests = file.read_text(encoding="utf-8"), tests_of(file)
    limit = limit_of(tests, watched, load)
    alive = []
    for number, mutant in enumerate(chosen, 1):
        first = watched.running(str(file), range(mutant.line, mutant.end_line + 1))
        changed = {file: mutant.applied(source)}
        outcome = attempt(changed, tests, limit, Order(watched, first))
        verdict = "killed" if outcome.failed else "SURVIVED"
        change = f"{mutant.before!r} -> {mutant.after!r}"
        print(f"{number}/{len(chosen)} {verdict} line {mutant.line}: {change} "
              f"({len(first)} tests run it, {outcome.wall:.1f} s)", flush=True)  # fmt: skip
        if not outcome.failed:
            alive.append(mutant)
    return alive


def record(name: str, draw: dict, alive: list[Mutant]) -> dict:
    """Put one file's draw into the table, with the reasons that were given before -> the row

    draw: its "seed", "commit", "machine" and the number "drawn".
    """
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"files": {}}
    rows = table["files"].setdefault(name, [])
    known = [survivor for row in rows for survivor in row["survivors"] if "same" in survivor]
    reasons = {(s["before"], s["after"], s["line"]): s["same"] for s in known}
    listed = [{"line": m.line, "before": m.before, "after": m.after} for m in alive]
    for survivor in listed:
        if reason := reasons.get((survivor["before"], survivor["after"], survivor["line"])):
            survivor["same"] = reason
    row = draw | {"killed": draw["drawn"] - len(alive), "survivors": listed}
    again = ("seed", "commit", "machine")
    rows[:] = [old for old in rows if any(old[key] != row[key] for key in again)] + [row]
    table["files"] = dict(sorted(table["files"].items()))
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return row


def rate(row: dict) -> tuple[int, int]:
    """Killed mutants and those that mean something else than the original."""
    return row["killed"], row["drawn"] - sum("same" in survivor for survivor in row["survivors"])


def _provenance() -> dict:
    """Commit and machine, from a process of its own: this one must not import our modules."""
    code = (
        "import json; from qwenimage_ref.provenance import provenance as p; print(json.dumps(p()))"
    )
    line = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    whole = json.loads(line.stdout)
    return {"commit": whole["commit"], "machine": whole["machine"]["processor"]}


def _import_libraries() -> None:
    """What every child would import again; our own modules come after the fork."""
    import gguf  # noqa: F401
    import torch
    from diffusers import QwenImagePipeline  # noqa: F401
    from diffusers.models import transformers  # noqa: F401

    torch.set_num_threads(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    files = [file.resolve() for file in options.files]
    where = _provenance()
    _import_libraries()
    tests = list(dict.fromkeys(test for file in files for test in tests_of(file)))
    seen = watch(files, tests)
    if seen is None:
        print(f"{' '.join(tests)} must pass on the unchanged file; run them first", file=sys.stderr)
        return 2
    for file in files:
        chosen = sample(file.read_text(encoding="utf-8"), options.count, options.seed)
        name = file.relative_to(ROOT).as_posix()
        draw = {"seed": options.seed, **where, "drawn": len(chosen)}
        row = record(name, draw, survivors(file, chosen, *seen))
        print("{}: {} of {} killed".format(name, *rate(row)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
