"""Every class of mistake, with the exact text that a person sees."""

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from responder.config import Kinds, load_text
from responder.ports import Secret, SettingsModel
from tests.config.kit import KINDS, Server, errors, load

BASE = """
sources: {prom: {kind: prometheus, url: "http://x"}, jobs: {kind: webhook, map: {labels: {a: b}}}}
channels: {chat: {kind: webhook, url: "http://x"}}
teams: {ops: {lead: me, channels: [chat]}}
calendars: {always: {timezone: UTC, hours: 24x7}, office: {timezone: UTC, hours: {mon-fri: ["09:00-17:00"]}}}
slas: {gold: {calendar: always, targets: {P1: {response: 10m, resolution: 1h}}}}
services: {shop: {team: ops, sla: gold}}
"""
RULE = "rules:\n  - id: r\n    by: [a]\n    when: {event: {match: {labels: {alertname: X}}}}\n"


def metric(rest: str) -> str:
    return "rules: [{id: r, by: [], when: {metric: {source: prom, query: up, every: 30s, " + rest + "}}}]"


def when(rest: str, by: str = "[a]") -> str:
    return f"rules: [{{id: r, by: {by}, when: {{{rest}}}}}]"


def incident(rest: str) -> str:
    return f"rules: [{{id: r, by: [], when: {{event: {{}}}}, incident: {{{rest}}}}}]"


