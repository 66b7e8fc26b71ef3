"""The search index: the same documents match on every store."""

from collections.abc import Collection
from contextlib import suppress

from tests.contract.factories import AnyStore
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import MAX_MATCHES, parse_query

DOCUMENTS = (
    SearchDocument(1, 1, "Fix the login page", "bug urgent", "The button is red.", "Done?"),
    SearchDocument(2, 1, "Login by e-mail", "feature", "Send a link; see PROJ-12.", "login, login"),
    SearchDocument(3, 2, "Überprüfung der Straße", "bug", "C++ und 3.14", "über"),
    SearchDocument(4, 2, "東京都の天気予報", "", "한국어 문서입니다", "ภาษาไทย"),
    SearchDocument(5, 2, "the to and of", "", "a b c a b d", ""),
    SearchDocument(6, 1, "park.", "", "Взаимодействие администрирование", "हिन्दी"),
    SearchDocument(7, 1, "red button", "page", "quiz", ""),
)
PAGES = [
    ("login", {1, 2}),
    ("LOGIN", {1, 2}),
    ("login bug", {1}),
    ("login -bug", {2}),
    ("-login", {3, 4, 5, 6, 7}),
    ('-login -"red button" -quiz', {3, 4, 5, 6}),
    ("the", {1, 5}),
    ("a", {2, 5}),
    ('"the login page"', {1}),
    ('"login the page"', set()),
    ('"button is"', {1}),
    ('"red button"', {7}),
    ('"button page"', set()),  # tokens of two fields are not adjacent
    ('"a b d"', {5}),
    ('"a b e"', set()),
    ("b*", {1, 2, 3, 5, 7}),
    ("lo*", {1, 2}),
    ("-lo*", {3, 4, 5, 6, 7}),
    ("e-ma*", {2}),
    ("the-log*", {1}),
    ("the-out*", set()),
    ('-"a b d"', {1, 2, 3, 4, 6, 7}),
    ("-the-log*", {2, 3, 4, 5, 6, 7}),
    ("proj-12", {2}),
    ("PROJ", {2}),
    ("c++", {3, 5}),
    ("3.14", {3}),
    ("park.", {6}),
    ("qui*", {7}),
    ("q*", {7}),
    ("quiz", {7}),
    ("u\u0308berpru\u0308fung", {3}),
    ("STRASSE", {3}),
    ("ü*", {3}),
    ("京都", {4}),
    ("天気", {4}),
    ("気予", {4}),
    ("東京都の天気", {4}),
    ("東京天気", set()),
    ("都", {4}),
    ("報", {4}),
    ("国", set()),
    ("국어", {4}),
    ("문서", {4}),
    ("ษา", {4}),
    ("взаимодействие", {6}),
    ("администр*", {6}),
    ("हिन्दी", {6}),
    ("", {1, 2, 3, 4, 5, 6, 7}),
    ('"" - * ()', {1, 2, 3, 4, 5, 6, 7}),
    ("NOT login", set()),
    ("missing", set()),
]


