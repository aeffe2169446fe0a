"""What is left over is spread among the first."""


def answer(rows, processes, rank):
    each, more = divmod(rows, processes)
    return rank * each + min(rank, more), each + (rank < more)


HINT = "spread what is left over"
