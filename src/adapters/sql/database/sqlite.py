"""SQLite's connections: one writer that commits in groups, many readers."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, cast

from attrs import Factory, define, field
from sqlalchemy import URL, Connection, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from workbell.domain.errors import Conflict, Unavailable

MAX_GROUP_SIZE = 64
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000")


@define(eq=False)
class SqliteCommitGroup:
    """The members that one COMMIT keeps or loses together."""

    turns: int = 0
    kept: int = 0
    error: BaseException | None = None
    _over: Lock = field(init=False, factory=Lock)

    def __attrs_post_init__(self) -> None:
        self._over.acquire()

    def finish(self, error: BaseException | None = None) -> None:
        """Let the members go on."""
        self.error = error
        self._over.release()

    def wait(self) -> None:
        """
        Wait until the group is over.

        Raises:
            Unavailable: It could not be committed, so nothing of it stays.
        """
        with self._over:
            pass
        if self.error is not None:
            reason = getattr(self.error, "orig", self.error)
            raise Unavailable(f"Nothing was kept, for the commit failed: {reason}") from self.error


@define(eq=False)
class Writer:
    """
    The one write connection, taken in turns, first come first served.

    Each turn works under a savepoint. The last member with nobody waiting,
    or the 64th, commits for all; every member returns after that only.
    """

    connection: Connection
    _driver: sqlite3.Connection
    _mutex: Lock = field(init=False, factory=Lock)
    _waiting: deque[Lock] = field(init=False, default=Factory(deque[Lock]))
    _taken: bool = field(init=False, default=False)
    _group: SqliteCommitGroup | None = field(init=False, default=None)
    _lost: bool = field(init=False, default=False)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Work in the group's transaction: kept with it, undone when the block raises."""
        self._take()
        group = None
        try:
            group = self._group = self._group or self._open()
            group.turns += 1
            self._run("SAVEPOINT member")
            yield self.connection
            if self._lost:
                raise Unavailable("The database has dropped the transaction.")
            self._run("RELEASE member")
            group.kept += 1
        except BaseException as error:
            if group is not None:
                self._undo(group, error)
            raise
        finally:
            self._commit_or_hand_over()
            if group is not None:
                group.wait()

    @contextmanager
    def without_transaction(self) -> Iterator[sqlite3.Connection]:
        """Have the driver's connection outside any transaction."""
        self._take()
        try:
            self._commit()
            yield self._driver
        finally:
            self._commit_or_hand_over()

    def detect_rollback(self) -> None:
        """
        Notice that SQLite has rolled everything back (disk full, I/O error).

        A transaction that will be rolled back takes its place, lest the rest
        of the block be committed statement by statement.
        """
        if self._group is not None and not self._driver.in_transaction:
            self._lost = True
            self._run("BEGIN")

    def _take(self) -> None:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()
        except BaseException:
            with self._mutex:
                withdrawn = turn in self._waiting
                if withdrawn:
                    self._waiting.remove(turn)
            if not withdrawn:
                self._commit_or_hand_over()
            raise

    def _commit_or_hand_over(self) -> None:
        """Commit if nobody waits or the group is full, then let the next one in."""
        while True:
            group = self._group
            if group and (not self._waiting or group.turns >= MAX_GROUP_SIZE):
                self._commit()
            with self._mutex:
                if self._waiting:
                    self._waiting.popleft().release()
                    return
                if self._group is None:
                    self._taken = False
                    return

    def _open(self) -> SqliteCommitGroup:
        self._lost = False
        self._run("BEGIN IMMEDIATE")
        return SqliteCommitGroup()

    def _undo(self, group: SqliteCommitGroup, error: BaseException) -> None:
        try:
            if not self._lost and self._driver.in_transaction:
                self._run("ROLLBACK TO member")
                self._run("RELEASE member")
                return
        except sqlite3.Error:
            pass
        self._close(group, error)

    def _commit(self) -> None:
        group = self._group
        if group is None:
            return
        error: BaseException | None = None
        try:
            self._run("COMMIT" if group.kept else "ROLLBACK")
        except BaseException as caught:  # noqa: BLE001 - every member raises it
            error = caught
        self._close(group, error)

    def _close(self, group: SqliteCommitGroup, error: BaseException | None) -> None:
        """End a group, and see to it that no transaction is left open."""
        if self._driver.in_transaction:
            try:
                self._run("ROLLBACK")
            except sqlite3.Error as caught:
                error = error or caught
        self._group = None
        group.finish(error)

    def _run(self, statement: str) -> None:
        self._driver.execute(statement)


@define(eq=False)
class SqliteConnections:
    """The connections to one SQLite file."""

    path: Path
    writer: Writer
    _engine: Engine
    _readers: list[Connection] = field(init=False, default=Factory(list[Connection]))

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Have the write connection for one turn."""
        with self.writer.transaction() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Have a read-only connection, in which every statement stands for itself."""
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._engine.connect()
            connection.exec_driver_sql("PRAGMA query_only=ON")
        try:
            yield connection
        except DBAPIError:
            connection.close()
            raise
        finally:
            if not connection.closed:
                self._readers.append(connection)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Have a connection of its own, foreign keys unchecked, nothing begun."""
        with self.writer.without_transaction(), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            yield connection

    def time(self) -> None:
        """Return nothing: SQLite has no time of its own."""
        return

    def backup(self, target: Path) -> None:
        """
        Copy the database, online, to a new file, and check the copy.

        Raises:
            Conflict: There is such a file already.
            Unavailable: The copy is damaged.
        """
        if target.exists():
            raise Conflict(f"There is a file {target} already.")
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        _make(part)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy, pages=1024)
            copy.execute("PRAGMA journal_mode=DELETE")
            (answer,) = copy.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            part.unlink()
            raise Unavailable(f"The copy is damaged: {answer}")
        part.rename(target)

    def close(self) -> None:
        """Close every connection that nobody uses."""
        while self._readers:
            self._readers.pop().close()
        with self.writer.without_transaction():
            self.writer.connection.close()
        self._engine.dispose()


def open_sqlite(url: URL) -> SqliteConnections:
    """
    Open a file, and make it, for its owner only, if it is not there.

    Raises:
        Unavailable: It cannot be opened.
    """
    if not url.database or url.database == ":memory:":
        raise ValueError("SQLite needs a file; the memory store needs none.")
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "cached_statements": 512},
    )
    event.listen(engine, "connect", _prepare)
    _make(Path(url.database))
    try:
        connection = engine.connect()
    except OperationalError as error:
        reason = f"The database {url.database} cannot be opened: {error.orig}."
        raise Unavailable(reason) from error
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    writer = Writer(connection, driver)
    event.listen(engine, "handle_error", _watching(writer))
    return SqliteConnections(Path(url.database), writer, engine)


def _make(path: Path) -> None:
    """Make an empty file for its owner only; what SQLite puts beside it gets the same mode."""
    with suppress(OSError):  # it is there, or SQLite says better why it cannot be
        path.touch(mode=0o600, exist_ok=False)


def _prepare(driver: Any, _: object) -> None:
    for pragma in _PRAGMAS:
        driver.execute(f"PRAGMA {pragma}")
    driver.create_function("lower", 1, _lower, deterministic=True)


def _lower(text: Any) -> Any:
    """Fold a text's case as Python does: SQLite's own function knows ASCII only."""
    return text.casefold() if isinstance(text, str) else text


def _watching(writer: Writer) -> Callable[[ExceptionContext], None]:
    def handle(context: ExceptionContext) -> None:
        if context.connection is writer.connection:
            writer.detect_rollback()

    return handle