STORE = "\n  hint: sqlite:///FILE or postgresql+psycopg://user@host/db"
TOKENS = "\nauth: {mode: tokens, tokens: [{name: a, token_env: T, role: admin}]}"
CASES = {
    # what would not start
    'storage: {url: "mysql://x"}': "1:16: mysql is not supported" + STORE,
    "storage: {url: postgresql+asyncpg://h/db}": "1:16: the driver asyncpg is not supported" + STORE,
    "storage: {url: sqlite://host/x.db}": "1:16: not a URL of a SQLite file" + STORE,
    "storage: {url: 'sqlite:///:memory:'}": "1:16: a database in memory would be lost" + STORE,
    "storage: {url: 'postgresql+psycopg://u@h:x/db'}": "1:16: not a URL of a PostgreSQL database" + STORE,
    "storage: {url: postgresql+psycopg://h/db, schema: a-b}": (
        '1:51: "a-b" is not a plain name\n  hint: letters, digits and _'
    ),
    "storage: {schema: a}": "1:19: schema is for PostgreSQL",
    **{
        f"listen: '{text}'{TOKENS}": f'1:9: "{text}" is not an address such as 127.0.0.1:9920 or [::1]:9920'
        for text in ("1.2.3.4.5:80", "[::1:80", "[zz]:80", "::1:80", "a b:80", "[1.2.3.4]:80", "h:70000")
    },
    "external_url: 'http://h:99999'": '1:15: "http://h:99999" is not a URL such as https://responder.example',
    "external_url: 'http://[x'": '1:15: "http://[x" is not a URL such as https://responder.example',
    # keys and shapes
    "rulez: []": '1:1: unknown key "rulez"\n  hint: did you mean "rules"?',
    "listen: [a]": "1:9: expected text, found a list",
    "rules: {a: b}": "1:8: expected a list, found a mapping",
    "teams: {a: {lead: me, channels: b}}": '1:33: expected a list, found "b"\n  hint: write [b]',
    "groups: [{name: g, rules: []}]": (
        '1:1: unknown key "groups"\n'
        "  hint: for rules of Prometheus: `responder import prometheus-rules FILE` writes them as ours"
    ),
    "rules: [{alert: Down, expr: up == 0, for: 5m}]": (
        '1:9: missing key "id"\n'
        "  hint: for rules of Prometheus: `responder import prometheus-rules FILE` writes them as ours"
    ),
    "rules: [a]": '1:9: expected a mapping, found "a"',
    "rules: [{by: []}]": '1:9: missing key "id"',
    "teams: []": "1:8: expected a mapping of names, found a list",
    "teams: {a: {laed: me, lead: you}}": '1:13: unknown key "laed"\n  hint: did you mean "lead"?',
    "teams: {a: {}}": '1:12: missing key "lead"',
    "teams: {a: }": "1:12: expected a mapping, found nothing",
    "retention: {signals: 30}": "1:22: '30' is not a duration such as 30s, 5m or 1h30m",
    "retention: {signals: 0s}": "1:22: must be longer than 0s",
    "startup_grace: soon": "1:16: 'soon' is not a duration such as 30s, 5m or 1h30m",
    "include: pack:default": '1:10: expected a list, found "pack:default"',
    'include: ["pack:defualt"]': '1:11: there is no rule pack "defualt"\n  hint: did you mean "default"?',
    'include: ["nothing.yml"]': '1:11: there is no file "nothing.yml"\n  hint: paths are relative to .',
    # server
    "listen: 0.0.0.0:9920": (
        "1:9: 0.0.0.0:9920 can be reached by others, and auth is not set\n"
        "  hint: set auth: {mode: tokens, tokens: [{name: ops, token_env: RESPONDER_TOKEN, role: responder}]}"
    ),
    "listen: :9920\nauth: {mode: none}": (
        "1:9: 0.0.0.0:9920 can be reached by others, and auth is not set\n"
        "  hint: set auth: {mode: tokens, tokens: [{name: ops, token_env: RESPONDER_TOKEN, role: responder}]}"
    ),
    "listen: 9920": '1:9: "9920" is not an address such as 127.0.0.1:9920 or [::1]:9920',
    "external_url: shop.example": '1:15: "shop.example" is not a URL such as https://responder.example',
    "auth: {mode: tokens}": (
        "1:14: mode: tokens without a token lets nobody in\n"
        "  hint: set auth: {mode: tokens, tokens: [{name: ops, token_env: RESPONDER_TOKEN, role: responder}]}"
    ),
    "auth: {mode: tokens, tokens: [{name: a, token: geheim, role: admin}]}": (
        "1:48: token: a secret never stands in YAML\n  hint: write token_env: NAME_OF_A_VARIABLE or token_file: PATH"
    ),
    "auth: {mode: tokens, tokens: [{name: a, token_env: X, role: root}]}": (
        '1:61: "root" is not known here\n  hint: one of: admin, ingest, responder, viewer'
    ),
    'storage: {url: "postgresql://me:geheim@db/x"}': (
        "1:16: a password never stands in YAML\n  hint: write url_env: NAME_OF_A_VARIABLE or url_file: PATH"
    ),
    # adapters
    "sources: {a: {kind: promtheus}}": '1:21: "promtheus" is not known here\n  hint: did you mean "prometheus"?',
    "sources: {a: {url: x}}": '1:14: missing key "kind"\n  hint: kinds: alertmanager, probe, prometheus, scrape, webhook',
    "sources: {a: {kind: prometheus, url: nowhere}}": (
        "1:38: not a URL such as http://host:port/path, smtp://host:25 or sqlite:///FILE"
    ),
    "sources: {grafana: {kind: prometheus, url: 'http://x'}}": '1:11: "grafana" is the name of a source that is always there',
    "sources: {a: {kind: prometheus, url: 'http://x', tokn_env: X}}": (
        '1:50: unknown key "tokn_env"\n'
        "  hint: known keys: every, headers, kind, on_failure, password_env, password_file, timeout, url, url_env, url_file, username"
    ),
    "sources: {a: {kind: prometheus, url: 'http://x', url_env: X}}": (
        "1:50: url and url_env say the same thing twice\n  hint: keep one of them"
    ),
    "sources: {a: {kind: prometheus, url: 'http://x', on_failure: {service: shoop}}}": (
        '1:72: there is no service "shoop"\n  hint: services: none'
    ),
    "channels: {a: {kind: webhook, url: 'http://x', rate: 20}}": "1:54: '20' is not a rate such as 20/1m",
    # references
    "teams: {a: {lead: me, channels: [{channel: chta}]}}": '1:44: there is no channel "chta"\n  hint: channels: none',
    "services: {a: {team: opps, sla: g}}\nslas: {g: {calendar: c, targets: {}}}\ncalendars: {c: {timezone: UTC, hours: 24x7}}\nteams: {ops: {lead: x}}": (
        '1:22: there is no team "opps"\n  hint: did you mean "ops"?'
    ),
    "problems: [{id: p, owner: nobody, depends: {within: 5m}}]": '1:27: there is no team "nobody"\n  hint: teams: none',
    "flows: {f: [{stage: a, owner: nobody, within: 10m}]}": '1:31: there is no team "nobody"\n  hint: teams: none',
    # calendars and SLAs
    "calendars: {c: {timezone: Mars/Base, hours: 24x7}}": (
        '1:27: unknown timezone "Mars/Base"; it takes an IANA name such as Europe/Berlin'
    ),
    **{
        f"calendars: {{c: {{timezone: {text}, hours: 24x7}}}}": (
            f'1:27: unknown timezone "{text}"; it takes an IANA name such as Europe/Berlin'
            + (f'\n  hint: did you mean "{meant}"?' if meant else "")
        )
        for text, meant in [
            ("CEST", ""),
            ("PST", ""),
            ("GMT+1", ""),
            ("utc", "UTC"),
            ("berlin", "Europe/Berlin"),
            ("New York", "America/New_York"),
        ]
    },
    "calendars: {c: {hours: 24x7}}": (
        '1:16: missing key "timezone"\n  hint: an IANA name such as Europe/Berlin or UTC'
    ),
    'calendars: {c: {hours: {mon: ["09:00-10:00"]}}}': (
        '1:16: missing key "timezone"\n  hint: an IANA name such as Europe/Berlin or UTC'
    ),
    "calendars: {c: {timezone: Europe/Berln, hours: 24x7}}": (
        '1:27: unknown timezone "Europe/Berln"; it takes an IANA name such as Europe/Berlin\n'
        '  hint: did you mean "Europe/Berlin"?'
    ),
    "calendars: {c: {timezone: UTC, hours: {}}}": "1:39: the calendar never opens",
    "calendars: {c: {timezone: UTC, hours: always}}": '1:39: "always" is not known here\n  hint: one of: 24x7',
    "calendars: {c: {timezone: UTC, hours: [a]}}": "1:39: expected text or a mapping, found a list",
    'calendars: {c: {timezone: UTC, hours: {mon: ["09:00-09:00"]}}}': (
        "1:46: 09:00-09:00 ends where it starts; a whole day is 00:00-24:00"
    ),
    'calendars: {c: {timezone: UTC, hours: {mo-fr: ["09:00-10:00"]}}}': (
        '1:40: "mo-fr" names no days\n  hint: write mon-fri, sat or mon,wed'
    ),
    'calendars: {c: {timezone: UTC, hours: 24x7, holidays: ["2026-02-30"]}}': (
        '1:56: "2026-02-30" is not a date: day is out of range for month'
    ),
    "slas: {s: {calendar: c, targets: {P1: {response: 2h, resolution: 1h}}}}\ncalendars: {c: {timezone: UTC, hours: 24x7}}": (
        "1:50: the response target 2h is above the resolution target 1h"
    ),
    'slas: {s: {calendar: c, targets: {P1: {resolution: 2d}}}}\ncalendars: {c: {timezone: UTC, hours: {mon: ["09:00-10:00"]}}}': (
        '1:52: a target in days on calendar "c", whose days are not 24 hours long\n'
        "  hint: write the service hours: 8h for a working day of eight hours"
    ),
    "slas: {s: {calendar: c, targets: {P6: {response: 2h}}}}\ncalendars: {c: {timezone: UTC, hours: 24x7}}": (
        '1:35: "P6" is not known here\n  hint: one of: P1, P2, P3, P4, P5'
    ),
    "slas: {s: {calendar: c, targets: {}, objective: {response: 95}}}\ncalendars: {c: {timezone: UTC, hours: 24x7}}": (
        '1:60: "95" must be at most 1'
    ),
    "priorities: {matrix: {high: {high: P1, medium: P2, low: P3}, low: {high: P1, medium: P2, low: P3}}}": (
        "1:22: the matrix has no priority for impact medium and urgency high"
    ),
    "flows: {f: [{stage: a, owner: service.team, within: sla.respons}]}": (
        "1:53: 'sla.respons' is not a duration such as 30s, 5m or 1h30m\n  hint: a duration, sla.response or sla.resolution"
    ),
    # probable causes
    "causes: {erliness: 2m}": '1:10: unknown key "erliness"\n  hint: did you mean "earliness"?',
    "causes: {call: 1.5}": '1:16: "1.5" must be at most 1',
    "causes: {handed: -0.1}": '1:18: "-0.1" must be at least 0',
    "causes: {specificity: much}": '1:23: expected a number, found "much"',
    "causes: {earliness: 0s}": "1:21: must be longer than 0s",
    "causes: {memory: {slow: 1h}}": "1:18: the fast memory (2h) must fade sooner than the slow one (1h)",
    # problems and maintenance
    "teams: {t: {lead: x}}\nproblems: [{id: p, owner: t}]": "2:12: exactly one of group, depends and recur is needed, found 0",
    "maintenance: [{name: m, reason: r, match: '{a=\"b\"}', from: 2026-11-07T02:00:00, to: 2026-11-07T06:00:00Z}]": (
        "1:60: 2026-11-07T02:00:00 has no offset\n  hint: add Z or an offset: 2026-01-05T00:00:00+01:00"
    ),
    "maintenance: [{name: m, reason: r, match: '{a=\"b\"}', from: 2026-11-07T07:00:00Z, to: 2026-11-07T06:00:00Z}]": (
        "1:86: the window ends before it begins"
    ),
    "maintenance: [{name: m, reason: r, recurring: {days: mon, from: '02:00', to: '03:00', timezone: UTC}}]": (
        "1:15: exactly one of services and match is needed"
    ),
    "maintenance: [{name: m, reason: r, match: '{a=\"b\"}', recurring: {days: mon, from: '24:00', to: '03:00', timezone: UTC}}]": (
        "1:83: 24:00 is only an end; write 00:00 on the next day"
    ),
    "topology: {edges: [{from: a, too: b}]}": '1:30: unknown key "too"\n  hint: did you mean "to"?',
    # tests
    "tests: [{name: t, rules: [x], expect: [{eval_time: 5m, incidents: []}]}]": '1:27: there is no rule "x"\n  hint: rules: none',
    "tests: [{name: t, expect: [{eval_time: 5m}]}]": (
        "1:28: nothing is expected\n  hint: give incidents, problems or notifications; [] is none"
    ),
}
RULES = {
    # rules, over BASE
    "rules: [{id: r, when: {event: {}}}]": (
        '1:9: missing key "by"\n  hint: the labels that make one key; [] makes one key of the whole rule'
    ),
    when(
        ""
    ): "1:32: when has exactly one kind, found none\n  hint: kinds: metric, event, absence, count, all, sequence, flapping",
    when("event: {}, count: {of: {event: {}}, at_least: 1, within: 5m}"): (
        "1:44: when has exactly one kind, found event and count\n"
        "  hint: kinds: metric, event, absence, count, all, sequence, flapping"
    ),
    "rules: [{id: r, by: [], max_age: 1h, when: {absence: {of: {event: {}}, every: 1m, grace: 1m}}}]": (
        "1:25: max_age is for event rules only: an incident of a rule of kind absence lasts as its condition does\n"
        "  hint: to hear of it again while it is open, set repeat on a channel"
    ),
    when("evnt: {}"): '1:33: unknown key "evnt"\n  hint: did you mean "event"?',
    when("event: {}", "[a, a]"): '1:25: "a" stands twice in by',
    metric(
        "no_data: keep, for: 5m, open: {above: 1}"
    ): '1:93: unknown key "for"\n  hint: it stands under close or open',
    when("event: {}, incident: {service: s, title: t}"): (
        '1:44: unknown key "incident"\n  hint: it stands further out, beside when'
    ),
    "rules: [{id: r, by: [], when: {event: {}}, title: t}]": '1:44: unknown key "title"\n  hint: it stands under incident',
    metric("no_data: keep, open: {above: 1}").replace("query: up", "query: up = 0"): (
        "1:65: = stands outside of {} in the query\n  hint: compare with =="
    ),
    metric("open: {above: 1}"): (
        '1:40: missing key "no_data"\n  hint: what a series that is missing means: keep, close or open'
    ),
    metric("no_data: keep, open: {}"): (
        "1:99: exactly one threshold is needed, found none\n  hint: one of above, below, outside, equal, not_equal"
    ),
    metric("no_data: keep, open: {above: 1, below: 0}"): (
        "1:110: exactly one threshold is needed, found above and below\n  hint: one of above, below, outside, equal, not_equal"
    ),
    metric("no_data: keep, open: {above: hot}"): '1:107: expected a number, found "hot"',
    metric("no_data: keep, open: {above: nan}"): '1:107: expected a number, found "nan"',
    metric("no_data: keep, open: {outside: [2, 1]}"): "1:109: outside: the first number is the lower one",
    metric("no_data: maybe, open: {above: 1}"): '1:87: "maybe" is not known here\n  hint: one of: close, keep, open',
    metric(
        "no_data: keep, open: {above: 1}, as: age"
    ): "1:115: as is for scrape sources; a PromQL query says it itself",
    metric("no_data: keep, open: {above: 1}").replace("prom,", "jobs,"): (
        '1:49: the source "jobs" is told of alerts; it can\'t be asked a query'
    ),
    metric("no_data: keep, open: {above: 1}").replace("prom,", "porm,"): (
        '1:49: there is no source "porm"\n  hint: did you mean "prom"?'
    ),
    when("event: {source: job}"): '1:49: there is no source "job"\n  hint: did you mean "jobs"?',
    when("event: {match: 'up == 0'}"): (
        '1:48: not a selector: a selector stands in braces: {alertname="DiskFull"}\n'
        '  hint: write \'{alertname=~"Disk.*", env!="dev"}\''
    ),
    when("event: {match: {alertname: Down}}"): (
        '1:49: unknown key "alertname"\n  hint: a label is matched by labels: {alertname: VALUE}; '
        "known keys: annotations, any, labels, none, status"
    ),
    when("event: {match: '{a=b}'}"): (
        "1:52: not a selector: at character 4: expected a quoted value after a=\n"
        '  hint: write \'{alertname=~"Disk.*", env!="dev"}\''
    ),
    when('event: {match: {labels: {a: {regex: "(?=x)"}}}}'): "1:61: RE2 refuses the regex: invalid perl operator: (?=",
    when("event: {match: {labels: {a: {}}}}"): (
        "1:61: a condition is missing: one of not, regex, prefix, exists, above, below"
    ),
    when("event: {match: {labels: {a: {not: {regex: x, prefix: y}}}}}"): "1:61: not takes one condition",
    when("event: {match: {labels: {a: {regx: x}}}}"): '1:62: unknown key "regx"\n  hint: did you mean "regex"?',
    when("event: {match: {labels: {a: []}}}"): "1:61: needs at least 1 of them, found 0",
    when("event: {match: {status: fireing}}"): '1:57: "fireing" is not known here\n  hint: did you mean "firing"?',
    when("absence: {of: {event: {}}, every: 5m, grace: 1m, expect: [{b: c}]}"): (
        "1:91: an expected key has the labels of by: [a]"
    ),
    when("absence: {of: {}, every: 5m, grace: 1m}"): "1:47: exactly one of event and rule is needed, found none",
    when("count: {of: {event: {}}, at_least: 0, within: 5m}"): '1:68: "0" must be at least 1',
    when("all: {of: [{event: {}}], within: 5m}"): "1:43: needs at least 2 of them, found 1",
    when("sequence: {within: 5m, steps: [{name: a, event: {}, absent: true}, {name: b, event: {}}]}"): (
        "1:93: only the last step can be absent: true"
    ),
    when(
        "sequence: {within: 5m, steps: [{name: a, event: {}}, {name: a, event: {}}]}"
    ): '1:93: two steps are called "a"',
    when("flapping: {of: {event: {}}, start: {changes: 2, within: 5m}, stop: {changes: 2, within: 5m}}"): (
        "1:100: flapping stops at fewer changes than it starts at"
    ),
    when("count: {of: {rule: x}, at_least: 2, within: 5m}"): '1:52: there is no rule "x"\n  hint: rules: r',
    when("count: {of: {rule: r}, at_least: 2, within: 5m}"): "1:52: rules in a ring, each waits for the next: r -> r",
    "rules: [{id: r, by: [], when: {event: {}}, mode: act}]": (
        '1:50: "act" is not known here\n  hint: response actions are not in this version: use observe or notify'
    ),
    "rules: [{id: r, by: [], when: {event: {}}, absorbs: [q]}]": '1:54: there is no rule "q"\n  hint: rules: r',
    incident("service: shoop, title: t"): '1:64: there is no service "shoop"\n  hint: did you mean "shop"?',
    incident("service: shop"): '1:54: missing key "title"',
    incident(
        "service: shop, title: t, impact: high"
    ): "1:54: urgency is missing: a priority comes from impact and urgency",
    incident(
        "service: shop, title: t, impact: huge, urgency: low"
    ): '1:88: "huge" is not known here\n  hint: one of: high, low, medium',
    incident(
        "service: shop, title: t, priority: P9"
    ): '1:90: "P9" is not known here\n  hint: one of: P1, P2, P3, P4, P5',
    incident("service: shop, title: t, priority: [a]"): "1:90: expected text or a mapping, found a list",
    incident('service: shop, title: "{{ lables.a }}"'): (
        '1:77: unknown name "lables" in the template\n  hint: did you mean "labels"?'
    ),
    incident('service: shop, title: "{{ value | duratoin }}"'): (
        '1:77: unknown filter "duratoin" in the template\n  hint: did you mean "duration"?'
    ),
    incident('service: shop, title: "{{ value"'): (
        "1:77: the template is broken: unexpected end of template, expected 'end of print statement'."
    ),
    incident('service: shop, title: ""'): "1:77: must not be empty",
}


