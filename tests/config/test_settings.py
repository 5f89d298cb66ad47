"""What a sound configuration becomes."""

from datetime import date
from pathlib import Path

import pytest

from responder.config import defaults
from responder.config import load as load_files
from responder.core import catalogue
from responder.core.calendar import compile_calendar
from responder.core.causes import Weights
from responder.core.instant import parse_instant
from responder.core.rule import AbsenceWhen, Bound, CountWhen, EventWhen, FlappingWhen, MetricWhen, SequenceWhen
from responder.core.signal import DAY, HOUR, MINUTE, SECOND
from tests.config.kit import KINDS, errors, load, rules, warnings

SHOP = Path(__file__).parent / "data" / "shop.yml"
NOW = parse_instant("2026-06-01T00:00:00Z")


@pytest.fixture(scope="module")
def shop():
    loaded = load_files([SHOP], kinds=KINDS, env={}, strict_secrets=False, now=NOW)
    assert loaded.settings is not None, loaded.errors
    return loaded.settings


def test_the_shop_loads_its_secrets_are_missing_and_what_it_counts_opens_incidents_too():
    loaded = load_files([SHOP], kinds=KINDS, env={}, strict_secrets=False, now=NOW)
    assert loaded.errors == []
    assert [str(warning).split(": ", 1)[1].split("\n")[0] for warning in loaded.warnings] == [
        f"the variable {name} is not set"
        for name in ("JOBS_TOKEN", "ORDER_HOOK", "ORDER_HOOK_SECRET", "NOC_APPRISE_URL")
    ] + ['each delivery of "jobs" opens an incident of its own too, by rule "default-service" or its like']
    assert [path.name for path in loaded.files] == ["shop.yml", "default.yml"]


def test_a_secret_that_is_not_set_is_an_error_for_the_daemon():
    loaded = load_files([SHOP], kinds=KINDS, env={}, strict_secrets=True, now=NOW)
    assert loaded.settings is None
    assert len(loaded.errors) == 4
    env = dict.fromkeys(("JOBS_TOKEN", "ORDER_HOOK", "ORDER_HOOK_SECRET", "NOC_APPRISE_URL"), "http://x")
    assert load_files([SHOP], kinds=KINDS, env=env, strict_secrets=True, now=NOW).errors == []


def test_the_shop_s_rules_have_every_kind(shop):
    found = {rule.id: rule for rule in shop.rules}
    slow = found["order-response-slow"]
    assert isinstance(slow.when, MetricWhen)
    assert (slow.by, slow.when.every, slow.when.no_data) == (("region",), 30 * SECOND, "close")
    assert slow.when.open == Bound("above", 600, hold=2 * MINUTE)
    assert slow.when.close == Bound("below", 540, hold=5 * MINUTE)
    hosts = found["host-alerts"].when
    assert isinstance(hosts, EventWhen)
    assert hosts.of.expire == DAY
    assert [(test.name, test.equals) for test in hosts.of.match.labels] == [
        ("alertname", ()), ("severity", ("critical", "warning")), ("env", ()),
    ]  # fmt: skip
    missing = found["nightly-settlement-missing"].when
    assert isinstance(missing, AbsenceWhen)
    assert missing.expect == ({"job": "settle-hq"}, {"job": "settle-east"})
    burst = found["login-burst"].when
    assert isinstance(burst, CountWhen)
    assert (burst.at_least, burst.within, burst.distinct) == (20, 5 * MINUTE, "ip")
    broken = found["broken-by-release"]
    assert isinstance(broken.when, SequenceWhen)
    assert [(step.name, step.rule) for step in broken.when.steps] == [("release", None), ("stall", "order-stalled")]
    assert broken.absorbs == ("order-stalled",)
    flaps = found["carrier-link-flaps"].when
    assert isinstance(flaps, FlappingWhen)
    assert (flaps.start_changes, flaps.stop_changes) == (6, 1)
    assert broken.place.startswith(f"{SHOP}:")


def test_the_shop_s_catalogue_is_plain_data(shop):
    assert shop.services["order"].depends_on == ("order-db", "logistics-api")
    assert shop.services["order"].users == 2_000_000
    assert shop.teams["order-ops"].channels[0].priorities == ("P1", "P2", "P3")
    assert shop.teams["order-ops"].channels[1] == catalogue.ChannelRef("desk-mail")
    assert shop.slas["gold"].targets["P1"] == (10 * MINUTE, HOUR)
    assert shop.slas["gold"].warn_at == (50, 75, 90)
    office = shop.calendars["office"]
    assert office.weekly[0] == ((9 * 3600, 12 * 3600), (13 * 3600, 18 * 3600))
    assert office.holidays == (date(2026, 10, 1), date(2026, 10, 2))
    assert office.overrides == {date(2026, 10, 10): ((9 * 3600, 18 * 3600),)}
    assert compile_calendar(office.timezone, office.weekly, office.holidays, office.overrides).is_open(
        parse_instant("2026-10-10T10:00:00+08:00")
    )
    assert [stage.name for stage in shop.flows["closed-loop"].stages] == ["register", "fix", "verify", "inform"]
    assert shop.flows["closed-loop"].stages[1].within == "sla.resolution"
    assert shop.problems[0].how == catalogue.Depends(10 * MINUTE, hold_notifications=2 * MINUTE)
    assert shop.topology.from_labels == (("instance", "node"),)
    assert shop.maintenance[1].recurring == catalogue.Recurring((0, 1, 2, 3, 4, 5, 6), 7200, 10800, "Asia/Shanghai")
    assert shop.maintenance[0].start == parse_instant("2026-11-06T18:00:00Z")
    assert (shop.listen.port, shop.external_url, shop.startup_grace) == (9920, "http://localhost:9920", 5 * MINUTE)
    assert shop.retention == catalogue.Retention(30 * DAY, 400 * DAY)
    assert shop.storage.url.reveal() == "sqlite:///responder.db"


