"""Rebuild of the search index from the texts of its owner."""

from collections.abc import Iterator

from attrs import frozen

from workbell.ports.search import SearchRebuildTx
from workbell.ports.store import Store
from workbell.services.transaction_retry import retry_on_contention

BATCH = 500
POSITION = "search_rebuild_after"
"""Name of the metadata with the last id of an unfinished rebuild."""


@frozen
class SearchRebuild:
    """
    Rebuilds the index while it is in use, in batches of 500 work items.

    Each batch is one transaction, which stores its position: an interrupted
    rebuild continues there.
    """

    store: Store[SearchRebuildTx]

    def run(self, *, restart: bool = False) -> Iterator[int]:
        """Index all work items; yield the size of each batch. `restart` forgets the position."""
        after: int | None = 0 if restart else self._read_position()
        while after is not None:
            after, count = self._index_batch(after)
            yield count

    def _read_position(self) -> int:
        with self.store.view() as tx:
            return int(tx.metadata.get(POSITION) or 0)

    @retry_on_contention
    def _index_batch(self, after: int) -> tuple[int | None, int]:
        """Index the items after an id; return the last id, or None at the end, and their number."""
        with self.store.begin() as tx:
            found = tx.work_items.list_search_documents(after=after, limit=BATCH)
            last = found[-1].id if len(found) == BATCH else None
            tx.search.delete_range(after, last)
            # read again: the deletion waited for transactions that changed these documents
            found = tx.work_items.list_search_documents(after=after, limit=BATCH)
            current = [each for each in found if last is None or each.id <= last]
            tx.search.put_all(current)
            tx.metadata.set(POSITION, str(last or ""))
        return last, len(current)
