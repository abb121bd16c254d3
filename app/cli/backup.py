"""`mailweir backup`: a copy of the database."""

from pathlib import Path

import rich_click as click
from click import argument

from app.cli.output import json_option, say, show_one


@click.command()
@argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def backup(file: Path | None) -> None:
    """Copy the database to FILE, whole and consistent, while the gateway runs.

    FILE must not be there yet; without one, its name tells the time. Nobody but its owner may read it. The secret key
    is not in it: keep that too, elsewhere. A PostgreSQL is copied by its own program; this verb says how.

    \b
    Examples:
        mailweir backup
        mailweir backup /mnt/backups/mailweir.db
    """
    from app.cli.configuration import settings_in_force  # all imported here, so that the help need not wait
    from app.cli.copying import copied
    from app.vault import KEY_FILE

    settings = settings_in_force()
    copy, size_bytes = copied(settings.database_url, file)
    show_one({"file": str(copy), "bytes": size_bytes})
    if not settings.secret_key:
        say(f"Keep {settings.data_dir / KEY_FILE} as well, elsewhere: without it the secrets cannot be opened.")