def test_the_shop_s_tests_keep_their_places(shop):
    first = shop.tests[0]
    assert first.start == parse_instant("2026-01-05T00:00:00Z")
    assert first.series[0].values == "10x4 700x12 570x20 100x20"
    assert first.expect[1].incidents == (
        {
            "rule": "order-response-slow",
            "key": {"region": "eu"},
            "state": "open",
            "priority": "P1",
            "response_due": "14m30s",
        },
    )
    assert first.expect[0].incidents == ()
    assert first.expect[0].problems is None
    assert first.place.startswith(f"{SHOP}:")


def test_without_a_file_there_is_the_default_pack_and_no_polling():
    loaded = defaults(kinds=KINDS)
    assert loaded.settings is not None
    assert loaded.warnings == []
    assert loaded.settings.sources == {}
    assert {rule.id for rule in loaded.settings.rules} == {
        "default-service", "default-job", "default-name", "watchdog-silent",
    }  # fmt: skip
    assert (loaded.settings.listen.host, loaded.settings.auth.mode) == ("127.0.0.1", "none")


def test_an_address_from_the_command_line_stands_instead_of_the_file_s():
    loaded = defaults(kinds=KINDS, listen="[::1]:9")
    assert loaded.settings is not None
    assert str(loaded.settings.listen) == "[::1]:9"
    [error] = defaults(kinds=KINDS, listen="0.0.0.0:9").errors
    assert str(error).startswith("--listen:1:1: 0.0.0.0:9 can be reached by others, and auth is not set")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1"])
def test_loopback_needs_no_auth(address: str):
    assert errors(f"listen: '{address}'") == []


def test_tokens_open_the_door_to_other_addresses():
    text = "listen: 0.0.0.0:9920\nauth: {mode: tokens, tokens: [{name: a, token_env: T, role: admin}]}"
    loaded = load(text, env={"T": "geheim"}, strict_secrets=True)
    assert loaded.settings is not None
    assert loaded.settings.auth.tokens[0].token.reveal() == "geheim"
    assert "geheim" not in repr(loaded.settings)


def test_secrets_come_from_variables_and_from_files_beside_the_configuration(tmp_path: Path):
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "r.yml").write_text(
        "sources:\n"
        "  a: {kind: webhook, map: {labels: {a: b}}, token_file: token, hmac: {secret_env: H}}\n"
        "  b: {kind: prometheus, url_env: U, username: me, password_env: H}\n"
    )
    loaded = load_files(
        [tmp_path / "r.yml"], kinds=KINDS, env={"H": "from-env", "U": "http://h/?k=1"}, strict_secrets=True, now=0
    )
    assert loaded.settings is not None, loaded.errors
    a, b = loaded.settings.sources["a"], loaded.settings.sources["b"]
    assert (a.token.reveal(), a.hmac.secret.reveal()) == ("from-file", "from-env")
    assert (b.url.reveal(), b.password.reveal()) == ("http://h/?k=1", "from-env")
    (tmp_path / "token").write_text("renewed\n")
    assert (a.token.reveal(), a.token.current(), b.password.current()) == ("from-file", "renewed", "from-env")
    (tmp_path / "token").unlink()
    assert a.token.current() == "from-file"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("token_file: nothing", "the secret file nothing can't be read: No such file or directory"),
        ("token_env: ''", "the name of a variable is missing"),
        ("token_env: X", "the variable X is not set\n  hint: export X=..."),
    ],
)
def test_a_secret_that_can_not_be_found_is_told_and_does_no_more_harm(written: str, said: str):
    [warning] = warnings(f"sources: {{a: {{kind: webhook, map: {{labels: {{a: b}}}}, {written}}}}}")
    assert warning.endswith(said)


def test_an_adapter_that_makes_no_sense_without_its_secret_is_left_out_of_a_check():
    loaded = load("channels: {a: {kind: email, to: [x], smtp_env: NOPE}}\nteams: {t: {lead: x, channels: [a]}}")
    assert loaded.errors == []
    assert len(loaded.warnings) == 1


