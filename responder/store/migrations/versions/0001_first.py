"""The first schema; databases of it are there, but a new one begins at the head."""

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Do nothing: nobody comes from below."""
