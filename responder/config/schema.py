"""The JSON Schema of the configuration, for editors."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind, models_json_schema
from pydantic_core import PydanticSerializationError

from responder.config.draft import NAMED
from responder.config.fields import fields, is_secret, models_within, written_keys
from responder.config.models import (
    AuthForm,
    CalendarForm,
    CausesForm,
    FlowForm,
    PrioritiesForm,
    ProblemForm,
    RetentionForm,
    ServiceForm,
    SlaForm,
    StorageForm,
    TeamForm,
    TopologyForm,
)
from responder.config.rule_models import MaintenanceForm, RuleForm, TestForm
from responder.config.settings import Kinds
from responder.ports import Secret

_ONE: Mapping[str, type[BaseModel]] = {
    "storage": StorageForm, "auth": AuthForm, "retention": RetentionForm, "priorities": PrioritiesForm,
    "topology": TopologyForm, "causes": CausesForm, "teams": TeamForm, "calendars": CalendarForm, "slas": SlaForm, "services": ServiceForm,
    "flows": FlowForm, "rules": RuleForm, "problems": ProblemForm, "maintenance": MaintenanceForm, "tests": TestForm,
}  # fmt: skip
_LISTS = ("rules", "problems", "maintenance", "tests")
_TEXTS = {
    "listen": "HOST:PORT, 127.0.0.1:9920 unless given",
    "external_url": "the URL that links carry",
    "startup_grace": "after a start, or when the machine slept, silence is not news for so long; 5m unless given",
}


def json_schema(kinds: Kinds) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a configuration file with these kinds of sources and channels."""
    models = _with_nested([*_ONE.values(), *kinds.sources.values(), *kinds.channels.values()])
    references, schema = models_json_schema(
        [(model, "validation") for model in sorted(models, key=_place)], schema_generator=_Generator
    )
    definitions: dict[str, Any] = schema["$defs"]
    names = {model: references[model, "validation"]["$ref"].removeprefix("#/$defs/") for model in models}
    for model in models:
        _drop_inner_defaults(definitions[names[model]])
        _write_secrets(model, definitions[names[model]])
    properties: dict[str, Any] = {key: {"type": "string", "description": words} for key, words in _TEXTS.items()}
    properties["include"] = {"type": "array", "items": {"type": "string"}}
    for key, model in _ONE.items():
        entry: dict[str, Any] = {"$ref": f"#/$defs/{names[model]}"}
        if key in _LISTS:
            entry = {"type": "array", "items": entry}
        elif key in NAMED:
            entry = {"type": "object", "additionalProperties": entry}
        properties[key] = entry
    for section, of_kind in (("sources", kinds.sources), ("channels", kinds.channels)):
        choices = [_of_kind(kind, names[model]) for kind, model in sorted(of_kind.items())]
        properties[section] = {"type": "object", "additionalProperties": {"oneOf": choices} if choices else True}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "responder.yml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": definitions,
    }


class _Generator(GenerateJsonSchema):
    """Leaves out defaults that are not as one would write them: spans, secrets."""

    def encode_default(self, value: Any) -> Any:
        if isinstance(value, BaseModel | Struct | Secret):
            raise PydanticSerializationError("not written in YAML")
        return super().encode_default(value)

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}


def _place(model: type[BaseModel]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _of_kind(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}", "properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _drop_inner_defaults(schema: dict[str, Any]) -> None:
    """Leave out defaults of durations: inside they are microseconds, in YAML text."""
    for described in schema.get("properties", {}).values():
        types = {described.get("type"), *(choice.get("type") for choice in described.get("anyOf", ()))}
        if "string" in types and isinstance(described.get("default"), int):
            del described["default"]


def _write_secrets(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """Put ``token_env`` and ``token_file`` in the place of ``token``."""
    for key, field in fields(model):
        if not is_secret(field):
            continue
        described = schema["properties"].pop(key)
        ways = written_keys(key, field)
        for way in ways:
            schema["properties"][way] = {"type": "string"} | {
                word: described[word] for word in ("description",) if word in described
            }
        if key in schema.get("required", ()):
            schema["required"].remove(key)
            schema.setdefault("allOf", []).append({"oneOf": [{"required": [way]} for way in ways]})


def _with_nested(models: Iterable[type[BaseModel]]) -> set[type[BaseModel]]:
    """Return the models and all that stand in their fields."""
    found: set[type[BaseModel]] = set()
    left = list(models)
    while left:
        model = left.pop()
        if model not in found:
            found.add(model)
            left += [inner for _, field in fields(model) for inner in models_within(field.annotation)]
    return found
