"""Best of N: many pictures of a caption, of which a judge keeps one. What do more pictures buy?

    python -m qwenimage_ref.evaluate.best_of     resumes if interrupted

Every held-out caption is painted from 16 noises in few steps, so that some come out wrong. Then the
keeping is computed for every N at once and for judges that see more or less: the exact reader; the
same reader with noise on its marks; and one that looks at the shapes alone and never at the word.
Beside what the kept pictures are worth stands what their judge takes them to be worth: the more
pictures it may choose from, the more it finds those that it errs about. The record goes to
data/measurements/best_of.json.
"""

import math
import random
import sys

from tqdm import tqdm

from ..posters.read import score
from ..posters.reward import mark
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .held_out import square_trials
from .intervals import mean_interval
from .score import Trial
from .survey import Progress, survey_command, terms_of

RECORD = MEASUREMENTS / "best_of.json"
POOL = 16  # pictures of each caption
NUMBERS = (1, 2, 4, 8, 16)  # pictures that a judge chooses from
STEPS, GUIDANCE = 6, 4.0
NOISES = (0.1, 0.3)  # standard deviations on the reader's marks, which lie between 0 and 1
SEEN = ("count", "shapes", "colours")  # questions of the judge that never looks at words
SEED = 5_000  # first seed of a caption's noises


def marks_of(trial: Trial, picture) -> dict[str, float]:
    """A picture -> its mark by the exact reader, and by the judge of shapes alone, 0 to 1"""
    result = score(trial.scene, picture)
    return {"exact": mark(result), "shapes alone": sum(result[name] for name in SEEN) / len(SEEN)}


def judgements(exact: list[float], shapes: list[float], seed: int) -> dict[str, list[float]]:
    """The marks of one caption's pictures by every judge"""
    judges = {"the exact reader": exact, "shapes alone": shapes}
    for noise in NOISES:
        rng = random.Random(f"{noise} {seed}")
        judges[f"noise of {noise}"] = [mark + rng.gauss(0, noise) for mark in exact]
    return judges


def kept(worth: list[float], judged: list[float], number: int, seed: int = 0) -> float:
    """What the picture is worth on average that a judge keeps of `number` drawn from the pool

    Over all choices of so many at once: the k-th best of the pool is kept if none of the better
    ones was drawn. Equal marks are ordered at random. Raises ValueError for a larger number than
    there are pictures.
    """
    size = len(worth)
    if not 1 <= number <= size:
        raise ValueError(f"number must be 1 to {size}, got {number}")
    rng = random.Random(f"order {seed}")
    order = sorted(range(size), key=lambda i: (-judged[i], rng.random()))
    ways = [math.comb(size - 1 - place, number - 1) for place in range(size)]
    return sum(way * worth[i] for way, i in zip(ways, order)) / math.comb(size, number)


def curves(pools: list[dict[str, list[float]]]) -> list[dict]:
    """A row for each judge and number: what is kept is worth, and what the judge takes it for"""
    every = [judgements(pool["exact"], pool["shapes alone"], i) for i, pool in enumerate(pools)]
    rows = []
    for judge in every[0]:
        for number in NUMBERS:
            drawn = [(p["exact"], j[judge], number, i)
                     for i, (p, j) in enumerate(zip(pools, every))]  # fmt: skip
            perfect = [[float(mark == 1.0) for mark in pool["exact"]] for pool in pools]
            whole = [kept(right, each[1], *each[2:]) for right, each in zip(perfect, drawn)]
            rows.append({
                "judge": judge,
                "number": number,
                "worth": mean_interval([kept(*each) for each in drawn]),
                "believed": mean_interval([kept(each[1], *each[1:]) for each in drawn]),
                "all right": mean_interval(whole),
            })  # fmt: skip
    return rows


def paint_pool(pipe, trial: Trial, number: int) -> dict[str, list[float]]:
    """All pictures of a caption -> their marks"""
    seeds = [SEED + POOL * number + i for i in range(POOL)]
    width, height = trial.scene.size
    pictures = pipe([trial.prompt] * POOL, " ", GUIDANCE, height, width, STEPS, seeds)
    marks = [marks_of(trial, picture) for picture in pictures]
    return {name: [round(mark[name], 4) for mark in marks] for name in marks[0]}


def paint_pools(pipe, trial_list: list[Trial]) -> dict[str, list]:
    bar = tqdm(enumerate(trial_list), total=len(trial_list), unit="caption")
    return {"pools": [paint_pool(pipe, trial, number) for number, trial in bar]}


def survey(pipe, captions: int, file) -> dict:
    """Paint every pool and write the record to `file`. Returns it."""
    terms, part = terms_of(pipe, captions), 10
    progress, trial_list = Progress(file, terms), square_trials(captions)
    for first in range(0, captions, part):
        some = trial_list[first : first + part]
        progress.measure(f"captions {first}", paint_pools, pipe, some)
    pools = [
        pool for first in range(0, captions, part)
        for pool in progress.results[f"captions {first}"]["pools"]
    ]  # fmt: skip
    record = terms | {"rows": curves(pools), "pools": pools}
    write_record(record, file)
    progress.file.unlink()
    return record


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("best_of", 100, RECORD, terms_of, survey, arguments)


if __name__ == "__main__":
    sys.exit(main())
