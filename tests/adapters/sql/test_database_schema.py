"""DATABASE_SCHEMA: every statement names the schema, on any connection."""

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import pytest
from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, table, text

from tests.contract.delivery.rows import Tenant, an_attempt, deliver, receive
from tests.contract.factories import ALICE, NOON, ManualClock, a_job, a_schedule, claim, keep
from tests.contract.servers import address, drop_database, new_database
from workbell.adapters import sql
from workbell.adapters.sql.database.statements import PreparedStatement
from workbell.adapters.sql.schema.tables import metadata
from workbell.adapters.sql.schema.upgrade import VERSION_TABLE
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.domain.delivery.delivery import UNFINISHED, DeliveryState, SendResult
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Scope
from workbell.ports.delivery.repository import DeliveryFilter

pytestmark = pytest.mark.integration

SCHEMA = "order"
"""A reserved word, so that an unquoted name fails."""
_UNQUALIFIED = re.compile(r'(?<!"order"\.)\bworkbell_\w+')


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    made = new_database("postgresql")
    yield address(made)
    drop_database("postgresql", str(made.database))


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    opened = open_store(url, ManualClock(), pool_size=4, schema=SCHEMA)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Return the engine of an application, which has a schema of its own."""
    made = create_engine(url)
    with made.begin() as db:
        db.execute(text("CREATE SCHEMA IF NOT EXISTS shop"))
        db.execute(text("CREATE TABLE IF NOT EXISTS shop.orders (id int)"))
    yield made
    made.dispose()


def statements() -> dict[str, PreparedStatement]:
    found = {}
    for module in walk_packages(sql.__path__, f"{sql.__name__}."):
        if ".migrations" not in module.name:
            for name, value in vars(import_module(module.name)).items():
                if isinstance(value, PreparedStatement):
                    found[f"{module.name}.{name}"] = value
    return found


def orders(db: Connection) -> int:
    """Count the application's rows, by its search path and by its translation."""
    by_path = db.execute(text("SELECT count(*) FROM orders")).scalar_one()
    by_translation = db.execute(select(func.count()).select_from(table("orders"))).scalar_one()
    assert by_path == by_translation
    return int(by_path)


def test_all_tables_are_in_the_schema(store: SqlStore) -> None:
    with store._connections.reading() as db:
        assert set(inspect(db).get_table_names(schema=SCHEMA)) == {*metadata.tables, VERSION_TABLE}
        assert inspect(db).get_table_names(schema="public") == []
    assert store.schema_version() == "0001"
    store.check_schema()
    assert store.migrate() is None


def test_every_prepared_statement_names_the_schema(store: SqlStore) -> None:
    with store._connections.reading() as db:
        found = statements()
        assert len(found) > 20
        for name, each in found.items():
            if "json_each" not in str(each._make("postgresql")):  # SQLite's own
                assert not _UNQUALIFIED.search(each._compile(db)[0]), name


def test_jobs_are_inserted_and_claimed_in_the_schema(store: SqlStore) -> None:
    keep(store, a_job(), a_job(), a_job(queue="later"))
    assert len(claim(store)) == 2


def test_deliveries_are_stored_in_the_schema(store: SqlStore) -> None:
    tenant = Tenant.create(store, "ann")
    event = receive(store, tenant)
    delivery = deliver(store, event, tenant.destination)
    failed = [DeliveryState.FAILED]
    with store.begin() as tx:
        tx.deliveries.add_attempt(an_attempt(delivery))
        after = delivery.record(SendResult(error="dns"), tenant.destination, NOON, 0.0)
        assert tx.deliveries.replace(delivery, after.fail("gone", NOON))
        assert tx.deliveries.lock_batch(tenant.destination.id, failed) != []
        assert tx.destinations.statistics(tenant.destination.id, NOON).succeeded == 1
        filters = DeliveryFilter(account_id=tenant.account.id, states=[*failed, *UNFINISHED])
        assert tx.deliveries.list_page(filters)[1] == 1
        assert tx.deliveries.get(Scope(owner=tenant.user.id), delivery.id).data == event.data


def test_a_callers_connection_is_left_as_it_was(store: SqlStore, engine: Engine) -> None:
    """Its search path and its own translation of schemas neither matter nor change."""
    options = {"schema_translate_map": {None: "shop"}}
    with engine.connect().execution_options(**options) as db:
        db.execute(text("SET search_path TO shop"))
        assert orders(db) == 0
        with store.in_transaction_of(db).begin() as tx:
            single = tx.jobs.add([a_job(queue="callers")], NOON)
            several = tx.jobs.add([a_job(queue="callers"), a_job(queue="callers")], NOON)
            tx.schedules.add(a_schedule())
            assert tx.schedules.count_active(ALICE, limit=9) == 1
        assert all([*single, *several])
        assert db.execute(text("SHOW search_path")).scalar_one() == "shop"
        assert db.get_execution_options()["schema_translate_map"][None] == "shop"
        assert orders(db) == 0
        with store.view() as tx:
            assert "callers" not in tx.jobs.waiting_queues()
        db.commit()
    assert len(claim(store, queue="callers")) == 3


def test_without_a_setting_a_callers_translation_does_not_matter(engine: Engine, url: str) -> None:
    plain = open_store(url, ManualClock(), pool_size=2)
    plain.migrate()
    options = {"schema_translate_map": {None: "shop"}}
    with engine.connect().execution_options(**options) as db:
        with plain.in_transaction_of(db).begin() as tx:
            assert tx.jobs.add([a_job()], NOON)
        db.commit()
    assert len(claim(plain)) == 1
    with plain._connections.migrating() as db:
        metadata.drop_all(db)
        db.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    plain.close()


@pytest.mark.parametrize("other", ["sqlite:///unused.db", "mysql+pymysql://root@127.0.0.1/unused"])
def test_other_databases_refuse_a_schema(other: str) -> None:
    with pytest.raises(Invalid, match="Only PostgreSQL supports a schema"):
        open_store(other, ManualClock(), schema=SCHEMA)
