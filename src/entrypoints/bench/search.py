"""
Search benchmark: queries with highlights over many documents.

The processor time is that of this process: it includes SQLite, but no server.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from random import Random
from statistics import median
from string import ascii_lowercase

import click
from attrs import field, frozen
from sqlalchemy import create_engine, make_url

from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.system import SystemClock
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.highlight import highlight
from workbell.domain.search.query import parse_query
from workbell.entrypoints.bench.rows import Row, report
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bench.workers import percentiles

VOCABULARY = 20_000
PROJECTS = 50
READABLE = tuple(range(1, 26))
"""The projects that the caller may read: half of all."""
PAGE = 20
FILL = 1_000
EXCERPT = 200


@frozen(slots=False)
class Corpus:
    """Documents of 66 words; the n-th word of the vocabulary has the frequency n^-0.9."""

    size: int
    vocabulary: Sequence[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the vocabulary."""
        object.__setattr__(self, "vocabulary", self._make_vocabulary())

    def _make_vocabulary(self) -> Sequence[str]:
        chance = Random(1)  # noqa: S311 - no secret
        words = dict[str, None]()
        while len(words) < VOCABULARY:
            words["".join(chance.choices(ascii_lowercase, k=chance.randint(3, 10)))] = None
        return tuple(words)

    @cached_property
    def _frequencies(self) -> Sequence[float]:
        return list(accumulate(1 / (n + 1) ** 0.9 for n in range(VOCABULARY)))

    def document(self, number: int) -> SearchDocument:
        """Return a document; its texts depend on its number only."""
        chance = Random(number)  # noqa: S311 - no secret

        def words(count: int) -> str:
            return " ".join(chance.choices(self.vocabulary, cum_weights=self._frequencies, k=count))

        project_id = number % PROJECTS + 1
        return SearchDocument(number, project_id, words(6), words(2), words(50), words(8))


def measure(target: Target, size: int, queries: int) -> list[Row]:
    """Fill an empty store with documents; return a row for each kind of query."""
    with target.settings() as settings:
        store = open_store(settings.database_url, SystemClock())
        try:
            store.migrate()
            corpus = Corpus(size)
            rate = _fill(store, corpus)
            _update_statistics(settings.database_url)
            gc.freeze()
            rows = [
                _measure(store, corpus, name, make_text, queries)
                for name, make_text in _kinds(corpus).items()
            ]
            rows = [{**row, "indexed/s": rate} for row in rows]
        finally:
            store.close()
    return rows


def _kinds(corpus: Corpus) -> dict[str, Callable[[Random], str]]:
    """Return the kinds of queries, each with what makes one."""
    words = corpus.vocabulary

    def body(chance: Random) -> list[str]:
        return corpus.document(chance.randint(1, corpus.size)).body.split()

    def phrase(chance: Random) -> str:
        start, found = chance.randrange(49), body(chance)
        return f'"{found[start]} {found[start + 1]}"'

    return {
        "a word, each as likely": lambda chance: chance.choice(words),
        "two words of a document": lambda chance: " ".join(chance.sample(body(chance), 2)),
        "a phrase of two words": phrase,
        "a prefix of 4 letters": lambda chance: f"{chance.choice(words):.4}*",
        "a word without another": lambda chance: f"{chance.choice(words)} -{words[3]}",
        "a word of one in five documents": lambda chance: words[chance.randint(15, 25)],
    }


def _fill(store: SqlStore, corpus: Corpus) -> int:
    """Index all documents; return how many per second."""
    started = time.perf_counter()
    with click.progressbar(
        range(1, corpus.size + 1, FILL), label="Indexing", file=sys.stderr
    ) as starts:
        for start in starts:
            end = min(start + FILL, corpus.size + 1)
            documents = [corpus.document(number) for number in range(start, end)]
            with store.begin() as tx:
                tx.search.put_all(documents)
    seconds = time.perf_counter() - started
    rate = round(corpus.size / seconds)
    report(f"{rate:,} documents indexed per second")
    return rate


def _update_statistics(url: str) -> None:
    if make_url(url).get_backend_name() != "postgresql":
        return
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as db:
        db.exec_driver_sql("VACUUM ANALYZE workbell_search_documents")
    engine.dispose()


def _measure(
    store: SqlStore, corpus: Corpus, name: str, make_text: Callable[[Random], str], queries: int
) -> Row:
    chance = Random(2)  # noqa: S311 - no secret
    times, processor, found = list[float](), list[float](), 0
    for number in range(queries + 20):
        text = make_text(chance)
        started, used = time.perf_counter(), time.process_time()
        query = parse_query(text)
        with store.view() as tx:
            matches = tx.search.find(query, project_ids=READABLE, limit=PAGE)
        duration, used = time.perf_counter() - started, time.process_time() - used
        documents = [corpus.document(match.id) for match in matches]
        started, used = time.perf_counter(), used - time.process_time()
        for document in documents:
            for part in _texts(document):
                highlight(part, query, max_length=EXCERPT)
        duration += time.perf_counter() - started
        used += time.process_time()
        if number >= 20:  # the first ones compile the statement
            times.append(duration * 1000)
            processor.append(used * 1000)
            found += bool(matches)
    p50, p95 = percentiles(times, 95)
    row = {
        "query": name,
        "documents": corpus.size,
        "queries": queries,
        "with matches": found,
        "p50, ms": round(p50, 3),
        "p95, ms": round(p95, 3),
        "processor time, ms": round(median(processor), 3),
    }
    report(", ".join(f"{key} {value}" for key, value in row.items()))
    return row


def _texts(document: SearchDocument) -> Iterator[str]:
    yield from (document.title, document.body, document.comments)
