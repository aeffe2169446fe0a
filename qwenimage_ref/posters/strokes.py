"""Twenty-four Chinese characters of straight strokes, drawn from our own table: no font is shipped.

Training shows the eight of each level ten times as often as those of the next, as the report's
ChineseWord benchmark has three levels of characters by how common they are. Every level holds
simple and complicated ones alike, so that a difference between levels is one of frequency.
"""

from PIL import ImageDraw

CELL = 24  # pixels, the side of a character's square
ADVANCE = 26  # pixels from one character to the next
THICK = 3.5  # pixels; thinner strokes fall into specks when a picture is compressed

LEVELS = ("大中山日上木三水", "人田小下王米二十", "口天工土生文火一")
CHARACTERS = "".join(LEVELS)

# middle lines in pixels of the cell, x0 y0 x1 y1; y points down
STROKES = {
    "一": ((2, 12, 22, 12),),
    "二": ((4, 6, 20, 6), (2, 19, 22, 19)),
    "三": ((3, 4, 21, 4), (4, 12, 20, 12), (2, 20, 22, 20)),
    "十": ((2, 11, 22, 11), (12, 2, 12, 22)),
    "口": ((4, 5, 20, 5), (4, 5, 4, 20), (20, 5, 20, 20), (4, 20, 20, 20)),
    "日": ((6, 3, 18, 3), (6, 3, 6, 21), (18, 3, 18, 21), (6, 12, 18, 12), (6, 21, 18, 21)),
    "田": ((3, 4, 21, 4), (3, 4, 3, 21), (21, 4, 21, 21), (3, 12.5, 21, 12.5), (12, 4, 12, 21),
          (3, 21, 21, 21)),
    "中": ((3, 7, 21, 7), (3, 7, 3, 15), (21, 7, 21, 15), (3, 15, 21, 15), (12, 2, 12, 22)),
    "山": ((12, 3, 12, 20), (3, 9, 3, 20), (21, 9, 21, 20), (3, 20, 21, 20)),
    "上": ((11, 2, 11, 21), (11, 10, 19, 10), (2, 21, 22, 21)),
    "下": ((2, 4, 22, 4), (11, 4, 11, 22), (11, 10, 18, 15)),
    "工": ((4, 4, 20, 4), (12, 4, 12, 20), (2, 20, 22, 20)),
    "王": ((3, 4, 21, 4), (4, 12, 20, 12), (12, 4, 12, 20), (2, 20, 22, 20)),
    "土": ((5, 9, 19, 9), (12, 2, 12, 20), (2, 20, 22, 20)),
    "大": ((2, 9, 22, 9), (12, 2, 12, 10), (12, 10, 3, 22), (12, 10, 21, 22)),
    "人": ((12, 2, 12, 10), (12, 10, 3, 22), (12, 10, 21, 22)),
    "木": ((2, 8, 22, 8), (12, 2, 12, 22), (12, 9, 3, 19), (12, 9, 21, 19)),
    "小": ((12, 2, 12, 22), (7, 7, 2, 18), (17, 7, 22, 18)),
    "天": ((4, 3, 20, 3), (2, 11, 22, 11), (12, 3, 12, 12), (12, 12, 3, 22), (12, 12, 21, 22)),
    "文": ((12, 2, 12, 7), (2, 7, 22, 7), (18, 7, 4, 22), (6, 7, 20, 22)),
    "生": ((6, 3, 3, 10), (6, 7, 20, 7), (12, 2, 12, 21), (5, 14, 19, 14), (2, 21, 22, 21)),
    "米": ((2, 12, 22, 12), (12, 2, 12, 22), (5, 4, 11, 11), (19, 4, 13, 11), (12, 13, 4, 21),
          (12, 13, 20, 21)),
    "水": ((12, 2, 12, 22), (3, 7, 9, 7), (9, 7, 3, 19), (20, 5, 12, 11), (12, 10, 21, 20)),
    "火": ((12, 2, 12, 10), (12, 10, 3, 22), (12, 10, 21, 22), (3, 6, 8, 14), (21, 6, 16, 14)),
}  # fmt: skip


def level_of(character: str) -> int:
    """0 for the common ones, 1 for those ten times rarer, 2 for those a hundred times rarer."""
    return next(i for i, level in enumerate(LEVELS) if character in level)


def draw_character(pen: ImageDraw.ImageDraw, character, left, top, ink, scale: int) -> None:
    """Draw one character whose cell starts at `left`, `top` in pixels, on a canvas `scale` larger.

    A stroke is a bar with square ends, which reach half its thickness beyond the table's points.
    """
    for x0, y0, x1, y1 in STROKES[character]:
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        dx, dy = (x1 - x0) / length * THICK / 2, (y1 - y0) / length * THICK / 2
        corners = (
            (x0 - dx - dy, y0 - dy + dx),
            (x0 - dx + dy, y0 - dy - dx),
            (x1 + dx + dy, y1 + dy - dx),
            (x1 + dx - dy, y1 + dy + dx),
        )
        pen.polygon([((left + x) * scale, (top + y) * scale) for x, y in corners], ink)
