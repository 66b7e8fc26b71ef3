"""A pool of children for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.child_processes.harness import Pool


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    """Return a pool, whose children are killed after the test."""
    pool = Pool(tmp_path)
    yield pool
    pool.pool.close()
