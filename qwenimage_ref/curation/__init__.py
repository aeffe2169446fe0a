"""From pictures with captions as they come to shards that a trainer streams: the data pipeline.

    picture.py     what can be computed from one picture: clarity, luma, saturation, its hash ...
    text_areas.py  characters on a picture, and marks laid over it
    filters.py     the filters of the report's seven stages: a number each, and a limit
    together.py    what depends on all pictures: duplicates and balance

Source: the technical report on Qwen-Image (arXiv 2508.02324), section 3. It names the filters and
states no limits; those here are ours.
"""
