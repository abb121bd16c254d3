"""What Alembic runs: the revisions, on the connection it was given and within its transaction."""

from alembic import context

from app.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.SQLModel.metadata,
)
context.run_migrations()
