"""Every metric once: process metrics are counted here, facts come from the store's rows.

SPEC 7 names them. The prefix is added here and nowhere else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from responder.core import gauges
from responder.core.book import Tally
from responder.core.facts import BUCKETS
from responder.core.rule import MetricWhen, Rule

disable_created_metrics()  # type: ignore[no-untyped-call]  # a start time of each series says nothing here, and doubles the page
P: Final = "responder_"
REGISTRY: Final = CollectorRegistry(auto_describe=False)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(P + name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(P + name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(P + name, text, labels, registry=REGISTRY, buckets=buckets)


_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
SIGNALS_RECEIVED = _counter("signals_received", "Observations of alerts that arrived.", "source", "result")
SIGNALS_UNMATCHED = _counter("signals_unmatched", "Occurrences that no rule matched.", "source")
SIGNAL_PROCESSING_SECONDS = _histogram("signal_processing_seconds", "From arrival to commit.", "source", buckets=_FAST)
SOURCE_LAST_SIGNAL = _gauge("source_last_signal_timestamp_seconds", "When a source was heard last.", "source")
POLL_FAILURES = _counter("poll_failures", "Polls that failed; no rule's state changes by them.", "source")
POLL_DURATION = _histogram("poll_duration_seconds", "How long a source took to answer.", "source", buckets=_FAST)
POLL_LAST_SUCCESS = _gauge("poll_last_success_timestamp_seconds", "When a source answered last.", "source")
RULE_EVALUATIONS = _counter("rule_evaluations", "Evaluations of metric rules.", "rule")
RULE_EVALUATION_FAILURES = _counter("rule_evaluation_failures", "Evaluations and templates that failed.", "rule")
RULE_MATCHES = _counter("rule_matches", "Open edges of rules.", "rule")
NOTIFICATIONS = _counter("notifications", "Messages that were delivered.", "channel")
NOTIFICATIONS_FAILED = _counter(
    "notifications_failed", "Attempts that failed; gave_up: messages that were given up.", "channel", "reason"
)
NOTIFICATIONS_SUPPRESSED = _counter("notifications_suppressed", "Messages that were not sent, and why.", "reason")
NOTIFICATIONS_PENDING = _gauge("notifications_pending", "Messages that wait.", "channel")
NOTIFICATION_DELIVERY = _histogram(
    "notification_delivery_seconds", "From the event to its delivery.", "channel", buckets=(*_FAST, 60.0, 600.0, 3600.0)
)
SCHEDULER_LAG = _gauge("scheduler_lag_seconds", "How late the last due row was applied.")
QUEUE_LENGTH = _gauge("queue_length", "Signals that wait for the writer.")
STORAGE_TRANSACTION_SECONDS = _histogram("storage_transaction_seconds", "Transactions of the writer.", buckets=_FAST)
STORAGE_UP = _gauge("storage_up", "1 when the last commit went well.")
HTTP_REQUESTS = _counter("http_requests", "Answered requests.", "route", "code")
CONFIG_SUCCESSFUL = _gauge("config_last_reload_successful", "1 when the last load of the configuration went well.")
CONFIG_SUCCESS_TIME = _gauge("config_last_reload_success_timestamp_seconds", "When it last went well.")
BUILD_INFO = _gauge("build_info", "Always 1.", "version", "revision")

FACT_COUNTERS: Final[Mapping[str, str]] = {
    "incidents_opened_total": "Incidents that began.",
    "incidents_resolved_total": "Resolutions, by how they came about.",
    "incidents_cancelled_total": "False positives, duplicates and exercises.",
    "incidents_reopened_total": "Incidents whose condition returned, or that a person reopened.",
    "incident_stages_overdue_total": "Stages that passed their limit.",
    "sla_outcomes_total": "Verdicts, once per target of an incident that is over.",
    "sla_breaches_total": "Targets missed, at the breach.",
    "service_time_seconds_total": "Agreed service time that has passed.",
    "service_downtime_seconds_total": "Time in which a P1 or P2 was open, cancelled ones too: let an exercise be in a maintenance.",
    "service_failures_total": "Beginnings of such times.",
    "problems_opened_total": "Problems that began.",
    "incidents_correlated_total": "Incidents that were linked to a problem.",
    "incidents_change_related_total": "Incidents that opened soon after a change of their service.",
    "satisfaction_responses_total": "Answers of customers.",
}
FACT_HISTOGRAMS: Final[Mapping[str, str]] = {
    "incident_response_seconds": "Open to acknowledged, in service time.",
    "incident_resolution_seconds": "Open to resolved without pauses, in service time.",
    "incident_restore_seconds": "Start of the failure to resolved, in real time.",
    "incident_stage_seconds": "Length of a stage, in real time.",
}

_BOUNDS: Final = (*(str(float(bound)) for bound in BUCKETS), "+Inf")
Labels = tuple[tuple[str, str], ...]
Facts = Mapping[tuple[str, Labels], float]


class FactsPage:
    """Facts as rows of the store's mirror, with zeros for what the configuration promises, as text.

    There are three hundred series a service, and the library takes four times as long to
    write them.
    """

    def __init__(
        self,
        facts: Callable[[], Facts],
        zeros: Callable[[], Facts],
        present: Callable[[], Mapping[str, Mapping[Labels, float]]],
    ) -> None:
        self._facts, self._zeros, self._present = facts, zeros, present
        self._shown: dict[tuple[str, Labels], float] = {}

    def text(self) -> str:
        """Return the families in the order of SPEC 7. Source: the text format of Prometheus."""
        rows: dict[str, dict[Labels, float]] = {}
        for found in (self._zeros(), self._facts()):
            for (name, labels), value in list(found.items()):
                rows.setdefault(name, {})[labels] = value
        lines: list[str] = []
        for name, text in FACT_COUNTERS.items():
            lines += _head(name, "counter", text)
            for labels, value in rows.get(name, {}).items():
                # Time that runs may turn out to have ended a moment ago; a counter never goes back.
                shown = self._shown[name, labels] = max(value, self._shown.get((name, labels), 0.0))
                lines.append(f"{P}{name}{{{_labels(labels)}}} {shown}\n")
        for name, text in FACT_HISTOGRAMS.items():
            lines += _head(name, "histogram", text)
            lines += _observed(name, rows)
        for name, series in self._present().items():
            lines += _head(name, "gauge", gauges.WORDS[name])
            lines += [f"{P}{name}{{{_labels(labels)}}} {value}\n" for labels, value in series.items()]
        return "".join(lines)


def _observed(name: str, rows: Mapping[str, Mapping[Labels, float]]) -> Iterator[str]:
    counts, sums, buckets = (rows.get(name + end, {}) for end in ("_count", "_sum", "_bucket"))
    for labels, count in counts.items():
        of = _labels(labels)
        for bound in _BOUNDS:
            value = buckets.get((*labels, ("le", bound)), 0.0) if count else 0.0
            yield f'{P}{name}_bucket{{{of},le="{bound}"}} {value}\n'
        yield f"{P}{name}_count{{{of}}} {count}\n"
        yield f"{P}{name}_sum{{{of}}} {sums.get(labels, 0.0)}\n"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {P}{name} {text}\n", f"# TYPE {P}{name} {kind}\n"


def _labels(labels: Labels) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def process_families() -> Iterable[Metric]:
    """Return what is counted here, without the facts."""
    for metric in counted():
        yield from metric.describe()


def counted() -> Iterator[MetricWrapperBase]:
    """Yield the metrics that this process counts."""
    yield from (value for value in globals().values() if isinstance(value, MetricWrapperBase))


def begin_at_zero(rules: Iterable[Rule], polled: Iterable[str], pushed: Iterable[str]) -> None:
    """Show every series that the configuration promises before anything has happened: a first failure is an increase."""
    for rule in rules:
        if isinstance(rule.when, MetricWhen):
            RULE_EVALUATIONS.labels(rule.id)
        RULE_EVALUATION_FAILURES.labels(rule.id)
        RULE_MATCHES.labels(rule.id)
    for source in polled:
        POLL_FAILURES.labels(source)
    for source in pushed:
        SIGNALS_UNMATCHED.labels(source)
        for result in ("accepted", "duplicate", "rejected"):
            SIGNALS_RECEIVED.labels(source, result)


def flush(tally: Tally) -> None:
    """Move what decisions tallied into the counters."""
    for counter, counts in (
        (RULE_MATCHES, tally.matches),
        (RULE_EVALUATIONS, tally.evaluations),
        (RULE_EVALUATION_FAILURES, tally.failures),
        (SIGNALS_UNMATCHED, tally.unmatched),
    ):
        for name, total in list(counts.items()):
            known = _FLUSHED.get((counter, name), 0)
            if total > known:
                counter.labels(name).inc(total - known)
                _FLUSHED[counter, name] = total


_FLUSHED: dict[tuple[Counter, str], int] = {}


CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def page(facts: FactsPage) -> bytes:
    """Return the text of ``/metrics``."""
    return generate_latest(REGISTRY) + facts.text().encode()
