"""SQLite connections: one writer with group commit, many readers."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, cast

from attrs import Factory, define, field
from sqlalchemy import URL, Connection, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError, OperationalError

from workbell.domain.errors import Conflict, Unavailable

MAX_GROUP_SIZE = 64
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000")


class _HintCompiler(SQLiteCompiler):
    """A compiler for which "INDEXED BY name" and "NOT INDEXED" are hints of a table."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:  # noqa: ARG002
        """Return the hint as it follows the name of the table."""
        return text


@define(eq=False)
class SqliteCommitGroup:
    """The blocks of several threads that share one COMMIT."""

    blocks: int = 0
    succeeded: int = 0
    error: BaseException | None = None
    _done: Lock = field(init=False, factory=Lock)

    def __attrs_post_init__(self) -> None:
        self._done.acquire()

    def finish(self, error: BaseException | None = None) -> None:
        """Release the threads that wait for the commit."""
        self.error = error
        self._done.release()

    def wait(self) -> None:
        """Wait for the commit; raise Unavailable if it failed and all blocks are rolled back."""
        with self._done:
            pass
        if self.error is not None:
            reason = getattr(self.error, "orig", self.error)
            raise Unavailable(f"Rolled back because the commit failed: {reason}") from self.error


@define(eq=False)
class Writer:
    """
    The one write connection, which threads acquire in order of arrival.

    Each block runs under a savepoint. The thread that finishes when no other
    waits, or the 64th of a group, commits; all blocks return after the commit.
    """

    connection: Connection
    _driver: sqlite3.Connection
    _mutex: Lock = field(init=False, factory=Lock)
    _waiting: deque[Lock] = field(init=False, default=Factory(deque[Lock]))
    _acquired: bool = field(init=False, default=False)
    _group: SqliteCommitGroup | None = field(init=False, default=None)
    _rolled_back: bool = field(init=False, default=False)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run a block in the group's transaction; roll back only it if it raises."""
        self._acquire()
        group = None
        try:
            group = self._group = self._group or self._open()
            group.blocks += 1
            self._run("SAVEPOINT member")
            yield self.connection
            if self._rolled_back:
                raise Unavailable("SQLite has rolled back the transaction.")
            self._run("RELEASE member")
            group.succeeded += 1
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
        """Open the driver's connection outside any transaction."""
        self._acquire()
        try:
            self._commit()
            yield self._driver
        finally:
            self._commit_or_hand_over()

    def detect_rollback(self) -> None:
        """
        Detect that SQLite has rolled back by itself (disk full, I/O error).

        A new transaction, which will be rolled back, prevents that the rest of
        the block is committed statement by statement.
        """
        if self._group is not None and not self._driver.in_transaction:
            self._rolled_back = True
            self._run("BEGIN")

    def _acquire(self) -> None:
        with self._mutex:
            if not self._acquired:
                self._acquired = True
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
        """Commit if no thread waits or the group is full, then wake the next thread."""
        while True:
            group = self._group
            if group and (not self._waiting or group.blocks >= MAX_GROUP_SIZE):
                self._commit()
            with self._mutex:
                if self._waiting:
                    self._waiting.popleft().release()
                    return
                if self._group is None:
                    self._acquired = False
                    return

    def _open(self) -> SqliteCommitGroup:
        self._rolled_back = False
        self._run("BEGIN IMMEDIATE")
        return SqliteCommitGroup()

    def _undo(self, group: SqliteCommitGroup, error: BaseException) -> None:
        try:
            if not self._rolled_back and self._driver.in_transaction:
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
            self._run("COMMIT" if group.succeeded else "ROLLBACK")
        except BaseException as caught:  # noqa: BLE001 - raised by every block
            error = caught
        self._close(group, error)

    def _close(self, group: SqliteCommitGroup, error: BaseException | None) -> None:
        """Finish a group, and roll back a transaction that is still open."""
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
        """Open the write connection in a transaction."""
        with self.writer.transaction() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read-only connection in autocommit mode."""
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
        """Open a separate connection, without foreign key checks or a transaction."""
        with self.writer.without_transaction(), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            yield connection

    def time(self) -> None:
        """Return None: SQLite has no clock of its own."""
        return

    def backup(self, target: Path) -> None:
        """
        Copy the database, while it is in use, to a new file, and check the copy.

        Raises:
            Conflict: The file exists.
            Unavailable: The copy is damaged.
        """
        if target.exists():
            raise Conflict(f"The file {target} exists already.")
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        _create_file(part)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy, pages=1024)
            copy.execute("PRAGMA journal_mode=DELETE")
            (answer,) = copy.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            part.unlink()
            raise Unavailable(f"The integrity check of the copy failed: {answer}")
        part.rename(target)

    def close(self) -> None:
        """Close every connection."""
        while self._readers:
            self._readers.pop().close()
        with self.writer.without_transaction():
            self.writer.connection.close()
        self._engine.dispose()


def open_sqlite(url: URL) -> SqliteConnections:
    """Open a database file, created with mode 0600; raise Unavailable on failure."""
    if not url.database or url.database == ":memory:":
        raise ValueError(f"The SQLite URL {url} names no file; for memory use the memory store.")
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "cached_statements": 512},
    )
    engine.dialect.statement_compiler = _HintCompiler
    event.listen(engine, "connect", _set_up)
    _create_file(Path(url.database))
    try:
        connection = engine.connect()
    except OperationalError as error:
        reason = f"The database {url.database} cannot be opened: {error.orig}."
        raise Unavailable(reason) from error
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    writer = Writer(connection, driver)
    event.listen(engine, "handle_error", _rollback_detector(writer))
    return SqliteConnections(Path(url.database), writer, engine)


def _create_file(path: Path) -> None:
    """Create an empty file with mode 0600, which SQLite uses for its WAL file too."""
    with suppress(OSError):  # it exists, or SQLite will report the error better
        path.touch(mode=0o600, exist_ok=False)


def _set_up(driver: Any, _: object) -> None:
    for pragma in _PRAGMAS:
        driver.execute(f"PRAGMA {pragma}")
    driver.create_function("lower", 1, _lower, deterministic=True)


def _lower(text: Any) -> Any:
    """Fold the case of a text; SQLite's own `lower` handles ASCII only."""
    return text.casefold() if isinstance(text, str) else text


def _rollback_detector(writer: Writer) -> Callable[[ExceptionContext], None]:
    def handle(context: ExceptionContext) -> None:
        if context.connection is writer.connection:
            writer.detect_rollback()

    return handle
