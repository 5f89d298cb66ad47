"""Which incidents an alert joined, found by the alert."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("incident_alert_by_alert", "incident_alert", ["alert_id"])
