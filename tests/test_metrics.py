"""The facts on ``/metrics`` are written by ourselves: Prometheus's own library has to read them alike."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from responder import metrics
from responder.core.facts import BUCKETS

ODD = 'a "quoted" \\ path\nof two lines, ümläut 😀 \\n {} = ,'
SERVICE = (("service", ODD), ("priority", "P1"))
COUNTED = {
    ("incidents_reopened_total", SERVICE): 3.0,
    ("incident_response_seconds_count", SERVICE): 2.0,
    ("incident_response_seconds_sum", SERVICE): 0.1 + 0.2,
    **{("incident_response_seconds_bucket", (*SERVICE, ("le", str(float(bound))))): 2.0 for bound in BUCKETS},
    ("incident_response_seconds_bucket", (*SERVICE, ("le", "+Inf"))): 2.0,
}
PRESENT = {"sla_next_due_timestamp_seconds": {(("service", ODD), ("target", "response")): 1_767_571_200.123456}}


class Library(Collector):
    """The same facts, given to the library."""

    def collect(self) -> list[Metric]:
        reopened = CounterMetricFamily("responder_incidents_reopened", "r", labels=["service", "priority"])
        reopened.add_metric([ODD, "P1"], 3.0)
        response = HistogramMetricFamily("responder_incident_response_seconds", "r", labels=["service", "priority"])
        bounds = [*((str(float(bound)), 2.0) for bound in BUCKETS), ("+Inf", 2.0)]
        response.add_metric([ODD, "P1"], bounds, 0.1 + 0.2)
        due = GaugeMetricFamily("responder_sla_next_due_timestamp_seconds", "d", labels=["service", "target"])
        due.add_metric([ODD, "response"], 1_767_571_200.123456)
        return [reopened, response, due]


def read(page: str) -> dict[tuple[str, str], dict[tuple[str, frozenset[tuple[str, str]]], float]]:
    return {
        (family.name, family.type): {(s.name, frozenset(s.labels.items())): s.value for s in family.samples}
        for family in text_string_to_metric_families(page)
        if family.samples
    }


def page() -> metrics.FactsPage:
    return metrics.FactsPage(lambda: COUNTED, dict, lambda: PRESENT)


def test_facts_are_read_as_the_library_would_have_written_them() -> None:
    registry = CollectorRegistry()
    registry.register(Library())
    assert read(page().text()) == read(generate_latest(registry).decode())


def test_a_histogram_without_observations_has_all_its_buckets_at_zero() -> None:
    zero = {("incident_response_seconds_count", SERVICE): 0.0}
    found = metrics.FactsPage(dict, lambda: zero, dict).text()
    [samples] = read(found).values()
    assert len(samples) == len(BUCKETS) + 3 and set(samples.values()) == {0.0}


def test_a_counter_never_goes_back() -> None:
    counts = {("service_time_seconds_total", (("service", "a"),)): 5.0}
    shown = metrics.FactsPage(lambda: counts, dict, dict)
    shown.text()
    counts["service_time_seconds_total", (("service", "a"),)] = 4.0
    assert 'responder_service_time_seconds_total{service="a"} 5.0\n' in shown.text()


def test_every_family_is_described_once_with_what_is_counted_by_the_process() -> None:
    lines = metrics.page(page()).decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))
    assert {"responder_storage_up", "responder_incidents_opened_total", "responder_incident_response_seconds"} <= {
        *types
    }
