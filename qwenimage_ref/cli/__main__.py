"""`python -m qwenimage_ref.cli` is the `qwenimage` command."""

import sys

from . import main

sys.exit(main())