def fill(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.search.put_all(DOCUMENTS)


def find(store: AnyStore, text: str, project_ids: Collection[int] | None = None) -> list[int]:
    with store.view() as tx:
        found = tx.search.find(parse_query(text), project_ids=project_ids, limit=100)
    return [match.id for match in found]


def test_the_same_documents_match_on_every_store(store: AnyStore) -> None:
    fill(store)
    assert {text: set(find(store, text)) for text, _ in PAGES} == dict(PAGES)


def test_only_documents_of_the_given_projects_are_found(store: AnyStore) -> None:
    fill(store)
    assert find(store, "bug", [1]) == [1]
    assert find(store, "bug", [2]) == [3]
    assert find(store, "bug", []) == []
    assert sorted(find(store, "-login", [1])) == [6, 7]


def test_a_replaced_document_is_found_by_its_new_words_only(store: AnyStore) -> None:
    fill(store)
    with store.begin() as tx:
        tx.search.put(SearchDocument(1, 2, "Repair the menu"))
    assert find(store, "login") == [2]
    assert find(store, "menu", [2]) == [1]
    assert find(store, "menu", [1]) == []


def test_a_deleted_document_is_not_found(store: AnyStore) -> None:
    fill(store)
    with store.begin() as tx:
        tx.search.delete(1)
        tx.search.delete(99)
    assert find(store, "login") == [2]
    assert 1 not in find(store, "-login")


def test_a_range_of_documents_is_deleted(store: AnyStore) -> None:
    fill(store)
    with store.begin() as tx:
        tx.search.delete_range(2, 4)
    assert sorted(find(store, "")) == [1, 2, 5, 6, 7]
    with store.begin() as tx:
        tx.search.delete_range(5, None)
    assert sorted(find(store, "")) == [1, 2, 5]
    assert find(store, "bug") == [1]


def test_a_change_that_is_rolled_back_leaves_the_index_as_it_was(store: AnyStore) -> None:
    fill(store)
    with suppress(ZeroDivisionError), store.begin() as tx:
        tx.search.put(SearchDocument(1, 1, "Repair the menu"))
        tx.search.delete(2)
        raise ZeroDivisionError
    assert sorted(find(store, "login")) == [1, 2]
    assert find(store, "menu") == []


def test_a_title_counts_more_than_labels_the_body_and_comments(store: AnyStore) -> None:
    texts = {"title": "some words", "labels": "some words", "body": "some words"}
    texts["comments"] = "some words"
    with store.begin() as tx:
        for number, name in enumerate(("comments", "body", "labels", "title"), 1):
            tx.search.put(SearchDocument(number, 1, **{**texts, name: "some needle"}))
        tx.search.put(SearchDocument(5, 1, **texts))
    assert find(store, "needle") == [4, 3, 2, 1]


def test_of_equal_documents_the_newest_comes_first(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.search.put_all([SearchDocument(number, 1, "same") for number in range(1, 8)])
    assert find(store, "same") == [7, 6, 5, 4, 3, 2, 1]
    with store.view() as tx:
        found = tx.search.find(parse_query("same"), project_ids=None, limit=3)
    assert [match.id for match in found] == [7, 6, 5]


def test_long_texts_are_indexed_up_to_a_limit(store: AnyStore) -> None:
    """Every store accepts the longest words in the greatest number."""
    words = [
        f"{number:05}".translate(str.maketrans("0123456789", "абвгдежзик")) * 4
        for number in range(9_000)
    ]
    with store.begin() as tx:
        tx.search.put(
            SearchDocument(1, 1, words[0] * 50, words[1], " ".join(words), " ".join(words[3_000:]))
        )
    assert find(store, words[5_999]) == [1]
    assert find(store, words[8_999]) == [1]
    assert find(store, f'"{words[5_998]} {words[5_999]}"') == [1]
    with store.begin() as tx:
        tx.search.put(SearchDocument(1, 1, "x", "", " ".join(words)))
    assert find(store, words[5_999]) == [1]
    assert find(store, words[6_000]) == []


def test_a_phrase_of_words_that_occur_thousands_of_times_is_found(store: AnyStore) -> None:
    """PostgreSQL stores at most 256 positions of a word."""
    with store.begin() as tx:
        tx.search.put(SearchDocument(1, 1, "x", "", "a b " * 2_000 + "b a a c"))
    assert find(store, '"a a c"') == [1]
    assert find(store, '"a c c"') == []


def test_old_documents_are_found_among_ids_far_apart(store: AnyStore) -> None:
    """PostgreSQL looks for the newest documents in growing ranges of ids."""
    ids = [1, 99, 100, 3_999, 4_100, 50_000, 123_456, 5_000_000, 5_000_001]
    with store.begin() as tx:
        tx.search.put_all([SearchDocument(number, 1, "old words") for number in ids])
    assert find(store, "words") == ids[::-1]
    assert find(store, "old -new") == ids[::-1]


def test_only_the_newest_matches_are_found(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.search.put_all([SearchDocument(1, 1, "word"), SearchDocument(2, 1, "x", "", "word")])
        many = (SearchDocument(number, 1, "x", "", "word") for number in range(3, MAX_MATCHES + 3))
        tx.search.put_all([*many])
    with store.view() as tx:
        found = tx.search.find(parse_query("word"), project_ids=None, limit=2 * MAX_MATCHES)
    assert [match.id for match in found] == [*range(MAX_MATCHES + 2, 2, -1)]
