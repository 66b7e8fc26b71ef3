"""Settings and fixtures of all tests."""

import os
from collections.abc import Iterator
from typing import Any

import coverage
import pytest
import structlog
from hypothesis import settings

# in CI the examples are deterministic: reproduce a failure with CI=true
settings.register_profile("workbell", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("workbell")


@pytest.fixture(autouse=True, scope="session")
def _uncached_loggers() -> Iterator[None]:
    """
    Let no logger cache its configuration, or print local variables.

    A test that runs a command configures logging; otherwise loggers that it
    uses would ignore `capture_logs` in later tests of the process.
    """
    configure = structlog.configure

    def configure_uncached(**options: Any) -> None:
        options["cache_logger_on_first_use"] = False
        configure(**options)

    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    configure_uncached(processors=[*structlog.get_config()["processors"][:-1], plain])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        yield


def pytest_sessionfinish() -> None:
    """Store the coverage of this process: a worker of pytest-xdist is killed if it ends slowly."""
    if (measured := coverage.Coverage.current()) is not None:
        measured.save()
