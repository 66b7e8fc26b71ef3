"""Searches use the full-text index of each database; the FTS5 index stays consistent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.sql.server_plans import plans_of as server_plans_of
from tests.adapters.sql.test_plans import plans_of as sqlite_plans_of
from tests.contract.factories import ManualClock
from tests.contract.servers import SERVERS, address, new_database
from workbell.adapters.sql.search.expressions import tsquery
from workbell.adapters.sql.store import SqlStore, SqlTx, open_store
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import parse_query

QUERIES = ("needle", "needle -hay", '"the needle"', "nee*", "needle 針の山")
DOCUMENTS = 3_000


def fill(store: SqlStore) -> None:
    """Insert documents of which one in a hundred has the needle."""
    for start in range(1, DOCUMENTS, 500):
        with store.begin() as tx:
            tx.search.put_all(
                [
                    SearchDocument(
                        number,
                        number % 7,
                        "the needle 針の山" if number % 100 == 0 else f"some hay {number}",
                        "label",
                        " ".join(f"word{number * n % 991}" for n in range(40)),
                    )
                    for number in range(start, start + 500)
                ]
            )


def find(tx: SqlTx, text: str) -> int:
    """Return how many documents of three projects match."""
    return len(tx.search.find(parse_query(text), project_ids=[1, 2, 3], limit=20))


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """Return a filled store in a file."""
    path: Path = tmp_path_factory.mktemp("search") / "store.db"
    store = open_store(f"sqlite:///{path}", ManualClock())
    store.migrate()
    fill(store)
    yield store
    store.close()


@pytest.mark.unit
@pytest.mark.parametrize("text", QUERIES)
def test_a_search_uses_the_fts5_index(sqlite_store: SqlStore, text: str) -> None:
    found, *others = sqlite_plans_of(sqlite_store, lambda tx: find(tx, text))
    assert "SCAN workbell_search_index VIRTUAL TABLE INDEX 192:M4" in found, found
    assert "USE TEMP B-TREE" not in found, found
    for plan in others:
        assert "SCAN" not in plan, plan
        assert "SEARCH workbell_search_documents USING INTEGER PRIMARY KEY" in plan, plan


@pytest.mark.unit
def test_the_fts5_index_agrees_with_the_documents_after_many_changes(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db", ManualClock())
    store.migrate()
    fill(store)
    with store.begin() as tx:
        for number in range(1, 200):
            tx.search.put(SearchDocument(number, 1, f"new {number}", "", "needle " * (number % 3)))
        tx.search.delete_range(300, 400)
        tx.search.delete(7)
    with store.begin() as tx:  # raises if a token is missing or left over
        tx.db.exec_driver_sql(
            "INSERT INTO workbell_search_index(workbell_search_index, rank) "
            "VALUES ('integrity-check', 1)"
        )
    store.close()


@pytest.fixture(scope="module", params=SERVERS)
def server_store(request: pytest.FixtureRequest) -> Iterator[tuple[str, SqlStore]]:
    """Return a filled store of each kind of server, with statistics."""
    kind: str = request.param
    store = open_store(address(new_database(kind)), ManualClock(), pool_size=4)
    store.migrate()
    fill(store)
    with store._connections.migrating() as db:
        analyze = "VACUUM ANALYZE" if kind == "postgresql" else "ANALYZE TABLE"
        db.exec_driver_sql(f"{analyze} workbell_search_documents")
    yield kind, store
    store.close()


@pytest.mark.integration
def test_postgresql_finds_a_phrase_of_frequent_words_by_the_index(
    server_store: tuple[str, SqlStore],
) -> None:
    """It reads the rows with the phrase, not those with all of its words."""
    kind, store = server_store
    if kind != "postgresql":
        pytest.skip("for PostgreSQL only")
    words, numbers = "some hay dry " * 20, range(DOCUMENTS + 1, DOCUMENTS + 1_001)
    with store.begin() as tx:
        tx.search.put_all([SearchDocument(number, 1, words) for number in numbers])
    query = parse_query('"dry some dry"')
    with store.view() as tx:
        assert tx.search.find(query, project_ids=None, limit=20) == []
        found = tx.db.exec_driver_sql(
            "SELECT count(*) FROM workbell_search_documents WHERE vector @@ %s::tsquery",
            (tsquery(query.required),),
        )
        assert found.scalar_one() == 0
    with store.begin() as tx:
        tx.search.delete_range(DOCUMENTS, None)


@pytest.mark.integration
@pytest.mark.parametrize("text", QUERIES)
def test_a_search_uses_the_full_text_index_of_a_server(
    server_store: tuple[str, SqlStore], text: str
) -> None:
    kind, store = server_store
    plans = server_plans_of(store, lambda tx: find(tx, text), kind)
    if kind == "postgresql":
        newest, found, scored = plans
        assert "Seq Scan" not in newest + found + scored, plans
        assert '"Index Name": "workbell_search_documents_vector_idx"' in found, found
        assert '"Index Name": "workbell_search_documents_pkey"' in scored, scored
    else:
        found, _ = plans
        assert '"key": "workbell_search_documents_text_idx"' in found, found
        assert '"access_type": "fulltext"' in found, found
