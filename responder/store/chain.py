"""The hash chain over the timeline: hashed bytes are the stored bytes.

``digest = H(seq | at | recorded_at | subject | kind | actor | body)`` and
``hash = H(previous hash | digest)``. Retention sets a body to NULL and keeps the digest, so
the chain can be walked for ever, and only the newest hash, kept outside, shows a chain that
was rewritten as a whole.
"""

from hashlib import sha256

GENESIS = bytes(32)


def digest_of(
    seq: int, at: int, recorded_at: int, subject_kind: str, subject_id: int, kind: str, actor: str, body: str
) -> bytes:
    """Return what stands for the event in the chain."""
    head = f"{seq}|{at}|{recorded_at}|{subject_kind}|{subject_id}|{kind}|{len(actor)}|{actor}|"
    return sha256(head.encode() + body.encode()).digest()


def link(previous: bytes, digest: bytes) -> bytes:
    """Return the hash of an event, given that of the one before it."""
    return sha256(previous + digest).digest()
