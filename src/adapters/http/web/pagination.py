"""Pages: parts of long lists, by number or by cursor."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlencode

from attrs import frozen

from workbell.adapters.http.web.operations import ApiRequest, ApiResponse, Style
from workbell.adapters.http.web.request import MAX_ID
from workbell.domain import constraints
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid, NotFound

PageNumber = Annotated[int, Constraints(ge=1, description="Which page, from 1.", example=1)]
PageSize = (
    Annotated[int, Constraints(ge=1, description="Entries a page; more than allowed is clamped.")]
    | None
)
Ordering = Annotated[
    str,
    Constraints(
        max_length=200, description="Names with commas, a minus before those that go down."
    ),
]
Cursor = (
    Annotated[
        str,
        Constraints(
            max_length=64,
            description="Where to go on, from `next`; empty to begin. Lists by cursor have no count.",
        ),
    ]
    | None
)

_FARTHEST = 2**53


@frozen
class Sizes:
    """Entries a page in one style: by default, and at most for users and superusers."""

    default: int
    most: int
    most_for_super_users: int


SIZES: Mapping[Style, Sizes] = {
    Style.INSIGHTHUB: Sizes(10, 10, 100),
    Style.LEARNFLOW: Sizes(5, 10, 10),
}
CANONICAL_SIZES = Sizes(20, 100, 100)


@frozen
class Slice:
    """The part of a list that a page shows."""

    page: int
    size: int

    @property
    def offset(self) -> int:
        """How many entries come before."""
        return min((self.page - 1) * self.size, _FARTHEST)

    def check(self, shown: int) -> None:
        """
        Refuse a page beyond the last; the first is always there.

        Raises:
            NotFound: Nothing is shown, and it is not the first page.
        """
        if self.page > 1 and not shown:
            raise NotFound(f"There is no page {self.page}.")


def make_slice(call: ApiRequest, page: int, page_size: int | None) -> Slice:
    """Return the part to show, its size clamped as the style has it."""
    sizes = SIZES.get(call.style, CANONICAL_SIZES)
    most = sizes.most_for_super_users if call.actor.is_super_user else sizes.most
    return Slice(page, min(page_size or sizes.default, most))


@frozen(kw_only=True)
class PageQuery:
    """Which page of a list."""

    page: PageNumber = 1
    page_size: PageSize = None


def numbered(call: ApiRequest, part: Slice, results: Sequence[Any], total: int) -> ApiResponse:
    """
    Return a page of a list; a `total` above the cap is answered as the cap.

    Raises:
        NotFound: The page lies beyond the last.
    """
    part.check(len(results))
    capped = total > constraints.COUNT_CAP
    more = len(results) == part.size if capped else part.offset + len(results) < total
    next_ = _link(call, page=part.page + 1) if more else None
    previous = _link(call, page=part.page - 1) if part.page > 1 else None
    return _counted(results, total, next_, previous)


def unpaged(results: Sequence[Any]) -> ApiResponse:
    """Return a list that has one page only."""
    return _counted(results, len(results), None, None)


def _counted(
    results: Sequence[Any], total: int, next_: str | None, previous: str | None
) -> ApiResponse:
    """Return the list envelope; counting stops at the cap."""
    cap = constraints.COUNT_CAP
    body: dict[str, Any] = {
        "count": min(total, cap),
        "next": next_,
        "previous": previous,
        "results": results,
    }
    if total > cap:
        body["count_capped"] = True
    return ApiResponse(body=body)


def single_page(
    call: ApiRequest, results: Sequence[Any], page: int = 1, page_size: int | None = None
) -> ApiResponse:
    """
    Return a page of a list that is known as a whole.

    Raises:
        NotFound: The page lies beyond the last.
    """
    part = make_slice(call, page, page_size)
    shown = results[part.offset : part.offset + part.size]
    return numbered(call, part, shown, len(results))


def keyset(call: ApiRequest, size: int, results: Sequence[Any], last_id: int | None) -> ApiResponse:
    """Return a part of a history after a cursor; `results` are at most `size`."""
    more = len(results) == size and last_id is not None
    next_ = _link(call, cursor=encode_cursor(last_id or 0)) if more else None
    return ApiResponse(body={"next": next_, "previous": None, "results": results})


def encode_cursor(last_id: int) -> str:
    """Return the opaque form of where a page ended."""
    return urlsafe_b64encode(str(last_id).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int | None:
    """
    Return the id that a cursor stands for; an empty one begins at the newest.

    Raises:
        Invalid: It was not made here.
    """
    if not cursor:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not (text.isdigit() and 0 < len(text) <= 19 and 0 < int(text) <= MAX_ID):
        raise Invalid.field("cursor", "is not a cursor of this list")
    return int(text)


def ordering(given: str | Sequence[str], allowed: Mapping[str, str], path: str) -> tuple[str, ...]:
    """
    Return the ordering in the store's names.

    Raises:
        Invalid: A name is not on the list of allowed ones, or comes twice.
    """
    names = [n.strip() for n in given.split(",")] if isinstance(given, str) else list(given)
    found: list[str] = []
    for name in names:
        plain = name.removeprefix("-")
        if plain not in allowed:
            raise Invalid.field(path, f"{plain[:100]!r} is not one of: {', '.join(allowed)}")
        found.append("-" * name.startswith("-") + allowed[plain])
    if len({name.removeprefix("-") for name in found}) != len(found):
        raise Invalid.field(path, "names something twice")
    return tuple(found)


def _link(call: ApiRequest, **changed: Any) -> str:
    return f"{call.url}?{_encoded(tuple({**call.parameters, **changed}.items()))}"


@lru_cache(maxsize=256)
def _encoded(parameters: tuple[tuple[str, Any], ...]) -> str:
    return urlencode(parameters)
