"""The results of this room as lines of text."""

COLUMNS = f"{'':36} right    of    share   95 % interval"


def shares(rows: dict) -> list[str]:
    """{question: result of intervals.interval} -> a heading and a line for each"""
    return [COLUMNS, *(share(name, row) for name, row in rows.items())]


def share(name: str, row: dict) -> str:
    percent = "     -" if row["share"] is None else f"{100 * row['share']:5.1f}%"
    return f"{name:36} {row['right']:5} {row['of']:5}   {percent}   {_bounds(row)}"


def words(rows: dict) -> list[str]:
    """The result of text_accuracy.measure; the edit distance is 1 where every character is right"""
    lines = [f"{COLUMNS}   edit distance"]
    for name, row in rows.items():
        alike = row["ned"]
        bounds = f"{alike['low']:.3f} to {alike['high']:.3f}"
        lines.append(f"{share(name, row['accuracy'])}   {alike['mean']:.3f} ({bounds})")
    return lines


def pairs(rows: dict) -> list[str]:
    lines = ["Chinese less English, the same scenes and noise, in points"]
    for name, row in rows.items():
        bounds = f"{100 * row['low']:+5.1f} to {100 * row['high']:+5.1f}"
        lines.append(f"{name:36}       {row['of']:5}   {100 * row['difference']:+5.1f}    {bounds}")
    return lines


def copies(rows: dict, what: str = "VAE on true posters") -> list[str]:
    """{kind of picture: {"psnr", "ssim"}, each a result of intervals.mean_interval}"""
    lines = [f"{what:42}    of    PSNR in dB              SSIM"]
    for kind, row in rows.items():
        decibels, similarity = row["psnr"], row["ssim"]
        lines.append(
            f"{kind:36}       {decibels['of']:5}   {decibels['mean']:5.1f}"
            f" ({decibels['low']:.1f} to {decibels['high']:.1f})    {similarity['mean']:.4f}"
            f" ({similarity['low']:.4f} to {similarity['high']:.4f})"
        )
    return lines


def _bounds(row: dict) -> str:
    return f"{100 * row['low']:5.1f} to {100 * row['high']:5.1f}"


def within(row: dict, sign: str = "") -> str:
    """A share, mean or difference in per cent with its interval, for example "12 (5 to 20)"

    sign: "+" for a difference, so that it shows whether it is more or less.
    """
    middle = next(row[key] for key in ("share", "difference", "mean") if key in row)
    if middle is None:
        return "none"
    low, high = (f"{100 * row[key]:{sign}.0f}" for key in ("low", "high"))
    return f"{100 * middle:{sign}.0f} ({low} to {high})"
