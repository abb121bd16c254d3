"""`python -m app` is `mailweir`."""

from app.cli import main

main()
