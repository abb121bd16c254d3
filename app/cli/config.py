"""`mailweir config`: the settings in force."""

import rich_click as click

from app.cli.output import json_option, show_list

_COLUMNS = {"Setting": "setting", "Value": "value", "From": "origin", "Unit": "unit", "Meaning": "meaning"}


@click.command()
@json_option
def config() -> None:
    """Show every setting: its value, where the value comes from, its unit and its meaning.

    A setting comes from the environment, else from a line in `mailweir.toml` in the working folder (without the prefix
    and in lower case), else it has its default. Secrets are not shown, only that they are set.

    \b
    Examples:
        mailweir config
        MAILWEIR_PORT=9000 mailweir config
        mailweir config --json | grep PORT
    """
    from app.cli.configuration import settings_in_force  # both imported here, so that the help need not wait
    from app.settings import describe

    lines = describe(settings_in_force())
    rows = [
        {
            "setting": line.name,
            "value": line.value,
            "origin": line.origin,
            "unit": line.unit,
            "meaning": line.meaning,
        }
        for line in lines
    ]
    show_list(rows, _COLUMNS)
