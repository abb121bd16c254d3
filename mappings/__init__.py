"""The shipped mappings: one YAML file per provider, with everything Mailweir knows about that provider's webhooks."""
