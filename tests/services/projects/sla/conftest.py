"""Fixtures for the tests of service levels."""

import pytest

from tests.services.projects.sla.environment import SlaFixture


@pytest.fixture
def sla() -> SlaFixture:
    """Return a project with a board on a Monday at nine, without a policy."""
    return SlaFixture.create()
