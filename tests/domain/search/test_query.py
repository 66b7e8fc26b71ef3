"""The grammar of search queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.list_filters import FieldFilter
from workbell.domain.search.query import (
    MAX_QUERY,
    MAX_TERMS,
    SearchTerm,
    TermKind,
    parse_query,
)

NAMES = ("status", "label", "created_at__gte")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Login", SearchTerm(("login",))),
        ('"The Login"', SearchTerm(("the", "login"), TermKind.PHRASE)),
        ('"never closed', SearchTerm(("never", "closed"), TermKind.PHRASE)),
        ("-login", SearchTerm(("login",), is_negated=True)),
        ('-"a b"', SearchTerm(("a", "b"), TermKind.PHRASE, is_negated=True)),
        ("log*", SearchTerm(("log",), TermKind.PREFIX)),
        ("-log*", SearchTerm(("log",), TermKind.PREFIX, is_negated=True)),
        ("foo-bar", SearchTerm(("foo", "bar"))),
        ("a:b", SearchTerm(("a", "b"))),
        ("status:TODO", SearchTerm(("status", "todo"))),
        ("NOT", SearchTerm(("not",))),
        ("東京", SearchTerm(("東京",))),
        ("東京都", SearchTerm(("東京", "京都"))),
        ("都", SearchTerm(("都",), TermKind.PREFIX)),
        ("v2都", SearchTerm(("v2", "都"), TermKind.PREFIX)),
        ("都v2", SearchTerm(("都", "v2"))),
    ],
)
def test_a_term_is_parsed(text: str, term: SearchTerm) -> None:
    assert parse_query(text).terms == (term,)


def test_terms_are_combined() -> None:
    query = parse_query('fix "the page" -old fix')
    assert [term.tokens for term in query.required] == [("fix",), ("the", "page")]
    assert [term.tokens for term in query.excluded] == [("old",)]


@pytest.mark.parametrize("text", ["", " ", '"', '""', "-", "*", "-*", "()", "[" * 5_000, "\0😀"])
def test_punctuation_alone_is_no_condition(text: str) -> None:
    assert parse_query(text).terms == ()


def test_field_filters_are_separated_from_words() -> None:
    query = parse_query('fix status:TODO,REVIEW label:"needs work" other:x page', NAMES)
    assert query.filters == (
        FieldFilter("status", "TODO,REVIEW"),
        FieldFilter("label", "needs work"),
    )
    assert [term.tokens for term in query.terms] == [("fix",), ("other", "x"), ("page",)]
    query = parse_query("created_at__gte:2030-01-01T00:00:00Z", NAMES)
    assert query.filters == (FieldFilter("created_at__gte", "2030-01-01T00:00:00Z"),)


@pytest.mark.parametrize("text", ['"fix status:TODO"', "x/status:TODO", "STATUS:TODO", "status :x"])
def test_other_words_with_colons_are_words(text: str) -> None:
    query = parse_query(text, NAMES)
    assert query.filters == () and query.terms


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("status:", "status", "must have a value"),
        ('label:""', "label", "must have a value"),
        ("-status:TODO", "status", "cannot be negated"),
        ("status:TODO status:DONE", "status", "must be given only once"),
        ("status__gte:TODO", "status__gte", "is not a known filter"),
        ("created_at:2030-01-01", "created_at", "is not a known filter"),
    ],
)
def test_a_wrong_filter_is_named(text: str, name: str, message: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_query(text, NAMES)
    assert raised.value.field_errors == {name: [message]}


def test_long_queries_are_cut() -> None:
    assert len(parse_query("".join(f"w{number} " for number in range(100))).terms) == MAX_TERMS
    assert parse_query("a" + " " * MAX_QUERY + "b").terms == parse_query("a").terms


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    for term in parse_query(text).terms:
        assert term.tokens and all(term.tokens)
