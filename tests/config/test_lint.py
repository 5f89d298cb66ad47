"""What looks wrong: warnings."""

import pytest

from responder.config import promql
from responder.core.instant import parse_instant
from tests.config.kit import load, warnings

SOURCES = '\nsources: {p: {kind: prometheus, url: "http://x"}}'


def metric(query: str, by: str = "[]", no_data: str = "close") -> str:
    return (
        f"rules: [{{id: r, by: {by}, when: {{metric: {{source: p, query: '{query}', every: 30s, open: {{above: 1}}, "
        f"no_data: {no_data}}}}}}}]{SOURCES}"
    )


def test_a_rule_that_can_never_close_is_told():
    assert warnings(metric("up == 0", no_data="keep")) == [
        'responder.yml:1:109: rule "r" can never close: its query drops what does not compare, and no_data keeps what is dropped\n'
        "  hint: write no_data: close, or move the threshold from the query to open:"
    ]
    assert warnings(metric("up == bool 0", no_data="keep")) == []
    assert warnings(metric("count(up == 0)", no_data="keep")) == []
    assert warnings(metric("up == 0")) == []


def test_a_label_that_the_query_drops_is_told():
    assert warnings(metric("sum by (job) (up)", by="[job, instance]")) == [
        'responder.yml:1:27: rule "r": the query drops the label "instance"\n  hint: aggregate by (job, instance)'
    ]


def test_a_title_that_names_no_label_of_the_key_is_told():
    text = (
        "rules: [{id: r, by: [host], when: {event: {match: {labels: {a: b}}}}, "
        'incident: {service: "{{ labels.x }}", title: "TITLE"}}]'
    )
    assert warnings(text.replace("TITLE", "{{ key.hots }} is down")) == [
        'responder.yml:1:116: the key has no label "hots"\n  hint: did you mean "host"?'
    ]
    assert warnings(text.replace("TITLE", "{{ key.host }} of {{ key.rack or 'no rack' }} is down")) == []


def test_a_rule_that_no_index_can_carry_is_told():
    text = "rules: [{id: r, by: [a], when: {event: {match: '{alertname=~\"Alarm.*\"}'}}}]"
    assert warnings(text) == [
        'responder.yml:1:40: rule "r" is tried on every signal: no label of its match is compared for equality\n'
        "  hint: add a label that is equal to something, such as alertname"
    ]
    for sound in ('{alertname=~"A|B"}', '{x=~"y.*", alertname="A"}'):
        assert warnings(f"rules: [{{id: r, by: [], when: {{event: {{match: '{sound}'}}}}}}]") == []
    assert warnings("rules: [{id: r, by: [], unclaimed: true, when: {event: {}}}]") == []
    assert warnings("rules: [{id: r, by: [], when: {event: {match: {any: ['{a=\"b\"}', '{c=\"d\"}']}}}}]") == []
    assert len(warnings("rules: [{id: r, by: [], when: {event: {match: {any: ['{a=\"b\"}', '{c!=\"d\"}']}}}}]")) == 1


def test_an_index_is_missed_in_members_too():
    text = "rules: [{id: r, by: [], when: {all: {within: 5m, of: [{event: {match: '{a=\"b\"}'}}, {event: {}}]}}}]"
    assert [warning.split(": ")[0] for warning in warnings(text)] == ["responder.yml:1:92"]


HEARD = "sources: {jobs: {kind: webhook, map: {labels: {type: type}}}}\nrules:\n"
COUNTED = "- {id: burst, by: [user], when: {count: {of: {event: {source: jobs, match: {labels: {type: login}}}}, at_least: 20, within: 5m}}}\n"
REST = '- {id: rest, by: [], unclaimed: true, when: {event: {}}, incident: {service: "{{ labels.s }}", title: t}}\n'


def test_deliveries_that_are_counted_and_open_incidents_beside_it_are_told_once_with_a_way_out():
    """A rule that counts claims nothing, so each of twenty deliveries is an unclaimed alert."""
    taken = "{id: of-jobs, by: [], when: {event: {source: jobs}}}"
    assert warnings(HEARD + COUNTED + COUNTED.replace("burst", "again") + REST) == [
        'responder.yml:3:63: each delivery of "jobs" opens an incident of its own too, by rule "rest" or its like\n'
        f"  hint: take them with a rule without incident: {taken}"
    ]
    assert warnings(HEARD + COUNTED + REST + f"- {taken}\n") == []
    assert warnings(HEARD + COUNTED) == []
    assert warnings(HEARD.replace("}}}}", "}, status: status}}}") + COUNTED + REST) == [], (
        "alerts that fire and resolve"
    )


