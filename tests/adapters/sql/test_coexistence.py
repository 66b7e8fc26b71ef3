"""An application and Workbell migrate their tables in one database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from attrs import define
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    select,
)

from tests.adapters.sql.drift import schema_drift
from tests.contract.factories import ManualClock, a_job, claim, keep
from tests.contract.servers import address, drop_database, new_database
from workbell.adapters.sql.schema import upgrade as revisions
from workbell.adapters.sql.schema.search import FTS5_TABLES
from workbell.adapters.sql.schema.tables import metadata
from workbell.adapters.sql.store import SqlStore, open_store

pytestmark = pytest.mark.integration

_GUIDE = Path(__file__).parents[3] / "docs/deployment.md"
_CONFIGURE = "context.configure(..., include_object=include_object)"
_ENVIRONMENT = """
from alembic import context

{snippet}
connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=context.config.attributes["metadata"],
    include_schemas=connection.dialect.name == "postgresql",
    include_object={filter},
)
with context.begin_transaction():
    context.run_migrations()
"""
_TEMPLATE = """
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

import sqlalchemy as sa
from alembic import op


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
"""


def application_tables() -> MetaData:
    """Return an application's tables, whose names Workbell would also like to have."""
    tables = MetaData()
    Table(
        "users",
        tables,
        Column("id", Integer, primary_key=True),
        Column("username_key", String(50), unique=True),
    )
    Table(
        "jobs",
        tables,
        Column("id", Integer, primary_key=True),
        Column("user_id", Integer, ForeignKey("users.id")),
        Column("state", String(20)),
        Index("ix_jobs_owner", "state"),
    )
    return tables


@define
class Application:
    """An application with an Alembic environment of its own."""

    folder: Path
    engine: Engine
    tables: MetaData

    def write_environment(self, *, filtered: bool = True) -> None:
        """Write `env.py`, with the snippet of the guide or without it."""
        text = _GUIDE.read_text(encoding="utf-8")
        snippet = text[text.index("def include_object(") : text.index(_CONFIGURE)]
        chosen = "include_object" if filtered else "None"
        (self.folder / "env.py").write_text(_ENVIRONMENT.format(snippet=snippet, filter=chosen))
        (self.folder / "script.py.mako").write_text(_TEMPLATE)
        (self.folder / "versions").mkdir(exist_ok=True)

    def run(self, what: Any, *arguments: Any, **options: Any) -> Any:
        """Run one of Alembic's commands."""
        config = Config()
        config.set_main_option("script_location", str(self.folder))
        config.set_main_option("path_separator", "os")
        with self.engine.connect() as connection:
            config.attributes |= {"connection": connection, "metadata": self.tables}
            result = what(config, *arguments, **options)
            connection.commit()
        return result

    def autogenerate(self) -> str:
        """Return the revision that Alembic writes now; it is not stored."""
        script = self.run(command.revision, "new", autogenerate=True)
        path = Path(script.path)
        text = path.read_text()
        path.unlink()
        return text

    def upgrade(self) -> None:
        """Write a revision of what differs, as a developer does, and apply it."""
        self.run(command.revision, "new", autogenerate=True)
        self.run(command.upgrade, "head")

    def use(self) -> list[Any]:
        """Write and read rows of the application's own."""
        users, jobs = self.tables.tables["users"], self.tables.tables["jobs"]
        with self.engine.begin() as db:
            if not db.execute(select(users)).all():
                db.execute(insert(users).values(id=1, username_key="ada"))
                db.execute(insert(jobs).values(id=1, user_id=1, state="shipped"))
            stored = select(users.c.username_key, jobs.c.state).join(jobs)
            return [tuple(row) for row in db.execute(stored)]


