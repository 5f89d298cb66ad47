"""What a settings model knows about its keys: for hints, for secrets, for the JSON Schema."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from responder.config.nodes import Step
from responder.ports import AsText, Secret


def fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield (key as written, field), before secrets gain their suffixes."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def is_secret(field: FieldInfo) -> bool:
    """Say whether the field may be written ``x_env`` or ``x_file``."""
    return Secret in members(field.annotation)


def may_be_plain(field: FieldInfo) -> bool:
    """Say whether a secret may also stand in YAML as it is: a URL may."""
    return any(isinstance(note, AsText) for note in [*field.metadata, *_notes(field.annotation)])


def written_keys(key: str, field: FieldInfo) -> list[str]:
    """Return the keys under which a field may stand in YAML."""
    if not is_secret(field):
        return [key]
    return ([key] if may_be_plain(field) else []) + [f"{key}_env", f"{key}_file"]


def known_keys(model: type[BaseModel], path: Sequence[Step]) -> list[str]:
    """Return the keys that may stand at *path* of an entry."""
    return [
        written
        for found in models_at(model, path)
        for key, field in fields(found)
        for written in written_keys(key, field)
    ]


def homes(model: type[BaseModel], key: str, above: Sequence[type[BaseModel]] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the ways down to where *key* may stand, lists and free names passed over."""
    for name, field in fields(model):
        if key in written_keys(name, field):
            yield ()
        for inner in models_within(field.annotation):
            if inner not in above:
                for way in homes(inner, key, (*above, inner)):
                    yield (name, *way)


def field_at(model: type[BaseModel], path: Sequence[Step]) -> FieldInfo | None:
    """Return the field that *path* leads to, if it is one."""
    for found in models_at(model, path[:-1]):
        for key, field in fields(found):
            if key == path[-1]:
                return field
    return None


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models among the members of a type."""
    return [found for found in members(annotation) if isinstance(found, type) and issubclass(found, BaseModel)]


def models_within(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models of a type, those of its items too."""
    for found in members(annotation):
        yield from models_in(found)
        for inner in get_args(found):
            yield from models_within(inner)


def members(annotation: Any) -> Iterator[Any]:
    """Yield the types of a union, without what is annotated to them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from members(member)
    else:
        yield annotation


def _notes(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    for inner in get_args(annotation):
        yield from _notes(inner)


def models_at(model: type[BaseModel], path: Sequence[Step]) -> list[type[BaseModel]]:
    """Return the models that may be written at *path* of an entry."""
    here: list[Any] = [model]
    for step in path:
        # a step that leads nowhere is the tag of a union
        here = [inner for outer in here for inner in _inside(outer, step)] or here
    return [found for outer in here for found in models_in(outer)]


def _inside(annotation: Any, step: Step) -> Iterator[Any]:
    for found in members(annotation):
        origin = get_origin(found)
        if isinstance(found, type) and issubclass(found, RootModel):
            yield from _inside(found.model_fields["root"].annotation, step)
        elif isinstance(found, type) and issubclass(found, BaseModel):
            yield from (field.annotation for key, field in fields(found) if key == step)
        elif origin in (dict, Mapping) and isinstance(step, str):
            yield get_args(found)[1]
        elif origin in (list, Sequence) and isinstance(step, int):
            yield get_args(found)[0]
