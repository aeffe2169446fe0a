"""Chapter 36: work split over processes."""


def EX_36_ROWS(rows: int, processes: int, rank: int) -> tuple[int, int]:
    """All shares are as long as the first, as far as the rows last."""
    each = -(-rows // processes)
    first = min(rank * each, rows)
    return first, min(each, rows - first)


def EX_36_SCATTER(gradients: list) -> list:
    """Each process gets its rows of the mean."""
    mean = sum(gradients) / len(gradients)
    return list(mean.chunk(len(gradients)))


def EX_36_FEWEST(parameters: int, block: int, memory: float) -> int | None:
    """Twenty bytes a weight are divided, ten for each weight of a block are not."""
    import math

    left = memory - 10 * block
    return math.ceil(20 * parameters / left) if left > 0 else None


SPOILERS = {
    "ex_36_rows": {"ceil", "min"},
    "ex_36_scatter": {"chunk", "split"},
    "ex_36_fewest": {"20", "10", "ceil"},
}
