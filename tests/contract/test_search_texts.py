"""Any text is a query: it raises no error, and matches the same documents on every store."""

import random
from collections.abc import Iterator

from tests.contract.factories import AnyStore
from workbell.adapters.memory.search import score_match
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.search.document import IndexedDocument, SearchDocument
from workbell.domain.search.query import MAX_QUERY, parse_query

QUERIES = 10_000
SHARE = 5
"""A database runs one in this many of the random queries; memory and the parser run all."""
WORDS = (
    *("login", "the", "and", "a", "C++", "NOT", "AND", "OR", "NEAR", "c", "xx", "z", "q", "über"),
    *("u\u0308ber", "STRASSE", "Straße", "東京", "都", "한국어", "ภาษา", "हिन्दी", "é", "e\u0301"),
    *("title", "body", "rowid", "workbell_search_index", "null", "true", "0", "1e5", "3.14"),
    *("\U0001f600", "\U00020000", "\ufdfa", "\ufb01", "\u0130", "ǅ", "\u200d", "\u00ad", "½"),
)
SIGNS = " \t\n\r\0\x1f\"'`()[]{}<>*-+~@#$%^&|!?/\\:;,.=_“”«»—\u2028\ufeff\ud800\udfff"
HOSTILE = (
    *('"', '""', "'", "''", "a:b", "a : b", "NOT", "*", "-", "--", "-*", '"*"', "(", ")", "((a)"),
    *("park.", "C++", "foo-bar", "@bob", "a AND", "OR a", "{a b}:c", "^a", "a^2", "a + b", "a~2"),
    *("%", "_", "\\", "\\'", "';--", ":*", "a:*", "!a", "a & b", "a | b", "<->", "'a':1A", "\0"),
    *("(" * 2_000, '"' * 2_000, "a* " * 2_000, "-a " * 2_000, "字" * 2_000, "a" * 2_000),
    *("\u0301" * 2_000, '"' + "a " * 2_000, "title:a", "rowid:1", "NEAR(a b, 2)", "+a -b", ">a <b"),
)


def random_texts() -> Iterator[str]:
    """Yield the hostile texts, and random ones of words, signs and any characters."""
    yield from HOSTILE
    chance = random.Random(12)
    for _ in range(QUERIES - len(HOSTILE)):
        parts = list[str]()
        for _ in range(chance.randint(1, 8)):
            kind = chance.random()
            if kind < 0.5:
                parts.append(chance.choice(WORDS))
            elif kind < 0.9:
                parts.append(chance.choice(SIGNS) * chance.randint(1, 3))
            else:
                parts.append(chr(chance.randrange(0x110000)))
        yield "".join(parts)


def documents() -> list[SearchDocument]:
    """Return documents made of the same words."""
    chance = random.Random(7)

    def words(count: int) -> str:
        return " ".join(chance.choices(WORDS, k=count))

    return [
        SearchDocument(number, 1, words(4), words(1), words(10), words(3))
        for number in range(1, 13)
    ]


def test_ten_thousand_texts_match_the_same_documents(store: AnyStore) -> None:
    texts = list(random_texts())
    if not isinstance(store, MemoryStore):
        texts = texts[: len(HOSTILE)] + texts[len(HOSTILE) :: SHARE]
    stored = documents()
    indexed = [IndexedDocument.of(document) for document in stored]
    with store.begin() as tx:
        tx.search.put_all(stored)
    found_any = 0
    with store.view() as tx:
        for text in texts:
            query = parse_query(text)
            expected = {each.id for each in indexed if score_match(query, each) is not None}
            found = tx.search.find(query, project_ids=None, limit=100)
            assert {match.id for match in found} == expected, text[:MAX_QUERY]
            found_any += 0 < len(expected) < len(stored)
    assert found_any > len(texts) / 10
