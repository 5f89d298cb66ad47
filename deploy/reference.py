"""Write responder/REFERENCE.md: every command, setting, route, metric and kind of event.

What the code knows (names, required or not, defaults, help texts) is read from it; the words
on settings stand here. A setting without words stops it, and a test holds the file to it.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from responder import metrics
from responder.cli import main
from responder.cli.loading import kinds
from responder.config.schema import json_schema
from responder.config.templates import NAMES
from responder.core import gauges
from responder.core.event import KINDS
from responder.web.app import ROUTES
from responder.web.auth import MAY, need_of
from responder.web.bodies import RULE

TARGET: Final = Path(__file__).resolve().parent.parent / "responder" / "REFERENCE.md"

FORMS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "StorageForm": ("storage", {
        "url": "`sqlite:///FILE` (`sqlite:///responder.db`) or `postgresql+psycopg://user@host/db`", "schema": "PostgreSQL schema of its own"}),
    "AuthForm": ("auth", {"mode": "`none` (default; loopback only) or `tokens`", "tokens": "who may do what"}),
    "TokenForm": ("auth.tokens[]", {
        "name": "shown in timelines as the actor", "token": "the secret",
        "role": "`viewer` reads; `ingest` pushes; `responder` reads, pushes and commands; `admin` does everything"}),
    "RetentionForm": ("retention", {
        "signals": "how long ended occurrences are kept that no incident refers to (30d)",
        "closed_incidents": "how long closed incidents are kept (400d); their events keep their digests for ever"}),
    "PrioritiesForm": ("priorities", {
        "matrix": "impact -> urgency -> priority (high: P1 P2 P3, medium: P2 P3 P4, low: P3 P4 P5)",
        "severity": "value of the `severity` label -> priority (critical P1, error P2, warning P3, info P5; others P4)"}),
    "TopologyForm": ("topology", {
        "edges": "`{from, to}`: *from* rests on *to*; services, instances, hosts", "file": "JSON list of such edges",
        "from_labels": "`{from: label, to: label}`: edges learned from alerts that carry both",
        "scope": "labels by which nodes of equal name differ"}),
    "CausesForm": ("causes", {
        "memory": "how soon what is remembered of alerts fades",
        "specificity": "the power to which the number of services with the same kind of alert divides its weight (1)",
        "earliness": "so long after the alerts of a problem began to gather, one weighs 1/e (2m)",
        "call": "what latency and errors of calls weigh, as a part of an entity's own resource alerts (0.15)",
        "handed": "the part of its symptoms that a caller hands to its alerting callees (0.3)"}),
    "MemoryForm": ("causes.memory", {
        "slow": "half-life of how often an alert was part of problems (30d)",
        "fast": "half-life of what the problems just before were made of (2h)",
        "alone": "half-life of how often it came without a problem (1d)"}),
    "EdgeForm": ("topology.edges[]", {"from": "what rests", "to": "on what"}),
    "TeamForm": ("teams.NAME", {
        "lead": "the person or role that leads it", "channels": "names, or `{channel, priorities, on}`",
        "lead_channels": "told of major incidents and of what is overdue: stages, problems, action items; the team's own channels if left out",
        "calendar": "hours of its stages; that of the service's SLA if left out"}),
    "ChannelRefForm": ("teams.NAME.channels[]", {
        "channel": "a name of `channels`", "priorities": "only these; all if left out",
        "on": "opened, stage, warned, breached, resolved; all if left out"}),
    "CalendarForm": ("calendars.NAME", {
        "timezone": "IANA name", "hours": "`24x7`, or `{mon-fri: [\"09:00-12:00\", ...]}`; an end before its start runs past midnight",
        "holidays": "dates, closed from midnight to midnight", "overrides": "date -> hours instead of that civil day's"}),
    "SlaForm": ("slas.NAME", {
        "calendar": "when its clocks run", "targets": "priority -> `{response, resolution}`",
        "objective": "the share of incidents that must meet them", "warn_at": "percent of a target ([75])"}),
    "TargetForm": ("slas.NAME.targets.P", {
        "response": "open to acknowledged", "resolution": "open to resolved, pauses excluded"}),
    "ObjectiveForm": ("slas.NAME.objective", {"response": "a ratio, 0 to 1", "resolution": "a ratio, 0 to 1"}),
    "ServiceForm": ("services.NAME", {
        "team": "owns its incidents", "sla": "what is promised", "availability": "the objective as a ratio",
        "depends_on": "services beneath it", "org": "label of its metrics", "supplier": "label of its metrics",
        "users": "how many it serves", "runbook": "link on its incidents", "flow": "stages of its incidents",
        "description": "for people"}),
    "FlowForm": ("flows.NAME", {}),
    "StageForm": ("flows.NAME[]", {
        "stage": "its name; `verify` and later ones run after the resolution", "owner": "a team, or `service.team`",
        "within": "a duration on the owner's calendar, `sla.response` or `sla.resolution`",
        "collect": "`satisfaction`: ask the customer by a one-time link"}),
    "MaintenanceForm": ("maintenance[]", {
        "name": "its name", "reason": "why", "services": "whose incidents are planned", "match": "or which alerts'",
        "from": "RFC 3339 with an offset", "to": "RFC 3339 with an offset", "recurring": "instead of from and to"}),
    "RecurringForm": ("maintenance[].recurring", {
        "days": "`mon-fri`, `sat`", "from": "wall time", "to": "wall time; before `from`: past midnight", "timezone": "IANA name"}),
    "ProblemForm": ("problems[]", {
        "id": "its name",
        "owner": "a team: its channels hear once of a problem, when its probable causes have settled (1m), and of its end",
        "due": "how long it may stay open", "group": "incidents with equal labels",
        "depends": "incidents connected in the topology", "recur": "incidents that come back"}),
    "GroupForm": ("problems[].group", {
        "same": "labels that are equal", "at_least": "so many incidents", "within": "in so long a time"}),
    "DependsForm": ("problems[].depends", {
        "within": "how far apart onsets may be", "same": "labels that must be equal as well",
        "hold_notifications": "how long messages of symptoms wait for a root (0); never a P1"}),
    "RecurForm": ("problems[].recur", {
        "same": "`rule`, `service` or labels", "at_least": "so many times", "within": "in so long a time"}),
    "RuleForm": ("rules[]", {
        "id": "its name: no blanks, no control characters, none of `/ ? # % \\`", "by": "labels that tell one tracked thing from another; may be []", "when": "exactly one kind",
        "incident": "what it opens; without it the rule only feeds others",
        "by_missing": "`separate` (by fingerprint, default) or `skip`", "unclaimed": "only alerts that no other `event` rule matches",
        "mode": "`notify` (default) or `observe`: opens nothing, is only counted",
        "reopen_within": "how long a resolved incident is verified and may reopen (30m)",
        "max_age": "of an `event` rule: after it an incident takes no new alerts, the next opens another one, linked", "absorbs": "rules whose incidents become children of this one's",
        "labels": "added to the incident", "description": "for people"}),
    "WhenForm": ("rules[].when", {
        "metric": "a query and its thresholds", "event": "alerts", "absence": "something that does not come",
        "count": "too many in a window", "all": "several things together", "sequence": "things in an order",
        "flapping": "changes too often"}),
    "MetricForm": ("when.metric", {
        "source": "a polled source", "query": "PromQL, or one selector for `scrape` and `probe`", "every": "evaluation interval",
        "open": "the threshold that opens", "close": "its own edge; left out: the contrary of `open`, at once",
        "no_data": "`keep`, `close` or `open`", "as": "scrape and probe: `value` (default), `age` (seconds since the instant that it shows) or `rate`", "over": "the length of a `rate`"}),
    "BoundForm": ("when.metric.open, close", {
        "above": "a number", "below": "a number", "outside": "[a, b]", "equal": "a number", "not_equal": "a number",
        "for": "pending time, judged at evaluations"}),
    "EventForm": ("event", {
        "source": "only from this source", "match": "what the alert looks like",
        "expire": "an alert without an end lapses so long after it was seen last"}),
    "MatchForm": ("match", {
        "status": "firing or resolved", "labels": "name -> VALUE", "annotations": "name -> VALUE",
        "any": "one of these must hold", "none": "none of these may hold"}),
    "ValueForm": ("VALUE", {
        "not": "a VALUE that must not hold", "regex": "RE2, anchored", "prefix": "text", "exists": "true or false",
        "above": "a number", "below": "a number"}),
    "MemberForm": ("of", {"event": "alerts", "rule": "the edges of another rule"}),
    "StepForm": ("when.sequence.steps[]", {
        "event": "alerts", "rule": "the edges of another rule", "name": "its name", "absent": "the last step only: it did not come"}),
    "AbsenceForm": ("when.absence", {
        "of": "what is awaited", "every": "how often it comes", "grace": "how late it may be",
        "expect": "keys whose clock runs from load, `[{label: value}]`"}),
    "CountForm": ("when.count", {
        "of": "what is counted", "at_least": "so many", "within": "in so long a time", "distinct": "count values of this label"}),
    "AllForm": ("when.all", {"of": "members", "within": "each began inside this time"}),
    "SequenceForm": ("when.sequence", {"steps": "in this order", "within": "from the first step on"}),
    "FlappingForm": ("when.flapping", {"of": "what changes", "start": "opens at", "stop": "closes at"}),
    "ChangesForm": ("when.flapping.start, stop", {"changes": "edges of either kind", "within": "in so long a time"}),
    "IncidentForm": ("rules[].incident", {
        "service": "a name or a template", "title": "a template", "priority": "`P1`..`P5`, or by a label",
        "impact": "high, medium, low", "urgency": "high, medium, low", "runbook": "a link", "labels": "added to the incident",
        "description": "a template", "major": "a major incident from the start"}),
    "PriorityForm": ("incident.priority", {"label": "whose value decides", "map": "value -> priority", "default": "of other values"}),
    "TestForm": ("tests[]", {
        "name": "the sentence it proves", "rules": "those under test; all if left out", "start": "2026-01-05T00:00:00Z",
        "input_series": "samples", "input_alerts": "alerts", "expect": "what there is, and when"}),
    "SeriesForm": ("tests[].input_series[]", {
        "series": "`metric{rule=\"ID\", label=\"value\"}`", "interval": "between samples", "values": "promtool notation: `10 20`, `10x4` (five times 10), `10+5x4`; `_` is no sample, and as in Prometheus an evaluation then takes the newest one of the last 5m; `stale` ends the series at once"}),
    "AlertForm": ("tests[].input_alerts[]", {
        "at": "from the start", "source": "of the signal", "labels": "its labels", "annotations": "its annotations",
        "for": "resolved after so long"}),
    "ExpectForm": ("tests[].expect[]", {
        "eval_time": "from the start", "incidents": "the exact set, compared on the fields given", "problems": "likewise",
        "notifications": "likewise"}),
    "PrometheusSettings": ("sources.NAME, kind: prometheus", {}),
    "PrometheusAlertsSettings": ("sources.NAME, kind: prometheus-alerts", {}),
    "AlertmanagerSettings": ("sources.NAME, kind: alertmanager", {}),
    "ScrapeSettings": ("sources.NAME, kind: scrape", {}),
    "ProbeSettings": ("sources.NAME, kind: probe", {
        "method": "GET (default), HEAD or POST", "valid_status": "200 to 299 if left out", "body_regex": "must be found in the body"}),
    "JsonWebhookSettings": ("sources.NAME, kind: webhook", {
        "map": "where things stand in the body", "hmac": "a signature of the body", "token": "a secret that the sender shows"}),
    "MapSettings": ("sources.NAME.map (JMESPath)", {
        "labels": "label -> expression", "annotations": "annotation -> expression",
        "status": "firing or resolved; without it every delivery opens and closes at once", "id": "tells deliveries apart"}),
    "HmacSettings": ("sources.NAME.hmac", {
        "header": "that carries it", "algorithm": "sha256 (default), sha512 or sha1", "prefix": "before the hex digits", "secret": "the key"}),
    "PagerDutySettings": ("sources.NAME, kind: pagerduty", {"routing_key": "of `POST /v2/enqueue`; any if left out"}),
    "OnFailure": ("sources.NAME.on_failure", {
        "for": "how long it may fail", "priority": "of the incident (P3)", "service": "of the incident"}),
    "TlsSettings": ("sources.NAME.tls", {
        "ca_file": "who is trusted", "cert_file": "our certificate", "key_file": "its key"}),
    "WebhookSettings": ("channels.NAME, kind: webhook", {"secret": "signs the body: `X-Responder-Signature`"}),
    "EmailSettings": ("channels.NAME, kind: email", {
        "to": "addresses", "from": "sender (responder@localhost)", "user": "at the SMTP server", "starttls": "when offered if left out",
        "smtp": "`smtp://host:port` or `smtps://`; has to be given", "password": "at the SMTP server"}),
    "AppriseSettings": ("channels.NAME, kind: apprise", {}),
}  # fmt: skip
SHARED: Final = {
    "kind": "which adapter", "url": "where it is; has to be given", "timeout": "of one request (10s)", "every": "how often it is asked (30s)",
    "on_failure": "the incident that opens when its polls fail", "username": "basic authentication",
    "password": "basic authentication", "token": "sent as `Authorization: Bearer`", "headers": "sent with every request",
    "tls": "files of the connection", "bundle": "after a first message, how long the rest waits to go as one (30s)",
    "rate": "messages in a time (20/1m)", "repeat": "while open and not acknowledged (off)",
}  # fmt: skip
TOP: Final = {
    "listen": "`HOST:PORT` (127.0.0.1:9920); beyond loopback only with `auth`", "external_url": "the URL that links carry",
    "startup_grace": "how long after a start, or after the machine slept or its clock was set, the silence of senders is no news (5m)",
    "include": "globs relative to the file, or `pack:NAME`", "storage": "where everything is kept", "auth": "who may ask",
    "retention": "what is forgotten when", "priorities": "how a priority comes about", "topology": "what rests on what",
    "causes": "the weights by which probable causes are ranked; a reload counts from the next ranking on",
    "teams": "who owns and who is told", "calendars": "when services are promised", "slas": "what is promised",
    "services": "the catalogue", "flows": "hand-over stages", "rules": "signals to incidents", "problems": "incidents to problems",
    "maintenance": "planned windows", "tests": "of the rules, for `responder test`", "sources": "where signals come from",
    "channels": "where messages go",
}  # fmt: skip


OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "/": {"GET": "What there is."},
    "/-/healthy": {"GET": "200 while the process answers."},
    "/-/ready": {"GET": "200 while signals are taken, else 503 with the reason."},
    "/-/reload": {"POST": "Load the configuration again; 500 with every mistake, and then nothing has changed."},
    "/metrics": {"GET": "For Prometheus."},
    "/openapi.json": {"GET": "What describes `/api/v1`: every body, parameter and answer."},
    "/v2/enqueue": {"POST": "PagerDuty Events v2; with a `routing_key` of a source, that is the secret."},
    "/webhooks/{name}": {"POST": "`alertmanager`, `grafana`, or the name of a source of kind `webhook`, whose `token` or `hmac` is the secret."},
    "/api/v2/alerts": {"GET": "Alertmanager: alerts, by `filter`, `active`, `silenced`, `inhibited`, `unprocessed`, `receiver`.", "POST": "Alertmanager: what Prometheus sends."},
    "/api/v2/alerts/groups": {"GET": "Alertmanager: the same, grouped by the rules that match."},
    "/api/v2/silences": {"GET": "Alertmanager: silences, by `filter`.", "POST": "Alertmanager: make or change one."},
    "/api/v2/silence/{id}": {"GET": "Alertmanager: one silence.", "DELETE": "Alertmanager: it ends now."},
    "/api/v2/status": {"GET": "Alertmanager: version, and since when it runs."},
    "/api/v2/receivers": {"GET": "Alertmanager: the ids of the rules, and `none`."},
    "/s/{token}": {"GET": "The page on which a customer rates a service.", "POST": "The rating."},
}  # fmt: skip
"""The routes of ``web/app.py``; one without words stops this, as a setting does."""
FACT_LABELS: Final[Mapping[str, str]] = {
    "calendar_open": "calendar", "calendar_valid_until_timestamp_seconds": "calendar",
    "incident_resolution_seconds": "service priority", "incident_response_seconds": "service priority",
    "incident_restore_seconds": "service", "incident_stage_seconds": "stage", "incident_stages_overdue_total": "service stage",
    "incidents_cancelled_total": "service reason", "incidents_change_related_total": "service", "incidents_correlated_total": "service",
    "incidents_opened_total": "service priority source", "incidents_reopened_total": "service priority",
    "incidents_resolved_total": "service priority resolution", "incidents_unresolved": "service priority state",
    "known_errors_unresolved": "service", "problems_opened_total": "service origin", "problems_unresolved": "service state",
    "satisfaction_responses_total": "service score", "service_availability_objective_ratio": "service",
    "service_downtime_seconds_total": "service kind", "service_failures_total": "service", "service_info": "service team org supplier",
    "service_state": "service state", "service_time_seconds_total": "service", "sla_at_risk": "service target",
    "sla_breaches_total": "service priority target", "sla_next_due_timestamp_seconds": "service target",
    "sla_objective_ratio": "service target", "sla_outcomes_total": "service priority target outcome", "sla_overdue": "service target",
    "sla_target_seconds": "service priority target",
}  # fmt: skip


def settings() -> Iterator[str]:
    """Yield the tables of the configuration."""
    schema = json_schema(kinds())
    yield "| key | what |\n|---|---|\n"
    for key in schema["properties"]:
        yield f"| `{key}` | {TOP[key]} |\n"
    missing = sorted(set(schema["$defs"]) - set(FORMS))
    if missing:
        sys.exit(f"no words for {', '.join(missing)}")
    for form, (where, words) in FORMS.items():
        fields = _fields(schema["$defs"][form])
        if not fields:
            continue
        yield f"\n`{where}`\n\n| key | what |\n|---|---|\n"
        for name, required in fields.items():
            said = words.get(name) or SHARED.get(name)
            if said is None:
                sys.exit(f"no words for {where}: {name}")
            yield f"| `{name}`{' (required)' if required else ''} | {said} |\n"


def _fields(form: Mapping[str, Any]) -> dict[str, bool]:
    """Return name -> required; the three ways to give a secret or a URL are one field."""
    found: dict[str, bool] = {}
    for name in form.get("properties", {}):
        plain = (
            name.removesuffix("_env").removesuffix("_file")
            if name not in ("ca_file", "cert_file", "key_file")
            else name
        )
        found[plain] = found.get(plain, False) or name in form.get("required", [])
    return found


def templates() -> Iterator[str]:
    """Yield what a template may name."""
    yield "Title, description, service, labels and runbook of an incident are Jinja templates of these words; what can't be filled is counted and the incident opens with a plain title.\n\n"
    yield "| word | what |\n|---|---|\n"
    for name, words in NAMES.items():
        yield f"| `{name}` | {words} |\n"
    yield "\n`{{ x | duration }}` takes seconds, `{{ x | bytes }}` bytes, `{{ x | percent }}` a ratio. `{{ labels }}` prints `a=b, c=d`, and so do `key`, `annotations` and `steps`.\n"


def commands() -> Iterator[str]:
    """Yield a line per command and its options."""
    context = click.Context(main)
    yield "| command | does |\n|---|---|\n"
    for name, command in _walk(main, "responder", context):
        options = " ".join(
            f"`{o.opts[-1]}`" for o in command.params if isinstance(o, click.Option) and o.opts[-1] != "--help"
        )
        yield f"| `{name}` | {(command.help or '').splitlines()[0]}{' ' + options if options else ''} |\n"


def _walk(group: click.Command, name: str, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(group, click.Group):
        yield name, group
        return
    for child in group.list_commands(context):
        command = group.get_command(context, child)
        if command is not None:
            yield from _walk(command, f"{name} {child}", context)


def routes() -> Iterator[str]:
    """Yield the routes that this daemon answers."""
    from responder.web.api import build_api

    class _Nothing:
        """The routes are known without a daemon."""

    yield "With `auth.mode: tokens`, *who* is the least of roles that may: `viewer` and `ingest` stand side by side, `responder` does what both do, `admin` everything.\n\n"
    yield "| route | what | who |\n|---|---|---|\n"
    for route in ROUTES:
        for method, said in OWN[route].items():
            yield f"| `{method} {route}` | {said} | {_who(method, route)} |\n"
    for path, methods in sorted(build_api(_Nothing()).openapi()["paths"].items()):  # type: ignore[arg-type]
        for method, of in methods.items():
            said = of.get("description") or of["summary"]
            yield f"| `{method.upper()} {path}` | {said} | {_who(method.upper(), path)} |\n"
    yield f"\n{RULE}\n"


def _who(method: str, route: str) -> str:
    """Return the least of roles that may ask; the two lowest may both do what a scrape needs."""
    if route.startswith("/s/"):
        return "who has the link"
    need = need_of(method, route)
    if need == "nothing":
        return "everybody"
    roles = [role for role in ("viewer", "ingest", "responder", "admin") if need in MAY[role]]
    return " ".join(roles[:2]) if need == "scrape" else roles[0]


def metric_names() -> dict[str, str]:
    """Return every metric with its help."""
    found = {metrics.P + name: text for name, text in metrics.FACT_COUNTERS.items()}
    found |= {metrics.P + name: text for name, text in metrics.FACT_HISTOGRAMS.items()}
    found |= {metrics.P + name: text for name, text in gauges.WORDS.items()}
    for family in metrics.process_families():
        found[family.name + ("_total" if family.type == "counter" else "")] = family.documentation
    return found


def metric_labels() -> dict[str, str]:
    """Return the labels of every metric, in their order."""
    found = {metrics.P + name: labels for name, labels in FACT_LABELS.items()}
    for counted in metrics.counted():
        [family] = counted.describe()
        found[family.name + ("_total" if family.type == "counter" else "")] = " ".join(counted._labelnames)
    return found


def write() -> str:
    """Return the whole page."""
    labels = metric_labels()
    parts = [
        "# Reference\n\nMade by `make docs` from the code; a test holds the two together.\n",
        "\n## Commands\n\n", *commands(),
        "\n## Settings\n\nUnknown keys are errors. Durations are written `30s`, `5m`, `1h30m`. A secret `x` never stands in YAML: write `x_env` or `x_file`.\n\n",
        *settings(),
        "\n## Templates\n\n", *templates(),
        "\n## Routes\n\n", *routes(),
        "\n## Metrics\n\n| name | what | labels |\n|---|---|---|\n", *(f"| `{n}` | {t} | {labels[n]} |\n" for n, t in sorted(metric_names().items())),
        "\n## Kinds of event\n\nIn `data`, instants are RFC 3339 and spans are seconds under a name with `_s`. Kinds may be added: pass over those you do not know.\n\n| kind | what happened |\n|---|---|\n", *(f"| `{kind}` | {text} |\n" for kind, text in KINDS.items()),
    ]  # fmt: skip
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(write())
