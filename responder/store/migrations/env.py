"""Alembic's entry: runs the migrations over the connection that the caller lends."""

from alembic import context

from responder.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
