"""What every test needs before torch and the Hugging Face libraries are imported."""

import os

# careful: read at import. One thread each, because two test processes share two cores; offline,
# because a test that needs the network fails on somebody's train.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