@pytest.fixture(params=["sqlite", "postgresql", "postgresql with a schema", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    """Return the address of an empty database, and the schema of Workbell's tables."""
    kind, _, schema = str(request.param).partition(" with a ")
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/shared.db", None
        return
    made = new_database(kind)
    yield address(made), schema or None
    drop_database(kind, str(made.database))


@pytest.fixture
def store(place: tuple[str, str | None]) -> Iterator[SqlStore]:
    """Return a store that was not migrated yet."""
    url, schema = place
    opened = open_store(url, ManualClock(), pool_size=4, schema=schema)
    yield opened
    opened.close()


@pytest.fixture
def application(place: tuple[str, str | None], tmp_path: Path) -> Iterator[Application]:
    """Return an application that was not migrated yet."""
    folder = tmp_path / "alembic"
    folder.mkdir()
    engine = create_engine(place[0])
    made = Application(folder, engine, application_tables())
    made.write_environment()
    yield made
    engine.dispose()


def drift(store: SqlStore) -> list[Any]:
    """Return how Workbell's tables differ from what they should be."""
    with store._connections.migrating() as db:
        return schema_drift(db)


def workbell_tables(db: Connection, schema: str | None) -> set[str]:
    """Return which of Workbell's tables exist."""
    return {n for n in inspect(db).get_table_names(schema=schema) if n.startswith("workbell_")}


def names_of_workbell(db: Connection, schema: str | None) -> set[str]:
    """Return the names of all tables, indexes and constraints; the database is Workbell's own."""
    inspector, names = inspect(db), set[str | None]()
    for table in inspector.get_table_names(schema=schema):
        names |= {table, inspector.get_pk_constraint(table, schema=schema)["name"]}
        for read in (
            inspector.get_indexes,
            inspector.get_unique_constraints,
            inspector.get_foreign_keys,
            inspector.get_check_constraints,
        ):
            names |= {each["name"] for each in read(table, schema=schema)}
    return {name for name in names if name is not None and name != "PRIMARY"}


def test_every_name_begins_with_the_prefix(store: SqlStore) -> None:
    """On PostgreSQL, names of indexes are unique in a whole schema."""
    store.migrate()
    with store._connections.reading() as db:
        names = names_of_workbell(db, store.schema)
    assert len(names) > 50
    assert {name for name in names if not name.startswith("workbell_")} == set()


@pytest.mark.parametrize("first", ["application", "workbell"])
def test_an_application_and_workbell_share_a_database(
    store: SqlStore, application: Application, first: str
) -> None:
    """Both migrate, work, compare and migrate again; neither sees the other's tables."""
    steps = [application.upgrade, store.migrate]
    for step in steps if first == "application" else reversed(steps):
        step()
    assert application.use() == [("ada", "shipped")]
    keep(store, a_job())

    generated = application.autogenerate()
    assert "workbell" not in generated
    assert "op." not in generated.partition("def upgrade")[2]
    application.run(command.check)  # raises if it finds operations
    assert drift(store) == []
    store.check_schema()
    assert store.migrate() is None

    application.tables.tables["jobs"].append_column(Column("note", String(20)))
    application.upgrade()
    assert drift(store) == []
    assert len(claim(store)) == 1
    assert application.use() == [("ada", "shipped")]


def test_an_application_that_is_removed_leaves_workbell_alone(
    store: SqlStore, application: Application
) -> None:
    application.upgrade()
    store.migrate()
    keep(store, a_job())
    application.run(command.downgrade, "base")
    with application.engine.connect() as db:
        assert not {"users", "jobs"} & set(inspect(db).get_table_names())
        expected = {*metadata.tables, revisions.VERSION_TABLE}
        expected |= FTS5_TABLES if db.dialect.name == "sqlite" else set()
        assert workbell_tables(db, store.schema) == expected
    assert drift(store) == []
    assert len(claim(store)) == 1


def test_the_snippet_of_the_guide_is_needed(store: SqlStore, application: Application) -> None:
    application.write_environment(filtered=False)
    application.upgrade()
    store.migrate()
    assert "op.drop_table('workbell_jobs'" in application.autogenerate()
