"""Query plans of servers for the statements of a store."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, event

from workbell.adapters.sql.database.server import ServerConnections
from workbell.adapters.sql.store import SqlStore, SqlTx

Ask = Callable[[SqlTx], object]


def statements_of(store: SqlStore, ask: Ask) -> list[tuple[str, Any]]:
    """Return what a question sends, with its values."""
    connections = store._connections
    assert isinstance(connections, ServerConnections)
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asked.append((statement, parameters))

    engine: Engine = connections._writers._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with store.begin() as tx:
            ask(tx)
            tx.db.rollback()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return asked


def plan_on_postgresql(db: Connection, statement: str, parameters: Any) -> str:
    """Return the plan of a statement that was prepared and executed six times."""
    from psycopg import ClientCursor

    bare, values = statement, []
    for name, value in parameters.items():
        while f"%({name})s" in bare:
            values.append(value)
            bare = bare.replace(f"%({name})s", f"${len(values)}", 1)
    given = f"({', '.join(['%s'] * len(values))})" if values else ""
    driver: Any = db.connection.dbapi_connection
    with ClientCursor(driver) as opened:
        cursor: Any = opened
        cursor.execute(f"PREPARE asked AS {bare}".replace("%%", "%"))
        for _ in range(6):
            cursor.execute(f"EXECUTE asked{given}", values)
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE asked{given}", values)
        plan = cursor.fetchone()
        cursor.execute("DEALLOCATE asked")
    assert plan is not None
    return json.dumps(plan[0])


def plan_on_mariadb(db: Connection, statement: str, parameters: Any) -> str:
    """Return the plan of a statement as JSON text."""
    return str(db.exec_driver_sql(f"EXPLAIN FORMAT=JSON {statement}", parameters).scalar())


def plans_of(store: SqlStore, ask: Ask, kind: str) -> list[str]:
    """Return the plans of the statements that a call sends; roll back afterwards."""
    found: list[str] = []
    for statement, parameters in statements_of(store, ask):
        if isinstance(parameters, list):  # many rows by one statement, each by its id
            continue
        explain = plan_on_postgresql if kind == "postgresql" else plan_on_mariadb
        with store._connections.writing() as db:
            found.append(explain(db, statement, parameters))
            db.rollback()
    return found
