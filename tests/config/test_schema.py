import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from responder.config.draft import KEYS
from responder.config.schema import json_schema
from tests.config.kit import KINDS


def typed(value: Any) -> Any:
    """Return values as YAML 1.2 reads them."""
    match value:
        case dict():
            return {key: typed(inner) for key, inner in value.items()}
        case list():
            return [typed(inner) for inner in value]
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "-0123456789tfn" else value
    except ValueError:
        return value


def mistakes(text: str) -> list[str]:
    validator = jsonschema_rs.validator_for(json_schema(KINDS))
    return [error.message for error in validator.iter_errors(typed(yaml.load(text, Loader=yaml.BaseLoader)))]


def test_the_shop_is_valid_and_every_key_is_described():
    assert mistakes((Path(__file__).parent / "data" / "shop.yml").read_text()) == []
    assert set(json_schema(KINDS)["properties"]) == set(KEYS)


def test_secrets_are_written_by_where_they_are():
    assert mistakes("auth: {mode: tokens, tokens: [{name: a, token_env: X, role: admin}]}") == []
    assert mistakes("auth: {mode: tokens, tokens: [{name: a, token: X, role: admin}]}") != []
    assert mistakes("sources: {a: {kind: webhook, map: {labels: {}}, hmac: {secret_file: x}}}") == []
    assert mistakes("sources: {a: {kind: webhook, map: {labels: {}}, hmac: {secret: x}}}") != []


def test_mistakes_are_seen_by_an_editor():
    assert mistakes("rulez: []") != []
    assert mistakes("rules: [{id: a, when: {event: {}}}]") != []
    assert mistakes("sources: {a: {kind: nothing}}") != []


def test_no_default_is_in_microseconds():
    assert "000000" not in json.dumps(json_schema(KINDS))
