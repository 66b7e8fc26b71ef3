"""
Conditions and scores of searches, and the newest documents that match.

FTS5 matches adjacent tokens itself. On PostgreSQL, MySQL and MariaDB the index
finds the documents that have all tokens of the required terms; adjacent tokens
are compared with the stored text, because positions are limited on PostgreSQL
and phrases cannot end in a prefix on MySQL.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from attrs import frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Select,
    and_,
    bindparam,
    case,
    cast,
    desc,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from workbell.adapters.sql.schema.search import fts5_index, search_documents, vector_documents
from workbell.adapters.sql.search.expressions import (
    boolean_query,
    fts5_query,
    spaced_tokens,
    tsquery,
    tsquery_of_range,
)
from workbell.domain.search.document import FIELDS, WEIGHTS
from workbell.domain.search.query import SearchQuery, SearchTerm

Condition: TypeAlias = Callable[[ColumnElement[int]], ColumnElement[bool]]
"""Makes the condition on a document's id."""

FIRST_RANGE = 4_000
"""How many of the newest documents PostgreSQL compares first."""
MAX_GROWTH = 32
_NEWEST = select(func.max(vector_documents.c.id))
_RANKS = "{{{comments}, {body}, {labels}, {title}}}".format(
    **{name: weight / max(WEIGHTS.values()) for name, weight in WEIGHTS.items()}
)