def test_a_rule_for_other_labels_takes_no_deliveries_and_one_for_theirs_may():
    other = "- {id: hosts, by: [], when: {event: {match: {labels: {alertname: HostDown}}}}}\n"
    assert len(warnings(HEARD + COUNTED + REST + other)) == 1
    assert len(warnings(HEARD + COUNTED + REST + other.replace("when", "mode: observe, when"))) == 1
    theirs = other.replace("alertname: HostDown", "type: [login, logout]")
    assert warnings(HEARD + COUNTED + REST + theirs) == []


def test_two_rules_with_the_same_match_are_told():
    text = """rules:
  - {id: a, by: [x], when: {event: {match: '{alertname="A", b=~"c|d"}'}}}
  - {id: b, by: [y], when: {event: {match: {labels: {b: [d, c], alertname: A}}}}}
"""
    assert warnings(text) == [
        'responder.yml:3:36: rule "b" has the same match as rule "a"\n  hint: it stands at responder.yml:2:5'
    ]


def test_a_service_without_an_sla_is_told():
    assert warnings("teams: {t: {lead: x}}\nservices: {shop: {team: t}}") == [
        'responder.yml:2:12: the service "shop" has no SLA\n  hint: add sla: NAME'
    ]


@pytest.mark.parametrize(
    ("now", "count"), [("2026-10-01T00:00:00Z", 0), ("2026-11-15T00:00:00Z", 1), ("2027-05-01T00:00:00Z", 1)]
)
def test_holidays_that_end_soon_are_told(now: str, count: int):
    text = 'calendars: {c: {timezone: Asia/Shanghai, hours: 24x7, holidays: ["2026-12-25"]}}'
    told = warnings(text, now=parse_instant(now))
    assert len(told) == count
    assert all('1:65: the calendar "c" knows no holidays after those of 2026' in each for each in told)


def test_an_edge_to_open_and_one_to_close_that_one_value_meets_are_told():
    def told(open: str, close: str) -> list[str]:
        text = metric("up").replace("open: {above: 1}", f"open: {{{open}}}, close: {{{close}}}")
        return [each.partition(": rule")[2] for each in warnings(text)]

    hint = "\n  hint: let close begin where open ends, or further away"
    again = ' "r" opens and closes at the same value, such as {}: it would do so again and again' + hint
    assert told("above: 600", "above: 700") == [again.format(701)]
    assert told("above: 600, for: 1m", "below: 700, for: 5m") == [again.format(650)]
    assert told("below: 5", "not_equal: 5") == [again.format(4)]
    assert told("outside: [1, 9]", "below: 20") == [again.format(0)]
    assert told("above: 0.5", "below: 1") == [again.format(0.75)]
    assert told("above: 0", "below: 1") == [], "whole thresholds are of what is counted"
    assert told("equal: 1", "outside: [2, 3]") == [again.format(1)]
    assert (
        told("above: 600", "below: 540") == told("above: 600", "below: 600") == told("equal: 0", "not_equal: 0") == []
    )
    assert told("outside: [1, 9]", "equal: 5") == told("not_equal: 1", "equal: 1") == []


def test_warnings_in_less_than_a_percent_are_told():
    text = "calendars: {c: {timezone: UTC, hours: 24x7}}\nslas: {s: {calendar: c, targets: {}, warn_at: [0.75, 1, 90]}}"
    assert warnings(text) == [
        "responder.yml:2:48: warn_at counts in percent: 0.75 is less than one of them\n  hint: write 75"
    ]


def test_a_rule_pack_on_its_own_has_no_sources():
    alone = metric("up").replace(SOURCES, "")
    several = alone.removesuffix("]") + ", " + alone.removeprefix("rules: [").replace("id: r", "id: s")
    assert warnings(several) == [
        'responder.yml:1:49: no source is configured: rules that name "p" hear nothing\n'
        "  hint: name it in the file that includes this one: sources: {p: {kind: ..., url: ...}}"
    ], "once"


@pytest.mark.parametrize(
    ("query", "at", "said"),
    [
        ("max by (region (up)", 7, "the query does not close its ("),
        ("max by (region)) (up)", 15, "the query closes a ) that it did not open"),
        ("rate(up[5m)", 10, "the query closes a ) that it did not open"),
        ('up{job="a} > 0', 7, "a quoted text of the query does not end"),
        ("up = 0", 3, "= stands outside of {} in the query"),
        ("up =~ 'a'", 3, "=~ stands outside of {} in the query"),
    ],
)
def test_a_query_that_no_dialect_can_read_is_told_where_it_breaks(query: str, at: int, said: str):
    found = promql.mistake(query)
    assert found is not None
    assert found[:2] == (at, said)


