"""The Grafana dashboards, made from code: ``python deploy/grafana/dashboards.py`` writes ``dashboards/*.json``.

Facts come from the store and are equal on every replica, so each is read with ``max without
(instance, pod)``. A quotient is taken only where its divisor is above zero: a panel of an idle
system shows its ``noValue`` text, never NaN.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
FOLDER: Final = HERE / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
SERVICE: Final = 'service=~"$service"'
WIDTH: Final = 24
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"
Panel = dict[str, Any]
Query = tuple[str, str]
"""An expression and the legend of its series."""


# Expressions


def fact(name: str, labels: str = SERVICE) -> str:
    """Return a fact of the store, whichever replica tells it."""
    return f"max without (instance, pod) (responder_{name}{{{labels}}})"


def grown(name: str, labels: str = SERVICE, over: str = "$__range") -> str:
    """Return by how much a counter of the store grew in the time that is shown."""
    return f"max without (instance, pod) (increase(responder_{name}{{{labels}}}[{over}]))"


def own(name: str, labels: str = "", over: str = "$__rate_interval") -> str:
    """Return the rate of a counter of the daemon itself."""
    return f"rate(responder_{name}{{{labels}}}[{over}])"


def ratio(part: str, whole: str, by: str = "") -> str:
    """Return part / whole, nothing where there is no whole."""
    by = f" by ({by})" if by else ""
    return f"sum{by} ({part}) / (sum{by} ({whole}) > 0)"


def kept(target: str, by: str = "") -> str:
    """Return the share of incidents that met a target."""
    of = f'{SERVICE}, target="{target}"'
    return ratio(
        grown("sla_outcomes_total", f'{of}, outcome="met"'),
        grown("sla_outcomes_total", f'{of}, outcome=~"met|breached"'),
        by,
    )


def kept_by_org(target: str) -> str:
    """Return the share of incidents that met a target, by organisation."""

    def of(outcome: str) -> str:
        growth = grown("sla_outcomes_total", f'{SERVICE}, target="{target}", outcome=~"{outcome}"')
        return f"sum by (service) ({growth}) * on (service) group_left (org) max by (service, org) (responder_service_info)"

    return ratio(of("met"), of("met|breached"), "org")


def objective(target: str) -> str:
    return f'max by (service) (responder_sla_objective_ratio{{{SERVICE}, target="{target}"}})'


def budget(target: str) -> str:
    """Return the share of allowed misses that is left: 1 all, 0 none, below 0 overspent."""
    return f"1 - (1 - {kept(target, 'service')}) / ((1 - {objective(target)}) > 0)"


def mean(histogram: str, by: str = "") -> str:
    return ratio(grown(f"{histogram}_sum"), grown(f"{histogram}_count"), by)


def quantile(q: float, buckets: str, count: str) -> str:
    """Return a quantile, nothing where nothing was observed."""
    return f"histogram_quantile({q}, {buckets}) and on () sum({count}) > 0"


def fact_quantile(q: float, histogram: str) -> str:
    return quantile(q, f"sum by (le) ({grown(histogram + '_bucket')})", grown(histogram + "_count"))


def own_quantile(q: float, histogram: str) -> str:
    return quantile(q, f"sum by (le) ({own(histogram + '_bucket')})", own(histogram + "_count"))


UP: Final = grown("service_time_seconds_total")
DOWN: Final = grown("service_downtime_seconds_total", f'{SERVICE}, kind="unplanned"')
AVAILABLE: Final = f"1 - sum by (service) ({DOWN}) / (sum by (service) ({UP}) > 0)"
UPTIME_PER_FAILURE: Final = f"(sum by (service) ({UP}) - sum by (service) ({DOWN})) / (sum by (service) ({grown('service_failures_total')}) > 0)"
UNRESOLVED: Final = fact("incidents_unresolved")
NOT_WELL: Final = fact("service_state", f'{SERVICE}, state!="operational"')
DUE_IN: Final = f"min by (service, target) ({fact('sla_next_due_timestamp_seconds')}) - time()"


# Panels


def _steps(*steps: tuple[float | None, str]) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


CALM: Final = _steps((None, GREEN), (1, RED))
PLAIN: Final = _steps((None, GREY))
PROMISE: Final = _steps((None, RED), (0.9, ORANGE), (0.95, GREEN))
LEFT: Final = _steps((None, RED), (0, ORANGE), (0.25, GREEN))


def _panel(
    kind: str, title: str, queries: Sequence[Query], width: int, height: int, *, unit: str = "short", about: str = "",
    none: str = "none", instant: bool = False, steps: dict[str, Any] = PLAIN, custom: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Panel:  # fmt: skip
    targets = [
        {
            "refId": chr(65 + number), "datasource": SOURCE, "expr": expr, "legendFormat": legend,
            "instant": instant, "range": not instant, "format": "table" if kind == "table" else "time_series",
        }
        for number, (expr, legend) in enumerate(queries)
    ]  # fmt: skip
    return {
        "type": kind, "title": title, "description": about, "datasource": SOURCE, "targets": targets,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": none, **({"decimals": 0} if unit == "short" else {}), "thresholds": steps, "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"}, "custom": custom or {}},
            "overrides": [],
        },
        "options": options or {},
    }  # fmt: skip


def stat(
    title: str, expr: str, *, width: int = 4, unit: str = "short", steps: dict[str, Any] = PLAIN, **more: Any
) -> Panel:
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "textMode": "value",
    }
    return _panel("stat", title, [(expr, "")], width, 4, unit=unit, steps=steps, instant=True, options=options, **more)


def lines(
    title: str, *queries: Query, width: int = 12, unit: str = "short", stacked: bool = False, **more: Any
) -> Panel:
    custom = {
        "fillOpacity": 20 if stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none"},
    }
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return _panel("timeseries", title, queries, width, 8, unit=unit, custom=custom, options=options, **more)


def table(title: str, *queries: Query, width: int = 24, units: dict[str, str] | None = None, **more: Any) -> Panel:
    """Return a table of one row per set of labels and one column per query, named by its legend."""
    panel = _panel("table", title, queries, width, 8, instant=True, **more)
    hidden = dict.fromkeys(("Time", "__name__", "job", "endpoint", "namespace", "container"), True)
    columns = {
        f"Value #{chr(65 + n)}" if len(queries) > 1 else "Value": legend for n, (_, legend) in enumerate(queries)
    }
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "renameByName": columns}},
    ]
    panel["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in (units or {}).items()
    ]
    return panel


def bars(title: str, expr: str, legend: str, *, width: int = 8, **more: Any) -> Panel:
    options = {
        "orientation": "horizontal",
        "displayMode": "basic",
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
    }
    return _panel("bargauge", title, [(expr, legend)], width, 8, instant=True, options=options, **more)


# Dashboards


def service_levels() -> dict[str, Any]:
    percents = {"response": "percentunit", "resolution": "percentunit", "availability": "percentunit"}
    return dashboard(
        "service-levels", "Service levels", "30d", "Compliance against objective, what is left, and how long things take.",
        stat("Response in time", kept("response"), unit="percentunit", steps=PROMISE, none="none yet", about="Of the incidents that ended in the time shown and have a target; exempt ones do not count."),
        stat("Resolution in time", kept("resolution"), unit="percentunit", steps=PROMISE, none="none yet"),
        stat("Availability", f"1 - sum({DOWN}) / (sum({UP}) > 0)", unit="percentunit", steps=_steps((None, RED), (0.99, ORANGE), (0.999, GREEN)), none="none yet", about="Agreed service time without unplanned downtime; down is while a P1 or P2 is open."),
        stat("Incidents", f"sum({grown('incidents_opened_total')})", about="Opened in the time shown."),
        stat("Targets missed", f"sum({grown('sla_breaches_total')})", steps=CALM),
        stat("Reopened", ratio(grown("incidents_reopened_total"), grown("incidents_resolved_total")), unit="percentunit", about="Of those resolved.", none="none yet"),
        table("Kept against promised, by service",
              (kept("response", "service"), "response"), (objective("response"), "response promised"),
              (kept("resolution", "service"), "resolution"), (objective("resolution"), "resolution promised"),
              (AVAILABLE, "availability"), (f"max by (service) (responder_service_availability_objective_ratio{{{SERVICE}}})", "availability promised"),
              units=percents | {f"{name} promised": unit for name, unit in percents.items()}),
        bars("Response budget left", budget("response"), "{{service}}", unit="percentunit", steps=LEFT, none="none used", about="1: no miss yet. Below 0: more misses than the objective allows."),
        bars("Resolution budget left", budget("resolution"), "{{service}}", unit="percentunit", steps=LEFT, none="none used"),
        bars("Availability budget left", f"1 - (1 - ({AVAILABLE})) / (1 - max by (service) (responder_service_availability_objective_ratio{{{SERVICE}}}))", "{{service}}", unit="percentunit", steps=LEFT, none="none used"),
        lines("Burn of the availability budget", ("responder:availability_burn:1h{" + SERVICE + "}", "{{service}} 1 h"), ("responder:availability_burn:6h{" + SERVICE + "}", "{{service}} 6 h"), about="1 uses the budget up in exactly its period; 14.4 in two days of thirty."),
        bars("In time, by organisation: response", kept_by_org("response"), "{{org}}", width=6, unit="percentunit", steps=PROMISE, none="none yet"),
        bars("In time, by organisation: resolution", kept_by_org("resolution"), "{{org}}", width=6, unit="percentunit", steps=PROMISE, none="none yet"),
        table("How long, by service", (mean("incident_response_seconds", "service"), "MTTA"), (mean("incident_resolution_seconds", "service"), "MTTR"),
              (mean("incident_restore_seconds", "service"), "MTRS"), (UPTIME_PER_FAILURE, "MTBF"), (f"sum by (service) ({grown('service_failures_total')})", "failures"),
              unit="s", units={"failures": "short"}, none="none", about="MTTA and MTTR in service time without pauses, from open; MTRS in real time, from the start of the failure; MTBF in service time."),
        lines("Response: half and nine of ten", (fact_quantile(0.5, "incident_response_seconds"), "p50"), (fact_quantile(0.9, "incident_response_seconds"), "p90"), unit="s", none="none yet"),
        lines("Resolution: half and nine of ten", (fact_quantile(0.5, "incident_resolution_seconds"), "p50"), (fact_quantile(0.9, "incident_resolution_seconds"), "p90"), unit="s", none="none yet"),
        lines("Opened per day, by priority", (f"sum by (priority) ({grown('incidents_opened_total', over='1d')})", "{{priority}}"), stacked=True),
        bars("Customers' scores", f"sum by (score) ({grown('satisfaction_responses_total')})", "{{score}}", width=6),
        bars("Stages overdue", f"sum by (stage) ({grown('incident_stages_overdue_total')})", "{{stage}}", width=6, steps=CALM),
    )  # fmt: skip


def on_call_now() -> dict[str, Any]:
    return dashboard(
        "on-call", "On call now", "6h", "What is open, what is due next, what is late.",
        *(
            stat(f"{priority} unresolved", f"sum(max without (instance, pod) (responder_incidents_unresolved{{{SERVICE}, priority=\"{priority}\"}}))", width=3,
                 steps=_steps((None, GREEN), (1, color)))
            for priority, color in (("P1", RED), ("P2", ORANGE), ("P3", YELLOW), ("P4", BLUE))
        ),
        stat("At risk", f"sum({fact('sla_at_risk')})", width=3, steps=_steps((None, GREEN), (1, ORANGE)), about="Targets of which the first warning's share is used."),
        stat("Overdue", f"sum({fact('sla_overdue')})", width=3, steps=CALM),
        stat("Next due in", f"min({DUE_IN})", width=3, unit="s", none="nothing due", steps=_steps((None, RED), (600, ORANGE), (3600, GREEN))),
        stat("Outside of the catalogue", f'sum({fact("incidents_unresolved", labels_of("uncatalogued"))}) or vector(0)', width=3, steps=_steps((None, GREEN), (1, YELLOW)), about="Unresolved incidents of services that the configuration does not know."),
        table("Unresolved", (f"sum by (service, priority, state) ({UNRESOLVED}) > 0", "incidents"), width=12, none="all quiet"),
        table("Due next", (f"sort({DUE_IN})", "due in"), width=12, unit="s", none="nothing due"),
        table("Services that are not well", (f"max by (service, state) ({NOT_WELL}) == 1", "state"), width=12, none="all operational"),
        table("Overdue, by service", (f"sum by (service, target) ({fact('sla_overdue')}) > 0", "incidents"), width=12, none="nothing overdue", steps=CALM),
        lines("Unresolved, by priority", (f"sum by (priority) ({UNRESOLVED})", "{{priority}}"), stacked=True),
        lines("Unresolved, by state", (f"sum by (state) ({UNRESOLVED})", "{{state}}"), stacked=True),
        lines("Opened and resolved in an hour", (f"sum({grown('incidents_opened_total', over='1h')})", "opened"), (f"sum({grown('incidents_resolved_total', over='1h')})", "resolved")),
        lines("Messages that wait", ("sum by (channel) (responder_notifications_pending)", "{{channel}}"), none="none wait"),
        table("Calendars", ("max by (calendar) (responder_calendar_open)", "open"), ("max by (calendar) (responder_calendar_valid_until_timestamp_seconds) - time()", "holidays known for"), units={"holidays known for": "s"}),
    )  # fmt: skip


def labels_of(service: str) -> str:
    return f'service="{service}"'


def problems() -> dict[str, Any]:
    opened = grown("incidents_opened_total")
    return dashboard(
        "problems", "Problems", "30d", "What lies behind incidents, and whether it comes back.",
        stat("Problems unresolved", f"sum({fact('problems_unresolved')})", steps=_steps((None, GREEN), (1, ORANGE))),
        stat("Known errors", f"sum({fact('known_errors_unresolved')})", about="Understood, with a workaround, not yet removed."),
        stat("Problems opened", f"sum({grown('problems_opened_total')})"),
        stat("Incidents with a known problem", ratio(grown("incidents_correlated_total"), opened), unit="percentunit", none="none yet"),
        stat("Incidents soon after a change", ratio(grown("incidents_change_related_total"), opened), unit="percentunit", none="none yet", about="Opened within 30 minutes of a change of their service."),
        stat("Incidents per problem", ratio(grown("incidents_correlated_total"), grown("problems_opened_total")), none="none yet"),
        lines("Problems, by state", (f"sum by (state) ({fact('problems_unresolved')})", "{{state}}"), stacked=True, none="no problem"),
        bars("Opened, by what showed them", f"sum by (origin) ({grown('problems_opened_total')})", "{{origin}}", width=6, none="no problem"),
        bars("Opened, by service", f"sum by (service) ({grown('problems_opened_total')}) > 0", "{{service}}", width=6, none="no problem"),
        table("By service", (f"sum by (service) ({opened})", "incidents"), (f"sum by (service) ({grown('incidents_correlated_total')})", "with a problem"),
              (f"sum by (service) ({grown('incidents_change_related_total')})", "after a change"), (f"sum by (service) ({grown('incidents_reopened_total')})", "reopened"),
              (f"sum by (service) ({fact('known_errors_unresolved')})", "known errors")),
        lines("Opened per day", (f"sum({grown('problems_opened_total', over='1d')})", "problems"), (f"sum({grown('incidents_opened_total', over='1d')})", "incidents")),
        lines("Cancelled per day", (f"sum by (reason) ({grown('incidents_cancelled_total', over='1d')})", "{{reason}}"), none="none cancelled", about="False positives say that a rule is wrong."),
    )  # fmt: skip


def daemon() -> dict[str, Any]:
    seconds = {"unit": "s"}
    return dashboard(
        "daemon", "The daemon itself", "6h", "Whether responder hears, decides, stores and tells.",
        stat("Store", "min(responder_storage_up)", width=3, steps=_steps((None, RED), (1, GREEN)), none="absent"),
        stat("Configuration", "min(responder_config_last_reload_successful)", width=3, steps=_steps((None, RED), (1, GREEN)), none="absent"),
        stat("Configuration since", "time() - max(responder_config_last_reload_success_timestamp_seconds)", width=3, unit="s", none="absent"),
        stat("Queue", "sum(responder_queue_length)", width=3, steps=_steps((None, GREEN), (1000, ORANGE), (10000, RED)), none="absent"),
        stat("Failed polls", "sum(increase(responder_poll_failures_total[1h])) or vector(0)", width=3, steps=CALM, about="In the last hour."),
        stat("Failed messages", "sum(increase(responder_notifications_failed_total[1h])) or vector(0)", width=3, steps=CALM, about="Attempts in the last hour; each is tried again."),
        stat("Failing rules", "count(sum by (rule) (increase(responder_rule_evaluation_failures_total[1h])) > 0) or vector(0)", width=3, steps=CALM),
        stat("Late by", "max(responder_scheduler_lag_seconds)", width=3, unit="s", steps=_steps((None, GREEN), (5, ORANGE), (60, RED)), none="absent", about="How late the last due row was applied."),
        lines("Signals, by source", (f"sum by (source, result) ({own('signals_received_total')})", "{{source}} {{result}}"), unit="reqps", none="no signal yet"),
        lines("Occurrences that no rule matched", (f"sum by (source) ({own('signals_unmatched_total')})", "{{source}}"), unit="reqps", none="none"),
        lines("From arrival to commit", (own_quantile(0.5, "signal_processing_seconds"), "p50"), (own_quantile(0.99, "signal_processing_seconds"), "p99"), none="no signal yet", **seconds),
        lines("Transactions", (own_quantile(0.5, "storage_transaction_seconds"), "p50"), (own_quantile(0.99, "storage_transaction_seconds"), "p99"), none="none yet", **seconds),
        lines("Queue and lag", ("sum(responder_queue_length)", "queue"), ("max(responder_scheduler_lag_seconds)", "lag in s"), none="absent"),
        lines("Answers, by code", (f"sum by (code) ({own('http_requests_total')})", "{{code}}"), unit="reqps", none="none yet"),
        lines("Time since a source answered", ("time() - max by (source) (responder_poll_last_success_timestamp_seconds)", "{{source}}"), none="nothing is polled", **seconds),
        lines("How long sources take", ("sum by (source) (" + own("poll_duration_seconds_sum") + ") / (sum by (source) (" + own("poll_duration_seconds_count") + ") > 0)", "{{source}}"), none="nothing is polled", **seconds),
        lines("Failed polls, by source", (f"sum by (source) ({own('poll_failures_total')})", "{{source}}"), unit="reqps", none="none failed"),
        lines("Rules that match most", (f"topk(10, sum by (rule) ({own('rule_matches_total')}) > 0)", "{{rule}}"), unit="reqps", none="no match"),
        lines("Rules that fail", (f"sum by (rule) ({own('rule_evaluation_failures_total')}) > 0", "{{rule}}"), unit="reqps", none="none fails"),
        lines("Messages, by channel", (f"sum by (channel) ({own('notifications_total')})", "{{channel}} sent"), (f"sum by (channel, reason) ({own('notifications_failed_total')})", "{{channel}} failed: {{reason}}"), unit="reqps", none="none yet"),
        lines("Messages not sent, and why", (f"sum by (reason) ({own('notifications_suppressed_total')})", "{{reason}}"), unit="reqps", none="none"),
        lines("From the event to its delivery", (own_quantile(0.5, "notification_delivery_seconds"), "p50"), (own_quantile(0.9, "notification_delivery_seconds"), "p90"), none="none yet", **seconds),
        table("Versions", ("max by (instance, version, revision) (responder_build_info)", "build"), none="absent"),
        variables=False,
    )  # fmt: skip


def dashboard(name: str, title: str, since: str, about: str, *panels: Panel, variables: bool = True) -> dict[str, Any]:
    """Return a dashboard with its panels laid out from left to right, row after row."""
    incidents = (
        "sum by (service, priority) (max without (instance, pod) "
        '(increase(responder_incidents_opened_total{service=~"$service", priority=~"P1|P2"}[$__interval]))) > 0'
    )
    annotation = {
        "name": "P1 and P2", "datasource": SOURCE, "enable": True, "iconColor": RED, "expr": incidents,
        "titleFormat": "{{priority}} {{service}}", "textFormat": "opened", "step": "60s",
    }  # fmt: skip
    return {
        "uid": f"responder-{name}", "title": f"Responder / {title}", "description": about, "tags": ["responder"],
        "schemaVersion": 39, "version": 1, "editable": False, "refresh": "30s", "timezone": "browser",
        "time": {"from": f"now-{since}", "to": "now"},
        "annotations": {"list": [annotation] if variables else []},
        "links": [{"type": "dashboards", "tags": ["responder"], "title": "Responder", "asDropdown": True, "keepTime": True}],
        "templating": {"list": list(_variables(variables))},
        "panels": [panel | {"id": number} for number, panel in enumerate(_laid_out(panels), 1)],
    }  # fmt: skip


def _variables(all_of_them: bool) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    of = (
        ("org", "Organisation", "responder_service_info"),
        ("team", "Team", 'responder_service_info{org=~"$org"}'),
        ("service", "Service", 'responder_service_info{org=~"$org", team=~"$team"}'),
    )
    for name, label, series in of if all_of_them else ():
        query = f"label_values({series}, {name})"
        yield {
            "name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True,
            "current": {"text": ["All"], "value": ["$__all"]},
        }  # fmt: skip


def _laid_out(panels: Sequence[Panel]) -> Iterator[Panel]:
    x = y = row = 0
    for panel in panels:
        width, height = panel["gridPos"]["w"], panel["gridPos"]["h"]
        if x + width > WIDTH:
            x, y, row = 0, y + row, 0
        yield panel | {"gridPos": {"x": x, "y": y, "w": width, "h": height}}
        x, row = x + width, max(row, height)


def all_of_them() -> dict[Path, str]:
    """Return the text of every dashboard by its file."""
    made = {"service-levels": service_levels, "on-call": on_call_now, "problems": problems, "daemon": daemon}
    return {FOLDER / f"{name}.json": json.dumps(make(), indent=1) + "\n" for name, make in made.items()}


if __name__ == "__main__":
    for file, text in all_of_them().items():
        file.write_text(text)