@pytest.mark.parametrize("text", CASES)
def test_a_mistake_is_told_with_its_place_and_the_way_out(text: str):
    assert errors(text) == ["responder.yml:" + CASES[text]]


@pytest.mark.parametrize("text", RULES)
def test_a_mistake_in_a_rule_is_told_with_its_place_and_the_way_out(text: str):
    assert errors(text + BASE) == ["responder.yml:" + RULES[text]]


@pytest.mark.parametrize("url", ["sqlite:///x.db", "sqlite:////tmp/x.db?a=b", "postgresql+psycopg://[::1]:5432/db"])
def test_databases_that_can_be_opened_are_taken(url: str):
    assert errors(f"storage: {{url: '{url}'}}") == []


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1", "[::1]", "monitor-1.example.org.", "a_b"])
def test_what_can_be_the_name_of_a_machine_is_listened_on(host: str):
    assert errors(f"listen: '{host}:80'{TOKENS}") == []


def test_a_folder_that_is_missing_here_is_a_warning(tmp_path: Path):
    [warning] = load(f"storage: {{url: 'sqlite:///{tmp_path}/none/x.db'}}").warnings
    assert warning.problem == f"the folder {tmp_path}/none does not exist here, so that nothing would start"


@pytest.mark.parametrize("id", ["bad id!", "a/b", "a?b", "a\\b", "50%", "a\u00a0b"])
def test_an_id_that_no_url_can_carry_is_refused(id: str):
    [error] = errors(f"rules: [{{id: '{id}', by: [], when: {{event: {{match: {{labels: {{a: b}}}}}}}}}}]")
    assert error.startswith(f"responder.yml:1:14: {id!r} can't be the id of a rule\n")


