"""Structured logs: one JSON object a line, or plain text on a terminal. No secret ever comes here."""

import json
import logging
import re
import sys
from typing import Any, Final

from responder.clock import SystemClock
from responder.core.desk import Desk
from responder.core.event import Event
from responder.core.incident import name_of
from responder.core.instant import format_instant
from responder.core.shown import problem_name

_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What could break a line, play with a terminal, or not be written at all: titles and labels come from outside."""
_OF_PROBLEMS: Final = {"linked": "to", "unlinked": "from"}
_DELIVERIES: Final = frozenset({"notified", "notification_failed"})


def _visible(text: str) -> str:
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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
        return _visible(json.dumps(entry, ensure_ascii=False, default=str))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{name}={value}" for name, value in record.__dict__.items() if name not in _PLAIN)
        at = format_instant(SystemClock().now())[11:19]
        text = _visible(f"{at} {record.levelname.lower():8}{record.getMessage()}" + (f"  ({extra})" if extra else ""))
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def set_up(level: str = "INFO", *, text: bool | None = None) -> None:
    """Send logs to standard error: text for a terminal, JSON lines for everything else."""
    handler = logging.StreamHandler(sys.stderr)
    plain = sys.stderr.isatty() if text is None else text
    handler.setFormatter(_Text() if plain else _Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("apscheduler", "httpx", "httpcore", "uvicorn", "alembic", "apprise"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def event_words(event: Event, desk: Desk) -> tuple[str, dict[str, Any]]:
    """Return what became true as a log line for who is on call, and its fields.

    A delivery is the doing of a channel: the timeline knows no such actor, the log does.
    """
    kind = event.kind.replace("_", " ")
    actor = f"{'channel' if event.kind in _DELIVERIES else event.actor.kind}:{event.actor.name}"
    fields: dict[str, Any] = {"event": event.kind, "actor": actor, "seq": event.seq}
    if event.subject_kind == "incident" and (row := desk.incidents.get(event.subject)) is not None:
        about = {"incident": name_of(row.id), "rule": row.rule, "service": row.service, "priority": row.priority}
        if event.kind in _OF_PROBLEMS:
            about["problem"] = f"PRB-{event.data['problem']}"
            kind = f"{kind} {_OF_PROBLEMS[event.kind]} {about['problem']}"
        return f"{about['incident']} {kind}: {row.title}", about | fields
    if event.subject_kind == "problem" and (problem := desk.problems.get(event.subject)) is not None:
        about = {"problem": problem_name(event.subject), "service": problem.problem.service}
        return f"{about['problem']} {kind}: {problem.problem.title}", about | fields
    name = event.data.get("name") or event.data.get("id")
    return f"{event.subject_kind} {name} {kind}" if name else f"{event.subject_kind} {kind}", fields
