"""The web: thin routes with their shapes beside them. Providers come in by `inbound`, everybody else by an API key."""