@pytest.mark.parametrize("id", ["KubePodCrashLooping", "node:disk_full", "störung-1", "a.b@c!", "警报"])
def test_an_id_may_be_a_word_of_any_language(id: str):
    assert errors(f"rules: [{{id: '{id}', by: [], when: {{event: {{match: {{labels: {{a: b}}}}}}}}}}]") == []


def test_the_base_of_these_tests_is_sound():
    assert errors(BASE + RULE) == []


def test_a_name_that_is_defined_twice_shows_both_places(tmp_path: Path):
    (tmp_path / "a.yml").write_text(
        "include: [b.yml]\nteams: {ops: {lead: me}}\nrules: [{id: r, by: [], when: {event: {}}}]\n"
    )
    (tmp_path / "b.yml").write_text(
        "teams:\n  ops: {lead: you}\nrules:\n  - by: []\n    id: r\n    when: {event: {}}\n"
    )
    from responder.config import load as load_files

    found = load_files([tmp_path / "a.yml"], kinds=KINDS, env={}, strict_secrets=False, now=0)
    a, b = tmp_path / "a.yml", tmp_path / "b.yml"
    assert [str(error) for error in found.errors] == [
        f'{b}:2:3: team "ops" is defined twice\n  hint: it stands at {a}:2:9 already',
        f'{b}:5:5: rule "r" is defined twice\n  hint: it stands at {a}:3:9 already',
    ]


