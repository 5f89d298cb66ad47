"""YAML -> nodes with file:line:column -> checked models -> core values."""

from responder.config.errors import ConfigError, Mark
from responder.config.loader import defaults, load, load_text
from responder.config.settings import Kinds, Loaded, Settings

__all__ = ["ConfigError", "Kinds", "Loaded", "Mark", "Settings", "defaults", "load", "load_text"]
