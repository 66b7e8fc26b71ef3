"""Translation of violated constraints."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from workbell.ports.projects.repository import RankTaken


@contextmanager
def checking_rank(rank: str = "") -> Iterator[None]:
    """Raise RankTaken if a statement of the block finds its rank on the board already."""
    try:
        yield
    except IntegrityError as error:
        if "rank" not in str(error.orig):
            raise
        raise RankTaken(f"Another task of the board has the rank {rank!r}.") from error