def test_all_mistakes_are_told_at_once_and_none_that_follows_from_another():
    text = """\
rulez: []
teams: {ops: {lead: me, channels: [nochat], calender: office}}
services:
  shop: {team: opps, users: many}
rules:
  - id: a
    when: {metric: {source: nowhere, query: up, evry: 30s, open: {above: x}, no_data: keep}}
    incident: {service: shoop, title: "{{ vlaue }}", urgency: high, impcat: high}
  - id: b
    by: []
    when: {event: {match: {labels: {x: {regex: "("}}}, expire: never}}
"""
    told = [error.split("\n")[0].removeprefix("responder.yml:") for error in errors(text + "sources: {p: {kind: x}}")]
    assert told == [
        '1:1: unknown key "rulez"',
        '2:36: there is no channel "nochat"',
        '2:45: unknown key "calender"',
        '4:16: there is no team "opps"',
        '4:29: expected a whole number, found "many"',
        '6:5: missing key "by"',
        '7:29: there is no source "nowhere"',
        '7:49: unknown key "evry"',
        '7:74: expected a number, found "x"',
        '8:25: there is no service "shoop"',
        '8:39: unknown name "vlaue" in the template',
        '8:69: unknown key "impcat"',
        "11:40: RE2 refuses the regex: missing ): (",
        "11:64: 'never' is not a duration such as 30s, 5m or 1h30m",
        '12:21: "x" is not known here',
    ]


