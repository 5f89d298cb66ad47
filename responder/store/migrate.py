"""Bringing the schema to this version; alembic is imported only when there is something to do."""

from pathlib import Path
from typing import Final

from sqlalchemy import Engine, inspect, select
from sqlalchemy import table as sql_table
from sqlalchemy.sql import column

from responder.store.engine import StorageError

HEAD: Final = "0001"
_VERSION = sql_table("alembic_version", column("version_num"))


def revision(engine: Engine) -> str | None:
    """Return the revision of the database, or none if it is empty."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
        return found


def upgrade(engine: Engine) -> bool:
    """Bring the schema to :data:`HEAD`; returns whether anything was done.

    Raises:
        StorageError: The database is of a newer version of the program.
    """
    found = revision(engine)
    if found == HEAD:
        return False
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, HEAD)
        except CommandError as error:
            raise StorageError(f"the database has revision {found}, this program knows {HEAD}: {error}") from error
        connection.commit()
    return True
