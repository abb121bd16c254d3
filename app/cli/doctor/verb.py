"""The command `mailweir doctor`."""

import asyncio
from collections import Counter

import msgspec
import rich_click as click

from app.cli.doctor.findings import Finding, wrong
from app.cli.errors import CheckFailed
from app.cli.output import json_option, say, show_list

_COLUMNS = {"": "level", "Looked at": "check", "Found": "says", "Mend it by": "mend"}


@click.command()
@json_option
def doctor() -> None:
    """Look at this set-up: what is wrong with it, and which setting or command mends it.

    Looks at the settings, the data folder and its key, the database and its disk, the clock, the public URL, the port
    or the gateway that answers there, the mappings, every source and every endpoint. Run it where the gateway runs,
    with the same settings; it works beside one. The exit code is 1 when something is wrong; a warning alone is 0.

    \b
    Examples:
        mailweir doctor
        mailweir doctor --json | grep wrong
    """
    found = asyncio.run(_findings())
    show_list([msgspec.structs.asdict(finding) for finding in found], _COLUMNS)
    levels = Counter(finding.level for finding in found)
    if levels["wrong"]:
        raise CheckFailed(f"{levels['wrong']} of {len(found)} things are wrong")
    warned = f", and {levels['warning']} to think about" if levels["warning"] else ""
    say(f"Nothing is wrong{warned}.")


async def _findings() -> list[Finding]:
    # Imported here, so that the help need not wait for the database.
    from app.cli.doctor.database import look_at_database, look_for_database, sqlite_file
    from app.cli.doctor.machine import look_at_machine
    from app.cli.doctor.post import look_at_post
    from app.clock import Clock
    from app.settings import SettingsInvalid, load_settings
    from app.store.engine import DatabaseUrlInvalid, open_engine, parse_url

    try:
        settings = load_settings()
        url = parse_url(settings.database_url)
    except (SettingsInvalid, DatabaseUrlInvalid) as mistake:
        return [wrong("settings", f"{mistake}.", "mailweir config shows where each setting comes from")]
    clock, file = Clock(), sqlite_file(url)
    machine = await asyncio.to_thread(lambda: list(look_at_machine(settings, file.parent if file else None)))
    if file is not None and not file.exists():
        return [*look_for_database(file, clock), *machine]
    engine = open_engine(settings.database_url)
    try:
        database = await look_at_database(engine, clock)
        stored = await look_at_post(engine, settings, clock) if database[-1].level == "ok" else []
    finally:
        await engine.dispose()
    return [*database, *machine, *stored]
