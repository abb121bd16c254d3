"""What Mailweir remembers: tables, the engine under them, the hot writes (ledger) and every other query by subject."""
