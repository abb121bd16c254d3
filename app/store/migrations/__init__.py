"""Alembic's scripts: how the tables came to be as they are, one revision after another."""
