"""
Conditions and scores of searches, for the statements of lists.

FTS5 matches adjacent tokens itself. On PostgreSQL, MySQL and MariaDB the index
finds the documents that have all tokens of the required terms; adjacent tokens
are compared with the stored text, because positions are limited on PostgreSQL
and phrases cannot end in a prefix on MySQL.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import TSQUERY

from workbell.adapters.sql.schema.search import fts5_index, search_documents, vector_documents
from workbell.adapters.sql.search.expressions import (
    boolean_query,
    fts5_query,
    like_pattern,
    tsquery,
)
from workbell.domain.search.document import FIELDS, WEIGHTS
from workbell.domain.search.query import SearchQuery, SearchTerm

MAX_RANKED = 1_000
"""How many matches are ranked: the newest ones. Older matches follow, newest first."""

_RANKS = "{{{comments}, {body}, {labels}, {title}}}".format(
    **{name: weight / max(WEIGHTS.values()) for name, weight in WEIGHTS.items()}
)


def match_condition(
    query: SearchQuery, document_id: ColumnElement[int], dialect: str
) -> ColumnElement[bool]:
    """Return the condition that the document with an id matches; `dialect` is its name."""
    if not query.terms:
        return true()
    if dialect == "sqlite":
        found = select(fts5_index.c.rowid).where(_fts5_match(query))
        if query.required:
            return document_id.in_(found)
        ids = search_documents.c.id
        return document_id.in_(select(ids).where(ids.not_in(found)))
    matches = select(_documents(dialect).c.id).where(*_row_conditions(query, dialect))
    if dialect == "postgresql":
        # otherwise it may read the documents by their ids, newest first, until enough match:
        # to compare the vectors of all documents takes seconds
        matches = select(matches.cte().prefix_with("MATERIALIZED"))
    return document_id.in_(matches)


def relevance_page(
    items: Select[Any],
    item_id: ColumnElement[int],
    conditions: Sequence[ColumnElement[bool]],
    query: SearchQuery,
    dialect: str,
    *,
    offset: int,
    limit: int,
) -> Select[Any]:
    """
    Return the statement of a page of items, the best matches first, then the newest.

    `items` selects the columns, with their joins and without conditions;
    `conditions` are those of the list, including `match_condition`. The
    statement has one more column, `score`, which is 0 for items that were not
    ranked: those beyond the newest MAX_RANKED, or all without a required term.
    """
    newest_first = item_id.desc()
    if not query.required:
        unranked = items.add_columns(literal(0.0).label("score")).where(*conditions)
        return unranked.order_by(newest_first).offset(offset).limit(limit)
    newest = items.with_only_columns(item_id.label("id")).where(*conditions)
    scores = _scores(newest.order_by(newest_first).limit(MAX_RANKED), query, dialect)
    score = func.coalesce(scores.c.score, 0.0).label("score")
    page = items.add_columns(score)
    if offset + limit <= MAX_RANKED:  # the page has ranked items only
        page = page.join(scores, item_id == scores.c.id)
    else:
        page = page.join(scores, item_id == scores.c.id, isouter=True).where(*conditions)
    return page.order_by(score.desc(), newest_first).offset(offset).limit(limit)


def _scores(newest: Select[Any], query: SearchQuery, dialect: str) -> Subquery:
    """Return the ids and scores of some matches."""
    ids = newest.subquery("newest")
    if dialect == "sqlite":
        # with "+" SQLite runs the full-text query once, not once for each id
        is_new = literal_column(f"+{fts5_index.name}.rowid").in_(select(ids.c.id))
        rank = func.bm25(literal_column(fts5_index.name), *[WEIGHTS[name] for name in FIELDS])
        scored = select(fts5_index.c.rowid.label("id"), (-rank).label("score"))
        return scored.where(_fts5_match(query), is_new).subquery("scores")
    documents = _documents(dialect)
    score = _score(query, dialect).label("score")
    return select(ids.c.id, score).join(documents, documents.c.id == ids.c.id).subquery("scores")


def _score(query: SearchQuery, dialect: str) -> ColumnElement[float]:
    if dialect == "postgresql":
        ranks: ColumnElement[Any] = literal_column(f"'{_RANKS}'::float4[]")
        return func.ts_rank(ranks, vector_documents.c.vector, _tsquery(query.required))
    return sum(_field_scores(query.required), _fulltext(query.required))


def _field_scores(terms: Sequence[SearchTerm]) -> Iterator[ColumnElement[float]]:
    """Yield the weights of the fields that have each term, which MySQL does not know."""
    for term in terms:
        pattern = like_pattern(term)
        cases = [(_spaced(name).like(pattern), WEIGHTS[name]) for name in FIELDS]
        yield case(*cases, else_=literal(0.0, Float))


def _documents(dialect: str) -> Any:
    return vector_documents if dialect == "postgresql" else search_documents


def _row_conditions(query: SearchQuery, dialect: str) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on a document's row."""
    if query.required:
        yield _has_tokens(query.required, dialect)
    for term in query.required:
        if len(term.tokens) > 1:
            yield _is_adjacent(term, dialect)
    for term in query.excluded:
        adjacent = _is_adjacent(term, dialect) if len(term.tokens) > 1 else true()
        yield not_(and_(_has_tokens([term], dialect), adjacent))


def _has_tokens(terms: Sequence[SearchTerm], dialect: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return vector_documents.c.vector.bool_op("@@")(_tsquery(terms))
    return _fulltext(terms)


def _fts5_match(query: SearchQuery) -> ColumnElement[bool]:
    return fts5_index.c[fts5_index.name].bool_op("MATCH")(fts5_query(query))


def _tsquery(terms: Sequence[SearchTerm]) -> ColumnElement[Any]:
    return cast(literal(tsquery(terms)), TSQUERY)


def _fulltext(terms: Sequence[SearchTerm]) -> ColumnElement[Any]:
    columns = [search_documents.c[name] for name in FIELDS]
    return mysql.match(*columns, against=boolean_query(terms)).in_boolean_mode()


def _is_adjacent(term: SearchTerm, dialect: str) -> ColumnElement[bool]:
    """Return the condition that one field has the tokens of a term next to each other."""
    pattern = like_pattern(term)
    return or_(*[_spaced(name, dialect).like(pattern) for name in FIELDS])


def _spaced(name: str, dialect: str = "mysql") -> ColumnElement[str]:
    text: ColumnElement[str] = _documents(dialect).c[name]
    return literal(" ") + text + literal(" ")
