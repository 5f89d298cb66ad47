"""responder: a monitoring-driven incident responder."""

__version__ = "0.1.0"