class Inner(SettingsModel):
    secret: Secret
    length: int | None = None

    @model_validator(mode="after")
    def _length(self) -> "Inner":
        if self.length is None:
            raise ValueError("the length is missing")
        return self


class Known(Server):
    """Has what is only wrong as a whole."""

    token: Secret | None = None
    inner: Inner | None = None
    levels: list[Annotated[int, Field(ge=100)]] = []

    @model_validator(mode="after")
    def _one_way(self) -> "Known":
        if self.token is not None and self.username is not None:
            raise ValueError("give token or username, not both")
        return self


BOTH = "1:14: give token or username, not both"


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        ("url: 'http://x'", [BOTH]),
        ("url: nowhere", [BOTH, "not a URL such as"]),
        ("url: 'http://x', every: soon", [BOTH, "'soon' is not a duration"]),
        ("url: 'http://x', evry: 3s", [BOTH, 'unknown key "evry"']),
        ("url: 'http://x', qqq: 3s", [BOTH, 'unknown key "qqq"']),
        ("url: 'http://x', pasword_env: X", [BOTH, 'unknown key "pasword_env"']),
        ("levels: [7, 200]", [BOTH, 'missing key "url"', '"7" must be at least 100']),
        ("url: 'http://x', inner: {secret_env: S, qqq: 3}", ["the length is missing", 'unknown key "qqq"']),
        ("url: 'http://x', inner: {secret_env: S, lenth: 3}", [BOTH, 'unknown key "lenth"']),
        ("url: 'http://x', inner: {secret_env: S, length: []}", [BOTH, "expected a whole number"]),
    ],
)
def test_what_is_wrong_with_an_entry_as_a_whole_is_told_beside_its_faulty_fields(faulty: str, told: list[str]):
    text = f"sources: {{a: {{kind: known, username: me, token_env: T, {faulty}}}}}"
    found = load_text(text, kinds=Kinds({"known": Known}), env={"T": "t", "S": "s"}).errors
    assert len(found) == len(told)
    for part in told:
        assert any(part in str(error) for error in found), found


