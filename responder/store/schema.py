"""The tables, for SQLite and PostgreSQL alike.

Instants are BIGINT microseconds, UTC. Labels and other structures are JSON text written
once by msgspec. Time-driven rows carry their due instant themselves (``alert.ends_at``,
``rule_state.due``, ``incident.due``, ``outbox.not_before``), so there is one truth about
when something happens and no second table to keep in step.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    literal_column,
    select,
    union_all,
)

metadata = MetaData()
# SQLite numbers rows itself only for INTEGER PRIMARY KEY; PostgreSQL needs 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")

leader = Table(
    "leader",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("alive_at", BigInteger, nullable=False),
    Column("head_seq", BigInteger, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("next_alert", BigInteger, nullable=False),
    Column("next_incident", BigInteger, nullable=False),
    Column("next_problem", BigInteger, nullable=False),
    Column("next_outbox", BigInteger, nullable=False),
    Column("next_change", BigInteger, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("seq", Id, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("subject_kind", String, nullable=False),
    Column("subject_id", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("body", Text, nullable=True),
    Column("digest", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("event_subject", "subject_kind", "subject_id", "seq"),
)

alert = Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("fp", BigInteger, nullable=False),  # its identity; earlier versions wrote its fingerprint
    Column("source", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("annotations", Text, nullable=False),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=True),
    Column("updated_at", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    Column("timeout", Boolean, nullable=False),
    Column("ended", String, nullable=False),
    Column("newest_start", BigInteger, nullable=False),
    Column("joined", Text, nullable=False),
    Column("dedup", String, nullable=False),
    Column("polled", Boolean, nullable=False),
)
DEDUPED = alert.c.dedup != literal_column("''")
"""Written out, so that SQLite sees that a look-up may use the index."""
Index("alert_dedup", alert.c.dedup, alert.c.source, sqlite_where=DEDUPED, postgresql_where=DEDUPED)
Index("alert_firing", alert.c.id, sqlite_where=alert.c.ended == "", postgresql_where=alert.c.ended == "")
ENDED = alert.c.ended != literal_column("''")
BY_END = Index("alert_ended", alert.c.ends_at, sqlite_where=ENDED, postgresql_where=ENDED)

incident_alert = Table(
    "incident_alert",
    metadata,
    Column("incident_id", BigInteger, primary_key=True, autoincrement=False),
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
BY_ALERT = Index("incident_alert_by_alert", incident_alert.c.alert_id)

incident_alert_recent = Table(
    "incident_alert_recent",
    metadata,
    Column("incident_id", BigInteger, nullable=False),
    Column("alert_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("alert_id", "incident_id"),
    sqlite_with_rowid=False,
)
"""Links in the order in which they came, a few thousand; ``incident_alert`` gets them in bulk. A transaction writes one
page for them here, and there it would be one for each incident that gained an alert."""

links = union_all(
    select(incident_alert), select(incident_alert_recent.c.incident_id, incident_alert_recent.c.alert_id)
).subquery("links")
"""Which alerts joined which incidents, wherever that is written."""

rule_state = Table(
    "rule_state",
    metadata,
    Column("rule", String, primary_key=True),
    Column("key_hash", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due", BigInteger, nullable=True),
    Column("incident_id", BigInteger, nullable=True),
    Column("digest", String, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

incident = Table(
    "incident",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("rule", String, nullable=True),
    Column("key_hash", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("taking", Boolean, nullable=False),
    Column("service", String, nullable=False),
    Column("team", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("priority", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("problem_id", BigInteger, nullable=True),
    Column("flags", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger, nullable=True),
    Column("closed_at", BigInteger, nullable=True),
    Column("due", BigInteger, nullable=True),
    Column("version", BigInteger, nullable=False),
    Column("alerts_count", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
Index(
    "incident_taking",
    incident.c.rule,
    incident.c.key_hash,
    unique=True,
    sqlite_where=incident.c.taking.is_(True),
    postgresql_where=incident.c.taking.is_(True),
)
Index("incident_key", incident.c.rule, incident.c.key_hash, incident.c.id)
Index("incident_service", incident.c.service, incident.c.id)
Index("incident_problem", incident.c.problem_id, incident.c.id)
Index(
    "incident_open",
    incident.c.id,
    sqlite_where=incident.c.closed_at.is_(None),
    postgresql_where=incident.c.closed_at.is_(None),
)
Index("incident_closed", incident.c.closed_at)

problem = Table(
    "problem",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("origin", String, nullable=False),
    Column("spec", String, nullable=False),
    Column("state", String, nullable=False),
    Column("service", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger, nullable=True),
    Column("due", BigInteger, nullable=True),
    Column("incidents_count", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

board = Table(
    "board",
    metadata,
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("body", Text, nullable=False),
)
"""What correlation remembers: memory, held, linked, clue; and edge, which labels showed."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("channel", String, nullable=False),
    Column("state", String, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
Index(
    "outbox_waiting",
    outbox.c.channel,
    outbox.c.not_before,
    sqlite_where=outbox.c.state == "waiting",
    postgresql_where=outbox.c.state == "waiting",
)

silence = Table(
    "silence",
    metadata,
    Column("id", String, primary_key=True),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("name", String, primary_key=True),
    Column("from_at", BigInteger, nullable=False),
    Column("to_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

meter = Table(
    "meter",
    metadata,
    Column("service", String, primary_key=True),
    Column("body", Text, nullable=False),
)

satisfaction = Table(
    "satisfaction",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("incident_id", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

change = Table(
    "change",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("service", String, nullable=False),
    Column("body", Text, nullable=False),
)

fact = Table(
    "fact",
    metadata,
    Column("name", String, primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Float(precision=53), nullable=False),
)

source_state = Table(
    "source_state",
    metadata,
    Column("name", String, primary_key=True),
    Column("failing_since", BigInteger, nullable=True),
    Column("body", Text, nullable=False),
)
