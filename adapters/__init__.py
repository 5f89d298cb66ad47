"""One file per outside system; each imports only :mod:`responder.ports`."""

OWNER = "incident-responder"