@frozen
class DocumentSearch:
    """A query over the documents of a database."""

    _db: Connection
    _query: SearchQuery

    def condition(self, document_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that the document with an id matches, which reads its row."""
        has_vector, documents = self._dialect == "postgresql", _documents(self._dialect)
        matches = select(true()).where(documents.c.id == document_id)
        if has_vector and self._query.required:
            matches = matches.where(self._has_tokens(self._query.required))
        return matches.where(*self._text_conditions(has_tokens=has_vector)).scalar_subquery()

    def newest_of(self, ids: Select[int], limit: int) -> list[int]:
        """Return those of some ids whose documents match, the newest first."""
        found = ids.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
        return self._newest(select(found.c.id).where(self.condition(found.c.id)), limit)

    def newest_in_order(self, ids: Select[int], limit: int) -> list[int]:
        """Return the same of ids that the database reads in their order."""
        found = ids.subquery("found")
        return self._newest(select(found.c.id).where(self.condition(found.c.id)), limit)

    def newest(self, is_listed: Condition, limit: int) -> list[int]:
        """
        Return the ids of documents that the index finds, the newest first.

        `is_listed` is asked for each of them. The query has a required term.
        """
        if self._dialect == "postgresql":
            return self._newest_by_ranges(is_listed, limit)
        if self._dialect == "sqlite":
            found = select(fts5_index.c.rowid.label("id")).where(_fts5_match(self._query))
            return self._newest(found.where(is_listed(fts5_index.c.rowid)), limit)
        found = select(search_documents.c.id).where(self._has_tokens(self._query.required))
        conditions = [*self._text_conditions(has_tokens=True), is_listed(search_documents.c.id)]
        return self._newest(found.where(*conditions), limit)

    def rank(self, ids: Sequence[int], offset: int, limit: int) -> list[tuple[int, float]]:
        """Return a page of ids with their scores, the best first, then the newest."""
        if not self._query.required or not ids:
            return [(each, 0.0) for each in ids[offset : offset + limit]]
        documents = _documents(self._dialect)
        scores = select(documents.c.id, self._score().label("score"))
        scores = scores.where(_is_among(documents.c.id, ids, self._dialect))
        scores = scores.order_by(desc("score"), documents.c.id.desc()).offset(offset).limit(limit)
        return [(row.id, float(row.score)) for row in self._db.execute(scores)]

    @property
    def _dialect(self) -> str:
        return self._db.dialect.name

    def _newest(self, found: Select[int], limit: int) -> list[int]:
        (document_id,) = found.selected_columns
        ids = self._db.execute(found.order_by(document_id.desc()).limit(limit))
        return [*ids.scalars()]

    def _newest_by_ranges(self, is_listed: Condition, limit: int) -> list[int]:
        """
        Return the ids of the newest documents, looked for in one range of ids after another.

        PostgreSQL's index has no order: it finds all matches, whose rows are read. The
        index also has tokens of ids, so that it finds those of a range by itself, which
        takes time for each id of the range: more than a quarter is not worth it.
        """
        last = self._db.execute(_NEWEST).scalar() or 0
        words, size, ids = tsquery(self._query.required), FIRST_RANGE, list[int]()
        matches = (
            select(vector_documents.c.id)
            .where(_has_vector(bindparam("words")), *self._text_conditions(has_tokens=True))
            .cte("matches")
            .prefix_with("MATERIALIZED")
        )
        # not a condition of the matches, where a plan for any value would read the primary key
        older = select(matches.c.id).where(matches.c.id <= bindparam("last"))
        found = older.order_by(matches.c.id.desc()).offset(0).subquery("found")
        page = select(found.c.id).where(is_listed(found.c.id)).order_by(found.c.id.desc())
        page = page.limit(bindparam("missing"))
        while True:
            is_last, missing = size > last // 4, limit - len(ids)
            text = words if is_last else f"{words} & ({tsquery_of_range(last - size, last)})"
            values = {"words": text, "last": last, "missing": missing}
            more = self._db.execute(page, values).scalars().all()
            ids += more
            if len(more) == missing or is_last:
                return ids
            growth = 1.3 * (limit - len(ids)) / len(more) if more else MAX_GROWTH
            last -= size + 1
            size = int(size * min(max(growth, 1), MAX_GROWTH))

    def _text_conditions(self, *, has_tokens: bool) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions on a row, which may be known to have the required tokens."""
        for term in self._query.required:
            if len(term.tokens) > 1 or not has_tokens:
                yield _is_adjacent(term, self._dialect)
        for term in self._query.excluded:
            adjacent = _is_adjacent(term, self._dialect)
            if self._dialect != "postgresql":
                yield not_(adjacent)
            elif len(term.tokens) > 1:
                yield not_(and_(self._has_tokens([term]), adjacent))
            else:
                yield not_(self._has_tokens([term]))

    def _has_tokens(self, terms: Sequence[SearchTerm]) -> ColumnElement[bool]:
        if self._dialect == "postgresql":
            return _has_vector(literal(tsquery(terms)))
        return _fulltext(terms)

    def _score(self) -> ColumnElement[float]:
        required = self._query.required
        if self._dialect == "postgresql":
            ranks: ColumnElement[Any] = literal_column(f"'{_RANKS}'::float4[]")
            words = cast(tsquery(required, with_pairs=False), TSQUERY)
            return func.ts_rank(ranks, vector_documents.c.vector, words)
        scores = [_field_score(term) for term in required]
        if self._dialect != "sqlite":
            scores.append(_fulltext(required))
        return sum(scores[1:], scores[0])


def _documents(dialect: str) -> Any:
    return vector_documents if dialect == "postgresql" else search_documents


def _is_among(column: ColumnElement[int], ids: Sequence[int], dialect: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return column == func.any(bindparam(None, [*ids], type_=ARRAY(BigInteger)))
    return column.in_(ids)


def _field_score(term: SearchTerm) -> ColumnElement[float]:
    """Return the weight of the first field that has a term, which is the greatest."""
    cases = [(_has(name, term, "mysql"), WEIGHTS[name]) for name in FIELDS]
    return case(*cases, else_=literal(0.0, Float))


def _fts5_match(query: SearchQuery) -> ColumnElement[bool]:
    return fts5_index.c[fts5_index.name].bool_op("MATCH")(fts5_query(query))


def _has_vector(text: ColumnElement[str]) -> ColumnElement[bool]:
    return vector_documents.c.vector.bool_op("@@")(cast(text, TSQUERY))


def _fulltext(terms: Sequence[SearchTerm]) -> ColumnElement[Any]:
    columns = [search_documents.c[name] for name in FIELDS]
    return mysql.match(*columns, against=boolean_query(terms)).in_boolean_mode()


def _is_adjacent(term: SearchTerm, dialect: str) -> ColumnElement[bool]:
    """Return the condition that one field has the tokens of a term next to each other."""
    return or_(*[_has(name, term, dialect) for name in FIELDS])


def _has(name: str, term: SearchTerm, dialect: str) -> ColumnElement[bool]:
    text = literal(" ") + _documents(dialect).c[name] + literal(" ")
    find = func.strpos if dialect == "postgresql" else func.instr
    return find(text, spaced_tokens(term.tokens, is_prefix=term.is_prefix)) > 0
