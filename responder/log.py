"""Structured logs: one JSON object a line, or plain text on a terminal. No secret ever comes here."""

import json
import logging
import sys
from typing import Final

from responder.clock import SystemClock
from responder.core.instant import format_instant

_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": format_instant(round(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{name}={value}" for name, value in record.__dict__.items() if name not in _PLAIN)
        at = format_instant(SystemClock().now())[11:19]
        text = f"{at} {record.levelname.lower():8}{record.getMessage()}" + (f"  ({extra})" if extra else "")
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def set_up(level: str = "INFO", *, text: bool | None = None) -> None:
    """Send logs to standard error: text for a terminal, JSON lines for everything else."""
    handler = logging.StreamHandler(sys.stderr)
    plain = sys.stderr.isatty() if text is None else text
    handler.setFormatter(_Text() if plain else _Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("apscheduler", "httpx", "httpcore", "uvicorn", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
