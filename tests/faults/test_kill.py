"""The service survives kill -9: nothing lost, nothing twice, nothing torn."""

from pathlib import Path

import pytest

from tests.faults.kill import free_port, kill_repeatedly


@pytest.mark.integration
def test_three_kills_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    """Every accepted job ends once, the limit holds, no file is torn."""
    report = kill_repeatedly(tmp_path, free_port(), kills=3)

    assert report.clean, report
