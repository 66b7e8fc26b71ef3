"""Fixtures for the tests of projects."""

import pytest

from tests.services.projects.environment import ProjectFixture, make_project_fixture
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project


@pytest.fixture
def env() -> ProjectFixture:
    """Return the services of projects at noon with an empty store."""
    return make_project_fixture()


@pytest.fixture
def project(env: ProjectFixture) -> Project:
    """Return a project of ann with the manager max and the member mia."""
    return env.project(max="MANAGER", mia="MEMBER")


@pytest.fixture
def board(env: ProjectFixture, project: Project) -> Board:
    """Return a board with the default columns."""
    return env.board(project)
