"""`mailweir serve`: the gateway in this process, until it is told to stop."""

import errno
import gc
import socket

import rich_click as click
from click import option

from app.cli.errors import Misconfigured

BACKLOG = 2_048


@click.command()
@option("--host", help="The address to listen on; MAILWEIR_HOST unless given.")
@option("--port", type=click.IntRange(1, 65535), help="The port to listen on; MAILWEIR_PORT unless given.")
def serve(host: str | None, port: int | None) -> None:
    """Run the gateway until Ctrl+C, or until it is told to terminate.

    The first start creates the database and an admin API key, and prints a link that opens the dashboard once. The key
    is shown once: keep it. Ending is safe at any time; what is not delivered by then is delivered after the next start.

    \b
    Examples:
        mailweir serve
        mailweir serve --host 0.0.0.0 --port 80
        MAILWEIR_DATABASE_URL=postgresql+asyncpg://user:password@db/mailweir mailweir serve
    """
    gc.disable()  # until all is made: nearly nothing of it is garbage, and looking for it is a tenth of the start
    from app.cli.configuration import settings_in_force  # here, so that the help need not wait
    from app.cli.logs import write_logs

    settings = settings_in_force(host=host, port=port)
    with _listen(settings.host, settings.port) as listener:
        from app.cli.serving import run  # not before: a wrong setting or a taken port is told at once

        write_logs(settings.log_format)
        run(settings, listener)


def _listen(host: str, port: int) -> socket.socket:
    """The port is taken before the database is touched, so that a first start whose key nobody sees cannot happen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(_not_listening(host, port, error)) from error


def _not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: is a gateway running already? Take another with --port or MAILWEIR_PORT"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be used by this user; take one above 1023 with --port or MAILWEIR_PORT"
    reason = str(error.strerror or error).partition(" (while")[0]  # Python adds the address once more
    return f"cannot listen on {host}:{port} ({reason}); check MAILWEIR_HOST"
