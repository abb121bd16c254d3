"""Bytes and headers of a provider's webhook in, unified events out; no database, framework, socket or clock."""
