"""A later release's revision, for the tests of upgrades."""

import shutil
from pathlib import Path

import pytest

from workbell.adapters.sql.schema import upgrade as revisions

NEXT = '''"""Labels."""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{newest}"


def upgrade():
    op.add_column("workbell_jobs", sa.Column("label", sa.Text(), nullable=True))
'''


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make this program know one revision more; tables migrated before have to be upgraded."""
    scripts = tmp_path / "migrations"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(revisions._SCRIPTS, scripts, ignore=ignore)
    (scripts / "versions/next.py").write_text(NEXT.format(newest=revisions.newest()))
    monkeypatch.setattr(revisions, "_SCRIPTS", scripts)
    return "next"
