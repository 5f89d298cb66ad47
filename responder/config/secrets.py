"""Secrets: they never stand in YAML, only where they are to be found."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

from msgspec import Struct
from pydantic import BaseModel

from responder.config.checking import Place
from responder.config.errors import Report
from responder.config.fields import fields, is_secret, may_be_plain, models_within
from responder.config.nodes import Path
from responder.ports import UNSET, Secret

MAX_SECRET: Final = 65_536
_PASSWORD_IN_URL = re.compile(r"://[^/?#\s]*:[^/?#\s]+@")


class Vault(Struct, frozen=True):
    """Where secrets come from, and whether one that is not there is an error."""

    env: Mapping[str, str]
    strict: bool

    def resolve(self, model: type[BaseModel], raw: Any, place: Place, report: Report) -> tuple[Any, set[Path]]:
        """Return the entry with its secrets filled in, and the paths of those that are not known.

        A field ``token`` that is a Secret is taken from ``token_env`` (a variable) or
        ``token_file`` (a file, relative to the configuration file). What is not known is
        reported and stands as a placeholder.
        """
        lost: set[Path] = set()
        if isinstance(raw, list):
            items = [self.resolve(model, item, place.at(i), report) for i, item in enumerate(raw)]
            return [item for item, _ in items], {(i, *path) for i, (_, paths) in enumerate(items) for path in paths}
        if not isinstance(raw, dict):
            return raw, lost
        filled = dict(raw)
        for key, field in fields(model):
            if is_secret(field):
                if not self._fill(key, may_be_plain(field), filled, place, report):
                    filled[key] = UNSET
                    lost.add((key,))
            elif key in filled and (inner := next(models_within(field.annotation), None)) is not None:
                filled[key], paths = self.resolve(inner, filled[key], place.at(key), report)
                lost |= {(key, *path) for path in paths}
        return filled, lost

    def _fill(self, key: str, plain: bool, filled: dict[str, Any], place: Place, report: Report) -> bool:
        """Put the secret of one field in its place; say whether all is well."""
        ways = [way for way in (key, f"{key}_env", f"{key}_file") if way in filled]
        if not ways or (ways == [key] and plain and _harmless(filled[key])):
            return True
        written, *_ = [filled.pop(way) for way in ways]
        if ways[0] == key and not (plain and _harmless(written)):
            what = "a password never stands in YAML" if plain else f"{key}: a secret never stands in YAML"
            report.error(place.mark(key), what, f"write {key}_env: NAME_OF_A_VARIABLE or {key}_file: PATH")
            return False
        if len(ways) > 1:
            report.error(place.key(ways[1]), f"{ways[0]} and {ways[1]} say the same thing twice", "keep one of them")
            return False
        path = FilePath(place.document.folder, str(written)) if ways[0] == f"{key}_file" else None
        value = self._from_env(written) if path is None else self._from_file(written, path)
        if isinstance(value, LookupError):
            told = report.error if self.strict else report.warn
            told(place.mark(ways[0]), *value.args)
            return False
        filled[key] = Secret(value, partial(_again, path) if path is not None else None)
        return True

    def _from_env(self, name: object) -> str | LookupError:
        if not isinstance(name, str) or not name:
            return LookupError("the name of a variable is missing")
        return self.env.get(name) or LookupError(f"the variable {name} is not set", f"export {name}=...")

    def _from_file(self, name: object, path: FilePath) -> str | LookupError:
        if not isinstance(name, str) or not name:
            return LookupError("the path of a file is missing")
        try:
            value = _contents(path)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            return LookupError(f"the secret file {name} can't be read: {why}")
        if not value or len(value) > MAX_SECRET:
            return LookupError(f"the secret file {name} is empty or longer than {MAX_SECRET} characters")
        return value


def _contents(path: FilePath) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_SECRET + 1).strip()


def _again(path: FilePath) -> str | None:
    try:
        return _contents(path)
    except (OSError, UnicodeDecodeError):
        return None


def _harmless(value: object) -> bool:
    return not isinstance(value, str) or _PASSWORD_IN_URL.search(value) is None
