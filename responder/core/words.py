"""A message in plain words, for somebody who is woken by it at three in the morning."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from responder.core import stages
from responder.core.alert import Alert
from responder.core.clocks import Terms
from responder.core.desk import Change, ProblemRow
from responder.core.incident import Incident, name_of, update_due
from responder.core.instant import format_span, to_datetime
from responder.core.outbox import Part
from responder.core.problem import Problem
from responder.core.signal import SECOND, Instant
from responder.core.sla import Which, reading

LISTED: Final = 20
"""Of what leaves in the same message, so many are named."""
NAMED: Final = 3
"""Probable causes of a problem that a message names."""
_DUE: Final[tuple[tuple[Which, str], ...]] = (("response", "Acknowledge"), ("resolution", "Restore"))
_REASONS: Final = {"false_positive": "a false positive", "duplicate": "a duplicate", "exercise": "an exercise"}


Other: TypeAlias = tuple[Part, Incident, ProblemRow | None]


def title_of(part: Part, row: Incident, more: int, problem: ProblemRow | None = None) -> str:
    """Return one line: what happened, how urgent it is, to what.

    Args:
        row: The incident that it speaks of, or that stands for the problem.
        problem: That it speaks of.
    """
    rest = f" (and {more} more)" if more else ""
    if part.problem is not None and problem is not None:
        ended = f" {problem.problem.state}" if part.event == "resolved" else ""
        if part.event == "overdue":
            ended = f" has action item {part.about['action']} overdue" if part.about else " overdue"
        return f"[{row.priority}] problem{ended}: {problem.problem.title} (PRB-{part.problem}){rest}"
    happened = _happened(part, row)
    grave = f"[{row.priority}{' major' if 'major' in row.flags else ''}]"
    return f"{grave} {happened + ': ' if happened else ''}{row.service}: {row.title} ({name_of(row.id)}){rest}"


def text_of(
    part: Part, row: Incident, terms: Terms, now: Instant, url: str, *,
    alert: Alert | None = None, changes: Sequence[Change] = (), problem: Problem | None = None,
    error: Problem | None = None, others: Sequence[Other] = (),
    tried: Sequence[str] = (), link: str | None = None,
) -> str:  # fmt: skip
    """Return what one has to know: what, where, since when, until when, whose, and where to look.

    Args:
        terms: What is promised for the service.
        url: Of the daemon, as people reach it.
        alert: Its newest occurrence.
        changes: To the service, shortly before it began.
        problem: That it is part of.
        error: A known error that it looks like.
        others: What leaves in the same message, the most urgent first.
        tried: Channels that could not be reached.
        link: By which the customer answers, once.
    """
    head = [_sentence(part, row), *_told(part), row.description, *_said(row, alert)]
    facts = [
        f"Service: {row.service}",
        f"Priority: {row.priority}",
        f"State: {row.state}{_waits(row)}" + (f", stage {row.stage}" if row.stage else ""),
        f"Since: {_clock(row.started_at)} ({format_span(max(0, now - row.started_at))} ago)",
        *_promises(row, terms, now),
        *_limit(row, now),
        _led(row),
        _seen(row),
        f"Seen at: {alert.url}" if alert is not None and alert.url else "",
        f"Owner: {row.owner}",
        f"Alerts: {row.alerts_count}, {row.firing} firing" if row.alerts_count > 1 else "",
        *(
            f"Changed before: {change.kind} {change.version} at {_clock(change.at)} {change.url}".rstrip()
            for change in changes
        ),
        *_known(problem, "Problem"),
        *_known(error, "Known error"),
        f"Runbook: {row.runbook}" if row.runbook else "",
        f"For the customer to answer: {link}" if link is not None else _unanswered(part, row),
        f"Details: {url}/api/v1/incidents/{name_of(row.id)}",
        f"Sent here because {', '.join(tried)} could not be reached." if tried else "",
    ]
    return "\n\n".join("\n".join(filter(None, lines)) for lines in (head, facts, _more(others)) if lines) + "\n"


def text_of_problem(
    part: Part, row: ProblemRow, lead: Incident, now: Instant, url: str, *, others: Sequence[Other] = (),
    tried: Sequence[str] = (),
) -> str:  # fmt: skip
    """Return what the owner of a problem has to know: what probably broke first, how far it goes, what helps.

    Args:
        lead: Its most urgent incident.
        url, others, tried: As of :func:`text_of`.
    """
    of = row.problem
    into = f", it is part of PRB-{of.merged_into} now" if of.merged_into is not None else ""
    head = [f"{of.title} - {of.state}{into}" if part.event == "resolved" else of.title]
    if part.event == "overdue":
        late = of.actions[part.about["action"] - 1] if part.about else None
        what = f"Action item {part.about['action']} of {late.owner}: {late.text}" if late else "Not resolved"
        head.append(f"{what} - was due {_clock(part.at)}")
    causes = ["Probable causes, the likeliest first:", *(f"- {cause.reason}" for cause in of.causes[:NAMED])]
    facts = [
        f"Problem: PRB-{of.id}, {of.state}{f', found by {of.spec} ({of.origin})' if of.spec else ''}",
        f"Since: {_clock(of.opened_at)} ({format_span(max(0, now - of.opened_at))} ago)",
        f"Incidents: {row.count}, the most urgent {lead.priority} {lead.service}: {lead.title} ({name_of(lead.id)})",
        f"Root cause: {of.root_cause}" if of.root_cause else "",
        f"Workaround: {of.workaround}" if of.workaround else "",
        f"Owner: {of.owner}",
        f"Due: {_clock(of.due_at)}" if of.due_at is not None else "",
        f"Details: {url}/api/v1/problems/PRB-{of.id}",
        f"Sent here because {', '.join(tried)} could not be reached." if tried else "",
    ]
    shown = (head, causes if of.causes else [], facts, _more(others))
    return "\n\n".join("\n".join(filter(None, lines)) for lines in shown if lines) + "\n"


def _happened(part: Part, row: Incident) -> str:
    about = part.about
    match part.event:
        case "opened" if "raised_from" in about:
            return f"raised from {about['raised_from']}"
        case "opened":
            return "again" if row.reopened else ""
        case "repeat":
            return "still open, not acknowledged"
        case "stage":
            return f"{about.get('stage')} is now with {about.get('owner')}"
        case "overdue":
            return "news was promised by now" if about.get("news") else f"{about.get('stage')} is overdue"
        case "warned":
            return f"{about.get('percent')}% of the {about.get('target')} time is used"
        case "breached":
            return f"{about.get('target')} target missed"
        case "resolved":
            return "cancelled" if row.state == "cancelled" else "resolved"


def _sentence(part: Part, row: Incident) -> str:
    happened = _happened(part, row)
    if part.event == "resolved" and row.state == "cancelled":
        happened += f" as {_REASONS.get(row.cancel_reason, row.cancel_reason)}"
    elif part.event == "resolved":
        happened += {"manual": " by hand", "recovered": " by itself", "expired": ": nobody reports it any more"}.get(
            row.resolution, ""
        )
    elif part.event == "opened" and happened and part.about.get("reason"):
        happened += f", {part.about['reason']}"
    late = " (told late)" if part.about.get("late") else ""
    return f"{row.title}{' - ' + happened if happened else ''}{late}"


def _told(part: Part) -> list[str]:
    """Return what who did it says of it: to the next owner, or of the end."""
    about = part.about
    note, cause = about.get("note"), about.get("cause")
    return [*([f"{about.get('by')} says: {note}"] if note else []), *([f"Cause: {cause}"] if cause else [])]


def _limit(row: Incident, now: Instant) -> list[str]:
    """Return until when the stage has to end, if that is a limit of its own and no promise to the customer."""
    stage = stages.running(row)
    if stage is None or stage.due_at is None or stage.follows:
        return []
    if stage.due_at < now:
        return [f"End of {stage.name} was due: {_clock(stage.due_at)}"]
    return [f"End {stage.name} before: {_clock(stage.due_at)} (in {format_span(stage.due_at - now)})"]


def _waits(row: Incident) -> str:
    return f" for the {row.paused_for}" if row.paused_for else ""


def _led(row: Incident) -> str:
    news = update_due(row)
    return f"Major incident: led by {row.lead}, next news before {_clock(news)}" if news is not None else ""


def _seen(row: Incident) -> str:
    seen = row.evidence
    if seen is None:
        return ""
    return f"Seen: {'no data' if seen.value is None else f'{seen.value:g}'} of {seen.query} ({seen.source})"


def _said(row: Incident, alert: Alert | None) -> list[str]:
    """Return what the newest alert says in words, unless the incident says it already."""
    if alert is None:
        return []
    known = f"{row.title}\n{row.description}"
    words = [alert.annotations.get(name, "").strip() for name in ("summary", "description", "message")]
    return [word for word in dict.fromkeys(words) if word and word not in known]


def _known(problem: Problem | None, what: str) -> list[str]:
    if problem is None:
        return []
    likeliest = next((f", probably because of {cause.entity or cause.service}" for cause in problem.causes), "")
    because = f", because of {problem.root_cause}" if problem.root_cause else likeliest
    found = [f"{what}: PRB-{problem.id} {problem.title}{because}"]
    return [*found, f"Workaround: {problem.workaround}"] if problem.workaround else found


def _unanswered(part: Part, row: Incident) -> str:
    """Return the reminder that a customer has not answered by the end of the stage; its owner has the link."""
    if part.event != "overdue" or row.state != "resolved" or row.asked_at is None or row.score is not None:
        return ""
    return f"No answer yet: the customer was asked at {_clock(row.asked_at)}"


def _promises(row: Incident, terms: Terms, now: Instant) -> list[str]:
    found = []
    for which, verb in _DUE:
        shown = reading(row.clock, which, terms.sla, terms.calendar, max(now, row.last_at))
        if shown.breached_at is not None:
            found.append(f"{verb} was due: {_clock(shown.breached_at)}")
        elif shown.state == "running" and shown.due_at is not None:
            found.append(f"{verb} before: {_clock(shown.due_at)} (in {format_span(max(0, shown.due_at - now))})")
    return found


def _more(others: Sequence[Other]) -> list[str]:
    if not others:
        return []
    lines = [f"And {len(others)} more:"]
    lines += [f"- {title_of(part, row, 0, problem)}" for part, row, problem in others[:LISTED]]
    if len(others) > LISTED:
        lines.append(f"- ... {len(others) - LISTED} not listed here")
    return lines


def _clock(at: Instant) -> str:
    return f"{to_datetime(at // SECOND * SECOND):%Y-%m-%d %H:%M:%S} UTC"
