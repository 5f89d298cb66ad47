"""Configurations under measurement: so many rules for us, as many routes for Alertmanager."""


def event_rules(count: int, by: str = "service") -> str:
    """Return rules that each insist on one service; alerts of :mod:`tests.bench.load` meet the first 200."""
    return "rules:\n" + "".join(
        f"  - id: svc-{n}\n    by: [{by}]\n"
        f"    when: {{event: {{match: {{labels: {{service: svc{n}, severity: [info, warning, critical]}}}}}}}}\n"
        f'    incident: {{service: "{{{{ labels.service }}}}", title: "{{{{ labels.service }}}} is in trouble"}}\n'
        for n in range(count)
    )


_KINDS = (
    "event: {match: %s}",
    "count: {of: {event: {match: %s}}, at_least: 3, within: 10m}",
    "absence: {of: {event: {match: %s}}, every: 1h, grace: 5m}",
    "all: {of: [{event: {match: %s}}, {event: {match: {labels: {alertname: Other}}}}], within: 10m}",
    "sequence: {steps: [{name: first, event: {match: %s}}, {name: then, event: {match: {labels: {alertname: Other}}}}], within: 10m}",
    "flapping: {of: {event: {match: %s}}, start: {changes: 5, within: 10m}, stop: {changes: 1, within: 10m}}",
)


def mixed_rules(count: int) -> str:
    """Return rules of every kind that looks at alerts, in turn, each about one service."""
    return "rules:\n" + "".join(
        f"  - id: svc-{n}\n    by: [service]\n    when: {{{_KINDS[n % len(_KINDS)] % f'{{labels: {{service: svc{n}}}}}'}}}\n"
        f'    incident: {{service: "{{{{ key.service }}}}", title: "{{{{ key.service }}}} is in trouble"}}\n'
        for n in range(count)
    )


def metric_rules(count: int, url: str, every: str) -> str:
    """Return rules that each ask a query of their own of a Prometheus."""
    head = (
        f"sources: {{prom: {{kind: prometheus, url: '{url}'}}}}\n"
        "teams: {shop-ops: {lead: shop-lead}}\n"
        "services: {shop: {team: shop-ops}}\nrules:\n"
    )
    return head + "".join(
        f"  - id: slow-{n}\n    by: [region]\n    when:\n      metric:\n        source: prom\n"
        f'        query: max by (region) (shop_latency_seconds{{shard="{n}"}})\n        every: {every}\n'
        "        open: {above: 600, for: 2m}\n        close: {below: 540, for: 5m}\n        no_data: close\n"
        f'    incident: {{service: shop, title: "Shard {n} in {{{{ key.region }}}} is slow", impact: high, urgency: high}}\n'
        for n in range(count)
    )


def routes(count: int, *, go_on: bool = False) -> str:
    """Return a configuration of Alertmanager that notifies nobody, with so many routes of one matcher each.

    The first that matches ends its search; with *go_on* it asks them all, as every rule of ours is asked.
    """
    more = "continue: true, " if go_on else ""
    entries = "".join(f"    - {{receiver: nobody, {more}matchers: ['service=\"svc{n}\"']}}\n" for n in range(count))
    return "receivers: [{name: nobody}]\nroute:\n  receiver: nobody\n" + (f"  routes:\n{entries}" if entries else "")