@pytest.mark.parametrize(
    "query",
    [
        'sum by (a) (rate(up{job=~"[a-z)]+", x!="(", y="}"}[5m:1m] offset -1h)) > bool 0',
        "up{a='\\'(', b=`\\`} @ 1 # a comment with (",
        'WITH (x = up{a="b"}) x == 0',
        '{"a.b", c="d"}',
        "up == 0 unless on (job) {x!~'['}",
    ],
)
def test_a_query_that_some_dialect_can_read_is_left_to_its_server(query: str):
    assert promql.mistake(query) is None


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("sum by (a, b) (x)", {"a", "b"}),
        ("sum(x) by (a)", {"a"}),
        ("(avg by (a) (x{l=\"}\"}))", {"a"}),
        ("max(x)", set()),
        ("sum by (a) (x) > 0 and sum by (a) (rate(y[5m])) == 0", {"a"}),
        ("time() - max by (a) (x)", {"a"}),
        ("100 * sum by (a) (x) / sum by (a) (y)", {"a"}),
        ("sum without (a) (x)", None),
        ("topk by (a) (3, x)", None),
        ("sum by (a) (x) or sum by (b) (y)", None),
        ("sum by (a) (x) * on (a) group_right (b) y", None),
        ("rate(x[5m])", None),
        ('label_replace(sum(x), "a", "b", "", "")', None),
        ("sum by (a", None),
        ("sum", None),
        ("", None),
        ("# a comment\nsum by (a) (x)", {"a"}),
    ],
)  # fmt: skip
def test_the_labels_that_an_aggregation_keeps(query: str, kept: set[str] | None):
    assert promql.kept_labels(query) == kept


@pytest.mark.parametrize(
    ("query", "drops"),
    [
        ("up == 0", True),
        ("(up < 1)", True),
        ("up == bool 0", False),
        ("sum(up == 0)", False),
        ('x{a="b > c"}', False),
        ('x{a!="b"}', False),
    ],
)
def test_a_query_that_compares_drops_series(query: str, drops: bool):
    assert promql.filters(query) is drops


def test_a_misspelt_service_in_an_edge_is_told_and_hosts_and_instances_are_not():
    text = """teams: {t: {lead: l}}
slas: {s: {calendar: c, targets: {P1: {response: 1m, resolution: 1h}}}}
calendars: {c: {timezone: UTC, hours: 24x7}}
services: {order: {team: t, sla: s}, node-5: {team: t, sla: s}}
topology:
  edges:
    - {from: oder, to: rack}
    - {from: order, to: order-1}
    - {from: order-1, to: node-6}
    - {from: order, to: ordr2}
    - {from: ordr2, to: rack}
"""
    assert warnings(text) == [
        'responder.yml:7:14: there is no service "oder"\n'
        '  hint: did you mean "order"? A host or an instance of this name would be fine'
    ]


def test_edges_from_which_no_way_leads_to_a_service_are_told_once():
    text = """teams: {t: {lead: l}}
slas: {s: {calendar: c, targets: {P1: {response: 1m, resolution: 1h}}}}
calendars: {c: {timezone: UTC, hours: 24x7}}
services: {order: {team: t, sla: s}}
topology:
  edges:
    - {from: web, to: nowhere}
    - {from: nowhere, to: rack}
    - {from: order, to: host-1}
    - {from: host-1, to: switch}
"""
    assert warnings(text) == [
        'responder.yml:7:14: neither "web" nor "nowhere" is a service, and no edge leads from them to one\n'
        "  hint: fine among hosts and instances; a service has to stand under services:"
    ]
    assert warnings(text + "  from_labels: [{from: service, to: instance}]\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "rules: [{id: r, by: [], when: {evnt: {}}}]",
        "rules: [{id: r, by: [], when: {event: {match: {labels: {a: {regex: '('}}}}}}]",
        "teams: {t: {lead: l}}\nservices: {s: {team: t, slaa: gold}}",
    ],
)
def test_of_an_entry_with_errors_there_are_no_warnings(text: str):
    loaded = load(text)
    assert (len(loaded.errors), loaded.warnings) == (1, [])


def test_a_label_of_an_unusual_name_is_a_warning():
    assert warnings("rules: [{id: r, by: [ok_1, bad-label], when: {event: {match: {labels: {a: b}}}}}]") == [
        'responder.yml:1:28: "bad-label" is no usual name of a label\n'
        "  hint: names are of letters, digits and _, unless the sender knows UTF-8 names"
    ]
