"""The rebuild of the search index."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from attrs import define, field

from tests.contract.factories import ManualClock
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import MAX_MATCHES, parse_query
from workbell.ports.search import SearchRepository
from workbell.ports.store import StoreMetadata
from workbell.services.search.rebuild import BATCH, SearchRebuild


@define
class Texts:
    """Texts by id, as another context would have them."""

    titles: dict[int, str]
    read: list[int] = field(factory=list)

    def list_search_documents(self, *, after: int, limit: int) -> Sequence[SearchDocument]:
        self.read.append(after)
        found = (SearchDocument(n, 1, self.titles[n]) for n in sorted(self.titles) if n > after)
        return list(islice(found, limit))


def find(store: MemoryStore, text: str) -> list[int]:
    with store.view() as tx:
        found = tx.search.find(parse_query(text), project_ids=None, limit=10_000)
    return sorted(match.id for match in found)


@define
class RebuildTx:
    """A transaction whose texts are somewhere else."""

    search: SearchRepository
    metadata: StoreMetadata
    work_items: Texts


@define
class StoreWithTexts:
    """A store with texts that its transactions do not change."""

    store: MemoryStore
    texts: Texts

    @contextmanager
    def begin(self, *, single_statement: bool = False) -> Iterator[RebuildTx]:
        with self.store.begin() as tx:
            yield RebuildTx(tx.search, tx.metadata, self.texts)

    @contextmanager
    def view(self) -> Iterator[RebuildTx]:
        with self.store.view() as tx:
            yield RebuildTx(tx.search, tx.metadata, self.texts)


def make(texts: Texts) -> tuple[MemoryStore, SearchRebuild]:
    store = MemoryStore(ManualClock())
    return store, SearchRebuild(StoreWithTexts(store, texts))


def test_all_texts_are_indexed_and_no_others_stay() -> None:
    texts = Texts({n: f"word{n} all" for n in range(2, 3 * BATCH, 2)})
    store, rebuild = make(texts)
    with store.begin() as tx:
        tx.search.put_all([SearchDocument(n, 1, "old all") for n in (1, 2, 5, 9_999)])
    assert sum(rebuild.run()) == len(texts.titles)
    assert find(store, "all") == list(texts.titles)[-MAX_MATCHES:]
    assert find(store, "old") == []


def test_an_interrupted_rebuild_continues_where_it_stopped() -> None:
    texts = Texts(dict.fromkeys(range(1, 2 * BATCH + 2), "all"))
    store, rebuild = make(texts)
    assert next(rebuild.run()) == BATCH
    assert find(store, "all") == list(range(1, BATCH + 1))
    texts.read.clear()
    assert list(rebuild.run()) == [BATCH, 1]
    assert set(texts.read) == {BATCH, 2 * BATCH}
    assert find(store, "all") == list(texts.titles)[-MAX_MATCHES:]
    texts.read.clear()
    assert sum(rebuild.run()) == len(texts.titles)
    assert 0 in texts.read


def test_a_rebuild_can_begin_again() -> None:
    texts = Texts(dict.fromkeys(range(1, 2 * BATCH), "all"))
    store, rebuild = make(texts)
    assert next(rebuild.run()) == BATCH
    texts.titles[1] = "changed"
    assert sum(rebuild.run(restart=True)) == len(texts.titles)
    assert find(store, "changed") == [1]
