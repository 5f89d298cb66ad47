"""Opening the database: SQLite tuned for one durable writer, or PostgreSQL."""

import os
import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError as DatabaseError
from sqlalchemy.pool import NullPool, StaticPool

from responder.store.schema import metadata

__all__ = ["DatabaseError", "Engine", "StorageError", "create_private", "open_engine", "path_of", "scratch", "sentence"]

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_GIVE_UP = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""When a PostgreSQL that vanished without a word is given up: in less than half a minute, where the kernel's own
measure is a quarter of an hour and two hours. The server does as much for us, see :func:`responder.store.lock.hold`."""


class StorageError(Exception):
    """The database can't be used; the sentence says which and why."""


def open_engine(url: str, schema: str | None = None, *, read_only: bool = False, fast: bool = False) -> Engine:
    """Return an engine for the writer or, with *read_only*, for readers.

    ``fast`` gives up durability (``synchronous=OFF``): for replay and tests of rules only.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url, read_only=read_only, fast=fast)
    if parsed.get_backend_name() != "postgresql":
        raise StorageError(
            f"storage.url: {parsed.get_backend_name()} is not supported; use sqlite or postgresql+psycopg"
        )
    if schema is not None and not _SCHEMA.fullmatch(schema):
        raise StorageError(f"storage.schema: {schema!r} is not a plain name")
    parsed = parsed.set(query={**_GIVE_UP, **parsed.query})
    options = f"-csearch_path={schema}" if schema else ""
    readers = {"pool_size": 5, "pool_pre_ping": True}  # the server may have ended what waits in the pool
    pool: dict[str, Any] = readers if read_only else {"poolclass": NullPool}  # a lock ends with its session
    try:
        return create_engine(parsed, connect_args={"options": options} if options else {}, **pool)
    except ModuleNotFoundError as error:
        raise StorageError(
            f"storage.url: PostgreSQL needs the package {error.name}, which is not installed\n"
            "  hint: pip install 'incident-responder[postgres]', or in a clone: pip install '.[postgres]'"
        ) from error


def sentence(error: StorageError | DatabaseError) -> str:
    """Return why the store can't be opened or read, on one line and without its URL."""
    if isinstance(error, StorageError):
        return str(error)
    return "the store can't be used: " + " ".join(str(error.orig).split())


def scratch(file: Path | None = None) -> Engine:
    """Return an empty database of no durability for one thread: in memory, or in a file for what is large."""
    url = "sqlite://" if file is None else f"sqlite:///{file}"
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=OFF")
        connection.exec_driver_sql("PRAGMA synchronous=OFF")
    metadata.create_all(engine)
    return engine


def path_of(url: str) -> Path | None:
    """Return the file of a SQLite URL; None for memory and for other databases."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def create_private(path: Path) -> None:
    """Create a file that only its owner may read, as the secrets of alerts deserve.

    SQLite gives ``-wal`` and ``-shm`` the mode of their database. One that is there is not even opened: to close a
    file drops every POSIX lock that the process has on it, those of its other connections too, and then the next
    program that looks into the database takes itself for the last one and deletes the log under the daemon.

    Raises:
        OSError: It is there, or can't be created.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _sqlite(url: str, *, read_only: bool, fast: bool) -> Engine:
    path = path_of(url)
    if path is not None and not path.parent.exists():
        raise StorageError(f"storage.url: the folder {path.parent} does not exist")
    if path is not None and path.is_dir():
        raise StorageError(f"storage.url: {path} is a folder, and should be a file")
    args: dict[str, Any] = {"check_same_thread": False, "timeout": 5.0}
    if path is None:
        engine = create_engine(url, connect_args=args)
    elif read_only:
        target = f"file:{quote(str(path))}?mode=ro"
        engine = create_engine(url, poolclass=NullPool, creator=lambda: sqlite3.connect(target, uri=True, **args))
    else:
        engine = create_engine(url, poolclass=NullPool, connect_args=args)

        @event.listens_for(engine, "do_connect")
        def _create(*_: Any) -> None:
            with suppress(OSError):  # SQLite says what is wrong with it
                create_private(path)

    @event.listens_for(engine, "handle_error")
    def _name(context: ExceptionContext) -> None:  # SQLite does not say which file
        if getattr(context.original_exception, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StorageError(f"storage.url: {path} is not an SQLite database") from context.original_exception

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        if not read_only:
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
            cursor.execute("PRAGMA journal_mode=" + ("MEMORY" if fast else "WAL"))
            cursor.execute("PRAGMA synchronous=" + ("OFF" if fast else "FULL"))
            cursor.execute("PRAGMA wal_autocheckpoint=0")  # the writer decides when
        cursor.execute("PRAGMA cache_size=-8000")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()

    return engine