def test_a_misspelt_key_is_not_missing_as_well_and_an_unknown_secret_accuses_nobody():
    misspelt = "sources: {a: {kind: known, url: 'http://x', usernme: me, token_env: T}}"
    found = load_text(misspelt, kinds=Kinds({"known": Known}), env={"T": "t"}).errors
    assert ["usernme" in str(error) for error in found] == [False, True]
    unknown = "sources: {a: {kind: known, url: 'http://x', username: me, token_env: T, evry: 3s}}"
    assert len(load_text(unknown, kinds=Kinds({"known": Known})).errors) == 1


def test_a_ring_of_rules_is_shown_as_its_path():
    ring = "".join(
        f"  - {{id: {a}, by: [], when: {{count: {{of: {{rule: {b}}}, at_least: 1, within: 5m}}}}}}\n"
        for a, b in ("ab", "bc", "ca")
    )
    [error] = errors("rules:\n" + ring)
    assert error.endswith("rules in a ring, each waits for the next: a -> b -> c -> a")


def test_services_may_depend_on_each_other_in_a_ring():
    text = BASE.replace(
        "services: {shop: {team: ops, sla: gold}}",
        "services: {a: {team: ops, depends_on: [b]}, b: {team: ops, depends_on: [a]}}",
    )
    assert errors(text) == []


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.sampled_from(["", "x", "5m", "-1", "P1", "high", "{{ value }}", "{{", "1e999", "a(", "24x7", '{a="b"}']),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "id",
                        "by",
                        "when",
                        "event",
                        "metric",
                        "match",
                        "labels",
                        "open",
                        "above",
                        "for",
                        "service",
                        "title",
                        "priority",
                        "every",
                        "of",
                        "rule",
                        "within",
                        "steps",
                        "name",
                        "source",
                        "sources",
                        "kind",
                        "url",
                        "token",
                        "url_env",
                        "hours",
                        "timezone",
                        "calendar",
                        "targets",
                        "P1",
                        "response",
                        "team",
                        "teams",
                        "slas",
                        "services",
                        "calendars",
                        "flows",
                        "rules",
                        "problems",
                        "maintenance",
                        "tests",
                        "topology",
                        "auth",
                        "storage",
                        "listen",
                        "include",
                        "any",
                        "not",
                        "regex",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=25,
    )
)
def test_any_values_give_settings_or_errors_and_nothing_else(data: object):
    import yaml

    loaded = load(yaml.safe_dump(data))
    assert (loaded.settings is None) == bool(loaded.errors)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abkir:-?[]{},&*!|>'\"%@#~\n \0é"))
def test_any_text_gives_settings_or_errors_and_nothing_else(text: str):
    loaded = load("rules:\n  - id: a\n    by: [" + text)
    assert (loaded.settings is None) == bool(loaded.errors)
