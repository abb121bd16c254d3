"""Mailweir, the application: store, delivery, web and command line around the pure `adapters` package."""

__version__ = "0.1.0"
