"""Two teams that may not see each other's projects."""

import pytest

from tests.contract.factories import AnyStore
from tests.contract.projects.rows import Team


@pytest.fixture
def teams(store: AnyStore) -> tuple[Team, Team]:
    """Return Ann's team and Ben's, each with a project and a board."""
    return Team.create(store, "ann"), Team.create(store, "ben")


@pytest.fixture
def ann(teams: tuple[Team, Team]) -> Team:
    """Return Ann's team; Ben's rows are there, too."""
    return teams[0]


@pytest.fixture
def ben(teams: tuple[Team, Team]) -> Team:
    """Return Ben's team."""
    return teams[1]
