"""What the API answers, in words and rows for a terminal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from responder.cli.loading import number
from responder.cli.tables import Cell, clean, paint
from responder.core.instant import format_span, parse_instant
from responder.core.signal import DAY, HOUR, SECOND, Instant, Span

Json = Mapping[str, Any]
INCIDENT_HEADERS: Final = ("ID", "PRIO", "STATE", "SERVICE", "OWNER", "OPENED", "DUE", "TITLE")
EVENT_HEADERS: Final = ("AT", "WHAT", "BY", "DETAIL")
PROBLEM_HEADERS: Final = ("ID", "STATE", "SERVICE", "OWNER", "OPENED", "DUE", "INCIDENTS", "LIKELIEST", "TITLE")
SERVICE_HEADERS: Final = ("SERVICE", "STATE", "OPEN", "TEAM", "SLA", "RESPONSE", "RESOLUTION", "AVAILABILITY")
SILENCE_HEADERS: Final = ("ID", "STATE", "ENDS", "BY", "MATCHERS", "COMMENT")
ALERTS_SHOWN: Final = 10
NEVER: Final[Instant] = 1 << 62
WINDOW_HEADERS: Final = ("NAME", "STATE", "WHEN", "WHAT", "FROM", "REASON")
COLOURS: Final[Mapping[str, str]] = {
    "P1": "red", "P2": "yellow", "breached": "red", "outage": "red", "degraded": "yellow", "operational": "green",
    "resolved": "green", "closed": "green", "met": "green", "firing": "red", "active": "yellow",
}  # fmt: skip
_OPS: Final = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
_QUIET: Final = frozenset({"holds", "working", "follows", "collect", "begun_at", "sla_version", "told", "shown"})
"""What an event says for machines."""
_SPEAKING: Final = frozenset({"reason", "text", "note", "title", "stage", "comment"})
"""What needs no name to be understood."""


def incident_row(item: Json, now: Instant) -> list[Cell | str]:
    """Return an incident as a row of the list."""
    marks = "".join(f" [{flag}]" for flag in item["flags"])
    return [
        item["id"], coloured(item["priority"]), coloured(item["state"]), item["service"], item["owner"],
        ago(item["opened_at"], now), next_due(item, now), item["title"] + marks,
    ]  # fmt: skip


def incident_page(item: Json, now: Instant) -> Iterator[str]:
    """Yield the lines that say everything about one incident."""
    yield paint(Cell(f"{item['id']}  {item['title']}", bold=True))
    yield from _facts(
        ("state", f"{_state(item)}, {item['priority']}" + (f", stage {item['stage']}" if item["stage"] else "")),
        ("service", item["service"]),
        ("owner", item["owner"]),
        ("rule", item["rule"] or f"opened by hand ({item['source']})"),
        ("began", item["started_at"] if item["started_at"] != item["opened_at"] else ""),
        ("opened", f"{item['opened_at']} ({ago(item['opened_at'], now)})"),
        ("acknowledged", item["acknowledged_at"]),
        ("resolved", item["resolved_at"] and f"{item['resolved_at']} ({item['resolution']})"),
        ("cause", item["cause"]),
        ("closed", item["closed_at"]),
        ("flags", ", ".join(item["flags"])),
        ("planned until", item["planned_until"]),
        ("lead", item["lead"] and ", news before ".join(filter(None, (item["lead"], item["update_due_at"])))),
        ("customer", _satisfaction(item["satisfaction"])),
        ("parent", item["parent"]),
        ("previous", item["previous"]),
        ("problem", item["problem"]),
        ("known error", _known_error(item["known_error"])),
        ("runbook", item["runbook"]),
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(item["labels"].items()))),
        *((name, _clock(item["sla"][name], now)) for name in ("response", "resolution")),
        ("description", item["description"]),
        ("takes", ", ".join("ack" if name == "acknowledge" else name for name in item["allowed"])),  # as typed here
    )
    for stage in item["stages"]:
        yield "  " + clean(_stage(stage))
    if item["alerts"]:
        yield ""
        yield paint(Cell(f"alerts: {item['alerts_count']}, newest first", bold=True))
        for alert in item["alerts"][:ALERTS_SHOWN]:
            labels = ", ".join(f"{name}={value}" for name, value in sorted(alert["labels"].items()))
            yield f"  {paint(coloured(alert['status']))}  {alert['starts_at']}  {clean(labels)}"


def _state(item: Json) -> str:
    return f"{item['state']} for the {item['paused_for']}" if item["paused_for"] else str(item["state"])


def _stage(stage: Json) -> str:
    ended = f", ended {stage['ended_at']}" if stage["ended_at"] else ""
    accepted = f", accepted by {stage['accepted_by']}" if stage["accepted_by"] else ""
    late = ", overdue" if stage["overdue_at"] else ""
    due = f", due {stage['due_at']}" if stage["due_at"] else ""
    return f"stage {stage['stage']}: {stage['owner']} since {stage['started_at']}{accepted}{ended}{due}{late}"


def _satisfaction(asked: Json | None) -> str:
    if asked is None:
        return ""
    if asked["score"] is not None:
        return f"gave {asked['score']} of 5 {asked['comment']}".rstrip()
    return f"was asked{': ' + asked['link'] if asked['link'] else ''}"


def problem_row(item: Json, now: Instant) -> list[Cell | str]:
    """Return a problem as a row of the list."""
    causes = item["probable_causes"]
    likeliest = f"{causes[0]['entity']} {causes[0]['score']:.0%}" if causes else "-"
    return [
        item["id"], coloured(item["state"]), item["service"] or "-", item["owner"], ago(item["opened_at"], now),
        _due(item["due_at"], item["resolved_at"], now), str(item["incidents_count"]), likeliest, item["title"],
    ]  # fmt: skip


def problem_page(item: Json, now: Instant) -> Iterator[str]:
    """Yield the lines that say everything about one problem."""
    yield paint(Cell(f"{item['id']}  {item['title']}", bold=True))
    yield from _facts(
        ("state", item["state"]),
        ("service", item["service"]),
        ("owner", item["owner"]),
        ("found by", item["rule"] or item["origin"]),
        ("opened", f"{item['opened_at']} ({ago(item['opened_at'], now)})"),
        ("due", item["due_at"] and _promised(item, now).removeprefix("due ")),
        ("resolved", item["resolved_at"]),
        ("closed", item["closed_at"]),
        ("merged into", item["merged_into"]),
        ("with", ", ".join(item["merged"])),
        ("root cause", item["root_cause"]),
        ("workaround", item["workaround"]),
        ("takes", ", ".join(item["allowed"])),
    )
    yield from _listed("probable causes", (cause["reason"] for cause in item["probable_causes"]))
    yield from _listed(
        number(item["incidents_count"], "incident"),
        (f"{link['incident']}  {link['score']:g}  {link['reason']}" for link in item["links"]),
    )
    yield from _listed(
        "reviews",
        (f"{one['at']}  {_verdict(one)}  {one['by'] or 'correlation'}: {one['text']}" for one in item["reviews"]),
    )
    yield from _listed(
        "action items",
        (
            f"{n}  {'done ' + one['done_at'] if one['done_at'] else _promised(one, now)}  {one['owner']}: {one['text']}"
            for n, one in enumerate(item["actions"], 1)
        ),
    )


def _promised(item: Json, now: Instant) -> str:
    return f"due {item['due_at']} ({_from_now(item['due_at'], now)})"


def _due(due_at: str | None, done_at: str | None, now: Instant) -> Cell:
    if due_at is None or done_at is not None:
        return Cell("-")
    return Cell(_from_now(due_at, now), None if parse_instant(due_at) > now else "red")


def _verdict(review: Json) -> str:
    held = "held" if review["effective"] else "did not hold"
    return f"{held}, {review['incident']}" if review["by"] and review["incident"] else held


def problem_outcome(item: Json) -> str:
    """Return what became of a problem, on one line."""
    return clean(f"{item['id']} is {item['state']} (owner {item['owner']}): {item['title']}")


def event_row(item: Json) -> list[Cell | str]:
    """Return an entry of a timeline as a row."""
    say = _EVENTS.get(item["kind"], _plainly)
    return [item["at"], item["kind"], item["actor"]["name"], "; ".join(filter(None, say(item["data"])))]


def _plainly(data: Json) -> Iterator[str]:
    for name, value in data.items():
        if value in (None, "") or name in _QUIET or isinstance(value, Mapping | list):
            continue
        words = name.removesuffix("_s" if isinstance(value, int | float) else "_at").replace("_", " ")
        if isinstance(value, bool):
            yield words if value else f"not {words}"
        elif name.endswith("_s") and isinstance(value, int | float):
            yield f"{words} {format_span(round(value * SECOND))}"
        else:
            yield str(value) if name in _SPEAKING else f"{words} {value}"


def _opened(data: Json) -> Iterator[str]:
    yield f"{data['priority']} {data['service']}: {data['title']}" if "priority" in data else str(data.get("title", ""))
    if data.get("owner"):
        yield f"owner {data['owner']}"
    if data.get("source"):
        yield f"source {data['source']}"
    yield ", ".join(data.get("flags", ()))


def _flagged(data: Json) -> Iterator[str]:
    flag, on = data["flag"], data["on"]
    if flag == "taking":
        yield "takes new alerts" if on else "takes no new alerts"
    elif flag == "holds":
        yield "its condition holds again"
    else:
        yield flag if on else f"{flag} no more"
    yield from _plainly({name: value for name, value in data.items() if name not in ("flag", "on")})


def _ended(data: Json) -> Iterator[str]:
    yield from _plainly(data)
    for which, shown in data.get("verdict", {}).items():
        if shown["target_s"] is not None:
            spent, target = (format_span(round(shown[name] * SECOND)) for name in ("elapsed_s", "target_s"))
            yield f"{which} {shown['state']}, {spent} of {target}"


def _delivered(data: Json) -> Iterator[str]:
    yield f"{data['event']} on {data['channel']}"
    yield f"attempt {data['attempt']}" if data["attempt"] > 1 else ""
    yield str(data.get("error", ""))
    yield f"next: {data['next']}" if data.get("next") else ""


_EVENTS: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = {
    "opened": _opened, "flagged": _flagged, "closed": _ended, "cancelled": _ended, "notified": _delivered,
    "notification_failed": _delivered,
}  # fmt: skip
"""What is said otherwise than field by field."""


def service_row(item: Json) -> list[Cell | str]:
    """Return a service as a row: attainment against objective."""
    ratios = [_ratio(item, name) for name in ("response", "resolution", "availability")]
    return [item["name"], coloured(item["state"]), str(item["open_count"] or "-"), item["team"], item["sla"], *ratios]


def service_page(item: Json) -> Iterator[str]:
    """Yield the lines that say everything about one service."""
    yield paint(Cell(item["name"], bold=True))
    yield from _facts(
        ("state", item["state"]),
        ("to be told", item["summary"]),
        ("team", item["team"]),
        ("org", item["org"]),
        ("supplier", item["supplier"]),
        ("depends on", ", ".join(item["depends_on"])),
        ("runbook", item["runbook"]),
        ("sla", item["sla"]),
        *((name, _ratio(item, name).text) for name in ("response", "resolution", "availability")),
        ("description", item["description"]),
    )
    for brief in item["open_incidents"]:
        marks = f"{paint(coloured(brief['priority']))}  {brief['state']}"
        yield f"  {brief['id']}  {marks}  {clean(brief['title'])}"


def silence_row(item: Json, now: Instant) -> list[Cell | str]:
    """Return a silence as a row."""
    matchers = " ".join(
        f'{m["name"]}{_OPS[m["isRegex"], m.get("isEqual", True)]}"{m["value"]}"' for m in item["matchers"]
    )
    state = item["status"]["state"]
    return [item["id"], coloured(state), _from_now(item["endsAt"], now), item["createdBy"], matchers, item["comment"]]


def window_row(item: Json, now: Instant) -> list[Cell | str]:
    """Return a maintenance window as a row."""
    recurring, ended = item["recurring"], item["ended_at"]
    if recurring is not None:
        when = f"{recurring['days']} {recurring['from']}-{recurring['to']} {recurring['timezone']}"
    elif item["state"] == "pending":
        when = f"begins {_from_now(item['from'], now)}, until {item['to']}"
    else:
        when = f"{'ended' if item['state'] == 'ended' else 'ends'} {_from_now(ended or item['to'], now)}"
    return [
        item["name"], coloured(item["state"]), when, item["match"] or " ".join(item["services"]), item["by"] or "config",
        item["reason"],
    ]  # fmt: skip


def outcome(item: Json) -> str:
    """Return what became of an incident, on one line."""
    return clean(f"{item['id']} is {item['state']} ({item['priority']}, owner {item['owner']}): {item['title']}")


def coloured(word: str) -> Cell:
    """Return a word in the colour that it has everywhere."""
    return Cell(word, COLOURS.get(word))


def next_due(item: Json, now: Instant) -> Cell:
    """Return when the next clock or the stage is due, or that one was missed."""
    if _is_open(item) and any(clock["state"] == "breached" for clock in item["sla"].values()):
        return Cell("breached", "red", bold=True)
    due = first_due(item)
    if due == NEVER:
        return Cell("-")
    return Cell("in " + roughly(due - now)) if due >= now else Cell("overdue", "red")


def first_due(item: Json) -> Instant:
    """Return when the next thing that was promised or limited is due, or was: what a work queue is ordered by."""
    open_ = _is_open(item)
    clocks = [("resolution", open_), ("response", open_ and item["acknowledged_at"] is None)]
    dues = [item["sla"][name]["breached_at"] or item["sla"][name]["due_at"] for name, runs in clocks if runs]
    dues += [stage["due_at"] for stage in item["stages"][-1:] if stage["ended_at"] is None]
    return min((parse_instant(due) for due in dues if due), default=NEVER)


def _is_open(item: Json) -> bool:
    return item["resolved_at"] is None and item["closed_at"] is None


def ago(at: str, now: Instant) -> str:
    """Return how long ago an instant was: ``12m ago``."""
    return roughly(max(0, now - parse_instant(at))) + " ago"


def roughly(span: Span) -> str:
    """Return a span with as much precision as people need: ``3d4h``, ``1h12m``, ``40s``."""
    for unit, next_unit in ((DAY, HOUR), (HOUR, 60 * SECOND)):
        if span >= unit:
            return format_span(span - span % next_unit)
    return format_span(span - span % (SECOND if span < 600 * SECOND else 60 * SECOND))


def _known_error(item: Json | None) -> str | None:
    if item is None:
        return None
    return f"{item['problem']}, workaround: {item['workaround']}" if item["workaround"] else str(item["problem"])


def _listed(what: str, entries: Iterable[str]) -> Iterator[str]:
    found = list(entries)
    if found:
        yield ""
        yield paint(Cell(what, bold=True))
        yield from (f"  {clean(entry)}" for entry in found)


def _from_now(at: str, now: Instant) -> str:
    then = parse_instant(at)
    return "in " + roughly(then - now) if then > now else ago(at, now)


def _clock(shown: Json, now: Instant) -> str:
    if shown["target_s"] is None:
        return "no target"
    target, elapsed = (format_span(round(shown[name] * SECOND)) for name in ("target_s", "elapsed_s"))
    due = (
        f", due {shown['due_at']} ({_from_now(shown['due_at'], now)})"
        if shown["due_at"] and shown["state"] == "running"
        else ""
    )
    missed = f"{'' if shown['state'] == 'breached' else ', breached'} at {shown['breached_at']}"  # also when exempt
    return f"{shown['state']}{missed if shown['breached_at'] else ''}, {elapsed} of {target}{due}"


def _ratio(item: Json, name: str) -> Cell:
    """Return attainment against objective: ``98.1% of 95%``."""
    kept, promised = item["attainment"][name], item["objective"][name]
    if kept is None:
        return Cell("-" if promised is None else f"- of {_percent(promised)}")
    if promised is None:
        return Cell(_percent(kept))
    return Cell(f"{_percent(kept)} of {_percent(promised)}", "green" if kept >= promised else "red")


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.5g}%"


def _facts(*facts: tuple[str, str | None]) -> Iterator[str]:
    known: Sequence[tuple[str, str]] = [(name, text) for name, text in facts if text]
    width = max(len(name) for name, _ in known)
    for name, text in known:
        yield f"  {name:{width}}  {clean(text)}"
