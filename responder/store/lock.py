"""One daemon per database, by a lock that no crash leaves behind: of the operating system, or of PostgreSQL's session."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, text

from responder.store.engine import StorageError


class FileLock:
    """Held from construction until :meth:`release` or the end of the process."""

    def __init__(self, database: Path) -> None:
        self._database, self._path = database, database.with_name(database.name + ".lock")
        while True:
            self._file = self._locked()
            if self._is_there():
                break
            os.close(self._file)  # who held it removed it in between: a new one counts
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def _locked(self) -> int:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"{self._path} can't be opened: {error.strerror}\n"
                "  hint: storage.url names a file in a folder that is there, and that the user of the daemon may write to"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode().strip() or "unknown"
            os.close(file)
            raise StorageError(
                f"{self._database} is in use by another daemon (process {holder}); two would decide against each other\n"
                "  hint: stop that one, or give this one a storage.url of its own"
            ) from None
        return file

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let another daemon have the file. Where no database was made, nothing is left behind."""
        if not self._database.exists():
            with suppress(OSError):
                self._path.unlink()
        os.close(self._file)


def hold(connection: Connection) -> bool:
    """Take the lock of a PostgreSQL schema for as long as this session lives; returns whether it is ours.

    The server ends the session of a machine that vanished within a minute. SQLite: see :class:`FileLock`.
    """
    if connection.dialect.name != "postgresql":
        return True
    for name, value in (("idle", 30), ("interval", 10), ("count", 3)):
        connection.execute(text(f"SET tcp_keepalives_{name} = {value}"))
    found = connection.execute(
        text("SELECT pg_try_advisory_lock(hashtext('responder'), hashtext(current_schema()))")
    ).scalar()
    connection.commit()
    return bool(found)
