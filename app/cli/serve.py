"""`mailweir serve`: the gateway in this process, or in several under its eyes, until it is told to stop."""

import errno
import gc
import socket
import sys
from time import monotonic, sleep

import rich_click as click
from click import option

from app.cli.errors import Misconfigured

BACKLOG = 2_048
PATIENCE_S, LOOK_INTERVAL_S = 1.0, 0.02
"""How long workers whose supervisor was killed may take to let go of the port."""


@click.command()
@option("--host", help="The address to listen on; MAILWEIR_HOST unless given.")
@option("--port", type=click.IntRange(1, 65535), help="The port to listen on; MAILWEIR_PORT unless given.")
@option(
    "--workers",
    type=click.IntRange(1, 64),
    help="How many processes share the work; MAILWEIR_WORKERS unless given, else one for each core.",
)
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Run the gateway until Ctrl+C, or until it is told to terminate.

    The first start creates the database and an admin API key, and prints a link that opens the dashboard once. The key
    is shown once: keep it. Ending is safe at any time; what is not delivered by then is delivered after the next start.

    With several workers one of them sends and the others take requests in; one that dies is started again. With one,
    a single process does everything.

    \b
    Examples:
        mailweir serve
        mailweir serve --host 0.0.0.0 --port 80 --workers 4
        MAILWEIR_DATABASE_URL=postgresql+asyncpg://user:password@db/mailweir mailweir serve
    """
    gc.disable()  # until all is made: nearly nothing of it is garbage, and looking for it is a tenth of the start
    from app.cli.configuration import settings_in_force  # here, so that the help need not wait
    from app.cli.logs import write_logs

    settings = settings_in_force(host=host, port=port, workers=workers)
    with _listen(settings.host, settings.port) as listener:
        write_logs(settings.log_format)
        if settings.worker_count > 1:
            from app.cli.supervisor import supervise

            sys.exit(supervise(settings, listener))
        from app.cli.serving import run_alone  # not before: a wrong setting or a taken port is told at once

        run_alone(settings, listener)


def _listen(host: str, port: int) -> socket.socket:
    """The port is taken before the database is touched, so that a first start whose key nobody sees cannot happen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or monotonic() > deadline:
                raise Misconfigured(_not_listening(host, port, error)) from error
        sleep(LOOK_INTERVAL_S)


def _not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: is a gateway running already? Take another with --port or MAILWEIR_PORT"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be used by this user; take one above 1023 with --port or MAILWEIR_PORT"
    reason = str(error.strerror or error).partition(" (while")[0]  # Python adds the address once more
    return f"cannot listen on {host}:{port} ({reason}); check MAILWEIR_HOST"
