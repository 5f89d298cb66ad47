"""Which incidents an alert joined, found by the alert and written in bulk; and what ended lately."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two indexes, and the table of what joined lately."""
    op.create_index("incident_alert_by_alert", "incident_alert", ["alert_id"])
    ended = sa.text("ended != ''")
    op.create_index("alert_ended", "alert", ["ends_at"], sqlite_where=ended, postgresql_where=ended)
    op.create_table(
        "incident_alert_recent",
        sa.Column("incident_id", sa.BigInteger, nullable=False),
        sa.Column("alert_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "incident_id"),
        sqlite_with_rowid=False,
    )
