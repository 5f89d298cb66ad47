"""Bringing the schema to this version; alembic is imported only when there is something to do."""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Engine, MetaData, String, Table, inspect, select, text
from sqlalchemy.schema import CreateSchema

from responder.store.engine import DatabaseError, StorageError
from responder.store.schema import metadata

HEAD: Final = "0002"
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""As alembic keeps it."""


def revision(engine: Engine) -> str | None:
    """Return the revision of the database, or none if it is empty."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
        return found


def upgrade(engine: Engine) -> bool:
    """Bring the schema to :data:`HEAD`; returns whether anything was done.

    A new database is made whole, and the steps between are for those that are older. A schema of
    PostgreSQL that is not there is created.

    Raises:
        StorageError: The database is of a newer version of the program, or of another program, or its schema
            can't be created.
    """
    found = revision(engine)
    if found == HEAD:
        return False
    _make_room(engine)
    if found is None:
        _create(engine)
    else:
        _step_up(engine, found)
    return True


def _create(engine: Engine) -> None:
    with engine.begin() as connection:
        metadata.create_all(connection)
        _VERSION.create(connection)
        connection.execute(_VERSION.insert().values(version_num=HEAD))


def _step_up(engine: Engine, found: str) -> None:
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
            raise StorageError(
                f"the database has revision {found}, and this program knows up to {HEAD}: a newer version has used it\n"
                "  hint: start that version, or take the backup from before the upgrade"
            ) from error
        connection.commit()


def _make_room(engine: Engine) -> None:
    if engine.dialect.name == "postgresql":
        _create_schema(engine)
    found = set(inspect(engine).get_table_names())
    foreign = sorted(found & set(metadata.tables))
    if foreign and "alembic_version" not in found:
        raise StorageError(
            f"the database has tables of another program with the names of responder's: {', '.join(foreign)}\n"
            "  hint: give responder a file, a database or a storage.schema of its own"
        )


def _create_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        if connection.execute(text("SELECT current_schema()")).scalar() is not None:
            return
        name = str(connection.execute(text("SHOW search_path")).scalar()).lower()  # as the path itself is read
        if not name.isidentifier():
            raise StorageError(f"none of the schemas of search_path ({name}) exists; name one in storage.schema")
        try:
            connection.execute(CreateSchema(name, if_not_exists=True))
            connection.commit()
        except DatabaseError as error:
            reason = str(error.orig).strip()
            raise StorageError(f"schema {name} does not exist and can't be created: {reason}") from error
