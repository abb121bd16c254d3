"""Measures the gateway on this machine: `python -m bench`. See docs/performance.md for what the figures mean."""
