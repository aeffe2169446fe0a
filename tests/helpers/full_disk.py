"""A disk without room, for as long as a block runs."""

import contextlib

import pytest


@contextlib.contextmanager
def files_of_at_most(size: int):
    """No file grows beyond so many bytes: the error of a full disk, but for its number."""
    resource = pytest.importorskip("resource", reason="only Unix can limit files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
