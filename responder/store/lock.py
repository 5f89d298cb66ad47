"""One daemon per SQLite file, by a lock of the operating system that no crash leaves behind."""

import fcntl
import os
from pathlib import Path

from responder.store.engine import StorageError


class FileLock:
    """Held from construction until :meth:`release` or the end of the process."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._path.read_text().strip() or "unknown"
            os.close(self._file)
            raise StorageError(
                f"{database} is in use by another daemon (process {holder}); two would decide against each other\n"
                "  hint: stop that one, or give this one a storage.url of its own"
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Let another daemon have the file."""
        os.close(self._file)