def test_files_are_put_together_and_each_is_read_once(tmp_path: Path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "main.yml").write_text("include: ['rules/*.yml', main.yml]\nteams: {ops: {lead: me}}\n")
    for name in "ba":
        (tmp_path / "rules" / f"{name}.yml").write_text(
            f"include: [../main.yml]\nrules: [{{id: {name}, by: [], when: {{event: {{}}}}}}]\ntopology: {{edges: [{{from: {name}, to: c}}]}}"
        )
    loaded = load_files([tmp_path / "main.yml"], kinds=KINDS, env={}, strict_secrets=True, now=0)
    assert loaded.settings is not None, loaded.errors
    assert [rule.id for rule in loaded.settings.rules] == ["a", "b"]
    assert loaded.settings.topology.edges == (("a", "c"), ("b", "c"))
    assert len(loaded.files) == 3


def test_the_digest_changes_with_any_text():
    assert load("rules: []").digest != load("rules: [] ").digest
    assert load("rules: []").digest == load("rules: []").digest


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    loaded = load_files([tmp_path / "no.yml"], kinds=KINDS, env={}, strict_secrets=True, now=0)
    assert str(loaded.errors[0]) == f"{tmp_path / 'no.yml'}:1:1: the file can't be read: No such file or directory"


def test_edges_come_from_a_json_file_too(tmp_path: Path):
    (tmp_path / "t.json").write_text('[{"from": "a", "to": "b"}]')
    (tmp_path / "bad.json").write_text('[{"from": "a", "too": "b"}]')
    (tmp_path / "r.yml").write_text("topology: {file: t.json, scope: [cluster]}")
    loaded = load_files([tmp_path / "r.yml"], kinds=KINDS, env={}, strict_secrets=True, now=0)
    assert loaded.settings is not None
    assert loaded.settings.topology == catalogue.TopologySpec((("a", "b"),), (), ("cluster",))
    (tmp_path / "r.yml").write_text("topology: {file: bad.json}")
    loaded = load_files([tmp_path / "r.yml"], kinds=KINDS, env={}, strict_secrets=True, now=0)
    assert "not a list of edges" in str(loaded.errors[0])


def test_the_weights_of_causes_have_defaults_one_by_one():
    def causes(text: str) -> Weights:
        loaded = load(text)
        assert loaded.settings is not None, loaded.errors
        return loaded.settings.causes

    assert causes("") == causes("causes: {}") == causes("causes: {memory: {}}") == Weights()
    assert causes("causes: {memory: {slow: 7d}, earliness: 5m}") == Weights(slow=7 * DAY, earliness=5 * MINUTE)
    assert causes(
        "causes: {call: 0.5, handed: 0, specificity: 2, earliness: 1m, memory: {slow: 9d, fast: 1h, alone: 3h}}"
    ) == Weights(0.5, 0.0, 2.0, MINUTE, 9 * DAY, HOUR, 3 * HOUR)


def test_both_notations_of_a_match_mean_the_same():
    found = rules(
        """rules:
  - {id: a, by: [], when: {event: {match: '{env!="dev", alertname=~"x|y", up="1"}'}}}
  - {id: b, by: [], when: {event: {match: {labels: {up: 1, alertname: [y, x], env: {not: dev}}}}}}
"""
    )
    a, b = found["a"].when.of.match, found["b"].when.of.match
    assert a.words == b.words == 'alertname =~ "x|y", env != "dev", up = "1"'


def test_a_value_can_be_many_things():
    [rule] = rules(
        "rules: [{id: a, by: [], when: {event: {match: {labels: {a: {regex: 'x.*', not: xx}, b: {prefix: y.}, c: {exists: false},"
        " d: {above: 1, below: 10}, e: {not: [1, 2]}, f: {not: {prefix: z}}}, annotations: {g: h}, any: [{labels: {i: j}}, '{k=\"l\"}'],"
        " none: [{status: resolved}]}}}}]"
    ).values()
    match = rule.when.of.match
    assert match.words == (
        'a != "xx", a =~ "x.*", b =~ "y\\\\..*", c = "", d < 10, d > 1, e !~ "1|2", f !~ "z.*", annotation g = "h", '
        'any of (i = "j"; k = "l"), none of (status = "resolved")'
    )
    holds = {test.words: test.holds for test in match.labels}
    assert holds["d > 1"]("1.5")
    assert not holds["d > 1"]("many")
    assert not holds["d > 1"]("")
    assert holds['f !~ "z.*"']("")
    assert not holds['f !~ "z.*"']("zz")
    assert holds['b =~ "y\\\\..*"']("y.z")


def test_the_digest_of_a_rule_changes_with_its_key_and_kind_only():
    text = "rules: [{id: a, by: [%s], when: {%s: {of: {event: {}}, %s}}}]"
    base = rules(text % ("x", "count", "at_least: 2, within: 5m"))["a"].digest
    assert rules(text % ("x", "count", "at_least: 3, within: 5m"))["a"].digest == base
    assert rules(text % ("y", "count", "at_least: 2, within: 5m"))["a"].digest != base
    assert rules(text % ("x", "absence", "every: 2m, grace: 5m"))["a"].digest != base
