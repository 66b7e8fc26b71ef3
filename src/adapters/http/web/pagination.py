"""Pagination by page number or by cursor."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from attrs import evolve, frozen

from workbell.adapters.http.web.operations import ApiRequest, ApiResponse, Style
from workbell.adapters.http.web.request import MAX_ID
from workbell.domain import constraints
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.list_filters import parse_ordering

T = TypeVar("T")
PAGE_NUMBER_HELP = "Page number, starting at 1."
PAGE_SIZE_HELP = "Results per page. Values above the maximum are reduced to it."
ORDERING_HELP = "Comma-separated field names; prefix a name with `-` for descending order."
CURSOR_HELP = (
    "Cursor from the previous page's `next` link; empty for the first page. "
    "Pages by cursor have no `count`."
)
PageNumber = Annotated[int, Constraints(ge=1, description=PAGE_NUMBER_HELP, example=1)]
PageSize = Annotated[int, Constraints(ge=1, description=PAGE_SIZE_HELP)] | None
Ordering = Annotated[str, Constraints(max_length=200, description=ORDERING_HELP)]
Cursor = Annotated[str, Constraints(max_length=64, description=CURSOR_HELP)] | None

_MAX_OFFSET = 2**53


@frozen
class PageSizes:
    """Page sizes of a style: default, and maximum for users and superusers."""

    default: int
    maximum: int
    superuser_maximum: int


PAGE_SIZES: Mapping[Style, PageSizes] = {
    Style.INSIGHTHUB: PageSizes(10, 10, 100),
    Style.LEARNFLOW: PageSizes(5, 10, 10),
}
CANONICAL_PAGE_SIZES = PageSizes(20, 100, 100)


@frozen
class Slice:
    """A page number with its size."""

    page: int
    size: int

    @property
    def offset(self) -> int:
        """Number of entries before the page."""
        return min((self.page - 1) * self.size, _MAX_OFFSET)


def make_slice(request: ApiRequest, page: int, page_size: int | None) -> Slice:
    """Return the requested page, its size limited to the maximum of the style."""
    sizes = PAGE_SIZES.get(request.style, CANONICAL_PAGE_SIZES)
    maximum = sizes.superuser_maximum if request.actor.is_super_user else sizes.maximum
    return Slice(page, min(page_size or sizes.default, maximum))


@frozen(kw_only=True)
class PageQuery:
    """The requested page of a list."""

    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class OrderedQuery(PageQuery):
    """The requested ordering and page of a list."""

    ordering: Ordering = ""


@frozen(kw_only=True)
class CursorQuery(PageQuery):
    """The requested page of a history: by cursor if given, else by number."""

    cursor: Cursor = None


def numbered_page(
    request: ApiRequest,
    part: Slice,
    results: Sequence[Any],
    total: int,
    cap: int | None = None,
    *,
    ends_at_cap: bool = False,
) -> ApiResponse:
    """
    Return a page of a list; `count` is capped, at COUNT_CAP by default.

    With `ends_at_cap`, no link leads to a page that begins beyond the cap.

    Raises:
        NotFound: The page is beyond the last one.
    """
    if part.page > 1 and not results:
        raise NotFound(f"Page {part.page} is beyond the last page.")
    cap = constraints.COUNT_CAP if cap is None else cap
    capped = total > cap
    more = len(results) == part.size if capped else part.offset + len(results) < total
    more = more and not (ends_at_cap and part.offset + part.size >= cap)
    next_ = _link(request, page=part.page + 1) if more else None
    previous = _link(request, page=part.page - 1) if part.page > 1 else None
    return _list_response(results, total, next_, previous, cap)


def unpaged(results: Sequence[Any]) -> ApiResponse:
    """Return a complete list as a single page."""
    return _list_response(results, len(results), None, None, constraints.COUNT_CAP)


def _list_response(
    results: Sequence[Any], total: int, next_: str | None, previous: str | None, cap: int
) -> ApiResponse:
    body: dict[str, Any] = {
        "count": min(total, cap),
        "next": next_,
        "previous": previous,
        "results": results,
    }
    if total > cap:
        body["count_capped"] = True
    return ApiResponse(body=body)


def single_page(request: ApiRequest[object, PageQuery], results: Sequence[Any]) -> ApiResponse:
    """
    Return a page of a list that is in memory.

    Raises:
        NotFound: The page is beyond the last one.
    """
    part = make_slice(request, request.query.page, request.query.page_size)
    selected = results[part.offset : part.offset + part.size]
    return numbered_page(request, part, selected, len(results))


def ordered_page(
    request: ApiRequest[object, OrderedQuery],
    orderings: Mapping[str, str],
    find: Callable[[Sequence[str], int, int], tuple[Sequence[T], int]],
    show: Callable[[T], Any],
) -> ApiResponse:
    """Return a page of the entries that `find(order, offset, size)` returns."""
    part = make_slice(request, request.query.page, request.query.page_size)
    order = parse_ordering(request.query.ordering, orderings, "ordering")
    entries, total = find(order, part.offset, part.size)
    return numbered_page(request, part, [show(entry) for entry in entries], total)


def cursor_page(
    request: ApiRequest, size: int, results: Sequence[Any], last_id: int | None
) -> ApiResponse:
    """Return a page of a history with a link to the next one, if it is full."""
    more = len(results) == size and last_id is not None
    next_ = _link(request, cursor=encode_cursor(last_id or 0)) if more else None
    return ApiResponse(body={"next": next_, "previous": None, "results": results})


def with_window(response: ApiResponse) -> ApiResponse:
    """Return the page of a search that was limited to the newest entries."""
    return evolve(response, body={**response.body, "search_window": constraints.SEARCH_WINDOW})


def history_page(
    request: ApiRequest[object, CursorQuery],
    find: Callable[[int | None, int, int], tuple[Sequence[T], int]],
    show: Callable[[T], Any],
    get_id: Callable[[T], int],
) -> ApiResponse:
    """
    Return a page of the entries that `find(before_id, offset, size)` returns.

    They are those after `before_id`, in the order of the history, if it is given.
    """
    query = request.query
    part = make_slice(request, query.page, query.page_size)
    if query.cursor is None:
        found, total = find(None, part.offset, part.size)
        return numbered_page(request, part, [*map(show, found)], total)
    found, _ = find(decode_cursor(query.cursor), 0, part.size)
    last_id = get_id(found[-1]) if found else None
    return cursor_page(request, part.size, [*map(show, found)], last_id)


def encode_cursor(last_id: int) -> str:
    """Return the opaque cursor for the last id of a page."""
    return urlsafe_b64encode(str(last_id).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int | None:
    """
    Return the id in a cursor; None (the newest entries) for an empty one.

    Raises:
        Invalid: The cursor is malformed.
    """
    if not cursor:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not (text.isdigit() and 0 < len(text) <= 19 and 0 < int(text) <= MAX_ID):
        raise Invalid.field("cursor", "is not a cursor of this list: use one from `next`")
    return int(text)


def _link(request: ApiRequest, **changed: Any) -> str:
    return f"{request.url}?{_encoded(tuple({**request.parameters, **changed}.items()))}"


@lru_cache(maxsize=256)
def _encoded(parameters: tuple[tuple[str, Any], ...]) -> str:
    return urlencode(parameters)
